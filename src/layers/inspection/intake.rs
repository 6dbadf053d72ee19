//! What is looked at of a request body as its chunks come: its form, the limits, and the part of a large upload that is kept.

use super::budget::{Budget, Share};
use super::decode::Coding;
use super::watch::{Fed, Watched};
use crate::head::CONTENT_TYPE;
use crate::limits::{BODY_SNIFF_BYTES, INSPECTED_FILE_BYTES_MAX};
use crate::message::Request;
use bytes::Bytes;
use seclang::body::multipart::Condenser;
use std::sync::Arc;

/// Whether rules can read a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Fields, JSON, XML, text, or what a rule has named a processor for.
    Readable,
    /// Fields and files.
    Multipart,
    /// Anything else: read as text where it looks like text, else streamed past.
    Unknown,
}

/// What a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// One of more.
    On,
    /// The first of a body that no rule reads.
    Opaque,
    /// The one that passes the limit.
    Over,
    /// The one with which a body of files becomes too large to be held.
    Files,
    /// The one for which there is no memory.
    NoRoom,
}

/// See the module.
pub(super) struct Intake {
    pub(super) kind: Kind,
    /// Bytes of the body that are inspected, decoded.
    limit: usize,
    /// Bytes of everything but files.
    fields_limit: usize,
    encoded: bool,
    bytes: usize,
    condenser: Option<Condenser>,
    share: Share,
    taken: usize,
}

impl Intake {
    pub(super) fn of_request(request: &Request, watched: &Watched, codings: &[Coding], budget: &Arc<Budget>) -> Self {
        let (processor, limit, fields_limit, parser) =
            watched.with(|tx| (tx.request_body_processor(), tx.request_body_limit(), tx.request_body_no_files_limit(), tx.body_limits()));
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let content_type = request.headers.get(&CONTENT_TYPE).map(|value| value.as_bytes());
        let kind = kind(processor, content_type);
        let condenser = (kind == Kind::Multipart && codings.is_empty())
            .then(|| Condenser::new(content_type.unwrap_or_default(), INSPECTED_FILE_BYTES_MAX, parser))
            .flatten();
        let encoded = !codings.is_empty();
        Self { kind, limit: size(limit), fields_limit: size(fields_limit), encoded, bytes: 0, condenser, share: budget.share(), taken: 0 }
    }

    /// Bytes of the decoded body that are inspected.
    pub(super) fn limit(&self) -> usize {
        if self.kind == Kind::Multipart { self.limit } else { self.limit.min(self.fields_limit) }
    }

    /// Bytes of the body as sent that are kept.
    pub(super) fn raw_limit(&self) -> usize {
        self.limit()
    }

    pub(super) fn is_condensing(&self) -> bool {
        self.condenser.is_some()
    }

    /// The next chunk.
    pub(super) fn look(&mut self, chunk: &Bytes) -> Look {
        let first = self.bytes == 0;
        self.bytes = self.bytes.saturating_add(chunk.len());
        if self.kind == Kind::Unknown && first && (self.encoded || looks_binary(chunk)) {
            return Look::Opaque;
        }
        let Some(condenser) = &mut self.condenser else {
            return if self.bytes > self.limit() { Look::Over } else { Look::On };
        };
        condenser.push(chunk);
        let kept = condenser.kept_bytes();
        if !self.share.take(kept - self.taken) {
            return Look::NoRoom;
        }
        self.taken = kept;
        match kept > self.limit || condenser.field_bytes() > self.fields_limit {
            true => Look::Over,
            false if self.bytes > self.limit => Look::Files,
            false => Look::On,
        }
    }

    /// What is kept of a body with files, and its memory; the memory alone where the body itself is kept.
    pub(super) fn condensed(self) -> Result<(Fed, Share), Share> {
        match self.condenser {
            Some(condenser) => Ok((Fed::Condensed(condenser.finish()), self.share)),
            None => Err(self.share),
        }
    }
}

fn kind(processor: &str, content_type: Option<&[u8]>) -> Kind {
    if processor == "MULTIPART" {
        return Kind::Multipart;
    }
    let Some(content_type) = content_type.filter(|_| processor.is_empty()) else { return Kind::Readable };
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    if essence.starts_with(b"text/") { Kind::Readable } else { Kind::Unknown }
}

/// Whether the beginning of a body is no text: control characters that no text has.
fn looks_binary(chunk: &[u8]) -> bool {
    let start = chunk.get(..BODY_SNIFF_BYTES).unwrap_or(chunk);
    start.iter().any(|byte| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C | 0x1B))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_body_is_told_by_processor_type_and_beginning() {
        for (processor, content_type, kind_wanted) in [
            ("URLENCODED", Some("application/x-www-form-urlencoded"), Kind::Readable),
            ("MULTIPART", Some("multipart/form-data; boundary=b"), Kind::Multipart),
            ("JSON", Some("image/png"), Kind::Readable),
            ("", None, Kind::Readable),
            ("", Some("Text/Plain; charset=utf-8"), Kind::Readable),
            ("", Some("application/octet-stream"), Kind::Unknown),
            ("", Some("image/png"), Kind::Unknown),
            ("", Some("nonsense"), Kind::Unknown),
        ] {
            assert_eq!(kind(processor, content_type.map(str::as_bytes)), kind_wanted, "{processor} {content_type:?}");
        }
        for (start, binary) in [
            (&b"a=1&b=2\r\n\t"[..], false),
            ("Gr\u{fc}\u{df}e".as_bytes(), false),
            (b"\x89PNG\r\n\x1a\n", true),
            (b"PK\x03\x04", true),
            (b"\x00", true),
            (b"", false),
        ] {
            assert_eq!(looks_binary(start), binary, "{start:?}");
        }
    }
}
