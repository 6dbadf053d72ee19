//! Rules that load without a mistake and still cannot do anything: looked for once the set is complete.

use std::sync::Arc;

use crate::action::{Allow, Control, Disruptive, Effect, Switch};
use crate::diagnostic::closest;
use crate::ruleset::{Link, Rule, RuleSet, Step};
use crate::target::RulePattern;
use crate::variable::Variable;
use crate::verdict::Phase;

/// What is odd about a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// The rule's id.
    pub rule_id: u64,
    /// The file it stands in.
    pub file: Arc<str>,
    /// The line it begins in, from one.
    pub line: u32,
    /// What is odd, one sentence in lower case without a stop.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
}

impl RuleSet {
    /// Rules that can never run or never match, and `ctl` actions about rules that do not exist.
    pub fn lint(&self) -> Vec<Lint> {
        let mut found = Vec::new();
        let mut lint = |rule: &Rule, message: String, help: String| {
            found.push(Lint { rule_id: rule.id, file: rule.file.clone(), line: rule.line, message, help });
        };
        for (rule, behind) in self.unreachable() {
            lint(
                rule,
                format!("this rule never runs: rule {behind} ends the way to it"),
                "move it before that rule, or remove it".to_owned(),
            );
        }
        for rule in &self.rules {
            if let Some((message, help)) = rule.links.iter().find_map(|link| self.never_matches(rule, link)) {
                lint(rule, message, help);
            }
            for (message, help) in rule.links.iter().flat_map(|link| &link.effects).filter_map(|effect| self.covers_nothing(effect)) {
                lint(rule, message, help);
            }
        }
        found
    }

    /// Rules behind one that always matches and always leads away, and the id of that one.
    fn unreachable(&self) -> Vec<(&Rule, u64)> {
        let mut found = Vec::new();
        for steps in &self.phases {
            let mut until: Option<(u64, Option<&Arc<str>>)> = None;
            for step in steps {
                match (step, until) {
                    (Step::Marker(label), Some((_, Some(wanted)))) if label == wanted => until = None,
                    (Step::Marker(_), _) => {}
                    (Step::Rule(index), _) => {
                        let Some(rule) = self.rules.get(*index as usize) else { continue };
                        if let Some((id, label)) = until {
                            // A jump may also end at a rule's id.
                            if label.is_some_and(|label| label.parse() == Ok(rule.id)) { until = None } else { found.push((rule, id)) }
                        } else if always_matches(rule) {
                            until = leads_away(rule);
                        }
                    }
                }
            }
        }
        found
    }

    /// Why a link has no value to look at in its phase.
    fn never_matches(&self, rule: &Rule, link: &Link) -> Option<(String, String)> {
        link.test.as_ref()?;
        let empty = |target: &crate::target::Target| !target.counted && self.is_empty(target.variable, rule.phase);
        if link.targets.is_empty() || !link.targets.iter().all(empty) {
            return None;
        }
        let variable = link.targets.first().map_or("", |target| target.variable.name());
        if link.targets.iter().all(|target| first_phase(target.variable) > rule.phase) {
            let wanted = link.targets.iter().map(|target| first_phase(target.variable)).min().unwrap_or(rule.phase);
            let message = format!("this rule never matches: {variable} is empty in phase {}", rule.phase as u8);
            return Some((message, format!("write phase:{}", wanted as u8)));
        }
        let (directive, word) =
            if variable == "RESPONSE_BODY" { ("SecResponseBodyAccess", "response") } else { ("SecRequestBodyAccess", "request") };
        Some((format!("this rule never matches: the {word} body is not looked at"), format!("write {directive} On, or set it with ctl")))
    }

    fn is_empty(&self, variable: Variable, phase: Phase) -> bool {
        if first_phase(variable) > phase {
            return true;
        }
        let controls = || self.rules.iter().flat_map(|rule| &rule.links).flat_map(|link| &link.effects);
        match variable {
            Variable::ResponseBody => {
                self.settings.response_body_access != Some(true)
                    && !controls().any(|effect| matches!(effect, Effect::Control(Control::ResponseBodyAccess(true))))
            }
            Variable::ArgsPost | Variable::ArgsPostNames | Variable::Files | Variable::FilesNames | Variable::RequestBody => {
                self.settings.request_body_access == Some(false)
                    && self.settings.rule_engine != Switch::Off
                    && !controls().any(|effect| matches!(effect, Effect::Control(Control::RequestBodyAccess(true))))
            }
            _ => false,
        }
    }

    /// A `ctl` that speaks of rules of which there are none.
    fn covers_nothing(&self, effect: &Effect) -> Option<(String, String)> {
        let Effect::Control(Control::RemoveRules(selection) | Control::RemoveTargets(selection, _)) = effect else { return None };
        if !selection.rules.is_empty() {
            return None;
        }
        let ids = |(low, high): &(u64, u64)| if low == high { low.to_string() } else { format!("{low}-{high}") };
        Some(match &selection.pattern {
            RulePattern::Ids(ranges) if ranges.is_empty() => return None,
            RulePattern::Ids(ranges) => {
                let list: Vec<String> = ranges.iter().map(ids).collect();
                (format!("this ctl does nothing: no rule has the id {}", list.join(", ")), "was it renumbered or removed?".to_owned())
            }
            RulePattern::Tag(pattern) => {
                let tags = self.rules.iter().flat_map(|rule| rule.tags.iter().map(AsRef::as_ref));
                let written = unescaped(pattern.as_str());
                let near = closest(&written, tags).map_or_else(String::new, |near| format!("did you mean `{near}`?"));
                (format!("this ctl does nothing: no rule has a tag with `{written}`"), near)
            }
            RulePattern::Msg(pattern) => {
                (format!("this ctl does nothing: no rule has a message with `{}`", unescaped(pattern.as_str())), String::new())
            }
        })
    }
}

/// A translated pattern with its `\xHH` for printable characters as somebody writes them.
fn unescaped(pattern: &str) -> String {
    let mut parts = pattern.split("\\x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|byte| (b' '..=b'~').contains(byte));
        match byte {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                out.push_str("\\x");
                out.push_str(part);
            }
        }
    }
    out
}

/// The first phase in which a variable can have a value.
fn first_phase(variable: Variable) -> Phase {
    use Variable as V;
    match variable {
        V::ArgsPost
        | V::ArgsPostNames
        | V::Files
        | V::FilesCombinedSize
        | V::FilesNames
        | V::FilesSizes
        | V::FilesTmpContent
        | V::MultipartFilename
        | V::MultipartName
        | V::MultipartPartHeaders
        | V::RequestBody
        | V::StreamInputBody
        | V::Xml => Phase::RequestBody,
        V::ResponseContentLength
        | V::ResponseContentType
        | V::ResponseHeaders
        | V::ResponseHeadersNames
        | V::ResponseProtocol
        | V::ResponseStatus
        | V::StatusLine => Phase::ResponseHeaders,
        V::ResponseBody | V::StreamOutputBody => Phase::ResponseBody,
        _ => Phase::RequestHeaders,
    }
}

/// A `SecAction`, alone.
fn always_matches(rule: &Rule) -> bool {
    matches!(rule.links.as_slice(), [only] if only.test.is_none())
}

/// Where what follows an always matching rule begins again: at a label, or not in this phase.
fn leads_away(rule: &Rule) -> Option<(u64, Option<&Arc<str>>)> {
    match &rule.disruptive {
        Disruptive::Disrupt(..) | Disruptive::Allow(Allow::Phase | Allow::Request | Allow::Transaction) => Some((rule.id, None)),
        Disruptive::Pass | Disruptive::Block => rule.skip_after.as_ref().map(|label| (rule.id, Some(label))),
    }
}
