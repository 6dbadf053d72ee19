//! Turns the parts of one `SecRule` or `SecAction` into a rule or a link of a chain.

use std::sync::Arc;

use crate::action::{Action, Disruptive, Flow, Log, Meta, WithSpan};
use crate::diagnostic::Problem;
use crate::expand::Template;
use crate::operator::Operator;
use crate::ruleset::{Check, Link, Rule, Test};
use crate::source::FileSource;
use crate::syntax::ast::{OperatorText, TargetText};
use crate::target::Target;
use crate::transform::Transformation;
use crate::verdict::Phase;

/// What `SecDefaultAction` says for one phase.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    pub(super) disruptive: Disruptive,
    pub(super) status: Option<u16>,
    pub(super) log: bool,
    pub(super) audit: bool,
    pub(super) transformations: Vec<Transformation>,
}

impl Default for Defaults {
    fn default() -> Self {
        Defaults { disruptive: Disruptive::Pass, status: None, log: true, audit: true, transformations: Vec::new() }
    }
}

/// An empty rule that inherits the defaults of its phase.
pub(super) fn blank(phase: Phase, defaults: &Defaults, file: Arc<str>, line: u32) -> Rule {
    Rule {
        id: 0,
        phase,
        message: None,
        message_text: Arc::from(""),
        data: None,
        tags: Arc::from([]),
        severity: None,
        revision: None,
        version: None,
        maturity: None,
        accuracy: None,
        disruptive: defaults.disruptive.clone(),
        status: defaults.status,
        log: defaults.log,
        audit: defaults.audit,
        skip: 0,
        skip_after: None,
        links: Vec::new(),
        file,
        line,
    }
}

/// An empty link.
pub(super) fn blank_link(defaults: &Defaults) -> Link {
    Link {
        targets: Vec::new(),
        excluded: Vec::new(),
        test: None,
        transformations: defaults.transformations.clone(),
        multi_match: false,
        capture: false,
        effects: Vec::new(),
    }
}

/// The phase among the actions, which the rest of them depends on.
pub(super) fn phase(actions: &[WithSpan]) -> Option<Phase> {
    actions.iter().rev().find_map(|one| match one.action {
        Action::Meta(Meta::Phase(phase)) => Some(phase),
        _ => None,
    })
}

/// The prefixes that `xmlns` declares.
pub(super) fn namespaces(actions: &[WithSpan]) -> Vec<(String, String)> {
    let declared = actions.iter().filter_map(|one| match &one.action {
        Action::Namespace(prefix, name) => Some((prefix.to_string(), name.to_string())),
        _ => None,
    });
    declared.collect()
}

/// Whether `chain` is among the actions.
pub(super) fn chains(actions: &[WithSpan]) -> bool {
    actions.iter().any(|one| matches!(one.action, Action::Flow(Flow::Chain)))
}

/// Applies what concerns the rule as a whole.
pub(super) fn apply_to_rule(rule: &mut Rule, actions: &[WithSpan], defaults: &Defaults) {
    let mut tags: Vec<Arc<str>> = rule.tags.to_vec();
    for one in actions {
        match &one.action {
            Action::Meta(meta) => apply_meta(rule, meta, &mut tags),
            Action::Disruptive(Disruptive::Block) => rule.disruptive = defaults.disruptive.clone(),
            Action::Disruptive(disruptive) => rule.disruptive = disruptive.clone(),
            Action::Status(status) => rule.status = Some(*status),
            Action::Log(Log::Log) => (rule.log, rule.audit) = (true, true),
            Action::Log(Log::NoLog) => (rule.log, rule.audit) = (false, false),
            Action::Log(Log::AuditLog) => rule.audit = true,
            Action::Log(Log::NoAuditLog) => rule.audit = false,
            Action::Flow(Flow::Skip(count)) => rule.skip = *count,
            Action::Flow(Flow::SkipAfter(label)) => rule.skip_after = Some(label.clone()),
            _ => {}
        }
    }
    rule.tags = tags.into();
}

fn apply_meta(rule: &mut Rule, meta: &Meta, tags: &mut Vec<Arc<str>>) {
    match meta {
        Meta::Id(id) => rule.id = *id,
        Meta::Phase(_) => {}
        Meta::Message(message, text) => {
            rule.message = Some(message.clone());
            rule.message_text = text.clone();
        }
        Meta::Data(data) => rule.data = Some(data.clone()),
        Meta::Tag(tag) => tags.push(tag.clone()),
        Meta::Severity(severity) => rule.severity = Some(*severity),
        Meta::Revision(revision) => rule.revision = Some(revision.clone()),
        Meta::Version(version) => rule.version = Some(version.clone()),
        Meta::Maturity(maturity) => rule.maturity = Some(*maturity),
        Meta::Accuracy(accuracy) => rule.accuracy = Some(*accuracy),
    }
}

/// Applies what concerns one link.
pub(super) fn apply_to_link(link: &mut Link, actions: &[WithSpan]) {
    for one in actions {
        match &one.action {
            Action::Transform(Transformation::None) => link.transformations.clear(),
            Action::Transform(transformation) => link.transformations.push(*transformation),
            Action::Capture => link.capture = true,
            Action::MultiMatch => link.multi_match = true,
            Action::Effect(effect) => link.effects.push(effect.clone()),
            _ => {}
        }
    }
}

/// What only the first rule of a chain may have.
pub(super) fn refuse_in_later_links(actions: &[WithSpan], problems: &mut Vec<Problem>) {
    for one in actions {
        let what = match &one.action {
            Action::Meta(Meta::Id(_)) => "an id",
            Action::Meta(Meta::Phase(_)) => "a phase",
            Action::Disruptive(Disruptive::Block | Disruptive::Pass) => continue,
            Action::Disruptive(_) => "a disruptive action",
            Action::Flow(Flow::Skip(_) | Flow::SkipAfter(_)) => "skip or skipAfter",
            _ => continue,
        };
        let problem = Problem::error(one.span, format!("only the first rule of a chain may have {what}"));
        problems.push(problem.help("move it to the rule that starts the chain"));
    }
}

/// The targets of a link: what to look at, and what to leave out.
pub(super) fn targets(texts: &[TargetText], namespaces: &[(String, String)], problems: &mut Vec<Problem>) -> (Vec<Target>, Vec<Target>) {
    let (mut targets, mut excluded) = (Vec::new(), Vec::new());
    for text in texts {
        if let Some(target) = Target::compile_with(text, namespaces, problems) {
            if text.excluded {
                // The Core Rule Set leaves out names of other engines too.
                excluded.push(target);
            } else {
                Target::warn_of_prefix(text, problems);
                targets.push(target);
            }
        }
    }
    (targets, excluded)
}

/// Whether it asks a block list that answers only with `SecHttpBlKey`.
pub(super) fn wants_key(test: &Test) -> bool {
    matches!(&test.check, Check::Operator(Operator::Rbl(list)) if list.is_http_bl())
}

/// The operator of a link.
pub(super) fn test(text: &OperatorText, files: &dyn FileSource, path: &str, problems: &mut Vec<Problem>) -> Option<Test> {
    let argument = text.argument.as_str();
    if text.name.eq_ignore_ascii_case("rx") {
        let (template, _) = Template::parse(argument);
        if template.literal().is_none() {
            return Some(Test { check: Check::Pattern, negated: text.negated, argument: Some(template) });
        }
    }
    let operator = match Operator::compile(&text.name, argument, files, path) {
        Ok(operator) => operator,
        Err(message) => {
            let span = if message.starts_with("there is no operator") { text.name_span } else { text.argument.span() };
            problems.push(Problem::error(span, message));
            return None;
        }
    };
    if matches!(&operator, Operator::Rx(pattern) | Operator::RxGlobal(pattern) if !pattern.is_linear()) {
        let problem = Problem::warning(text.argument.span(), "this pattern looks around or back, so it runs with a step limit");
        problems.push(problem.help("without look-ahead, look-behind and back references it runs in linear time"));
    }
    let mut macros = None;
    if Operator::takes_macros(&text.name) {
        let (template, unknown) = Template::parse(argument);
        for one in unknown {
            let span = text.argument.span_of(one.start, one.end);
            problems.push(Problem::warning(span, format!("the macro `{}` names no variable", one.name)));
        }
        macros = Some(template).filter(|template| template.literal().is_none());
    }
    Some(Test { check: Check::Operator(operator), negated: text.negated, argument: macros })
}
