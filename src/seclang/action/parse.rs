//! Understands a list of actions: names and values in, data out, every mistake at its place.

use std::sync::Arc;

use super::set_variable::{Assignment, split_outside_macros};
use super::{Action, Allow, Disruptive, Effect, Flow, Log, Meta, NAMES, SetVariable, control};
use crate::diagnostic::Problem;
use crate::expand::Template;
use crate::span::Span;
use crate::syntax::ast::ActionText;
use crate::syntax::text::Text;
use crate::transform::Transformation;
use crate::variable::Variable;
use crate::verdict::{Disruption, Phase};

/// An action and its place.
#[derive(Clone, Debug)]
pub struct WithSpan {
    /// The action.
    pub action: Action,
    /// Where its name stands.
    pub span: Span,
}

/// Understands all actions of one directive.
pub fn parse(list: &[ActionText], problems: &mut Vec<Problem>) -> Vec<WithSpan> {
    let understood = |text: &ActionText| Some(WithSpan { span: text.name.span(), action: one(text, problems)? });
    list.iter().filter_map(understood).collect()
}

fn one(text: &ActionText, problems: &mut Vec<Problem>) -> Option<Action> {
    let name = text.name.as_str().to_ascii_lowercase();
    if let Some(action) = plain(&name) {
        if let Some(value) = &text.value {
            problems.push(Problem::error(value.span(), format!("`{name}` takes no value")));
        }
        return Some(action);
    }
    if let Some(help) = refusal(&name) {
        problems.push(Problem::error(text.name.span(), format!("the action `{}` is not supported", text.name.as_str())).help(help));
        return None;
    }
    if name == "allow" {
        return allow(text.value.as_ref(), problems);
    }
    if let Some(why) = inert(&name) {
        problems.push(Problem::warning(text.name.span(), format!("`{name}` has no effect here")).help(why));
        return Some(Action::Inert);
    }
    if !NAMES.iter().any(|known| known.eq_ignore_ascii_case(&name)) && !name.starts_with("sanitize") {
        let problem = Problem::error(text.name.span(), format!("unknown action `{}`", text.name.as_str()));
        problems.push(problem.suggest(&name, NAMES.iter().copied()));
        return None;
    }
    let Some(value) = text.value.as_ref().filter(|value| !value.as_str().is_empty() || matches!(name.as_str(), "msg" | "logdata" | "tag"))
    else {
        problems.push(Problem::error(text.name.span(), format!("`{}` needs a value", text.name.as_str())));
        return None;
    };
    match valued(&name, value, problems) {
        Some(Ok(action)) => Some(action),
        Some(Err(message)) => {
            problems.push(Problem::error(value.span(), message));
            None
        }
        None => None,
    }
}

fn plain(name: &str) -> Option<Action> {
    Some(match name {
        "pass" => Action::Disruptive(Disruptive::Pass),
        "block" => Action::Disruptive(Disruptive::Block),
        "deny" => Action::Disruptive(Disruptive::Disrupt(Disruption::Deny, None)),
        "drop" => Action::Disruptive(Disruptive::Disrupt(Disruption::Drop, None)),
        "chain" => Action::Flow(Flow::Chain),
        "capture" => Action::Capture,
        "multimatch" => Action::MultiMatch,
        "log" => Action::Log(Log::Log),
        "nolog" => Action::Log(Log::NoLog),
        "auditlog" => Action::Log(Log::AuditLog),
        "noauditlog" => Action::Log(Log::NoAuditLog),
        "sanitisematched" | "sanitizematched" => Action::Effect(Effect::Sanitise(Arc::from("sanitisematched"), Arc::from(""))),
        _ => return None,
    })
}

/// Why an action of that name does nothing here.
pub fn inert(name: &str) -> Option<&'static str> {
    name.eq_ignore_ascii_case("pause").then_some("slow clients down with a rate limit")
}

/// Why an action of that name is refused, and what to do instead.
pub fn refusal(name: &str) -> Option<&'static str> {
    Some(match name {
        "exec" => "a gateway runs no programs for a request; write the check as rules",
        "proxy" => "where requests go is decided by the maps in gateway.toml, never by a rule; use deny or redirect",
        "append" | "prepend" => "responses are not rewritten by rules; add the content in the application",
        _ => return None,
    })
}

fn allow(value: Option<&Text>, problems: &mut Vec<Problem>) -> Option<Action> {
    let reach = match value.map(|text| text.as_str().to_ascii_lowercase()).as_deref() {
        None => Allow::Transaction,
        Some("phase") => Allow::Phase,
        Some("request") => Allow::Request,
        Some(other) => {
            let span = value.map(Text::span)?;
            problems.push(Problem::error(span, format!("`{other}` is neither phase nor request")));
            return None;
        }
    };
    Some(Action::Disruptive(Disruptive::Allow(reach)))
}

/// An action with a value: what it is, why it is wrong, or nothing where problems were reported already.
fn valued(name: &str, value: &Text, problems: &mut Vec<Problem>) -> Option<Result<Action, String>> {
    let string = value.as_str();
    let meta = |meta| Some(Ok(Action::Meta(meta)));
    let effect = |effect| Some(Ok(Action::Effect(effect)));
    match name {
        "id" => Some(number(string, 1, u64::from(u32::MAX)).map(|id| Action::Meta(Meta::Id(id)))),
        "phase" => Some(
            Phase::parse(string)
                .map(|phase| Action::Meta(Meta::Phase(phase)))
                .ok_or_else(|| format!("`{string}` is not a phase; the phases are 1 to 5, request (2), response (4) and logging (5)")),
        ),
        "msg" => meta(Meta::Message(template(value, problems), Arc::from(string))),
        "logdata" => meta(Meta::Data(template(value, problems))),
        "tag" => meta(Meta::Tag(Arc::from(string))),
        "severity" => Some(severity(string).map(|severity| Action::Meta(Meta::Severity(severity)))),
        "rev" => meta(Meta::Revision(Arc::from(string))),
        "ver" => meta(Meta::Version(Arc::from(string))),
        "maturity" => Some(number(string, 0, 9).map(|n| Action::Meta(Meta::Maturity(n as u8)))),
        "accuracy" => Some(number(string, 0, 9).map(|n| Action::Meta(Meta::Accuracy(n as u8)))),
        "redirect" => Some(Ok(Action::Disruptive(Disruptive::Disrupt(Disruption::Redirect, Some(template(value, problems)))))),
        "status" => Some(number(string, 100, 599).map(|status| Action::Status(status as u16))),
        "skip" => Some(number(string, 1, 1_000_000).map(|count| Action::Flow(Flow::Skip(count as usize)))),
        "skipafter" => Some(Ok(Action::Flow(Flow::SkipAfter(Arc::from(string))))),
        "t" => {
            let transformation = Transformation::parse(string).map(|found| Ok(Action::Transform(found)));
            if transformation.is_none() {
                let problem = Problem::error(value.span(), format!("unknown transformation `{string}`"));
                problems.push(problem.suggest(string, Transformation::ALL.iter().map(|known| known.name())));
            }
            transformation
        }
        "setvar" | "expirevar" | "deprecatevar" => Some(set_variable(name, value, problems)),
        "setenv" => {
            let (name, content) = split_outside_macros(string).unwrap_or((string, "1"));
            effect(Effect::SetEnvironment(Template::parse(name).0, Template::parse(content).0))
        }
        "xmlns" => Some(namespace(string)),
        "initcol" => Some(open_collection(value, problems)),
        "setsid" => effect(Effect::OpenCollection(Variable::Session, template(value, problems))),
        "setuid" => effect(Effect::OpenCollection(Variable::User, template(value, problems))),
        "setrsc" => effect(Effect::OpenCollection(Variable::Resource, template(value, problems))),
        "ctl" => control::parse(value, problems).map(|control| Ok(Action::Effect(Effect::Control(control)))),
        _ if name.starts_with("saniti") => effect(Effect::Sanitise(Arc::from(name.replace("sanitize", "sanitise")), Arc::from(string))),
        _ => Some(Err(format!("the action `{name}` has no meaning here"))),
    }
}

fn number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = text.trim().parse::<u64>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("`{text}` is not a number from {least} to {most}"))
}

/// Severities by number or by syslog's name (reference manual, "severity").
fn severity(text: &str) -> Result<u8, String> {
    const NAMES: [&str; 8] = ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];
    if let Some(index) = NAMES.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(index as u8);
    }
    let number = text.parse::<u8>().ok().filter(|number| *number < 8);
    number.ok_or_else(|| format!("`{text}` is not a severity; they are 0 to 7 or {}", NAMES.join(", ")))
}

fn template(value: &Text, problems: &mut Vec<Problem>) -> Template {
    let (template, unknown) = Template::parse(value.as_str());
    for one in unknown {
        let problem = Problem::warning(value.span_of(one.start, one.end), format!("the macro `{}` names no variable", one.name));
        problems.push(problem.help("it stays in the text as it is written"));
    }
    template
}

fn set_variable(name: &str, value: &Text, problems: &mut Vec<Problem>) -> Result<Action, String> {
    // Reported here once for the whole text; the parts are parsed again below.
    template(value, problems);
    let set = SetVariable::parse(value.as_str())?;
    if name == "deprecatevar" {
        let rate = match &set.assignment {
            Assignment::Set(text) => text.literal().and_then(|text| rate(text)),
            _ => None,
        };
        let (amount, seconds) = rate.ok_or("write deprecatevar:collection.name=amount/seconds")?;
        return Ok(Action::Effect(Effect::DeprecateVariable(set, amount, seconds)));
    }
    let effect = if name == "setvar" { Effect::SetVariable } else { Effect::ExpireVariable };
    Ok(Action::Effect(effect(set)))
}

/// `amount/seconds`
fn rate(text: &[u8]) -> Option<(i64, u64)> {
    let (amount, seconds) = std::str::from_utf8(text).ok()?.split_once('/')?;
    let amount = amount.trim().parse::<u32>().ok()?;
    Some((i64::from(amount), seconds.trim().parse().ok().filter(|seconds| *seconds > 0)?))
}

fn namespace(text: &str) -> Result<Action, String> {
    let (prefix, name) = text.split_once('=').ok_or("write xmlns:prefix=name")?;
    let name = name.trim().trim_matches(['"', '\'']);
    let right = !name.is_empty() && prefix.trim().starts_with(|c: char| c.is_alphabetic() || c == '_');
    right.then(|| Action::Namespace(Arc::from(prefix.trim()), Arc::from(name))).ok_or_else(|| "write xmlns:prefix=name".to_owned())
}

fn open_collection(value: &Text, problems: &mut Vec<Problem>) -> Result<Action, String> {
    let (collection, key) = split_outside_macros(value.as_str()).ok_or("write initcol:collection=key")?;
    let variable = Variable::parse(collection.trim()).filter(|variable| variable.is_persistent());
    let variable =
        variable.ok_or_else(|| format!("`{collection}` is not a persistent collection; they are ip, session, user, global, resource"))?;
    template(value, problems);
    Ok(Action::Effect(Effect::OpenCollection(variable, Template::parse(key).0)))
}
