//! The writer's thread: takes what is queued, makes lines of it, brings them to the disk, and says what was lost.
//!
//! Sequence numbers and the chain are given here, where the lines are put into their order, so they have no holes; a line
//! keeps its place when the disk refuses it and it is written later, or into another file.

use super::control::{AccountDecision, Control, Counters};
use super::files::Output;
use super::heads::Heads;
use super::keeper::Keeper;
use super::lock::Lock;
use super::pending::Pending;
use super::queue::{Gap, Queue, Shared};
use super::retire::Retirement;
use super::settings::SyncPolicy;
use crate::limits::{AUDIT_COMMIT_INTERVAL, AUDIT_RESERVE_MAX, AUDIT_RESERVE_MIN, AUDIT_RETRY_INTERVAL};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How often the thread that forces files to the disk is asked whether it is done.
const SYNC_POLL: Duration = Duration::from_millis(50);

pub(crate) struct Writer {
    shared: Arc<Shared>,
    output: Output,
    pending: Pending,
    keeper: Keeper,
    heads: Option<Heads>,
    retirement: Retirement,
    frames: Vec<u8>,
    ends: Vec<usize>,
    accounts: Vec<AccountDecision>,
    /// What the lines so far account for.
    counters: Counters,
    /// Requests begun by the last commit.
    opened: u64,
    /// The line and the time of the last checkpoint, and the file it went to.
    checkpoint: (u64, Instant, u64),
    failing: bool,
    /// Copies of signed lines that are being forced to the disk, and the last line that is.
    forcing: Vec<u8>,
    forcing_last: u64,
    /// Lines are not on the disk that should be.
    unforced: bool,
    /// Given back when the writer has ended.
    _lock: Lock,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, output: Output, pending: Pending, keeper: Keeper, lock: Lock) -> Self {
        let checkpoint = (pending.head().0, Instant::now(), output.begun);
        let retirement = Retirement::new(&shared.settings);
        let heads = shared.settings.heads_path().map(Heads::new);
        let mut writer = Self {
            shared,
            output,
            pending,
            keeper,
            heads,
            retirement,
            frames: Vec::new(),
            ends: Vec::new(),
            accounts: Vec::new(),
            counters: Counters::default(),
            opened: 0,
            checkpoint,
            failing: false,
            forcing: Vec::new(),
            forcing_last: 0,
            unforced: false,
            _lock: lock,
        };
        // The first lines are on the disk.
        writer.shared.last.store(writer.pending.head().0, Relaxed);
        writer.shared.durable.store(writer.pending.head().0, Relaxed);
        let signed = writer.pending.take_signed();
        writer.copy_heads(&signed);
        writer.tell_keeper();
        writer
    }

    pub(crate) fn run(&mut self) {
        let mut stopping: Option<Instant> = None;
        loop {
            let (gap, stop) = self.gather();
            let now = (self.shared.settings.clock)();
            let (frames, told) = (self.ends.len() as u64, self.accounts.len() as u64);
            let removed = self.number(gap, stop, now);
            if stop && stopping.is_none() {
                stopping = Some(Instant::now());
            }
            let deadline = stopping.map(|since| since + self.shared.settings.stop_timeout);
            if !self.bring(deadline) {
                let lost = self.pending.waiting() as u64;
                tracing::error!(lost, "the audit trail stops with records that the disk refused");
                self.shared.dropped.fetch_add(lost, Relaxed);
                self.mark_stopped();
                break;
            }
            self.settle(frames, told);
            removed.into_iter().for_each(|path| self.keeper.remove(path));
            let is_done = |queue: &Queue| queue.ends.is_empty() && queue.accounts.is_empty();
            if stop && is_done(&self.shared.queue()) {
                self.end(now, deadline);
                break;
            }
        }
        self.shared.queue().ended = true;
        self.shared.settled.notify_all();
    }

    /// Writes the stop record and forces all to the disk.
    fn end(&mut self, now: u64, deadline: Option<Instant>) {
        self.counters.opened = self.shared.opened.load(Relaxed);
        self.pending.control(&Control::Stop(self.counters), now);
        if !self.bring(deadline) {
            tracing::error!("the audit trail could not write its stop record");
            self.mark_stopped();
            return;
        }
        match self.output.sync() {
            Ok(()) => {
                let signed = [std::mem::take(&mut self.forcing), self.pending.take_signed()].concat();
                self.shared.durable.store(self.pending.head().0, Relaxed);
                self.copy_heads(&signed);
            }
            Err(error) => self.failed("forced to the disk", &error),
        }
        self.mark_stopped();
    }

    /// Nothing more comes: what was begun and has no line is lost, and its number known.
    fn mark_stopped(&self) {
        let opened = self.shared.opened.load(Relaxed);
        if let Some(Err(error)) = self.shared.marker.as_ref().map(|marker| marker.stopped(opened)) {
            self.failed("marked as ended", &error);
        }
    }

    /// Until when nothing is due if nothing comes.
    fn due(&self) -> Option<Duration> {
        let settings = &self.shared.settings;
        let sync = match settings.sync {
            SyncPolicy::Interval(interval) => self.output.sync_due(interval),
            SyncPolicy::Commit | SyncPolicy::Never => None,
        };
        let poll = self.output.is_syncing().then_some(SYNC_POLL);
        let checkpoint =
            (self.pending.head().0 > self.checkpoint.0).then(|| settings.checkpoint_interval.saturating_sub(self.checkpoint.1.elapsed()));
        let flood = self.shared.floods().and_then(|floods| floods.due(Instant::now()));
        [sync, poll, checkpoint, flood].into_iter().flatten().min()
    }

    /// Waits for records or until something is due, lets more records gather, and takes all there are.
    fn gather(&mut self) -> (Option<Gap>, bool) {
        let shared = Arc::clone(&self.shared);
        let nothing = |queue: &mut Queue| {
            queue.ends.is_empty()
                && queue.accounts.is_empty()
                && queue.gap.is_none()
                && !queue.stop
                && !queue.hurry
                && !queue.reopen
                && !queue.flood
                && !queue.raise
        };
        let due = self.due();
        let large = shared.settings.queue_bytes_max / 4;
        let calm = |queue: &mut Queue| {
            let urgent = queue.stop || queue.hurry || queue.raise || queue.gap.is_some();
            !queue.ends.is_empty() && !urgent && queue.bytes.len() < large
        };
        let mut queue = shared.queue();
        loop {
            queue = match due {
                Some(wait) => shared.wake.wait_timeout_while(queue, wait, nothing).unwrap_or_else(PoisonError::into_inner).0,
                None => shared.wake.wait_while(queue, nothing).unwrap_or_else(PoisonError::into_inner),
            };
            (queue, _) = shared.wake.wait_timeout_while(queue, AUDIT_COMMIT_INTERVAL, calm).unwrap_or_else(PoisonError::into_inner);
            if !std::mem::take(&mut queue.raise) {
                break;
            }
            drop(queue);
            shared.allow_more();
            queue = shared.queue();
        }
        self.frames.clear();
        self.ends.clear();
        std::mem::swap(&mut queue.bytes, &mut self.frames);
        std::mem::swap(&mut queue.ends, &mut self.ends);
        self.accounts = std::mem::take(&mut queue.accounts);
        queue.taken = self.frames.len();
        queue.hurry = false;
        queue.flood = false;
        if std::mem::take(&mut queue.reopen) {
            self.output.retire_current();
        }
        (queue.gap.take(), queue.stop)
    }

    /// Makes lines of the frames taken, then of what was lost after them and what else there is to say. Returns the files whose
    /// retirement is among the lines.
    fn number(&mut self, gap: Option<Gap>, stop: bool, now: u64) -> Vec<PathBuf> {
        let mut from = 0;
        for end in &self.ends {
            self.pending.line(&self.frames[from..*end]);
            from = *end;
        }
        self.counters.written += self.ends.len() as u64;
        for decision in std::mem::take(&mut self.accounts) {
            self.pending.control(&Control::Account(decision), now);
        }
        if let Some(gap) = gap {
            self.counters.dropped += gap.count;
            self.pending.control(&Control::Gap { count: gap.count, from: gap.from, to: gap.to, reason: "queue_full" }, now);
        }
        let floods = match self.shared.floods() {
            Some(mut floods) if stop || floods.due(Instant::now()).is_some_and(|due| due.is_zero()) => floods.take(),
            _ => Vec::new(),
        };
        for flood in floods {
            self.counters.merged += flood.count;
            self.pending.control(&Control::Flood(flood), now);
        }
        for torn in self.output.take_torn() {
            self.pending.control(&Control::Resume { file: torn.file, torn_bytes: torn.bytes }, now);
        }
        let mut removed = Vec::new();
        for (path, retired) in self.retirement.due(now, self.output.path()) {
            tracing::info!(file = retired.file, "audit file retired for its age");
            self.pending.control(&Control::Retired(retired), now);
            removed.push(path);
        }
        let (sequence, at, begun) = self.checkpoint;
        let is_due = at.elapsed() >= self.shared.settings.checkpoint_interval || begun != self.output.begun;
        if !stop && self.pending.head().0 > sequence && is_due {
            self.counters.opened = self.shared.opened.load(Relaxed);
            self.pending.control(&Control::Checkpoint(self.counters), now);
            self.checkpoint = (self.pending.head().0, Instant::now(), self.output.begun);
        }
        removed
    }

    /// Writes until all is written; false when the deadline is over before.
    fn bring(&mut self, mut deadline: Option<Instant>) -> bool {
        let mut tries = 0u32;
        loop {
            let (bytes, begun) = (self.output.bytes, self.output.begun);
            let now = (self.shared.settings.clock)();
            let result = self.pending.commit(&mut self.output, now);
            self.shared.bytes.fetch_add(self.output.bytes - bytes, Relaxed);
            if self.output.begun != begun {
                self.shared.files.fetch_add(self.output.begun - begun, Relaxed);
                self.tell_keeper();
            }
            let Err(error) = result else {
                self.failing = false;
                break;
            };
            self.failed("written", &error);
            tries += 1;
            // The first error may be that of one file or one folder only: the next try begins another.
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
        self.shared.last.store(self.pending.head().0, Relaxed);
        self.mark();
        self.sync();
        true
    }

    /// Tells the marker how far the trail is, and allows as many more requests as came since the last time.
    fn mark(&mut self) {
        let Some(marker) = &self.shared.marker else { return };
        let (sequence, head) = self.pending.head();
        let accounted = self.counters.written + self.counters.dropped + self.counters.merged;
        if let Err(error) = marker.commit(sequence, accounted, &head) {
            self.failed("marked", &error);
        }
        let opened = self.shared.opened.load(Relaxed);
        // Twice as much as comes until the next time, at least: so long as the traffic does not double between two commits, nobody
        // but this thread writes the ceiling.
        self.shared.allow((opened - self.opened).saturating_mul(4).clamp(AUDIT_RESERVE_MIN, AUDIT_RESERVE_MAX));
        self.opened = opened;
    }

    /// Copies signed lines to their second place, once they are on the disk: a copy must not know of lines that a power cut took.
    fn copy_heads(&mut self, signed: &[u8]) {
        if let Some(heads) = &mut self.heads
            && let Err(error) = heads.add(signed)
        {
            self.failed("copied to its heads' file", &error);
        }
    }

    fn tell_keeper(&self) {
        let spilling = self.output.is_spilling();
        if let Some(path) = self.output.path() {
            self.keeper.current(path, spilling);
        }
        if self.shared.spilling.swap(spilling, Relaxed) != spilling {
            if spilling {
                tracing::error!("the audit trail goes to its spill directory");
            } else {
                tracing::warn!("the audit trail goes to its own directory again");
            }
        }
    }

    /// Forces to the disk what is due, and hears how it went.
    fn sync(&mut self) {
        let result = match self.shared.settings.sync {
            SyncPolicy::Interval(interval) => {
                let result = self.output.synced();
                if self.output.sync_due(interval).is_some_and(|wait| wait.is_zero()) && !self.output.is_syncing() {
                    self.forcing.append(&mut self.pending.take_signed());
                    self.forcing_last = self.pending.head().0;
                    self.output.sync_beside();
                }
                result
            }
            SyncPolicy::Commit => self.output.sync_due(Duration::ZERO).map(|_| self.output.sync()),
            SyncPolicy::Never => self.output.synced(),
        };
        let is_forced = match self.shared.settings.sync {
            SyncPolicy::Interval(_) => matches!(result, Some(Ok(()))) && !self.output.is_syncing(),
            SyncPolicy::Commit => matches!(result, Some(Ok(()))),
            SyncPolicy::Never => true,
        };
        if is_forced {
            let mut signed = std::mem::take(&mut self.forcing);
            if !matches!(self.shared.settings.sync, SyncPolicy::Interval(_)) {
                signed.append(&mut self.pending.take_signed());
                self.forcing_last = self.pending.head().0;
            }
            self.shared.durable.fetch_max(self.forcing_last, Relaxed);
            self.copy_heads(&signed);
        }
        match result {
            Some(Ok(())) if self.unforced => {
                self.unforced = false;
                self.recover(&self.shared.queue());
            }
            Some(Err(error)) => {
                self.failed("forced to the disk", &error);
                self.unforced = true;
                self.shared.healthy.store(false, Relaxed);
            }
            Some(Ok(())) | None => {}
        }
    }

    /// Healthy again, where nothing failed last and nothing is missing that was not declared.
    fn recover(&self, queue: &Queue) {
        if !self.failing && !self.unforced && queue.gap.is_none() && !self.shared.healthy.swap(true, Relaxed) {
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
    fn settle(&mut self, frames: u64, told: u64) {
        let mut queue = self.shared.queue();
        queue.taken = 0;
        queue.settled += frames + told;
        self.shared.written.fetch_add(frames, Relaxed);
        self.shared.merged.store(self.counters.merged, Relaxed);
        self.recover(&queue);
        drop(queue);
        self.shared.settled.notify_all();
    }
}
