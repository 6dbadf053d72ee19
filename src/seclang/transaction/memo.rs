//! What was found out about values that come again and again, as browsers send them: a thread's memory from transaction to transaction.
//!
//! Only values of headers that hold no secrets are kept, and names of headers. A slot is found by a hash, one of two, and holds one text,
//! compared whole: whoever sends texts with the same hash only makes it forget.

use std::cell::RefCell;

use crate::limits::{MEMO_MADE_MAX, MEMO_REFUSED_MAX, MEMO_SLOTS, MEMO_TEXT_BYTES_MAX};
use crate::prefilter::Marks;
use crate::transform::Transformation;

thread_local! {
    static MEMO: RefCell<Memo> = const { RefCell::new(Memo { slots: Vec::new(), stamp: 0 }) };
}

/// The texts of a thread.
struct Memo {
    slots: Vec<Slot>,
    /// Counts texts that were put in.
    stamp: u64,
}

#[derive(Clone, Default)]
struct Slot {
    stamp: u64,
    /// See [`crate::prefilter::Scanner::id`].
    scanner: u64,
    text: Vec<u8>,
    marks: Marks,
    words: Vec<u64>,
    /// Links that do not match the text.
    refused: Vec<u32>,
    /// What transformations make of it; none where they leave it as it is.
    made: Vec<(Transformation, Option<Known>)>,
}

/// A text in the memory, as long as it is there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    slot: u32,
    /// Zero where there is none.
    stamp: u64,
}

impl Memo {
    /// The slot of a text: one of two, that which has it or else the older one.
    fn place(&self, first: usize, scanner: u64, text: &[u8]) -> usize {
        let second = first ^ 1;
        let (Some(one), Some(other)) = (self.slots.get(first), self.slots.get(second)) else { return first };
        let has = |slot: &Slot| slot.scanner == scanner && slot.text == text;
        if has(one) || !has(other) && one.stamp <= other.stamp { first } else { second }
    }

    /// The slot of a text, if it still has it.
    fn at(&self, known: Known) -> Option<&Slot> {
        self.slots.get(known.slot as usize).filter(|slot| slot.stamp == known.stamp)
    }

    fn at_mut(&mut self, known: Known) -> Option<&mut Slot> {
        self.slots.get_mut(known.slot as usize).filter(|slot| slot.stamp == known.stamp)
    }
}

/// The scanner's answer to a text: the one of an earlier transaction, or what `scan` appends to the words.
pub(super) fn scanned(scanner: u64, text: &[u8], words: &mut Vec<u64>, scan: impl FnOnce(&mut Vec<u64>) -> Marks) -> (Marks, Known) {
    if text.is_empty() || text.len() > MEMO_TEXT_BYTES_MAX {
        return (scan(words), Known::default());
    }
    MEMO.with_borrow_mut(|memo| {
        if memo.slots.is_empty() {
            memo.slots.resize(MEMO_SLOTS, Slot::default());
        }
        let at = memo.place(hash(text) as usize % MEMO_SLOTS, scanner, text);
        let Some(slot) = memo.slots.get_mut(at) else { return (scan(words), Known::default()) };
        if slot.scanner == scanner && slot.text == text {
            words.extend_from_slice(&slot.words);
        } else {
            let start = words.len();
            slot.marks = scan(words);
            slot.scanner = scanner;
            slot.text.clear();
            slot.text.extend_from_slice(text);
            slot.words.clear();
            slot.words.extend_from_slice(words.get(start..).unwrap_or_default());
            slot.refused.clear();
            slot.made.clear();
            memo.stamp += 1;
            slot.stamp = memo.stamp;
        }
        (slot.marks, Known { slot: at as u32, stamp: slot.stamp })
    })
}

/// Whether a link is known not to match a text.
pub(super) fn is_refused(known: Known, link: u32) -> bool {
    known.stamp != 0 && MEMO.with_borrow(|memo| memo.at(known).is_some_and(|slot| slot.refused.contains(&link)))
}

/// Remembers that a link does not match a text.
pub(super) fn refuse(known: Known, link: u32) {
    if known.stamp == 0 {
        return;
    }
    MEMO.with_borrow_mut(|memo| {
        if let Some(slot) = memo.at_mut(known)
            && slot.refused.len() < MEMO_REFUSED_MAX
        {
            slot.refused.push(link);
        }
    });
}

/// What a transformation made of a text in an earlier transaction.
pub(super) enum Made {
    /// Nothing else.
    Same,
    /// This text, of which the bytes and the words were appended.
    Other(Marks, Known),
}

/// What a transformation is known to make of a text; its bytes and words are appended to those given.
pub(super) fn made(known: Known, transformation: Transformation, bytes: &mut Vec<u8>, words: &mut Vec<u64>) -> Option<Made> {
    if known.stamp == 0 {
        return None;
    }
    MEMO.with_borrow(|memo| {
        let (_, made) = memo.at(known)?.made.iter().find(|(own, _)| *own == transformation)?;
        let Some(made) = *made else { return Some(Made::Same) };
        let slot = memo.at(made)?;
        bytes.extend_from_slice(&slot.text);
        words.extend_from_slice(&slot.words);
        Some(Made::Other(slot.marks, made))
    })
}

/// Remembers what a transformation made of a text: another that is in the memory too, or nothing else.
pub(super) fn remember(known: Known, transformation: Transformation, made: Option<Known>) {
    if known.stamp == 0 || made.is_some_and(|made| made.stamp == 0) {
        return;
    }
    MEMO.with_borrow_mut(|memo| {
        if let Some(slot) = memo.at_mut(known)
            && slot.made.len() < MEMO_MADE_MAX
        {
            slot.made.push((transformation, made));
        }
    });
}

/// Spreads texts over the slots; not against anybody.
pub(super) fn hash(text: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let (words, rest) = text.as_chunks::<8>();
    let hash = words.iter().fold(text.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(0, |last, byte| last << 8 | u64::from(*byte));
    mix(hash, last) >> 20
}
