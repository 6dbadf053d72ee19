//! `@beginsWith`: the value begins with the text.

/// True where the value begins with the argument (macros expanded).
///
/// `SecRule REQUEST_LINE "!@beginsWith GET" "id:1,phase:1,deny"`
///
/// Manual: Operators, beginsWith.
pub(super) fn matches(value: &[u8], argument: &[u8]) -> bool {
    value.starts_with(argument)
}
