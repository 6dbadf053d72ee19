//! The audit trail: one record per request, written once.
//!
//! A record is plain data ([`Record`]). [`Trail::write`] makes one JSON line of it, secrets left out, and queues it; a thread
//! of its own numbers and chains the lines and writes them to `portcullis-YYYYMMDD-HHMMSS-NNNN.jsonl`. `audit/schema.json` says
//! what every field means, `docs/audit.md` how the chain is checked.

mod before;
pub mod chain;
pub mod closed;
mod control;
pub mod cursor;
pub mod escape;
pub mod export;
mod files;
mod flood;
mod heads;
mod json;
mod json_paths;
mod keeper;
pub mod key;
mod known;
mod lock;
mod pending;
mod position;
mod queue;
pub mod read;
mod record;
mod redact;
mod retire;
mod sanitise;
mod settings;
mod sync;
mod trail;
pub mod verify;
mod writer;

pub use control::AccountDecision;
pub use json::SCHEMA_VERSION;
pub use json_paths::JsonPath;
pub use position::Position;
pub use queue::Begun;
pub use record::{Action, AuthOutcome, Decision, Ended, Extent, Kind, Late, Record, RuleMatch, Sink, Timing, UpstreamOutcome, Would};
pub use redact::{REDACTED, Redactor};
pub use sanitise::SanitisedName;
pub use settings::{HEADS_FILE, Metrics, Observer, SIGNING_KEY_FILE, Settings, SyncPolicy, WallClock};
pub use trail::Trail;

#[cfg(test)]
mod tests;
