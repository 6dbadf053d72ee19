//! The texts of values: what the scanner said of each, and what transformations made of it.

use std::borrow::Cow;

use bytes::Bytes;

use super::{BLANK, NONE, Sight};
use crate::common_header::is_common_header;
use crate::limits;
use crate::prefilter::Marks;
use crate::ruleset::{Book, Column, EVERY, List};
use crate::transaction::Transaction;
use crate::transaction::memo::{self, Known, Made};
use crate::transform::Transformation;

/// A value, or what a transformation made of one.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) place: Place,
    pub(super) marks: Marks,
    /// Where its words are.
    pub(super) words: u32,
    /// Its words say what operators may match.
    pub(super) searched: bool,
    /// The last of `steps` that begins here.
    pub(super) step: u32,
    /// It may be remembered for other transactions, and where it is.
    pub(super) common: bool,
    pub(super) known: Known,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Value { column: u32, index: u32 },
    Made { start: usize, end: usize },
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) transformation: Transformation,
    pub(super) to: u32,
    pub(super) next: u32,
}

impl Sight {
    /// The text behind a transformation, which runs on a text only once.
    pub(super) fn transformed(&mut self, tx: &Transaction, book: &Book, text: u32, transformation: Transformation) -> u32 {
        let Some(from) = self.texts.get(text as usize) else { return text };
        let (place, marks, last, searched, common, known) = (from.place, from.marks, from.step, from.searched, from.common, from.known);
        let mut at = last;
        while let Some(step) = self.steps.get(at as usize) {
            if step.transformation == transformation {
                return step.to;
            }
            at = step.next;
        }
        let length = self.bytes_at(tx, book, place).len();
        self.work += length;
        let to = match self.remembered(known, transformation) {
            Some(made) => made.unwrap_or(text),
            None => {
                let to = self.made(tx, book, text, (place, marks, searched, common), transformation);
                let made = self.texts.get(to as usize).filter(|_| to != text).map(|made| made.known);
                memo::remember(known, transformation, made);
                to
            }
        };
        let step = self.steps.len() as u32;
        self.steps.push(Step { transformation, to, next: last });
        if let Some(from) = self.texts.get_mut(text as usize) {
            from.step = step;
        }
        to
    }

    /// What the thread remembers of a transformation: some other text, or none where it leaves the text as it is.
    fn remembered(&mut self, known: Known, transformation: Transformation) -> Option<Option<u32>> {
        let (start, own) = (self.bytes.len(), self.words.len() as u32);
        match memo::made(known, transformation, &mut self.bytes, &mut self.words)? {
            Made::Same => Some(None),
            Made::Other(marks, known) => {
                let end = self.bytes.len();
                if transformation != Transformation::Lowercase {
                    self.work += end - start + limits::FUEL_PER_RUN as usize;
                }
                let marks = marks | EVERY;
                let place = Place::Made { start, end };
                self.texts.push(Text { place, marks, words: own, searched: true, step: NONE, common: true, known });
                Some(Some(self.texts.len() as u32 - 1))
            }
        }
    }

    /// Applies a transformation to a text.
    fn made(
        &mut self,
        tx: &Transaction,
        book: &Book,
        text: u32,
        (place, marks, searched, common): (Place, Marks, bool, bool),
        transformation: Transformation,
    ) -> u32 {
        if transformation == Transformation::Lowercase && book.capitals != 0 {
            return self.lowered(tx, book, text, (place, marks, searched));
        }
        let value = self.bytes_at(tx, book, place);
        let changed = match transformation.apply(Cow::Borrowed(value)) {
            Cow::Borrowed(same) if same.len() == value.len() => None,
            changed => Some(changed.into_owned()),
        };
        let Some(made) = changed else { return text };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&made);
        self.scan(tx, book, Place::Made { start, end: self.bytes.len() }, searched, common);
        self.texts.len() as u32 - 1
    }

    /// A text with capitals, without them: the scanner does not tell them apart, so that its answer holds for both.
    fn lowered(&mut self, tx: &Transaction, book: &Book, text: u32, (place, marks, searched): (Place, Marks, bool)) -> u32 {
        if marks & book.capitals == 0 {
            return text;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        let start = bytes.len();
        match place {
            Place::Made { start, end } if end <= bytes.len() => bytes.extend_from_within(start..end),
            _ => bytes.extend_from_slice(self.bytes_at(tx, book, place)),
        }
        if let Some(own) = bytes.get_mut(start..) {
            own.make_ascii_lowercase();
        }
        let place = Place::Made { start, end: bytes.len() };
        self.bytes = bytes;
        let marks = match book.scanner(self.tier) {
            Some(scanner) if book.small != 0 => scanner.marks(self.bytes_at(tx, book, place)) | EVERY,
            _ => marks & !book.capitals,
        };
        let Some(from) = self.texts.get(text as usize) else { return text };
        let (common, mut own) = (from.common, from.words);
        let mut known = Known::default();
        if let Some(scanner) = book.scanner(self.tier).filter(|_| common && searched) {
            let mut words = std::mem::take(&mut self.words);
            let from = own as usize;
            own = words.len() as u32;
            let copy = |words: &mut Vec<u64>| {
                words.extend_from_within(from..from + self.width);
                marks
            };
            known = memo::scanned(scanner.id(), self.bytes_at(tx, book, place), &mut words, copy).1;
            self.words = words;
        }
        self.texts.push(Text { place, marks, words: own, searched, step: NONE, common, known });
        self.texts.len() as u32 - 1
    }

    /// Scans what is at a place, as a new text.
    pub(super) fn scan(&mut self, tx: &Transaction, book: &Book, place: Place, searched: bool, common: bool) {
        let Some(scanner) = book.scanner(self.tier) else { return };
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut words = std::mem::take(&mut self.words);
        let value = self.bytes_at(tx, book, place);
        let length = value.len();
        let own = if searched { words.len() as u32 } else { BLANK };
        let (marks, known) = if !searched {
            (scanner.marks(value), Known::default())
        } else if common {
            memo::scanned(scanner.id(), value, &mut words, |words| scanner.scan(value, &mut scratch, words))
        } else {
            (scanner.scan(value, &mut scratch, &mut words), Known::default())
        };
        self.texts.push(Text { place, marks: marks | EVERY, words: own, searched, step: NONE, common, known });
        self.work += length + limits::FUEL_PER_RUN as usize;
        (self.scratch, self.words) = (scratch, words);
    }

    /// Whether a value may be remembered for other transactions.
    pub(super) fn is_common(&self, tx: &Transaction, book: &Book, column: u32, index: u32) -> bool {
        match book.columns.get(column as usize).map(|column| &column.source) {
            Some(Column::Names(List::RequestHeaders)) => true,
            Some(Column::Values(List::RequestHeaders) | Column::Named(List::RequestHeaders, ..)) => {
                tx.list(List::RequestHeaders).get(index as usize).is_some_and(|entry| is_common_header(&entry.name))
            }
            _ => false,
        }
    }

    /// Whether a link is known not to match a text.
    pub(crate) fn is_refused(&self, text: u32, link: u32) -> bool {
        self.texts.get(text as usize).is_some_and(|text| memo::is_refused(text.known, link))
    }

    /// Remembers that a link does not match a text.
    pub(crate) fn refuse(&self, text: u32, link: u32) {
        if let Some(text) = self.texts.get(text as usize) {
            memo::refuse(text.known, link);
        }
    }

    pub(super) fn bytes_at<'a>(&'a self, tx: &'a Transaction, book: &Book, place: Place) -> &'a [u8] {
        match place {
            Place::Made { start, end } => self.bytes.get(start..end).unwrap_or_default(),
            Place::Value { column, index } => self.entry(tx, book, column, index).map_or(&[][..], |(_, value)| value),
        }
    }

    /// Whether an operator may match a text.
    pub(crate) fn text_may_match(&self, text: u32, bit: u32) -> bool {
        let word = self.texts.get(text as usize).and_then(|text| self.words.get((text.words + bit / 64) as usize));
        word.is_none_or(|word| word >> (bit % 64) & 1 == 1)
    }

    /// The bytes of a text.
    pub(crate) fn bytes<'a>(&'a self, tx: &'a Transaction, book: &Book, text: u32) -> &'a [u8] {
        self.texts.get(text as usize).map_or(&[], |text| self.bytes_at(tx, book, text.place))
    }

    /// The same, to be kept: a range of the value where no transformation changed it.
    pub(crate) fn kept(&self, tx: &mut Transaction, book: &Book, text: u32) -> Bytes {
        match self.texts.get(text as usize).map(|text| text.place) {
            Some(Place::Value { column, index }) => self.entry(tx, book, column, index).map(|(_, value)| value.clone()).unwrap_or_default(),
            Some(Place::Made { start, end }) => tx.state.arena.keep(self.bytes.get(start..end).unwrap_or_default()),
            None => Bytes::new(),
        }
    }
}
