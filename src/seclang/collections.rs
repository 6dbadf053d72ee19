//! Persistent collections (`IP`, `SESSION`, `USER`, `GLOBAL`, `RESOURCE`): the trait a transaction uses, and one in memory.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::limits;
use crate::value::Table;

/// A copy of one record of a persistent collection.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The variables that have not expired.
    pub variables: Table,
    /// Whether the record did not exist before.
    pub is_new: bool,
}

/// A change to one variable. Additions travel as differences, so that parallel transactions do not undo each other's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `setvar:ip.x=value`
    Set(Bytes, Bytes),
    /// `setvar:ip.x=+n` and `=-n`
    Add(Bytes, i64),
    /// `setvar:!ip.x`
    Remove(Bytes),
    /// `expirevar:ip.x=seconds`
    ExpireAfter(Bytes, u64),
}

/// A store of persistent collections. It never blocks: sharing between gateways happens behind it, eventually.
pub trait Collections {
    /// A copy of the record `key` of the collection `name` (`ip`, `session`, ...), as of `now` (microseconds since 1970).
    ///
    /// # Errors
    /// One sentence saying why there is none; a missing record is not an error.
    fn load(&mut self, name: &str, key: &[u8], now: u64) -> Result<Record, String>;

    /// Applies changes to a record, in order. The record lives on for `timeout_seconds`.
    ///
    /// # Errors
    /// One sentence saying why they were not applied.
    fn store(&mut self, name: &str, key: &[u8], changes: &[Change], timeout_seconds: u64, now: u64) -> Result<(), String>;
}

/// For rules that use no persistent collections: loading fails, which the transaction records.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCollections;

impl Collections for NoCollections {
    fn load(&mut self, _: &str, _: &[u8], _: u64) -> Result<Record, String> {
        Err("persistent collections are switched off".to_owned())
    }

    fn store(&mut self, _: &str, _: &[u8], _: &[Change], _: u64, _: u64) -> Result<(), String> {
        Err("persistent collections are switched off".to_owned())
    }
}

/// Collections in memory, bounded in records and bytes: beyond either the least recently stored goes.
#[derive(Debug)]
pub struct MemoryCollections {
    records: HashMap<(String, Vec<u8>), Stored>,
    by_age: BTreeMap<u64, (String, Vec<u8>)>,
    capacity: usize,
    bytes_max: usize,
    /// Bytes of all records, as [`Stored::bytes`] counts them.
    bytes: usize,
    tick: u64,
}

/// What a record or a variable takes beside its texts.
const OVERHEAD_BYTES: usize = 128;

#[derive(Debug)]
struct Stored {
    variables: Table,
    expires: HashMap<Vec<u8>, u64>,
    dies_at: u64,
    tick: u64,
    /// As counted when it was last stored.
    counted: usize,
}

impl Default for MemoryCollections {
    fn default() -> Self {
        Self::with_capacity(limits::MEMORY_RECORDS_MAX)
    }
}

impl MemoryCollections {
    /// An empty store for at most `capacity` records of [`limits::MEMORY_BYTES_MAX`] bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::with_bounds(capacity, limits::MEMORY_BYTES_MAX)
    }

    /// An empty store for at most `capacity` records of `bytes_max` bytes together, a record's own overhead included.
    pub fn with_bounds(capacity: usize, bytes_max: usize) -> Self {
        let (records, by_age) = (HashMap::new(), BTreeMap::new());
        MemoryCollections { records, by_age, capacity: capacity.max(1), bytes_max, bytes: 0, tick: 0 }
    }

    /// Bytes of all records, their overhead included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn forget(&mut self, id: &(String, Vec<u8>)) {
        if let Some(stored) = self.records.remove(id) {
            self.by_age.remove(&stored.tick);
            self.bytes -= stored.counted;
        }
    }
}

impl Collections for MemoryCollections {
    fn load(&mut self, name: &str, key: &[u8], now: u64) -> Result<Record, String> {
        let id = (name.to_owned(), key.to_vec());
        match self.records.get_mut(&id) {
            Some(stored) if stored.dies_at > now => {
                stored.drop_expired(now);
                Ok(Record { variables: stored.variables.clone(), is_new: false })
            }
            Some(_) => {
                self.forget(&id);
                Ok(Record { is_new: true, ..Record::default() })
            }
            None => Ok(Record { is_new: true, ..Record::default() }),
        }
    }

    fn store(&mut self, name: &str, key: &[u8], changes: &[Change], timeout_seconds: u64, now: u64) -> Result<(), String> {
        let id = (name.to_owned(), key.to_vec());
        if self.records.get(&id).is_some_and(|stored| stored.dies_at <= now) {
            self.forget(&id);
        }
        self.tick += 1;
        let dies_at = now.saturating_add(timeout_seconds.saturating_mul(1_000_000));
        let fresh = || Stored { variables: Table::default(), expires: HashMap::new(), dies_at, tick: 0, counted: 0 };
        let stored = self.records.entry(id.clone()).or_insert_with(fresh);
        stored.drop_expired(now);
        let refused = changes.iter().filter(|change| !stored.apply(change, now)).count();
        stored.dies_at = dies_at;
        let counted = stored.bytes() + 2 * (id.0.len() + id.1.len());
        self.bytes = self.bytes - std::mem::replace(&mut stored.counted, counted) + counted;
        self.by_age.remove(&stored.tick);
        stored.tick = self.tick;
        self.by_age.insert(self.tick, id);
        while self.records.len() > self.capacity || self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.forget(&oldest);
        }
        if refused == 0 { Ok(()) } else { Err("the record has too many variables".to_owned()) }
    }
}

impl Stored {
    fn drop_expired(&mut self, now: u64) {
        let dead: Vec<Vec<u8>> = self.expires.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
        for name in dead {
            self.variables.remove(&name);
            self.expires.remove(&name);
        }
    }

    fn bytes(&self) -> usize {
        let variables = self.variables.iter().map(|one| OVERHEAD_BYTES + 2 * one.name.len() + one.value.len());
        let expiries = self.expires.keys().map(|name| OVERHEAD_BYTES + name.len());
        OVERHEAD_BYTES + variables.sum::<usize>() + expiries.sum::<usize>()
    }

    fn apply(&mut self, change: &Change, now: u64) -> bool {
        match change {
            // A copy: the value may be a range of a whole request's memory.
            Change::Set(name, value) => self.variables.set(name, Bytes::copy_from_slice(value), limits::COLLECTION_VARIABLES_MAX),
            Change::Add(name, difference) => {
                let before = self.variables.get(name).map_or(0, |value| crate::value::integer(value));
                let after = before.saturating_add(*difference).max(0).to_string();
                self.variables.set(name, Bytes::from(after), limits::COLLECTION_VARIABLES_MAX)
            }
            Change::Remove(name) => {
                self.variables.remove(name);
                self.expires.remove(name.to_ascii_lowercase().as_slice());
                true
            }
            Change::ExpireAfter(name, seconds) => {
                self.expires.insert(name.to_ascii_lowercase(), now.saturating_add(seconds.saturating_mul(1_000_000)));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn additions_add_up_and_expired_variables_are_gone() {
        let mut store = MemoryCollections::default();
        let name = Bytes::from_static(b"Count");
        store.store("ip", b"a", &[Change::Add(name.clone(), 2)], 60, 0).expect("stored");
        store.store("ip", b"a", &[Change::Add(name.clone(), 3), Change::ExpireAfter(name, 10)], 60, 0).expect("stored");
        let record = store.load("ip", b"a", SECOND).expect("stored");
        assert!(!record.is_new);
        assert_eq!(record.variables.get(b"count").map(|v| v.as_ref()), Some(&b"5"[..]));
        assert!(store.load("ip", b"a", 11 * SECOND).expect("stored").variables.get(b"count").is_none());
        assert!(store.load("ip", b"a", 61 * SECOND).expect("stored").is_new);
        assert!(store.is_empty());
    }

    #[test]
    fn the_oldest_records_go_when_they_are_too_large_together() {
        let mut store = MemoryCollections::with_bounds(1_000, 100_000);
        let set = |bytes: usize| [Change::Set(Bytes::from_static(b"x"), vec![b'a'; bytes].into())];
        for key in 0..50_u8 {
            store.store("ip", &[key], &set(9_000), 60, 0).expect("stored");
            assert!(store.bytes() <= 100_000);
        }
        assert!((8..=11).contains(&store.len()), "{}", store.len());
        store.store("ip", b"large", &set(200_000), 60, 0).expect("stored, and gone at once");
        assert_eq!((store.len(), store.bytes()), (0, 0));
        store.store("ip", b"a", &set(90_000), 60, 0).expect("stored");
        store.store("ip", b"a", &[Change::Remove(Bytes::from_static(b"x"))], 60, 0).expect("stored");
        assert!(store.bytes() < 1_000, "what is removed no longer counts: {}", store.bytes());
    }

    #[test]
    fn the_oldest_record_goes_when_the_store_is_full() {
        let mut store = MemoryCollections::with_capacity(2);
        for key in [b"a", b"b", b"a", b"c"] {
            store.store("ip", key, &[], 60, 0).expect("stored");
        }
        assert_eq!(store.len(), 2);
        assert!(store.load("ip", b"b", 1).expect("stored").is_new);
        assert!(!store.load("ip", b"a", 1).expect("stored").is_new);
    }
}
