//! A mistake in rule text, shown the way compilers do: place, message, line, carets, help.

use std::fmt;

use crate::span::{Sources, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The rules load, but do not do what the text suggests.
    Warning,
    /// The rules do not load.
    Error,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file as it was given.
    pub path: String,
    /// Line, from one; zero where the mistake is about the file as a whole.
    pub line: u32,
    /// Column in characters, from one.
    pub column: u32,
    /// How many characters of the line are meant, at least one.
    pub length: u32,
    /// What is wrong, one sentence in lower case without a stop.
    pub message: String,
    /// The line of text; empty where there is none to show.
    pub line_text: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A mistake whose place is a span: what parser and compiler collect before the sources turn it into a [`Diagnostic`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// Where.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// An error.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Error, span, message: message.into(), help: None }
    }

    /// A warning.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, span, message: message.into(), help: None }
    }

    /// The same with a help line.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with "did you mean", where anything comes close.
    pub fn suggest<'a>(self, word: &str, candidates: impl Iterator<Item = &'a str>) -> Self {
        match closest(word, candidates) {
            Some(candidate) => self.help(format!("did you mean `{candidate}`?")),
            None => self,
        }
    }

    /// The diagnostic this is, once the sources are at hand.
    pub fn locate(self, sources: &Sources) -> Diagnostic {
        Diagnostic { help: self.help, ..Diagnostic::at(self.severity, sources, self.span, self.message) }
    }
}

impl Diagnostic {
    /// An error about a file as a whole.
    pub fn file(path: &str, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            path: path.to_owned(),
            line: 0,
            column: 0,
            length: 0,
            message: message.into(),
            line_text: String::new(),
            help: None,
        }
    }

    /// The same with a help line.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn at(severity: Severity, sources: &Sources, span: Span, message: String) -> Self {
        let start = sources.position(span);
        let line_text = sources.line(span.file, start.line).to_owned();
        let text = sources.text(span.file).get(span.start as usize..span.end as usize).unwrap_or("");
        let first = text.split(['\n', '\r']).next().unwrap_or("");
        let room = (line_text.chars().count() as u32 + 1).saturating_sub(start.column);
        let length = (first.chars().count() as u32).min(room).max(1);
        let path = sources.path(span.file).to_owned();
        Diagnostic { severity, path, line: start.line, column: start.column, length, message, line_text, help: None }
    }
}

/// Behind this column a line is cut from the left, so that a long pattern does not hide the carets.
const WIDTH: usize = 120;

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        if self.line == 0 {
            write!(f, "{}: {}: {}", self.path, severity, self.message)?;
        } else {
            write!(f, "{}:{}:{}: {}: {}", self.path, self.line, self.column, severity, self.message)?;
            let before = self.column.saturating_sub(1) as usize;
            let skip = if before + 20 > WIDTH { before.saturating_sub(WIDTH / 2) } else { 0 };
            let shown: String = self.line_text.chars().skip(skip).take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
            let carets = (self.length as usize).min(WIDTH.saturating_sub(before - skip)).max(1);
            write!(f, "\n    {}\n    {}{}", shown.trim_end(), " ".repeat(before - skip), "^".repeat(carets))?;
        }
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

/// The candidate closest to `word`, for "did you mean": at most a third of its letters differ.
pub fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    let allowed = word.len().div_ceil(3).clamp(1, 4);
    let scored = candidates.map(|candidate| (distance(lower.as_bytes(), candidate.to_ascii_lowercase().as_bytes()), candidate));
    scored.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

fn distance(a: &[u8], b: &[u8]) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, y) in b.iter().enumerate() {
            let up = row.get(j + 1).copied().unwrap_or(0);
            let cost = (diagonal + usize::from(x != y)).min(left + 1).min(up + 1);
            diagonal = up;
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            left = cost;
        }
        if let Some(cell) = row.last_mut() {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carets_stand_under_the_mistake() {
        let mut sources = Sources::default();
        let file = sources.add("a.conf", "SecRule ARGS x\nSecRuel é y\n".to_owned());
        let diagnostic =
            Problem::error(Span { file, start: 15, end: 22 }, "unknown directive").help("did you mean SecRule?").locate(&sources);
        let expected = "a.conf:2:1: error: unknown directive\n    SecRuel é y\n    ^^^^^^^\nhelp: did you mean SecRule?";
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn a_suggestion_is_close_or_absent() {
        assert_eq!(closest("SecRuel", ["SecRule", "SecAction"].into_iter()), Some("SecRule"));
        assert_eq!(closest("tyt", ["SecRule", "SecAction"].into_iter()), None);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
    }
}
