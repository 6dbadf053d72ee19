//! What a rule does, as data. Only the evaluator applies it.

mod control;
mod parse;
mod set_variable;

use std::sync::Arc;

use crate::expand::Template;
use crate::transform::Transformation;
use crate::verdict::{Disruption, Phase};

pub use control::{CONTROLS, Control, Selection, Switch, inert_control};
pub use parse::{WithSpan, inert, parse, refusal};
pub use set_variable::{Assignment, SetVariable};

/// One action of a rule.
#[derive(Clone, Debug)]
pub enum Action {
    /// A fact about the rule.
    Meta(Meta),
    /// What happens to the transaction when the whole rule matches.
    Disruptive(Disruptive),
    /// How the evaluation goes on.
    Flow(Flow),
    /// Whether a match is written down.
    Log(Log),
    /// `t:`; `None` clears what came before.
    Transform(Transformation),
    /// `capture`
    Capture,
    /// `multiMatch`
    MultiMatch,
    /// `status`
    Status(u16),
    /// What each match does besides.
    Effect(Effect),
    /// `xmlns:prefix=name`: a prefix for the paths of the rule.
    Namespace(Arc<str>, Arc<str>),
    /// Accepted without effect here, a warning was given.
    Inert,
}

/// Facts about a rule.
#[derive(Clone, Debug)]
pub enum Meta {
    /// `id`
    Id(u64),
    /// `phase`
    Phase(Phase),
    /// `msg`, and the text as it is written
    Message(Template, Arc<str>),
    /// `logdata`
    Data(Template),
    /// `tag`
    Tag(Arc<str>),
    /// `severity`, 0 to 7
    Severity(u8),
    /// `rev`
    Revision(Arc<str>),
    /// `ver`
    Version(Arc<str>),
    /// `maturity`, 1 to 9
    Maturity(u8),
    /// `accuracy`, 1 to 9
    Accuracy(u8),
}

/// What happens to the transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Disruptive {
    /// `pass`
    Pass,
    /// `block`: what the phase's `SecDefaultAction` says.
    Block,
    /// `deny`, `drop`, `redirect:url`
    Disrupt(Disruption, Option<Template>),
    /// `allow`, `allow:phase`, `allow:request`
    Allow(Allow),
}

/// How far an `allow` reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// The rest of the phase.
    Phase,
    /// The rest of the request: phases 1 and 2.
    Request,
    /// Everything but the logging phase.
    Transaction,
}

/// How the evaluation goes on.
#[derive(Clone, Debug)]
pub enum Flow {
    /// `chain`
    Chain,
    /// `skip:n`
    Skip(usize),
    /// `skipAfter:label`
    SkipAfter(Arc<str>),
}

/// Whether a match is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the actions'")]
pub enum Log {
    Log,
    NoLog,
    AuditLog,
    NoAuditLog,
}

/// What each match does besides.
#[derive(Clone, Debug)]
pub enum Effect {
    /// `setvar`
    SetVariable(SetVariable),
    /// `expirevar:collection.name=seconds`
    ExpireVariable(SetVariable),
    /// `deprecatevar:collection.name=amount/seconds`
    DeprecateVariable(SetVariable, i64, u64),
    /// `setenv:name=value`
    SetEnvironment(Template, Template),
    /// `initcol:collection=key`, `setsid`, `setuid`, `setrsc`
    OpenCollection(crate::variable::Variable, Template),
    /// `ctl`
    Control(Control),
    /// `sanitiseArg` and its kin: what the audit trail must not show. The kind is the lower-cased name of the action.
    Sanitise(Arc<str>, Arc<str>),
}

/// Every action name, for suggestions.
pub const NAMES: &[&str] = &[
    "accuracy",
    "allow",
    "append",
    "auditlog",
    "block",
    "capture",
    "chain",
    "ctl",
    "deny",
    "deprecatevar",
    "drop",
    "exec",
    "expirevar",
    "id",
    "initcol",
    "log",
    "logdata",
    "maturity",
    "msg",
    "multiMatch",
    "noauditlog",
    "nolog",
    "pass",
    "pause",
    "phase",
    "prepend",
    "proxy",
    "redirect",
    "rev",
    "sanitiseArg",
    "sanitiseMatched",
    "sanitiseMatchedBytes",
    "sanitiseRequestHeader",
    "sanitiseResponseHeader",
    "setenv",
    "setrsc",
    "setsid",
    "setuid",
    "setvar",
    "severity",
    "skip",
    "skipAfter",
    "status",
    "t",
    "tag",
    "ver",
    "xmlns",
];
