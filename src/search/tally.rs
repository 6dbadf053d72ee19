//! What is made of the records that match: the newest of them, counts by field, counts over time.

use super::facts::{Facts, Field};
use super::index::Number;
use super::segment::Segment;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use tantivy::columnar::{Column, StrColumn};

/// Different values of one field that are carried over from one segment: of more, only the commonest. Counts of rare values may
/// then be too low; the top of a list is not touched by that.
const VALUES_PER_SEGMENT_MAX: usize = 50_000;

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
    fn docs(&mut self, columns: &mut Self::Columns, docs: &[u32]);
    /// Leaves the segment.
    fn close(&mut self, columns: Self::Columns) -> io::Result<()>;
    /// Takes a record that is not in the index.
    fn record(&mut self, facts: &Facts, place: Place);
    /// Takes over what another has.
    fn merge(&mut self, other: Self);
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
    values: Vec<Option<u64>>,
}

impl Places {
    pub(super) fn of(segment: &Segment) -> io::Result<Self> {
        let number = |number| segment.number(number);
        let (sequences, files, offsets) = (number(Number::Sequence)?, number(Number::File)?, number(Number::Offset)?);
        Ok(Self { sequences, files, offsets, values: Vec::new() })
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

    fn docs(&mut self, columns: &mut Places, docs: &[u32]) {
        let values = read(&columns.sequences, docs, &mut columns.values);
        for (doc, sequence) in docs.iter().zip(values) {
            let (files, offsets) = (&columns.files, &columns.offsets);
            let place = || Place { file: files.first(*doc).unwrap_or_default(), offset: offsets.first(*doc).unwrap_or_default() };
            self.push(sequence.unwrap_or_default(), place);
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

/// The values of a column for some records.
fn read<'v>(column: &Column<u64>, docs: &[u32], values: &'v mut Vec<Option<u64>>) -> &'v [Option<u64>] {
    values.clear();
    values.resize(docs.len(), None);
    column.first_vals(docs, values);
    values
}

/// What is known of the records that share a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) records: u64,
    /// Microseconds since the Unix epoch.
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Count {
    const NONE: Self = Self { records: 0, first: u64::MAX, last: 0 };

    fn add(&mut self, time: u64) {
        self.merge(&Self { records: 1, first: time, last: time });
    }

    fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// Records counted by the values of some fields.
pub(super) struct Counts {
    fields: Vec<Field>,
    by_field: Vec<HashMap<String, Count>>,
    all: Count,
}

impl Counts {
    pub(super) fn new(fields: &[Field]) -> Self {
        Self { fields: fields.to_vec(), by_field: vec![HashMap::new(); fields.len()], all: Count::NONE }
    }

    /// All records.
    pub(super) fn all(&self) -> &Count {
        &self.all
    }

    /// The commonest values of each field, and how many there are.
    pub(super) fn top(self, limit: usize) -> Vec<(Vec<(String, Count)>, usize)> {
        let top = |map: HashMap<String, Count>| {
            let different = map.len();
            let mut list: Vec<_> = map.into_iter().collect();
            list.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.records.cmp(&of_a.records).then_with(|| a.cmp(b)));
            list.truncate(limit);
            (list, different)
        };
        self.by_field.into_iter().map(top).collect()
    }
}

pub(super) struct CountColumns {
    times: Column<u64>,
    fields: Vec<Option<(StrColumn, Vec<Count>)>>,
    time_values: Vec<Option<u64>>,
    values: Vec<Option<u64>>,
}

impl Tally for Counts {
    type Columns = CountColumns;

    fn open(&self, segment: &Segment) -> io::Result<CountColumns> {
        let column = |field: &Field| {
            let column = segment.text(*field)?;
            Ok(column.map(|column| {
                let counts = vec![Count::NONE; column.num_terms()];
                (column, counts)
            }))
        };
        let fields = self.fields.iter().map(column).collect::<io::Result<_>>()?;
        Ok(CountColumns { times: segment.number(Number::Time)?, fields, time_values: Vec::new(), values: Vec::new() })
    }

    fn docs(&mut self, columns: &mut CountColumns, docs: &[u32]) {
        let CountColumns { times, fields, time_values, values } = columns;
        let times = read(times, docs, time_values);
        times.iter().for_each(|time| self.all.add(time.unwrap_or_default()));
        for (column, counts) in fields.iter_mut().flatten() {
            let ords = column.ords();
            if ords.get_cardinality().is_multivalue() {
                for (doc, time) in docs.iter().zip(times) {
                    for ord in ords.values_for_doc(*doc) {
                        counts[ord as usize].add(time.unwrap_or_default());
                    }
                }
                continue;
            }
            for (ord, time) in read(ords, docs, values).iter().zip(times) {
                if let Some(ord) = ord {
                    counts[*ord as usize].add(time.unwrap_or_default());
                }
            }
        }
    }

    fn close(&mut self, columns: CountColumns) -> io::Result<()> {
        for (map, column) in self.by_field.iter_mut().zip(columns.fields) {
            let Some((column, counts)) = column else { continue };
            let mut ords: Vec<u64> = (0..counts.len() as u64).filter(|ord| counts[*ord as usize].records > 0).collect();
            if ords.len() > VALUES_PER_SEGMENT_MAX {
                ords.select_nth_unstable_by_key(VALUES_PER_SEGMENT_MAX, |ord| Reverse(counts[*ord as usize].records));
                ords.truncate(VALUES_PER_SEGMENT_MAX);
                ords.sort_unstable();
            }
            let mut next = ords.iter();
            column.dictionary().sorted_ords_to_term_cb(&ords, |term| {
                if let Some(ord) = next.next() {
                    let term = String::from_utf8_lossy(term);
                    let count = &counts[*ord as usize];
                    match map.get_mut(&*term) {
                        Some(own) => own.merge(count),
                        None => drop(map.insert(term.into_owned(), count.clone())),
                    }
                }
            })?;
        }
        Ok(())
    }

    fn record(&mut self, facts: &Facts, _: Place) {
        self.all.add(facts.micros());
        for (field, map) in self.fields.iter().zip(&mut self.by_field) {
            facts.each(*field, |value| match map.get_mut(value) {
                Some(count) => count.add(facts.micros()),
                None => map.entry(value.to_owned()).or_insert(Count::NONE).add(facts.micros()),
            });
        }
    }

    fn merge(&mut self, other: Self) {
        self.all.merge(&other.all);
        for (own, other) in self.by_field.iter_mut().zip(other.by_field) {
            for (value, count) in other {
                own.entry(value).or_insert(Count::NONE).merge(&count);
            }
        }
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
    /// Times taken, by their number of bits.
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
    time_values: Vec<Option<u64>>,
    values: Vec<Option<u64>>,
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
        Ok(SpreadColumns { times, took, column, rows, counts, time_values: Vec::new(), values: Vec::new() })
    }

    fn docs(&mut self, columns: &mut SpreadColumns, docs: &[u32]) {
        let SpreadColumns { times, took, column, rows, counts, time_values, values } = columns;
        for took in read(took, docs, values).iter().flatten() {
            self.took[(u64::BITS - took.leading_zeros()) as usize] += 1;
        }
        let times = read(times, docs, time_values);
        let none = rows.len() - 1;
        match column {
            Some(column) => drop(read(column.ords(), docs, values)),
            None => values.fill(None),
        }
        for (ord, time) in values.iter().zip(times) {
            if let Some(row) = rows[ord.map_or(none, |ord| ord as usize)] {
                counts[row + self.bucket(time.unwrap_or_default())] += 1;
            }
        }
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
        if let Some(took) = facts.took_micros() {
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
