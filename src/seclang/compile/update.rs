//! Directives that change rules loaded before them, and the defaults of those loaded after.

use super::Compiler;
use super::rule::{self, Defaults};
use crate::action::{Action, Disruptive, Flow, Meta, WithSpan};
use crate::diagnostic::Problem;
use crate::ruleset::Rule;
use crate::span::Span;
use crate::syntax::ast::{ActionText, TargetText, Which};
use crate::target::{RulePattern, Selector, Target};
use crate::transform::Transformation;

/// What a `SecDefaultAction` says. It must name a disruptive action, and facts about single rules make no sense in it.
pub(super) fn defaults(actions: &[WithSpan], span: Span) -> Result<Defaults, Box<Problem>> {
    let mut defaults = Defaults::default();
    let mut disruptive = None;
    for one in actions {
        match &one.action {
            Action::Disruptive(Disruptive::Block) => {
                let problem = Problem::error(one.span, "`block` means what SecDefaultAction says, so it cannot stand here");
                return Err(Box::new(problem.help("write deny, drop, redirect or pass")));
            }
            Action::Disruptive(found) => disruptive = Some(found.clone()),
            Action::Status(status) => defaults.status = Some(*status),
            Action::Transform(Transformation::None) => defaults.transformations.clear(),
            Action::Transform(transformation) => defaults.transformations.push(*transformation),
            Action::Meta(Meta::Phase(_)) | Action::Log(_) | Action::Inert | Action::Namespace(..) => {}
            Action::Meta(_) => return Err(Box::new(Problem::error(one.span, "only a rule can have this, not `SecDefaultAction`"))),
            Action::Flow(Flow::Chain | Flow::Skip(_) | Flow::SkipAfter(_)) | Action::Capture | Action::MultiMatch | Action::Effect(_) => {
                return Err(Box::new(Problem::error(one.span, "this belongs to single rules, not to `SecDefaultAction`")));
            }
        }
    }
    let Some(disruptive) = disruptive else {
        let problem = Problem::error(span, "`SecDefaultAction` needs a disruptive action");
        return Err(Box::new(problem.help("add deny, drop, redirect or pass")));
    };
    let phase = rule::phase(actions).unwrap_or(crate::verdict::Phase::RequestBody);
    let mut carrier = rule::blank(phase, &Defaults::default(), std::sync::Arc::from(""), 0);
    rule::apply_to_rule(&mut carrier, actions, &Defaults::default());
    (defaults.log, defaults.audit, defaults.disruptive) = (carrier.log, carrier.audit, disruptive);
    Ok(defaults)
}

impl Compiler<'_> {
    pub(super) fn remove(&mut self, which: &Which, span: Span) {
        let Some((pattern, _)) = self.pattern(which) else { return };
        let mut removed = 0;
        for slot in &mut self.rules {
            if let Some(rule) = slot.as_ref().filter(|rule| covers(&pattern, rule)) {
                self.by_id.remove(&rule.id);
                *slot = None;
                removed += 1;
            }
        }
        self.warn_if_nothing(removed, span);
    }

    pub(super) fn update_targets(&mut self, which: &Which, texts: &[TargetText], replaced: &[TargetText], span: Span) {
        let Some((pattern, number)) = self.pattern(which) else { return };
        let (targets, excluded) = rule::targets(texts, &[], &mut self.problems);
        let (replaced, _) = rule::targets(replaced, &[], &mut self.problems);
        let mut updated = 0;
        for rule in self.rules.iter_mut().flatten().filter(|rule| covers(&pattern, rule)) {
            let Some(link) = rule.links.get_mut(number) else { continue };
            updated += 1;
            link.targets.retain(|target| !replaced.iter().any(|old| old.same(target)));
            let new = |target: &&Target| !link.targets.iter().any(|old| old.same(target));
            let added: Vec<Target> = targets.iter().filter(new).cloned().collect();
            self.settings.xml_paths |= added.iter().any(|target| matches!(target.selector, Some(Selector::XmlPath(..))));
            link.targets.extend(added);
            link.excluded.extend(excluded.iter().cloned());
        }
        self.warn_if_nothing(updated, span);
    }

    pub(super) fn update_actions(&mut self, which: &Which, texts: &[ActionText], span: Span) {
        let Some((pattern, number)) = self.pattern(which) else { return };
        let actions = crate::action::parse(texts, &mut self.problems);
        for one in &actions {
            if matches!(one.action, Action::Meta(Meta::Id(_) | Meta::Phase(_)) | Action::Flow(Flow::Chain)) {
                self.problems.push(Problem::error(one.span, "id, phase and chain of a rule cannot be changed"));
                return;
            }
        }
        let mut updated = 0;
        for rule in self.rules.iter_mut().flatten().filter(|rule| covers(&pattern, rule)) {
            let defaults = self.defaults.get(rule.phase.index()).cloned().unwrap_or_default();
            if number == 0 {
                rule::apply_to_rule(rule, &actions, &defaults);
            }
            let Some(link) = rule.links.get_mut(number) else { continue };
            updated += 1;
            if actions.iter().any(|one| matches!(one.action, Action::Transform(_))) {
                link.transformations.clear();
            }
            rule::apply_to_link(link, &actions);
        }
        self.warn_if_nothing(updated, span);
    }

    /// The rules meant; none where the ids could not be read, which was reported.
    fn pattern(&mut self, which: &Which) -> Option<(RulePattern, usize)> {
        let found = RulePattern::compile(which, &mut self.problems)?;
        (!matches!(&found.0, RulePattern::Ids(ranges) if ranges.is_empty())).then_some(found)
    }

    fn warn_if_nothing(&mut self, count: usize, span: Span) {
        if count == 0 {
            let problem = Problem::warning(span, "no rule that is loaded so far fits this");
            self.problems.push(problem.help("it changes only rules that stand before it"));
        }
    }
}

fn covers(pattern: &RulePattern, rule: &Rule) -> bool {
    pattern.covers(rule.id, rule.tags.iter().map(AsRef::as_ref), &rule.message_text)
}
