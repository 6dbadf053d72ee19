//! One link of a chain: its values, their transformations, the operator.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::Run;
use crate::collections::Collections;
use crate::latest::{Latest, LatestName};
use crate::limits;
use crate::operator::{Captures, Matched, Need, Operator, Rx};
use crate::ruleset::{Check, Link, Test};
use crate::transaction::{Transaction, full_name};
use crate::transform::Transformation;
use crate::tx::CAPTURES;
use crate::value::Entry;
use crate::verdict::{Cause, Phase};

/// A value a rule looks at, and its full name.
struct Seen {
    name: Bytes,
    value: Bytes,
}

impl Transaction {
    /// Runs a link over all its values; true where any matched. In the last link each match is a match of the rule.
    pub(super) fn link(&mut self, run: &mut Run<'_>, number: usize, link: &Link, last: bool, collections: &mut dyn Collections) -> bool {
        let Some(test) = &link.test else {
            self.apply_effects(run, number, link, collections);
            if last {
                self.complete(run, false, None);
            }
            return true;
        };
        let mut matched = false;
        for seen in self.values(run, number, link) {
            if matches!(&test.check, Check::Operator(operator) if operator.needs() == Need::Dns) {
                self.state.looked_at = seen.name.clone();
            }
            for value in self.stages(link, &seen.value) {
                let captured = match self.test(run, link, test, &value) {
                    None => return matched,
                    Some(Answer::No) => continue,
                    Some(Answer::Yes(captured)) => captured,
                };
                matched = true;
                self.remember(run, LatestName::Given(seen.name.clone()), value);
                self.apply_effects(run, number, link, collections);
                if last {
                    self.complete(run, true, captured);
                    if self.intervention.is_some() && run.rule.phase != Phase::Logging {
                        return true;
                    }
                }
            }
        }
        matched
    }

    pub(super) fn remember(&mut self, run: &Run<'_>, name: LatestName, value: Bytes) {
        self.state.matched = Some(Latest { name, value });
        let asked = run.planned.is_none_or(|rule| rule.asks_matched_vars);
        if asked
            && let (Some(name), Some(Latest { value, .. })) = (self.matched_name(), &self.state.matched)
            && self.state.matched_vars.len() < limits::MATCHED_VARS_MAX
        {
            self.state.matched_vars.push((name, value.clone()));
        }
    }

    /// The values of a link in the order of its targets, exclusions left out.
    fn values(&mut self, run: &Run<'_>, number: usize, link: &Link) -> Vec<Seen> {
        // A `ctl` speaks of the rule, which is the first link, as `SecRuleUpdateTargetById` does.
        let removed = if number == 0 { self.lost_targets(run.index) } else { Vec::new() };
        let mut values = Vec::new();
        for target in &link.targets {
            let mut entries = self.pick(target);
            let named: usize = entries.iter().map(|entry| entry.name.len() + 1).sum();
            self.burn(named.saturating_mul(1 + link.excluded.len() + removed.len()));
            let excluded = |name: &[u8]| link.excluded.iter().chain(&removed).any(|one| one.excludes(target.variable, name));
            entries.retain(|entry| !excluded(&entry.name));
            if target.counted {
                values.push(Seen { name: target.counted_name(), value: entries.len().to_string().into() });
            } else {
                let named = entries.into_iter().map(|entry| Seen { name: full_name(target.variable, &entry.name), value: entry.value });
                values.extend(named);
            }
        }
        if values.len() > limits::VALUES_PER_RULE_MAX {
            values.truncate(limits::VALUES_PER_RULE_MAX);
            self.error(Cause::Limit, Some(run.rule.id), "the rule has more values than the limit; the rest was not looked at");
        }
        values
    }

    /// The value after all transformations; with `multiMatch` also the value itself and every step that changed it or always counts.
    fn stages(&mut self, link: &Link, value: &Bytes) -> Vec<Bytes> {
        let mut stages = Vec::new();
        let mut current = value.clone();
        if link.multi_match {
            stages.push(current.clone());
        }
        for transformation in &link.transformations {
            if !self.burn(current.len()) {
                return Vec::new();
            }
            let changed = apply(*transformation, &current);
            let counts = changed.is_some() || transformation.always_counts();
            current = changed.unwrap_or(current);
            if link.multi_match && counts {
                stages.push(current.clone());
            }
        }
        if !link.multi_match {
            stages.push(current);
        }
        stages
    }

    /// Asks the operator. None where the fuel is used up.
    pub(super) fn test(&mut self, run: &Run<'_>, link: &Link, test: &Test, value: &Bytes) -> Option<Answer> {
        let expanded = test.argument.as_ref().map(|template| self.expand(template));
        if !self.burn(value.len() + expanded.as_ref().map_or(0, Bytes::len)) {
            return None;
        }
        let mut captures = link.capture.then(|| std::mem::take(&mut self.state.captures));
        let matched = match &test.check {
            Check::Operator(operator) if operator.needs() == Need::Dns => self.listed(operator, value, captures.as_mut()),
            Check::Operator(operator) if operator.needs() == Need::Geo => self.locate(value),
            Check::Operator(operator) => operator.matches(value, expanded.as_deref(), captures.as_mut()),
            Check::Pattern => match self.pattern(&expanded.unwrap_or_default()) {
                Ok(pattern) => pattern.matches(value, captures.as_mut()),
                Err(reason) => Matched::Error(reason),
            },
        };
        Some(self.answer(run, test, matched, captures, value))
    }

    /// What an operator's word on a value comes to: negation, captures, errors.
    pub(super) fn answer(&mut self, run: &Run<'_>, test: &Test, said: Matched, captures: Option<Captures>, value: &Bytes) -> Answer {
        let matched = match said {
            Matched::Error(reason) => {
                self.error(Cause::Operator, Some(run.rule.id), reason);
                let one = Bytes::from_static(b"1");
                let _ = self.state.tx.set(&Bytes::from_static(b"MSC_PCRE_LIMITS_EXCEEDED"), one, usize::MAX);
                None
            }
            said => Some(said == Matched::Yes),
        };
        let holds = matched.is_some_and(|matched| matched != test.negated);
        let captured = match captures {
            Some(captures) if holds => self.capture(captures, value),
            captures => {
                self.spare(captures);
                None
            }
        };
        if holds { Answer::Yes(captured) } else { Answer::No }
    }

    /// Keeps the buffers for the next captures.
    pub(super) fn spare(&mut self, captures: Option<Captures>) {
        if let Some(mut captures) = captures {
            captures.clear();
            self.state.captures = captures;
        }
    }

    /// `@rbl` by the answers the caller gave.
    fn listed(&self, operator: &Operator, value: &[u8], captures: Option<&mut Captures>) -> Matched {
        let key = self.rules.settings().http_bl_key.as_deref();
        if let Some(reason) = operator.dns_wants(key) {
            return Matched::Error(format!("@rbl has nobody to ask: {reason}"));
        }
        let Some(name) = operator.dns_name(value, key) else { return Matched::No };
        match self.state.dns.get(&name) {
            Some(Some(address)) => {
                if let Some(captures) = captures {
                    let variable = String::from_utf8_lossy(&self.state.looked_at);
                    captures.clear();
                    captures.set(0, operator.dns_meaning(value, &variable, *address).as_bytes());
                }
                Matched::Yes
            }
            Some(None) => Matched::No,
            None => Matched::Error("nobody has resolved the name for @rbl".to_owned()),
        }
    }

    /// `@geoLookup`: an address that the database lists matches, and `GEO` says where it is.
    fn locate(&mut self, value: &[u8]) -> Matched {
        let Some(database) = &self.geo else {
            return Matched::Error("@geoLookup has no database; name one with SecGeoLookupDb".to_owned());
        };
        let address = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<std::net::IpAddr>().ok());
        let Some(record) = address.and_then(|address| database.find(address.to_canonical())) else { return Matched::No };
        self.state.geo = record.into_fields().map(|(name, value)| Entry::new(name, value)).collect();
        Matched::Yes
    }

    /// A pattern that has just been expanded, built once for each text of a transaction.
    fn pattern(&mut self, text: &Bytes) -> Result<Arc<Rx>, String> {
        if let Some(known) = self.state.patterns.get(text) {
            return Ok(Arc::clone(known));
        }
        if text.len() > limits::DYNAMIC_PATTERN_BYTES_MAX || self.state.patterns.len() >= limits::DYNAMIC_PATTERNS_MAX {
            return Err("the pattern is too long after expansion, or there are too many".to_owned());
        }
        let readable = std::str::from_utf8(text).map_err(|_| "the pattern is not UTF-8 after expansion".to_owned())?;
        let pattern = Arc::new(Rx::compile(readable)?);
        self.state.patterns.insert(text.clone(), Arc::clone(&pattern));
        Ok(pattern)
    }

    /// Puts captures of a value into TX:0 to TX:9, which have the first places, and takes out those of earlier rules behind them. Where
    /// nothing was captured, those stay.
    pub(super) fn capture(&mut self, captures: Captures, value: &Bytes) -> Option<Bytes> {
        let mut first = None;
        if !captures.is_empty() {
            if let Some(journal) = &mut self.state.tx.journal {
                journal.has_captures = true;
            }
            for place in 0..CAPTURES {
                let Some(captured) = captures.get(place as usize) else {
                    self.state.tx.remove_captures(place);
                    break;
                };
                // Often it is all of the value.
                let captured = if captured == value { value.clone() } else { self.state.arena.keep(captured) };
                if place == 0 {
                    first = Some(captured.clone());
                }
                let _ = self.state.tx.set_at(place, None, captured, usize::MAX);
            }
        }
        self.spare(Some(captures));
        first
    }
}

impl Transaction {
    /// The names that `@rbl` rules of a phase will ask for, as far as their values are known before it begins. The caller resolves
    /// them and answers with [`Transaction::dns_answer`]; a name without an answer is an engine error of its rule.
    pub fn dns_names(&self, phase: Phase) -> Vec<String> {
        let rules = self.rules.rules().iter().filter(|rule| rule.phase == phase);
        let mut names = Vec::new();
        for link in rules.flat_map(|rule| &rule.links) {
            let Some(Test { check: Check::Operator(operator), .. }) = &link.test else { continue };
            if operator.needs() == Need::Dns {
                let values = link.targets.iter().flat_map(|target| self.pick(target));
                let key = self.rules.settings().http_bl_key.as_deref();
                names.extend(values.filter_map(|entry| operator.dns_name(&entry.value, key)));
            }
        }
        names.sort();
        names.dedup();
        names.truncate(limits::DNS_NAMES_MAX);
        names
    }

    /// The address of a name of [`Transaction::dns_names`], or that it has none. Lists tell by the address what they know.
    pub fn dns_answer(&mut self, name: &str, address: Option<IpAddr>) {
        if self.state.dns.len() < limits::DNS_NAMES_MAX {
            self.state.dns.insert(name.to_owned(), address);
        }
    }
}

/// What an operator said, negation included.
pub(super) enum Answer {
    No,
    /// With what the operator captured first.
    Yes(Option<Bytes>),
}

fn apply(transformation: Transformation, value: &Bytes) -> Option<Bytes> {
    match transformation.apply(Cow::Borrowed(value)) {
        Cow::Borrowed(same) if same.len() == value.len() => None,
        Cow::Borrowed(part) => Some(Bytes::copy_from_slice(part)),
        Cow::Owned(changed) if changed == value.as_ref() => None,
        Cow::Owned(changed) => Some(Bytes::from(changed)),
    }
}
