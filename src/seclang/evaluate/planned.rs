//! Rules as the matching plan has them: the same decisions as the plain evaluator's, most of them without looking at a value.

use bytes::Bytes;

use super::Run;
use super::link::Answer;
use crate::collections::Collections;
use crate::latest::LatestName;
use crate::limits;
use crate::operator::{Matched, Need};
use crate::ruleset::{Book, Check, Columns, Link, Looked, PlannedRule, Rule, Single, Test, Way};
use crate::target::{Selector, Target};
use crate::transaction::{Sight, Sighted, Transaction};
use crate::tx::{by_lower_case, decimal};
use crate::value::integer;
use crate::variable::Variable;
use crate::verdict::Phase;

impl Transaction {
    /// Runs all links; true where the last one matched.
    pub(super) fn planned_rule(&mut self, rule: &Rule, index: u32, planned: &mut Planned<'_>, collections: &mut dyn Collections) -> bool {
        self.state.matched_vars.clear();
        let mut run = Run { rule, index, planned: Some(planned.rule), records: 0, score: 0 };
        let last = rule.links.len().saturating_sub(1);
        for ((number, link), plan) in rule.links.iter().enumerate().zip(&planned.rule.links) {
            let matched = match (&plan.way, &link.test) {
                (Way::Columns(columns), Some(test)) => {
                    let place = Place { number, link, test, last: number == last };
                    self.columns(&mut run, &place, columns, (planned.book, &mut *planned.sight), collections)
                }
                (Way::Single(single), Some(test)) if number > 0 || !self.loses_targets(index) => {
                    let place = Place { number, link, test, last: number == last };
                    self.single(&mut run, &place, single, collections)
                }
                (Way::Loose, Some(test)) => self.loose(&mut run, &Place { number, link, test, last: number == last }, collections),
                _ => self.link(&mut run, number, link, number == last, collections),
            };
            if !matched {
                return false;
            }
        }
        true
    }

    /// A link over columns: only values that its operator may match are looked at.
    fn columns(
        &mut self,
        run: &mut Run<'_>,
        place: &Place<'_>,
        columns: &Columns,
        (book, sight): (&Book, &mut Sight),
        collections: &mut dyn Collections,
    ) -> bool {
        let answer = sight.may_match(self, book, columns.view, columns.bit);
        self.pay(sight);
        match answer {
            Sighted::No => return false,
            Sighted::Unknown => return self.link(run, place.number, place.link, place.last, collections),
            Sighted::Maybe => {}
        }
        let opened = sight.open_view(self, book, columns.view, columns.bit);
        self.pay(sight);
        let Some(thin) = opened else { return self.link(run, place.number, place.link, place.last, collections) };
        let errors = self.errors_total;
        // As the plain evaluator has it: what a `ctl` takes out counts from the next rule on, and speaks of the first link.
        let loses = place.number == 0 && self.loses_targets(run.index);
        let removed = if loses { self.lost_targets(run.index) } else { Vec::new() };
        let mut matched = false;
        for looked in &columns.looked {
            let side = Sight::side(thin, looked.column);
            if !sight.has_values(side, looked.column) {
                continue;
            }
            let Some(target) = place.link.targets.get(looked.target as usize) else { continue };
            let sought = Sought { target, side, looked, bit: columns.bit, removed: &removed };
            match self.unit(run, place, &sought, (book, sight), collections) {
                Outcome::None => {}
                Outcome::Matched => matched = true,
                Outcome::Over(found) => return matched || found,
            }
        }
        if let Some(bit) = columns.bit
            && !matched
            && columns.is_alone
            && thin == 0
            && !removed.iter().any(|target| target.variable.is_of_request_headers())
            && self.errors_total == errors
        {
            sight.refuse_common(book, columns.view, bit);
        }
        matched
    }

    /// One unit of a link: the values of its column that the operator may match.
    fn unit(
        &mut self,
        run: &mut Run<'_>,
        place: &Place<'_>,
        sought: &Sought<'_>,
        (book, sight): (&Book, &Sight),
        collections: &mut dyn Collections,
    ) -> Outcome {
        let mut matched = false;
        if place.link.multi_match {
            let mut wanted = vec![false; sight.values(book, sought.side, sought.looked.unit) as usize];
            for unit in path(book, sought.looked.unit) {
                for (at, ..) in sight.candidates(book, sought.side, unit, sought.bit) {
                    wanted[at as usize] = true;
                }
            }
            let wanted = (0_u32..).zip(wanted).filter(|(_, wanted)| *wanted);
            for (at, _) in wanted {
                for (index, text) in stages(book, sight, (sought.side, sought.looked.unit), at) {
                    if sought.bit.is_some_and(|bit| !sight.text_may_match(text, bit)) {
                        continue;
                    }
                    match self.text(run, place, sought, (book, sight), (index, text), collections) {
                        Outcome::None => {}
                        Outcome::Matched => matched = true,
                        Outcome::Over(found) => return Outcome::Over(found || matched),
                    }
                }
            }
        } else {
            for (_, index, text) in sight.candidates(book, sought.side, sought.looked.unit, sought.bit) {
                match self.text(run, place, sought, (book, sight), (index, text), collections) {
                    Outcome::None => {}
                    Outcome::Matched => matched = true,
                    Outcome::Over(found) => return Outcome::Over(found || matched),
                }
            }
        }
        if matched { Outcome::Matched } else { Outcome::None }
    }

    /// One text of a value.
    fn text(
        &mut self,
        run: &mut Run<'_>,
        place: &Place<'_>,
        sought: &Sought<'_>,
        (book, sight): (&Book, &Sight),
        (index, text): (u32, u32),
        collections: &mut dyn Collections,
    ) -> Outcome {
        let Place { link, test, .. } = *place;
        let Some((name, _)) = sight.entry(self, book, sought.looked.column, index) else { return Outcome::None };
        let misses = |selector: &Selector| !sought.looked.picked && !selector.picks(name);
        if sought.target.selector.as_ref().is_some_and(misses) || excluded(link, sought, name) {
            return Outcome::None;
        }
        // The answer of such a link depends on nothing but the text.
        let alone = matches!((&test.check, &test.argument), (Check::Operator(operator), None) if operator.needs() == Need::None);
        let number = run.index << 6 | (place.number as u32).min(63);
        let memorable = alone && place.number < 63;
        let length = sight.bytes(self, book, text).len();
        if memorable && sight.is_refused(text, number) {
            return if self.burn(length) { Outcome::None } else { Outcome::Over(false) };
        }
        // Most answers are no: that is found out without keeping anything.
        let mut captures = link.capture.then(|| std::mem::take(&mut self.state.captures));
        let said = match &test.check {
            Check::Operator(operator) if alone => operator.matches(sight.bytes(self, book, text), None, captures.as_mut()),
            _ => Matched::Error(String::new()),
        };
        let (value, captured) = match said {
            // Not by this way: what is wrong is said by the other.
            Matched::Error(_) => {
                self.spare(captures);
                let value = sight.kept(self, book, text);
                match self.test(run, link, test, &value) {
                    None => return Outcome::Over(false),
                    Some(Answer::No) => return Outcome::None,
                    Some(Answer::Yes(captured)) => (value, captured),
                }
            }
            said if (said == Matched::Yes) == test.negated => {
                self.spare(captures);
                if memorable {
                    sight.refuse(text, number);
                }
                return if self.burn(length) { Outcome::None } else { Outcome::Over(false) };
            }
            _ => {
                if !self.burn(length) {
                    return Outcome::Over(false);
                }
                let value = sight.kept(self, book, text);
                let captured = captures.and_then(|captures| self.capture(captures, &value));
                (value, captured)
            }
        };
        let name = sight.entry(self, book, sought.looked.column, index).map(|(name, _)| name.clone()).unwrap_or_default();
        self.matched(run, place, (LatestName::Of(sought.target.variable, name), value, captured), collections)
    }

    /// A link over values that rules may change, without transformations, whose operator has the same argument for all of them.
    fn loose(&mut self, run: &mut Run<'_>, place: &Place<'_>, collections: &mut dyn Collections) -> bool {
        let Place { number, link, test, last } = *place;
        let ([target], Check::Operator(operator)) = (link.targets.as_slice(), &test.check) else {
            return self.link(run, number, link, last, collections);
        };
        let argument = test.argument.as_ref().map(|template| template.expand(|one| self.macro_value(one)));
        let removed = if number == 0 && self.loses_targets(run.index) { self.lost_targets(run.index) } else { Vec::new() };
        let excluded = |name: &[u8]| link.excluded.iter().chain(&removed).any(|one| one.excludes(target.variable, name));
        // What matches is found first, since neither the matches nor what they do change an answer, and mostly there is nothing.
        let (mut fuel, mut values, mut has_error, mut found) = (0, 0, false, Vec::new());
        let text = argument.as_ref().map(|(text, _)| text);
        self.each_picked(target, &mut |name, value| {
            fuel += (name.len() + 1).saturating_mul(1 + link.excluded.len() + removed.len());
            if excluded(name) {
                return;
            }
            values += 1;
            fuel += value.len() + text.map_or(0, Bytes::len) + limits::FUEL_PER_RUN as usize;
            match operator.matches(value, text.map(|text| text.as_ref()), None) {
                Matched::Error(_) => has_error = true,
                said if (said == Matched::Yes) != test.negated => found.push((name.clone(), value.clone())),
                _ => {}
            }
        });
        let is_cut = argument.is_some_and(|(_, cut)| cut);
        if has_error || is_cut || values > limits::VALUES_PER_RULE_MAX || self.fuel <= fuel as u64 {
            // There is something to say, or it ends in between: one value after the other.
            return self.link(run, number, link, last, collections);
        }
        self.burn(fuel);
        if target.variable == Variable::Tx {
            found.sort_by(|a, b| by_lower_case(&a.0, &b.0));
        }
        let matched = !found.is_empty();
        for (name, value) in found {
            if let Outcome::Over(_) = self.matched(run, place, (LatestName::Of(target.variable, name), value, None), collections) {
                break;
            }
        }
        matched
    }

    /// A link with a count, a variable of TX or a scalar that rules change.
    fn single(&mut self, run: &mut Run<'_>, place: &Place<'_>, single: &Single, collections: &mut dyn Collections) -> bool {
        let Place { link, test, .. } = *place;
        let Some(target) = link.targets.first() else { return false };
        if single.only_digits && !target.counted {
            let is_digits = |value: &Bytes| value.iter().all(u8::is_ascii_digit);
            let can_do_without = match single.place {
                Some(at) => self.state.tx.at(at).is_none_or(is_digits),
                None => self.scalar(target.variable).as_ref().is_none_or(is_digits),
            };
            if !can_do_without {
                return self.link(run, place.number, link, place.last, collections);
            }
        }
        let holds = |number: i64| single.compare.is_none_or(|compare| compare.holds(number));
        let mut name = LatestName::Given(single.name.clone());
        let value = if target.counted {
            let count = match single.place {
                Some(place) => self.state.tx.at(place).is_some().into(),
                None => self.count(target).unwrap_or_else(|| self.pick(target).len()) as i64,
            };
            if !holds(count) {
                return false;
            }
            decimal(count)
        } else if let Some(at) = single.place {
            match self.state.tx.at(at) {
                Some(value) if holds(integer(value)) => {
                    if let Some(own) =
                        self.state.tx.spelled(at).filter(|_| !single.is_numbered || !self.state.tx.is_spelled_as_numbered(at))
                    {
                        name = LatestName::Of(target.variable, own.clone());
                    }
                    value.clone()
                }
                _ => return false,
            }
        } else {
            match self.scalar(target.variable) {
                Some(value) if holds(integer(&value)) => value,
                _ => return false,
            }
        };
        if !link.transformations.iter().all(|_| self.burn(value.len())) {
            return false;
        }
        let captured = if single.compare.is_some() {
            if !self.burn(value.len()) {
                return false;
            }
            None
        } else {
            match self.test(run, link, test, &value) {
                None | Some(Answer::No) => return false,
                Some(Answer::Yes(captured)) => captured,
            }
        };
        self.matched(run, place, (name, value, captured), collections);
        true
    }

    /// What a match does: in the last link it is a match of the rule.
    fn matched(
        &mut self,
        run: &mut Run<'_>,
        place: &Place<'_>,
        (name, value, captured): (LatestName, Bytes, Option<Bytes>),
        collections: &mut dyn Collections,
    ) -> Outcome {
        self.remember(run, name, value);
        self.apply_effects(run, place.number, place.link, collections);
        if place.last {
            self.complete(run, true, captured);
            if self.intervention.is_some() && run.rule.phase != Phase::Logging {
                return Outcome::Over(true);
            }
        }
        Outcome::Matched
    }
}

/// What a rule needs of the plan.
pub(super) struct Planned<'a> {
    pub(super) book: &'a Book,
    pub(super) sight: &'a mut Sight,
    pub(super) rule: &'a PlannedRule,
}

/// A link at its place in the chain.
struct Place<'a> {
    number: usize,
    link: &'a Link,
    test: &'a Test,
    last: bool,
}

/// What a link looks for in a unit.
struct Sought<'a> {
    target: &'a Target,
    /// See [`Sight::side`].
    side: usize,
    looked: &'a Looked,
    bit: Option<u32>,
    removed: &'a [Target],
}

enum Outcome {
    None,
    Matched,
    /// The link is over, matched or not.
    Over(bool),
}

fn excluded(link: &Link, sought: &Sought<'_>, name: &[u8]) -> bool {
    link.excluded.iter().chain(sought.removed).any(|one| one.excludes(sought.target.variable, name))
}

/// A unit and those that its chain passes through, up to the column itself.
fn path(book: &Book, unit: u32) -> impl Iterator<Item = u32> {
    let parent = |unit: &u32| book.units.get(*unit as usize)?.step.as_ref().map(|step| step.parent);
    std::iter::successors(Some(unit), parent)
}

/// The texts of a value that `multiMatch` looks at, with the value's place: every one that differs from the one before, or whose
/// transformation always counts.
fn stages(book: &Book, sight: &Sight, (side, unit): (usize, u32), at: u32) -> Vec<(u32, u32)> {
    let mut units: Vec<u32> = path(book, unit).collect();
    units.reverse();
    let mut texts = Vec::with_capacity(units.len());
    for unit in units {
        let step = book.units.get(unit as usize).and_then(|unit| unit.step.as_ref());
        let Some(text) = sight.text(book, side, unit, at) else { continue };
        if texts.last() != Some(&text) || step.is_some_and(|step| step.transformation.always_counts()) {
            texts.push(text);
        }
    }
    texts
}
