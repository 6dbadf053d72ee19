//! Captures: what an operator leaves in `TX:0` to `TX:9`.

use std::ops::Range;

/// How many captures there are, as in the manual's action `capture`: the whole and nine groups.
const CAPTURES_MAX: usize = 10;

/// Up to ten byte strings, numbered from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// One behind the other.
    bytes: Vec<u8>,
    /// Where each ends; zero behind the last one.
    ends: [usize; CAPTURES_MAX],
    count: usize,
}

impl Captures {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.ends, self.count) = ([0; CAPTURES_MAX], 0);
    }

    /// Sets capture `index`; those below it that are not set yet become empty. Past the tenth nothing
    /// happens.
    pub fn set(&mut self, index: usize, value: &[u8]) {
        if index >= CAPTURES_MAX {
            return;
        }
        let end = self.bytes.len();
        if index >= self.count {
            self.ends.iter_mut().take(index).skip(self.count).for_each(|own| *own = end);
            self.count = index + 1;
            self.bytes.extend_from_slice(value);
        } else {
            let range = self.range(index);
            let (before, after) = (range.len(), value.len());
            self.bytes.splice(range, value.iter().copied());
            self.ends.iter_mut().take(self.count).skip(index + 1).for_each(|own| *own = *own + after - before);
        }
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        if let Some(own) = self.ends.get_mut(index) {
            *own = start + value.len();
        }
    }

    /// The bytes of a capture.
    fn range(&self, index: usize) -> Range<usize> {
        let end = |index: usize| self.ends.get(index).copied().unwrap_or(0);
        index.checked_sub(1).map_or(0, end)..end(index)
    }

    /// Appends a capture after the last one; past the tenth nothing happens.
    pub(super) fn push(&mut self, value: &[u8]) {
        self.set(self.count, value);
    }

    /// Whether no more can be kept.
    pub(super) fn full(&self) -> bool {
        self.count == CAPTURES_MAX
    }

    /// Capture `index`, where there is one.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if index >= self.count {
            return None;
        }
        self.bytes.get(self.range(index))
    }

    /// How many captures there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn captures_are_ten_byte_strings_set_in_any_order(steps in proptest::collection::vec((0..12_usize, "[a-c]{0,4}"), 0..30)) {
            let (mut captures, mut model) = (Captures::default(), Vec::<String>::new());
            for (index, value) in &steps {
                captures.set(*index, value.as_bytes());
                if *index < CAPTURES_MAX {
                    model.resize(model.len().max(index + 1), String::new());
                    model[*index].clone_from(value);
                }
                for index in 0..12 {
                    assert_eq!(captures.get(index), model.get(index).map(String::as_bytes));
                }
                assert_eq!((captures.len(), captures.is_empty(), captures.full()), (model.len(), model.is_empty(), model.len() == 10));
            }
            captures.clear();
            assert_eq!(captures, Captures::default());
        }
    }
}
