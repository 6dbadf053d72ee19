//! Records counted by the values of fields, the commonest first.

use super::block::{self, Docs, NONE, Scratch, first_values};
use super::facts::{Facts, Field};
use super::index::Number;
use super::segment::Segment;
use super::tally::{Place, Tally};
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
    fn proposed(&self, most: usize) -> io::Result<Leaders> {
        let mut ords: Vec<u64> = (0..self.records.len() as u64).filter(|ord| self.records[*ord as usize] > 0).collect();
        let different = ords.len();
        if different > most {
            ords.select_nth_unstable_by_key(most, |ord| Reverse(self.records[*ord as usize]));
            ords.truncate(most);
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

    /// All records; their first and last times where times are asked for, or no field is.
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
        self.segments.into_iter().zip(self.read).map(|(segments, read)| top(&segments, read, limit, PROPOSED_MAX)).collect()
    }
}

/// What is known of a value: its count, and the segments that it is the count of, ascending.
type Known = (Count, Vec<usize>);

fn top(segments: &[InSegment], read: HashMap<String, Count>, limit: usize, proposed_max: usize) -> io::Result<Leaders> {
    let mut known: HashMap<String, Known> = read.into_iter().map(|(value, count)| (value, (count, Vec::new()))).collect();
    let (mut most, mut complete) = (0, true);
    for (at, segment) in segments.iter().enumerate() {
        let (proposed, different) = segment.proposed(proposed_max)?;
        most = most.max(different);
        complete &= proposed.len() == different;
        for (value, count) in proposed {
            let (own, from) = known.entry(value).or_insert((Count::NONE, Vec::new()));
            own.merge(&count);
            from.push(at);
        }
    }
    let different = known.len().max(most);
    let mut list: Vec<_> = known.into_iter().collect();
    let order = |(a, (of_a, _)): &(String, Known), (b, (of_b, _)): &(String, Known)| of_b.records.cmp(&of_a.records).then_with(|| a.cmp(b));
    if !complete {
        let most = limit.saturating_mul(4).max(100);
        if list.len() > most {
            list.select_nth_unstable_by(most, order);
            list.truncate(most);
        }
        for (value, (count, from)) in &mut list {
            for (_, segment) in segments.iter().enumerate().filter(|(at, _)| from.binary_search(at).is_err()) {
                if let Some(ord) = segment.column.dictionary().term_ord(&*value)? {
                    count.merge(&segment.count(ord));
                }
            }
        }
    }
    list.sort_unstable_by(order);
    list.truncate(limit);
    Ok((list.into_iter().map(|(value, (count, _))| (value, count)).collect(), different))
}

pub(super) struct CountColumns {
    times: Column<u64>,
    fields: Vec<Option<InSegment>>,
    time_values: Vec<u64>,
    scratch: Scratch,
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
        Ok(CountColumns { times: segment.number(Number::Time)?, fields, time_values: Vec::new(), scratch: Scratch::default() })
    }

    fn docs(&mut self, columns: &mut CountColumns, docs: &Docs) {
        let CountColumns { times, fields, time_values, scratch } = columns;
        if !self.timed && !self.fields.is_empty() {
            self.all.records += docs.len() as u64;
            for InSegment { column, records, .. } in fields.iter_mut().flatten() {
                block::each(column.ords(), docs, scratch, |ord| {
                    if let Some(records) = records.get_mut(ord as usize) {
                        *records += 1;
                    }
                });
            }
            return;
        }
        let times = first_values(times, docs, time_values, scratch);
        times.iter().filter(|time| **time != NONE).for_each(|time| self.all.add(*time));
        let at = |doc: u32| match docs {
            Docs::All(range) => times.get((doc - range.start) as usize),
            Docs::Some(list) => list.binary_search(&doc).ok().and_then(|at| times.get(at)),
        };
        for own in fields.iter_mut().flatten() {
            let ords = own.column.ords().clone();
            block::each_with_doc(&ords, docs, scratch, |doc, ord| own.add(ord, at(doc).copied().unwrap_or_default()));
        }
    }

    fn needed(&self) -> Option<Field> {
        match self.fields.as_slice() {
            [only] if self.timed => Some(*only),
            _ => None,
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tantivy::indexer::NoMergePolicy;
    use tantivy::schema::{Schema, TextOptions};
    use tantivy::{Index, TantivyDocument};

    /// Leaders are counted in every segment, also in those where others were commoner.
    #[test]
    fn leaders_are_exact_over_segments_that_propose_only_some() {
        let mut builder = Schema::builder();
        let field = builder.add_text_field(Field::User.name(), TextOptions::default().set_fast("raw"));
        let index = Index::create_in_ram(builder.build());
        let mut writer = index.writer_with_num_threads::<TantivyDocument>(1, 20_000_000).unwrap();
        writer.set_merge_policy(Box::new(NoMergePolicy));
        let mut exact: HashMap<String, u64> = HashMap::new();
        let mut put = |writer: &mut tantivy::IndexWriter, user: String, times: u64| {
            *exact.entry(user.clone()).or_default() += times;
            for _ in 0..times {
                let mut document = TantivyDocument::default();
                document.add_text(field, &user);
                writer.add_document(document).unwrap();
            }
        };
        for segment in 0..5_u64 {
            // The leader is commonest in none but the first; each segment has favourites of its own.
            put(&mut writer, "leader".into(), if segment == 0 { 60 } else { 3 });
            for n in 0..30 {
                put(&mut writer, format!("own{segment}-{n}"), 4 + n % 5);
                put(&mut writer, format!("all{n}"), 1 + n / 4);
            }
            writer.commit().unwrap();
        }
        let searcher = index.reader().unwrap().searcher();
        assert_eq!(searcher.segment_readers().len(), 5);
        let counted = |reader| {
            let column = Segment { reader }.text(Field::User).unwrap().unwrap();
            let mut own = InSegment { records: vec![0; column.num_terms()], times: Vec::new(), column };
            for doc in 0..reader.max_doc() {
                let ord = own.column.ords().first(doc).unwrap();
                own.add(ord, 0);
            }
            own
        };
        let segments: Vec<_> = searcher.segment_readers().iter().map(counted).collect();
        let read = HashMap::from([("leader".to_owned(), Count { records: 5, first: 0, last: 0 })]);
        *exact.get_mut("leader").unwrap() += 5;
        let (leaders, different) = top(&segments, read, 10, 12).unwrap();
        assert!(different >= 12 && leaders.len() == 10);
        assert_eq!((leaders[0].0.as_str(), leaders[0].1.records), ("leader", 77));
        for (user, count) in &leaders {
            assert_eq!(count.records, exact[user], "{user}");
        }
        assert!(leaders.windows(2).all(|two| two[0].1.records >= two[1].1.records));
    }
}
