//! Values as rules see them: named ranges into buffers the transaction owns, and tables whose names ignore case.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};

use crate::limits::{ARENA_PIECE_BYTES, ARENA_TEXT_BYTES_MAX};

/// A value: a range into a shared buffer, cheap to copy.
pub type Value = Bytes;

/// A value with the name it has inside its collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as it was sent.
    pub name: Bytes,
    /// The value.
    pub value: Value,
}

impl Entry {
    /// Puts the two together.
    pub fn new(name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Entry { name: name.into(), value: value.into() }
    }
}

/// Short texts that are made while a transaction runs, one behind the other in pieces of memory that they share.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    free: BytesMut,
}

impl Arena {
    /// One with room for so many bytes of short texts.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Arena { free: BytesMut::with_capacity(bytes) }
    }

    /// A copy of a text. What keeps it longer than the transaction has to copy it again, to let go of the piece.
    pub(crate) fn keep(&mut self, text: &[u8]) -> Bytes {
        if text.is_empty() || text.len() > ARENA_TEXT_BYTES_MAX {
            return Bytes::copy_from_slice(text);
        }
        if self.free.capacity() < text.len() {
            self.free = BytesMut::with_capacity(ARENA_PIECE_BYTES);
        }
        self.free.extend_from_slice(text);
        self.free.split().freeze()
    }
}

/// Named values with case-insensitive names: TX and the persistent collections. They are found by a hash of the name and listed in
/// the order of the lower-cased names.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: Vec<Entry>,
    /// Twice as many places as entries at least, a power of two: hash and place in `entries`, searched from the hash on.
    index: Vec<Option<(u32, u32)>>,
}

/// Places of the smallest index.
const INDEX_MIN: usize = 32;

impl Table {
    /// The value of a name.
    pub fn get(&self, name: &[u8]) -> Option<&Value> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The entry of a name, with the name as it was spelled first.
    pub fn entry(&self, name: &[u8]) -> Option<&Entry> {
        let (_, place) = self.find(name)?;
        self.entries.get(place)
    }

    /// Sets a value. False when the table is full (`capacity` entries) and the name is new.
    #[must_use]
    pub fn set(&mut self, name: &[u8], value: Value, capacity: usize) -> bool {
        self.put(name, hash(name), || Bytes::copy_from_slice(name), value, capacity)
    }

    /// The same with a name that can be shared, and its [`hash`].
    #[must_use]
    pub(crate) fn set_shared(&mut self, name: &Bytes, hash: u32, value: Value, capacity: usize) -> bool {
        self.put(name, hash, || name.clone(), value, capacity)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries in no order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Removes a name.
    pub fn remove(&mut self, name: &[u8]) {
        let Some((at, place)) = self.find(name) else { return };
        self.entries.swap_remove(place);
        self.vacate(at);
        // The last entry has taken the free place.
        if let Some(moved) = self.entries.get(place) {
            let hash = hash(&moved.name);
            let last = self.entries.len() as u32;
            let mut at = hash as usize;
            while let Some(slot) = self.slot_mut(at) {
                match slot {
                    Some((_, entry)) if *entry == last => {
                        *entry = place as u32;
                        return;
                    }
                    None => return,
                    Some(_) => at += 1,
                }
            }
        }
    }

    /// All entries, by lower-cased name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        let lower = |byte: &u8| byte.to_ascii_lowercase();
        entries.sort_by(|a, b| a.name.iter().map(lower).cmp(b.name.iter().map(lower)));
        entries.into_iter()
    }

    fn put(&mut self, name: &[u8], hash: u32, shared: impl FnOnce() -> Bytes, value: Value, capacity: usize) -> bool {
        if let Some((_, place)) = self.find_hashed(name, hash) {
            if let Some(entry) = self.entries.get_mut(place) {
                entry.value = value;
            }
            return true;
        }
        if self.entries.len() >= capacity {
            return false;
        }
        if self.entries.is_empty() {
            self.entries.reserve(INDEX_MIN / 2);
        }
        self.entries.push(Entry { name: shared(), value });
        if self.entries.len() * 2 > self.index.len() {
            self.index = vec![None; (self.index.len() * 2).max(INDEX_MIN)];
            for place in 0..self.entries.len() {
                self.file(place);
            }
        } else {
            self.file_hashed(self.entries.len() - 1, hash);
        }
        true
    }

    /// Puts an entry into the index.
    fn file(&mut self, place: usize) {
        let Some(hash) = self.entries.get(place).map(|entry| hash(&entry.name)) else { return };
        self.file_hashed(place, hash);
    }

    fn file_hashed(&mut self, place: usize, hash: u32) {
        let mut at = hash as usize;
        while let Some(slot) = self.slot_mut(at) {
            if slot.is_none() {
                *slot = Some((hash, place as u32));
                return;
            }
            at += 1;
        }
    }

    /// Where in the index a name is, and its entry.
    fn find(&self, name: &[u8]) -> Option<(usize, usize)> {
        if self.index.is_empty() { None } else { self.find_hashed(name, hash(name)) }
    }

    fn find_hashed(&self, name: &[u8], hash: u32) -> Option<(usize, usize)> {
        if self.index.is_empty() {
            return None;
        }
        let mut at = hash as usize;
        loop {
            at &= self.index.len() - 1;
            let (known, place) = (*self.index.get(at)?)?;
            let entry = self.entries.get(place as usize)?;
            if known == hash && entry.name.eq_ignore_ascii_case(name) {
                return Some((at, place as usize));
            }
            at += 1;
        }
    }

    /// Empties a place of the index and moves up what was pushed on by it.
    fn vacate(&mut self, at: usize) {
        let mask = self.index.len().wrapping_sub(1);
        let (mut free, mut next) = (at, at + 1);
        loop {
            next &= mask;
            let Some(Some((hash, place))) = self.index.get(next).copied() else { break };
            // It may move where it would still be found: not before the place its hash names.
            let distance = |to: usize| to.wrapping_sub(hash as usize) & mask;
            if distance(free) <= distance(next) {
                if let Some(slot) = self.index.get_mut(free) {
                    *slot = Some((hash, place));
                }
                free = next;
            }
            next += 1;
        }
        if let Some(slot) = self.index.get_mut(free) {
            *slot = None;
        }
    }

    fn slot_mut(&mut self, at: usize) -> Option<&mut Option<(u32, u32)>> {
        let mask = self.index.len().wrapping_sub(1);
        self.index.get_mut(at & mask)
    }
}

/// A hash that is the same for all cases of a name's letters. Its key differs from process to process, so that nobody can choose names
/// that collide.
pub(crate) fn hash(name: &[u8]) -> u32 {
    static KEY: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0) | 1);
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = *KEY ^ name.len() as u64;
    let mut mix = |eight: u64| {
        state = (state ^ (eight | 0x2020_2020_2020_2020)).wrapping_mul(SPREAD);
        state ^= state >> 29;
    };
    let (eights, rest) = name.as_chunks::<8>();
    eights.iter().for_each(|eight| mix(u64::from_le_bytes(*eight)));
    mix(rest.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
    (state.wrapping_mul(SPREAD) >> 32) as u32
}

/// Reads a number the way C's `atoi` does: blanks, a sign, digits, and whatever follows is ignored; nothing readable is zero.
pub fn integer(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let size =
        digits.iter().take_while(|b| b.is_ascii_digit()).fold(0_i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    if negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_ignore_case_and_a_full_table_says_so() {
        let mut table = Table::default();
        assert!(table.set(b"Score", Bytes::from_static(b"1"), 1));
        assert!(table.set(b"SCORE", Bytes::from_static(b"2"), 1));
        assert!(!table.set(b"other", Bytes::new(), 1));
        assert_eq!(table.get(b"sCore").map(|v| v.as_ref()), Some(&b"2"[..]));
        table.remove(b"score");
        assert!(table.get(b"score").is_none());
    }

    proptest::proptest! {
        #[test]
        fn a_table_is_a_sorted_map_of_lower_cased_names(steps in proptest::collection::vec(("[a-cA-C]{0,2}|[a-z]{9}|.{0,3}", 0..4_u8), 0..120)) {
            let (mut table, mut model) = (Table::default(), BTreeMap::<Vec<u8>, (Vec<u8>, u8)>::new());
            for (number, (name, action)) in steps.iter().enumerate() {
                let (name, lower) = (name.as_bytes(), name.as_bytes().to_ascii_lowercase());
                if *action == 0 {
                    table.remove(name);
                    model.remove(&lower);
                } else {
                    assert!(table.set(name, Bytes::from(vec![number as u8]), usize::MAX));
                    model.entry(lower).or_insert_with(|| (name.to_vec(), 0)).1 = number as u8;
                }
                for (lower, (_, value)) in &model {
                    assert_eq!(table.get(lower).map(|found| found.as_ref()), Some(&[*value][..]));
                }
                assert_eq!(table.get(b"never there"), None);
            }
            let listed: Vec<(Vec<u8>, u8)> = table.iter().map(|entry| (entry.name.to_vec(), entry.value[0])).collect();
            assert_eq!(listed, model.into_values().collect::<Vec<_>>());
        }
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(integer(b" 12abc"), 12);
        assert_eq!(integer(b"-3"), -3);
        assert_eq!(integer(b"abc"), 0);
        assert_eq!(integer(b"99999999999999999999"), i64::MAX);
    }
}
