//! The threads on which large inputs are inspected, so that no event loop stands still: few, behind a bounded queue.

use crate::limits::INSPECTION_QUEUE_MAX;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    running: usize,
    threads: usize,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    idle: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pool. Its threads are started when they are first needed, and end, their queue done, when it is dropped.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads_max: usize,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    /// A pool of as many threads as there are cores: the event loops sleep while a large input is looked at.
    pub(super) fn new() -> Self {
        Self { shared: Arc::default(), threads_max: std::thread::available_parallelism().map_or(1, usize::from) }
    }

    /// Queues a job; it comes back when the queue is full.
    pub(super) fn execute(&self, job: Job) -> Result<(), Job> {
        let mut state = self.shared.lock();
        if state.jobs.len() >= INSPECTION_QUEUE_MAX {
            return Err(job);
        }
        if state.threads < self.threads_max && state.running + state.jobs.len() >= state.threads {
            let shared = Arc::clone(&self.shared);
            let name = format!("inspect-{}", state.threads);
            match std::thread::Builder::new().name(name).spawn(move || work(&shared)) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    tracing::error!(%error, "no thread for inspection can be started");
                    return Err(job);
                }
                Err(_) => {}
            }
        }
        state.jobs.push_back(job);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Waits until nothing is queued or under way; false when that takes longer than `limit`.
    pub(super) fn finish(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        while !state.jobs.is_empty() || state.running > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
    }
}

fn work(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if let Some(job) = state.jobs.pop_front() {
            state.running += 1;
            drop(state);
            // What waits for the job sees its sender go, and what it was about is recorded as not inspected.
            let _ = catch_unwind(AssertUnwindSafe(job));
            state = shared.lock();
            state.running -= 1;
            if state.jobs.is_empty() && state.running == 0 {
                shared.idle.notify_all();
            }
        } else if state.closed {
            return;
        } else {
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    #[test]
    fn jobs_run_also_after_one_has_panicked_and_the_end_is_waited_for() {
        let pool = Pool::new();
        let ran = Arc::new(AtomicUsize::new(0));
        for number in 0..50 {
            let ran = Arc::clone(&ran);
            let job: Job = Box::new(move || {
                assert_ne!(number, 7, "on purpose");
                ran.fetch_add(1, Ordering::Relaxed);
            });
            assert!(pool.execute(job).is_ok());
        }
        assert!(pool.finish(Duration::from_secs(10)));
        assert_eq!(ran.load(Ordering::Relaxed), 49);
    }

    #[test]
    fn the_queue_is_bounded() {
        let pool = Pool::new();
        let (gate, open) = mpsc::channel::<()>();
        let open = Arc::new(Mutex::new(open));
        let mut queued = 0;
        let block = || -> Job {
            let open = Arc::clone(&open);
            Box::new(move || {
                let _ = open.lock().unwrap_or_else(PoisonError::into_inner).recv();
            })
        };
        while pool.execute(block()).is_ok() {
            queued += 1;
        }
        assert!((INSPECTION_QUEUE_MAX..=INSPECTION_QUEUE_MAX + pool.threads_max).contains(&queued));
        assert!(!pool.finish(Duration::from_millis(1)));
        drop(gate);
        assert!(pool.finish(Duration::from_secs(10)));
    }
}
