//! The handle of the trail: opened once, cheap to clone, for every thread.

use super::before::Before;
use super::control::{AccountDecision, Control, Start};
use super::files::Output;
use super::keeper::{Keeper, bring_home};
use super::key::SigningKey;
use super::lock::Lock;
use super::pending::Pending;
use super::position::{Marker, Missing, Position};
use super::queue::{Begun, Shared};
use super::record::Record;
use super::settings::{Metrics, Settings};
use super::writer::Writer;
use crate::limits::AUDIT_RESERVE_MIN;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The handle of the trail. The last one that goes stops the writer.
#[derive(Clone)]
pub struct Trail {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Trail {
    /// Opens the folder, continues its numbers and its chain, declares what an earlier process may have lost, begins a new file
    /// and starts the writer.
    ///
    /// # Errors
    /// When another process writes into the folder; when the folder, the state folder or the first file cannot be made or
    /// written, the key or the last file not read: a gateway that cannot write its trail must not start.
    pub fn open(settings: Settings) -> io::Result<Self> {
        make_folder(&settings.directory, 0o750)?;
        let lock = Lock::take(&settings.directory)?;
        let (position, signer) = match &settings.state_directory {
            Some(state) => {
                make_folder(state, 0o700)?;
                (Position::read(state)?, settings.signing_key_path())
            }
            None => (None, settings.signing_key.clone()),
        };
        let signer = signer.map(|path| SigningKey::open_or_make(&path)).transpose()?;
        if let Some(spill) = &settings.spill_directory
            && !bring_home(spill, &settings.directory, None)
        {
            return Err(io::Error::other("spilled files of an earlier run cannot be brought home"));
        }
        let before = Before::read(&settings.directory, position.as_ref().map_or(u64::MAX, |position| position.sequence))?;
        let mut output = Output::open(&settings, before.last)?;
        let mut pending = Pending::new(before.sequence, before.head, signer);
        let now = (settings.clock)();
        for control in first_lines(&before, position.as_ref(), now) {
            pending.control(&control, now);
        }
        pending.commit(&mut output, now)?;
        output.sync()?;
        let (sequence, head) = pending.head();
        let marker = match &settings.state_directory {
            Some(state) => Some(Marker::begin(state, AUDIT_RESERVE_MIN, sequence, &head)?),
            None => None,
        };
        let keeper = Keeper::start(&settings)?;
        let shared = Arc::new(Shared::new(settings, marker, AUDIT_RESERVE_MIN));
        shared.bytes.store(output.bytes, Relaxed);
        shared.files.store(output.begun, Relaxed);
        let mut writer = Writer::new(Arc::clone(&shared), output, pending, keeper, lock);
        let thread = std::thread::Builder::new().name("audit".into()).spawn(move || writer.run())?;
        Ok(Self { owner: Arc::new(Owner { shared, writer: Mutex::new(Some(thread)) }) })
    }

    /// Counts a request, a tunnel or a failed connection that [`Trail::write`] will be called for. Nothing may be done for it before it
    /// is covered, else what a killed process leaves unrecorded would not be bounded.
    pub fn begin(&self) -> Begun {
        self.owner.shared.open()
    }

    /// Whether a later start will know of it, should this process be killed: nearly always, since the writer allows for more ahead.
    pub fn covers(&self, begun: Begun) -> bool {
        self.owner.shared.covers(begun)
    }

    /// Writes down that there are so many. It writes to a file, so an event loop leaves it to another thread.
    pub fn cover(&self, begun: Begun) {
        self.owner.shared.cover(begun);
    }

    /// Puts one record into the queue, or counts it where the queue is full. Never waits for the disk.
    pub fn write(&self, record: &Record) {
        self.owner.shared.write(record);
    }

    /// Writes down what became of account requests, each a record of its own kind; whether they are in a file (not yet: on the
    /// disk) within `timeout`.
    pub fn tell(&self, decisions: &[AccountDecision], timeout: Duration) -> bool {
        self.owner.shared.tell(decisions) && self.flush(timeout)
    }

    /// Whether every record is being kept. False from the first one lost, or from the disk's refusal, until the trail writes
    /// again and has declared what is missing.
    pub fn healthy(&self) -> bool {
        self.owner.shared.healthy.load(Relaxed)
    }

    /// The folder of the files.
    pub fn directory(&self) -> &Path {
        &self.owner.shared.settings.directory
    }

    /// The number of the last record that is in a file.
    pub fn last_sequence(&self) -> u64 {
        self.owner.shared.last.load(Relaxed)
    }

    /// The number of the last record that was forced to the disk; without forcing, of the last that is in a file.
    pub fn durable_sequence(&self) -> u64 {
        self.owner.shared.durable.load(Relaxed)
    }

    /// What was done so far.
    pub fn metrics(&self) -> Metrics {
        self.owner.shared.metrics()
    }

    /// Begins a new file with the next record (USR1).
    pub fn reopen(&self) {
        self.owner.shared.queue().reopen = true;
        self.owner.shared.wake.notify_one();
    }

    /// Waits until what was written before is in a file (not yet: on the disk); false when `timeout` is over before.
    pub fn flush(&self, timeout: Duration) -> bool {
        let shared = &*self.owner.shared;
        let mut queue = shared.queue();
        let goal = queue.queued;
        queue.hurry = true;
        shared.wake.notify_one();
        let (queue, _) = shared
            .settled
            .wait_timeout_while(queue, timeout, |queue| !queue.ended && (queue.settled < goal || queue.gap.is_some()))
            .unwrap_or_else(PoisonError::into_inner);
        queue.settled >= goal && queue.gap.is_none()
    }

    /// Brings everything to the disk and ends the writer; records after this are lost and counted. False when the disk refused
    /// some for the whole stop timeout.
    pub fn stop(&self) -> bool {
        self.owner.stop()
    }
}

/// Makes a folder with this mode where there is none.
fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The start record, and the gap record of what an earlier process may not have recorded.
fn first_lines(before: &Before, position: Option<&Position>, now: u64) -> Vec<Control> {
    let start = Start { previous: before.ended, torn_bytes: before.torn_bytes, file: before.torn_file.clone() };
    let mut lines = vec![Control::Start(start)];
    let (from, to) = (before.at.min(now), now);
    let missing = match position {
        None if before.ended == "none" => Missing::Nothing,
        Some(position) => Missing::of(position, before.sequence, before.accounted),
        None if before.ended == "clean" => Missing::Nothing,
        None => Missing::Unknown,
    };
    match missing {
        Missing::Nothing => {}
        Missing::Exactly(count) => lines.push(Control::Gap { count, from, to, reason: "disk_refused" }),
        Missing::AtMost(count) => lines.push(Control::GapMax { count_max: Some(count), from, to, reason: "killed" }),
        Missing::Cut(count) => {
            tracing::error!(last = before.sequence, "the audit trail was cut: lines that had been written are gone");
            lines.push(Control::GapMax { count_max: Some(count), from, to, reason: "cut" });
        }
        Missing::Unknown => {
            let reason = if position.is_some() { "system_stopped" } else { "killed" };
            lines.push(Control::GapMax { count_max: None, from, to, reason });
        }
    }
    lines
}

impl Owner {
    fn stop(&self) -> bool {
        self.shared.queue().stop = true;
        self.shared.wake.notify_one();
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let whole = thread.is_none_or(|thread| thread.join().is_ok());
        let queue = self.shared.queue();
        whole && queue.settled == queue.queued && queue.gap.is_none()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trail")
    }
}
