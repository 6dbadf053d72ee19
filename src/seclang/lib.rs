//! SecLang.
pub mod transform;
