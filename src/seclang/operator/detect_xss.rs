//! `@detectXSS`: the value reads like HTML that runs script.

use super::Matched;
use super::libinjection;
use crate::limits::INJECTION_BYTES_MAX;

/// Examines the value with libinjection's method: it is split into HTML tokens as if it stood in text or in an
/// attribute of any quoting, and tags, attributes and URLs that can run script are looked for.
///
/// A value longer than [`INJECTION_BYTES_MAX`] is an engine error, never a verdict.
///
/// `SecRule ARGS "@detectXSS" "id:1,phase:2,deny"`
///
/// Manual: Operators, detectXSS.
pub(super) fn matches(value: &[u8]) -> Matched {
    if value.len() > INJECTION_BYTES_MAX {
        return Matched::Error(format!("@detectXSS examines values up to {INJECTION_BYTES_MAX} bytes; this one has {}", value.len()));
    }
    Matched::from(libinjection::xss(value))
}
