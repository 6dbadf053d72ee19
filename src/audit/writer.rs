//! The trail: records go into a queue bounded in bytes, one thread of its own brings them to the disk.
//!
//! [`Trail::write`] never waits for the disk. What does not fit into the queue is counted, and the count becomes a gap record as
//! soon as writing works again: requests are always records plus declared gaps. Sequence numbers are given where the lines are
//! put into their order, by the writer, so they have no holes; a record keeps its number when the disk refuses it and it is
//! written later, or into another file.

use super::files::Output;
use super::json::{self, Control, Scratch};
use super::record::Record;
use super::redact::Redactor;
use crate::limits::{
    AUDIT_COMMIT_INTERVAL, AUDIT_FILE_BYTES_MAX, AUDIT_QUEUE_BYTES_MAX, AUDIT_RETRY_INTERVAL, AUDIT_STOP_TIMEOUT, AUDIT_SYNC_INTERVAL,
};
use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The wall clock in microseconds since the Unix epoch; tests bring their own.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a trail is opened with.
#[derive(Clone)]
pub struct Settings {
    /// The folder of the files; made if it is not there.
    pub directory: PathBuf,
    /// Bytes of a file before the next is begun.
    pub file_bytes_max: u64,
    /// Days that closed files are kept; `None` for ever.
    pub retention_days: Option<u32>,
    /// Bytes of records waiting for the disk.
    pub queue_bytes_max: usize,
    /// Time between forced writes to the disk while records come.
    pub sync_interval: Duration,
    /// Time a stop waits for a disk that refuses.
    pub stop_timeout: Duration,
    /// What must not be readable.
    pub redactor: Arc<Redactor>,
    /// The clock for file names, days and the trail's own records.
    pub clock: WallClock,
    /// Sees each record as plain data before it is queued: how a rehearsal learns what happened.
    pub observer: Option<Observer>,
}

/// A function that sees records.
pub type Observer = Arc<dyn Fn(&Record) + Send + Sync>;

impl Settings {
    /// The defaults of [`crate::limits`], nothing ever deleted.
    pub fn new(directory: impl Into<PathBuf>, redactor: Redactor) -> Self {
        Self {
            directory: directory.into(),
            file_bytes_max: AUDIT_FILE_BYTES_MAX,
            retention_days: None,
            queue_bytes_max: AUDIT_QUEUE_BYTES_MAX,
            sync_interval: AUDIT_SYNC_INTERVAL,
            stop_timeout: AUDIT_STOP_TIMEOUT,
            redactor: Arc::new(redactor),
            clock: Arc::new(|| crate::clock::Moment::now().unix_micros),
            observer: None,
        }
    }
}

/// What the trail has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Requests' records that reached a file (`portcullis_audit_records_total`).
    pub written: u64,
    /// Requests' records that were lost, all declared in gap records once writing works (`portcullis_audit_dropped_total`).
    pub dropped: u64,
    /// Bytes that reached files.
    pub bytes: u64,
    /// Errors of the disk.
    pub errors: u64,
    /// Bytes that wait for the disk now.
    pub queued_bytes: u64,
    /// Files begun.
    pub files: u64,
}

/// The handle of the trail: cheap to clone, for every thread. The last one that goes stops the writer.
#[derive(Clone)]
pub struct Trail {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Records lost in a row.
#[derive(Clone, Copy)]
struct Gap {
    count: u64,
    from: u64,
    to: u64,
}

#[derive(Default)]
struct Queue {
    /// Frames, one after the other.
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
    /// Lost since these frames were queued.
    gap: Option<Gap>,
    /// Bytes that the writer has taken and not yet brought to the disk.
    taken: usize,
    /// Frames ever queued, and those of them that reached a file.
    queued: u64,
    settled: u64,
    reopen: bool,
    /// Somebody waits for the disk: do not gather.
    hurry: bool,
    stop: bool,
    /// The writer has gone.
    ended: bool,
}

struct Shared {
    settings: Settings,
    queue: Mutex<Queue>,
    /// Something for the writer to do.
    wake: Condvar,
    /// The writer did it.
    settled: Condvar,
    healthy: AtomicBool,
    written: AtomicU64,
    dropped: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    files: AtomicU64,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    static MEMORY: RefCell<(Vec<u8>, Scratch)> = RefCell::default();
}

/// Line memory that a thread keeps; a huge record's is given back.
const MEMORY_BYTES_MAX: usize = 256 * 1024;

impl Trail {
    /// Opens the folder, continues its sequence numbers, begins a new file and starts the writer.
    ///
    /// # Errors
    /// When the folder or the first file cannot be made or written, or the last file cannot be read: a gateway that cannot
    /// write its trail must not start.
    pub fn open(settings: Settings) -> io::Result<Self> {
        std::fs::create_dir_all(&settings.directory)?;
        let (mut output, before) = Output::open(&settings)?;
        let now = (settings.clock)();
        let start = Control::Start { previous: before.ended, torn_bytes: before.torn_bytes };
        let mut pending = Pending { sequence: before.sequence, ..Pending::default() };
        pending.control(&start, now);
        pending.commit(&mut output, now)?;
        output.sync()?;
        let shared = Arc::new(Shared {
            settings,
            queue: Mutex::default(),
            wake: Condvar::new(),
            settled: Condvar::new(),
            healthy: AtomicBool::new(true),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            bytes: AtomicU64::new(output.bytes),
            errors: AtomicU64::new(0),
            files: AtomicU64::new(output.begun),
        });
        let mut writer = Writer { shared: Arc::clone(&shared), output, pending, frames: Vec::new(), ends: Vec::new(), failing: false };
        let thread = std::thread::Builder::new().name("audit".into()).spawn(move || writer.run())?;
        Ok(Self { owner: Arc::new(Owner { shared, writer: Mutex::new(Some(thread)) }) })
    }

    /// Puts one record into the queue, or counts it where the queue is full. Never waits for the disk.
    pub fn write(&self, record: &Record) {
        let shared = &*self.owner.shared;
        if let Some(observer) = &shared.settings.observer {
            observer(record);
        }
        MEMORY.with_borrow_mut(|(line, scratch)| {
            line.clear();
            json::record(record, &shared.settings.redactor, scratch, line);
            shared.enqueue(line, record.received.unix_micros);
            if line.capacity() > MEMORY_BYTES_MAX {
                *line = Vec::new();
            }
        });
    }

    /// Whether every record is being kept. False from the first one lost, or from the disk's refusal, until the trail writes
    /// again and has declared what is missing.
    pub fn healthy(&self) -> bool {
        self.owner.shared.healthy.load(Relaxed)
    }

    /// What was done so far.
    pub fn metrics(&self) -> Metrics {
        let shared = &*self.owner.shared;
        let queued = {
            let queue = shared.queue();
            queue.bytes.len() + queue.taken
        };
        Metrics {
            written: shared.written.load(Relaxed),
            dropped: shared.dropped.load(Relaxed),
            bytes: shared.bytes.load(Relaxed),
            errors: shared.errors.load(Relaxed),
            queued_bytes: queued as u64,
            files: shared.files.load(Relaxed),
        }
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

impl Shared {
    fn enqueue(&self, frame: &[u8], received: u64) {
        let mut queue = self.queue();
        if queue.stop || queue.bytes.len() + queue.taken + frame.len() > self.settings.queue_bytes_max {
            let gap = queue.gap.get_or_insert(Gap { count: 0, from: received, to: received });
            gap.count += 1;
            gap.from = gap.from.min(received);
            gap.to = gap.to.max(received);
            let first = gap.count == 1;
            self.healthy.store(false, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
            drop(queue);
            if first {
                tracing::error!("the audit queue is full: records are being lost, and will be declared as a gap");
                self.wake.notify_one();
            }
            return;
        }
        let was_empty = queue.ends.is_empty();
        let was_small = queue.bytes.len() < self.settings.queue_bytes_max / 4;
        queue.bytes.extend_from_slice(frame);
        let end = queue.bytes.len();
        queue.ends.push(end);
        queue.queued += 1;
        let is_large = end >= self.settings.queue_bytes_max / 4;
        drop(queue);
        // Only the first of a batch wakes the writer, and the one that fills it: a wake-up is a system call.
        if was_empty || (was_small && is_large) {
            self.wake.notify_one();
        }
    }
}

/// Lines on their way to a file, whole and numbered.
#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    ends: Vec<usize>,
    /// Lines of `ends` that are in a file.
    done: usize,
    /// The number of the last line.
    sequence: u64,
    frame: Vec<u8>,
}

impl Pending {
    fn line(&mut self, frame: &[u8]) {
        self.sequence += 1;
        json::complete(frame, self.sequence, &mut self.lines);
        self.ends.push(self.lines.len());
    }

    fn control(&mut self, control: &Control, now: u64) {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        json::control(control, now, &mut frame);
        self.line(&frame);
        self.frame = frame;
    }

    /// Writes what is not yet written; on an error, the lines that are whole in a file stay done.
    fn commit(&mut self, output: &mut Output, now: u64) -> io::Result<()> {
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

struct Writer {
    shared: Arc<Shared>,
    output: Output,
    pending: Pending,
    frames: Vec<u8>,
    ends: Vec<usize>,
    failing: bool,
}

impl Writer {
    fn run(&mut self) {
        let mut stopping: Option<Instant> = None;
        loop {
            let (gap, stop) = self.gather();
            let now = (self.shared.settings.clock)();
            let frames = self.ends.len() as u64;
            self.number(gap, now);
            if stop && stopping.is_none() {
                stopping = Some(Instant::now());
            }
            let deadline = stopping.map(|since| since + self.shared.settings.stop_timeout);
            if !self.bring(deadline) {
                let lost = self.pending.ends.len() - self.pending.done;
                tracing::error!(lost, "the audit trail stops with records that the disk refused");
                self.shared.dropped.fetch_add(lost as u64, Relaxed);
                break;
            }
            self.settle(frames);
            if stop && self.shared.queue().ends.is_empty() {
                self.pending.control(&Control::Stop, now);
                if !self.bring(deadline) {
                    tracing::error!("the audit trail could not write its stop record");
                }
                if let Err(error) = self.output.sync() {
                    self.failed("forced to the disk", &error);
                }
                break;
            }
        }
        self.shared.queue().ended = true;
        self.shared.settled.notify_all();
    }

    /// Waits for records, lets more of them gather, and takes all there are.
    fn gather(&mut self) -> (Option<Gap>, bool) {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue();
        let nothing = |queue: &mut Queue| queue.ends.is_empty() && queue.gap.is_none() && !queue.stop && !queue.hurry && !queue.reopen;
        loop {
            let wait = self.output.sync_due(shared.settings.sync_interval);
            let timed_out;
            (queue, timed_out) = match wait {
                Some(wait) => {
                    let (queue, result) = shared.wake.wait_timeout_while(queue, wait, nothing).unwrap_or_else(PoisonError::into_inner);
                    (queue, result.timed_out())
                }
                None => (shared.wake.wait_while(queue, nothing).unwrap_or_else(PoisonError::into_inner), false),
            };
            if !timed_out {
                break;
            }
            drop(queue);
            self.sync();
            queue = shared.queue();
        }
        let large = shared.settings.queue_bytes_max / 4;
        let calm = |queue: &mut Queue| !queue.stop && !queue.hurry && queue.gap.is_none() && queue.bytes.len() < large;
        (queue, _) = shared.wake.wait_timeout_while(queue, AUDIT_COMMIT_INTERVAL, calm).unwrap_or_else(PoisonError::into_inner);
        self.frames.clear();
        self.ends.clear();
        std::mem::swap(&mut queue.bytes, &mut self.frames);
        std::mem::swap(&mut queue.ends, &mut self.ends);
        queue.taken = self.frames.len();
        queue.hurry = false;
        if std::mem::take(&mut queue.reopen) {
            self.output.retire_current();
        }
        (queue.gap.take(), queue.stop)
    }

    /// Makes lines of the frames taken, then of what was lost after them.
    fn number(&mut self, gap: Option<Gap>, now: u64) {
        let mut from = 0;
        for end in &self.ends {
            self.pending.line(&self.frames[from..*end]);
            from = *end;
        }
        if let Some(gap) = gap {
            let control = Control::Gap { count: gap.count, from: gap.from, to: gap.to, reason: "queue_full" };
            self.pending.control(&control, now);
        }
        for file in self.output.retire_old(now) {
            tracing::info!(file, "audit file removed for its age");
            self.pending.control(&Control::Retired { file }, now);
        }
    }

    /// Writes until all is written; false when the deadline is over before.
    fn bring(&mut self, mut deadline: Option<Instant>) -> bool {
        let mut tries = 0u32;
        loop {
            let (bytes, begun) = (self.output.bytes, self.output.begun);
            let now = (self.shared.settings.clock)();
            let result = self.pending.commit(&mut self.output, now);
            self.shared.bytes.fetch_add(self.output.bytes - bytes, Relaxed);
            self.shared.files.fetch_add(self.output.begun - begun, Relaxed);
            let Err(error) = result else {
                self.failing = false;
                break;
            };
            self.failed("written", &error);
            tries += 1;
            // The first error may be that of one file only: the next try begins another.
            if tries == 1 {
                continue;
            }
            self.failing = true;
            self.shared.healthy.store(false, Relaxed);
            let queue = self.shared.queue();
            if queue.stop && deadline.is_none() {
                deadline = Some(Instant::now() + self.shared.settings.stop_timeout);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            drop(queue);
            std::thread::sleep(AUDIT_RETRY_INTERVAL);
        }
        if self.output.sync_due(self.shared.settings.sync_interval).is_some_and(|wait| wait.is_zero()) {
            self.sync();
        }
        true
    }

    fn sync(&mut self) {
        match self.output.sync() {
            Ok(()) if self.failing => {
                self.failing = false;
                self.recover(&self.shared.queue());
            }
            Ok(()) => {}
            Err(error) => {
                self.failed("forced to the disk", &error);
                self.failing = true;
                self.shared.healthy.store(false, Relaxed);
            }
        }
    }

    /// Healthy again, where nothing failed last and nothing is missing that was not declared.
    fn recover(&self, queue: &Queue) {
        if !self.failing && queue.gap.is_none() && !self.shared.healthy.swap(true, Relaxed) {
            tracing::warn!("the audit trail writes again");
        }
    }

    fn failed(&self, what: &str, error: &io::Error) {
        self.shared.errors.fetch_add(1, Relaxed);
        if !self.failing {
            tracing::error!(directory = %self.shared.settings.directory.display(), %error, "the audit trail cannot be {what}");
        }
    }

    /// Tells the world that a batch has arrived.
    fn settle(&mut self, frames: u64) {
        let mut queue = self.shared.queue();
        queue.taken = 0;
        queue.settled += frames;
        self.shared.written.fetch_add(frames, Relaxed);
        self.recover(&queue);
        drop(queue);
        self.shared.settled.notify_all();
    }
}
impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trail")
    }
}
