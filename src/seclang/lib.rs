//! SecLang.

pub mod limits;
pub mod source;
pub mod span;
pub mod variable;

pub mod collections;
pub mod diagnostic;
pub mod value;
pub mod verdict;

pub mod body;
pub mod expand;
pub mod operator;
pub mod syntax;
pub mod transform;

pub mod target;

pub mod action;

pub mod ruleset;

mod compile;
