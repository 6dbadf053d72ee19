//! The queue between the threads that close records and the one that writes them: bounded in bytes, never waiting for a disk.

use super::control::AccountDecision;
use super::flood::{self, Floods};
use super::json::{self, Scratch};
use super::position::Marker;
use super::record::Record;
use super::settings::{Metrics, Settings};
use crate::limits::{AUDIT_RESERVE_MAX, AUDIT_RESERVE_MIN};
use std::cell::RefCell;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Records lost in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    pub(crate) count: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A request that was counted: its number among those of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a request may go on only where it is covered"]
pub struct Begun(u64);

/// What waits for the writer.
#[derive(Default)]
pub(crate) struct Queue {
    /// Frames, one after the other.
    pub(crate) bytes: Vec<u8>,
    /// Where each frame ends.
    pub(crate) ends: Vec<usize>,
    /// Account requests that were answered: lines of the trail's own.
    pub(crate) accounts: Vec<AccountDecision>,
    /// Lost since these frames were queued.
    pub(crate) gap: Option<Gap>,
    /// Bytes that the writer has taken and not yet brought to the disk.
    pub(crate) taken: usize,
    /// Frames ever queued, and those of them that reached a file.
    pub(crate) queued: u64,
    pub(crate) settled: u64,
    pub(crate) reopen: bool,
    /// The first refusal of a window was merged.
    pub(crate) flood: bool,
    /// The ceiling is near.
    pub(crate) raise: bool,
    /// Somebody waits for the disk: do not gather.
    pub(crate) hurry: bool,
    pub(crate) stop: bool,
    /// The writer has gone.
    pub(crate) ended: bool,
}

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    queue: Mutex<Queue>,
    /// Something for the writer to do.
    pub(crate) wake: Condvar,
    /// The writer did it.
    pub(crate) settled: Condvar,
    floods: Option<Mutex<Floods>>,
    pub(crate) marker: Option<Marker>,
    /// Requests begun, and how many may be begun before the marker must be told.
    pub(crate) opened: AtomicU64,
    ceiling: AtomicU64,
    /// From so many on, the writer is asked to raise the ceiling: below it, so that whoever begins a request need not.
    ask_at: AtomicU64,
    reserve: AtomicU64,
    raising: Mutex<()>,
    pub(crate) healthy: AtomicBool,
    pub(crate) written: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) merged: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) spilling: AtomicBool,
    /// The number of the last line in a file, and of the last one that is on the disk.
    pub(crate) last: AtomicU64,
    pub(crate) durable: AtomicU64,
}

thread_local! {
    static MEMORY: RefCell<(Vec<u8>, Scratch)> = RefCell::default();
}

/// Line memory that a thread keeps; a huge record's is given back.
const MEMORY_BYTES_MAX: usize = 256 * 1024;

impl Shared {
    /// An empty queue; `ceiling` requests may be begun before `marker` must be told.
    pub(crate) fn new(settings: Settings, marker: Option<Marker>, ceiling: u64) -> Self {
        let floods = settings.flood_records_per_second.map(|rate| Mutex::new(Floods::new(rate)));
        Self {
            settings,
            queue: Mutex::default(),
            wake: Condvar::new(),
            settled: Condvar::new(),
            floods,
            ceiling: AtomicU64::new(if marker.is_some() { ceiling } else { u64::MAX }),
            ask_at: AtomicU64::new(if marker.is_some() { ceiling / 2 } else { u64::MAX }),
            marker,
            reserve: AtomicU64::new(ceiling),
            opened: AtomicU64::new(0),
            raising: Mutex::default(),
            healthy: AtomicBool::new(true),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            merged: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            files: AtomicU64::new(0),
            spilling: AtomicBool::new(false),
            last: AtomicU64::new(0),
            durable: AtomicU64::new(0),
        }
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn floods(&self) -> Option<MutexGuard<'_, Floods>> {
        self.floods.as_ref().map(|floods| floods.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a request that will have a record.
    pub(crate) fn open(&self) -> Begun {
        let opened = self.opened.fetch_add(1, SeqCst) + 1;
        if opened >= self.ask_at.load(Relaxed) && self.ask_at.swap(u64::MAX, Relaxed) != u64::MAX {
            self.queue().raise = true;
            self.wake.notify_one();
        }
        Begun(opened)
    }

    /// Whether the marker knows of so many requests.
    pub(crate) fn covers(&self, begun: Begun) -> bool {
        begun.0 <= self.ceiling.load(SeqCst)
    }

    /// Tells the marker, where the writer has not come round in time: a few bytes into the page cache.
    pub(crate) fn cover(&self, begun: Begun) {
        if !self.covers(begun) {
            self.raise(|| !self.covers(begun), || self.more());
        }
    }

    fn more(&self) -> u64 {
        self.reserve.load(Relaxed).saturating_mul(2).clamp(AUDIT_RESERVE_MIN, AUDIT_RESERVE_MAX)
    }

    /// Allows twice as many as before.
    pub(crate) fn allow_more(&self) {
        self.raise(|| true, || self.more());
    }

    /// Allows `reserve` more requests than are begun by now, and tells the marker where that changes much.
    pub(crate) fn allow(&self, reserve: u64) {
        self.raise(|| true, || reserve);
    }

    /// What [`Shared::allow`] does, if it is still wanted when everybody before has done so.
    fn raise(&self, wanted: impl FnOnce() -> bool, reserve: impl FnOnce() -> u64) {
        let Some(marker) = &self.marker else { return };
        let _raising = self.raising.lock().unwrap_or_else(PoisonError::into_inner);
        if !wanted() {
            return;
        }
        let reserve = reserve();
        self.reserve.store(reserve, Relaxed);
        let before = self.ceiling.load(SeqCst);
        let mut opened = self.opened.load(SeqCst);
        if before >= opened + reserve.div_ceil(2) && before <= opened + reserve.saturating_mul(4) {
            self.ask_at.store(before - reserve / 2, Relaxed);
            return;
        }
        // Lowered in memory first: whoever begins a request from now on sees it and has to be covered.
        while opened + reserve < before {
            self.ceiling.store(opened + reserve, SeqCst);
            let now = self.opened.load(SeqCst);
            if now <= opened + reserve {
                break;
            }
            opened = now;
        }
        if let Err(error) = marker.ceiling(opened + reserve)
            && self.errors.fetch_add(1, Relaxed) == 0
        {
            tracing::error!(%error, "the audit trail's position cannot be written");
        }
        self.ceiling.store(opened + reserve, SeqCst);
        self.ask_at.store(opened + reserve.div_ceil(2), Relaxed);
    }

    /// Puts one record into the queue, merges it into a flood, or counts it where the queue is full.
    pub(crate) fn write(&self, record: &Record) {
        if let Some(observer) = &self.settings.observer {
            observer(record);
        }
        let mergeable = self.floods.is_some() && flood::is_mergeable(record);
        if mergeable && let Some(mut floods) = self.floods() {
            let is_first = floods.due(Instant::now()).is_none();
            if floods.merge(record, &self.settings.redactor, Instant::now()) {
                drop(floods);
                if is_first {
                    // The writer ends the window; it need only know that one has begun.
                    self.queue().flood = true;
                    self.wake.notify_one();
                }
                return;
            }
        }
        MEMORY.with_borrow_mut(|(line, scratch)| {
            line.clear();
            json::record(record, &self.settings.redactor, scratch, line);
            self.enqueue(line, record.received.unix_micros);
            if mergeable && let Some(mut floods) = self.floods() {
                floods.written(line.len());
            }
            if line.capacity() > MEMORY_BYTES_MAX {
                *line = Vec::new();
            }
        });
    }

    /// Queues lines of the trail's own about account requests; false where the writer has gone, or has not come to earlier ones.
    pub(crate) fn tell(&self, decisions: &[AccountDecision]) -> bool {
        let mut queue = self.queue();
        if queue.stop || queue.ended || !queue.accounts.is_empty() {
            return false;
        }
        queue.accounts.extend_from_slice(decisions);
        queue.queued += decisions.len() as u64;
        drop(queue);
        self.wake.notify_one();
        true
    }

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

    pub(crate) fn metrics(&self) -> Metrics {
        let queued = {
            let queue = self.queue();
            queue.bytes.len() + queue.taken
        };
        Metrics {
            opened: self.opened.load(Relaxed),
            written: self.written.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            merged: self.merged.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            errors: self.errors.load(Relaxed),
            queued_bytes: queued as u64,
            files: self.files.load(Relaxed),
            spilling: self.spilling.load(Relaxed),
        }
    }
}
