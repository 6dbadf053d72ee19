//! Batches of records for one receiver, from its place in the trail on.

use super::severity::Severity;
use crate::audit::cursor::{Cursor, Place, is_signed, sequence};
use crate::audit::export::Form;
use crate::limits::{AUDIT_SHIP_BATCH_BYTES_MAX, AUDIT_SHIP_BATCH_RECORDS_MAX};
use crate::policy::ship::{Begin, Ship, Shipped};
use serde_json::Value;
use std::io;
use std::path::PathBuf;

/// One record, ready to be sent.
#[derive(Debug)]
pub(super) struct Item {
    /// The record as the trail has it.
    pub(super) record: Value,
    /// The record in the receiver's form.
    pub(super) text: String,
    pub(super) severity: Severity,
}

/// Records that are sent together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// Bytes of their texts.
    pub(super) bytes: usize,
    /// The place after the last of them, and after what is not for this receiver.
    pub(super) place: Option<Place>,
    /// Records that were retired before their turn came.
    pub(super) skipped: u64,
}

/// The trail, read for one receiver.
pub(super) struct Feed {
    directory: PathBuf,
    spill: Option<PathBuf>,
    what: Shipped,
    form: Form,
    cursor: Cursor,
    /// A signed line that is not on the disk yet: a copy elsewhere must not know of lines that a power cut could take.
    held: Option<Vec<u8>>,
}

impl Feed {
    /// Reads from the saved place on; from where `ship` says where there is none.
    pub(super) fn open(ship: &Ship, directory: PathBuf, spill: Option<PathBuf>) -> io::Result<Self> {
        let place = match Place::load(&ship.cursor)? {
            None if ship.begin == Begin::Now => Place::newest_file(&directory)?,
            place => place,
        };
        let cursor = Cursor::new(&directory, place).with_spill(spill.clone());
        Ok(Self { directory, spill, what: ship.what, form: ship.form, cursor, held: None })
    }

    /// The place after what was given out last.
    pub(super) fn place(&self) -> Option<Place> {
        self.cursor.place()
    }

    /// Gives out again what comes after `place`.
    pub(super) fn rewind(&mut self, place: Option<Place>) {
        self.cursor = Cursor::new(&self.directory, place).with_spill(self.spill.clone());
        self.held = None;
    }

    /// What there is, up to a batch; signed lines only up to number `durable`.
    pub(super) fn next_batch(&mut self, durable: u64) -> io::Result<Batch> {
        let mut batch = Batch { place: self.cursor.place(), ..Batch::default() };
        while batch.items.len() < AUDIT_SHIP_BATCH_RECORDS_MAX && batch.bytes < AUDIT_SHIP_BATCH_BYTES_MAX {
            let Some(line) = self.held.take().map_or_else(|| self.cursor.next_line(), |line| Ok(Some(line)))? else { break };
            batch.skipped += self.cursor.take_skipped();
            if self.what == Shipped::Heads {
                if !is_signed(&line) {
                    batch.place = self.cursor.place();
                    continue;
                }
                if sequence(&line).is_some_and(|number| number > durable) {
                    self.held = Some(line);
                    break;
                }
            }
            batch.place = self.cursor.place();
            let Ok(record) = serde_json::from_slice::<Value>(&line) else { continue };
            // As it stands, it is a copy of the line.
            let value = if self.form == Form::Json { Value::Null } else { record.clone() };
            let Some(text) = self.form.of(&line, value) else { continue };
            batch.bytes += text.len();
            batch.items.push(Item { severity: Severity::of(&record), record, text });
        }
        Ok(batch)
    }
}
