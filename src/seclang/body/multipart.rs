//! Multipart bodies: `multipart/form-data` (RFC 7578), with every deviation that ModSecurity's rules can ask for.
//!
//! Parsers of back ends differ in how they read a sloppy body, and attacks live in the difference. This one reads on
//! where it can and raises a flag for everything that a browser would not have written.

mod boundary;
mod condense;
mod disposition;

use std::ops::Range;

use super::{BodyError, Limits};
pub use condense::{Condensed, Condenser};

/// Deviations, named as the variables `MULTIPART_...` are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The boundary in `Content-Type` is in quotes.
    pub boundary_quoted: bool,
    /// White space stands around the boundary parameter's `=`.
    pub boundary_whitespace: bool,
    /// Something stands before the first boundary.
    pub data_before: bool,
    /// Something stands behind the last boundary.
    pub data_after: bool,
    /// A part header goes on in a second line.
    pub header_folding: bool,
    /// A line of a boundary or a header ends in a bare LF.
    pub lf_line: bool,
    /// Such a line ends in CRLF.
    pub crlf_line: bool,
    /// The parameters of `Content-Type` do not begin with a semicolon.
    pub missing_semicolon: bool,
    /// A parameter of `Content-Disposition` is quoted as no browser does it.
    pub invalid_quoting: bool,
    /// A part has no name, or no `Content-Disposition: form-data`, or not one of each parameter.
    pub invalid_part: bool,
    /// A folded line has no header before it, or begins with a control character.
    pub invalid_header_folding: bool,
    /// There are more files than allowed; the rest was not looked at.
    pub file_limit_exceeded: bool,
    /// A line begins like a boundary and is none: 1 where it could be one, 2 where it only has the dashes.
    pub unmatched_boundary: u8,
}

impl Flags {
    /// Whether some lines end in CRLF and some in a bare LF.
    pub fn crlf_lf_lines(&self) -> bool {
        self.crlf_line && self.lf_line
    }

    /// The value of `MULTIPART_STRICT_ERROR`, as far as it comes from flags; a parse error sets it too.
    pub fn strict_error(&self) -> bool {
        self.boundary_quoted
            || self.boundary_whitespace
            || self.data_before
            || self.data_after
            || self.header_folding
            || self.lf_line
            || self.missing_semicolon
            || self.invalid_quoting
            || self.invalid_part
            || self.invalid_header_folding
            || self.file_limit_exceeded
    }
}

/// One part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The parameter `name` of `Content-Disposition`.
    pub name: Vec<u8>,
    /// Its parameter `filename`: a part that has it is an uploaded file.
    pub filename: Option<Vec<u8>>,
    /// The headers in their order, each a whole line (`Content-Type: text/plain`) with folded lines joined by a space.
    pub headers: Vec<Vec<u8>>,
    /// Where the contents are in the body, in bytes.
    pub content: Range<usize>,
}

/// What a multipart body holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The parts in their order.
    pub parts: Vec<Part>,
    /// Deviations.
    pub flags: Flags,
    /// The first mistake after which reading on would be guessing; the parts before it are kept.
    pub error: Option<BodyError>,
}

/// Reads a body by the boundary that `content_type` (the value of the header) names.
pub fn parse(input: &[u8], content_type: &[u8], limits: &Limits) -> Parsed {
    let mut flags = Flags::default();
    let boundary = match boundary::from_content_type(content_type, &mut flags) {
        Ok(boundary) => boundary,
        Err(message) => return Parsed { flags, error: Some(BodyError::mistake(0, message)), ..Parsed::default() },
    };
    let mut reader = Reader { input, at: 0, boundary, limits, files: 0, nameless: None, parsed: Parsed { flags, ..Parsed::default() } };
    let error = reader.run().err();
    Parsed { error, ..reader.parsed }
}

/// What is to say of the boundary alone, where the body that was announced has no bytes.
pub fn parse_boundary(content_type: &[u8]) -> Parsed {
    let mut flags = Flags::default();
    let error = boundary::from_content_type(content_type, &mut flags).err().map(|message| BodyError::mistake(0, message));
    Parsed { flags, error, ..Parsed::default() }
}

/// Whether what follows two dashes could be somebody's boundary.
fn is_plausible(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| boundary::is_boundary_byte(byte)) && text.len() <= 70
}

/// A line: where its text is, where the next begins, and its end.
struct Line {
    text: Range<usize>,
    next: usize,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Crlf,
    Lf,
    /// The body ends.
    Body,
}

/// What a line is among boundaries.
#[derive(PartialEq, Eq)]
enum Mark {
    Data,
    Next,
    Last,
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    boundary: Vec<u8>,
    limits: &'a Limits,
    files: usize,
    /// Where the first part without a name begins.
    nameless: Option<usize>,
    parsed: Parsed,
}

impl<'a> Reader<'a> {
    fn run(&mut self) -> Result<(), BodyError> {
        let mut mark = self.preamble()?;
        while mark == Mark::Next {
            if self.parsed.parts.len() >= self.limits.arguments_max {
                return Err(BodyError::limit(self.at, format!("there are more than {} parts", self.limits.arguments_max)));
            }
            let mut part = self.headers()?;
            mark = self.contents(&mut part)?;
            self.files += usize::from(part.filename.is_some());
            if self.files > self.limits.files_max {
                self.parsed.flags.file_limit_exceeded = true;
                return Err(BodyError::limit(self.at, format!("there are more than {} files", self.limits.files_max)));
            }
            self.parsed.parts.push(part);
        }
        self.parsed.flags.data_after = self.at < self.input.len();
        self.nameless.map_or(Ok(()), |at| Err(BodyError::mistake(at, "a part has no name")))
    }

    fn line(&mut self) -> Option<Line> {
        let rest = self.input.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let line = match memchr::memchr(b'\n', rest) {
            None => Line { text: start..self.input.len(), next: self.input.len(), end: End::Body },
            Some(length) => {
                let crlf = length > 0 && rest.get(length - 1) == Some(&b'\r');
                let end = if crlf { End::Crlf } else { End::Lf };
                Line { text: start..start + length - usize::from(crlf), next: start + length + 1, end }
            }
        };
        self.at = line.next;
        Some(line)
    }

    fn text(&self, range: &Range<usize>) -> &'a [u8] {
        self.input.get(range.clone()).unwrap_or_default()
    }

    fn note_end(&mut self, end: End) {
        match end {
            End::Crlf => self.parsed.flags.crlf_line = true,
            End::Lf => self.parsed.flags.lf_line = true,
            End::Body => {}
        }
    }

    /// Whether a line is a boundary; raises the flag where it looks like one and is none.
    fn mark(&mut self, line: &Line) -> Result<Mark, BodyError> {
        let text = self.text(&line.text);
        let Some(behind) = text.strip_prefix(b"--") else { return Ok(Mark::Data) };
        let mark = match behind.strip_prefix(self.boundary.as_slice()) {
            Some(b"") => Mark::Next,
            Some(b"--") => Mark::Last,
            Some(rest) if rest.trim_ascii().is_empty() || rest.trim_ascii() == b"--" => {
                return Err(BodyError::mistake(line.text.start, "white space follows a boundary"));
            }
            _ => {
                let flag = if is_plausible(behind) { 1 } else { 2 };
                let seen = &mut self.parsed.flags.unmatched_boundary;
                *seen = if *seen == 1 { 1 } else { flag };
                return Ok(Mark::Data);
            }
        };
        self.note_end(line.end);
        Ok(mark)
    }

    /// Everything up to the first boundary.
    fn preamble(&mut self) -> Result<Mark, BodyError> {
        while let Some(line) = self.line() {
            let mark = self.mark(&line)?;
            if mark != Mark::Data {
                return Ok(mark);
            }
            self.parsed.flags.data_before = true;
        }
        Err(BodyError::mistake(self.at, "the boundary does not come"))
    }

    /// The headers of a part, with what they say about it.
    fn headers(&mut self) -> Result<Part, BodyError> {
        let mut part = Part::default();
        loop {
            let start = self.at;
            let Some(line) = self.line() else { return Err(BodyError::mistake(start, "the headers of a part do not end")) };
            if line.end == End::Body || self.mark(&line)? != Mark::Data {
                return Err(BodyError::mistake(start, "the headers of a part do not end"));
            }
            self.note_end(line.end);
            let text = self.text(&line.text);
            match text.first() {
                None => break,
                Some(b' ' | b'\t' | 0x0B | 0x0C) => self.fold(&mut part, text),
                Some(_) if memchr::memchr(b':', text).is_none() => {
                    self.parsed.flags.invalid_part = true;
                    return Err(BodyError::mistake(start, "a header of a part has no colon"));
                }
                Some(_) => {
                    if part.headers.len() >= self.limits.headers_max {
                        return Err(BodyError::limit(start, format!("a part has more than {} headers", self.limits.headers_max)));
                    }
                    part.headers.push(text.to_vec());
                }
            }
            if part.headers.last().is_some_and(|header| header.len() > self.limits.header_bytes_max) {
                return Err(BodyError::limit(start, format!("a header of a part is longer than {} bytes", self.limits.header_bytes_max)));
            }
        }
        self.disposition(&mut part);
        Ok(part)
    }

    fn fold(&mut self, part: &mut Part, text: &[u8]) {
        let flags = &mut self.parsed.flags;
        match part.headers.last_mut() {
            Some(header) => {
                flags.header_folding = true;
                header.push(b' ');
                header.extend_from_slice(text.trim_ascii_start());
            }
            None => flags.invalid_header_folding = true,
        }
        flags.invalid_header_folding |= matches!(text.first(), Some(0x0B | 0x0C));
    }

    fn disposition(&mut self, part: &mut Part) {
        let mut values = part.headers.iter().filter_map(|header| {
            let colon = memchr::memchr(b':', header)?;
            let (name, value) = header.split_at_checked(colon)?;
            name.trim_ascii().eq_ignore_ascii_case(b"content-disposition").then(|| value.get(1..).unwrap_or_default())
        });
        let (first, second) = (values.next(), values.next());
        let found = first.map(disposition::parse).unwrap_or_default();
        let flags = &mut self.parsed.flags;
        flags.invalid_quoting |= found.invalid_quoting;
        flags.invalid_part |= found.invalid || second.is_some();
        if found.name.is_none() {
            self.nameless.get_or_insert(self.at);
        }
        part.name = found.name.unwrap_or_default();
        part.filename = found.filename;
    }

    /// The contents of a part up to the next boundary, without the line end before it.
    fn contents(&mut self, part: &mut Part) -> Result<Mark, BodyError> {
        let start = self.at;
        let mut end = start;
        while let Some(line) = self.line() {
            let mark = self.mark(&line)?;
            if mark != Mark::Data {
                part.content = start..end;
                return Ok(mark);
            }
            end = line.text.end;
        }
        Err(BodyError::mistake(self.at, "the last boundary is missing"))
    }
}
