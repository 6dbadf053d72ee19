//! The mistakes found so far in one file.

use super::tree::{Span, SyntaxError};
use crate::diagnostic::Diagnostic;
use crate::limits::POLICY_FILE_DIAGNOSTICS_MAX;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;

/// Bytes of all lines shown: hundreds of mistakes in one line of a megabyte would be hundreds of copies of it.
const LINES_SHOWN_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A mistake before its line is cut out of the text.
struct Found {
    /// `None` for the whole file.
    span: Option<Span>,
    message: String,
    help: String,
    warning: bool,
}

/// Collects mistakes; each is kept once, since an inherited setting is looked at for every map that inherits it.
pub(super) struct Report<'a> {
    path: &'a Path,
    pub(super) text: &'a str,
    found: RefCell<Vec<Found>>,
    seen: RefCell<BTreeSet<(usize, usize, String)>>,
    broken: RefCell<Vec<Span>>,
    secrets: RefCell<Vec<Span>>,
    more: Cell<bool>,
}

impl<'a> Report<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self {
            path,
            text,
            found: RefCell::default(),
            seen: RefCell::default(),
            broken: RefCell::default(),
            secrets: RefCell::new(logins(text)),
            more: Cell::new(false),
        }
    }

    pub(super) fn error(&self, span: &Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(Found { span: Some(span.clone()), message: message.into(), help: help.into(), warning: false });
    }

    pub(super) fn warning(&self, span: &Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(Found { span: Some(span.clone()), message: message.into(), help: help.into(), warning: true });
    }

    /// Something that should be there and is not. After a syntax error it may well be there, unread: then nothing is said.
    pub(super) fn missing(&self, span: &Span, message: impl Into<String>, help: impl Into<String>) {
        if self.is_whole() {
            self.error(span, message, help);
        }
    }

    /// The same for something that the whole file lacks.
    pub(super) fn lacking(&self, message: &str, help: &str) {
        if self.is_whole() {
            self.add(Found { span: None, message: message.to_owned(), help: help.to_owned(), warning: false });
        }
    }

    /// A place for what is found out later: a diagnostic without a message.
    pub(super) fn place(&self, span: &Span) -> Diagnostic {
        Diagnostic::at(self.path, self.text, span.clone(), "", "")
    }

    /// A syntax error: whatever else its lines say is not to be trusted.
    pub(super) fn syntax(&self, error: &SyntaxError) {
        if self.more.get() || self.is_broken(&error.span) {
            return;
        }
        self.error(&error.span, error.message.clone(), syntax_help(&error.message));
        self.broken.borrow_mut().push(self.lines(&error.span));
    }

    /// No line shown may have what stands here.
    pub(super) fn conceal(&self, span: &Span) {
        self.secrets.borrow_mut().push(span.clone());
    }

    /// No syntax error kept anything from being read.
    fn is_whole(&self) -> bool {
        self.broken.borrow().is_empty()
    }

    pub(super) fn has_errors(&self) -> bool {
        self.more.get() || !self.is_whole() || self.found.borrow().iter().any(|f| !f.warning)
    }

    /// The 1-based line of a place.
    pub(super) fn line(&self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        bytes[..at.min(bytes.len())].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Everything found, in the order of the file.
    pub(super) fn finish(self) -> Vec<Diagnostic> {
        let mut shown = self.text.as_bytes().to_vec();
        let secrets = self.secrets.into_inner();
        // A message quotes the file, and so does a corrected line.
        let quoted: Vec<&str> = secrets.iter().filter_map(|s| self.text.get(s.clone())).filter(|s| !s.is_empty()).collect();
        let blot = |text: String| quoted.iter().fold(text, |t, secret| if t.contains(secret) { t.replace(secret, "***") } else { t });
        for secret in secrets.iter().cloned() {
            for byte in shown.get_mut(secret).into_iter().flatten().filter(|b| **b != b'\n') {
                *byte = b'*';
            }
        }
        let shown = String::from_utf8_lossy(&shown);
        let mut found = self.found.into_inner();
        found.sort_by_key(|f| f.span.as_ref().map(|s| s.start));
        let mut list: Vec<Diagnostic> = Vec::with_capacity(found.len() + 1);
        let mut line_bytes = 0;
        for f in found {
            let (message, help) = (blot(f.message), blot(f.help));
            let d = match f.span {
                Some(span) => Diagnostic::at(self.path, &shown, span, message, help),
                None => Diagnostic::file(self.path, message, help),
            };
            line_bytes += d.line_text.len();
            list.push(if f.warning { d.warning() } else { d });
            if line_bytes > LINES_SHOWN_BYTES_MAX {
                self.more.set(true);
                break;
            }
        }
        if self.more.get() {
            let message = format!("there are more mistakes than these {}; the rest is not shown", list.len());
            list.push(Diagnostic::file(self.path, message, "mend the first ones, then check again"));
        }
        list
    }

    fn add(&self, found: Found) {
        let (start, end) = found.span.as_ref().map_or((0, 0), |s| (s.start, s.end));
        if found.span.as_ref().is_some_and(|s| self.is_broken(s)) {
            return;
        }
        if self.found.borrow().len() >= POLICY_FILE_DIAGNOSTICS_MAX {
            // What no longer fits still counts as an error.
            self.more.set(true);
        } else if self.seen.borrow_mut().insert((start, end, found.message.clone())) {
            self.found.borrow_mut().push(found);
        }
    }

    fn is_broken(&self, span: &Span) -> bool {
        self.broken.borrow().iter().any(|b| span.start >= b.start && span.start < b.end.max(b.start + 1))
    }

    fn lines(&self, span: &Span) -> Span {
        let bytes = self.text.as_bytes();
        let (start, end) = (span.start.min(bytes.len()), span.end.min(bytes.len()));
        let start = bytes[..start].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let end = bytes[end..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| end + i);
        start..end
    }
}

/// The user and password of every URL in the text: also a line with a syntax error must not show them.
fn logins(text: &str) -> Vec<Span> {
    let mut list = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let authority = text[start..].split(['/', '"', '\'', ' ', '\t', '\r', '\n']).next().unwrap_or_default();
        if let Some(end) = authority.rfind('@') {
            list.push(start..start + end);
        }
    }
    list
}

/// What to do about a message of the TOML parser.
fn syntax_help(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "a key stands once in its table; a second site, map, backend or listener begins with [[...]]"
    } else if message.contains("quoted") || message.contains("string") {
        "text stands in straight quotes: key = \"value\""
    } else if message.contains("recurs") {
        "nothing in this file needs brackets that deep"
    } else {
        "a line is `key = value`, `[table]` or `[[table]]`; text stands in quotes, lists in [ ]"
    }
}
