//! The audit trail: one record per request, written once.
//!
//! A record is plain data ([`Record`]). [`Trail::write`] makes one JSON line of it, secrets left out, and queues it; a thread
//! of its own writes the lines to `portcullis-YYYYMMDD-HHMMSS-NNNN.jsonl`. `audit/schema.json` says what every field means.

pub mod escape;
mod files;
mod json;
mod known;
pub mod read;
mod record;
mod redact;
mod writer;

pub use json::SCHEMA_VERSION;
pub use record::{Action, AuthOutcome, Decision, Ended, Extent, Kind, Late, Record, RuleMatch, Timing, UpstreamOutcome};
pub use redact::{REDACTED, Redactor};
pub use writer::{Metrics, Settings, Trail, WallClock};

#[cfg(test)]
mod tests;
