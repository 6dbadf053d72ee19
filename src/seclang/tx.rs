//! TX: the variables that rules name have numbered places, whatever else is written stands in a table.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use crate::value::{Entry, Table, hash};

/// The names of TX that rules mention, numbered when they are loaded, without regard to the case of letters.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// As they were spelled first.
    spelled: Vec<Bytes>,
    /// A power of two of slots: hash and place, searched from the hash on.
    index: Vec<Option<(u32, u32)>>,
    /// For each pattern that rules pick variables with, the places whose names it is found in.
    patterns: Vec<(Arc<str>, Vec<u32>)>,
}

impl Names {
    /// Numbers the names in the order they come.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut own = Names { spelled: Vec::new(), index: vec![None; 64], patterns: Vec::new() };
        for name in names {
            if own.find(name).is_none() {
                own.spelled.push(Bytes::copy_from_slice(name));
                if own.spelled.len() * 4 > own.index.len() {
                    own.index = vec![None; own.index.len() * 2];
                    (0..own.spelled.len()).for_each(|place| own.file(place));
                } else {
                    own.file(own.spelled.len() - 1);
                }
            }
        }
        own
    }

    fn file(&mut self, place: usize) {
        let Some(hash) = self.spelled.get(place).map(|name| hash(name)) else { return };
        let mask = self.index.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(slot) = self.index.get_mut(at) {
            if slot.is_none() {
                *slot = Some((hash, place as u32));
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Remembers which of the names a pattern is found in.
    pub(crate) fn pattern(&mut self, text: &Arc<str>, picks: impl Fn(&[u8]) -> bool) {
        if self.patterns.iter().all(|(known, _)| known != text) {
            let places = (0_u32..).zip(&self.spelled).filter(|(_, name)| picks(name)).map(|(place, _)| place).collect();
            self.patterns.push((text.clone(), places));
        }
    }

    /// The place of a name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        self.find_hashed(name, hash(name))
    }

    fn find_hashed(&self, name: &[u8], hash: u32) -> Option<u32> {
        let mask = self.index.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let (known, place) = (*self.index.get(at)?)?;
            if known == hash && self.spelled.get(place as usize)?.eq_ignore_ascii_case(name) {
                return Some(place);
            }
            at = (at + 1) & mask;
        }
    }

    /// How a place's name is spelled where nobody has spelled it differently.
    pub(crate) fn name(&self, place: u32) -> Option<&Bytes> {
        self.spelled.get(place as usize)
    }
}

/// The first places are those of `TX:0` to `TX:9`.
pub(crate) const CAPTURES: u32 = 10;

/// Variables that there is room for at once: the Core Rule Set sets some sixty in every transaction.
const VALUES: usize = 96;

/// What a rule does to TX.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Names and values, in their order.
    pub(crate) sets: Vec<(Bytes, Bytes)>,
    /// There are new captures.
    pub(crate) has_captures: bool,
}

/// What TX may begin with.
#[derive(Debug)]
pub(crate) struct Start {
    places: Vec<u32>,
    /// The places of the values, in the same order.
    filled: Box<[u32]>,
    values: Arc<[Bytes]>,
    odd: Vec<(u32, Bytes)>,
    captured: u32,
}

/// The variables of one transaction's TX.
#[derive(Debug, Default)]
pub(crate) struct Tx {
    names: Arc<Names>,
    /// For each place where in `values` its value is, from one; zero is none.
    places: Vec<u32>,
    values: Vec<Bytes>,
    /// Values that were there from the start: places count them first.
    first: Arc<[Bytes]>,
    /// Where in `values` there is nothing any more, as places count.
    free: Vec<u32>,
    /// Places whose names were spelled differently when they were set.
    odd: Vec<(u32, Bytes)>,
    /// The places of captures behind this one have no value.
    captured: u32,
    /// What is set by name, where somebody wants to know.
    pub(crate) journal: Option<Journal>,
    filled: usize,
    others: Table,
    /// Counts what is done to places.
    changes: u32,
}

impl Tx {
    /// An empty one.
    pub(crate) fn new(names: Arc<Names>) -> Self {
        let places = vec![0; names.spelled.len()];
        Tx { names, places, ..Tx::default() }
    }

    /// Whether it holds what it would hold if it had begun so.
    pub(crate) fn is(&self, start: &Start) -> bool {
        self.filled == start.values.len()
            && self.others.entries().is_empty()
            && self.captured == start.captured
            && self.journal.is_none()
            && self.odd == start.odd
            && start.filled.iter().zip(start.values.iter()).all(|(place, value)| self.at(*place) == Some(value))
    }

    /// What an empty one may begin with, to be the same. None where there are variables that rules do not name.
    pub(crate) fn start(&self) -> Option<Start> {
        if !self.others.entries().is_empty() || self.journal.is_some() {
            return None;
        }
        let mut values = Vec::with_capacity(self.filled);
        let place = |place: u32| {
            self.at(place).map_or(0, |value| {
                values.push(value.clone());
                values.len() as u32
            })
        };
        let places: Vec<u32> = (0..self.places.len() as u32).map(place).collect();
        let filled = (0..).zip(&places).filter(|(_, at)| **at != 0).map(|(place, _)| place).collect();
        Some(Start { places, filled, values: values.into(), odd: self.odd.clone(), captured: self.captured })
    }

    /// Begins with some variables.
    pub(crate) fn begin(&mut self, start: &Start) {
        self.places.clone_from(&start.places);
        self.odd.clone_from(&start.odd);
        self.values.clear();
        self.free.clear();
        self.first = Arc::clone(&start.values);
        (self.filled, self.captured) = (self.first.len(), start.captured);
    }

    /// The value of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Bytes> {
        match self.names.find(name) {
            Some(place) => self.at(place),
            None => self.others.get(name),
        }
    }

    /// The value at a place.
    pub(crate) fn at(&self, place: u32) -> Option<&Bytes> {
        let at = self.places.get(place as usize)?.checked_sub(1)? as usize;
        match at.checked_sub(self.first.len()) {
            None => self.first.get(at),
            Some(own) => self.values.get(own),
        }
    }

    /// A number that is another one after any change of what is at a place.
    pub(crate) fn changes(&self) -> u32 {
        self.changes
    }

    /// Whether the name at a place was not spelled differently when it was set.
    pub(crate) fn is_spelled_as_numbered(&self, place: u32) -> bool {
        self.odd.iter().all(|(odd, _)| *odd != place)
    }

    /// The name at a place as it was spelled when it was set.
    pub(crate) fn spelled(&self, place: u32) -> Option<&Bytes> {
        self.odd.iter().find(|(odd, _)| *odd == place).map(|(_, name)| name).or_else(|| self.names.name(place))
    }

    /// The name as it was spelled first, and its value.
    pub(crate) fn entry(&self, name: &[u8]) -> Option<Entry> {
        match self.names.find(name) {
            Some(place) => self.entry_at(place),
            None => self.others.entry(name).cloned(),
        }
    }

    fn entry_at(&self, place: u32) -> Option<Entry> {
        Some(Entry { value: self.at(place)?.clone(), name: self.spelled(place)?.clone() })
    }

    /// Sets a value. False where there are `capacity` variables and the name is new.
    #[must_use]
    pub(crate) fn set(&mut self, name: &Bytes, value: Bytes, capacity: usize) -> bool {
        if let Some(journal) = &mut self.journal {
            journal.sets.push((name.clone(), value.clone()));
        }
        self.set_hashed(name, hash(name), value, capacity)
    }

    /// How many variables there are.
    pub(crate) fn len(&self) -> usize {
        self.filled + self.others.len()
    }

    /// The same as [`Self::set`], with the [`hash`] of the name.
    #[must_use]
    pub(crate) fn set_hashed(&mut self, name: &Bytes, hash: u32, value: Bytes, capacity: usize) -> bool {
        match self.names.find_hashed(name, hash) {
            Some(place) => {
                let own = self.names.name(place).is_some_and(|own| own == name);
                self.set_at(place, (!own).then_some(name), value, capacity)
            }
            None => self.others.set_shared(name, hash, value, capacity.saturating_sub(self.filled)),
        }
    }

    /// Sets the value at a place, whose name is spelled in its own way if at all.
    #[must_use]
    pub(crate) fn set_at(&mut self, place: u32, odd: Option<&Bytes>, value: Bytes, capacity: usize) -> bool {
        let Some(at) = self.places.get_mut(place as usize) else { return false };
        self.changes = self.changes.wrapping_add(1);
        if place < CAPTURES {
            self.captured = self.captured.max(place + 1);
        }
        let first = self.first.len();
        if let Some(own) = at.checked_sub(1) {
            if let Some(slot) = (own as usize).checked_sub(first).and_then(|own| self.values.get_mut(own)) {
                *slot = value;
                return true;
            }
            // What is from the start stays where it is, and nobody looks there any more.
        } else if self.filled + self.others.len() >= capacity {
            return false;
        } else {
            self.filled += 1;
            self.odd.extend(odd.map(|name| (place, name.clone())));
        }
        match self.free.pop() {
            Some(free) => {
                *at = free + 1;
                if let Some(slot) = (free as usize).checked_sub(first).and_then(|own| self.values.get_mut(own)) {
                    *slot = value;
                }
            }
            None => {
                if self.values.capacity() == 0 {
                    self.values.reserve(VALUES);
                }
                self.values.push(value);
                *at = (first + self.values.len()) as u32;
            }
        }
        true
    }

    /// Removes a name.
    pub(crate) fn remove(&mut self, name: &[u8]) {
        match self.names.find(name) {
            Some(place) => self.remove_at(place),
            None => self.others.remove(name),
        }
    }

    /// Removes what is at a place.
    pub(crate) fn remove_at(&mut self, place: u32) {
        let Some(at) = self.places.get_mut(place as usize).and_then(|at| std::mem::take(at).checked_sub(1)) else { return };
        self.changes = self.changes.wrapping_add(1);
        if let Some(slot) = (at as usize).checked_sub(self.first.len()).and_then(|own| self.values.get_mut(own)) {
            *slot = Bytes::new();
            self.free.push(at);
        }
        self.filled -= 1;
        self.odd.retain(|(odd, _)| *odd != place);
    }

    /// Removes the captures from a place on.
    pub(crate) fn remove_captures(&mut self, from: u32) {
        (from..self.captured).for_each(|place| self.remove_at(place));
        self.captured = self.captured.min(from);
    }

    /// All variables, by lower-cased name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.matching(None, |_| true)
    }

    /// The variables whose names are wanted, by lower-cased name.
    pub(crate) fn matching(&self, pattern: Option<&Arc<str>>, wanted: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        let mut found = Vec::new();
        self.each_matching(pattern, wanted, |name, value| found.push((name, value)));
        found.sort_by(|a, b| by_lower_case(a.0, b.0));
        found.into_iter()
    }

    /// The same in no order. Where the rules know the pattern that wants them, only what they do not name is asked.
    pub(crate) fn each_matching<'a>(
        &'a self,
        pattern: Option<&Arc<str>>,
        wanted: impl Fn(&[u8]) -> bool,
        mut visit: impl FnMut(&'a Bytes, &'a Bytes),
    ) {
        let known = pattern.and_then(|pattern| self.names.patterns.iter().find(|(text, _)| text == pattern));
        let mut place = |place: u32, is_known: bool| {
            if let (Some(name), Some(value)) = (self.spelled(place), self.at(place))
                && (is_known || wanted(name))
            {
                visit(name, value);
            }
        };
        match known {
            Some((_, places)) => {
                places.iter().filter(|place| self.is_spelled_as_numbered(**place)).for_each(|own| place(*own, true));
                self.odd.iter().for_each(|(odd, _)| place(*odd, false));
            }
            None => (0..self.places.len() as u32).for_each(|own| place(own, false)),
        }
        let others = self.others.entries().iter().filter(|entry| wanted(&entry.name));
        others.for_each(|entry| visit(&entry.name, &entry.value));
    }
}

/// Compares names without regard to the case of letters.
pub(crate) fn by_lower_case(a: &[u8], b: &[u8]) -> Ordering {
    // Names of a kind begin alike.
    let same = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0).take_while(|(a, b)| a == b).count() * 8;
    for (a, b) in a.iter().zip(b).skip(same) {
        if a != b {
            let order = a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase());
            if order != Ordering::Equal {
                return order;
            }
        }
    }
    a.len().cmp(&b.len())
}

/// A number in decimal. Small ones are not made anew.
pub(crate) fn decimal(number: i64) -> Bytes {
    const SMALL: usize = 1_000;
    static DIGITS: LazyLock<Bytes> = LazyLock::new(|| (0..SMALL).map(|number| format!("{number:<4}")).collect::<String>().into());
    match usize::try_from(number) {
        Ok(small) if small < 10 => Bytes::from_static(b"0123456789".get(small..=small).unwrap_or_default()),
        Ok(small) if small < SMALL => DIGITS.slice(small * 4..small * 4 + if small < 100 { 2 } else { 3 }),
        _ => number.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    proptest::proptest! {
        #[test]
        fn tx_is_a_sorted_map_of_lower_cased_names(steps in proptest::collection::vec(("[a-cA-C]{0,2}|[a-z]{9}|.{0,3}", 0..4_u8), 0..120)) {
            let mut names = Names::new([&b"a"[..], b"B", b"ab", b"A", b"Cc"].into_iter());
            let (text, picks) = (Arc::from("b"), |name: &[u8]| name.contains(&b'b'));
            names.pattern(&text, picks);
            let names = Arc::new(names);
            let (mut tx, mut model) = (Tx::new(Arc::clone(&names)), BTreeMap::<Vec<u8>, (Vec<u8>, u8)>::new());
            for (number, (name, action)) in steps.iter().enumerate() {
                let (name, lower) = (Bytes::copy_from_slice(name.as_bytes()), name.as_bytes().to_ascii_lowercase());
                if *action == 0 {
                    tx.remove(&name);
                    model.remove(&lower);
                } else {
                    let room = *action > 1 || model.contains_key(&lower);
                    let capacity = model.len() + usize::from(room);
                    assert_eq!(tx.set(&name, Bytes::from(vec![number as u8]), capacity), room);
                    if room {
                        model.entry(lower).or_insert_with(|| (name.to_vec(), 0)).1 = number as u8;
                    }
                }
                // What it begins with instead is the same.
                if number == steps.len() / 2 && let Some(start) = tx.start() {
                    tx = Tx::new(Arc::clone(&names));
                    assert!(!tx.is(&start) || model.is_empty());
                    tx.begin(&start);
                    assert!(tx.is(&start));
                }
                for (lower, (spelled, value)) in &model {
                    let entry = tx.entry(lower).expect("it was set");
                    assert_eq!((entry.name.to_vec(), entry.value.to_vec()), (spelled.clone(), vec![*value]));
                    assert_eq!(tx.get(spelled).map(|value| value.to_vec()), Some(vec![*value]));
                }
            }
            let listed: Vec<(Vec<u8>, u8)> = tx.iter().map(|(name, value)| (name.to_vec(), value[0])).collect();
            assert_eq!(&listed, &model.into_values().collect::<Vec<_>>());
            let picked: Vec<Vec<u8>> = tx.matching(Some(&text), picks).map(|(name, _)| name.to_vec()).collect();
            assert_eq!(picked, listed.into_iter().map(|(name, _)| name).filter(|name| picks(name)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in (-20..1_200).chain([i64::MIN, i64::MAX]) {
            assert_eq!(decimal(number), number.to_string());
        }
    }
}
