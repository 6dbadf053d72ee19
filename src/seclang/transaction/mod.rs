//! One transaction: owns its buffers, is fed the request and response piece by piece, and keeps what rules found out.

mod body;
mod cookies;
mod lookup;
mod memo;
mod request;
mod sight;
mod time;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::action::{Allow, Switch};
use crate::bits::Bits;
use crate::body::{multipart, xml};
use crate::exclusion::Exclusion;
use crate::geo::GeoDatabase;
use crate::latest::Latest;
use crate::limits;
use crate::operator::{Captures, Rx};
use crate::ruleset::RuleSet;
use crate::target::Target;
use crate::tx::Tx;
use crate::value::{Arena, Entry, Table};
use crate::variable::Variable;
use crate::verdict::{Cause, EngineError, Intervention, Match, Phase};

use body::Pieces;
pub use body::{BodyOptions, BodyOutcome};
pub(crate) use lookup::full_name;
pub(crate) use sight::{Answer as Sighted, Recalled, Sight};

/// What the engine may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Rules run and may end the transaction (`SecRuleEngine On`).
    Block,
    /// Rules run and are recorded, nothing more (`DetectionOnly`).
    Detect,
    /// No rule runs.
    Off,
}

/// How rules are matched. Both ways decide the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evaluator {
    /// By the matching plan: each transformation chain once for a value, and only operators that may match it.
    #[default]
    Plan,
    /// Rule after rule, value after value: slow, and what the plan is compared with.
    Plain,
}

/// What the caller knows before the transaction begins.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Overrides `SecRuleEngine`. `ctl:ruleEngine` may lower it for one transaction, never raise it above this.
    pub mode: Option<Mode>,
    /// `UNIQUE_ID`
    pub unique_id: String,
    /// The time in microseconds since 1970, UTC.
    pub now: u64,
    /// Overrides [`limits::FUEL_MAX`].
    pub fuel: Option<u64>,
    /// Overrides what the directives say of bodies.
    pub bodies: BodyOptions,
    /// How rules are matched.
    pub evaluator: Evaluator,
    /// What `@geoLookup` asks; without one, using the operator is an engine error.
    pub geo: Option<Arc<dyn GeoDatabase>>,
}

/// A running transaction.
#[derive(Debug)]
pub struct Transaction {
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) mode: Mode,
    /// What `ctl:ruleEngine=On` means: never more than the caller wants.
    pub(crate) ceiling: Mode,
    pub(crate) unique_id: Bytes,
    pub(crate) started: u64,
    pub(crate) now: u64,
    pub(crate) client: Option<(IpAddr, u16)>,
    pub(crate) server: Option<(IpAddr, u16)>,
    pub(crate) user: Option<Bytes>,
    pub(crate) geo: Option<Arc<dyn GeoDatabase>>,
    pub(crate) request: Request,
    pub(crate) response: Response,
    pub(crate) found: Found,
    pub(crate) state: State,
    pub(crate) matches: Vec<Match>,
    pub(crate) matches_total: u64,
    pub(crate) errors: Vec<EngineError>,
    pub(crate) errors_total: u64,
    pub(crate) intervention: Option<Intervention>,
    pub(crate) would_intervene: Option<Intervention>,
    pub(crate) fuel: u64,
    pub(crate) evaluator: Evaluator,
    pub(crate) sight: Option<Box<Sight>>,
    /// Counts what was fed of the request's head.
    pub(crate) head: u32,
}

/// The request as it was sent.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) line: Bytes,
    pub(crate) method: Bytes,
    pub(crate) protocol: Bytes,
    pub(crate) uri_raw: Bytes,
    pub(crate) uri: Bytes,
    pub(crate) filename: Bytes,
    pub(crate) query: Bytes,
    pub(crate) headers: Vec<Entry>,
    pub(crate) cookies: Vec<Entry>,
    pub(crate) args_get: Vec<Entry>,
    pub(crate) args_post: Vec<Entry>,
    pub(crate) query_error: bool,
    pub(crate) buffer: Pieces,
    pub(crate) body: Option<Bytes>,
    pub(crate) body_access: bool,
    pub(crate) body_limit: u64,
    pub(crate) no_files_limit: u64,
    pub(crate) rejects: bool,
    /// JSON and XML are parsed by their media type where no rule names a processor.
    pub(crate) processor_by_type: bool,
    /// Bytes that arrived, those behind the limit included.
    pub(crate) body_arrived: u64,
    pub(crate) body_cut: bool,
    pub(crate) processor: &'static str,
    pub(crate) force_body: bool,
}

/// The response as it was sent.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) protocol: Bytes,
    pub(crate) headers: Vec<Entry>,
    pub(crate) buffer: Pieces,
    pub(crate) body: Option<Bytes>,
    pub(crate) body_access: bool,
    pub(crate) body_limit: u64,
    pub(crate) rejects: bool,
    pub(crate) body_cut: bool,
}

/// What the body parsers found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) error: Option<Bytes>,
    pub(crate) url_encoded_error: bool,
    pub(crate) multipart: Option<multipart::Flags>,
    pub(crate) multipart_failed: bool,
    pub(crate) part_headers: Vec<Entry>,
    /// Field name and file name.
    pub(crate) files: Vec<Entry>,
    /// Field name and contents.
    pub(crate) file_contents: Vec<Entry>,
    /// Bytes of each file, those that were left out included.
    pub(crate) file_sizes: Vec<u64>,
    pub(crate) part_names: Vec<Entry>,
    pub(crate) xml_text: Option<Bytes>,
    pub(crate) xml_attributes: Vec<Entry>,
    pub(crate) xml_document: xml::Document,
}

/// Rules, and the variables that a `ctl` has taken out of them.
pub(crate) type Lost = (Arc<[u32]>, Arc<[Target]>);

/// What rules change while they run.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) tx: Tx,
    pub(crate) env: Table,
    pub(crate) open: BTreeMap<Variable, OpenRecord>,
    pub(crate) highest_severity: Option<u8>,
    /// What matched last.
    pub(crate) matched: Option<Latest>,
    /// What the current chain matched so far.
    pub(crate) matched_vars: Vec<(Bytes, Bytes)>,
    /// Rules that were taken out.
    pub(crate) removed: Bits,
    /// How often rules or targets were taken out.
    pub(crate) cuts: u32,
    /// Targets that were taken out of rules, whose numbers are ascending.
    pub(crate) lost_targets: Vec<Lost>,
    /// Rules that `lost_targets` has.
    pub(crate) losing_targets: Bits,
    pub(crate) allow: Option<(Allow, Phase)>,
    pub(crate) audit: Option<Switch>,
    pub(crate) audit_parts: Option<String>,
    pub(crate) sanitised: Vec<(Arc<str>, Bytes)>,
    pub(crate) session_id: Bytes,
    pub(crate) user_id: Bytes,
    /// Names that were resolved for `@rbl`, and the address they have.
    pub(crate) dns: BTreeMap<String, Option<IpAddr>>,
    /// The full name of the value that `@rbl` is asked about.
    pub(crate) looked_at: Bytes,
    /// What `@geoLookup` found last.
    pub(crate) geo: Vec<Entry>,
    /// Patterns built for this transaction, by their text.
    pub(crate) patterns: BTreeMap<Bytes, Arc<Rx>>,
    /// Where short texts are kept.
    pub(crate) arena: Arena,
    /// Room for the next captures.
    pub(crate) captures: Captures,
    pub(crate) current_rule: Option<u32>,
    pub(crate) phase: Option<Phase>,
}

/// A record of a persistent collection in use.
#[derive(Debug)]
pub(crate) struct OpenRecord {
    pub(crate) key: Bytes,
    pub(crate) table: Table,
    pub(crate) changes: Vec<crate::collections::Change>,
}

impl Transaction {
    /// Begins a transaction with the rules it will follow to its end, whatever is loaded meanwhile.
    pub fn new(rules: Arc<RuleSet>, options: Options) -> Self {
        let settings = rules.settings();
        let mode = options.mode.unwrap_or(match settings.rule_engine {
            Switch::On => Mode::Block,
            Switch::Partly => Mode::Detect,
            Switch::Off => Mode::Off,
        });
        let (request, response) = body::begin(settings, &options.bodies);
        let tx = Tx::new(Arc::clone(rules.tx_names()));
        let removed = Bits::below(rules.rules().len());
        Transaction {
            mode,
            ceiling: options.mode.unwrap_or(Mode::Block),
            unique_id: Bytes::from(options.unique_id),
            started: options.now,
            now: options.now,
            client: None,
            server: None,
            user: None,
            geo: options.geo,
            request,
            response,
            found: Found::default(),
            state: State { removed, tx, ..State::default() },
            matches: Vec::new(),
            matches_total: 0,
            errors: Vec::new(),
            errors_total: 0,
            intervention: None,
            would_intervene: None,
            fuel: options.fuel.unwrap_or(limits::FUEL_MAX),
            evaluator: options.evaluator,
            sight: None,
            head: 0,
            rules,
        }
    }

    /// The two ends of the connection, the client's address as the gateway resolved it.
    pub fn connection(&mut self, client: IpAddr, client_port: u16, server: IpAddr, server_port: u16) {
        self.client = Some((client, client_port));
        self.server = Some((server, server_port));
    }

    /// The name of the user who has signed in (`REMOTE_USER`).
    pub fn remote_user(&mut self, name: &str) {
        self.user = Some(Bytes::copy_from_slice(name.as_bytes()));
    }

    /// Sets the clock forward, in microseconds since 1970 (`TIME...`, `DURATION`, expiry of collections).
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// An environment variable for `ENV`.
    pub fn environment(&mut self, name: &str, value: &str) {
        let value = Bytes::copy_from_slice(value.as_bytes());
        if !self.state.env.set(name.as_bytes(), value, limits::COLLECTION_VARIABLES_MAX) {
            self.error(Cause::Limit, None, "ENV has too many variables");
        }
    }

    /// Sets a variable of TX before the first phase, where settings of a rule set are kept. False where there are too many. It is for settings: the
    /// rule set remembers the first few different beginnings, so that nothing of a request belongs here.
    #[must_use]
    pub fn set_tx_variable(&mut self, name: &str, value: &str) -> bool {
        self.state.tx.set(
            &Bytes::copy_from_slice(name.as_bytes()),
            Bytes::copy_from_slice(value.as_bytes()),
            limits::COLLECTION_VARIABLES_MAX,
        )
    }

    /// Leaves out rules, or variables of rules, for the whole transaction. To be called before the first phase, with an exclusion
    /// built for the transaction's own rule set.
    pub fn exclude(&mut self, exclusion: &Exclusion) {
        if !exclusion.targets.is_empty() {
            return self.lose_targets(&Arc::from(exclusion.rules.as_slice()), &Arc::from(exclusion.targets.as_slice()));
        }
        self.remove_rules(&exclusion.rules);
    }

    /// Takes out rules.
    pub(crate) fn remove_rules(&mut self, rules: &[u32]) {
        self.state.cuts += 1;
        rules.iter().for_each(|index| self.state.removed.insert(*index as usize));
    }

    /// Takes targets out of rules.
    pub(crate) fn lose_targets(&mut self, rules: &Arc<[u32]>, targets: &Arc<[Target]>) {
        let known = self.state.lost_targets.iter().any(|(same, lost)| Arc::ptr_eq(same, rules) && Arc::ptr_eq(lost, targets));
        if known || self.state.lost_targets.len() >= limits::COLLECTION_VARIABLES_MAX {
            return;
        }
        self.state.cuts += 1;
        self.state.lost_targets.push((Arc::clone(rules), Arc::clone(targets)));
        if self.state.losing_targets == Bits::default() {
            self.state.losing_targets = Bits::below(self.rules.rules().len());
        }
        rules.iter().for_each(|index| self.state.losing_targets.insert(*index as usize));
    }

    /// The targets that were taken out of a rule.
    pub(crate) fn lost_targets(&self, rule: u32) -> Vec<Target> {
        let lost = self.state.lost_targets.iter().filter(|(rules, _)| rules.binary_search(&rule).is_ok());
        lost.flat_map(|(_, targets)| targets.iter().cloned()).collect()
    }

    /// What matched so far, in order; at most [`limits::MATCHES_PER_RULE_MAX`] of a rule and [`limits::MATCHES_MAX`] in all are kept.
    pub fn matches(&self) -> &[Match] {
        &self.matches
    }

    /// How many matches there were, those not kept included.
    pub fn matches_total(&self) -> u64 {
        self.matches_total
    }

    /// What the engine could not do so far; at most [`limits::ENGINE_ERRORS_MAX`] are kept.
    pub fn errors(&self) -> &[EngineError] {
        &self.errors
    }

    /// How many errors there were, those not kept included.
    pub fn errors_total(&self) -> u64 {
        self.errors_total
    }

    /// The decision that ended the transaction.
    pub fn intervention(&self) -> Option<&Intervention> {
        self.intervention.as_ref()
    }

    /// In detection-only mode: the first decision that would have ended it.
    pub fn would_intervene(&self) -> Option<&Intervention> {
        self.would_intervene.as_ref()
    }

    /// The mode in effect.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A variable of TX, in any case of letters.
    pub fn tx_variable(&self, name: &str) -> Option<&Bytes> {
        self.state.tx.get(name.as_bytes())
    }

    /// All variables of TX with their names as they were first spelled, in the order of the lower-cased names.
    pub fn tx_variables(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.state.tx.iter()
    }

    /// The inbound anomaly score, by the names the Core Rule Set gives it: the blocking score once it is computed, else the sum of the
    /// paranoia levels, else version 3's `anomaly_score`, else the baseline's. None where no rule keeps one.
    pub fn score(&self) -> Option<i64> {
        let number = |name: &str| self.tx_variable(name).map(|value| crate::value::integer(value));
        if let Some(score) = number("blocking_inbound_anomaly_score").filter(|score| *score != 0) {
            return Some(score);
        }
        const LEVELS: [&str; 4] =
            ["inbound_anomaly_score_pl1", "inbound_anomaly_score_pl2", "inbound_anomaly_score_pl3", "inbound_anomaly_score_pl4"];
        LEVELS
            .into_iter()
            .filter_map(number)
            .reduce(i64::saturating_add)
            .or_else(|| number("anomaly_score"))
            .or_else(|| number("baseline_score"))
    }

    /// The audit trail's switch, where `ctl:auditEngine` set it.
    pub fn audit_engine(&self) -> Switch {
        self.state.audit.unwrap_or(self.rules.settings().audit_engine)
    }

    /// The parts of the audit record, with what `ctl:auditLogParts` changed.
    pub fn audit_parts(&self) -> &str {
        self.state.audit_parts.as_deref().unwrap_or(&self.rules.settings().audit_parts)
    }

    /// What the audit trail must not show: the lower-cased action (`sanitisearg`, `sanitiserequestheader`, ...) and the name.
    pub fn sanitised(&self) -> &[(Arc<str>, Bytes)] {
        &self.state.sanitised
    }

    pub(crate) fn error(&mut self, cause: Cause, rule_id: Option<u64>, detail: impl Into<String>) {
        self.errors_total += 1;
        if self.errors.len() < limits::ENGINE_ERRORS_MAX {
            let phase = self.state.phase.unwrap_or(Phase::RequestHeaders);
            self.errors.push(EngineError { rule_id, phase, cause, detail: detail.into() });
        }
    }
}
