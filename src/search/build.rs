//! Brings the index up to date with the files of the trail.

use super::facts::Facts;
use super::index::{Fields, Number, Opened, Part, State, other};
use crate::audit::read::{self, Forward};
use crate::limits::AUDIT_INDEX_TAIL_BYTES;
use sha2::{Digest as _, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tantivy::{IndexWriter, Term};

/// Records between two commits of a long build: what a crash in between costs.
const RECORDS_PER_COMMIT: u64 = 500_000;

/// How an update is done.
pub struct Work<'w> {
    /// Threads that make the index; one more reads.
    pub threads: usize,
    /// Memory for all of them.
    pub memory_bytes: usize,
    /// Index what the open file has, however little.
    pub thorough: bool,
    /// Told now and then how many bytes are done, and of how many; false ends the work early, with what is done kept.
    pub progress: &'w mut dyn FnMut(u64, u64) -> bool,
}

/// What an update did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records taken in.
    pub records: u64,
    /// Files taken in, in part or whole.
    pub files: u64,
    /// Files whose records were taken out, since they are gone or others.
    pub removed: u64,
    /// The work was ended early.
    pub interrupted: bool,
}

/// What has to be done.
struct Plan {
    /// Files to read: number, path, from where, and whether nothing more will come.
    read: Vec<(u64, PathBuf, u64, bool)>,
    remove: Vec<u64>,
    bytes: u64,
}

/// Takes in what is new in `directory` and takes out what is gone.
///
/// # Errors
/// When a file cannot be read or the index not be written, also because another process is at it (`WouldBlock`).
pub fn update(directory: &Path, index: &Path, work: &mut Work) -> io::Result<Report> {
    let opened = Opened::open_or_make(index)?;
    let mut state = opened.state()?;
    let plan = plan(directory, &state, work.thorough)?;
    let mut report = Report { removed: plan.remove.len() as u64, ..Report::default() };
    if plan.read.is_empty() && plan.remove.is_empty() {
        return Ok(report);
    }
    let writer: IndexWriter = match opened.index.writer_with_num_threads(work.threads, work.memory_bytes) {
        Err(tantivy::TantivyError::LockFailure(..)) => {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process writes this index"));
        }
        writer => writer.map_err(other)?,
    };
    // Another process may have been at it until this one had the lock.
    if opened.state()? != state {
        drop(writer);
        return update(directory, index, work);
    }
    let fields = Fields::of(&opened.index.schema())?;
    for number in &plan.remove {
        writer.delete_term(Term::from_field_u64(fields.number(Number::File), *number));
        state.files.remove(number);
    }
    let mut take = Take { writer, fields, state, uncommitted: 0, done: 0, told: Instant::now(), bytes: plan.bytes };
    for (number, path, from, closed) in plan.read {
        let kept = take.file(number, &path, from, closed, &mut report, work)?;
        report.files += 1;
        if !kept {
            report.interrupted = true;
            break;
        }
    }
    take.commit()?;
    take.writer.wait_merging_threads().map_err(other)?;
    Ok(report)
}

fn plan(directory: &Path, state: &State, thorough: bool) -> io::Result<Plan> {
    let files: Vec<_> = read::files(directory)?.into_iter().filter_map(|path| Some((read::number(&path)?, path))).collect();
    let mut plan = Plan { read: Vec::new(), remove: Vec::new(), bytes: 0 };
    plan.remove.extend(state.files.keys().filter(|number| !files.iter().any(|(own, _)| own == *number)));
    for (place, (number, path)) in files.iter().enumerate() {
        let closed = place + 1 < files.len();
        let part = state.files.get(number);
        let first = match first_line(path) {
            Ok(first) => first,
            // Retired between the listing and now: taken out the next time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let part = part.filter(|part| {
            let same = part.first == first;
            if !same {
                plan.remove.push(*number);
            }
            same
        });
        if part.is_some_and(|part| part.closed) {
            continue;
        }
        let from = part.map_or(0, |part| part.bytes);
        let size = read::size_hint(path).unwrap_or_default();
        if !closed && !thorough && size.saturating_sub(from) < AUDIT_INDEX_TAIL_BYTES {
            continue;
        }
        if closed || size > from {
            plan.bytes += size.saturating_sub(from);
            plan.read.push((*number, path.clone(), from, closed));
        }
    }
    Ok(plan)
}

/// A digest of a file's first line; empty where it has none yet.
fn first_line(path: &Path) -> io::Result<String> {
    let line = Forward::open(path)?.next_line()?.filter(|line| !line.torn);
    Ok(line.map_or_else(String::new, |line| Sha256::digest(&line.bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()))
}

struct Take {
    writer: IndexWriter,
    fields: Fields,
    state: State,
    uncommitted: u64,
    done: u64,
    told: Instant,
    bytes: u64,
}

impl Take {
    /// Takes in the whole lines of a file; false where the work is to end.
    fn file(&mut self, number: u64, path: &Path, from: u64, closed: bool, report: &mut Report, work: &mut Work) -> io::Result<bool> {
        let mut lines = match Forward::open_at(path, from) {
            Ok(lines) => lines,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        };
        let first = first_line(path)?;
        let mut offset = from;
        loop {
            let line = lines.next_line()?.filter(|line| !line.torn || line.is_too_long());
            let ended = line.is_none();
            if let Some(line) = line {
                if let Some(facts) = Facts::read(&line.bytes).filter(|_| !line.torn) {
                    self.writer.add_document(self.fields.document(&facts, number, offset)).map_err(other)?;
                    report.records += 1;
                    self.uncommitted += 1;
                }
                let length = line.bytes.len() as u64 + u64::from(!line.torn);
                offset += length;
                self.done += length;
            }
            let due = ended || self.told.elapsed() >= Duration::from_millis(100);
            if due {
                self.told = Instant::now();
            }
            let go_on = !due || (work.progress)(self.done, self.bytes.max(self.done));
            if ended || !go_on || self.uncommitted >= RECORDS_PER_COMMIT {
                self.state.files.insert(number, Part { bytes: offset, closed: closed && ended, first: first.clone() });
            }
            if self.uncommitted >= RECORDS_PER_COMMIT {
                self.commit()?;
            }
            if ended || !go_on {
                return Ok(go_on);
            }
        }
    }

    fn commit(&mut self) -> io::Result<()> {
        let payload = serde_json::to_string(&self.state).map_err(other)?;
        let mut prepared = self.writer.prepare_commit().map_err(other)?;
        prepared.set_payload(&payload);
        prepared.commit().map_err(other)?;
        self.uncommitted = 0;
        Ok(())
    }
}
