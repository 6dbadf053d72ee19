//! `@validateUrlEncoding`: a percent sign without two digits is in the value.

use crate::transform::digits::hex_byte;

/// True where a percent sign is not followed by two hexadecimal digits. For raw values only: what was decoded
/// before may hold a percent sign of its own.
///
/// `SecRule REQUEST_URI_RAW "@validateUrlEncoding" "id:1,phase:1,deny"`
///
/// Manual: Operators, validateUrlEncoding.
pub(super) fn matches(value: &[u8]) -> bool {
    memchr::memchr_iter(b'%', value).any(|at| match value.get(at + 1..at + 3) {
        Some([high, low]) => hex_byte(*high, *low).is_none(),
        _ => true,
    })
}
