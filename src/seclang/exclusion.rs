//! Rules and variables that an administrator takes out of single transactions, chosen once the rules are loaded.

use crate::ruleset::{Rule, RuleSet};
use crate::span::Sources;
use crate::syntax::target::targets;
use crate::syntax::text::Text;
use crate::target::Target;

/// Which rules an exclusion is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The ids from the first to the second, both included.
    Ids(u64, u64),
    /// The rules with exactly this tag.
    Tag(&'a str),
}

impl Choice<'_> {
    fn covers(&self, rule: &Rule) -> bool {
        match self {
            Choice::Ids(first, last) => (*first..=*last).contains(&rule.id),
            Choice::Tag(tag) => rule.tags.iter().any(|own| **own == **tag),
        }
    }
}

/// What a transaction leaves out from its first phase on, as `ctl:ruleRemoveById` and `ctl:ruleRemoveTargetById` do from the rule on
/// that they stand in. It belongs to the rule set it was built with.
#[derive(Clone, Debug, Default)]
pub struct Exclusion {
    /// Indexes of the rules, ascending.
    pub(crate) rules: Vec<u32>,
    /// The variables that the rules do not look at; none takes out the rules as a whole.
    pub(crate) targets: Vec<Target>,
}

impl Exclusion {
    /// Adds rules; returns how many of the set the choice covers.
    pub fn add_rules(&mut self, set: &RuleSet, choice: Choice<'_>) -> usize {
        let chosen = set.rules().iter().enumerate().filter(|(_, rule)| choice.covers(rule)).map(|(index, _)| index as u32);
        let before = self.rules.len();
        self.rules.extend(chosen);
        let count = self.rules.len() - before;
        self.rules.sort_unstable();
        self.rules.dedup();
        count
    }

    /// Adds variables, written as in a rule: `ARGS:text`, `REQUEST_COOKIES:/^wp-/`, several with bars.
    ///
    /// # Errors
    /// What is wrong, one sentence, and what to do about it, which may be empty.
    pub fn add_targets(&mut self, text: &str) -> Result<(), (String, String)> {
        let mut sources = Sources::default();
        let whole = Text::whole(sources.add("", text.to_owned()), text);
        let mut problems = Vec::new();
        let texts = targets(&whole, &mut problems);
        if let Some(odd) = texts.iter().find(|one| one.excluded || one.counted) {
            let sign = if odd.excluded { '!' } else { '&' };
            return Err((format!("an exclusion names the variable without `{sign}`"), String::new()));
        }
        let compiled: Vec<Target> = texts.iter().filter_map(|one| Target::compile(one, &mut problems)).collect();
        if let Some(problem) = problems.into_iter().next() {
            return Err((problem.message, problem.help.unwrap_or_default()));
        }
        self.targets.extend(compiled);
        Ok(())
    }

    /// What is odd about variables that [`Exclusion::add_targets`] takes, one sentence, and what to write instead: a member of a JSON body
    /// in the spelling of other engines.
    pub fn remark(text: &str) -> Option<(String, String)> {
        let mut sources = Sources::default();
        let mut problems = Vec::new();
        let texts = targets(&Text::whole(sources.add("", text.to_owned()), text), &mut problems);
        problems.clear();
        texts.iter().for_each(|one| Target::warn_of_prefix(one, &mut problems));
        problems.into_iter().next().map(|problem| (problem.message, problem.help.unwrap_or_default()))
    }
}
