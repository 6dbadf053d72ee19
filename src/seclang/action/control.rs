//! `ctl:`: changes to the engine for the rest of one transaction.

use std::sync::Arc;

use crate::diagnostic::Problem;
use crate::syntax::ast::Which;
use crate::syntax::parser::ids;
use crate::syntax::target::targets;
use crate::syntax::text::Text;
use crate::target::{RulePattern, Target};

/// On, off, or looking without acting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// `On`
    On,
    /// `Off`
    Off,
    /// `DetectionOnly`, for audit engines `RelevantOnly`
    Partly,
}

/// Rules spoken of, and their numbers in the rule set once it is complete.
#[derive(Clone, Debug)]
pub struct Selection {
    /// What was written.
    pub pattern: RulePattern,
    /// Indexes of the rules it covers, ascending.
    pub rules: Arc<[u32]>,
}

/// A `ctl` action.
#[derive(Clone, Debug)]
pub enum Control {
    /// `ruleEngine`
    RuleEngine(Switch),
    /// `auditEngine`
    AuditEngine(Switch),
    /// `auditLogParts`
    AuditLogParts(String),
    /// `forceRequestBodyVariable`
    ForceRequestBodyVariable(bool),
    /// `requestBodyAccess`
    RequestBodyAccess(bool),
    /// `responseBodyAccess`
    ResponseBodyAccess(bool),
    /// `requestBodyProcessor`, upper case; empty for none.
    RequestBodyProcessor(&'static str),
    /// `requestBodyLimit`, bytes
    RequestBodyLimit(u64),
    /// `responseBodyLimit`, bytes
    ResponseBodyLimit(u64),
    /// `ruleRemoveById`, `ByTag`, `ByMsg`
    RemoveRules(Selection),
    /// `ruleRemoveTargetById`, `ByTag`, `ByMsg`; no target means all of them.
    RemoveTargets(Selection, Arc<[Target]>),
    /// Understood, without effect here.
    Inert,
}

/// Every option's name.
pub const CONTROLS: &[&str] = &[
    "auditEngine",
    "auditLogParts",
    "debugLogLevel",
    "forceRequestBodyVariable",
    "hashEnforcement",
    "hashEngine",
    "parseXmlIntoArgs",
    "requestBodyAccess",
    "requestBodyLimit",
    "requestBodyProcessor",
    "responseBodyAccess",
    "responseBodyLimit",
    "ruleEngine",
    "ruleRemoveById",
    "ruleRemoveByMsg",
    "ruleRemoveByTag",
    "ruleRemoveTargetById",
    "ruleRemoveTargetByMsg",
    "ruleRemoveTargetByTag",
];

/// Why an option of that name does nothing here.
pub fn inert_control(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "debugloglevel" => "the gateway has one operational log: see `[log]` in gateway.toml",
        "hashengine" | "hashenforcement" => "link protection is not part of this engine; sign links in the application",
        "parsexmlintoargs" => "look at XML:/* and XML://@*, which hold all of the body",
        _ => return None,
    })
}

/// Parses what follows `ctl:`. None where it could not be understood; the problem says why.
pub(super) fn parse(text: &Text, problems: &mut Vec<Problem>) -> Option<Control> {
    let string = text.as_str();
    let Some(equals) = string.find('=') else {
        problems.push(Problem::error(text.span(), "`ctl` needs an option and a value").help("write ctl:option=value"));
        return None;
    };
    let (name, value) = (text.slice(0, equals).trim(), text.slice(equals + 1, string.len()).trim());
    let limit = |problems: &mut Vec<Problem>| {
        let number = value.as_str().parse::<u64>().ok().filter(|bytes| *bytes <= crate::limits::BODY_BYTES_MAX);
        if number.is_none() {
            problems.push(Problem::error(value.span(), "this is not a number of bytes up to 1073741824"));
        }
        number
    };
    match name.as_str().to_ascii_lowercase().as_str() {
        "ruleengine" => switch(&value, "DetectionOnly", problems).map(Control::RuleEngine),
        "auditengine" => switch(&value, "RelevantOnly", problems).map(Control::AuditEngine),
        "auditlogparts" => Some(Control::AuditLogParts(value.as_str().to_owned())),
        "forcerequestbodyvariable" => on_off(&value, problems).map(Control::ForceRequestBodyVariable),
        "requestbodyaccess" => on_off(&value, problems).map(Control::RequestBodyAccess),
        "responsebodyaccess" => on_off(&value, problems).map(Control::ResponseBodyAccess),
        "requestbodyprocessor" => processor(&value, problems).map(Control::RequestBodyProcessor),
        "requestbodylimit" => limit(problems).map(Control::RequestBodyLimit),
        "responsebodylimit" => limit(problems).map(Control::ResponseBodyLimit),
        "ruleremovebyid" => removal(Which::Ids(ids(&value, problems), 0), problems),
        "ruleremovebytag" => removal(Which::Tag(value), problems),
        "ruleremovebymsg" => removal(Which::Msg(value), problems),
        "ruleremovetargetbyid" => target_removal(&value, |which, problems| Which::Ids(ids(&which, problems), 0), problems),
        "ruleremovetargetbytag" => target_removal(&value, |which, _| Which::Tag(which), problems),
        "ruleremovetargetbymsg" => target_removal(&value, |which, _| Which::Msg(which), problems),
        option if inert_control(option).is_some() => {
            let problem = Problem::warning(name.span(), format!("`ctl:{}` has no effect here", name.as_str()));
            problems.push(problem.help(inert_control(option).unwrap_or_default()));
            Some(Control::Inert)
        }
        _ => {
            let problem = Problem::error(name.span(), format!("unknown option `{}` of ctl", name.as_str()));
            problems.push(problem.suggest(name.as_str(), CONTROLS.iter().copied()));
            None
        }
    }
}

fn removal(which: Which, problems: &mut Vec<Problem>) -> Option<Control> {
    let (pattern, _) = RulePattern::compile(&which, problems)?;
    Some(Control::RemoveRules(Selection { pattern, rules: Arc::default() }))
}

fn target_removal(value: &Text, which: impl Fn(Text, &mut Vec<Problem>) -> Which, problems: &mut Vec<Problem>) -> Option<Control> {
    let string = value.as_str();
    let Some(semicolon) = string.find(';') else {
        let problem = Problem::error(value.span(), "the variable to leave out is missing");
        problems.push(problem.help("write ctl:ruleRemoveTargetById=942100;ARGS:password"));
        return None;
    };
    let which = which(value.slice(0, semicolon).trim(), problems);
    let (pattern, _) = RulePattern::compile(&which, problems)?;
    let list = targets(&value.slice(semicolon + 1, string.len()), problems);
    let list = list.iter().filter_map(|text| Target::compile(text, problems)).collect();
    Some(Control::RemoveTargets(Selection { pattern, rules: Arc::default() }, list))
}

fn switch(value: &Text, partly: &str, problems: &mut Vec<Problem>) -> Option<Switch> {
    let word = value.as_str();
    if word.eq_ignore_ascii_case("on") {
        Some(Switch::On)
    } else if word.eq_ignore_ascii_case("off") {
        Some(Switch::Off)
    } else if word.eq_ignore_ascii_case(partly) {
        Some(Switch::Partly)
    } else {
        problems.push(Problem::error(value.span(), format!("`{word}` is none of On, Off and {partly}")));
        None
    }
}

fn on_off(value: &Text, problems: &mut Vec<Problem>) -> Option<bool> {
    match value.as_str().to_ascii_lowercase().as_str() {
        "on" => Some(true),
        "off" => Some(false),
        other => {
            problems.push(Problem::error(value.span(), format!("`{other}` is neither On nor Off")));
            None
        }
    }
}

fn processor(value: &Text, problems: &mut Vec<Problem>) -> Option<&'static str> {
    const KNOWN: [&str; 4] = ["URLENCODED", "MULTIPART", "XML", "JSON"];
    let found = KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(value.as_str()));
    if found.is_none() {
        let problem = Problem::error(value.span(), format!("there is no body processor `{}`", value.as_str()));
        problems.push(problem.help("the processors are URLENCODED, MULTIPART, XML and JSON"));
    }
    found
}
