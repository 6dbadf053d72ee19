//! `@contains`: the text is somewhere in the value.

use memchr::memmem;

/// True where the argument (macros expanded) stands somewhere in the value; an empty one always does.
///
/// `SecRule REQUEST_LINE "@contains .php" "id:1,phase:1,deny"`
///
/// Manual: Operators, contains.
pub(super) fn matches(value: &[u8], argument: &[u8]) -> bool {
    argument.is_empty() || memmem::find(value, argument).is_some()
}
