//! Questions asked of the whole trail: what is in the index by its columns, the rest by reading it.

use super::block::Docs;
use super::cause::Cause;
use super::counts::{Count, Counts};
use super::facts::{Facts, Field};
use super::index::{Number, Opened, State};
use super::question::Question;
use super::segment::{Beside, Filter, Memory, Segment};
use super::tally::{Newest, Place, Places, Spread, Tally};
use crate::audit::read::{self, Forward};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tantivy::Searcher;

/// Threads that look through the index for one question.
const THREADS_MAX: usize = 4;
/// Records read for one question, where the index alone cannot tell whether they match: about two seconds of work.
const READ_MAX: usize = 50_000;
/// Groups, values and records in one answer.
pub const ANSWERS_MAX: usize = 10_000;
/// Spans of time that counts are given for.
pub const SPANS_MAX: usize = 400;

/// The trail with its index, if there is one.
pub struct Library {
    directory: PathBuf,
    index: Option<PathBuf>,
    opened: Mutex<Option<Arc<Opened>>>,
    memory: Arc<Memory>,
}

/// The trail as it is at one moment.
pub struct Snapshot {
    files: BTreeMap<u64, PathBuf>,
    searcher: Option<Searcher>,
    state: State,
    /// Files of the index that are no longer there.
    gone: bool,
    memory: Arc<Memory>,
}

/// An answer, and whether it is the whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was found.
    pub found: T,
    /// False where the words asked for cannot be told from the index alone and more records had to be read than are read for one
    /// question: what is older was not looked at.
    pub whole: bool,
}

/// The values of one field by their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// The commonest, each with its count of records.
    pub values: Vec<(String, u64)>,
    /// At least how many different ones there are.
    pub different: usize,
    /// Records in all.
    pub records: u64,
}

/// Counts over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Where the first span begins, in microseconds since the Unix epoch.
    pub from: u64,
    /// The width of a span in microseconds.
    pub width: u64,
    /// By value, the counts of every span; the commonest value first.
    pub series: Vec<(String, Vec<u64>)>,
    /// Records in all.
    pub records: u64,
    /// Times from the head's arrival to the end of the response, in microseconds: half took no longer, 95 and 99 of a hundred.
    /// Upper ends of spans that double.
    pub took: Option<[u64; 3]>,
}

/// Records of one cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// What caused them.
    pub cause: Cause,
    /// How many.
    pub records: u64,
    /// The time of the first, in microseconds since the Unix epoch.
    pub first: u64,
    /// The time of the last.
    pub last: u64,
    /// Counts over time.
    pub counts: Vec<u64>,
}

impl Library {
    /// The trail in `directory` with the index in `index`.
    pub fn new(directory: &Path, index: Option<&Path>) -> Self {
        Self { directory: directory.to_owned(), index: index.map(Path::to_owned), opened: Mutex::default(), memory: Arc::default() }
    }

    /// The trail as it is now.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn snapshot(&self) -> io::Result<Snapshot> {
        let opened = {
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            let there = self.index.as_deref().is_some_and(|index| super::index::folder(index).join("meta.json").exists());
            if !there {
                *opened = None;
            } else if opened.is_none() {
                *opened = self.index.as_deref().and_then(Opened::open).map(Into::into);
            }
            opened.clone()
        };
        // An index that cannot be read is as good as none: the records are read instead.
        let (searcher, state) = match opened.as_deref().map(Opened::snapshot) {
            Some(Ok((searcher, state))) => (Some(searcher), state),
            _ => {
                *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = None;
                (None, State::default())
            }
        };
        // The files are listed last: what the index says of a file that was begun later is never too much.
        let files: BTreeMap<_, _> =
            read::files(&self.directory)?.into_iter().filter_map(|path| Some((read::number(&path)?, path))).collect();
        let gone = state.files.keys().any(|number| !files.contains_key(number));
        Ok(Snapshot { files, searcher, state, gone, memory: Arc::clone(&self.memory) })
    }
}

/// What is looked for, beside the question itself.
#[derive(Clone, Copy, Default)]
struct Bounds<'b> {
    before: Option<u64>,
    id: Option<&'b str>,
}

impl Snapshot {
    /// Bytes of files that are not in the index and have to be read for every question; compressed ones as they are.
    pub fn unindexed_bytes(&self) -> u64 {
        self.tails().map(|(_, path, from)| read::size_hint(path).unwrap_or_default().saturating_sub(from)).sum()
    }

    /// Whether there is an index.
    pub fn is_indexed(&self) -> bool {
        self.searcher.is_some()
    }

    /// The newest records that match, newest first; with `before`, only those with a smaller number in the trail.
    ///
    /// # Errors
    /// When the files or the index cannot be read.
    pub fn newest(&self, question: &Question, limit: usize, before: Option<u64>) -> io::Result<Answer<Vec<Vec<u8>>>> {
        let limit = limit.min(ANSWERS_MAX);
        let answer = self.ask(question, Bounds { before, id: None }, || Newest::new(limit))?;
        Ok(Answer { found: self.lines(answer.found.places())?, whole: answer.whole })
    }

    /// All records of one event, oldest first.
    ///
    /// # Errors
    /// When the files or the index cannot be read.
    pub fn story(&self, id: &str) -> io::Result<Vec<Vec<u8>>> {
        let answer = self.ask(&Question::all(), Bounds { before: None, id: Some(id) }, || Newest::new(ANSWERS_MAX))?;
        let mut lines = self.lines(answer.found.places())?;
        lines.reverse();
        Ok(lines)
    }

    /// The commonest values of some fields.
    ///
    /// # Errors
    /// When the files or the index cannot be read.
    pub fn top(&self, question: &Question, fields: &[Field], limit: usize) -> io::Result<Answer<Vec<Top>>> {
        let answer = self.ask(question, Bounds::default(), || Counts::new(fields, false))?;
        let records = answer.found.all().records;
        let top = answer.found.top(limit.min(ANSWERS_MAX))?.into_iter().map(|(values, different)| Top {
            values: values.into_iter().map(|(value, count)| (value, count.records)).collect(),
            different,
            records,
        });
        Ok(Answer { found: top.collect(), whole: answer.whole })
    }

    /// Counts over time by a field, in so many spans over the time asked for; where none is, over that of all records.
    ///
    /// # Errors
    /// When the files or the index cannot be read.
    pub fn timeline(&self, question: &Question, field: Field, spans: usize) -> io::Result<Answer<Timeline>> {
        let spans = spans.clamp(1, SPANS_MAX);
        let Some((from, to)) = self.extent(question)? else { return Ok(Answer { found: Timeline::default(), whole: true }) };
        let width = (to - from) / spans as u64 + 1;
        let answer = self.ask(question, Bounds::default(), || Spread::new(field, from, width, spans, Vec::new()))?;
        let took = percentiles(&answer.found.took);
        let mut series: Vec<_> = answer.found.series().into_iter().collect();
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        series.sort_unstable_by(|(a, of_a), (b, of_b)| sum(of_b).cmp(&sum(of_a)).then_with(|| a.cmp(b)));
        let records = series.iter().map(|(_, counts)| sum(counts)).sum();
        Ok(Answer { found: Timeline { from, width, series, records, took }, whole: answer.whole })
    }

    /// The causes with most records, and how many causes there are.
    ///
    /// # Errors
    /// When the files or the index cannot be read.
    pub fn groups(&self, question: &Question, limit: usize, spans: usize) -> io::Result<Answer<(Vec<Group>, usize)>> {
        let spans = spans.clamp(1, SPANS_MAX);
        let answer = self.ask(question, Bounds::default(), || Counts::new(&[Field::Cause], true))?;
        let (values, different) = answer.found.top(limit.min(ANSWERS_MAX))?.pop().unwrap_or_default();
        let from = values.iter().map(|(_, count)| count.first).min().unwrap_or_default();
        let to = values.iter().map(|(_, count)| count.last).max().unwrap_or_default();
        let only: Vec<_> = values.iter().map(|(value, _)| value.clone()).collect();
        let mut series = if only.is_empty() {
            std::collections::HashMap::new()
        } else {
            let width = (to - from) / spans as u64 + 1;
            self.ask(question, Bounds::default(), || Spread::new(Field::Cause, from, width, spans, only.clone()))?.found.series()
        };
        let group = |(value, count): (String, Count)| Group {
            cause: Cause::parse(&value),
            records: count.records,
            first: count.first,
            last: count.last,
            counts: series.remove(&value).unwrap_or_default(),
        };
        Ok(Answer { found: (values.into_iter().map(group).collect(), different), whole: answer.whole })
    }

    /// The first and last time that a question is about; where it does not say, those of all records.
    fn extent(&self, question: &Question) -> io::Result<Option<(u64, u64)>> {
        let (mut first, mut last) = (question.since, question.until.saturating_sub(1));
        if first == 0 || question.until == u64::MAX {
            let mut all = Counts::new(&[], false);
            // The columns' ends are those of all records, also of those that were taken out.
            let readers = || self.searcher.iter().flat_map(|searcher| searcher.segment_readers());
            if self.gone || readers().any(|reader| reader.has_deletes()) {
                all = self.ask(&Question::all(), Bounds::default(), || Counts::new(&[], false))?.found;
            } else {
                self.read_tails(&mut all, &Question::all(), Bounds::default())?;
                for reader in readers() {
                    let times = Segment { reader }.number(Number::Time)?;
                    all.widen(times.min_value(), times.max_value());
                }
            }
            first = first.max(all.all().first);
            last = last.min(all.all().last);
        }
        Ok((first <= last).then_some((first, last)))
    }

    /// Makes something of all records that match.
    fn ask<T: Tally>(&self, question: &Question, bounds: Bounds, make: impl Fn() -> T + Sync) -> io::Result<Answer<T>> {
        let present: HashSet<u64> = if self.gone { self.files.keys().copied().collect() } else { HashSet::new() };
        let mut segments: Vec<_> =
            self.searcher.iter().flat_map(|searcher| searcher.segment_readers()).map(|r| Segment { reader: r }).collect();
        let newest = |segment: &Segment| segment.number(Number::Sequence).map_or(0, |column| column.max_value());
        segments.sort_by_cached_key(|segment| std::cmp::Reverse(newest(segment)));
        let look = Look {
            snapshot: self,
            question,
            bounds,
            present: self.gone.then_some(&present),
            segments: &segments,
            next: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
        };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_MAX).min(segments.len());
        let mut tally = make();
        // What is not in the index is newer than what is.
        self.read_tails(&mut tally, question, bounds)?;
        let result = std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads)
                .map(|_| {
                    scope.spawn(|| {
                        let mut own = make();
                        look.segments(&mut own).map(|()| own)
                    })
                })
                .collect();
            look.segments(&mut tally)?;
            for helper in helpers {
                tally.merge(helper.join().map_err(|_| io::Error::other("a thread of the search ended"))??);
            }
            Ok::<_, io::Error>(tally)
        })?;
        Ok(Answer { found: result, whole: look.read.load(Relaxed) < READ_MAX })
    }

    /// Files that are not wholly in the index, and from where they are not.
    fn tails(&self) -> impl Iterator<Item = (u64, &Path, u64)> {
        self.files.iter().filter_map(|(number, path)| match self.state.files.get(number) {
            Some(part) if part.closed => None,
            part => Some((*number, path.as_path(), part.map_or(0, |part| part.bytes))),
        })
    }

    fn read_tails<T: Tally>(&self, tally: &mut T, question: &Question, bounds: Bounds) -> io::Result<()> {
        for (file, path, from) in self.tails() {
            let mut lines = match Forward::open_at(path, from) {
                Ok(lines) => lines,
                // Retired since the files were listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let mut offset = from;
            while let Some(line) = lines.next_line()? {
                let place = Place { file, offset };
                offset += line.bytes.len() as u64 + u64::from(!line.torn);
                if line.torn {
                    if line.is_too_long() {
                        continue;
                    }
                    break;
                }
                let Some(facts) = Facts::read(&line.bytes) else { continue };
                let meant = bounds.id.is_none_or(|id| facts.id() == id) && bounds.before.is_none_or(|before| facts.sequence() < before);
                if meant && question.matches(&facts) {
                    tally.record(&facts, place);
                }
            }
        }
        Ok(())
    }

    /// The lines at some places, in the order of the places. Lines that are no longer there are left out.
    fn lines(&self, places: Vec<(u64, Place)>) -> io::Result<Vec<Vec<u8>>> {
        let mut by_file: BTreeMap<u64, Vec<(u64, usize)>> = BTreeMap::new();
        for (at, (_, place)) in places.iter().enumerate() {
            by_file.entry(place.file).or_default().push((place.offset, at));
        }
        let mut lines = vec![None; places.len()];
        for (file, mut wanted) in by_file {
            wanted.sort_unstable();
            let Some(path) = self.files.get(&file) else { continue };
            let offsets: Vec<u64> = wanted.iter().map(|(offset, _)| *offset).collect();
            match read::lines_at(path, &offsets) {
                Ok(found) => found.into_iter().zip(wanted).for_each(|(line, (_, at))| lines[at] = line),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lines.into_iter().flatten().collect())
    }
}

/// One question on its way through the segments; threads share it.
struct Look<'l> {
    snapshot: &'l Snapshot,
    question: &'l Question,
    bounds: Bounds<'l>,
    present: Option<&'l HashSet<u64>>,
    /// The newest first.
    segments: &'l [Segment<'l>],
    next: AtomicUsize,
    /// Records read to tell whether they match.
    read: AtomicUsize,
}

impl Look<'_> {
    fn segments<T: Tally>(&self, tally: &mut T) -> io::Result<()> {
        while let Some(segment) = self.segments.get(self.next.fetch_add(1, Relaxed)) {
            if tally.full(segment.number(Number::Sequence)?.max_value()) {
                continue;
            }
            let beside = Beside { before: self.bounds.before, id: self.bounds.id, needed: tally.needed() };
            let filter = Filter::new(segment, self.question, beside, self.present, &self.snapshot.memory)?;
            if filter.nothing {
                continue;
            }
            let mut columns = tally.open(segment)?;
            if filter.unproven {
                self.proven(segment, &filter, tally, &mut columns)?;
            } else {
                filter.each(|docs| tally.docs(&mut columns, docs));
            }
            tally.close(columns)?;
        }
        Ok(())
    }

    /// Takes the records that match when they are read, newest first.
    fn proven<T: Tally>(&self, segment: &Segment, filter: &Filter, tally: &mut T, columns: &mut T::Columns) -> io::Result<()> {
        let places = Places::of(segment)?;
        let mut candidates: Vec<(u64, u32)> = Vec::new();
        filter.each(|docs| {
            let mut list = Vec::with_capacity(docs.len());
            docs.push_to(&mut list);
            candidates.extend(list.into_iter().map(|doc| (places.sequence(doc), doc)));
        });
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        for some in candidates.chunks(256) {
            if tally.full(some.first().map_or(0, |(sequence, _)| *sequence)) || self.read.fetch_add(some.len(), Relaxed) >= READ_MAX {
                break;
            }
            let mut meant = Vec::new();
            for (sequence, doc) in some {
                let found = self.snapshot.lines(vec![(*sequence, places.place(*doc))])?;
                let facts = found.first().and_then(|line| Facts::read(line));
                let id = |facts: &Facts| self.bounds.id.is_none_or(|id| facts.id() == id);
                if facts.is_some_and(|facts| id(&facts) && self.question.words_match(&facts)) {
                    meant.push(*doc);
                }
            }
            meant.sort_unstable();
            if !meant.is_empty() {
                tally.docs(columns, &Docs::Some(&meant));
            }
        }
        Ok(())
    }
}

/// The ends of the spans below which half, 95 and 99 of a hundred lie.
fn percentiles(by_bits: &[u64; 65]) -> Option<[u64; 3]> {
    let all: u64 = by_bits.iter().sum();
    let below = |hundredths: u64| {
        let mut seen = 0;
        let bits = by_bits.iter().position(|count| {
            seen += count;
            seen * 100 >= all * hundredths
        });
        bits.map_or(u64::MAX, |bits| 1_u64.checked_shl(bits as u32).map_or(u64::MAX, |end| end - 1))
    };
    (all > 0).then(|| [below(50), below(95), below(99)])
}
