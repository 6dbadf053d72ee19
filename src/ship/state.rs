//! How each receiver does: counters and a state, for metrics, `/readyz` and the console.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How one receiver does.
#[derive(Debug, Default)]
pub struct State {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is.
    pub to: String,
    records: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    skipped: AtomicU64,
    place: AtomicU64,
    failing: AtomicBool,
    trouble: Mutex<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Records that were sent, those that had to be sent again counted again.
    pub fn records(&self) -> u64 {
        self.records.load(Relaxed)
    }

    /// Their bytes in the receiver's form, before compression.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Tries that failed.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Records that the receiver said it will not take; they are in the trail.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Messages that were cut to what one may have.
    pub fn cut(&self) -> u64 {
        self.cut.load(Relaxed)
    }

    /// Records that were retired before their turn came.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Relaxed)
    }

    /// The number of the last record it has.
    pub fn sequence(&self) -> u64 {
        self.place.load(Relaxed)
    }

    /// What is wrong now; `None` where nothing is known to be.
    pub fn trouble(&self) -> Option<String> {
        self.failing.load(Relaxed).then(|| locked(&self.trouble).clone())
    }

    pub(super) fn sent(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn refuse(&self, records: u64) {
        self.refused.fetch_add(records, Relaxed);
    }

    pub(super) fn shorten(&self, messages: u64) {
        self.cut.fetch_add(messages, Relaxed);
    }

    pub(super) fn skip(&self, records: u64) {
        self.skipped.fetch_add(records, Relaxed);
    }

    pub(super) fn reached(&self, sequence: u64) {
        self.place.store(sequence, Relaxed);
    }

    /// Counts a failure; true where it is the first since the last success.
    pub(super) fn failed(&self, why: &str) -> bool {
        self.errors.fetch_add(1, Relaxed);
        why.clone_into(&mut locked(&self.trouble));
        !self.failing.swap(true, Relaxed)
    }

    /// All is well; true where it was not before.
    pub(super) fn well(&self) -> bool {
        self.failing.swap(false, Relaxed)
    }
}

/// The receivers of a gateway; cheap to clone. It outlives reloads.
#[derive(Clone, Debug, Default)]
pub struct Board {
    states: Arc<Mutex<Vec<Arc<State>>>>,
}

impl Board {
    /// All of them, in the policy's order.
    pub fn states(&self) -> Vec<Arc<State>> {
        locked(&self.states).clone()
    }

    /// The receivers from now on; one whose name was there before, at the same place, counts on.
    pub(super) fn take_up(&self, receivers: impl Iterator<Item = (Arc<str>, String)>) -> Vec<Arc<State>> {
        let mut states = locked(&self.states);
        let fresh: Vec<_> = receivers
            .map(|(name, to)| {
                let known = states.iter().find(|state| state.name == name && state.to == to);
                known.map_or_else(|| Arc::new(State { name, to, ..State::default() }), Arc::clone)
            })
            .collect();
        states.clone_from(&fresh);
        fresh
    }
}
