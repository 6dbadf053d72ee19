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
pub mod transaction;

mod evaluate;

pub use collections::{Collections, MemoryCollections, NoCollections};
pub use diagnostic::{Diagnostic, Severity};
pub use ruleset::RuleSet;
pub use source::{FileSource, MemoryFiles};
pub use transaction::{BodyOutcome, Mode, Options, Transaction};
pub use verdict::{Cause, Disruption, Effect, EngineError, Intervention, Match, Phase};
