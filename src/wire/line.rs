//! The request line: method, target and version (RFC 9112 section 3).

use super::Version;
use super::host::is_host_with_port;
use super::table::is_token;
use crate::refusal::Refusal;
use std::ops::Range;

/// Longest method. The longest registered one, `UPDATEREDIRECTREF`, has 17 bytes.
const METHOD_BYTES_MAX: usize = 32;

/// Where the parts of a request line stand; empty ranges where it did not split.
#[derive(Default)]
pub(super) struct Parts {
    pub method: Range<u32>,
    pub target: Range<u32>,
    pub version: Range<u32>,
}

/// Splits a request line without its line end at its first and last space, whatever it holds, so that a refused line can still
/// be shown to the rules in parts.
pub(super) fn split(line: &[u8]) -> Parts {
    let Some(first) = line.iter().position(|b| *b == b' ') else { return Parts::default() };
    let last = line.iter().rposition(|b| *b == b' ').unwrap_or(first);
    let (first, last, end) = (first as u32, last as u32, line.len() as u32);
    if first == last {
        return Parts { method: 0..first, target: first + 1..end, version: 0..0 };
    }
    Parts { method: 0..first, target: first + 1..last, version: last + 1..end }
}

/// Judges a request line by its parts.
///
/// # Errors
/// The refusal that names the part at fault; the version is judged before the target, so that the HTTP/2 preface says what it is.
pub(super) fn judge(method: &[u8], target: &[u8], version: &[u8]) -> Result<Version, Refusal> {
    if method.is_empty() || method.len() > METHOD_BYTES_MAX || !method.iter().all(|b| is_token(*b)) {
        return Err(Refusal::MalformedRequestLine);
    }
    if version.is_empty() {
        // Two words are HTTP/0.9, unless the second is a version; a full line with a space at its end is not.
        let simple = !target.is_empty() && !target.contains(&b' ') && !names_http(target);
        return Err(if simple { Refusal::VersionMissing } else { Refusal::MalformedRequestLine });
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        other if names_http(other) => return Err(Refusal::VersionUnsupported),
        _ => return Err(Refusal::MalformedRequestLine),
    };
    if let [b' ', ..] | [.., b' '] = target {
        return Err(Refusal::MalformedRequestLine);
    }
    if is_target(method, target) { Ok(version) } else { Err(Refusal::MalformedTarget) }
}

fn names_http(bytes: &[u8]) -> bool {
    bytes.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"HTTP/"))
}

/// The four forms of RFC 9112 section 3.2. Bytes are wider than the RFC's: attacks like `<script>` must reach the rules.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    if !target.iter().all(|b| *b > b' ' && *b != 0x7F && *b != b'#') {
        return false;
    }
    if method == b"CONNECT" {
        return is_host_with_port(target);
    }
    match target {
        [b'/', ..] => true,
        b"*" => method == b"OPTIONS",
        _ => is_absolute(target),
    }
}

fn is_absolute(target: &[u8]) -> bool {
    let Some(colon) = target.iter().position(|b| *b == b':') else { return false };
    let (scheme, rest) = target.split_at(colon);
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && rest.len() > 3
        && rest.starts_with(b"://")
}
