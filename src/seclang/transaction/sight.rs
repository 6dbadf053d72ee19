//! What the matching plan has seen of a transaction's values: each chain of transformations applied once, each text scanned once.

mod blocks;
mod columns;
mod common;
mod texts;

use std::cell::RefCell;

use bytes::Bytes;

use common::Common;
pub(crate) use common::Recalled;
use texts::{Step, Text};

use super::Transaction;
use crate::bits::Bits;
use crate::limits;
use crate::prefilter::Marks;
use crate::ruleset::{Book, Column, Group, View};
use crate::value::Entry;

/// The state of one book's columns, units and views. What was found out carries the number of the phase it holds for, so that nothing
/// has to be emptied for the next one, and buffers go on from transaction to transaction of a thread.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    /// None where nothing is of use any more.
    book: Option<usize>,
    /// What the head's columns were filled from.
    head: u32,
    /// Counts phases over all transactions.
    now: u64,
    /// Since when the head's columns hold.
    head_since: u64,
    /// The scanner in use, and for each book the one that the last transaction needed at least.
    tier: usize,
    needed: [usize; 2],
    width: usize,
    /// All values, and those that are not common: see [`FULL`] and [`THIN`].
    sides: [Side; 2],
    views: Vec<Viewed>,
    sets: Vec<Set>,
    /// What is known of the head's common values.
    common: Common,
    texts: Vec<Text>,
    /// What became of texts behind a transformation.
    steps: Vec<Step>,
    /// Answers of the scanner: what may match a text, or any text of a column, a unit or a view. The first ones are [`BLANK`].
    words: Vec<u64>,
    /// The texts that transformations made.
    bytes: Vec<u8>,
    scratch: Vec<u64>,
    todo: Vec<(u32, u32)>,
    /// Items of all columns.
    items: usize,
    /// Columns that hold values of their own.
    picked: Vec<u32>,
    /// Room for the stops that may match.
    pub(crate) hits: Bits,
    /// Bytes that were scanned or transformed, to be paid for with fuel.
    pub(crate) work: usize,
}

/// Columns and units with all of their values, or without the common ones.
#[derive(Debug, Default)]
struct Side {
    /// Columns, as bits, of which what was looked up still holds.
    fresh: u64,
    /// Those that have values, and those that have values on this side.
    live: u64,
    own: u64,
    columns: Vec<Filled>,
    units: Vec<Seen>,
}

/// The side of a column's or a unit's whole values.
const FULL: usize = 0;

/// The side of those values of request headers that are not common; no other columns have one.
const THIN: usize = 1;

/// A column that may have been looked up.
#[derive(Debug, Default)]
struct Filled {
    since: u64,
    marks: Marks,
    /// Where in `words` the operators stand that may match any of its texts.
    words: u32,
    items: Vec<Item>,
    picked: Vec<Entry>,
}

/// A value of a column.
#[derive(Clone, Copy, Debug)]
struct Item {
    /// Its place in the column's source.
    index: u32,
    text: u32,
}

/// A unit that may have been looked at, where its chain may change anything.
#[derive(Debug, Default)]
struct Seen {
    since: u64,
    words: u32,
    marks: Marks,
    /// Items of the column that the chain changed, ascending, and their texts.
    changed: Vec<(u32, u32)>,
}

/// A view that may have been looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Viewed {
    since: u64,
    words: u32,
    /// Those of the common values that the thread knows of.
    common: u32,
    admits: Admits,
}

/// What columns have together.
#[derive(Clone, Copy, Debug, Default)]
struct Set {
    since: u64,
    /// Columns, as bits, of which the thread may know common values; those that have some.
    thin: u64,
    common: u64,
    /// Those that have other values, and their marks and words before any transformation.
    own: u64,
    marks: Marks,
    words: u32,
}

/// How much of a view there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Admits {
    /// No value at all.
    #[default]
    Nothing,
    /// What its words say.
    Words,
    /// There is no room for it, or it has too many values.
    Unknown,
}

/// Whether a link can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    No,
    Maybe,
    /// The plan does not know: the plain evaluator has to.
    Unknown,
}

const NONE: u32 = u32::MAX;

/// Where the words stand that say that nothing may match.
const BLANK: u32 = 0;

/// Most buffers that a thread keeps for its next transactions: several requests may wait for their bodies at a time.
const SPARE_MAX: usize = 4;

/// Most bytes of each of them.
const SPARE_BYTES_MAX: usize = 256 * 1024;

/// One that waits for a transaction.
struct Spare(Box<Sight>);

thread_local! {
    /// The buffers of the thread's last transactions.
    static SPARE: RefCell<Vec<Spare>> = const { RefCell::new(Vec::new()) };
}

impl Sight {
    /// An empty one, with the buffers of an earlier transaction where there are some.
    pub(crate) fn reused() -> Box<Self> {
        SPARE.with_borrow_mut(Vec::pop).map_or_else(Box::default, |spare| spare.0)
    }

    /// Keeps the buffers for the next transaction.
    pub(crate) fn spare(mut self: Box<Self>) {
        self.common.forget();
        if self.weight() > SPARE_BYTES_MAX {
            return;
        }
        self.clear();
        self.book = None;
        // Values of requests do not wait for the next one.
        for column in self.picked.drain(..) {
            if let Some(filled) = self.sides[FULL].columns.get_mut(column as usize) {
                filled.picked.clear();
            }
        }
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(Spare(self));
            }
        });
    }

    /// Bytes of the buffers.
    fn weight(&self) -> usize {
        let texts = self.texts.capacity() * size_of::<Text>() + self.steps.capacity() * size_of::<Step>();
        let items = self.items * size_of::<Item>() + self.todo.capacity() * size_of::<(u32, u32)>();
        self.bytes.capacity() + self.words.capacity() * size_of::<u64>() + texts + items
    }

    /// Makes ready for a phase: what may have changed since the last one is not used any more.
    pub(crate) fn begin(&mut self, number: usize, book: &Book, head: u32) {
        self.now += 1;
        if self.book != Some(number) {
            // The scanner that the last transaction of the thread needed is likely to be right.
            self.tier = self.needed.get_mut(number).map_or(0, std::mem::take);
            self.clear();
            self.book = Some(number);
            self.forget_head();
            for side in &mut self.sides {
                grow(&mut side.columns, book.columns.len());
                grow(&mut side.units, book.units.len());
            }
            grow(&mut self.views, book.views.len());
            grow(&mut self.sets, book.sets as usize);
        } else if self.head != head {
            self.forget_head();
        } else {
            self.sides.iter_mut().for_each(|side| side.fresh &= book.head_mask);
        }
        self.head = head;
        self.measure(book);
    }

    /// Makes room for the answers of the scanner in use.
    fn measure(&mut self, book: &Book) {
        self.width = book.scanner(self.tier).map_or(1, |scanner| scanner.width());
        if self.words.len() < self.width {
            self.words.resize(self.width, 0);
        }
    }

    /// What was looked up holds no more.
    fn forget_head(&mut self) {
        self.head_since = self.now;
        self.sides.iter_mut().for_each(|side| side.fresh = 0);
        self.common.forget();
    }

    /// Forgets all texts, keeping the buffers.
    fn clear(&mut self) {
        self.texts.clear();
        self.steps.clear();
        self.words.clear();
        self.bytes.clear();
        self.items = 0;
        self.work = 0;
    }

    /// Begins anew with the scanner of a tier.
    fn climb(&mut self, book: &Book, tier: usize) {
        let work = self.work;
        self.clear();
        self.work = work;
        self.now += 1;
        self.tier = tier;
        self.forget_head();
        self.measure(book);
    }

    fn is_full(&self) -> bool {
        let texts = self.texts.len() * size_of::<Text>() + self.steps.len() * size_of::<Step>() + self.items * size_of::<Item>();
        self.bytes.len() + self.words.len() * size_of::<u64>() + texts > limits::PLAN_BYTES_MAX
    }

    /// Takes the scanner that looks for an operator, if it is not in use.
    fn reach(&mut self, book: &Book, bit: u32) {
        let tier = book.tier_of(bit);
        if let Some(needed) = self.book.and_then(|book| self.needed.get_mut(book)) {
            *needed = tier.max(*needed);
        }
        if tier > self.tier {
            self.climb(book, tier);
        }
    }

    /// Whether an operator may match any text of a view; without one, whether there is any value.
    pub(crate) fn may_match(&mut self, tx: &Transaction, book: &Book, view: u32, bit: Option<u32>) -> Answer {
        if let Some(bit) = bit {
            self.reach(book, bit);
        }
        let viewed = self.viewed(tx, book, view);
        match (viewed.admits, bit) {
            (Admits::Nothing, _) => Answer::No,
            (Admits::Unknown, _) => Answer::Unknown,
            (Admits::Words, None) => Answer::Maybe,
            (Admits::Words, Some(bit)) => {
                let word = self.words.get(viewed.words as usize + bit as usize / 64);
                if word.is_none_or(|word| word >> (bit % 64) & 1 == 1) { Answer::Maybe } else { Answer::No }
            }
        }
    }

    /// What is known of a view.
    fn viewed(&mut self, tx: &Transaction, book: &Book, view: u32) -> Viewed {
        match self.views.get(view as usize) {
            Some(viewed) if viewed.since == self.now => *viewed,
            _ => self.view(tx, book, view),
        }
    }

    /// Looks at all units of a view.
    fn view(&mut self, tx: &Transaction, book: &Book, view: u32) -> Viewed {
        let mut viewed = Viewed { since: self.now, ..Viewed::default() };
        viewed.admits = book.views.get(view as usize).map_or(Admits::Unknown, |planned| self.sum(tx, book, planned, &mut viewed));
        if let Some(slot) = self.views.get_mut(view as usize) {
            *slot = viewed;
        }
        viewed
    }

    fn sum(&mut self, tx: &Transaction, book: &Book, view: &View, viewed: &mut Viewed) -> Admits {
        let Some(set) = self.set(tx, book, view.set, view.mask) else { return Admits::Unknown };
        if set.own | set.common == 0 && !view.has_more {
            return Admits::Nothing;
        }
        if view.has_more || self.items.saturating_mul(view.columns.len()) > limits::VALUES_PER_RULE_MAX {
            let admits = self.count(tx, book, view);
            if admits != Admits::Words {
                return admits;
            }
        }
        let mut own = NONE;
        if set.common != 0 {
            let Some(common) = self.common_words(tx, book, view, set.common) else { return Admits::Unknown };
            (own, viewed.words, viewed.common) = (common, common, common);
        }
        if set.marks & view.reach == 0 {
            if set.own != 0 {
                self.add_words(set.words, &mut own, &mut viewed.words);
            }
        } else {
            let mut live = set.own;
            while live != 0 {
                let bit = live & live.wrapping_neg();
                let side = if bit & set.thin == 0 { FULL } else { THIN };
                if let Some(group) = view.groups.get((view.mask & (bit - 1)).count_ones() as usize)
                    && !self.add_group(tx, book, side, group, &mut own, &mut viewed.words)
                {
                    return Admits::Unknown;
                }
                live &= live - 1;
            }
        }
        // Columns without a number among the bits come last.
        for group in view.groups.get(view.mask.count_ones() as usize..).unwrap_or_default() {
            if self.sides[FULL].columns.get(group.column as usize).is_some_and(|filled| !filled.items.is_empty())
                && !self.add_group(tx, book, FULL, group, &mut own, &mut viewed.words)
            {
                return Admits::Unknown;
            }
        }
        Admits::Words
    }

    /// What the columns of a list have, which are given as bits. None where the plan has no room left for it.
    fn set(&mut self, tx: &Transaction, book: &Book, number: u32, columns: u64) -> Option<Set> {
        if let Some(set) = self.sets.get(number as usize).filter(|set| set.since == self.now) {
            return Some(*set);
        }
        let thin = if self.knows_common(tx, book) { columns & book.common_mask } else { 0 };
        for (side, mask) in [(FULL, columns & !thin), (THIN, thin)] {
            let mut missing = mask & !self.sides[side].fresh;
            while missing != 0 {
                if !self.look_up(tx, book, side, missing.trailing_zeros()) {
                    return None;
                }
                missing &= missing - 1;
            }
        }
        let [full, rest] = &self.sides;
        let own = full.live & columns & !thin | rest.own & thin;
        let mut set = Set { since: self.now, thin, common: rest.live & thin, own, marks: 0, words: BLANK };
        let (mut left, mut first) = (own, NONE);
        while left != 0 {
            let bit = left & left.wrapping_neg();
            let side = if bit & thin == 0 { FULL } else { THIN };
            if let Some(filled) = self.sides[side].columns.get(left.trailing_zeros() as usize) {
                set.marks |= filled.marks;
                let words = filled.words;
                self.add_words(words, &mut first, &mut set.words);
            }
            left &= left - 1;
        }
        if let Some(slot) = self.sets.get_mut(number as usize) {
            *slot = set;
        }
        Some(set)
    }

    /// Adds words to a sum of which `own` are the first: as long as there are no others, they are the sum.
    fn add_words(&mut self, from: u32, own: &mut u32, sum: &mut u32) {
        if *own == NONE {
            (*own, *sum) = (from, from);
        } else if from != *own && from != BLANK {
            if own == sum {
                *sum = self.copy_sum(*own);
            }
            self.add_sum(*sum, from);
        }
    }

    /// Adds the units of a column that has values to the words of a view, of which `own` are the first. False where the plan has no room
    /// left for them.
    fn add_group(&mut self, tx: &Transaction, book: &Book, side: usize, group: &Group, own: &mut u32, words: &mut u32) -> bool {
        let filled = self.sides[side].columns.get(group.column as usize);
        let Some((marks, plain)) = filled.map(|filled| (filled.marks, filled.words)) else { return false };
        for watched in &group.watched {
            let from = if marks & watched.reach == 0 {
                plain
            } else if self.look(tx, book, side, watched.unit) {
                self.sides[side].units.get(watched.unit as usize).map_or(BLANK, |seen| seen.words)
            } else {
                return false;
            };
            self.add_words(from, own, words);
        }
        true
    }

    /// The number of a view's values against what a rule may see.
    fn count(&mut self, tx: &Transaction, book: &Book, view: &View) -> Admits {
        let mut values = 0;
        for column in &view.columns {
            if !self.look_up(tx, book, FULL, *column) {
                return Admits::Unknown;
            }
            values += self.sides[FULL].columns.get(*column as usize).map_or(0, |filled| filled.items.len());
        }
        if values == 0 {
            return Admits::Nothing;
        }
        if values > limits::VALUES_PER_RULE_MAX {
            return Admits::Unknown;
        }
        Admits::Words
    }

    fn copy_sum(&mut self, from: u32) -> u32 {
        let (start, from) = (self.words.len(), from as usize);
        self.words.extend_from_within(from..from + self.width);
        start as u32
    }

    fn add_sum(&mut self, to: u32, from: u32) {
        for word in 0..self.width {
            let more = self.words.get(from as usize + word).copied().unwrap_or(0);
            if let Some(sum) = self.words.get_mut(to as usize + word) {
                *sum |= more;
            }
        }
    }

    /// A value of a column and its name inside the collection.
    pub(crate) fn entry<'a>(&'a self, tx: &'a Transaction, book: &Book, column: u32, index: u32) -> Option<(&'a Bytes, &'a Bytes)> {
        let index = index as usize;
        match &book.columns.get(column as usize)?.source {
            Column::Values(list) | Column::Named(list, ..) => tx.list(*list).get(index).map(|entry| (&entry.name, &entry.value)),
            Column::Names(list) => tx.list(*list).get(index).map(|entry| (&entry.name, &entry.name)),
            Column::Picked(_) => {
                let entry = self.sides[FULL].columns.get(column as usize)?.picked.get(index)?;
                Some((&entry.name, &entry.value))
            }
        }
    }

    /// The items of a unit's column, and which of them its chain changed.
    fn items(&self, book: &Book, side: usize, unit: u32) -> (&[Item], &[(u32, u32)]) {
        let Some(planned) = book.units.get(unit as usize) else { return (&[], &[]) };
        let Some(filled) = self.sides[side].columns.get(planned.column as usize) else { return (&[], &[]) };
        let changed = match self.sides[side].units.get(unit as usize) {
            Some(seen) if filled.marks & planned.reach != 0 => seen.changed.as_slice(),
            _ => &[],
        };
        (&filled.items, changed)
    }

    /// How many values a unit's column has, once it was looked at.
    pub(crate) fn values(&self, book: &Book, side: usize, unit: u32) -> u32 {
        self.items(book, side, unit).0.len() as u32
    }

    /// The text of an item itself.
    fn value(&self, book: &Book, unit: u32, at: u32) -> Option<u32> {
        self.items(book, FULL, unit).0.get(at as usize).map(|item| item.text)
    }

    /// The text of an item behind a unit's chain, and the place of its value in the column's source.
    pub(crate) fn text(&self, book: &Book, side: usize, unit: u32, at: u32) -> Option<(u32, u32)> {
        let (items, changed) = self.items(book, side, unit);
        let item = items.get(at as usize)?;
        let text = changed.binary_search_by_key(&at, |changed| changed.0).ok().and_then(|at| changed.get(at));
        Some((item.index, text.map_or(item.text, |changed| changed.1)))
    }

    /// The items of a unit that an operator may match, all of them without one: their numbers, their places in the column's source and
    /// their texts.
    pub(crate) fn candidates<'a>(
        &'a self,
        book: &'a Book,
        side: usize,
        unit: u32,
        bit: Option<u32>,
    ) -> impl Iterator<Item = (u32, u32, u32)> + 'a {
        let (items, mut changed) = self.items(book, side, unit);
        let texts = (0_u32..).zip(items).map(move |(at, item)| match changed.split_first() {
            Some(((first, text), rest)) if *first == at => {
                changed = rest;
                (at, item.index, *text)
            }
            _ => (at, item.index, item.text),
        });
        texts.filter(move |(_, _, text)| bit.is_none_or(|bit| self.text_may_match(*text, bit)))
    }

    /// Which values of a column matter, where those of some columns matter only so far as they are not common.
    pub(crate) fn side(thin: u64, column: u32) -> usize {
        if column < u64::BITS && thin >> column & 1 == 1 { THIN } else { FULL }
    }

    /// Whether a column has values, once it was looked up.
    pub(crate) fn has_values(&self, side: usize, column: u32) -> bool {
        let side = &self.sides[side];
        if column < u64::BITS {
            return side.own >> column & 1 == 1;
        }
        side.columns.get(column as usize).is_some_and(|filled| !filled.items.is_empty())
    }
}

/// Makes a list at least so long.
fn grow<T: Default>(list: &mut Vec<T>, length: usize) {
    if list.len() < length {
        list.resize_with(length, T::default);
    }
}
