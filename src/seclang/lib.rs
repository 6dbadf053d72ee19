//! SecLang.
pub mod operator;
pub mod source;
pub mod transform;
