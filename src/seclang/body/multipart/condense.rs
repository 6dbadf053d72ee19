//! Multipart bodies too large to be kept: read as they come, and kept without what their files hold beyond the first bytes.

use bytes::{Bytes, BytesMut};

use super::{Flags, boundary, disposition};
use crate::body::Limits;

/// Bytes kept of a line inside a file that begins like a boundary, so that the flag for it is raised. More than any boundary has:
/// no cut makes a boundary of what was none.
const DASHED_LINE_BYTES: usize = 256;

/// What is kept of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condensed {
    /// The body without the rest of its files; [`super::parse`] reads it as it would read the whole.
    pub body: Bytes,
    /// The true size of each file, in bytes, in their order.
    pub file_sizes: Vec<u64>,
    /// Whether anything was left out.
    pub is_cut: bool,
}

/// Reads a body piece by piece. Fields, headers and file names are kept whole: only what a part with a file name holds is cut, and
/// only where the parser, too, will take it for a file.
#[derive(Debug)]
pub struct Condenser {
    boundary: Vec<u8>,
    file_bytes_max: usize,
    limits: Limits,
    kept: BytesMut,
    place: Place,
    /// The beginning of the line under way, as much as any decision needs.
    line: Vec<u8>,
    /// All bytes of the line under way, and the last two of them.
    line_bytes: usize,
    last_bytes: [u8; 2],
    headers: Vec<Vec<u8>>,
    /// Bytes of the file under way, line ends included, and how many of them are the last line's end.
    file_bytes: u64,
    line_end_bytes: u64,
    /// Whether a line was kept that could be a boundary, and one that only begins like one: each flag needs one.
    dashed_lines: [bool; 2],
    field_bytes: usize,
    out: Condensed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first boundary, in a field, or behind the last boundary: all is kept.
    Field,
    Headers,
    File,
}

impl Condenser {
    /// A reader for the boundary that `content_type` names; none where it names none, and the parser will say why. Of each file
    /// `file_bytes_max` bytes are kept.
    pub fn new(content_type: &[u8], file_bytes_max: usize, limits: Limits) -> Option<Self> {
        let boundary = boundary::from_content_type(content_type, &mut Flags::default()).ok()?;
        Some(Self {
            boundary,
            file_bytes_max,
            limits,
            kept: BytesMut::new(),
            place: Place::Field,
            line: Vec::new(),
            line_bytes: 0,
            last_bytes: [0; 2],
            headers: Vec::new(),
            file_bytes: 0,
            line_end_bytes: 0,
            dashed_lines: [false; 2],
            field_bytes: 0,
            out: Condensed::default(),
        })
    }

    /// Bytes kept so far.
    pub fn kept_bytes(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of everything but files, so far.
    pub fn field_bytes(&self) -> usize {
        self.field_bytes
    }

    /// The next piece.
    pub fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
            let (segment, behind) = rest.split_at(end.unwrap_or(rest.len()));
            self.segment(segment);
            if end.is_some() {
                self.line_ends();
            }
            rest = behind;
        }
    }

    /// The body has ended.
    pub fn finish(mut self) -> Condensed {
        if self.line_bytes > 0 {
            self.line_ends();
        }
        self.out.is_cut |= self.place == Place::File && self.file_bytes > self.file_bytes_max as u64;
        self.out.body = self.kept.freeze();
        self.out
    }

    /// A part of one line.
    fn segment(&mut self, segment: &[u8]) {
        let [.., before_last, last] = segment else {
            let Some(last) = segment.first() else { return };
            self.last_bytes = [self.last_bytes[1], *last];
            return self.keep(segment);
        };
        self.last_bytes = [*before_last, *last];
        self.keep(segment);
    }

    fn keep(&mut self, segment: &[u8]) {
        let room = (self.limits.header_bytes_max + 2).saturating_sub(self.line.len());
        self.line.extend_from_slice(segment.get(..segment.len().min(room)).unwrap_or_default());
        let line_start = self.file_bytes - self.line_bytes.min(usize::try_from(self.file_bytes).unwrap_or(usize::MAX)) as u64;
        self.line_bytes += segment.len();
        if self.place != Place::File {
            self.kept.extend_from_slice(segment);
            self.field_bytes += segment.len();
            return;
        }
        // A line that the limit cuts is kept far enough to stay what it is.
        let is_dashed = line_start < self.file_bytes_max as u64 && self.line.starts_with(b"-");
        let most = (self.file_bytes_max as u64).max(if is_dashed { line_start + DASHED_LINE_BYTES as u64 } else { 0 });
        let room = usize::try_from(most.saturating_sub(self.file_bytes)).unwrap_or(usize::MAX);
        self.kept.extend_from_slice(segment.get(..segment.len().min(room)).unwrap_or_default());
        self.file_bytes += segment.len() as u64;
    }

    fn line_ends(&mut self) {
        let line_bytes = std::mem::take(&mut self.line_bytes);
        let mut line = std::mem::take(&mut self.line);
        let text = without_end(&line);
        let behind = text.strip_prefix(b"--").and_then(|text| text.strip_prefix(self.boundary.as_slice()));
        match behind.map(<[u8]>::trim_ascii) {
            Some(b"" | b"--") => self.boundary(&line, line_bytes as u64, behind == Some(b"")),
            _ => match self.place {
                Place::Field => {}
                Place::Headers => self.header(text),
                Place::File => self.content(&line, line_bytes as u64),
            },
        }
        line.clear();
        self.line = line;
    }

    /// A boundary, or what the parser will stop at as an error.
    fn boundary(&mut self, line: &[u8], line_bytes: u64, next: bool) {
        if self.place == Place::File {
            let before = self.file_bytes.saturating_sub(line_bytes);
            let size = before.saturating_sub(self.line_end_bytes);
            self.out.file_sizes.push(size);
            self.out.is_cut |= size > self.file_bytes_max as u64;
            if before >= self.file_bytes_max as u64 {
                self.put_line(line);
            }
        }
        self.place = if next { Place::Headers } else { Place::Field };
        self.headers.clear();
        (self.file_bytes, self.line_end_bytes) = (0, 0);
    }

    /// Puts a line of the part that is left out into what is kept.
    fn put_line(&mut self, line: &[u8]) {
        if !self.kept.ends_with(b"\n") {
            self.kept.extend_from_slice(b"\r\n");
        }
        self.kept.extend_from_slice(line);
    }

    fn header(&mut self, text: &[u8]) {
        if text.is_empty() {
            self.place = if self.is_file() { Place::File } else { Place::Field };
            return;
        }
        match (text.first(), self.headers.last_mut()) {
            (Some(b' ' | b'\t' | 0x0B | 0x0C), Some(last)) => {
                last.push(b' ');
                last.extend_from_slice(text.trim_ascii_start());
            }
            // The parser drops what is folded onto nothing.
            (Some(b' ' | b'\t' | 0x0B | 0x0C), None) => {}
            _ => self.headers.push(text.to_vec()),
        }
        let long = self.headers.last().is_some_and(|header| header.len() > self.limits.header_bytes_max);
        if long || self.headers.len() > self.limits.headers_max {
            // The parser will stop here.
            self.place = Place::Field;
        }
    }

    fn is_file(&self) -> bool {
        let disposition = self.headers.iter().find_map(|header| {
            let colon = memchr::memchr(b':', header)?;
            let (name, value) = header.split_at_checked(colon)?;
            name.trim_ascii().eq_ignore_ascii_case(b"content-disposition").then(|| value.get(1..).unwrap_or_default())
        });
        disposition.is_some_and(|value| disposition::parse(value).filename.is_some())
    }

    /// A line of a file, which may have been left out.
    fn content(&mut self, line: &[u8], line_bytes: u64) {
        self.line_end_bytes = match self.last_bytes {
            [b'\r', b'\n'] => 2,
            [_, b'\n'] => 1,
            _ => 0,
        };
        let is_out = self.file_bytes.saturating_sub(line_bytes) >= self.file_bytes_max as u64;
        let Some(behind) = line.strip_prefix(b"--").filter(|_| is_out) else { return };
        let is_odd = !super::is_plausible(without_end(behind));
        if let Some(kept) = self.dashed_lines.get_mut(usize::from(is_odd)).filter(|kept| !**kept) {
            *kept = true;
            self.put_line(line.get(..line.len().min(DASHED_LINE_BYTES)).unwrap_or_default());
        }
    }
}

/// A line without its end.
fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").map_or(line, |text| text.strip_suffix(b"\r").unwrap_or(text))
}
