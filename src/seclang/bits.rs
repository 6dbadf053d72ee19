//! Sets of small numbers, a bit for each.

/// A set of numbers below a bound that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// An empty one for numbers below `bound`.
    pub(crate) fn below(bound: usize) -> Self {
        Bits(vec![0; bound.div_ceil(64)])
    }

    /// Empties it, and makes room for numbers below `bound`.
    pub(crate) fn reset(&mut self, bound: usize) {
        self.0.clear();
        self.0.resize(bound.div_ceil(64), 0);
    }

    /// Becomes the same as another one.
    pub(crate) fn copy(&mut self, other: &Bits) {
        self.0.clone_from(&other.0);
    }

    /// Adds a number; there is none from the bound on.
    pub(crate) fn insert(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Whether it has a number.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Whether it has any number of another one.
    pub(crate) fn meets(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).any(|(own, other)| own & other != 0)
    }

    /// The first number from `from` on.
    pub(crate) fn next(&self, from: usize) -> Option<usize> {
        let mut at = from / 64;
        let mut word = self.0.get(at)? & (u64::MAX << (from % 64));
        while word == 0 {
            at += 1;
            word = *self.0.get(at)?;
        }
        Some(at * 64 + word.trailing_zeros() as usize)
    }

    /// The last number from `from` on and below `to`.
    pub(crate) fn last(&self, from: usize, to: usize) -> Option<usize> {
        let mut at = to / 64;
        let mut word = self.0.get(at).map_or(0, |word| word & !(u64::MAX << (to % 64)));
        while word == 0 {
            at = at.checked_sub(1).filter(|at| *at >= from / 64)?;
            word = self.0.get(at).copied().unwrap_or(0);
        }
        Some(at * 64 + 63 - word.leading_zeros() as usize).filter(|last| *last >= from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    proptest::proptest! {
        #[test]
        fn it_is_a_set_of_numbers(numbers in proptest::collection::btree_set(0..300_usize, 0..20), from in 0..320_usize, to in 0..320_usize) {
            let mut bits = Bits::below(300);
            numbers.iter().for_each(|number| bits.insert(*number));
            let found: BTreeSet<usize> = (0..320).filter(|number| bits.has(*number)).collect();
            assert_eq!(found, numbers);
            assert_eq!(bits.next(from), numbers.range(from..).next().copied());
            assert_eq!(bits.last(from, to), if from < to { numbers.range(from..to).next_back().copied() } else { None });
            let mut copy = Bits::default();
            copy.copy(&bits);
            assert_eq!(copy.meets(&bits), !numbers.is_empty());
            assert!(!copy.meets(&Bits::default()));
            copy.reset(300);
            assert_eq!(copy, Bits::below(300));
        }
    }
}
