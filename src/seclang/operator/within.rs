//! `@within`: the value is somewhere in the text.

use memchr::memmem;

/// True where the value stands somewhere in the argument (macros expanded), the reverse of `@contains`; an
/// empty value always does.
///
/// `SecRule REQUEST_METHOD "!@within GET,POST,HEAD" "id:1,phase:1,deny"`
///
/// Manual: Operators, within.
pub(super) fn matches(value: &[u8], argument: &[u8]) -> bool {
    value.is_empty() || memmem::find(argument, value).is_some()
}
