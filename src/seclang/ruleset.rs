//! The compiled rules: immutable, in phases, shared by all transactions.

mod plan;

use std::sync::Arc;

use crate::action::{Disruptive, Effect, Switch};
use crate::expand::Template;
use crate::limits;
use crate::operator::{Need, Operator};
use crate::target::Target;
use crate::transform::Transformation;
use crate::tx::Names;
use crate::verdict::Phase;

pub(crate) use plan::{
    AskedSet, Book, Bound, Chained, Column, Columns, EVERY, Group, Head, Left, List, Looked, NO_COMMON, Plan, PlannedRule, Prelude,
    Program, Questions, Quick, Route, Routes, SetTx, Single, Stop, TxChange, View, Way, book_of,
};

/// All rules and options of one load.
#[derive(Debug)]
pub struct RuleSet {
    pub(crate) rules: Vec<Rule>,
    pub(crate) phases: [Vec<Step>; 5],
    pub(crate) settings: Settings,
    pub(crate) plan: Plan,
}

/// What stands in a phase, in order.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Index into the rules.
    Rule(u32),
    /// `SecMarker`
    Marker(Arc<str>),
}

/// A rule with all links of its chain.
#[derive(Debug)]
pub struct Rule {
    /// `id`
    pub id: u64,
    /// The phase all its links run in.
    pub phase: Phase,
    /// `msg`
    pub message: Option<Template>,
    /// `msg` as it is written.
    pub message_text: Arc<str>,
    /// `logdata`
    pub data: Option<Template>,
    /// `tag`s
    pub tags: Arc<[Arc<str>]>,
    /// `severity`, 0 to 7
    pub severity: Option<u8>,
    /// `rev`
    pub revision: Option<Arc<str>>,
    /// `ver`
    pub version: Option<Arc<str>>,
    /// `maturity`
    pub maturity: Option<u8>,
    /// `accuracy`
    pub accuracy: Option<u8>,
    /// What happens when it matches; `block` has been resolved.
    pub disruptive: Disruptive,
    /// `status`
    pub status: Option<u16>,
    /// `log`
    pub log: bool,
    /// `auditlog`
    pub audit: bool,
    /// `skip`: how many of the following rules do not run.
    pub skip: usize,
    /// `skipAfter`
    pub skip_after: Option<Arc<str>>,
    /// The rule itself, then the rules chained to it.
    pub links: Vec<Link>,
    /// The file it stands in.
    pub file: Arc<str>,
    /// The line it begins in, from one.
    pub line: u32,
}

/// One `SecRule` or `SecAction` of a chain.
#[derive(Debug)]
pub struct Link {
    /// What it looks at.
    pub targets: Vec<Target>,
    /// What it leaves out.
    pub excluded: Vec<Target>,
    /// The operator; none matches always.
    pub test: Option<Test>,
    /// Its transformations, the defaults included.
    pub transformations: Vec<Transformation>,
    /// `multiMatch`
    pub multi_match: bool,
    /// `capture`
    pub capture: bool,
    /// What each match does.
    pub effects: Vec<Effect>,
}

/// An operator as a rule uses it.
#[derive(Debug)]
pub struct Test {
    /// The operator.
    pub check: Check,
    /// `!`
    pub negated: bool,
    /// Its argument, where it has macros.
    pub argument: Option<Template>,
}

/// How an operator gets its answer.
#[derive(Debug)]
pub enum Check {
    /// Built when the rules were loaded.
    Operator(Operator),
    /// `@rx` with macros in its pattern, which is built when it runs.
    Pattern,
}

/// Options the directives set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `SecRuleEngine`
    pub rule_engine: Switch,
    /// `SecRequestBodyAccess`; none of the settings of bodies has a value where no directive gives one.
    pub request_body_access: Option<bool>,
    /// `SecRequestBodyLimit`, bytes
    pub request_body_limit: Option<u64>,
    /// `SecRequestBodyNoFilesLimit`, bytes
    pub request_body_no_files_limit: Option<u64>,
    /// `SecRequestBodyLimitAction Reject`, not `ProcessPartial`
    pub request_body_limit_rejects: Option<bool>,
    /// `SecRequestBodyJsonDepthLimit`
    pub json_depth: usize,
    /// `SecResponseBodyAccess`
    pub response_body_access: Option<bool>,
    /// `SecResponseBodyLimit`, bytes
    pub response_body_limit: Option<u64>,
    /// `SecResponseBodyLimitAction Reject`, not `ProcessPartial`
    pub response_body_limit_rejects: Option<bool>,
    /// `SecResponseBodyMimeType`, lower case
    pub response_mime_types: Vec<String>,
    /// `SecArgumentsLimit`
    pub arguments_limit: usize,
    /// `SecUploadFileLimit`
    pub upload_files: usize,
    /// `SecArgumentSeparator`
    pub argument_separator: u8,
    /// `SecCookieV0Separator`
    pub cookie_separator: u8,
    /// `SecCookieFormat 1`
    pub cookies_version_1: bool,
    /// `SecCollectionTimeout`, seconds
    pub collection_timeout_seconds: u64,
    /// `SecComponentSignature`s
    pub components: Vec<String>,
    /// `SecAuditEngine`
    pub audit_engine: Switch,
    /// `SecAuditLogParts`
    pub audit_parts: String,
    /// `SecAuditLogRelevantStatus`
    pub audit_relevant_status: Option<String>,
    /// `SecWebAppId`
    pub web_app_id: String,
    /// `SecSensorId`
    pub sensor_id: String,
    /// `SecUnicodeMapFile` names code page 20127.
    pub unicode_mapped: bool,
    /// A rule follows paths in XML bodies.
    pub xml_paths: bool,
    /// `SecGeoLookupDb`: the full path of the database that the caller opens and hands in.
    pub geo_database: Option<String>,
    /// `SecHttpBlKey`: the key for `@rbl dnsbl.httpbl.org`.
    pub http_bl_key: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            rule_engine: Switch::Off,
            request_body_access: None,
            request_body_limit: None,
            request_body_no_files_limit: None,
            request_body_limit_rejects: None,
            json_depth: limits::JSON_DEPTH_MAX,
            response_body_access: None,
            response_body_limit: None,
            response_body_limit_rejects: None,
            response_mime_types: vec!["text/plain".to_owned(), "text/html".to_owned()],
            arguments_limit: limits::ARGUMENTS_MAX,
            upload_files: limits::UPLOAD_FILES_MAX,
            argument_separator: b'&',
            cookie_separator: b';',
            cookies_version_1: false,
            collection_timeout_seconds: limits::COLLECTION_TIMEOUT_SECONDS,
            components: Vec::new(),
            audit_engine: Switch::Off,
            audit_parts: "ABCFHZ".to_owned(),
            audit_relevant_status: None,
            web_app_id: "default".to_owned(),
            sensor_id: String::new(),
            unicode_mapped: false,
            xml_paths: false,
            geo_database: None,
            http_bl_key: None,
        }
    }
}

impl RuleSet {
    /// Completes rules and options to a set that can run.
    pub(crate) fn new(rules: Vec<Rule>, phases: [Vec<Step>; 5], settings: Settings) -> Self {
        let plan = Plan::new(&rules, &phases);
        RuleSet { rules, phases, settings, plan }
    }

    /// All rules in the order they were loaded; a chain counts as one.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The names of TX that the rules mention.
    pub(crate) fn tx_names(&self) -> &Arc<Names> {
        self.plan.names()
    }

    /// The options.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether rules of a phase look names up ([`crate::Transaction::dns_names`]).
    pub fn asks_dns(&self, phase: Phase) -> bool {
        let asks = |link: &Link| matches!(&link.test, Some(Test { check: Check::Operator(operator), .. }) if operator.needs() == Need::Dns);
        self.rules.iter().filter(|rule| rule.phase == phase).flat_map(|rule| &rule.links).any(asks)
    }

    /// How many rules run in a phase.
    pub fn count(&self, phase: Phase) -> usize {
        let steps = self.phases.get(phase.index()).map_or(&[][..], Vec::as_slice);
        steps.iter().filter(|step| matches!(step, Step::Rule(_))).count()
    }
}
