//! What a thread knows of heads that come again and again: which operators may match the common values in a view.
//!
//! A browser sends the same headers with every request, save a few. The method, the protocol, the names of all headers in their order and
//! the values of the common ones are the key; it is compared whole. For each view with request headers in it a head remembers what the scanner says of the common
//! values behind the view's transformations, without the operators that have been asked and did not match. A transaction whose head is
//! known looks only at what else it has.

use std::cell::RefCell;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{BLANK, FULL, Sight};
use crate::common_header::is_common_header;
use crate::limits::{COMMON_HEAD_BYTES_MAX, COMMON_HEADERS_MAX, COMMON_HEADS};
use crate::ruleset::{Book, List, NO_COMMON, View};
use crate::transaction::{Transaction, memo};
use crate::variable::Variable;

/// How many hashes of heads that came once are kept, to know those that come again.
const ONCE: usize = 256;

thread_local! {
    static HEADS: RefCell<Heads> = const { RefCell::new(Heads { once: Vec::new(), known: Vec::new(), now: 0 }) };
}

/// The heads of a thread.
struct Heads {
    once: Vec<u64>,
    /// Rows of [`ROW`] places; a head's hash tells its row.
    known: Vec<Option<Known>>,
    /// Counts what was looked for.
    now: u64,
}

/// A head, and when it was used last.
#[derive(Clone)]
struct Known {
    hash: u64,
    used: u64,
    head: Arc<Head>,
}

/// Places of a row.
const ROW: usize = 4;

/// What a rule that does not match has left behind. Texts are copies: they stay with the head.
#[derive(Debug)]
pub(crate) struct Recalled {
    /// The values of its inputs.
    pub(crate) inputs: Box<[Option<Bytes>]>,
    /// Variables of TX: name, its hash, value.
    pub(crate) sets: Box<[(Bytes, u32, Bytes)]>,
    /// The captures, where there were new ones.
    pub(crate) captures: Option<Box<[Bytes]>>,
    /// What has matched last.
    pub(crate) latest: Option<(Variable, Bytes, Bytes)>,
}

/// A head that came more than once.
#[derive(Debug)]
pub(crate) struct Head {
    /// See [`crate::prefilter::Scanner::id`].
    scanner: u64,
    key: Vec<u8>,
    /// One bit for each view with common values in it: whether its words are known.
    learned: Vec<AtomicU64>,
    /// The words of these views.
    words: Vec<AtomicU64>,
    /// One bit for each question, and for each set of them: whether no common value answers any.
    clear: Vec<AtomicU64>,
    /// For each rule that sees nothing but the head what it leaves behind where it does not match.
    rules: Vec<OnceLock<Recalled>>,
}

/// What is known of a transaction's head.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// It was looked for.
    tried: bool,
    head: Option<Arc<Head>>,
    /// Headers whose values are not common, as bits.
    rest: u128,
    key: Vec<u8>,
}

impl Common {
    /// The head may be another one.
    pub(super) fn forget(&mut self) {
        (self.tried, self.head) = (false, None);
    }

    /// Whether the value of a header is not common.
    pub(super) fn is_rest(&self, header: u32) -> bool {
        1_u128.checked_shl(header).is_none_or(|bit| self.rest & bit != 0)
    }

    /// Whether no common value answers any of the questions.
    pub(super) fn is_clear(&self, asked: u32) -> bool {
        let word = self.head.as_ref().and_then(|head| head.clear.get(asked as usize / 64));
        word.is_some_and(|word| word.load(Relaxed) >> (asked % 64) & 1 == 1)
    }

    pub(super) fn clear(&self, asked: u32) {
        if let Some(word) = self.head.as_ref().and_then(|head| head.clear.get(asked as usize / 64)) {
            word.fetch_or(1 << (asked % 64), Relaxed);
        }
    }

    fn find(&mut self, tx: &Transaction, book: &Book, tier: usize) {
        self.tried = true;
        let headers = tx.list(List::RequestHeaders);
        let Some(scanner) = book.scanner(tier).filter(|_| headers.len() <= COMMON_HEADERS_MAX) else { return };
        self.key.clear();
        self.rest = 0;
        for part in [&tx.request.method, &tx.request.protocol] {
            self.key.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.key.extend_from_slice(part);
        }
        for (index, header) in headers.iter().enumerate() {
            let (name, mut value) = (&header.name[..], Some(&header.value[..]));
            if !is_common_header(name) {
                self.rest |= 1 << index;
                value = None;
            }
            // With their lengths, so that no two heads have the same key.
            self.key.extend_from_slice(&(name.len() as u64).to_le_bytes());
            self.key.extend_from_slice(name);
            self.key.extend_from_slice(&value.map_or(u64::MAX, |value| value.len() as u64).to_le_bytes());
            self.key.extend_from_slice(value.unwrap_or_default());
            if self.key.len() > COMMON_HEAD_BYTES_MAX {
                return;
            }
        }
        let hash = memo::hash(&self.key);
        self.head = HEADS.with_borrow_mut(|heads| heads.find(hash, scanner.id(), &self.key, book, scanner.width()));
    }
}

impl Heads {
    fn find(&mut self, hash: u64, scanner: u64, key: &[u8], book: &Book, width: usize) -> Option<Arc<Head>> {
        self.now += 1;
        if self.known.is_empty() {
            self.known.resize(COMMON_HEADS, None);
        }
        let start = hash as usize % (COMMON_HEADS / ROW) * ROW;
        let row = self.known.get_mut(start..start + ROW)?;
        let same = |known: &&mut Known| known.hash == hash && known.head.scanner == scanner && known.head.key == key;
        if let Some(known) = row.iter_mut().flatten().find(same) {
            known.used = self.now;
            return Some(Arc::clone(&known.head));
        }
        if self.once.is_empty() {
            self.once.resize(ONCE, 0);
        }
        // Only what comes again is worth the work: whoever sends another head each time is not learned from.
        let slot = self.once.get_mut((hash ^ scanner) as usize % ONCE)?;
        if std::mem::replace(slot, hash) != hash {
            return None;
        }
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        let views = book.common_views as usize;
        let (learned, words, clear) = (zeros(views.div_ceil(64)), zeros(views * width), zeros(book.questions.div_ceil(64) as usize));
        let rules = (0..book.bound).map(|_| OnceLock::new()).collect();
        let head = Arc::new(Head { scanner, key: key.to_vec(), learned, words, clear, rules });
        let oldest = row.iter_mut().min_by_key(|place| place.as_ref().map_or(0, |known| known.used))?;
        *oldest = Some(Known { hash, used: self.now, head: Arc::clone(&head) });
        Some(head)
    }
}

impl Head {
    /// What a rule that sees nothing but the head leaves behind, where it is known not to match.
    pub(crate) fn recalled(&self, rule: u32) -> Option<&Recalled> {
        self.rules.get(rule as usize)?.get()
    }

    /// Appends the words of a view; false where they are not known.
    fn words(&self, view: u32, width: usize, to: &mut Vec<u64>) -> bool {
        let is_learned = self.learned.get(view as usize / 64).is_some_and(|word| word.load(Acquire) >> (view % 64) & 1 == 1);
        let own = self.words.get(view as usize * width..(view as usize + 1) * width).filter(|_| is_learned);
        own.map(|own| to.extend(own.iter().map(|word| word.load(Relaxed)))).is_some()
    }

    fn learn(&self, view: u32, words: &[u64]) {
        let start = view as usize * words.len();
        let own = self.words.get(start..start + words.len()).into_iter().flatten();
        own.zip(words).for_each(|(own, word)| own.store(*word, Relaxed));
        if let Some(word) = self.learned.get(view as usize / 64) {
            word.fetch_or(1 << (view % 64), Release);
        }
    }
}

impl Sight {
    /// Lends the head that is known of the transaction.
    pub(crate) fn lend_head(&mut self, tx: &Transaction, book: &Book) -> Option<Arc<Head>> {
        self.knows_common(tx, book);
        self.common.head.take()
    }

    /// Takes it back.
    pub(crate) fn give_back(&mut self, head: Arc<Head>) {
        self.common.head = Some(head);
    }

    /// Whether that is not known of a rule, and can be remembered.
    pub(crate) fn wants_recalled(&mut self, tx: &Transaction, book: &Book, rule: u32) -> bool {
        self.knows_common(tx, book);
        self.common.head.as_ref().and_then(|head| head.rules.get(rule as usize)).is_some_and(|rule| rule.get().is_none())
    }

    /// Remembers what a rule left behind.
    pub(crate) fn remember(&self, rule: u32, left: Recalled) {
        if let Some(slot) = self.common.head.as_ref().and_then(|head| head.rules.get(rule as usize)) {
            let _ = slot.set(left);
        }
    }

    /// Whether the head came before with the same common values.
    pub(super) fn knows_common(&mut self, tx: &Transaction, book: &Book) -> bool {
        if !self.common.tried && book.common_views > 0 {
            self.common.find(tx, book, self.tier);
        }
        self.common.head.is_some()
    }

    /// Where the words of a view's common values stand; they are found out and remembered where they are not known. None where the plan
    /// has no room left for it.
    pub(super) fn common_words(&mut self, tx: &Transaction, book: &Book, view: &View, columns: u64) -> Option<u32> {
        let head = self.common.head.take()?;
        let start = self.words.len() as u32;
        let words =
            if head.words(view.common, self.width, &mut self.words) { Some(start) } else { self.learn(tx, book, view, columns, &head) };
        self.common.head = Some(head);
        words
    }

    fn learn(&mut self, tx: &Transaction, book: &Book, view: &View, columns: u64, head: &Head) -> Option<u32> {
        if !self.open(tx, book, view, columns) {
            return None;
        }
        let mut sum = vec![0; self.width];
        for group in view.groups.iter().filter(|group| columns.checked_shr(group.column).unwrap_or(0) & 1 == 1) {
            for watched in &group.watched {
                for at in 0..self.values(book, FULL, watched.unit) {
                    let (value, text) = (self.value(book, watched.unit, at), self.text(book, FULL, watched.unit, at));
                    let (Some(value), Some((_, text))) = (value, text) else { continue };
                    if self.texts.get(value as usize).is_some_and(|value| value.common) {
                        let words = self.texts.get(text as usize).map_or(BLANK, |text| text.words) as usize;
                        let own = self.words.get(words..words + self.width).unwrap_or_default();
                        sum.iter_mut().zip(own).for_each(|(sum, word)| *sum |= word);
                    }
                }
            }
        }
        head.learn(view.common, &sum);
        let start = self.words.len() as u32;
        self.words.extend_from_slice(&sum);
        Some(start)
    }

    /// Looks up all values of those columns of a view that have some, and what becomes of them. False where the plan has no room left.
    fn open(&mut self, tx: &Transaction, book: &Book, view: &View, columns: u64) -> bool {
        for group in view.groups.iter().filter(|group| columns.checked_shr(group.column).unwrap_or(0) & 1 == 1) {
            if !self.look_up(tx, book, FULL, group.column) {
                return false;
            }
            let marks = self.sides[FULL].columns.get(group.column as usize).map_or(0, |filled| filled.marks);
            for watched in group.watched.iter().filter(|watched| marks & watched.reach != 0) {
                if !self.look(tx, book, FULL, watched.unit) {
                    return false;
                }
            }
        }
        true
    }

    /// Makes ready for looking at the values of a view that an operator may match: the columns, as bits, of which only those values
    /// matter that are not common. None where the plan has no room left for it.
    pub(crate) fn open_view(&mut self, tx: &Transaction, book: &Book, view: u32, bit: Option<u32>) -> Option<u64> {
        let (Some(planned), Some(viewed)) = (book.views.get(view as usize), self.views.get(view as usize)) else { return Some(0) };
        if self.common.head.is_none() || planned.common == NO_COMMON {
            return Some(0);
        }
        let columns = planned.mask & book.common_mask;
        let admits = |bit: u32| self.words.get((viewed.common + bit / 64) as usize).is_none_or(|word| word >> (bit % 64) & 1 == 1);
        if bit.is_none_or(admits) {
            return self.open(tx, book, planned, columns).then_some(0);
        }
        Some(columns)
    }

    /// Remembers that an operator matches no common value in a view.
    pub(crate) fn refuse_common(&self, book: &Book, view: u32, bit: u32) {
        let (Some(head), Some(view)) = (&self.common.head, book.views.get(view as usize).filter(|view| view.common != NO_COMMON)) else {
            return;
        };
        if let Some(word) = head.words.get(view.common as usize * self.width + bit as usize / 64) {
            word.fetch_and(!(1 << (bit % 64)), Relaxed);
        }
    }
}
