//! Places in rule text: byte ranges in a file, and the line and column they stand for.

/// A file among the [`Sources`] of one load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

/// A range of bytes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The smallest span that covers both; `self` where the files differ.
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return self;
        }
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A line and a column, both counted from one; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line, from one.
    pub line: u32,
    /// Column in characters, from one.
    pub column: u32,
}

/// All files of one load, by [`FileId`].
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    path: String,
    text: String,
    line_starts: Vec<u32>,
}

impl Sources {
    /// Adds a file. Offsets are 32 bits wide, so text behind 4 GiB could not be named: callers keep files under
    /// [`crate::limits::RULE_FILE_BYTES_MAX`].
    pub fn add(&mut self, path: &str, text: String) -> FileId {
        let mut line_starts = vec![0];
        line_starts.extend(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at as u32 + 1));
        self.files.push(Source { path: path.to_owned(), text, line_starts });
        FileId(self.files.len() as u32 - 1)
    }

    /// The path of a file as it was given.
    pub fn path(&self, file: FileId) -> &str {
        self.get(file).map_or("", |source| &source.path)
    }

    /// The text of a file.
    pub fn text(&self, file: FileId) -> &str {
        self.get(file).map_or("", |source| &source.text)
    }

    /// Where a span begins.
    pub fn position(&self, span: Span) -> Position {
        let Some(source) = self.get(span.file) else { return Position { line: 1, column: 1 } };
        let line = source.line_starts.partition_point(|start| *start <= span.start).max(1);
        let start = source.line_starts.get(line - 1).copied().unwrap_or(0) as usize;
        let before = source.text.get(start..span.start as usize).unwrap_or("");
        Position { line: line as u32, column: before.chars().count() as u32 + 1 }
    }

    /// The text of a line, counted from one, without its line end.
    pub fn line(&self, file: FileId, line: u32) -> &str {
        let Some(source) = self.get(file) else { return "" };
        let index = line.saturating_sub(1) as usize;
        let Some(start) = source.line_starts.get(index).map(|start| *start as usize) else { return "" };
        let end = source.line_starts.get(index + 1).map_or(source.text.len(), |next| *next as usize);
        source.text.get(start..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }

    fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_becomes_a_line_and_a_column_in_characters() {
        let mut sources = Sources::default();
        let file = sources.add("a.conf", "één\nzwei drei\r\n".to_owned());
        let at = |start| sources.position(Span { file, start, end: start });
        assert_eq!(at(0), Position { line: 1, column: 1 });
        assert_eq!(at(4), Position { line: 1, column: 3 });
        assert_eq!(at(11), Position { line: 2, column: 6 });
        assert_eq!(sources.line(file, 2), "zwei drei");
        assert_eq!(sources.line(file, 9), "");
    }
}
