//! `@detectXSS`: the value reads like HTML that runs script.

use super::Matched;

/// Longest value that is examined, in bytes. The worst values take 25 nanoseconds a byte: 7 milliseconds.
const VALUE_BYTES_MAX: usize = 256 * 1024;

/// Examines the value with libinjection's method: it is split into HTML tokens as if it stood in text or in an
/// attribute of any quoting, and tags, attributes and URLs that can run script are looked for.
///
/// `SecRule ARGS "@detectXSS" "id:1,phase:2,deny"`
///
/// Manual: Operators, detectXSS.
pub(super) fn matches(value: &[u8]) -> Matched {
    if value.len() > VALUE_BYTES_MAX {
        return Matched::Error(format!("@detectXSS examines values up to {VALUE_BYTES_MAX} bytes; this one has {}", value.len()));
    }
    Matched::from(libinjectionrs::detect_xss(value).is_injection())
}
