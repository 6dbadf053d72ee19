//! What the header fields of a request say about its framing and its connection.

use super::host::is_host;
use super::table::trimmed;
use super::{Framing, Version};
use crate::refusal::Refusal;
use std::ops::Range;

/// Digits of a Content-Length: the most that cannot overflow 64 bits.
const LENGTH_DIGITS_MAX: usize = 19;

/// Gathered line by line, judged at the end of the head.
#[derive(Default)]
pub(super) struct Fields {
    lengths: u32,
    length: Option<u64>,
    encodings: u32,
    chunked: bool,
    hosts: u32,
    host_valid: bool,
    pub host: Option<Range<u32>>,
    upgrades: u32,
    upgrade: Option<Range<u32>>,
    upgrade_named: bool,
    strips_framing: bool,
    pub close: bool,
    pub keep_alive: bool,
    pub expects_continue: bool,
}

impl Fields {
    /// Takes note of one header line; `place` is where its value stands.
    pub(super) fn note(&mut self, name: &[u8], value: &[u8], place: &Range<u32>) {
        // The length tells most names apart before a byte is compared.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                self.host_valid = is_host(value);
                self.host = Some(place.clone());
            }
            6 if name.eq_ignore_ascii_case(b"expect") => self.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrades += 1;
                self.upgrade = (!value.is_empty()).then(|| place.clone());
            }
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.lengths += 1;
                self.length = plain_number(value);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.encodings += 1;
                self.chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|b| *b == b',').map(trimmed) {
            let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
            self.close |= is(b"close");
            self.keep_alive |= is(b"keep-alive");
            self.upgrade_named |= is(b"upgrade");
            self.strips_framing |= is(b"content-length") || is(b"transfer-encoding") || is(b"host");
        }
    }

    /// How the body is framed (RFC 9112 section 6.3, with every ambiguity refused).
    ///
    /// # Errors
    /// The refusal for lengths and encodings that disagree or cannot be read, for a Connection that would strip them on the next
    /// hop, and for a missing, repeated or impossible Host.
    pub(super) fn judge(&self, version: Version) -> Result<Framing, Refusal> {
        if self.encodings > 0 && self.lengths > 0 {
            return Err(Refusal::LengthAndEncoding);
        }
        if self.encodings > 0 && (self.encodings > 1 || !self.chunked || version == Version::Http10) {
            return Err(Refusal::BadTransferEncoding);
        }
        if self.lengths > 0 && (self.lengths > 1 || self.length.is_none()) {
            return Err(Refusal::BadContentLength);
        }
        if self.strips_framing {
            return Err(Refusal::MalformedHeader);
        }
        if self.hosts > 1 || (self.hosts == 1 && !self.host_valid) || (self.hosts == 0 && version == Version::Http11) {
            return Err(Refusal::BadHost);
        }
        Ok(match self.length {
            _ if self.encodings > 0 => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::None,
        })
    }

    /// The one Upgrade value that this request may be granted (RFC 9110 section 7.8): named by Connection, on HTTP/1.1, with no
    /// body to come before the new protocol. Any other is ignored, as the RFC allows.
    pub(super) fn upgrade(&self, version: Version, body: Framing) -> Option<Range<u32>> {
        let possible = self.upgrade_named && self.upgrades == 1 && version == Version::Http11;
        if possible && matches!(body, Framing::None | Framing::Length(0)) { self.upgrade.clone() } else { None }
    }
}

fn plain_number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > LENGTH_DIGITS_MAX {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}
