//! The path and query a backend gets: the client's spelling below the map's prefix, written anew.

use crate::evidence::Mapped;
use std::borrow::Cow;

/// The request target for the backend: in origin form, or `*` where that was asked (RFC 9112 section 3.2).
pub(super) fn for_backend(mapped: &Mapped) -> String {
    if mapped.whole_server {
        return "*".into();
    }
    let mut out = String::with_capacity(mapped.map.target_path.len() + mapped.raw_path.len() + 64);
    out.push_str(mapped.map.target_path.trim_end_matches('/'));
    write_encoded(&mut out, &rest(mapped), false);
    if out.is_empty() {
        out.push('/');
    }
    if let Some(query) = &mapped.query {
        out.push('?');
        write_encoded(&mut out, query, true);
    }
    out
}

/// What follows the map's prefix: as the client spelled it where the prefix is spelled plainly segment by segment, else
/// the canonical path encoded again.
fn rest(mapped: &Mapped) -> Cow<'_, [u8]> {
    let prefix = mapped.map.path.trim_end_matches('/').as_bytes();
    let segments = prefix.iter().filter(|&&b| b == b'/').count();
    let raw = after_segments(&mapped.raw_path, segments);
    let canonical = mapped.path.get(prefix.len()..).unwrap_or_default();
    let head = mapped.raw_path.len() - raw.len();
    let spelled_plainly = !mapped.raw_path.get(..head).unwrap_or_default().windows(2).any(|w| matches!(w, b"/." | b"//" | b"/%"))
        && mapped.raw_path.get(..head).is_some_and(|h| !h.contains(&b';') && !h.contains(&b'\\'));
    // A `..` below the prefix could climb out of it at a backend that joins paths first.
    let climbs = raw.windows(2).any(|w| w == b"..") || raw.windows(3).any(|w| w.eq_ignore_ascii_case(b"%2e"));
    if spelled_plainly && !climbs { Cow::Borrowed(raw) } else { Cow::Owned(encode_percent(canonical)) }
}

fn after_segments(path: &[u8], count: usize) -> &[u8] {
    let mut slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i);
    slashes.nth(count).map_or(&[], |i| path.get(i..).unwrap_or_default())
}

/// A canonical path spelled for the wire: percent signs encoded, but for the `%2F` that stands for an encoded slash.
fn encode_percent(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len() + 8);
    for (i, &byte) in path.iter().enumerate() {
        match byte {
            b'%' if path.get(i..i + 3) != Some(b"%2F") => out.extend_from_slice(b"%25"),
            b'?' => out.extend_from_slice(b"%3F"),
            b'#' => out.extend_from_slice(b"%23"),
            b';' => out.extend_from_slice(b"%3B"),
            _ => out.push(byte),
        }
    }
    out
}

/// Bytes that RFC 3986 does not allow are percent-encoded; the reading stays the same.
fn write_encoded(out: &mut String, bytes: &[u8], query: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let plain = |byte: u8| {
        byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'<' | b'>' | b'#')
            && (query || !matches!(byte, b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'?'))
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let (run, after) = rest.split_at(rest.iter().position(|byte| !plain(*byte)).unwrap_or(rest.len()));
        // What is graphic ASCII is text.
        out.push_str(std::str::from_utf8(run).unwrap_or_default());
        rest = after;
        if let [byte, after @ ..] = after {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
            rest = after;
        }
    }
}
