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
    /// There may be more at once.
    pub(super) is_full: bool,
}

/// Lines looked at for one batch, also where few of them are for this receiver: a stop must not wait for the end of a long trail.
const LINES_MAX: usize = 8 * AUDIT_SHIP_BATCH_RECORDS_MAX;

/// The trail, read for one receiver.
pub(super) struct Feed {
    directory: PathBuf,
    spill: Option<PathBuf>,
    what: Shipped,
    form: Form,
    cursor: Cursor,
    /// The place after what was given out last.
    place: Option<Place>,
    /// A signed line that is not on the disk yet, and the place after it: a copy elsewhere must not know of lines that a power cut could
    /// take.
    held: Option<(Vec<u8>, Option<Place>)>,
}

impl Feed {
    /// Reads from the saved place on; from where `ship` says where there is none.
    pub(super) fn open(ship: &Ship, directory: PathBuf, spill: Option<PathBuf>) -> io::Result<Self> {
        let place = match Place::load(&ship.cursor)? {
            None if ship.begin == Begin::Now => Place::newest_file(&directory)?,
            place => place,
        };
        let cursor = Cursor::new(&directory, place).with_spill(spill.clone());
        Ok(Self { directory, spill, what: ship.what, form: ship.form, cursor, place, held: None })
    }

    /// The place after what was given out last.
    pub(super) fn place(&self) -> Option<Place> {
        self.place
    }

    /// Gives out again what comes after `place`.
    pub(super) fn rewind(&mut self, place: Option<Place>) {
        self.cursor = Cursor::new(&self.directory, place).with_spill(self.spill.clone());
        self.place = place;
        self.held = None;
    }

    /// What there is, up to a batch; signed lines only up to number `durable`.
    pub(super) fn next_batch(&mut self, durable: u64) -> io::Result<Batch> {
        let mut batch = Batch { place: self.place, ..Batch::default() };
        for _ in 0..LINES_MAX {
            if batch.items.len() >= AUDIT_SHIP_BATCH_RECORDS_MAX || batch.bytes >= AUDIT_SHIP_BATCH_BYTES_MAX {
                batch.is_full = true;
                return Ok(batch);
            }
            let (line, after) = match self.held.take() {
                Some(held) => held,
                None => match self.cursor.next_line()? {
                    Some(line) => (line, self.cursor.place()),
                    None => return Ok(batch),
                },
            };
            let is_signed = self.what == Shipped::Heads && is_signed(&line);
            if is_signed && sequence(&line).is_some_and(|number| number > durable) {
                self.held = Some((line, after));
                return Ok(batch);
            }
            self.place = after;
            batch.place = after;
            batch.skipped += self.cursor.take_skipped();
            if self.what == Shipped::Heads && !is_signed {
                continue;
            }
            let Ok(record) = serde_json::from_slice::<Value>(&line) else { continue };
            // As it stands, it is a copy of the line.
            let value = if self.form == Form::Json { Value::Null } else { record.clone() };
            let Some(text) = self.form.of(&line, value) else { continue };
            batch.bytes += text.len();
            batch.items.push(Item { severity: Severity::of(&record), record, text });
        }
        batch.is_full = true;
        Ok(batch)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::audit::{Record, Redactor, Settings, SyncPolicy, Trail};
    use crate::clock::Moment;
    use crate::message::{EventId, Peer};
    use crate::policy::ship::{Destination, Place as Address, SyslogTo, Transport};
    use std::sync::Arc;
    use std::time::Duration;

    fn ship(what: Shipped, cursor: PathBuf) -> Ship {
        let place = Address { host: "localhost".into(), port: 1 };
        let to = Destination::Syslog(SyslogTo { place, transport: Transport::Tcp, facility: 16, message_bytes_max: 480 });
        Ship { name: "a".into(), what, form: Form::Json, to, begin: Begin::Oldest, cursor }
    }

    fn trail(folder: &std::path::Path) -> Trail {
        let settings = Settings::new(folder.join("audit"), Redactor::new([], [], false).unwrap());
        let never = Duration::from_secs(3600);
        let state_directory = Some(folder.join("state"));
        Trail::open(Settings { state_directory, sync: SyncPolicy::Interval(never), checkpoint_interval: Duration::ZERO, ..settings })
            .unwrap()
    }

    fn write(trail: &Trail, count: u64) {
        let peer = Arc::new(Peer::new("192.0.2.7:50000".parse().unwrap(), "198.51.100.1:443".parse().unwrap(), 3));
        for number in 0..count {
            let now = Moment::now();
            trail.write(&Record::new(EventId::new(now, u128::from(number)), now, Arc::clone(&peer)));
        }
        assert!(trail.flush(Duration::from_secs(20)));
    }

    #[test]
    fn a_head_waits_until_it_is_on_the_disk_and_so_does_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let trail = trail(folder.path());
        write(&trail, 3);
        // The start is on the disk, the checkpoint after the records is not.
        let mut feed = Feed::open(&ship(Shipped::Heads, folder.path().join("none")), trail.directory().to_owned(), None).unwrap();
        for _ in 0..3 {
            let batch = feed.next_batch(trail.durable_sequence()).unwrap();
            let before_head = trail.last_sequence() - 1;
            assert!(batch.place.unwrap().sequence <= before_head && feed.place() == batch.place, "{batch:?}");
        }
        let place = feed.place();
        assert!(trail.stop());
        let batch = feed.next_batch(trail.durable_sequence()).unwrap();
        let kinds: Vec<_> = batch.items.iter().map(|item| item.record["event"]["kind"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kinds.last().unwrap(), "stop", "{kinds:?}");
        assert!(kinds.contains(&"checkpoint".to_owned()));
        // Whoever goes on from the place that was kept has them all as well.
        feed.rewind(place);
        assert_eq!(feed.next_batch(u64::MAX).unwrap().items.len(), kinds.len());
    }

    #[test]
    fn a_batch_ends_though_nothing_in_it_is_for_this_receiver() {
        let folder = tempfile::tempdir().unwrap();
        let trail = trail(folder.path());
        write(&trail, 2 * LINES_MAX as u64);
        assert!(trail.stop());
        let mut feed = Feed::open(&ship(Shipped::Heads, folder.path().join("none")), trail.directory().to_owned(), None).unwrap();
        let (mut heads, mut batches, mut place) = (0, 0, 0);
        loop {
            let batch = feed.next_batch(u64::MAX).unwrap();
            let now = batch.place.unwrap().sequence;
            assert!(now - place <= LINES_MAX as u64);
            (heads, batches, place) = (heads + batch.items.len(), batches + 1, now);
            if !batch.is_full {
                break;
            }
        }
        assert_eq!(place, trail.last_sequence());
        assert!(batches >= 3 && heads >= 2, "{batches} batches, {heads} heads");
        let mut feed = Feed::open(&ship(Shipped::All, folder.path().join("none")), trail.directory().to_owned(), None).unwrap();
        let first = feed.next_batch(0).unwrap();
        assert!(first.is_full && first.items.len() <= AUDIT_SHIP_BATCH_RECORDS_MAX);
    }
}
