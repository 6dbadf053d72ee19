//! Columns and units: values looked up once and scanned once, and what becomes of them behind transformations.

use bytes::Bytes;

use super::texts::Place;
use super::{BLANK, FULL, Filled, Item, NONE, Seen, Sight, THIN};
use crate::common_header::is_common_header;
use crate::ruleset::{Book, Chained, Column, EVERY};
use crate::transaction::Transaction;
use crate::value::Entry;

impl Sight {
    /// Whether what was looked up of a column still holds.
    pub(super) fn is_fresh(&self, book: &Book, side: usize, column: u32) -> bool {
        let side = &self.sides[side];
        if column < u64::BITS {
            return side.fresh >> column & 1 == 1;
        }
        let (Some(planned), Some(filled)) = (book.columns.get(column as usize), side.columns.get(column as usize)) else { return false };
        filled.since >= if planned.is_head { self.head_since } else { self.now }
    }

    /// Looks up a column's values and scans them. False where the plan has no room left for it.
    pub(super) fn look_up(&mut self, tx: &Transaction, book: &Book, side: usize, column: u32) -> bool {
        if self.is_fresh(book, side, column) {
            return true;
        }
        let Some(planned) = book.columns.get(column as usize) else { return false };
        if self.is_full() {
            return false;
        }
        let shares = matches!(&planned.source, Column::Named(_, whole, _) if self.is_fresh(book, side, *whole));
        let Some(filled) = self.sides[side].columns.get_mut(column as usize) else { return false };
        let mut items = std::mem::take(&mut filled.items);
        items.clear();
        let mut values = 0;
        match &planned.source {
            Column::Values(list) | Column::Names(list) if side == FULL => {
                items.extend((0..tx.list(*list).len() as u32).map(|index| Item { index, text: NONE }));
            }
            Column::Values(list) => {
                values = tx.list(*list).len();
                let rest = (0..values as u32).filter(|index| self.common.is_rest(*index));
                items.extend(rest.map(|index| Item { index, text: NONE }));
            }
            // All names are common.
            Column::Names(list) => values = tx.list(*list).len(),
            Column::Named(list, whole, name) => {
                let entries = tx.list(*list);
                let has_name = |entry: &Entry| entry.name.eq_ignore_ascii_case(name);
                if side == THIN && is_common_header(name) {
                    values = entries.iter().filter(|entry| has_name(entry)).count();
                } else if shares {
                    // Each value is a text of the whole list.
                    let texts = self.sides[side].columns.get(*whole as usize).map_or(&[][..], |whole| &whole.items);
                    items.extend(texts.iter().filter(|item| entries.get(item.index as usize).is_some_and(has_name)));
                } else {
                    let named = (0_u32..).zip(entries).filter(|(_, entry)| has_name(entry));
                    items.extend(named.map(|(index, _)| Item { index, text: NONE }));
                }
            }
            Column::Picked(target) => {
                self.picked.push(column);
                filled.picked.clear();
                match tx.scalar_of(target) {
                    Some(scalar) => filled.picked.extend(scalar.map(|value| Entry { name: Bytes::new(), value })),
                    None => filled.picked = tx.pick(target),
                }
                items.extend((0..filled.picked.len() as u32).map(|index| Item { index, text: NONE }));
            }
        }
        let values = values.max(items.len());
        let words = if items.len() > 1 { self.copy_sum(BLANK) } else { BLANK };
        let (mut own, mut marks) = (words, 0);
        for item in &mut items {
            if item.text == NONE {
                item.text = self.known(book, column, item.index).unwrap_or(self.texts.len() as u32);
                if item.text as usize == self.texts.len() {
                    let common = side == FULL && self.is_common(tx, book, column, item.index);
                    let searched = book.is_searched(column, self.tier);
                    self.scan(tx, book, Place::Value { column, index: item.index }, searched, common);
                }
            }
            let (text_marks, text_words) = self.texts.get(item.text as usize).map_or((EVERY, BLANK), |text| (text.marks, text.words));
            marks |= text_marks;
            if words == BLANK {
                own = text_words;
            } else {
                self.add_sum(words, text_words);
            }
        }
        self.items += values;
        let (now, has_own) = (self.now, !items.is_empty());
        let side = &mut self.sides[side];
        if column < u64::BITS {
            let bit = 1 << column;
            side.fresh |= bit;
            side.live = side.live & !bit | if values > 0 { bit } else { 0 };
            side.own = side.own & !bit | if has_own { bit } else { 0 };
        }
        if let Some(filled) = side.columns.get_mut(column as usize) {
            (filled.since, filled.marks, filled.words, filled.items) = (now, marks, own, items);
        }
        !self.is_full()
    }

    /// The text of another column of the head that is the same piece of the same buffer: the target and the URI mostly are.
    fn known(&self, book: &Book, column: u32, index: u32) -> Option<u32> {
        if !book.scalars.contains(&column) {
            return None;
        }
        let columns = &self.sides[FULL].columns;
        let own = columns.get(column as usize)?.picked.get(index as usize)?;
        let same = |other: &&Filled| {
            let value = other.picked.first().map(|entry| &entry.value);
            other.since >= self.head_since
                && value.is_some_and(|value| value.as_ptr() == own.value.as_ptr() && value.len() == own.value.len())
        };
        let others = book.scalars.iter().filter(|other| **other != column).filter_map(|other| columns.get(*other as usize));
        let text = others.into_iter().find(same)?.items.first().map(|item| item.text)?;
        // A text that nothing was looked for in is of no use where something is.
        self.texts.get(text as usize).filter(|text| text.searched || !book.is_searched(column, self.tier)).map(|_| text)
    }

    /// Looks at a unit whose chain may change something. False where the plan has no room left for it.
    pub(super) fn look(&mut self, tx: &Transaction, book: &Book, side: usize, unit: u32) -> bool {
        let Some(planned) = book.units.get(unit as usize) else { return false };
        let (since, marks) =
            self.sides[side].columns.get(planned.column as usize).map_or((u64::MAX, EVERY), |filled| (filled.since, filled.marks));
        if self.sides[side].units.get(unit as usize).is_some_and(|seen| seen.since >= since) {
            return true;
        }
        let Some(own) = self.sides[side].units.get_mut(unit as usize) else { return false };
        let mut seen = Seen { changed: std::mem::take(&mut own.changed), since: self.now, words: 0, marks: 0 };
        seen.changed.clear();
        match &planned.step {
            None => {
                if let Some(filled) = self.sides[side].columns.get(planned.column as usize) {
                    (seen.words, seen.marks) = (filled.words, filled.marks);
                }
            }
            Some(step) => {
                // As far as the chain changes nothing, it is the column itself.
                let changes = book.units.get(step.parent as usize).is_some_and(|parent| marks & parent.reach != 0);
                if changes && !self.look(tx, book, side, step.parent) {
                    return false;
                }
                let parent = changes.then_some(step.parent);
                if !self.chained(tx, book, (side, planned.column, parent), step, &mut seen) {
                    return false;
                }
            }
        }
        if let Some(slot) = self.sides[side].units.get_mut(unit as usize) {
            *slot = seen;
        }
        true
    }

    /// One transformation more: those texts that it may change are transformed and scanned. False where the plan has no room left for it.
    /// Without a parent it begins with the column.
    fn chained(
        &mut self,
        tx: &Transaction,
        book: &Book,
        (side, column, parent): (usize, u32, Option<u32>),
        step: &Chained,
        seen: &mut Seen,
    ) -> bool {
        let own = &self.sides[side];
        let parent = parent.and_then(|parent| own.units.get(parent as usize));
        let Some(filled) = own.columns.get(column as usize) else { return false };
        (seen.words, seen.marks) = parent.map_or((filled.words, filled.marks), |parent| (parent.words, parent.marks));
        let mut before = parent.map_or(&[][..], |parent| parent.changed.as_slice());
        if seen.marks & step.triggers == 0 {
            if !before.is_empty() {
                seen.changed.extend_from_slice(before);
            }
            return true;
        }
        if self.is_full() {
            return false;
        }
        let mut todo = std::mem::take(&mut self.todo);
        todo.clear();
        for (at, item) in (0_u32..).zip(&filled.items) {
            match before.split_first() {
                Some((changed, rest)) if changed.0 == at => {
                    before = rest;
                    todo.push(*changed);
                }
                _ if self.texts.get(item.text as usize).is_some_and(|text| text.marks & step.triggers != 0) => todo.push((at, item.text)),
                _ => {}
            }
        }
        let is_only = filled.items.len() == 1;
        let mut own_words = NONE;
        for (at, text) in &todo {
            let marks = self.texts.get(*text as usize).map_or(0, |text| text.marks);
            let made = if marks & step.triggers == 0 { *text } else { self.transformed(tx, book, *text, step.transformation) };
            let item = self.sides[side].columns.get(column as usize).and_then(|filled| filled.items.get(*at as usize));
            if item.is_none_or(|item| item.text != made) {
                seen.changed.push((*at, made));
            }
            if made != *text {
                let (marks, words) = self.texts.get(made as usize).map_or((EVERY, BLANK), |text| (text.marks, text.words));
                seen.marks |= marks;
                if is_only {
                    own_words = words;
                    continue;
                }
                if own_words == NONE {
                    own_words = self.copy_sum(seen.words);
                }
                self.add_sum(own_words, words);
            }
        }
        if own_words != NONE {
            seen.words = own_words;
        }
        self.todo = todo;
        !self.is_full()
    }
}
