//! `@endsWith`: the value ends with the text.

/// True where the value ends with the argument (macros expanded).
///
/// `SecRule REQUEST_LINE "!@endsWith HTTP/1.1" "id:1,phase:1,deny"`
///
/// Manual: Operators, endsWith.
pub(super) fn matches(value: &[u8], argument: &[u8]) -> bool {
    value.ends_with(argument)
}
