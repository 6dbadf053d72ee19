//! SecLang.
pub mod body;
pub mod operator;
pub mod source;
pub mod transform;
