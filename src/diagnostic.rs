//! A mistake in a file, shown to an administrator: `path:line:col: error: message`, the line, carets, one help line.

use std::fmt;
use std::path::{Path, PathBuf};

/// Characters of a line that are shown; nobody reads a longer one on a terminal.
const LINE_CHARACTERS_MAX: usize = 160;

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is refused.
    Warning,
    /// The configuration cannot be used.
    Error,
}

/// Where in a file a diagnostic points: 1-based line and column (in characters), and how many characters it spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// 1-based line.
    pub line: usize,
    /// 1-based column, counted in characters.
    pub column: usize,
    /// Characters to underline, at least 1.
    pub length: usize,
    /// Characters of `line_text` before the first underlined one: less than the column where a long line was cut.
    pub indent: usize,
}

impl Place {
    /// A place in a line that is shown whole.
    pub fn new(line: usize, column: usize, length: usize) -> Self {
        Self { line, column, length: length.max(1), indent: column.saturating_sub(1) }
    }
}

/// One mistake with its place, if it has one, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// Where in the file; `None` for a file that cannot be read at all.
    pub place: Option<Place>,
    /// The text of the line, without its line end, around the place where it is long; empty when there is no place.
    pub line_text: String,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it, one line; empty for none.
    pub help: String,
}

impl Diagnostic {
    /// An error about the whole of a file.
    pub fn file(path: &Path, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: path.to_owned(),
            place: None,
            line_text: String::new(),
            message: message.into(),
            help: help.into(),
        }
    }

    /// An error about the bytes `start..end` of `text`, the content of `path`.
    pub fn at(path: &Path, text: &str, span: std::ops::Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        let (place, line_text) = locate(text, span);
        Self { place: Some(place), line_text, ..Self::file(path, message, help) }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Whether it forbids the use of the configuration.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Line, column and line text of a byte span; a span beyond the text points at its end.
fn locate(text: &str, span: std::ops::Range<usize>) -> (Place, String) {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let line_text = text[line_start..line_end].trim_end_matches('\r');
    let mut end = span.end.clamp(start, line_end);
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let column = text[line_start..start].chars().count() + 1;
    let length = text[start..end].chars().count().max(1);
    let (line_text, indent, length) = window(line_text, column - 1, length);
    (Place { line: text[..line_start].matches('\n').count() + 1, column, length, indent }, line_text)
}

/// The part of a long line around the underlined characters, with where they begin in it and how many are left.
fn window(line: &str, at: usize, length: usize) -> (String, usize, usize) {
    if line.len() <= LINE_CHARACTERS_MAX || line.chars().nth(LINE_CHARACTERS_MAX).is_none() {
        return (line.to_owned(), at, length);
    }
    let from = if at < LINE_CHARACTERS_MAX / 2 { 0 } else { at - LINE_CHARACTERS_MAX / 4 };
    let mut rest = line.chars().skip(from);
    let mut shown = String::from(if from > 0 { "..." } else { "" });
    let indent = at - from + shown.len();
    shown.extend(rest.by_ref().take(LINE_CHARACTERS_MAX));
    let length = length.min((LINE_CHARACTERS_MAX - (at - from)).max(1));
    if rest.next().is_some() {
        shown.push_str("...");
    }
    (shown, indent, length)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        match self.place {
            None => write!(f, "{}: {word}: {}", self.path.display(), self.message)?,
            Some(p) => {
                let shown: String = self.line_text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                writeln!(f, "{}:{}:{}: {word}: {}", self.path.display(), p.line, p.column, self.message)?;
                writeln!(f, "  {shown}")?;
                write!(f, "  {}{}", " ".repeat(p.indent), "^".repeat(p.length))?;
            }
        }
        if !self.help.is_empty() {
            write!(f, "\nhelp: {}", self.help)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_with_its_line_carets_and_help() {
        let text = "[auth]\nrealm = 7\n";
        let d = Diagnostic::at(Path::new("gateway.toml"), text, 15..16, "a realm is text", "write realm = \"...\"");
        assert_eq!(d.to_string(), "gateway.toml:2:9: error: a realm is text\n  realm = 7\n          ^\nhelp: write realm = \"...\"");
    }

    #[test]
    fn a_span_beyond_the_text_points_at_its_end() {
        let d = Diagnostic::at(Path::new("x"), "ab", 9..12, "m", "");
        assert_eq!(d.place, Some(Place { line: 1, column: 3, length: 1, indent: 2 }));
    }

    #[test]
    fn a_long_line_is_shown_around_the_mistake() {
        let text = format!("{}wrong{}", "a".repeat(1000), "b".repeat(1000));
        let d = Diagnostic::at(Path::new("x"), &text, 1000..1005, "m", "");
        let place = d.place.expect("a place");
        assert_eq!((place.column, place.length), (1001, 5));
        assert_eq!(&d.line_text[place.indent..place.indent + place.length], "wrong");
        assert!(d.line_text.len() < 200 && d.line_text.starts_with("...") && d.line_text.ends_with("..."));
        let whole = Diagnostic::at(Path::new("x"), &text, 0..2005, "m", "");
        assert_eq!(whole.place.map(|p| p.length), Some(LINE_CHARACTERS_MAX));
    }
}
