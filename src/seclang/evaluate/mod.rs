//! The loop over the rules of a phase. The plain evaluator is here: rule after rule, value after value, simple rather than fast, and
//! what the one that follows the matching plan is compared with.

mod effects;
mod link;
mod planned;
mod prelude;
mod recall;
mod record;
mod walk;

use std::sync::Arc;

use bytes::Bytes;

use crate::action::Allow;
use crate::collections::{Change, Collections};
use crate::limits;
use crate::ruleset::{PlannedRule, Rule, RuleSet, Step};
use crate::transaction::{Evaluator, Mode, Transaction};
use crate::verdict::{Cause, Intervention, Phase};

impl Transaction {
    /// A whole HTTP/1.1 request that is at hand: feeds it and runs phases 1 and 2. Some where the transaction ends there. Of a body, what is longer
    /// than the limit is not inspected, and [`Transaction::request_body_is_partial`] says so.
    pub fn request(
        &mut self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        collections: &mut dyn Collections,
    ) -> Option<Intervention> {
        self.request_line(format!("{method} {uri} HTTP/1.1").as_bytes(), method.as_bytes(), uri.as_bytes(), b"HTTP/1.1");
        headers.iter().for_each(|(name, value)| self.request_header(name.as_bytes(), value.as_bytes()));
        let decision = self.request_headers_done(collections);
        if decision.is_some() {
            return decision;
        }
        if !body.is_empty() {
            self.request_body(body);
        }
        self.request_body_done(collections)
    }

    /// Runs phase 1. Some where the transaction ends here.
    pub fn request_headers_done(&mut self, collections: &mut dyn Collections) -> Option<Intervention> {
        self.run(Phase::RequestHeaders, collections)
    }

    /// Parses the request's body and runs phase 2. To be called without a body, too.
    pub fn request_body_done(&mut self, collections: &mut dyn Collections) -> Option<Intervention> {
        self.state.phase = Some(Phase::RequestBody);
        self.finish_request_body();
        self.run(Phase::RequestBody, collections)
    }

    /// Runs phase 3.
    pub fn response_headers_done(&mut self, collections: &mut dyn Collections) -> Option<Intervention> {
        self.run(Phase::ResponseHeaders, collections)
    }

    /// Runs phase 4. To be called without a body, too.
    pub fn response_body_done(&mut self, collections: &mut dyn Collections) -> Option<Intervention> {
        self.state.phase = Some(Phase::ResponseBody);
        self.finish_response_body();
        self.run(Phase::ResponseBody, collections)
    }

    /// Runs phase 5, which decides nothing any more, and writes back the persistent collections.
    pub fn log(&mut self, collections: &mut dyn Collections) {
        self.run(Phase::Logging, collections);
        if self.state.open.is_empty() {
            return;
        }
        let timeout = self.rules.settings().collection_timeout_seconds;
        let seconds = Bytes::from((self.now / 1_000_000).to_string());
        for (variable, mut record) in std::mem::take(&mut self.state.open) {
            if record.changes.is_empty() {
                continue;
            }
            if record.table.get(b"CREATE_TIME").is_none() {
                record.changes.push(Change::Set(Bytes::from_static(b"CREATE_TIME"), seconds.clone()));
            }
            record.changes.push(Change::Set(Bytes::from_static(b"LAST_UPDATE_TIME"), seconds.clone()));
            record.changes.push(Change::Add(Bytes::from_static(b"UPDATE_COUNTER"), 1));
            let name = variable.name().to_ascii_lowercase();
            if let Err(reason) = collections.store(&name, &record.key, &record.changes, timeout, self.now) {
                self.error(Cause::Collection, None, reason);
            }
        }
    }

    fn run(&mut self, phase: Phase, collections: &mut dyn Collections) -> Option<Intervention> {
        self.state.phase = Some(phase);
        if self.mode == Mode::Off || phase != Phase::Logging && (self.intervention.is_some() || self.is_allowed(phase)) {
            return None;
        }
        let rules = Arc::clone(&self.rules);
        match self.evaluator {
            Evaluator::Plan => self.run_planned(&rules, phase, collections),
            Evaluator::Plain => self.run_plain(&rules, phase, collections),
        }
        self.state.current_rule = None;
        if phase == Phase::Logging { None } else { self.intervention.clone() }
    }

    fn run_plain(&mut self, rules: &RuleSet, phase: Phase, collections: &mut dyn Collections) {
        let mut course = Course::default();
        for step in rules.phases.get(phase.index()).into_iter().flatten() {
            match step {
                Step::Marker(label) => course.marker(label),
                Step::Rule(index) => {
                    if !self.step(rules, *index, &mut course, collections) {
                        break;
                    }
                }
            }
        }
    }

    /// One rule of the phase. False where the phase ends.
    fn step(&mut self, rules: &RuleSet, index: u32, course: &mut Course, collections: &mut dyn Collections) -> bool {
        let Some(rule) = rules.rules.get(index as usize) else { return true };
        if course.skips(rule.id) || self.is_removed(index) {
            return true;
        }
        self.state.current_rule = Some(index);
        if self.rule(rule, index, collections) {
            course.skip = rule.skip;
            course.skip_after = rule.skip_after.clone();
        }
        self.goes_on(rule)
    }

    /// Whether the phase goes on behind a rule.
    fn goes_on(&mut self, rule: &Rule) -> bool {
        if self.fuel == 0 {
            self.error(Cause::Fuel, Some(rule.id), "the transaction's fuel is used up: the rest of the phase did not run");
            return false;
        }
        let phase = rule.phase;
        self.mode != Mode::Off && (phase == Phase::Logging || self.intervention.is_none() && !self.is_allowed(phase))
    }

    /// Runs all links; true where the last one matched.
    fn rule(&mut self, rule: &Rule, index: u32, collections: &mut dyn Collections) -> bool {
        self.state.matched_vars.clear();
        let mut run = Run { rule, index, planned: None, records: 0, score: 0 };
        let last = rule.links.len().saturating_sub(1);
        rule.links.iter().enumerate().all(|(number, link)| self.link(&mut run, number, link, number == last, collections))
    }

    fn is_removed(&self, index: u32) -> bool {
        self.state.removed.has(index as usize)
    }

    /// Whether targets of a rule were taken out.
    fn loses_targets(&self, index: u32) -> bool {
        self.state.losing_targets.has(index as usize)
    }

    /// Whether an `allow` reaches the phase.
    fn is_allowed(&self, phase: Phase) -> bool {
        match self.state.allow {
            None => false,
            Some((Allow::Phase, given)) => given == phase,
            Some((Allow::Request, _)) => phase <= Phase::RequestBody,
            Some((Allow::Transaction, _)) => true,
        }
    }

    /// Burns fuel for looking at so many bytes. False where none is left.
    pub(crate) fn burn(&mut self, bytes: usize) -> bool {
        self.fuel = self.fuel.saturating_sub(bytes as u64 + limits::FUEL_PER_RUN);
        self.fuel > 0
    }
}

/// A rule while it runs.
struct Run<'a> {
    rule: &'a Rule,
    index: u32,
    /// Its plan, where it is followed.
    planned: Option<&'a PlannedRule>,
    /// Match records it has written.
    records: usize,
    /// Points it added to anomaly scores and no record shows yet.
    score: i64,
}

/// Which of the following rules do not run.
#[derive(Default)]
struct Course {
    skip: usize,
    skip_after: Option<Arc<str>>,
}

impl Course {
    fn marker(&mut self, label: &Arc<str>) {
        if self.skip_after.as_ref() == Some(label) {
            self.skip_after = None;
        }
    }

    fn skips(&mut self, id: u64) -> bool {
        if let Some(label) = &self.skip_after {
            if label.parse() == Ok(id) {
                self.skip_after = None;
            }
            return true;
        }
        let skips = self.skip > 0;
        self.skip = self.skip.saturating_sub(1);
        skips
    }
}
