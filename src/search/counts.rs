//! Records counted by the values of fields, the commonest first.

use super::facts::{Facts, Field};
use super::index::Number;
use super::segment::Segment;
use super::tally::{Place, Tally, read};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use tantivy::columnar::{Column, StrColumn};

/// Values of one field that a segment proposes for the top; with fewer different ones than this, nothing is left to chance.
const PROPOSED_MAX: usize = 1_000;

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

/// The counts of one field's values in one segment, by their places in its dictionary.
struct InSegment {
    column: StrColumn,
    records: Vec<u32>,
    /// First and last times; empty where nobody asks.
    times: Vec<(u64, u64)>,
}

impl InSegment {
    fn add(&mut self, ord: u64, time: u64) {
        let Some(records) = self.records.get_mut(ord as usize) else { return };
        *records += 1;
        if let Some((first, last)) = self.times.get_mut(ord as usize) {
            *first = time.min(*first);
            *last = time.max(*last);
        }
    }

    fn count(&self, ord: u64) -> Count {
        let at = ord as usize;
        let (first, last) = self.times.get(at).copied().unwrap_or((u64::MAX, 0));
        Count { records: self.records.get(at).copied().unwrap_or_default().into(), first, last }
    }

    /// The commonest values; whether these are all, and how many there are.
    fn proposed(&self) -> io::Result<Leaders> {
        let mut ords: Vec<u64> = (0..self.records.len() as u64).filter(|ord| self.records[*ord as usize] > 0).collect();
        let different = ords.len();
        if different > PROPOSED_MAX {
            ords.select_nth_unstable_by_key(PROPOSED_MAX, |ord| Reverse(self.records[*ord as usize]));
            ords.truncate(PROPOSED_MAX);
            ords.sort_unstable();
        }
        let mut list = Vec::with_capacity(ords.len());
        let mut next = ords.iter();
        self.column.dictionary().sorted_ords_to_term_cb(&ords, |term| {
            if let Some(ord) = next.next() {
                list.push((String::from_utf8_lossy(term).into_owned(), self.count(*ord)));
            }
        })?;
        Ok((list, different))
    }
}

/// The commonest values of a field, each with its count, and at least how many there are.
pub(super) type Leaders = (Vec<(String, Count)>, usize);

/// Records counted by the values of some fields.
pub(super) struct Counts {
    fields: Vec<Field>,
    timed: bool,
    /// By field, what each segment has.
    segments: Vec<Vec<InSegment>>,
    /// By field, what is not in the index.
    read: Vec<HashMap<String, Count>>,
    all: Count,
}

impl Counts {
    /// `timed` says that the values' first and last times are asked for.
    pub(super) fn new(fields: &[Field], timed: bool) -> Self {
        let segments = fields.iter().map(|_| Vec::new()).collect();
        Self { fields: fields.to_vec(), timed, segments, read: vec![HashMap::new(); fields.len()], all: Count::NONE }
    }

    /// All records.
    pub(super) fn all(&self) -> &Count {
        &self.all
    }

    /// Takes in two times without records.
    pub(super) fn widen(&mut self, first: u64, last: u64) {
        self.all.merge(&Count { records: 0, first, last });
    }

    /// The commonest values of each field, and at least how many there are.
    ///
    /// Each segment proposes its commonest; those that then lead are counted in all segments. So their counts are exact, and a
    /// value is missed only where a thousand others are commoner in every single segment.
    pub(super) fn top(self, limit: usize) -> io::Result<Vec<Leaders>> {
        self.segments.into_iter().zip(self.read).map(|(segments, read)| top(&segments, read, limit)).collect()
    }
}

fn top(segments: &[InSegment], read: HashMap<String, Count>, limit: usize) -> io::Result<Leaders> {
    let mut known = read.clone();
    let (mut most, mut complete) = (0, true);
    for segment in segments {
        let (proposed, different) = segment.proposed()?;
        most = most.max(different);
        complete &= proposed.len() == different;
        for (value, count) in proposed {
            known.entry(value).or_insert(Count::NONE).merge(&count);
        }
    }
    let different = known.len().max(most);
    let mut list: Vec<_> = known.into_iter().collect();
    let sort = |list: &mut Vec<(String, Count)>| {
        list.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.records.cmp(&of_a.records).then_with(|| a.cmp(b)));
    };
    sort(&mut list);
    if !complete {
        list.truncate(limit.saturating_mul(4).max(100));
        for (value, count) in &mut list {
            *count = read.get(value).cloned().unwrap_or(Count::NONE);
            for segment in segments {
                if let Some(ord) = segment.column.dictionary().term_ord(&*value)? {
                    count.merge(&segment.count(ord));
                }
            }
        }
        sort(&mut list);
    }
    list.truncate(limit);
    Ok((list, different))
}

pub(super) struct CountColumns {
    times: Column<u64>,
    fields: Vec<Option<InSegment>>,
    time_values: Vec<Option<u64>>,
    values: Vec<Option<u64>>,
}

impl Tally for Counts {
    type Columns = CountColumns;

    fn open(&self, segment: &Segment) -> io::Result<CountColumns> {
        let column = |field: &Field| {
            let column = segment.text(*field)?;
            Ok(column.map(|column| {
                let terms = column.num_terms();
                InSegment { column, records: vec![0; terms], times: vec![(u64::MAX, 0); if self.timed { terms } else { 0 }] }
            }))
        };
        let fields = self.fields.iter().map(column).collect::<io::Result<_>>()?;
        Ok(CountColumns { times: segment.number(Number::Time)?, fields, time_values: Vec::new(), values: Vec::new() })
    }

    fn docs(&mut self, columns: &mut CountColumns, docs: &[u32]) {
        let CountColumns { times, fields, time_values, values } = columns;
        let times = read(times, docs, time_values);
        times.iter().for_each(|time| self.all.add(time.unwrap_or_default()));
        for own in fields.iter_mut().flatten() {
            if own.column.ords().get_cardinality().is_multivalue() {
                let ords = own.column.ords().clone();
                for (doc, time) in docs.iter().zip(times) {
                    ords.values_for_doc(*doc).for_each(|ord| own.add(ord, time.unwrap_or_default()));
                }
                continue;
            }
            for (ord, time) in read(own.column.ords(), docs, values).iter().zip(times) {
                if let Some(ord) = ord {
                    own.add(*ord, time.unwrap_or_default());
                }
            }
        }
    }

    fn close(&mut self, columns: CountColumns) -> io::Result<()> {
        for (segments, column) in self.segments.iter_mut().zip(columns.fields) {
            segments.extend(column);
        }
        Ok(())
    }

    fn record(&mut self, facts: &Facts, _: Place) {
        self.all.add(facts.micros());
        for (field, map) in self.fields.iter().zip(&mut self.read) {
            facts.each(*field, |value| match map.get_mut(value) {
                Some(count) => count.add(facts.micros()),
                None => map.entry(value.to_owned()).or_insert(Count::NONE).add(facts.micros()),
            });
        }
    }

    fn merge(&mut self, other: Self) {
        self.all.merge(&other.all);
        for (own, other) in self.segments.iter_mut().zip(other.segments) {
            own.extend(other);
        }
        for (own, other) in self.read.iter_mut().zip(other.read) {
            for (value, count) in other {
                own.entry(value).or_insert(Count::NONE).merge(&count);
            }
        }
    }
}
