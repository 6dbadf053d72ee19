//! Lines on their way to a file: whole, numbered, chained, some of them signed.

use super::chain::{Chain, Hash};
use super::control::{Control, control};
use super::files::Output;
use super::json;
use super::key::SigningKey;
use std::io;

/// Lines in their order. They keep their numbers and their place in the chain when a disk refuses them and another takes them.
pub(crate) struct Pending {
    lines: Vec<u8>,
    ends: Vec<usize>,
    /// Lines of `ends` that are in a file.
    done: usize,
    /// The number of the last line.
    sequence: u64,
    chain: Chain,
    signer: Option<SigningKey>,
    /// Copies of signed lines, for a second place.
    signed: Vec<u8>,
    frame: Vec<u8>,
}

impl Pending {
    /// Goes on after a last line with this number and hash.
    pub(crate) fn new(sequence: u64, head: Hash, signer: Option<SigningKey>) -> Self {
        let chain = Chain { head };
        Self { lines: Vec::new(), ends: Vec::new(), done: 0, sequence, chain, signer, signed: Vec::new(), frame: Vec::new() }
    }

    /// Adds a request's line.
    pub(crate) fn line(&mut self, frame: &[u8]) {
        let start = self.lines.len();
        self.sequence += 1;
        json::numbered(frame, self.sequence, &mut self.lines);
        self.chain.seal(start, None, &mut self.lines);
        self.ends.push(self.lines.len());
    }

    /// Adds a line of the trail's own.
    pub(crate) fn control(&mut self, what: &Control, now: u64) {
        let start = self.lines.len();
        self.sequence += 1;
        self.frame.clear();
        control(what, now, &mut self.frame);
        json::numbered(&self.frame, self.sequence, &mut self.lines);
        let signer = self.signer.as_ref().filter(|_| what.is_signed());
        self.chain.seal(start, signer, &mut self.lines);
        if signer.is_some() {
            self.signed.extend_from_slice(&self.lines[start..]);
        }
        self.ends.push(self.lines.len());
    }

    /// The number and the hash of the last line added.
    pub(crate) fn head(&self) -> (u64, Hash) {
        (self.sequence, self.chain.head)
    }

    /// Lines that are not in a file yet.
    pub(crate) fn waiting(&self) -> usize {
        self.ends.len() - self.done
    }

    /// Takes the copies of the lines signed since the last call.
    pub(crate) fn take_signed(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.signed)
    }

    /// Writes what is not yet written; on an error, the lines that are whole in a file stay done.
    pub(crate) fn commit(&mut self, output: &mut Output, now: u64) -> io::Result<()> {
        while self.done < self.ends.len() {
            let from = self.done.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
            let next = self.ends.get(self.done).map_or(0, |end| end - from);
            let room = output.room(now, next as u64)?;
            let fits = self.ends[self.done..].iter().take_while(|end| (**end - from) as u64 <= room).count().max(1);
            let to = self.ends.get(self.done + fits - 1).copied().unwrap_or(self.lines.len());
            let (written, result) = output.write(&self.lines[from..to]);
            self.done += self.ends[self.done..].iter().take_while(|end| **end - from <= written).count();
            result?;
        }
        self.lines.clear();
        self.ends.clear();
        self.done = 0;
        Ok(())
    }
}
