//! Which records of one segment of the index a question means.

use super::facts::Field;
use super::index::{Number, id_bits, other};
use super::question::{Question, Test, Wanted};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tantivy::columnar::{Column, Dictionary, StrColumn, TermOrdHit};
use tantivy::index::SegmentId;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{BitSet, SegmentReader};

/// Records looked at together: their columns are read in blocks of this many.
pub(super) const BLOCK: usize = 4096;

/// A segment and its columns.
pub(super) struct Segment<'s> {
    pub(super) reader: &'s SegmentReader,
}

impl Segment<'_> {
    /// The texts of a field; `None` where no record of the segment has any.
    pub(super) fn text(&self, field: Field) -> io::Result<Option<StrColumn>> {
        self.reader.fast_fields().str(field.name()).map_err(other)
    }

    pub(super) fn number(&self, number: Number) -> io::Result<Column<u64>> {
        self.reader.fast_fields().u64(number.name()).map_err(other)
    }
}

/// The records that hold each run of the words.
type Found = Arc<Vec<BitSet>>;

/// Which records hold the words that were asked for last: one page asks the same question several times.
#[derive(Default)]
pub(super) struct WordMemory(Mutex<(Vec<String>, HashMap<SegmentId, Found>)>);

impl WordMemory {
    fn get(&self, words: &[String], segment: SegmentId) -> Option<Found> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.1.get(&segment).filter(|_| memory.0 == words).cloned()
    }

    fn put(&self, words: &[String], segment: SegmentId, found: &Found) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.0 != words {
            *memory = (words.to_vec(), HashMap::new());
        }
        memory.1.insert(segment, Arc::clone(found));
    }
}

/// Which terms of a column a test accepts.
enum Terms {
    /// Those in a row: names that begin alike stand together.
    Row(std::ops::Range<u64>),
    Some(Vec<bool>),
}

impl Terms {
    fn of(column: &StrColumn, wanted: &Wanted) -> io::Result<Self> {
        let dictionary = column.dictionary();
        if let Wanted::Begins(beginning) = wanted {
            return Ok(Self::Row(row(dictionary, beginning.as_bytes())?));
        }
        let mut accepted = vec![false; dictionary.num_terms()];
        let mut stream = dictionary.stream()?;
        let mut at = 0;
        while stream.advance() {
            if let (Some(slot), Ok(term)) = (accepted.get_mut(at), std::str::from_utf8(stream.key())) {
                *slot = wanted.accepts(term);
            }
            at += 1;
        }
        Ok(Self::Some(accepted))
    }

    fn accept(&self, ord: u64) -> bool {
        match self {
            Self::Row(row) => row.contains(&ord),
            Self::Some(accepted) => accepted.get(ord as usize).copied().unwrap_or(false),
        }
    }

    fn nothing(&self) -> bool {
        match self {
            Self::Row(row) => row.is_empty(),
            Self::Some(accepted) => !accepted.contains(&true),
        }
    }
}

/// The places of the terms that begin so.
fn row(dictionary: &Dictionary, beginning: &[u8]) -> io::Result<std::ops::Range<u64>> {
    let place = |key: &[u8]| {
        Ok::<_, io::Error>(match dictionary.term_ord_or_next(key)? {
            TermOrdHit::Exact(ord) => ord,
            TermOrdHit::Next(ord) => ord.min(dictionary.num_terms() as u64),
        })
    };
    let mut after = beginning.to_vec();
    while after.last() == Some(&0xff) {
        after.pop();
    }
    let to = match after.last_mut() {
        Some(last) => {
            *last += 1;
            place(&after)?
        }
        None => dictionary.num_terms() as u64,
    };
    Ok(place(beginning)?..to)
}

/// A question, prepared for one segment.
pub(super) struct Filter<'s> {
    segment: &'s Segment<'s>,
    time: Option<(Column<u64>, std::ops::Range<u64>)>,
    tests: Vec<Vec<(Column<u64>, Terms)>>,
    files: Option<(Column<u64>, &'s HashSet<u64>)>,
    id: Option<(Column<u64>, u64)>,
    before: Option<(Column<u64>, u64)>,
    /// The records that hold each run of the words.
    words: Found,
    /// No record can match.
    pub(super) nothing: bool,
    /// The words choose only candidates: their records have to be read.
    pub(super) unproven: bool,
}

impl<'s> Filter<'s> {
    /// Prepares it. `present` holds the files that are still there, where some are not.
    pub(super) fn new(
        segment: &'s Segment<'s>,
        question: &Question,
        before: Option<u64>,
        id: Option<&str>,
        present: Option<&'s HashSet<u64>>,
        memory: &WordMemory,
    ) -> io::Result<Self> {
        let times = segment.number(Number::Time)?;
        let (oldest, newest) = (times.min_value(), times.max_value());
        let within = question.since <= oldest && newest < question.until;
        let mut filter = Self {
            nothing: newest < question.since || oldest >= question.until,
            time: (!within).then_some((times, question.since..question.until)),
            tests: Vec::new(),
            files: present.map(|present| Ok::<_, io::Error>((segment.number(Number::File)?, present))).transpose()?,
            id: id.map(|id| Ok::<_, io::Error>((segment.number(Number::Id)?, id_bits(id)))).transpose()?,
            before: before.map(|before| Ok::<_, io::Error>((segment.number(Number::Sequence)?, before))).transpose()?,
            words: Arc::default(),
            unproven: id.is_some(),
            segment,
        };
        for test in &question.tests {
            if filter.nothing {
                return Ok(filter);
            }
            let any = filter.test(test)?;
            filter.nothing |= any.is_empty();
            filter.tests.push(any);
        }
        if !question.words.is_empty() && !filter.nothing {
            filter.words(&question.words, memory)?;
        }
        Ok(filter)
    }

    fn test(&self, test: &Test) -> io::Result<Vec<(Column<u64>, Terms)>> {
        let mut any = Vec::new();
        for field in &test.fields {
            if let Some(column) = self.segment.text(*field)? {
                let terms = Terms::of(&column, &test.wanted)?;
                if !terms.nothing() {
                    any.push((column.ords().clone(), terms));
                }
            }
        }
        Ok(any)
    }

    /// Finds the records whose words hold those that are asked for.
    ///
    /// A word of letters and digits can only stand inside one word of the index. One with other characters in it is taken apart;
    /// a record that has all its runs is a candidate.
    fn words(&mut self, words: &[String], memory: &WordMemory) -> io::Result<()> {
        let mut runs: Vec<Run> = Vec::new();
        for word in words {
            let parts: Vec<_> = word.split(|c: char| !c.is_alphanumeric()).collect();
            self.unproven |= parts.len() > 1;
            for (at, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
                runs.push(Run { text: part, open: (at == 0, at + 1 == parts.len()), found: BitSet::with_max_value(self.max()) });
            }
        }
        if runs.is_empty() {
            return Ok(());
        }
        if let Some(known) = memory.get(words, self.segment.reader.segment_id()) {
            self.nothing |= known.iter().any(|found| found.len() == 0);
            self.words = known;
            return Ok(());
        }
        let field = self.segment.reader.schema().get_field("words").map_err(other)?;
        let index = self.segment.reader.inverted_index(field).map_err(other)?;
        let mut stream = index.terms().stream()?;
        let mut postings: Option<BlockSegmentPostings> = None;
        while stream.advance() {
            let (term, info): (&[u8], &TermInfo) = (stream.key(), stream.value());
            for run in runs.iter_mut().filter(|run| run.accepts(term)) {
                match &mut postings {
                    Some(postings) => index.reset_block_postings_from_terminfo(info, postings)?,
                    None => postings = Some(index.read_block_postings_from_terminfo(info, IndexRecordOption::Basic)?),
                }
                while let Some(docs) = postings.as_ref().map(BlockSegmentPostings::docs).filter(|docs| !docs.is_empty()) {
                    for doc in docs {
                        run.found.insert(*doc);
                    }
                    if let Some(postings) = &mut postings {
                        postings.advance();
                    }
                }
            }
        }
        self.nothing |= runs.iter().any(|run| run.found.len() == 0);
        self.words = Arc::new(runs.into_iter().map(|run| run.found).collect());
        memory.put(words, self.segment.reader.segment_id(), &self.words);
        Ok(())
    }

    fn max(&self) -> u32 {
        self.segment.reader.max_doc()
    }

    /// The records that match, in blocks, ascending. False from `take` ends it.
    pub(super) fn each(&self, mut take: impl FnMut(&[u32]) -> io::Result<bool>) -> io::Result<()> {
        let mut docs: Vec<u32> = Vec::with_capacity(BLOCK);
        let mut values: Vec<Option<u64>> = Vec::with_capacity(BLOCK);
        let mut from = 0;
        while from < self.max() && !self.nothing {
            let to = from.saturating_add(BLOCK as u32).min(self.max());
            docs.clear();
            docs.extend(from..to);
            for words in self.words.iter() {
                docs.retain(|doc| words.contains(*doc));
            }
            if let Some(alive) = self.segment.reader.alive_bitset() {
                docs.retain(|doc| alive.is_alive(*doc));
            }
            let ranged = |column: &Column<u64>, docs: &mut Vec<u32>, values: &mut Vec<Option<u64>>, keep: &dyn Fn(u64) -> bool| {
                retain(column, docs, values, keep);
            };
            if let Some((column, range)) = &self.time {
                ranged(column, &mut docs, &mut values, &|time| range.contains(&time));
            }
            if let Some((column, before)) = &self.before {
                ranged(column, &mut docs, &mut values, &|sequence| sequence < *before);
            }
            if let Some((column, id)) = &self.id {
                ranged(column, &mut docs, &mut values, &|bits| bits == *id);
            }
            if let Some((column, present)) = &self.files {
                ranged(column, &mut docs, &mut values, &|file| present.contains(&file));
            }
            for any in &self.tests {
                match any.as_slice() {
                    [(column, terms)] if !column.get_cardinality().is_multivalue() => {
                        ranged(column, &mut docs, &mut values, &|ord| terms.accept(ord));
                    }
                    any => {
                        docs.retain(|doc| any.iter().any(|(column, terms)| column.values_for_doc(*doc).any(|ord| terms.accept(ord))));
                    }
                }
            }
            if !docs.is_empty() && !take(&docs)? {
                break;
            }
            from = to;
        }
        Ok(())
    }
}

/// Keeps the records whose value is to be kept; those without a value go.
fn retain(column: &Column<u64>, docs: &mut Vec<u32>, values: &mut Vec<Option<u64>>, keep: &dyn Fn(u64) -> bool) {
    values.clear();
    values.resize(docs.len(), None);
    column.first_vals(docs, values);
    let mut at = 0;
    docs.retain(|_| {
        at += 1;
        values[at - 1].is_some_and(keep)
    });
}

/// A run of letters and digits that is looked for in the index's words.
struct Run<'w> {
    text: &'w str,
    /// Whether the index's word may go on before it and after it.
    open: (bool, bool),
    found: BitSet,
}

impl Run<'_> {
    fn accepts(&self, term: &[u8]) -> bool {
        let text = self.text.as_bytes();
        match self.open {
            (true, true) => memchr::memmem::find(term, text).is_some(),
            (true, false) => term.ends_with(text),
            (false, true) => term.starts_with(text),
            (false, false) => term == text,
        }
    }
}
