//! Text that remembers where it stood in the file, after continuation lines were joined and escapes removed.

use crate::span::{FileId, Span};

/// A string together with the places its pieces come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    string: String,
    file: FileId,
    /// Runs copied verbatim: offset in `string`, offset in the file.
    runs: Vec<(u32, u32)>,
    end: u32,
}

impl Text {
    pub(super) fn empty(file: FileId, at: u32) -> Self {
        Text { string: String::new(), file, runs: vec![(0, at)], end: at }
    }

    /// A text that is the whole of its file, which is how single words from elsewhere are parsed.
    pub fn whole(file: FileId, string: &str) -> Self {
        Text { string: string.to_owned(), file, runs: vec![(0, 0)], end: string.len() as u32 }
    }

    /// Appends a character that stood at `at` and took `width` bytes of the file.
    pub(super) fn push(&mut self, character: char, at: u32) {
        if self.end != at || self.string.is_empty() {
            let offset = self.string.len() as u32;
            self.runs.retain(|run| run.0 != offset);
            self.runs.push((offset, at));
        }
        self.string.push(character);
        self.end = at + character.len_utf8() as u32;
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.string
    }

    /// Where the whole of it stands.
    pub fn span(&self) -> Span {
        Span { file: self.file, start: self.place(0), end: self.end.max(self.place(0)) }
    }

    /// Where the bytes `start..end` of the string stand.
    pub fn span_of(&self, start: usize, end: usize) -> Span {
        let first = self.place(start);
        let behind = if end > start { self.place(end - 1) + 1 } else { first };
        Span { file: self.file, start: first, end: behind.max(first) }
    }

    /// A piece of it, which remembers its place too. Empty where the range is not on character borders.
    pub fn slice(&self, start: usize, end: usize) -> Text {
        let string = self.string.get(start..end).unwrap_or("").to_owned();
        let mut runs = vec![(0, self.place(start))];
        let inside = self.runs.iter().filter(|run| run.0 as usize > start && (run.0 as usize) < end);
        runs.extend(inside.map(|run| (run.0 - start as u32, run.1)));
        let span = self.span_of(start, end);
        Text { string, file: self.file, runs, end: span.end }
    }

    /// The same without blanks at both ends.
    pub fn trim(&self) -> Text {
        let start = self.string.len() - self.string.trim_start().len();
        self.slice(start, start + self.string.trim().len())
    }

    fn place(&self, offset: usize) -> u32 {
        let offset = offset as u32;
        let run = self.runs.iter().rev().find(|run| run.0 <= offset).or(self.runs.first());
        run.map_or(self.end, |run| run.1 + offset.saturating_sub(run.0))
    }
}
