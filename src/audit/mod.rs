//! The audit trail: one record per request, written once.

mod record;

pub use record::{Action, AuthOutcome, Decision, Ended, Extent, Kind, Late, Record, RuleMatch, Timing, UpstreamOutcome};
