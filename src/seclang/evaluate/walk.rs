//! The way through the rules of a phase: most are ruled out by the first question of their program's stop.

use super::Run;
use super::planned::Planned;
use crate::bits::Bits;
use crate::collections::Collections;
use crate::latest::{Latest, LatestName};
use crate::limits;
use crate::ruleset::{Book, Head, Program, Route, Routes, RuleSet, Stop, book_of};
use crate::transaction::{Sight, Sighted, Transaction};
use crate::tx::decimal;
use crate::value::integer;
use crate::verdict::Phase;

impl Transaction {
    /// Runs the rules of a phase in their order. Most are ruled out by the first question of their program's stop.
    pub(super) fn run_planned(&mut self, rules: &RuleSet, phase: Phase, collections: &mut dyn Collections) {
        let Some(program) = rules.plan.program(phase).filter(|program| !program.stops.is_empty()) else { return };
        let book = &rules.plan.books[book_of(phase)];
        let mut sight = self.sight.take().unwrap_or_else(Sight::reused);
        sight.begin(book_of(phase), book, self.head);
        let mut hits = std::mem::take(&mut sight.hits);
        hits.reset(program.stops.len());
        self.walk(&Walk { rules, book, program }, &mut sight, &mut hits, collections);
        sight.hits = hits;
        // Only the request's head goes on from phase to phase; else the next transaction can have the buffers.
        if phase == Phase::RequestHeaders {
            self.sight = Some(sight);
        } else {
            sight.spare();
        }
    }

    fn walk(&mut self, walk: &Walk<'_>, sight: &mut Sight, hits: &mut Bits, collections: &mut dyn Collections) {
        let Walk { rules, book, program } = *walk;
        let (mut at, mut block_end) = (0, 0);
        let (mut prelude, mut routes, mut route) = (program.prelude.as_ref(), program.routes.as_ref(), None);
        let began = self.state.tx.changes();
        while let Some(stop) = program.stops.get(at) {
            if let Some(own) = prelude.take_if(|prelude| at >= prelude.start as usize).filter(|prelude| at == prelude.start as usize) {
                // What rules have written may be of the request, which nobody remembers.
                if self.state.tx.changes() == began {
                    at = self.prelude(walk, own, sight, collections);
                }
                continue;
            }
            if let Some(own) = routes.take_if(|routes| at >= routes.start as usize) {
                route = self.route(own).filter(|route| route.route.passed.has(at));
                if let Some(Followed { route, .. }) = &route {
                    hits.copy(&route.single);
                    sight.hits(self, book, program, &route.asked, hits);
                    self.pay(sight);
                    if self.runs_dry(rules, stop.rule) {
                        break;
                    }
                }
            }
            let (mut place, mut is_listed) = (at, true);
            if let Some(Followed { routes, route, .. }) = &route {
                place = hits.next(at).unwrap_or(program.stops.len());
                if route.gates.last(at, place).is_some() {
                    self.passes(routes.place);
                }
            } else {
                if let Some(block) = program.blocks.get(stop.block as usize) {
                    sight.hits(self, book, program, &block.asked, hits);
                    self.pay(sight);
                    block_end = block.end as usize;
                }
                is_listed = at < block_end;
                if is_listed {
                    match hits.next(at).filter(|hit| *hit < block_end) {
                        Some(hit) => place = hit,
                        None if self.runs_dry(rules, stop.rule) => break,
                        None => {
                            at = block_end;
                            continue;
                        }
                    }
                }
            }
            let Some(stop) = program.stops.get(place) else { break };
            at = place + 1;
            match self.visit(walk, stop, is_listed, sight, collections) {
                Visited::Passed => continue,
                Visited::Over => break,
                Visited::Left => {}
                Visited::Matched => at = stop.next as usize,
            }
            // What the rule did may lead another way.
            if route.as_mut().is_some_and(|own| !self.follows(own) || at < program.stops.len() && !own.route.passed.has(at)) {
                route = None;
            }
        }
    }

    /// The way that the gates lead as things are. None where gates have to be asked each by itself.
    fn route<'a>(&self, routes: &'a Routes) -> Option<Followed<'a>> {
        let tx = &self.state.tx;
        let route = routes.find(routes.answers(tx)).filter(|_| self.has_gates(routes) && tx.is_spelled_as_numbered(routes.place))?;
        Some(Followed { routes, route, cuts: self.state.cuts, changes: tx.changes() })
    }

    /// Whether the gates lead the same way as when it was chosen.
    fn follows(&self, own: &mut Followed<'_>) -> bool {
        let tx = &self.state.tx;
        let changes = std::mem::replace(&mut own.changes, tx.changes());
        let cuts = std::mem::replace(&mut own.cuts, self.state.cuts);
        let same = || own.routes.answers(tx) == own.route.answers && tx.is_spelled_as_numbered(own.routes.place);
        (cuts == own.cuts || self.has_gates(own.routes)) && (changes == own.changes || same())
    }

    /// Whether all gates are there, and none lacks a target.
    fn has_gates(&self, routes: &Routes) -> bool {
        !routes.rules.meets(&self.state.removed) && !routes.rules.meets(&self.state.losing_targets)
    }

    /// One stop of the program. What many stops ask was asked before where it is listed.
    fn visit(&mut self, walk: &Walk<'_>, stop: &Stop, is_listed: bool, sight: &mut Sight, collections: &mut dyn Collections) -> Visited {
        let Walk { rules, book, .. } = *walk;
        if self.is_removed(stop.rule) {
            return Visited::Passed;
        }
        let bound = if stop.is_bound { rules.plan.rule(stop.rule).and_then(|planned| planned.bound.as_ref()) } else { None };
        if let (Some(bound), Some(rule)) = (bound, rules.rules.get(stop.rule as usize))
            && self.recalls(stop.rule, rule, bound, book, sight)
        {
            return Visited::Left;
        }
        let was_asked = is_listed && matches!(stop.head, Head::View(_, Some(_)));
        match if was_asked { First::Open } else { self.ask(stop, book, sight) } {
            First::No if self.runs_dry(rules, stop.rule) => return Visited::Over,
            First::No => return Visited::Passed,
            First::Jump => return Visited::Matched,
            First::Sets => {
                self.sets(rules, stop.rule, collections);
                return Visited::Matched;
            }
            First::Open => {}
        }
        let (Some(rule), Some(planned)) = (rules.rules.get(stop.rule as usize), rules.plan.rule(stop.rule)) else { return Visited::Passed };
        self.state.current_rule = Some(stop.rule);
        let before = bound.and_then(|bound| Some((bound, self.before(stop.rule, rule, bound, book, sight)?)));
        let mut plan = Planned { book, sight, rule: planned };
        let matched = self.planned_rule(rule, stop.rule, &mut plan, collections);
        if let Some((bound, before)) = before {
            self.after(before, matched, bound, sight);
        }
        match matched {
            _ if !self.goes_on(rule) => Visited::Over,
            true => Visited::Matched,
            false => Visited::Left,
        }
    }

    /// Whether the phase ends at a rule for want of fuel, which is recorded.
    fn runs_dry(&mut self, rules: &RuleSet, index: u32) -> bool {
        self.fuel == 0 && rules.rules.get(index as usize).is_some_and(|rule| !self.goes_on(rule))
    }

    /// Pays for what was scanned and transformed.
    pub(super) fn pay(&mut self, sight: &mut Sight) {
        let work = std::mem::take(&mut sight.work);
        if work > 0 {
            self.burn(work);
        }
    }

    /// The first question of a rule.
    pub(super) fn ask(&mut self, stop: &Stop, book: &Book, sight: &mut Sight) -> First {
        match &stop.head {
            Head::View(view, bit) => {
                let answer = sight.may_match(self, book, *view, *bit);
                self.pay(sight);
                if answer == Sighted::No { First::No } else { First::Open }
            }
            Head::Tx(place, compare) => match self.state.tx.at(*place) {
                Some(value) if compare.holds(integer(value)) => {
                    let spelled = self.state.tx.is_spelled_as_numbered(*place);
                    let is_short = stop.quiet || stop.sets_only && self.has_fuel(value.len());
                    if !is_short || !spelled || self.loses_targets(stop.rule) {
                        return First::Open;
                    }
                    self.passes(*place);
                    if stop.quiet { First::Jump } else { First::Sets }
                }
                _ => First::No,
            },
            Head::TxCount(place, compare) if !self.loses_targets(stop.rule) => {
                let count = i64::from(self.state.tx.at(*place).is_some());
                match compare.holds(count) {
                    true if stop.sets_only && self.has_fuel(1) => {
                        self.state.matched = Some(Latest { name: LatestName::Counted(stop.rule), value: decimal(count) });
                        First::Sets
                    }
                    true => First::Open,
                    false => First::No,
                }
            }
            Head::Always => First::Sets,
            Head::TxCount(..) | Head::Other => First::Open,
        }
    }

    /// Something has matched a variable of TX, and that is all.
    fn passes(&mut self, place: u32) {
        let Some(value) = self.state.tx.at(place) else { return };
        // Mostly the same variable as before, which is not copied anew.
        let is_known = matches!(&self.state.matched, Some(Latest { name: LatestName::Tx(known), value: before })
            if *known == place && before.as_ptr() == value.as_ptr() && before.len() == value.len());
        if !is_known {
            self.state.matched = Some(Latest { name: LatestName::Tx(place), value: value.clone() });
        }
    }

    /// Whether there is fuel for more than a text.
    fn has_fuel(&self, bytes: usize) -> bool {
        self.fuel > bytes as u64 + limits::FUEL_PER_RUN
    }

    /// A rule that has matched, and of which come variables of TX.
    pub(super) fn sets(&mut self, rules: &RuleSet, index: u32, collections: &mut dyn Collections) {
        let (Some(rule), Some(planned)) = (rules.rules.get(index as usize), rules.plan.rule(index)) else { return };
        let Some(link) = rule.links.first() else { return };
        if link.test.is_some() {
            self.burn(1);
        }
        self.state.current_rule = Some(index);
        self.state.matched_vars.clear();
        let mut run = Run { rule, index, planned: Some(planned), records: 0, score: 0 };
        self.apply_effects(&mut run, 0, link, collections);
    }
}

/// The rules of a phase, and how they are looked at.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub(super) rules: &'a RuleSet,
    pub(super) book: &'a Book,
    pub(super) program: &'a Program,
}

/// A way that is followed, and how things were when it was chosen.
struct Followed<'a> {
    routes: &'a Routes,
    route: &'a Route,
    cuts: u32,
    /// See [`crate::tx::Tx::changes`].
    changes: u32,
}

/// What came of a stop.
enum Visited {
    /// Nothing that another rule could see.
    Passed,
    /// No match, but it was looked at.
    Left,
    Matched,
    /// The phase ends.
    Over,
}

/// What the first question of a rule leads to.
pub(super) enum First {
    /// To nothing: the rule does not match.
    No,
    /// The rule has matched, and nothing comes of it but a jump.
    Jump,
    /// The rule has matched, and what comes of it are variables of TX and a jump.
    Sets,
    /// To the rule itself.
    Open,
}
