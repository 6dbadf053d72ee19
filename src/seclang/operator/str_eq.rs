//! `@streq`: the value is the text.

/// True where the value is the argument (macros expanded), byte for byte.
///
/// `SecRule ARGS:foo "!@streq bar" "id:1,phase:1,deny"`
///
/// Manual: Operators, streq.
pub(super) fn matches(value: &[u8], argument: &[u8]) -> bool {
    value == argument
}
