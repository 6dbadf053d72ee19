//! What comes out of a transaction: an intervention, the matches that led to it, and the engine's own errors.

use std::sync::Arc;

use bytes::Bytes;

/// A phase of the transaction (reference manual, "Processing Phases").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// 1, the request's headers.
    RequestHeaders = 1,
    /// 2, the request's body.
    RequestBody = 2,
    /// 3, the response's headers.
    ResponseHeaders = 3,
    /// 4, the response's body.
    ResponseBody = 4,
    /// 5, after everything was sent.
    Logging = 5,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Phase; 5] = [Phase::RequestHeaders, Phase::RequestBody, Phase::ResponseHeaders, Phase::ResponseBody, Phase::Logging];

    /// Reads a number from 1 to 5, or `request`, `response`, `logging`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "1" => Some(Phase::RequestHeaders),
            "2" | "request" => Some(Phase::RequestBody),
            "3" => Some(Phase::ResponseHeaders),
            "4" | "response" => Some(Phase::ResponseBody),
            "5" | "logging" => Some(Phase::Logging),
            _ => None,
        }
    }

    /// The phase as an index from zero.
    pub fn index(self) -> usize {
        self as usize - 1
    }
}

/// How a transaction ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disruption {
    /// An error page with the status.
    Deny,
    /// The connection is closed without an answer.
    Drop,
    /// A redirect to the URL.
    Redirect,
}

/// The engine wants the transaction to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervention {
    /// What to do.
    pub action: Disruption,
    /// The status to answer with.
    pub status: u16,
    /// The id of the rule that decided.
    pub rule_id: u64,
    /// The phase it decided in.
    pub phase: Phase,
    /// Where a redirect goes, macros expanded.
    pub url: Option<Bytes>,
}

/// What became of the disruptive action of a matching rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The rule has none (`pass`).
    None,
    /// It ended the transaction.
    Intervened,
    /// It would have, but the engine is in detection-only mode or in the logging phase.
    WouldIntervene,
    /// It allowed the rest of the phase, request or transaction.
    Allowed,
}

/// A rule that matched, with the value it matched on.
#[derive(Clone, Debug)]
pub struct Match {
    /// The rule's id.
    pub rule_id: u64,
    /// The phase it ran in.
    pub phase: Phase,
    /// `msg`, macros expanded, cut to [`crate::limits::RECORD_BYTES_MAX`].
    pub message: Bytes,
    /// `logdata`, macros expanded, cut likewise.
    pub data: Bytes,
    /// `tag`s; macros expanded where they have any.
    pub tags: Arc<[Arc<str>]>,
    /// `severity`, 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// Name of the variable that matched, such as `ARGS:user`.
    pub variable: Bytes,
    /// The value that matched, after transformations, cut likewise.
    pub value: Bytes,
    /// The part of the value that the operator captured first (`%{tx.0}`), where the rule captures.
    pub matched: Option<Bytes>,
    /// The points this match added to anomaly scores of the transaction.
    pub score: i64,
    /// The file the rule stands in.
    pub file: Arc<str>,
    /// The line it begins in, from one.
    pub line: u32,
    /// `rev`.
    pub revision: Option<Arc<str>>,
    /// `ver`.
    pub version: Option<Arc<str>>,
    /// `maturity`, 1 to 9.
    pub maturity: Option<u8>,
    /// `accuracy`, 1 to 9.
    pub accuracy: Option<u8>,
    /// The rule wants to be in the log (`log`, not `nolog`).
    pub log: bool,
    /// The rule wants the transaction in the audit trail (`auditlog`, not `noauditlog`).
    pub audit: bool,
    /// What its disruptive action did.
    pub effect: Effect,
    /// The status a disruptive action used or would have used.
    pub status: Option<u16>,
}

/// `942100 SQL Injection Attack (ARGS:id)`
impl std::fmt::Display for Match {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} ({})", self.rule_id, String::from_utf8_lossy(&self.message), String::from_utf8_lossy(&self.variable))
    }
}

/// Something the engine could not do. It never hides: a gateway decides whether to refuse or to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError {
    /// The rule that ran, where one did.
    pub rule_id: Option<u64>,
    /// The phase.
    pub phase: Phase,
    /// What happened.
    pub cause: Cause,
    /// One sentence more.
    pub detail: String,
}

/// Why the engine could not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An operator hit a bound, or needs something that is not there.
    Operator,
    /// The transaction's fuel is used up; the rules that were left did not run.
    Fuel,
    /// A named limit cut something off: values of a rule, variables of a collection, the length of an expansion.
    Limit,
    /// A persistent collection could not be used.
    Collection,
}
