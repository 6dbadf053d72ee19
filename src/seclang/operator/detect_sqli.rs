//! `@detectSQLi`: the value reads like SQL that was injected.

use super::libinjection;
use super::{Captures, Matched};
use crate::limits::INJECTION_BYTES_MAX;

/// Examines the value with libinjection's method: it is split into SQL tokens as if it stood bare, behind a
/// single or behind a double quote, and the shape of the first five is looked up. `TX:0` is that shape.
///
/// A value longer than [`INJECTION_BYTES_MAX`] is an engine error, never a verdict.
///
/// `SecRule ARGS "@detectSQLi" "id:1,phase:2,deny"`
///
/// Manual: Operators, detectSQLi.
pub(super) fn matches(value: &[u8], captures: Option<&mut Captures>) -> Matched {
    if value.len() > INJECTION_BYTES_MAX {
        return Matched::Error(format!("@detectSQLi examines values up to {INJECTION_BYTES_MAX} bytes; this one has {}", value.len()));
    }
    let Some(shape) = libinjection::sqli(value) else { return Matched::No };
    if let Some(captures) = captures {
        captures.clear();
        captures.set(0, shape.as_bytes());
    }
    Matched::Yes
}
