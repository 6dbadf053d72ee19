//! Looks for the clauses of all operators in one pass over a value.
//!
//! Of each text the rarest four bytes are looked for in a bitmap that fits into the first-level cache, those of texts of three bytes in
//! another; where they are found beside bytes that fit, the text itself is compared. Texts of two bytes are found in a table. Bytes are collected as marks, one for each
//! kind of byte that the clauses tell apart. Letters count in any case, so that lower-casing a value changes nothing in the answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::requirement::{Clause, Requirement};
use super::weight::{by_chance, three};

/// Clauses of an operator that are looked for: more hardly ever decide.
const SLOTS: usize = 3;

/// A clause that more ordinary values than this fulfil is not worth its work.
const CHANCE_MAX: f64 = 0.97;

/// Kinds of bytes that marks tell apart; what is left of 128 is the caller's.
const KINDS_MAX: usize = 96;

/// Lengths that are told apart; the last stands for all longer ones.
const LENGTHS: usize = 64;

/// Texts of two bytes that have a number of their own; zero is none, and those that are left share the last.
const PAIRS_MAX: usize = 255;

/// What a clause fulfils: words of slots, and bits of them.
type Fulfils = Box<[(u32, u64)]>;

/// Bits of a bitmap of keys.
const KEYS: usize = 1 << 16;

/// Which kinds of bytes a value holds: the lower 96 bits are the scanner's own, the upper 32 the caller's.
pub(crate) type Marks = u128;

/// All requirements of a set of operators, which are numbered in the order they came.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// No other scanner of the process has it.
    id: u64,
    /// Words of 64 operators.
    width: usize,
    /// For each byte its kind's mark and the caller's.
    marks: Box<[Marks; 256]>,
    /// For each byte its number among 128 in keys.
    folds: Box<[u8; 256]>,
    /// What the bytes of a kind fulfil.
    kinds: Vec<Fulfils>,
    /// Slots that are fulfilled without anything: those that an operator does not use.
    blank: Box<[u64]>,
    /// Operators that match values of at least that length.
    lengths: Vec<Box<[u64]>>,
    /// Operators of which nothing is known for values longer than that.
    endless: Vec<(usize, u32)>,
    /// For two folded bytes the number of their text.
    pairs: Box<[u8; 128 * 128]>,
    /// What the texts of two bytes fulfil, by their number.
    pair_fulfils: Vec<Fulfils>,
    threes: Keys,
    fours: Keys,
}

/// Texts by keys of so many of their bytes.
#[derive(Debug)]
struct Keys {
    length: usize,
    bits: Box<[u64; KEYS / 64]>,
    /// For each key that is there the number of its bucket.
    numbers: Box<[u16]>,
    buckets: Vec<Bucket>,
}

/// The texts of one key.
#[derive(Debug, Default)]
struct Bucket {
    /// Bytes that may stand before and behind the key, by the lower six bits of their numbers.
    before: u64,
    behind: u64,
    literals: Box<[Literal]>,
}

/// A text, found by a key of it.
#[derive(Clone, Debug)]
struct Literal {
    text: Box<[u8]>,
    /// How many bytes of the text stand behind the key.
    behind: usize,
    /// Slots and words that it fulfils.
    fulfils: Fulfils,
}

impl Scanner {
    /// Prepares the search. `caller` gives up to 32 marks of the caller's for a byte.
    pub(crate) fn new(requirements: &[Requirement], caller: impl Fn(u8) -> u32) -> Self {
        let width = requirements.len().div_ceil(64).max(1);
        let mut chosen: Vec<(usize, Clause)> = Vec::new();
        let mut blank = vec![u64::MAX; SLOTS * width];
        for (operator, requirement) in requirements.iter().enumerate() {
            // An examination is dear enough to ask for whatever it needs.
            let below = if requirement.longest < usize::MAX { f64::INFINITY } else { CHANCE_MAX };
            let clauses = by_chance(requirement.clauses.iter().map(in_any_case).collect(), below, SLOTS);
            for (slot, clause) in clauses.into_iter().enumerate() {
                let place = slot * width + operator / 64;
                if let Some(word) = blank.get_mut(place) {
                    *word &= !(1 << (operator % 64));
                }
                chosen.push((slot * width * 64 + operator, clause));
            }
        }
        let (marks, kinds) = kinds(&chosen, width, caller);
        let folds = folds();
        let texts = texts(&chosen);
        let (pairs, pair_fulfils) = pairs(&texts, &folds);
        let threes = Keys::new(texts.iter().filter(|(text, _)| text.len() == 3), 3, &folds);
        let fours = Keys::new(texts.iter().filter(|(text, _)| text.len() > 3), 4, &folds);
        let lengths = (0..LENGTHS).map(|length| bits(requirements, width, |one| one.shortest.min(LENGTHS - 1) <= length)).collect();
        let long = |(number, one): (usize, &Requirement)| (one.longest < usize::MAX).then_some((one.longest, number as u32));
        let endless = requirements.iter().enumerate().filter_map(long).collect();
        static SCANNERS: AtomicU64 = AtomicU64::new(1);
        let id = SCANNERS.fetch_add(1, Relaxed);
        Scanner { id, width, marks, folds, kinds, blank: blank.into(), lengths, endless, pairs, pair_fulfils, threes, fours }
    }

    /// A number that no other scanner of the process has.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// How many words of 64 operators an answer has.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Scans a value and appends its answer to `out`: a bit for each operator that may match. `scratch` is any buffer.
    pub(crate) fn scan(&self, value: &[u8], scratch: &mut Vec<u64>, out: &mut Vec<u64>) -> Marks {
        scratch.clear();
        scratch.extend_from_slice(&self.blank);
        self.pass(value, scratch);
        let marks = self.marks(value);
        for (base, half) in [(0, marks as u64), (64, (marks >> 64) as u64 & ((1 << (KINDS_MAX - 64)) - 1))] {
            let mut left = half;
            while left != 0 {
                fulfil(scratch, self.kinds.get(base + left.trailing_zeros() as usize).map_or(&[][..], |kind| kind));
                left &= left - 1;
            }
        }
        let start = out.len();
        let (first, rest) = scratch.split_at(self.width.min(scratch.len()));
        let (second, third) = rest.split_at(self.width.min(rest.len()));
        let length = self.lengths.get(value.len().min(LENGTHS - 1)).map_or(&[][..], |row| row);
        let words = first.iter().zip(second).zip(third).zip(length);
        out.extend(words.map(|(((a, b), c), d)| a & b & c & d));
        for (longest, operator) in &self.endless {
            if value.len() > *longest
                && let Some(word) = out.get_mut(start + *operator as usize / 64)
            {
                *word |= 1 << (operator % 64);
            }
        }
        marks
    }

    /// The marks of the value's bytes.
    pub(crate) fn marks(&self, value: &[u8]) -> Marks {
        value.iter().fold(0, |marks, byte| marks | self.marks[usize::from(*byte)])
    }

    /// What the texts in the value fulfil goes to `slots`.
    fn pass(&self, value: &[u8], slots: &mut [u64]) {
        let mut four = 0_u32;
        for (at, byte) in value.iter().enumerate() {
            four = (four << 7 | u32::from(self.folds[usize::from(*byte)] & 127)) & 0xFFF_FFFF;
            let pair = self.pairs[four as usize & 0x3FFF];
            if pair != 0 {
                self.found_pair(pair, slots);
            }
            let key = key(four);
            if self.fours.bits[key / 64] >> (key % 64) & 1 == 1 {
                self.found(&self.fours, key, (value, at), slots);
            }
            let key = self::key(four & 0x1F_FFFF);
            if self.threes.bits[key / 64] >> (key % 64) & 1 == 1 {
                self.found(&self.threes, key, (value, at), slots);
            }
        }
    }

    #[inline(never)]
    fn found_pair(&self, pair: u8, slots: &mut [u64]) {
        fulfil(slots, self.pair_fulfils.get(usize::from(pair)).map_or(&[][..], |fulfils| fulfils));
    }

    /// The bytes up to `at` have the key of some texts: compares these.
    #[inline(never)]
    fn found(&self, keys: &Keys, key: usize, (value, at): (&[u8], usize), slots: &mut [u64]) {
        let Some(bucket) = keys.numbers.get(key).and_then(|number| keys.buckets.get(usize::from(*number))) else { return };
        let fold = |at: Option<usize>| at.and_then(|at| value.get(at)).map_or(0, |byte| self.folds[usize::from(*byte)] & 63);
        if bucket.before >> fold(at.checked_sub(keys.length)) & bucket.behind >> fold(Some(at + 1)) & 1 == 0 {
            return;
        }
        for literal in &bucket.literals {
            let end = at + 1 + literal.behind;
            let there = end.checked_sub(literal.text.len()).and_then(|start| value.get(start..end));
            #[cfg(test)]
            LOOKS.with(|looks| looks.set(looks.get() + literal.text.len()));
            if there.is_some_and(|there| there.iter().zip(&literal.text).all(|(byte, wanted)| byte.to_ascii_lowercase() == *wanted)) {
                fulfil(slots, &literal.fulfils);
            }
        }
    }
}

#[cfg(test)]
thread_local! {
    /// Bytes of texts that were compared, for the test of linear work.
    pub(super) static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The clause with its bytes in both cases.
fn in_any_case(clause: &Clause) -> Clause {
    let mut clause = clause.clone();
    for byte in clause.bytes.iter() {
        clause.bytes.insert(byte.to_ascii_lowercase());
        clause.bytes.insert(byte.to_ascii_uppercase());
    }
    clause
}

fn fulfil(slots: &mut [u64], fulfils: &[(u32, u64)]) {
    for (place, bits) in fulfils {
        if let Some(word) = slots.get_mut(*place as usize) {
            *word |= bits;
        }
    }
}

/// The place of three or four folded bytes in a bitmap.
fn key(bytes: u32) -> usize {
    (bytes.wrapping_mul(0x9E37_79B1) >> 16) as usize % KEYS
}

fn bits(requirements: &[Requirement], width: usize, holds: impl Fn(&Requirement) -> bool) -> Box<[u64]> {
    let mut words = vec![0_u64; width];
    for (number, requirement) in requirements.iter().enumerate() {
        if let (true, Some(word)) = (holds(requirement), words.get_mut(number / 64)) {
            *word |= 1 << (number % 64);
        }
    }
    words.into()
}

/// The kinds of bytes, and for each byte its marks. A place is slot times width times 64 plus operator.
fn kinds(chosen: &[(usize, Clause)], width: usize, caller: impl Fn(u8) -> u32) -> (Box<[Marks; 256]>, Vec<Fulfils>) {
    let mut marks = Box::new([0; 256]);
    let mut rows: Vec<Box<[u64]>> = Vec::new();
    for byte in 0..=u8::MAX {
        let mut row = vec![0_u64; SLOTS * width];
        for (place, _) in chosen.iter().filter(|(_, clause)| clause.bytes.contains(byte)) {
            if let Some(word) = row.get_mut(place / 64) {
                *word |= 1 << (place % 64);
            }
        }
        let mut mark = u128::from(caller(byte)) << KINDS_MAX;
        if row.iter().any(|word| *word != 0) {
            let kind = rows.iter().position(|known| known.as_ref() == row.as_slice()).unwrap_or(rows.len());
            if kind < KINDS_MAX {
                mark |= 1 << kind;
                if kind == rows.len() {
                    rows.push(row.into());
                }
            } else if let Some(shared) = rows.last_mut() {
                // One kind for all that is left: it fulfils what any of them does.
                shared.iter_mut().zip(&row).for_each(|(word, more)| *word |= more);
                mark |= 1 << (KINDS_MAX - 1);
            }
        }
        marks[usize::from(byte)] = mark;
    }
    let sparse = |row: &[u64]| (0_u32..).zip(row).filter(|(_, bits)| **bits != 0).map(|(place, bits)| (place, *bits)).collect();
    let kinds = rows.iter().map(|row| sparse(row)).collect();
    (marks, kinds)
}

/// Numbers below 128 for bytes: ASCII as it is, letters in lower case; other bytes share the places of the capitals.
fn folds() -> Box<[u8; 256]> {
    let mut folds = Box::new([0; 256]);
    for byte in 0..=u8::MAX {
        folds[usize::from(byte)] = if byte.is_ascii() { byte.to_ascii_lowercase() } else { b'A' + byte % 26 };
    }
    folds
}

/// Each text once, with all slots and words that it fulfils.
type Texts<'a> = BTreeMap<&'a [u8], Fulfils>;

fn texts(chosen: &[(usize, Clause)]) -> Texts<'_> {
    let mut texts = BTreeMap::<&[u8], BTreeMap<u32, u64>>::new();
    for (place, clause) in chosen {
        for text in &clause.literals {
            *texts.entry(text).or_default().entry((place / 64) as u32).or_default() |= 1 << (place % 64);
        }
    }
    texts.into_iter().map(|(text, fulfils)| (text, fulfils.into_iter().collect())).collect()
}

type Pairs = (Box<[u8; 128 * 128]>, Vec<Fulfils>);

/// The numbers of texts of two bytes, and what each number fulfils. Texts that fold alike have one number.
fn pairs(texts: &Texts<'_>, folds: &[u8; 256]) -> Pairs {
    let mut numbers = Box::new([0_u8; 128 * 128]);
    let mut fulfils = vec![BTreeMap::<u32, u64>::new()];
    for (text, fulfilled) in texts {
        let [first, second] = text else { continue };
        let place = usize::from(folds[usize::from(*first)]) << 7 | usize::from(folds[usize::from(*second)]);
        if numbers[place] == 0 {
            if fulfils.len() <= PAIRS_MAX {
                fulfils.push(BTreeMap::new());
            }
            numbers[place] = (fulfils.len() - 1) as u8;
        }
        if let Some(known) = fulfils.get_mut(usize::from(numbers[place])) {
            fulfilled.iter().for_each(|(place, bits)| *known.entry(*place).or_default() |= bits);
        }
    }
    (numbers, fulfils.into_iter().map(|fulfils| fulfils.into_iter().collect()).collect())
}

impl Keys {
    /// Each text under its rarest key.
    fn new<'a>(texts: impl Iterator<Item = (&'a &'a [u8], &'a Fulfils)>, length: usize, folds: &[u8; 256]) -> Self {
        let mut filled = BTreeMap::<usize, (Bucket, Vec<Literal>)>::new();
        let fold = |byte: &u8| u32::from(folds[usize::from(*byte)]);
        // Anything may stand where a text ends with its key.
        let bit = |byte: Option<&u8>| byte.map_or(u64::MAX, |byte| 1 << (fold(byte) & 63));
        for (text, fulfils) in texts {
            let chance = |window: &[u8]| window.windows(3).map(three).fold(f64::MAX, f64::min);
            let rarest = text.windows(length).enumerate().min_by(|(_, a), (_, b)| chance(a).total_cmp(&chance(b)));
            let Some((start, window)) = rarest else { continue };
            let key = key(window.iter().fold(0, |key, byte| key << 7 | fold(byte)));
            let (bucket, literals) = filled.entry(key).or_default();
            bucket.before |= bit(start.checked_sub(1).and_then(|before| text.get(before)));
            bucket.behind |= bit(text.get(start + length));
            literals.push(Literal { text: (*text).into(), behind: text.len() - start - length, fulfils: fulfils.clone() });
        }
        let mut bits = Box::new([0_u64; KEYS / 64]);
        let mut numbers = vec![0; KEYS].into_boxed_slice();
        for (number, key) in filled.keys().enumerate() {
            bits[key / 64] |= 1 << (key % 64);
            // There are as many keys as numbers.
            numbers[*key] = number as u16;
        }
        let buckets = filled.into_values().map(|(bucket, literals)| Bucket { literals: literals.into(), ..bucket }).collect();
        Keys { length, bits, numbers, buckets }
    }
}
