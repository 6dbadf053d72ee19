//! ModSecurity's rule language: rules in, verdicts out. This crate opens no file, socket or clock; files come through
//! [`FileSource`], the time through [`Options`], bodies through the feeding calls of [`Transaction`].
//!
//! ```
//! use std::sync::Arc;
//! use seclang::{MemoryCollections, MemoryFiles, Mode, Options, RuleSet, Transaction};
//!
//! let files = MemoryFiles::new().with(
//!     "rules.conf",
//!     r#"SecRule ARGS "@rx (?i)union\s+select" "id:100,phase:2,deny,status:403,t:none,t:urlDecodeUni,msg:'SQL in %{matched_var_name}'""#,
//! );
//! let (rules, warnings) = RuleSet::load(&files, &["rules.conf"]).expect("no mistakes");
//! assert!(warnings.is_empty());
//!
//! let mut collections = MemoryCollections::default();
//! let options = Options { mode: Some(Mode::Block), unique_id: "7f3a".to_owned(), ..Options::default() };
//! let mut tx = Transaction::new(Arc::new(rules), options);
//! tx.connection([192, 0, 2, 1].into(), 50_000, [192, 0, 2, 80].into(), 443);
//! let intervention = tx.request("GET", "/?q=1+UNION+SELECT+2", &[("Host", "www.example.com")], b"", &mut collections).expect("denied");
//! assert_eq!((intervention.rule_id, intervention.status), (100, 403));
//! assert_eq!(tx.matches()[0].message, "SQL in ARGS:q");
//! tx.log(&mut collections);
//! ```
//!
//! [`Transaction::request`] takes a request that is at hand. One that arrives piece by piece is fed in order: connection, request line,
//! headers, phase 1, body, phase 2, response line, headers, phase 3, body, phase 4, and [`Transaction::log`] for phase 5, which comes
//! whatever happened before. What the engine could not do is in [`Transaction::errors`]; whether that refuses the request is the
//! caller's decision.
//!
//! Modules stand by floor, the lowest first; each imports only from floors below its own, and a test says so.

// S0: words
mod bits; // Sets of small numbers.
mod common_header; // Headers that browsers send alike.
pub mod limits; // Every limit: name, unit, number, reason.
pub mod source; // The trait that rule files come through.
pub mod span; // Places in rule text.
pub mod variable; // The variables of the manual.

// S1: what goes out, and what is asked
pub mod collections; // Persistent collections: the trait, and one in memory.
pub mod diagnostic; // Mistakes in rule text, with carets.
pub mod geo; // The trait for a database of addresses and countries.
mod latest; // The value that matched last.
mod tx; // TX, its names numbered.
pub mod value; // Values as ranges into buffers, tables of them.
pub mod verdict; // Interventions, match records, engine errors.

// S2: the pieces of the language
pub mod body; // Body parsers: forms, multipart, JSON, XML.
pub mod expand; // Macros.
pub mod operator; // Operators.
mod prefilter; // Which of many operators can match a value at all.
pub mod syntax; // Text to directives.
pub mod target; // Which values and which rules are meant.
pub mod transform; // Transformations.

// S3: what a rule does, as data
pub mod action; // Actions.

// S3b: all of it, as data
pub mod manual; // Every name of the language, and what becomes of it.

// S4: the compiled rules
pub mod ruleset; // Rules by phase, and the options.

// S4b: chosen from the compiled rules
pub mod exclusion; // What single transactions leave out.
pub mod lint; // Rules that can do nothing.

// S5: rules from files; the state of one transaction
mod compile; // From files to a rule set.
pub mod transaction; // What a transaction is fed and what it holds.

// S6: the loop
mod evaluate; // Both evaluators: by the matching plan, and plainly.

pub use collections::{Collections, MemoryCollections, NoCollections};
pub use diagnostic::{Diagnostic, Severity};
pub use exclusion::{Choice, Exclusion};
pub use geo::{GeoDatabase, GeoRecord};
pub use lint::Lint;
pub use ruleset::RuleSet;
pub use source::{FileSource, MemoryFiles};
pub use transaction::{BodyOutcome, Evaluator, Mode, Options, Transaction};
pub use verdict::{Cause, Disruption, Effect, EngineError, Intervention, Match, Phase};
