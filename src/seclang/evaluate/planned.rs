//! The evaluator that follows the matching plan: the same decisions as the plain one, most of them without looking at a value.

use bytes::Bytes;

use super::Run;
use super::link::{Answer, full_name};
use crate::collections::Collections;
use crate::limits;
use crate::operator::Matched;
use crate::ruleset::{Book, Check, Columns, Link, Rule, RuleSet, Step, Test, Way, book_of};
use crate::target::{Selector, Target};
use crate::transaction::{Sight, Transaction};
use crate::variable::Variable;
use crate::verdict::Phase;

impl Transaction {
    /// Runs the rules of a phase in their order.
    pub(super) fn run_planned(&mut self, rules: &RuleSet, phase: Phase, collections: &mut dyn Collections) {
        let steps = rules.phases.get(phase.index()).map_or(&[][..], Vec::as_slice);
        if steps.is_empty() {
            return;
        }
        let book = &rules.plan.books[book_of(phase)];
        let mut sight = self.sight.take().unwrap_or_else(Sight::reused);
        sight.begin(book_of(phase), book, self.head);
        let mut skip = 0_usize;
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            let here = at;
            at += 1;
            let Step::Rule(index) = step else { continue };
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let Some(rule) = rules.rules.get(*index as usize) else { continue };
            if self.is_removed(*index) {
                continue;
            }
            self.state.current_rule = Some(*index);
            let mut planned = Planned { book, sight: &mut sight, ways: rules.plan.ways(*index) };
            if self.planned_rule(rule, *index, &mut planned, collections) {
                skip = rule.skip;
                if rule.skip_after.is_some() {
                    at = rules.plan.jump(phase, here);
                }
            }
            if !self.goes_on(rule) {
                break;
            }
        }
        self.sight = Some(sight);
    }

    /// Runs all links; true where the last one matched.
    fn planned_rule(&mut self, rule: &Rule, index: u32, planned: &mut Planned<'_>, collections: &mut dyn Collections) -> bool {
        self.state.matched_vars.clear();
        let mut run = Run { rule, index, records: 0, score: 0 };
        let last = rule.links.len().saturating_sub(1);
        for (number, link) in rule.links.iter().enumerate() {
            let matched = match (planned.ways.get(number), &link.test) {
                (Some(Way::Columns(columns)), Some(test)) => {
                    let place = Place { number, link, test, last: number == last };
                    self.columns(&mut run, &place, columns, planned, collections)
                }
                (Some(Way::Single(name)), Some(test)) if number > 0 || !self.state.removed_targets.contains_key(&index) => {
                    let place = Place { number, link, test, last: number == last };
                    self.single(&mut run, &place, name, collections)
                }
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
        planned: &mut Planned<'_>,
        collections: &mut dyn Collections,
    ) -> bool {
        let (book, sight) = (planned.book, &mut *planned.sight);
        let mut may_match = columns.bit.is_none();
        let mut values = 0;
        for unit in &columns.watched {
            let Some(answer) = sight.may_match(self, book, *unit, columns.bit.unwrap_or(0)) else {
                return self.link(run, place.number, place.link, place.last, collections);
            };
            may_match |= answer;
        }
        for unit in columns.targets.iter().flatten() {
            values += sight.count(book, *unit) as usize;
        }
        let work = std::mem::take(&mut sight.work);
        if work > 0 {
            self.burn(work);
        }
        if values > limits::VALUES_PER_RULE_MAX {
            return self.link(run, place.number, place.link, place.last, collections);
        }
        if !may_match {
            return false;
        }
        // As the plain evaluator has it: what a `ctl` takes out counts from the next rule on, and speaks of the first link.
        let removed = if place.number == 0 { self.state.removed_targets.get(&run.index).cloned().unwrap_or_default() } else { Vec::new() };
        let mut matched = false;
        self.burn(values);
        for (target, units) in place.link.targets.iter().zip(&columns.targets) {
            for unit in units {
                let column = book.units.get(*unit as usize).map_or(u32::MAX, |unit| unit.column);
                let picked = Sight::is_picked(book, *unit);
                let sought = Sought { target, unit: *unit, column, picked, bit: columns.bit, removed: &removed };
                match self.unit(run, place, &sought, (book, sight), collections) {
                    Outcome::None => {}
                    Outcome::Matched => matched = true,
                    Outcome::Over(found) => return matched || found,
                }
            }
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
            let mut wanted = vec![false; sight.count(book, sought.unit) as usize];
            for unit in path(book, sought.unit) {
                for (index, _) in sight.candidates(book, unit, sought.bit) {
                    wanted[index as usize] = true;
                }
            }
            let wanted = (0_u32..).zip(wanted).filter(|(_, wanted)| *wanted);
            for (index, _) in wanted {
                for text in stages(book, sight, sought.unit, index) {
                    if sought.bit.is_some_and(|bit| !sight.text_may_match(book, text, bit)) {
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
            for (index, text) in sight.candidates(book, sought.unit, sought.bit) {
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
        let Some((name, _)) = sight.entry(self, book, sought.column, index) else { return Outcome::None };
        let misses = |selector: &Selector| !sought.picked && !selector.picks(name);
        if sought.target.selector.as_ref().is_some_and(misses) || excluded(link, sought, name) {
            return Outcome::None;
        }
        // Most answers are no: that is found out without keeping anything.
        let value = sight.bytes(self, book, text);
        if let (Check::Operator(operator), None) = (&test.check, &test.argument) {
            let length = value.len();
            let answer = operator.matches(value, None, None);
            if matches!((answer, test.negated), (Matched::No, false) | (Matched::Yes, true)) {
                return if self.burn(length) { Outcome::None } else { Outcome::Over(false) };
            }
        }
        let value = sight.kept(self, book, text);
        let captured = match self.test(run, link, test, &value) {
            None => return Outcome::Over(false),
            Some(Answer::No) => return Outcome::None,
            Some(Answer::Yes(captured)) => captured,
        };
        let name =
            sight.entry(self, book, sought.column, index).map(|(name, _)| full_name(sought.target.variable, name)).unwrap_or_default();
        self.matched(run, place, (name, value, captured), collections)
    }

    /// A link with a count, a variable of TX or a scalar that rules change.
    fn single(&mut self, run: &mut Run<'_>, place: &Place<'_>, name: &Bytes, collections: &mut dyn Collections) -> bool {
        let Place { link, test, .. } = *place;
        let Some(target) = link.targets.first() else { return false };
        let (spelled, value) = if target.counted {
            let mut digits = Digits::default();
            let count = digits.write(self.count(target).unwrap_or_else(|| self.pick(target).len()));
            if is_no(test, count) {
                return false;
            }
            (None, short_number(count))
        } else if let (Variable::Tx, Some(Selector::Name(sought))) = (target.variable, &target.selector) {
            match self.state.tx.entry(sought) {
                Some(entry) if !is_no(test, &entry.value) => {
                    (Some(&entry.name).filter(|own| ***own != **sought).cloned(), entry.value.clone())
                }
                _ => return false,
            }
        } else {
            match self.scalar(target.variable) {
                Some(value) if !is_no(test, &value) => (None, value),
                _ => return false,
            }
        };
        let captured = match self.test(run, link, test, &value) {
            None | Some(Answer::No) => return false,
            Some(Answer::Yes(captured)) => captured,
        };
        let name = spelled.map_or_else(|| name.clone(), |own| full_name(target.variable, &own));
        self.matched(run, place, (name, value, captured), collections);
        true
    }

    /// What a match does: in the last link it is a match of the rule.
    fn matched(
        &mut self,
        run: &mut Run<'_>,
        place: &Place<'_>,
        (name, value, captured): (Bytes, Bytes, Option<Bytes>),
        collections: &mut dyn Collections,
    ) -> Outcome {
        self.remember(&name, &value);
        self.apply_effects(run, place.link, collections);
        if place.last {
            self.complete(run, name, value, captured);
            if self.intervention.is_some() && run.rule.phase != Phase::Logging {
                return Outcome::Over(true);
            }
        }
        Outcome::Matched
    }
}

/// What a rule needs of the plan.
struct Planned<'a> {
    book: &'a Book,
    sight: &'a mut Sight,
    ways: &'a [Way],
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
    unit: u32,
    column: u32,
    /// The column's values are those that the selector picks already.
    picked: bool,
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

/// Whether an operator with a fixed argument says no, so that nothing needs to be kept.
fn is_no(test: &Test, value: &[u8]) -> bool {
    let (Check::Operator(operator), None) = (&test.check, &test.argument) else { return false };
    matches!((operator.matches(value, None, None), test.negated), (Matched::No, false) | (Matched::Yes, true))
}

/// A unit and those that its chain passes through, up to the column itself.
fn path(book: &Book, unit: u32) -> impl Iterator<Item = u32> {
    let parent = |unit: &u32| book.units.get(*unit as usize)?.step.as_ref().map(|step| step.parent);
    std::iter::successors(Some(unit), parent)
}

/// The texts of a value that `multiMatch` looks at: every one that differs from the one before, or whose transformation always counts.
fn stages(book: &Book, sight: &Sight, unit: u32, index: u32) -> Vec<u32> {
    let mut units: Vec<u32> = path(book, unit).collect();
    units.reverse();
    let mut texts = Vec::with_capacity(units.len());
    for unit in units {
        let step = book.units.get(unit as usize).and_then(|unit| unit.step.as_ref());
        let text = sight.text(book, unit, index);
        if texts.last() != Some(&text) || step.is_some_and(|step| step.transformation.always_counts()) {
            texts.push(text);
        }
    }
    texts
}

/// Counts are mostly small.
fn short_number(digits: &[u8]) -> Bytes {
    match digits {
        b"0" => Bytes::from_static(b"0"),
        b"1" => Bytes::from_static(b"1"),
        _ => Bytes::copy_from_slice(digits),
    }
}

/// A number in digits, without allocation.
#[derive(Default)]
struct Digits([u8; 20]);

impl Digits {
    fn write(&mut self, mut number: usize) -> &[u8] {
        let mut at = self.0.len();
        loop {
            at -= 1;
            self.0[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return &self.0[at..];
            }
        }
    }
}
