//! What the matching plan has seen of a transaction's values: each chain of transformations applied once, each text scanned once.

use std::borrow::Cow;
use std::cell::RefCell;

use bytes::Bytes;

use super::Transaction;
use crate::limits;
use crate::prefilter::Marks;
use crate::ruleset::{Book, Chained, Column, EVERY, List};
use crate::target::Target;
use crate::transform::Transformation;
use crate::value::Entry;

/// The state of one book's columns and units. Buffers grow for the transaction, not for each value.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    book: usize,
    /// What the head's columns were filled from.
    head: u32,
    columns: Vec<Filled>,
    units: Vec<Seen>,
    texts: Vec<Text>,
    /// What became of texts behind a transformation.
    steps: Vec<Step>,
    /// Answers of the scanner: those of a text stand at its number times their width.
    words: Vec<u64>,
    /// The same for units: what may match any of their texts.
    unit_words: Vec<u64>,
    /// The texts that transformations made.
    bytes: Vec<u8>,
    scratch: Vec<u64>,
    /// Bytes that were scanned or transformed, to be paid for with fuel.
    pub(crate) work: usize,
}

/// A column that may have been looked up.
#[derive(Debug, Default)]
struct Filled {
    /// The text of its first value; the others follow.
    first: u32,
    count: u32,
    picked: Vec<Entry>,
}

/// A unit that may have been looked at.
#[derive(Debug, Default)]
struct Seen {
    ready: bool,
    /// Where in `unit_words` the operators stand that may match any of its texts.
    words: u32,
    /// Marks of any of its texts.
    marks: Marks,
    /// Values of the column that the chain changed, ascending, and their texts.
    changed: Vec<(u32, u32)>,
}

/// A value, or what a transformation made of one.
#[derive(Debug)]
struct Text {
    place: Place,
    marks: Marks,
    /// The last of `steps` that begins here.
    step: u32,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Value { column: u32, index: u32 },
    Made { start: usize, end: usize },
}

#[derive(Debug)]
struct Step {
    transformation: Transformation,
    to: u32,
    next: u32,
}

const NONE: u32 = u32::MAX;

/// Most bytes of buffers that a thread keeps for its next transaction.
const SPARE_BYTES_MAX: usize = 1024 * 1024;

thread_local! {
    /// The buffers of the thread's last transaction.
    static SPARE: RefCell<Option<Sight>> = const { RefCell::new(None) };
}

impl Drop for Sight {
    fn drop(&mut self) {
        // The place may be taken, or gone where the thread ends: then this is freed like anything else.
        let has_room = SPARE.try_with(|spare| spare.borrow().is_none()).unwrap_or(false);
        if self.texts.capacity() == 0 || self.weight() > SPARE_BYTES_MAX || !has_room {
            return;
        }
        self.clear();
        let own = std::mem::take(self);
        let _ = SPARE.try_with(|spare| spare.replace(Some(own)));
    }
}

impl Sight {
    /// An empty one, with the buffers of an earlier transaction where there are some.
    pub(crate) fn reused() -> Self {
        SPARE.with(|spare| spare.take()).unwrap_or_default()
    }

    fn weight(&self) -> usize {
        let texts = self.texts.capacity() * size_of::<Text>() + self.steps.capacity() * size_of::<Step>();
        self.bytes.capacity() + (self.words.capacity() + self.unit_words.capacity()) * size_of::<u64>() + texts
    }

    /// Makes ready for a phase: forgets what may have changed since the last one.
    pub(crate) fn begin(&mut self, number: usize, book: &Book, head: u32) {
        let keeps = self.book == number && self.units.len() == book.units.len();
        if !keeps {
            self.clear();
            self.book = number;
            self.columns.resize_with(book.columns.len(), Filled::default);
            self.units.resize_with(book.units.len(), Seen::default);
        }
        let keeps_head = keeps && self.head == head;
        self.head = head;
        if keeps {
            let stays = |column: u32| keeps_head && book.columns.get(column as usize).is_some_and(Column::is_head);
            let stale = self.columns.iter_mut().enumerate().filter(|(index, _)| !stays(*index as u32));
            stale.for_each(|(_, column)| *column = Filled::default());
            let gone = self.units.iter_mut().zip(&book.units).filter(|(_, unit)| !stays(unit.column));
            gone.for_each(|(seen, _)| seen.ready = false);
        }
    }

    /// Empties it, keeping its buffers.
    pub(crate) fn clear(&mut self) {
        self.columns.clear();
        self.units.clear();
        self.texts.clear();
        self.steps.clear();
        self.words.clear();
        self.unit_words.clear();
        self.bytes.clear();
        self.work = 0;
    }

    fn is_full(&self) -> bool {
        let texts = self.texts.len() * size_of::<Text>() + self.steps.len() * size_of::<Step>();
        self.bytes.len() + self.words.len() * size_of::<u64>() + texts > limits::PLAN_BYTES_MAX
    }

    /// Whether an operator may match any text of a unit. None where the plan has no room left for it.
    pub(crate) fn may_match(&mut self, tx: &Transaction, book: &Book, unit: u32, bit: u32) -> Option<bool> {
        if !self.units.get(unit as usize)?.ready && !self.look(tx, book, unit) {
            return None;
        }
        let words = self.units.get(unit as usize)?.words as usize;
        Some(self.unit_words.get(words + bit as usize / 64).is_none_or(|word| word >> (bit % 64) & 1 == 1))
    }

    /// Looks at a unit now. False where the plan has no room left for it.
    pub(crate) fn look(&mut self, tx: &Transaction, book: &Book, unit: u32) -> bool {
        if self.units.get(unit as usize).is_some_and(|seen| seen.ready) {
            return true;
        }
        if self.is_full() {
            return false;
        }
        let Some(planned) = book.units.get(unit as usize) else { return false };
        let seen = match &planned.step {
            None => self.root(tx, book, planned.column),
            Some(step) => {
                if !self.look(tx, book, step.parent) {
                    return false;
                }
                self.chained(tx, book, planned.column, step)
            }
        };
        if let Some(slot) = self.units.get_mut(unit as usize) {
            *slot = seen;
        }
        !self.is_full()
    }

    /// The column itself: every value is scanned.
    fn root(&mut self, tx: &Transaction, book: &Book, column: u32) -> Seen {
        let first = self.texts.len() as u32;
        let count = self.fill(tx, book, column, first);
        let mut marks = 0;
        for index in 0..count {
            marks |= self.scan(tx, book, Place::Value { column, index });
        }
        let words = self.blank_words(book);
        for text in first..first + count {
            self.add_words(book, words, text);
        }
        Seen { ready: true, words, marks, changed: Vec::new() }
    }

    /// Looks up the column's values; says how many there are.
    fn fill(&mut self, tx: &Transaction, book: &Book, column: u32, first: u32) -> u32 {
        let Some(filled) = self.columns.get_mut(column as usize) else { return 0 };
        let count = match book.columns.get(column as usize) {
            None => 0,
            Some(Column::Values(list) | Column::Names(list)) => tx.list(*list).len(),
            Some(Column::Picked(target)) => {
                filled.picked = tx.pick(target);
                filled.picked.len()
            }
        };
        (filled.first, filled.count) = (first, count as u32);
        filled.count
    }

    /// One transformation more: those texts that it may change are transformed and scanned.
    fn chained(&mut self, tx: &Transaction, book: &Book, column: u32, step: &Chained) -> Seen {
        let Some(parent) = self.units.get(step.parent as usize) else { return Seen::default() };
        let mut seen = Seen { ready: true, words: parent.words, marks: parent.marks, changed: parent.changed.clone() };
        if parent.marks & step.triggers == 0 {
            return seen;
        }
        let (first, count) = self.columns.get(column as usize).map_or((0, 0), |filled| (filled.first, filled.count));
        let raw = self.texts.get(first as usize..(first + count) as usize).unwrap_or_default();
        let mut before = seen.changed.as_slice();
        let mut todo = Vec::with_capacity(before.len());
        for (index, text) in (0..count).zip(raw) {
            match before.split_first() {
                Some((changed, rest)) if changed.0 == index => {
                    before = rest;
                    todo.push(*changed);
                }
                _ if text.marks & step.triggers != 0 => todo.push((index, first + index)),
                _ => {}
            }
        }
        seen.changed.clear();
        let mut own_words = NONE;
        for (index, text) in todo {
            let marks = self.texts.get(text as usize).map_or(0, |text| text.marks);
            let made = if marks & step.triggers == 0 { text } else { self.transformed(tx, book, text, step.transformation) };
            if made != first + index {
                seen.changed.push((index, made));
            }
            if made != text {
                if own_words == NONE {
                    own_words = self.copy_words(book, seen.words);
                }
                self.add_words(book, own_words, made);
                seen.marks |= self.texts.get(made as usize).map_or(0, |text| text.marks);
            }
        }
        if own_words != NONE {
            seen.words = own_words;
        }
        seen
    }

    /// The text behind a transformation, which runs on a text only once.
    fn transformed(&mut self, tx: &Transaction, book: &Book, text: u32, transformation: Transformation) -> u32 {
        let Some(from) = self.texts.get(text as usize) else { return text };
        let (place, last) = (from.place, from.step);
        let mut at = last;
        while let Some(step) = self.steps.get(at as usize) {
            if step.transformation == transformation {
                return step.to;
            }
            at = step.next;
        }
        let value = self.bytes_at(tx, book, place);
        let length = value.len();
        let changed = match transformation.apply(Cow::Borrowed(value)) {
            Cow::Borrowed(same) if same.len() == length => None,
            changed => Some(changed.into_owned()),
        };
        self.work += length;
        let to = match changed {
            None => text,
            Some(made) => {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(&made);
                self.scan(tx, book, Place::Made { start, end: self.bytes.len() });
                self.texts.len() as u32 - 1
            }
        };
        let step = self.steps.len() as u32;
        self.steps.push(Step { transformation, to, next: last });
        if let Some(from) = self.texts.get_mut(text as usize) {
            from.step = step;
        }
        to
    }

    /// Scans what is at a place, as a new text; gives its marks.
    fn scan(&mut self, tx: &Transaction, book: &Book, place: Place) -> Marks {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut words = std::mem::take(&mut self.words);
        let value = self.bytes_at(tx, book, place);
        let length = value.len();
        let marks = book.scanner.scan(value, &mut scratch, &mut words) | EVERY;
        self.texts.push(Text { place, marks, step: NONE });
        self.work += length + limits::FUEL_PER_RUN as usize;
        (self.scratch, self.words) = (scratch, words);
        marks
    }

    fn bytes_at<'a>(&'a self, tx: &'a Transaction, book: &Book, place: Place) -> &'a [u8] {
        match place {
            Place::Made { start, end } => self.bytes.get(start..end).unwrap_or_default(),
            Place::Value { column, index } => self.entry(tx, book, column, index).map_or(&[][..], |(_, value)| value),
        }
    }

    fn blank_words(&mut self, book: &Book) -> u32 {
        let start = self.unit_words.len();
        self.unit_words.resize(start + book.scanner.width(), 0);
        start as u32
    }

    fn copy_words(&mut self, book: &Book, from: u32) -> u32 {
        let (start, from) = (self.unit_words.len(), from as usize);
        self.unit_words.extend_from_within(from..from + book.scanner.width());
        start as u32
    }

    fn add_words(&mut self, book: &Book, to: u32, text: u32) {
        let width = book.scanner.width();
        let (from, to) = (text as usize * width, to as usize);
        let Some(more) = self.words.get(from..from + width) else { return };
        let own = self.unit_words.get_mut(to..to + width).into_iter().flatten();
        own.zip(more).for_each(|(word, more)| *word |= more);
    }

    /// How many values a unit's column has, once it was looked at.
    pub(crate) fn count(&self, book: &Book, unit: u32) -> u32 {
        let column = book.units.get(unit as usize).map_or(NONE, |unit| unit.column);
        self.columns.get(column as usize).map_or(0, |filled| filled.count)
    }

    /// A value of a column and its name inside the collection.
    pub(crate) fn entry<'a>(&'a self, tx: &'a Transaction, book: &Book, column: u32, index: u32) -> Option<(&'a Bytes, &'a Bytes)> {
        let index = index as usize;
        match book.columns.get(column as usize)? {
            Column::Values(list) => tx.list(*list).get(index).map(|entry| (&entry.name, &entry.value)),
            Column::Names(list) => tx.list(*list).get(index).map(|entry| (&entry.name, &entry.name)),
            Column::Picked(_) => {
                let entry = self.columns.get(column as usize)?.picked.get(index)?;
                Some((&entry.name, &entry.value))
            }
        }
    }

    /// The text of a value behind a unit's chain.
    pub(crate) fn text(&self, book: &Book, unit: u32, index: u32) -> u32 {
        let Some(seen) = self.units.get(unit as usize) else { return NONE };
        match seen.changed.binary_search_by_key(&index, |changed| changed.0) {
            Ok(at) => seen.changed.get(at).map_or(NONE, |changed| changed.1),
            Err(_) => {
                let column = book.units.get(unit as usize).map_or(NONE, |unit| unit.column);
                self.columns.get(column as usize).map_or(NONE, |filled| filled.first + index)
            }
        }
    }

    /// Whether an operator may match a text.
    pub(crate) fn text_may_match(&self, book: &Book, text: u32, bit: u32) -> bool {
        let word = self.words.get(text as usize * book.scanner.width() + bit as usize / 64);
        word.is_none_or(|word| word >> (bit % 64) & 1 == 1)
    }

    /// The values of a unit that an operator may match, all of them without one, and their texts.
    pub(crate) fn candidates<'a>(&'a self, book: &'a Book, unit: u32, bit: Option<u32>) -> impl Iterator<Item = (u32, u32)> + 'a {
        let column = book.units.get(unit as usize).map_or(NONE, |unit| unit.column);
        let (first, count) = self.columns.get(column as usize).map_or((0, 0), |filled| (filled.first, filled.count));
        let mut changed = self.units.get(unit as usize).map_or(&[][..], |seen| &seen.changed);
        let texts = (0..count).map(move |index| match changed.split_first() {
            Some(((at, text), rest)) if *at == index => {
                changed = rest;
                (index, *text)
            }
            _ => (index, first + index),
        });
        texts.filter(move |(_, text)| bit.is_none_or(|bit| self.text_may_match(book, *text, bit)))
    }

    /// The bytes of a text.
    pub(crate) fn bytes<'a>(&'a self, tx: &'a Transaction, book: &Book, text: u32) -> &'a [u8] {
        self.texts.get(text as usize).map_or(&[], |text| self.bytes_at(tx, book, text.place))
    }

    /// The same, to be kept: a range of the value where no transformation changed it.
    pub(crate) fn kept(&self, tx: &Transaction, book: &Book, text: u32) -> Bytes {
        match self.texts.get(text as usize).map(|text| text.place) {
            Some(Place::Value { column, index }) => self.entry(tx, book, column, index).map(|(_, value)| value.clone()).unwrap_or_default(),
            _ => Bytes::copy_from_slice(self.bytes(tx, book, text)),
        }
    }

    /// Whether the column's values were picked by the target's own selector.
    pub(crate) fn is_picked(book: &Book, unit: u32) -> bool {
        let column = book.units.get(unit as usize).and_then(|unit| book.columns.get(unit.column as usize));
        matches!(column, Some(Column::Picked(_)))
    }
}

impl Transaction {
    /// A list that columns are made of.
    pub(crate) fn list(&self, list: List) -> &[Entry] {
        match list {
            List::ArgsGet => &self.request.args_get,
            List::ArgsPost => &self.request.args_post,
            List::Cookies => &self.request.cookies,
            List::RequestHeaders => &self.request.headers,
            List::ResponseHeaders => &self.response.headers,
        }
    }

    /// How many values a target has, without making a list of them where that is easy. None where it is not.
    pub(crate) fn count(&self, target: &Target) -> Option<usize> {
        use crate::target::Selector;
        use crate::variable::Variable as V;
        let Some(Selector::Name(name)) = &target.selector else { return None };
        let named = |entries: &[Entry]| entries.iter().filter(|entry| entry.name.eq_ignore_ascii_case(name)).count();
        Some(match target.variable {
            V::Tx => usize::from(self.state.tx.get(name).is_some()),
            V::RequestHeaders => named(&self.request.headers),
            V::ResponseHeaders => named(&self.response.headers),
            _ => return None,
        })
    }
}
