//! Values as rules see them: named ranges into buffers the transaction owns, and tables whose names ignore case.

use std::collections::BTreeMap;

use bytes::Bytes;

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

/// Named values with case-insensitive names, in the order of the lower-cased names: TX and the persistent collections.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: BTreeMap<Bytes, Entry>,
}

impl Table {
    /// The value of a name.
    pub fn get(&self, name: &[u8]) -> Option<&Value> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The entry of a name, with the name as it was spelled first.
    pub fn entry(&self, name: &[u8]) -> Option<&Entry> {
        if name.iter().any(u8::is_ascii_uppercase) {
            return self.entries.get(name.to_ascii_lowercase().as_slice());
        }
        self.entries.get(name)
    }

    /// Sets a value. False when the table is full (`capacity` entries) and the name is new.
    #[must_use]
    pub fn set(&mut self, name: &[u8], value: Value, capacity: usize) -> bool {
        let key = name.to_ascii_lowercase();
        if let Some(entry) = self.entries.get_mut(key.as_slice()) {
            entry.value = value;
            return true;
        }
        if self.entries.len() >= capacity {
            return false;
        }
        self.entries.insert(key.into(), Entry::new(name.to_vec(), value));
        true
    }

    /// Removes a name.
    pub fn remove(&mut self, name: &[u8]) {
        self.entries.remove(name.to_ascii_lowercase().as_slice());
    }

    /// All entries, by lower-cased name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
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

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(integer(b" 12abc"), 12);
        assert_eq!(integer(b"-3"), -3);
        assert_eq!(integer(b"abc"), 0);
        assert_eq!(integer(b"99999999999999999999"), i64::MAX);
    }
}
