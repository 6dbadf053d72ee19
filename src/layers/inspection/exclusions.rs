//! Exclusions of the policy as the engine knows them, and what is wrong with those that exclude nothing.

use crate::audit::Record;
use crate::diagnostic::Diagnostic;
use crate::policy::{Exclusion, Map, Marked, Policy, RuleChoice};
use seclang::diagnostic::closest;
use seclang::exclusion::Choice;
use seclang::ruleset::RuleSet;
use seclang::transaction::Transaction;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The exclusions that apply to one rule set, by their number in the policy.
pub(super) type Compiled = BTreeMap<usize, seclang::exclusion::Exclusion>;

/// Finds the rules and variables of the exclusions of all maps with this rule set.
///
/// # Errors
/// Variables that do not exist.
pub(super) fn compile(policy: &Policy, wanted: &[usize], rules: &RuleSet) -> Result<Compiled, Vec<Diagnostic>> {
    let (mut compiled, mut mistakes) = (Compiled::new(), Vec::new());
    for exclusion in maps(policy).filter(|m| m.inspection.rule_sets == wanted).flat_map(|m| &m.inspection.exclusions) {
        if compiled.contains_key(&exclusion.index) {
            continue;
        }
        let mut one = seclang::exclusion::Exclusion::default();
        for choice in &exclusion.rules {
            one.add_rules(rules, engine(&choice.value));
        }
        for target in &exclusion.targets {
            if let Err((message, help)) = one.add_targets(&target.value) {
                mistakes.push(target.error(message, help));
            }
        }
        compiled.insert(exclusion.index, one);
    }
    if mistakes.is_empty() { Ok(compiled) } else { Err(mistakes) }
}

/// Takes out of a transaction what its map, path and day say; the record names each exclusion.
pub(super) fn apply(map: &Map, path: &[u8], compiled: &Compiled, now: u64, transaction: &mut Transaction, record: &mut Record) {
    for exclusion in &map.inspection.exclusions {
        if exclusion.holds_at(now)
            && exclusion.covers(path, map.fold_case)
            && let Some(engine) = compiled.get(&exclusion.index)
        {
            transaction.exclude(engine);
            record.exclusions.push(Arc::clone(&exclusion.source));
        }
    }
}

/// What administrators should know about their exclusions: those that have expired, that match no rule of any rule set they are
/// for, that hold for a path no map has.
pub(super) fn warnings<'a>(policy: &Policy, sets: impl Iterator<Item = (&'a [usize], &'a RuleSet)>, now: u64) -> Vec<Diagnostic> {
    let sets: Vec<_> = sets.collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for exclusion in maps(policy).flat_map(|m| &m.inspection.exclusions) {
        if !seen.insert(exclusion.index) {
            continue;
        }
        if let Some(expiry) = exclusion.expires.as_ref().filter(|_| !exclusion.holds_at(now)) {
            let message = format!("this exclusion ended with {}: its rules apply again", expiry.value.day);
            found.push(expiry.warning(message, format!("remove it, or ask its owner, {}, for a later day", exclusion.owner)));
        }
        let users: Vec<&Arc<Map>> = maps(policy).filter(|m| m.inspection.exclusions.iter().any(|e| e.index == exclusion.index)).collect();
        let theirs = sets.iter().filter(|(wanted, _)| users.iter().any(|m| m.inspection.rule_sets == *wanted));
        let theirs: Vec<&RuleSet> = theirs.map(|(_, rules)| *rules).collect();
        found.extend(without_rules(exclusion, &theirs));
        let remark = |target: &Marked<String>| {
            seclang::exclusion::Exclusion::remark(&target.value).map(|(message, help)| target.warning(message, help))
        };
        found.extend(exclusion.targets.iter().filter_map(remark));
        if let Some(path) = exclusion
            .path
            .as_ref()
            .filter(|path| !users.iter().any(|m| (m.backend.is_some() || m.account_requests.is_some()) && meets(&path.value, m)))
        {
            found.push(path.warning("no path that this exclusion is for lies here", "write a path inside one of the maps"));
        }
    }
    found
}

fn without_rules(exclusion: &Exclusion, sets: &[&RuleSet]) -> Vec<Diagnostic> {
    let nothing = |choice: &RuleChoice| {
        let mut one = seclang::exclusion::Exclusion::default();
        sets.iter().all(|rules| one.add_rules(rules, engine(choice)) == 0)
    };
    let missing = exclusion.rules.iter().filter(|choice| nothing(&choice.value));
    let warn = missing.map(|choice| match &choice.value {
        RuleChoice::Ids(first, last) if first == last => {
            choice.warning(format!("no rule has the id {first}"), "was it renumbered or removed?")
        }
        RuleChoice::Ids(first, last) => {
            choice.warning(format!("no rule has an id from {first} to {last}"), "was it renumbered or removed?")
        }
        RuleChoice::Tag(tag) => {
            let tags = sets.iter().flat_map(|s| s.rules()).flat_map(|r| r.tags.iter().map(AsRef::as_ref));
            let help = closest(tag, tags)
                .map_or_else(|| "tags are compared letter by letter".to_owned(), |near| format!("did you mean \"tag {near}\"?"));
            choice.warning(format!("no rule has the tag {tag}"), help)
        }
    });
    warn.collect()
}

/// Whether a map has paths inside an exclusion's prefix.
fn meets(prefix: &str, map: &Map) -> bool {
    let inside = |outer: &str, path: &str| {
        path.get(..outer.len()).is_some_and(|front| front.eq_ignore_ascii_case(outer))
            && (outer.ends_with('/') || path.len() == outer.len() || path.as_bytes().get(outer.len()) == Some(&b'/'))
    };
    inside(prefix, &map.path) || inside(&map.path, prefix)
}

fn maps(policy: &Policy) -> impl Iterator<Item = &Arc<Map>> {
    policy.sites.iter().flat_map(|site| site.every_map())
}

fn engine(choice: &RuleChoice) -> Choice<'_> {
    match choice {
        RuleChoice::Ids(first, last) => Choice::Ids(*first, *last),
        RuleChoice::Tag(tag) => Choice::Tag(tag),
    }
}
