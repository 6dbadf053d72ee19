//! `@validateUtf8Encoding`: the value is not UTF-8.

/// True where a sequence is broken, longer than needed, a surrogate or past U+10FFFF (RFC 3629).
///
/// `SecRule ARGS "@validateUtf8Encoding" "id:1,phase:2,deny"`
///
/// Manual: Operators, validateUtf8Encoding.
pub(super) fn matches(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_err()
}
