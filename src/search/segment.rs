//! Which records of one segment of the index a question means.

use super::block::{Accepted, BLOCK, Docs, Left};
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

/// Segments for which the words asked for last are remembered; an index has some dozens.
const SEGMENTS_MAX: usize = 256;

/// The records that hold each run of the words.
type Found = Arc<Vec<BitSet>>;

/// Tests whose terms are remembered, over all segments.
const TERMS_MAX: usize = 1_024;

/// Bytes of one test's terms beyond which they are looked for again.
const TERMS_BYTES_MAX: usize = 32 * 1024;

/// Terms of segments that a test accepts, by the segment, the field and the test in words.
type Known = HashMap<(SegmentId, Field, String), Option<Arc<Accepted>>>;

/// What was found out about segments, which never change, for the questions asked last: one page asks the same question several times,
/// and so does its reload.
#[derive(Default)]
pub(super) struct Memory {
    /// Which records hold the words that were asked for last.
    words: Mutex<(Vec<String>, HashMap<SegmentId, Found>)>,
    /// Which terms tests accept.
    terms: Mutex<Known>,
}

impl Memory {
    fn terms(&self, segment: &Segment, field: Field, wanted: &Wanted) -> io::Result<Option<(Column<u64>, Arc<Accepted>)>> {
        let Some(column) = segment.text(field)? else { return Ok(None) };
        let key = (segment.reader.segment_id(), field, format!("{wanted:?}"));
        let known = self.terms.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let accepted = match known {
            Some(known) => known,
            None => {
                let found = terms(&column, wanted)?.map(Arc::new);
                if found.as_ref().is_none_or(|found| found.bytes() <= TERMS_BYTES_MAX) {
                    let mut memory = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
                    if memory.len() >= TERMS_MAX {
                        memory.clear();
                    }
                    memory.insert(key, found.clone());
                }
                found
            }
        };
        Ok(accepted.map(|accepted| (column.ords().clone(), accepted)))
    }

    fn get(&self, words: &[String], segment: SegmentId) -> Option<Found> {
        let memory = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        memory.1.get(&segment).filter(|_| memory.0 == words).cloned()
    }

    fn put(&self, words: &[String], segment: SegmentId, found: &Found) {
        let mut memory = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.0 != words {
            *memory = (words.to_vec(), HashMap::new());
        }
        if memory.1.len() >= SEGMENTS_MAX {
            // Most are of segments that were merged away.
            memory.1.clear();
        }
        memory.1.insert(segment, Arc::clone(found));
    }
}

/// Which terms of a column a test accepts; `None` for none.
fn terms(column: &StrColumn, wanted: &Wanted) -> io::Result<Option<Accepted>> {
    let dictionary = column.dictionary();
    if let Wanted::Begins(beginning) = wanted {
        let row = row(dictionary, beginning.as_bytes())?;
        return Ok((!row.is_empty()).then(|| Accepted::Row(row.start..=row.end - 1)));
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
    Ok(Accepted::of(accepted))
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
    /// Records need a value here to be of any use.
    needed: Option<Column<u64>>,
    /// Each must have an accepted value in one of its columns.
    tests: Vec<Vec<(Column<u64>, Arc<Accepted>)>>,
    files: Option<(Column<u64>, &'s HashSet<u64>)>,
    /// The records that hold each run of the words.
    words: Found,
    /// No record can match.
    pub(super) nothing: bool,
    /// The words choose only candidates: their records have to be read.
    pub(super) unproven: bool,
}

/// What is asked of a segment beside the question.
#[derive(Clone, Copy, Default)]
pub(super) struct Beside<'b> {
    /// Only smaller numbers in the trail.
    pub(super) before: Option<u64>,
    /// Only this event.
    pub(super) id: Option<&'b str>,
    /// Only records with a value here are of use.
    pub(super) needed: Option<Field>,
}

impl<'s> Filter<'s> {
    /// Prepares it. `present` holds the files that are still there, where some are not.
    pub(super) fn new(
        segment: &'s Segment<'s>,
        question: &Question,
        beside: Beside,
        present: Option<&'s HashSet<u64>>,
        memory: &Memory,
    ) -> io::Result<Self> {
        let times = segment.number(Number::Time)?;
        let (oldest, newest) = (times.min_value(), times.max_value());
        let mut filter = Self {
            nothing: newest < question.since || oldest >= question.until || beside.before == Some(0),
            needed: None,
            tests: Vec::new(),
            files: present.map(|present| Ok::<_, io::Error>((segment.number(Number::File)?, present))).transpose()?,
            words: Arc::default(),
            unproven: beside.id.is_some(),
            segment,
        };
        let mut number =
            |column: Column<u64>, row: std::ops::RangeInclusive<u64>| filter.tests.push(vec![(column, Arc::new(Accepted::Row(row)))]);
        if !(question.since <= oldest && newest < question.until) {
            number(times, question.since..=question.until.saturating_sub(1));
        }
        if let Some(before) = beside.before {
            number(segment.number(Number::Sequence)?, 0..=before.saturating_sub(1));
        }
        if let Some(id) = beside.id {
            number(segment.number(Number::Id)?, id_bits(id)..=id_bits(id));
        }
        if let Some(field) = beside.needed {
            match segment.text(field)? {
                Some(column) => filter.needed = Some(column.ords().clone()),
                None => filter.nothing = true,
            }
        }
        for test in &question.tests {
            if filter.nothing {
                return Ok(filter);
            }
            let any = filter.test(test, memory)?;
            filter.nothing |= any.is_empty();
            filter.tests.push(any);
        }
        if !question.words.is_empty() && !filter.nothing {
            filter.words(&question.words, memory)?;
        }
        Ok(filter)
    }

    fn test(&self, test: &Test, memory: &Memory) -> io::Result<Vec<(Column<u64>, Arc<Accepted>)>> {
        let found = test.fields.iter().filter_map(|field| memory.terms(self.segment, *field, &test.wanted).transpose());
        found.collect()
    }

    /// Finds the records whose words hold those that are asked for.
    ///
    /// A word of letters and digits can only stand inside one word of the index. One with other characters in it is taken apart;
    /// a record that has all its runs is a candidate.
    fn words(&mut self, words: &[String], memory: &Memory) -> io::Result<()> {
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

    /// The records that match, in blocks, the last block first.
    pub(super) fn each(&self, mut take: impl FnMut(&Docs)) {
        let mut left = Left::new();
        let blocks = self.max().div_ceil(BLOCK);
        for block in (0..blocks).rev().filter(|_| !self.nothing) {
            let from = block * BLOCK;
            left.begin(from..from.saturating_add(BLOCK).min(self.max()));
            if let Some(column) = &self.needed {
                left.with_value(column);
            }
            for any in &self.tests {
                if left.is_empty() {
                    break;
                }
                left.any(any);
            }
            for words in self.words.iter() {
                left.retain(|doc| words.contains(doc));
            }
            if let Some(alive) = self.segment.reader.alive_bitset() {
                left.retain(|doc| alive.is_alive(doc));
            }
            if let Some((column, present)) = &self.files {
                left.retain(|doc| column.first(doc).is_some_and(|file| present.contains(&file)));
            }
            if !left.is_empty() {
                take(&left.docs());
            }
        }
    }
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
