//! The head of a message: a request's as it arrived, and the fields that the layers read and alter.

mod class;
mod lines;
mod list;
mod names;
mod raw;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
mod value;

pub use class::{are_tokens, are_values, is_token, is_value};
pub(crate) use lines::plain_lines;
pub use list::Headers;
pub use names::*;
pub use raw::{RawHead, RawHeader};
pub use value::{OwnValue, Value};
