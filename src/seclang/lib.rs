//! SecLang.

pub mod limits;
pub mod source;
pub mod span;
pub mod variable;

pub mod collections;
pub mod diagnostic;
pub mod value;
pub mod verdict;

pub mod syntax;
pub mod transform;
