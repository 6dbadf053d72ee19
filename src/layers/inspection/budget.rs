//! Memory and disk that inspection may hold over all requests.

use crate::limits::INSPECTION_MEMORY_WAIT;
use crate::policy::InspectionLimits;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is given out in pieces of this size, so that a body of many chunks seldom asks.
const PIECE_BYTES: usize = 4 * 1024;

/// What may be held over all requests.
#[derive(Debug)]
pub(super) struct Budget {
    memory: Arc<Semaphore>,
    pieces: usize,
    disk_left: AtomicU64,
    /// Where unlinked files are made.
    directory: PathBuf,
}

impl Budget {
    pub(super) fn new(limits: &InspectionLimits) -> Arc<Self> {
        let pieces = (limits.memory_bytes_max / PIECE_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let directory = limits.spill_directory.clone().unwrap_or_else(std::env::temp_dir);
        Arc::new(Self { memory: Arc::new(Semaphore::new(pieces)), pieces, disk_left: AtomicU64::new(limits.disk_bytes_max), directory })
    }

    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), permit: None, room: 0 }
    }

    pub(super) fn disk(self: &Arc<Self>) -> DiskShare {
        DiskShare { budget: Arc::clone(self), bytes: 0 }
    }

    pub(super) fn directory(&self) -> &PathBuf {
        &self.directory
    }
}

/// A part of the memory, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    permit: Option<OwnedSemaphorePermit>,
    /// Bytes of the permit that are not used yet.
    room: usize,
}

impl Share {
    /// Takes more; false when there is not as much.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let Some(pieces) = self.missing(bytes) else { return self.use_up(bytes) };
        match Arc::clone(&self.budget.memory).try_acquire_many_owned(pieces) {
            Ok(more) => self.add(more, pieces, bytes),
            Err(_) => false,
        }
    }

    /// Takes more, waiting for others to give theirs back; false when that takes too long. Whoever waits must hold nothing.
    pub(super) async fn wait(&mut self, bytes: usize) -> bool {
        let Some(pieces) = self.missing(bytes) else { return self.use_up(bytes) };
        if pieces as usize > self.budget.pieces {
            return false;
        }
        match tokio::time::timeout(INSPECTION_MEMORY_WAIT, Arc::clone(&self.budget.memory).acquire_many_owned(pieces)).await {
            Ok(Ok(more)) => self.add(more, pieces, bytes),
            _ => false,
        }
    }

    /// Hands on what is held; nothing is left here.
    pub(super) fn split(&mut self) -> Self {
        Self { budget: Arc::clone(&self.budget), permit: self.permit.take(), room: std::mem::take(&mut self.room) }
    }

    /// Gives everything back.
    pub(super) fn give_back(&mut self) {
        (self.permit, self.room) = (None, 0);
    }

    /// The pieces that are needed beyond what is held; `None` for none.
    fn missing(&self, bytes: usize) -> Option<u32> {
        let more = bytes.checked_sub(self.room).filter(|more| *more > 0)?;
        Some(u32::try_from(more.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX))
    }

    fn use_up(&mut self, bytes: usize) -> bool {
        self.room -= bytes;
        true
    }

    fn add(&mut self, more: OwnedSemaphorePermit, pieces: u32, bytes: usize) -> bool {
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        self.room += pieces as usize * PIECE_BYTES;
        self.use_up(bytes)
    }
}

/// A part of the disk, given back when dropped.
#[derive(Debug)]
pub(super) struct DiskShare {
    budget: Arc<Budget>,
    bytes: u64,
}

impl DiskShare {
    /// Takes more; false when there is not as much.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let taken = self.budget.disk_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok();
        self.bytes += if taken { bytes } else { 0 };
        taken
    }

    pub(super) fn directory(&self) -> &PathBuf {
        self.budget.directory()
    }
}

impl Drop for DiskShare {
    fn drop(&mut self) {
        self.budget.disk_left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(memory: usize, disk: u64) -> Arc<Budget> {
        let (spill_directory, rbl_name_servers) = (None, Vec::new());
        Budget::new(&InspectionLimits { memory_bytes_max: memory, disk_bytes_max: disk, spill_directory, rbl_name_servers })
    }

    #[test]
    fn what_is_dropped_is_given_back_and_no_more_is_given_out_than_there_is() {
        let budget = budget(4 * PIECE_BYTES, 100);
        let (mut a, mut b) = (budget.share(), budget.share());
        assert!(a.take(PIECE_BYTES + 1) && a.take(PIECE_BYTES - 1), "the second piece has room");
        assert!(b.take(2 * PIECE_BYTES) && !b.take(1));
        drop(a);
        assert!(b.take(1));
        let (mut c, mut d) = (budget.disk(), budget.disk());
        assert!(c.take(60) && !d.take(41) && d.take(40));
        drop(c);
        assert!(d.take(60));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_what_others_give_back_or_is_told_in_time() {
        let budget = budget(2 * PIECE_BYTES, 0);
        let (mut a, mut b) = (budget.share(), budget.share());
        assert!(!b.wait(3 * PIECE_BYTES).await, "never as much");
        assert!(a.take(PIECE_BYTES * 2));
        assert!(!b.wait(1).await);
        let (got, ()) = tokio::join!(b.wait(PIECE_BYTES), async { drop(a) });
        assert!(got);
    }
}
