//! A mistake in a file, shown to an administrator: `path:line:col: error: message`, the line, carets, one help line.

use std::fmt;
use std::path::{Path, PathBuf};

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
    /// The text of the line, without its line end; empty when there is no place.
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
    let place = Place {
        line: text[..line_start].matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
        length: text[start..end].chars().count().max(1),
    };
    (place, line_text.to_owned())
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
                write!(f, "  {}{}", " ".repeat(p.column - 1), "^".repeat(p.length))?;
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
        assert_eq!(d.place, Some(Place { line: 1, column: 3, length: 1 }));
    }
}
