//! What all transactions share, over all runtime threads and from one policy to the next: memory, threads, collections.

use super::budget::Budget;
use super::pool::Pool;
use super::rbl::Rbl;
use crate::limits::{COLLECTION_SHARDS, COLLECTIONS_BYTES_MAX, COLLECTIONS_RECORDS_MAX};
use crate::policy::InspectionLimits;
use seclang::collections::{Change, Collections, MemoryCollections, Record};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

/// See the module.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) budget: Arc<Budget>,
    pub(super) pool: Arc<Pool>,
    pub(super) collections: Arc<Shards>,
    pub(super) rbl: Arc<Rbl>,
}

impl Tools {
    /// Those of the first policy, or the ones of a policy before it; the memory follows the policy.
    pub(super) fn new(limits: &InspectionLimits, previous: Option<&Self>) -> Self {
        let budget = Budget::new(limits);
        let rbl = |previous: Option<&Arc<Rbl>>| match previous {
            Some(rbl) if rbl.asks(&limits.rbl_name_servers) => Arc::clone(rbl),
            _ => Arc::new(Rbl::new(&limits.rbl_name_servers)),
        };
        match previous {
            None => Self { budget, pool: Arc::new(Pool::new()), collections: Arc::default(), rbl: rbl(None) },
            Some(previous) => Self {
                budget,
                pool: Arc::clone(&previous.pool),
                collections: Arc::clone(&previous.collections),
                rbl: rbl(Some(&previous.rbl)),
            },
        }
    }
}

/// Persistent collections in parts, each behind a lock that is held for one look-up only.
#[derive(Debug)]
pub(super) struct Shards {
    parts: Vec<Mutex<MemoryCollections>>,
    hasher: RandomState,
}

impl Default for Shards {
    fn default() -> Self {
        let bounds = (COLLECTIONS_RECORDS_MAX / COLLECTION_SHARDS, COLLECTIONS_BYTES_MAX / COLLECTION_SHARDS);
        let part = || Mutex::new(MemoryCollections::with_bounds(bounds.0, bounds.1));
        Self { parts: (0..COLLECTION_SHARDS).map(|_| part()).collect(), hasher: RandomState::new() }
    }
}

impl Shards {
    fn with<T>(&self, name: &str, key: &[u8], work: impl FnOnce(&mut MemoryCollections) -> Result<T, String>) -> Result<T, String> {
        let place = self.hasher.hash_one((name, key)) as usize % self.parts.len();
        let part = self.parts.get(place).ok_or("there is no such part")?;
        work(&mut part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The shards as one transaction uses them.
pub(super) struct Handle<'a>(pub(super) &'a Shards);

impl Collections for Handle<'_> {
    fn load(&mut self, name: &str, key: &[u8], now: u64) -> Result<Record, String> {
        self.0.with(name, key, |part| part.load(name, key, now))
    }

    fn store(&mut self, name: &str, key: &[u8], changes: &[Change], timeout_seconds: u64, now: u64) -> Result<(), String> {
        self.0.with(name, key, |part| part.store(name, key, changes, timeout_seconds, now))
    }
}
