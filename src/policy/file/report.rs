//! The mistakes found so far in one file.

use super::tree::{Span, SyntaxError};
use crate::diagnostic::Diagnostic;
use crate::limits::POLICY_FILE_DIAGNOSTICS_MAX;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;

/// Collects diagnostics; each is kept once, since an inherited setting is looked at for every map that inherits it.
pub(super) struct Report<'a> {
    path: &'a Path,
    pub(super) text: &'a str,
    found: RefCell<Vec<(Span, Diagnostic)>>,
    seen: RefCell<BTreeSet<(usize, usize, String)>>,
    broken: RefCell<Vec<Span>>,
    more: Cell<bool>,
}

impl<'a> Report<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        let (found, seen, broken) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { path, text, found, seen, broken, more: Cell::new(false) }
    }

    pub(super) fn error(&self, span: &Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(span, message.into(), help.into(), false);
    }

    pub(super) fn warning(&self, span: &Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(span, message.into(), help.into(), true);
    }

    /// Something that should be there and is not. After a syntax error it may well be there, unread: then nothing is said.
    pub(super) fn missing(&self, span: &Span, message: impl Into<String>, help: impl Into<String>) {
        if self.broken.borrow().is_empty() {
            self.error(span, message, help);
        }
    }

    /// A syntax error: whatever else its lines say is not to be trusted.
    pub(super) fn syntax(&self, error: &SyntaxError) {
        let lines = self.lines(&error.span);
        if self.is_broken(&lines) {
            return;
        }
        self.error(&error.span, error.message.clone(), syntax_help(&error.message));
        self.broken.borrow_mut().push(lines);
    }

    pub(super) fn has_errors(&self) -> bool {
        self.more.get() || !self.broken.borrow().is_empty() || self.found.borrow().iter().any(|(_, d)| d.is_error())
    }

    /// The 1-based line of a place.
    pub(super) fn line(&self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        bytes[..at.min(bytes.len())].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Everything found, in the order of the file.
    pub(super) fn finish(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(span, _)| span.start);
        let mut list: Vec<Diagnostic> = found.into_iter().map(|(_, d)| d).collect();
        if self.more.get() {
            let message = format!("there are more than {POLICY_FILE_DIAGNOSTICS_MAX} mistakes; the rest is not shown");
            list.push(Diagnostic::file(self.path, message, "mend the first ones, then check again"));
        }
        list
    }

    fn add(&self, span: &Span, message: String, help: String, warning: bool) {
        if self.is_broken(span) || !self.seen.borrow_mut().insert((span.start, span.end, message.clone())) {
            return;
        }
        let mut found = self.found.borrow_mut();
        if found.len() >= POLICY_FILE_DIAGNOSTICS_MAX {
            // Where the list is full an error must still count as one.
            self.more.set(true);
            return;
        }
        let d = Diagnostic::at(self.path, self.text, span.clone(), message, help);
        found.push((span.clone(), if warning { d.warning() } else { d }));
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
