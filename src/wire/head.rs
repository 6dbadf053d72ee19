//! The parser of request heads: line by line, each byte looked at once however the bytes arrive.
//!
//! Two kinds of fault. A *soft* one leaves the lines of the head intact (a bad Host, a bad name): it is kept, and the rest of the
//! head is still split, so that the rules can name what was tried. A *hard* one leaves no sure place for the next line to begin (a
//! bare LF, a limit): the head ends there. The first fault is the one reported.
//!
//! Nearly every head comes whole and has nothing about it: that one is read in one go. Whatever else there is goes to the careful
//! reader, from the start, and the two give the same outcome.

use super::fields::Fields;
use super::table::{are_tokens, are_values, is_token, trimmed};
use super::{Framing, Limits, Version, line};
use crate::head::{self, RawHead, RawHeader};
use crate::refusal::Refusal;
use bytes::{Buf, Bytes, BytesMut};
use std::ops::Range;

/// A head that has ended, well or badly.
pub(super) struct Parsed {
    pub head: RawHead,
    pub refusal: Option<Refusal>,
    pub version: Version,
    pub body: Framing,
    pub host: Option<Range<u32>>,
    pub upgrade: Option<Range<u32>>,
    pub close: bool,
    pub keep_alive: bool,
    pub expects_continue: bool,
}

/// The state between two arrivals of bytes.
#[derive(Default)]
pub(super) struct HeadParser {
    /// Where the line that is being read begins.
    line_start: usize,
    /// Up to here no LF was found in that line.
    scanned: usize,
    skipped_empty_line: bool,
    have_line: bool,
    line: Range<u32>,
    parts: line::Parts,
    version: Version,
    headers: Vec<RawHeader>,
    fields: Fields,
    refusal: Option<Refusal>,
}

impl HeadParser {
    /// Drops one empty line before a request line, as RFC 9112 section 2.2 allows.
    pub(super) fn skip_empty_line(&mut self, buffer: &mut BytesMut) {
        if !self.skipped_empty_line && !self.have_line && buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.skipped_empty_line = true;
            self.scanned = 0;
        }
    }

    /// Reads a whole head without a fault from the beginning of `buffer`: its length. `None` where the head is anything else; then
    /// nothing has happened yet.
    pub(super) fn plain(&mut self, buffer: &[u8], limits: &Limits) -> Option<usize> {
        let first = memchr::memchr(b'\n', buffer).filter(|lf| *lf <= line_bytes_max(limits).saturating_add(1))?;
        let line = buffer.get(..first)?.strip_suffix(b"\r")?;
        let parts = line::split(line);
        let part = |range: &Range<u32>| line.get(range.start as usize..range.end as usize).unwrap_or_default();
        let version = line::judge(part(&parts.method), part(&parts.target), part(&parts.version)).ok()?;
        let (mut headers, mut fields) = (Vec::with_capacity(16), Fields::default());
        let end = head::plain_lines(buffer, first + 1, limits.head_bytes_max, |header, name, value| {
            fields.note(name, value, &header.value);
            headers.push(header);
            headers.len() <= limits.headers_max
        })?;
        (self.line, self.parts, self.version) = (0..line.len() as u32, parts, version);
        (self.headers, self.fields, self.have_line) = (headers, fields, true);
        Some(end)
    }

    /// Reads on in `buffer`, which holds the head from its first byte. `Some` when the head has ended: how many bytes it has.
    pub(super) fn advance(&mut self, buffer: &[u8], limits: &Limits) -> Option<usize> {
        let line_bytes_max = line_bytes_max(limits);
        if !self.have_line
            && self.scanned == 0
            && let Some(end) = self.plain(buffer, limits)
        {
            return Some(end);
        }
        loop {
            if !self.have_line && self.scanned == 0 {
                // Whatever cannot begin a method (a TLS record, binary) need not be waited for; CR and LF are judged as a line.
                match buffer.first() {
                    Some(byte) if !is_token(*byte) && !matches!(byte, b'\r' | b'\n') => return self.stop(Refusal::MalformedRequestLine, 0),
                    _ => {}
                }
            }
            let rest = buffer.get(self.scanned..).unwrap_or_default();
            let found = memchr::memchr(b'\n', rest).map(|i| self.scanned + i);
            // Limits are judged by the place of the LF alone, so that the outcome does not depend on how the bytes came.
            let reached = found.unwrap_or(buffer.len());
            if !self.have_line && reached > line_bytes_max.saturating_add(1) {
                return self.line_too_long(buffer, line_bytes_max);
            }
            if reached >= limits.head_bytes_max {
                return self.stop(Refusal::HeadTooLarge, self.line_start);
            }
            let Some(lf) = found else {
                self.scanned = buffer.len();
                return None;
            };
            let start = self.line_start;
            let content = buffer.get(start..lf).unwrap_or_default();
            self.line_start = lf + 1;
            self.scanned = lf + 1;
            let [content @ .., b'\r'] = content else {
                self.split_line_if_first(content);
                return self.stop(Refusal::BareLineEnd, lf + 1);
            };
            if content.is_empty() && self.have_line {
                return Some(lf + 1);
            }
            let outcome = if self.have_line { self.header(content, start, limits) } else { self.request_line(content) };
            if let Err(refusal) = outcome {
                // Looked for only here: no class of bytes that a line may hold has CR in it.
                if memchr::memchr(b'\r', content).is_some() {
                    return self.stop(Refusal::BareLineEnd, lf + 1);
                }
                if matches!(refusal, Refusal::VersionMissing | Refusal::HeadTooLarge) || content.is_empty() {
                    return self.stop(refusal, lf + 1);
                }
                self.refusal.get_or_insert(refusal);
            }
        }
    }

    /// Ends a head that will not be completed: the time is over, or the client has closed.
    pub(super) fn break_off(&mut self, buffer: &[u8], refusal: Option<Refusal>) -> usize {
        let end = if self.have_line { self.line_start } else { buffer.len() };
        if !self.have_line {
            self.split_line_if_first(buffer);
        }
        let incomplete = if self.headers.is_empty() { Refusal::MalformedRequestLine } else { Refusal::MalformedHeader };
        self.refusal.get_or_insert(refusal.unwrap_or(incomplete));
        end
    }

    /// The outcome, with `bytes` as `advance` or `break_off` measured them.
    pub(super) fn finish(self, bytes: Bytes) -> Parsed {
        let (refusal, body) = match self.refusal {
            Some(refusal) => (Some(refusal), Framing::None),
            None => match self.fields.judge(self.version) {
                Ok(body) => (None, body),
                Err(refusal) => (Some(refusal), Framing::None),
            },
        };
        let line::Parts { method, target, version } = self.parts;
        let upgrade = self.fields.upgrade(self.version, body);
        Parsed {
            head: RawHead { bytes, line: self.line, method, target, version, headers: self.headers },
            refusal,
            version: self.version,
            body,
            host: self.fields.host,
            upgrade,
            close: self.fields.close,
            keep_alive: self.fields.keep_alive,
            expects_continue: self.fields.expects_continue && self.version == Version::Http11,
        }
    }

    fn stop(&mut self, refusal: Refusal, end: usize) -> Option<usize> {
        self.refusal.get_or_insert(refusal);
        Some(end)
    }

    fn line_too_long(&mut self, buffer: &[u8], end: usize) -> Option<usize> {
        self.split_line_if_first(buffer.get(..end).unwrap_or_default());
        self.stop(Refusal::RequestLineTooLong, end)
    }

    fn split_line_if_first(&mut self, content: &[u8]) {
        if !self.have_line {
            self.have_line = true;
            self.line = 0..content.len() as u32;
            self.parts = line::split(content);
        }
    }

    fn request_line(&mut self, content: &[u8]) -> Result<(), Refusal> {
        self.split_line_if_first(content);
        let part = |range: &Range<u32>| content.get(range.start as usize..range.end as usize).unwrap_or_default();
        self.version = line::judge(part(&self.parts.method), part(&self.parts.target), part(&self.parts.version))?;
        self.headers.reserve(16);
        Ok(())
    }

    fn header(&mut self, content: &[u8], start: usize, limits: &Limits) -> Result<(), Refusal> {
        if let [b' ' | b'\t', ..] = content {
            return Err(if self.headers.is_empty() { Refusal::MalformedHeader } else { Refusal::ObsoleteFolding });
        }
        let colon = memchr::memchr(b':', content).ok_or(Refusal::MalformedHeader)?;
        let (name, padded) = (content.get(..colon).unwrap_or_default(), content.get(colon + 1..).unwrap_or_default());
        if name.is_empty() || !are_tokens(name) {
            return Err(Refusal::MalformedHeader);
        }
        if self.headers.len() >= limits.headers_max {
            return Err(Refusal::HeadTooLarge);
        }
        let value = trimmed(padded);
        let before = padded.iter().take_while(|b| matches!(b, b' ' | b'\t')).count().min(padded.len() - value.len());
        let name_start = start as u32;
        let value_start = (start + colon + 1 + before) as u32;
        let place = value_start..value_start + value.len() as u32;
        self.fields.note(name, value, &place);
        let good = are_values(value);
        let known = if good { head::known(name) } else { head::UNCHECKED };
        self.headers.push(RawHeader { name: name_start..name_start + colon as u32, value: place, known });
        if good { Ok(()) } else { Err(Refusal::MalformedHeader) }
    }
}

/// A request line is part of its head: the smaller limit counts, whichever is reached first.
fn line_bytes_max(limits: &Limits) -> usize {
    limits.request_line_bytes_max.min(limits.head_bytes_max.saturating_sub(2))
}
