//! What a user or a group may be called, so that both files can hold the name and a login can send it.

use crate::limits::USER_NAME_BYTES_MAX;

/// What is wrong with a name, as the end of a sentence; `None` for a good one.
pub fn mistake(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("must not be empty"),
        _ if name.len() > USER_NAME_BYTES_MAX => Some("is too long"),
        _ if name.contains(':') => Some("must not hold a colon, which ends it in the file and in a login"),
        _ if name.contains(char::is_control) => Some("must not hold control characters"),
        _ if name.starts_with('#') => Some("must not begin with #, which begins a comment"),
        _ if name.trim() != name => Some("must not begin or end with white space"),
        _ => None,
    }
}
