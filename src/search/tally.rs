//! What is made of the records that match: the newest of them, counts over time; `counts` has those by field.

use super::block::{self, Docs, NONE, Scratch, first_values};
use super::facts::{Facts, Field};
use super::index::Number;
use super::segment::Segment;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use tantivy::columnar::{Column, StrColumn};

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: u64,
    pub(super) offset: u64,
}

/// Something that is made of records, from the index's columns and from records themselves.
pub(super) trait Tally: Sized + Send {
    type Columns;
    /// Gets ready for a segment.
    fn open(&self, segment: &Segment) -> io::Result<Self::Columns>;
    /// Takes records of the segment.
    fn docs(&mut self, columns: &mut Self::Columns, docs: &Docs);
    /// Leaves the segment.
    fn close(&mut self, columns: Self::Columns) -> io::Result<()>;
    /// Takes a record that is not in the index.
    fn record(&mut self, facts: &Facts, place: Place);
    /// Takes over what another has.
    fn merge(&mut self, other: Self);
    /// A field without which a record says nothing here.
    fn needed(&self) -> Option<Field> {
        None
    }
    /// Whether it needs no record with a number up to this.
    fn full(&self, _newest: u64) -> bool {
        false
    }
}

/// The newest records.
pub(super) struct Newest {
    limit: usize,
    kept: BinaryHeap<Reverse<(u64, Place)>>,
}

impl Newest {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, kept: BinaryHeap::new() }
    }

    fn push(&mut self, sequence: u64, place: impl FnOnce() -> Place) {
        if self.kept.len() < self.limit {
            self.kept.push(Reverse((sequence, place())));
        } else if self.kept.peek().is_some_and(|Reverse((oldest, _))| *oldest < sequence) {
            self.kept.pop();
            self.kept.push(Reverse((sequence, place())));
        }
    }

    /// Newest first.
    pub(super) fn places(self) -> Vec<(u64, Place)> {
        self.kept.into_sorted_vec().into_iter().map(|Reverse(one)| one).collect()
    }
}

pub(super) struct Places {
    sequences: Column<u64>,
    files: Column<u64>,
    offsets: Column<u64>,
    docs: Vec<u32>,
    values: Vec<u64>,
    scratch: Scratch,
}

impl Places {
    pub(super) fn of(segment: &Segment) -> io::Result<Self> {
        let number = |number| segment.number(number);
        let (sequences, files, offsets) = (number(Number::Sequence)?, number(Number::File)?, number(Number::Offset)?);
        Ok(Self { sequences, files, offsets, docs: Vec::new(), values: Vec::new(), scratch: Scratch::default() })
    }

    pub(super) fn sequence(&self, doc: u32) -> u64 {
        self.sequences.first(doc).unwrap_or_default()
    }

    pub(super) fn place(&self, doc: u32) -> Place {
        Place { file: self.files.first(doc).unwrap_or_default(), offset: self.offsets.first(doc).unwrap_or_default() }
    }
}

impl Tally for Newest {
    type Columns = Places;

    fn open(&self, segment: &Segment) -> io::Result<Places> {
        Places::of(segment)
    }

    fn docs(&mut self, columns: &mut Places, docs: &Docs) {
        let Places { sequences, files, offsets, docs: list, values, scratch } = columns;
        list.clear();
        docs.push_to(list);
        for (doc, sequence) in list.iter().zip(first_values(sequences, docs, values, scratch)) {
            let place = || Place { file: files.first(*doc).unwrap_or_default(), offset: offsets.first(*doc).unwrap_or_default() };
            self.push(if *sequence == NONE { 0 } else { *sequence }, place);
        }
    }

    fn close(&mut self, _: Places) -> io::Result<()> {
        Ok(())
    }

    fn record(&mut self, facts: &Facts, place: Place) {
        self.push(facts.sequence(), || place);
    }

    fn merge(&mut self, other: Self) {
        for Reverse((sequence, place)) in other.kept {
            self.push(sequence, || place);
        }
    }

    fn full(&self, newest: u64) -> bool {
        self.kept.len() >= self.limit && self.kept.peek().is_some_and(|Reverse((oldest, _))| *oldest > newest)
    }
}

/// Records counted by the values of one field, over time.
pub(super) struct Spread {
    field: Field,
    from: u64,
    width: u64,
    buckets: usize,
    by_value: HashMap<String, Vec<u64>>,
    /// Only these values, where there are some.
    only: Vec<String>,
    /// Times taken, by their number of bits; of all values only.
    pub(super) took: [u64; 65],
}

impl Spread {
    pub(super) fn new(field: Field, from: u64, width: u64, buckets: usize, only: Vec<String>) -> Self {
        Self { field, from, width: width.max(1), buckets: buckets.max(1), by_value: HashMap::new(), only, took: [0; 65] }
    }

    /// The counts of every value.
    pub(super) fn series(self) -> HashMap<String, Vec<u64>> {
        self.by_value
    }

    fn bucket(&self, time: u64) -> usize {
        ((time.saturating_sub(self.from) / self.width) as usize).min(self.buckets - 1)
    }

    fn add(&mut self, value: &str, counts: &[u64]) {
        let own = match self.by_value.get_mut(value) {
            Some(own) => own,
            None => self.by_value.entry(value.to_owned()).or_insert_with(|| vec![0; counts.len()]),
        };
        own.iter_mut().zip(counts).for_each(|(own, count)| *own += count);
    }
}

pub(super) struct SpreadColumns {
    times: Column<u64>,
    took: Column<u64>,
    column: Option<StrColumn>,
    /// Where the counts of a value begin; of nothing, none are kept.
    rows: Vec<Option<usize>>,
    counts: Vec<u64>,
    time_values: Vec<u64>,
    values: Vec<u64>,
    scratch: Scratch,
}

impl Tally for Spread {
    type Columns = SpreadColumns;

    fn open(&self, segment: &Segment) -> io::Result<SpreadColumns> {
        let column = segment.text(self.field)?;
        let terms = column.as_ref().map_or(0, |column| column.num_terms());
        // The last row is for records without a value.
        let mut rows = vec![None; terms + 1];
        let mut kept = 0;
        let mut keep = |row: &mut Option<usize>| {
            *row = Some(kept * self.buckets);
            kept += 1;
        };
        match &column {
            Some(column) if !self.only.is_empty() => {
                for value in &self.only {
                    if let Some(ord) = column.dictionary().term_ord(value)? {
                        keep(&mut rows[ord as usize]);
                    }
                }
            }
            _ if !self.only.is_empty() => {}
            _ => rows.iter_mut().for_each(keep),
        }
        let (times, took) = (segment.number(Number::Time)?, segment.number(Number::Took)?);
        let counts = vec![0; kept * self.buckets];
        let (time_values, values, scratch) = Default::default();
        Ok(SpreadColumns { times, took, column, rows, counts, time_values, values, scratch })
    }

    fn docs(&mut self, columns: &mut SpreadColumns, docs: &Docs) {
        let SpreadColumns { times, took, column, rows, counts, time_values, values, scratch } = columns;
        if self.only.is_empty() {
            block::each(took, docs, scratch, |took| self.took[(u64::BITS - took.leading_zeros()) as usize] += 1);
        }
        let times = first_values(times, docs, time_values, scratch);
        let none = rows.len() - 1;
        match column {
            Some(column) => drop(first_values(column.ords(), docs, values, scratch)),
            None => {
                values.clear();
                values.resize(docs.len(), NONE);
            }
        }
        for (ord, time) in values.iter().zip(times) {
            if let Some(row) = rows[if *ord == NONE { none } else { *ord as usize }] {
                counts[row + self.bucket(if *time == NONE { 0 } else { *time })] += 1;
            }
        }
    }

    fn needed(&self) -> Option<Field> {
        (!self.only.is_empty()).then_some(self.field)
    }

    fn close(&mut self, columns: SpreadColumns) -> io::Result<()> {
        let SpreadColumns { column, rows, counts, .. } = columns;
        let none = rows.len() - 1;
        let mut term = Vec::new();
        for (ord, row) in rows.iter().enumerate() {
            let Some(counts) = row.and_then(|row| counts.get(row..row + self.buckets)).filter(|c| c.iter().any(|n| *n > 0)) else {
                continue;
            };
            term.clear();
            if let Some(column) = column.as_ref().filter(|_| ord != none) {
                column.dictionary().ord_to_term(ord as u64, &mut term)?;
            }
            self.add(&String::from_utf8_lossy(&term), counts);
        }
        Ok(())
    }

    fn record(&mut self, facts: &Facts, _: Place) {
        if let Some(took) = facts.took_micros().filter(|_| self.only.is_empty()) {
            self.took[(u64::BITS - took.leading_zeros()) as usize] += 1;
        }
        let value = facts.first(self.field);
        if self.only.is_empty() || self.only.contains(&value) {
            let at = self.bucket(facts.micros());
            let mut counts = vec![0; self.buckets];
            counts[at] = 1;
            self.add(&value, &counts);
        }
    }

    fn merge(&mut self, other: Self) {
        self.took.iter_mut().zip(other.took).for_each(|(own, other)| *own += other);
        for (value, counts) in other.by_value {
            self.add(&value, &counts);
        }
    }
}
