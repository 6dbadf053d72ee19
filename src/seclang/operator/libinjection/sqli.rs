//! The verdict on SQL: a value is injected SQL when its shape is, bare or behind a quote, in one dialect or the other.

use super::fold::{Folded, SHAPE_TOKENS, fold};
use super::lexer::Context;
use super::token::{Kind, Token};
use super::words::is_injected;

/// The letters of up to five tokens, as libinjection's fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Shape {
    letters: [u8; SHAPE_TOKENS],
    length: usize,
}

impl Shape {
    pub(in crate::operator) fn as_bytes(&self) -> &[u8] {
        self.letters.get(..self.length).unwrap_or_default()
    }
}

/// The shape of the value where it is injected SQL.
pub(in crate::operator) fn sqli(value: &[u8]) -> Option<Shape> {
    if value.is_empty() {
        return None;
    }
    let bare = [(0, false), (0, true)];
    let single = [(b'\'', false), (b'\'', true)];
    let mut found = in_dialects(value, bare);
    if found.is_none() && memchr::memchr(b'\'', value).is_some() {
        found = in_dialects(value, single);
    }
    if found.is_none() && memchr::memchr(b'"', value).is_some() {
        found = read(value, Context { quote: b'"', mysql: true }).0;
    }
    found
}

/// Read by the standard first, and by MySQL where that may differ.
fn in_dialects(value: &[u8], contexts: [(u8, bool); 2]) -> Option<Shape> {
    for (quote, mysql) in contexts {
        let (found, differs) = read(value, Context { quote, mysql });
        if found.is_some() || !differs {
            return found;
        }
    }
    None
}

/// The shape in one context where it is injected SQL, and whether the other dialect may read it in another way.
fn read(value: &[u8], context: Context) -> (Option<Shape>, bool) {
    let mut folded = fold(value, context);
    let differs = folded.differs;
    let shape = shape(&mut folded);
    let found = is_injected(shape.as_bytes()) && !is_ordinary(value, &shape, &folded);
    (found.then_some(shape), differs)
}

fn shape(folded: &mut Folded) -> Shape {
    let mut shape = Shape { letters: [0; SHAPE_TOKENS], length: folded.tokens().len().min(SHAPE_TOKENS) };
    for (slot, token) in shape.letters.iter_mut().zip(folded.tokens()) {
        *slot = token.kind.letter();
    }
    // PHP's trick: a backtick left open and empty at the end is a comment.
    let open_tick = |token: &Token| token.kind == Kind::Bareword && token.open == b'`' && token.close == 0 && token.text().is_empty();
    if shape.length > 2 && folded.tokens().last().is_some_and(open_tick) {
        folded.end_in_comment();
        if let Some(slot) = shape.letters.get_mut(shape.length - 1) {
            *slot = Kind::Comment.letter();
        }
    }
    if folded.tokens().iter().any(|token| token.kind == Kind::Evil) {
        shape = Shape { letters: [Kind::Evil.letter(), 0, 0, 0, 0], length: 1 };
    }
    shape
}

/// Shapes that ordinary text has as well need more than the shape.
fn is_ordinary(value: &[u8], shape: &Shape, folded: &Folded) -> bool {
    let shape = shape.as_bytes();
    if shape.len() > 1 && shape.ends_with(b"c") && memchr::memmem::find(value, b"sp_password").is_some() {
        // SQL Server leaves what holds this word out of its log.
        return false;
    }
    match shape.len() {
        2 => is_ordinary_pair(value, folded),
        3 => is_ordinary_triple(shape, folded),
        _ => false,
    }
}

fn is_ordinary_pair(value: &[u8], folded: &Folded) -> bool {
    let (first, second) = (folded.get(0), folded.get(1));
    if second.kind == Kind::Union {
        return folded.read == 2;
    }
    if second.first() == b'#' {
        return true;
    }
    match (first.kind, second.kind) {
        (Kind::Bareword, Kind::Comment) if second.first() != b'/' => true,
        (Kind::Number, Kind::Comment) if second.first() == b'/' || folded.read > 2 => false,
        // `1234-ABC--` is somebody's code; behind the number must stand a blank or the comment itself.
        (Kind::Number, Kind::Comment) => {
            let behind = value.get(first.text().len()..).unwrap_or_default();
            let blank = behind.first().is_none_or(|byte| !matches!(byte, 33..=127));
            !(blank || behind.starts_with(b"/*") || behind.starts_with(b"--"))
        }
        _ => second.text().len() > 2 && second.first() == b'-',
    }
}

fn is_ordinary_triple(shape: &[u8], folded: &Folded) -> bool {
    match shape {
        // foo' + 'bar: what was imagined open is closed, and the last string stays open.
        b"sos" | b"s&s" => {
            let (first, last) = (folded.get(0), folded.get(2));
            !(first.open == 0 && last.close == 0 && first.close == last.open)
        }
        b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => folded.read == 3,
        _ => {
            let word = folded.get(1);
            let into = word.text().len() >= 5 && word.text().get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"INTO"));
            word.kind == Kind::Keyword && !into
        }
    }
}
