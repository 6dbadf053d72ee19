//! Captures: what an operator leaves in `TX:0` to `TX:9`.

/// How many captures there are, as in the manual's action `capture`: the whole and nine groups.
const CAPTURES_MAX: usize = 10;

/// Up to ten byte strings, numbered from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    values: Vec<Vec<u8>>,
}

impl Captures {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// Sets capture `index`; those below it that are not set yet become empty. Past the tenth nothing
    /// happens.
    pub fn set(&mut self, index: usize, value: &[u8]) {
        if index >= CAPTURES_MAX {
            return;
        }
        if self.values.len() <= index {
            self.values.resize(index + 1, Vec::new());
        }
        if let Some(slot) = self.values.get_mut(index) {
            slot.clear();
            slot.extend_from_slice(value);
        }
    }

    /// Appends a capture after the last one; past the tenth nothing happens.
    pub(super) fn push(&mut self, value: &[u8]) {
        self.set(self.values.len(), value);
    }

    /// Whether no more can be kept.
    pub(super) fn full(&self) -> bool {
        self.values.len() == CAPTURES_MAX
    }

    /// Capture `index`, where there is one.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.values.get(index).map(Vec::as_slice)
    }

    /// How many captures there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
