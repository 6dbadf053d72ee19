//! Rules of which a known head says that they do not match: what they leave behind is done again without asking them.

use bytes::Bytes;

use crate::latest::{Latest, LatestName};
use crate::limits;
use crate::ruleset::{Book, Bound, Rule};
use crate::target::Selector;
use crate::transaction::{Recalled, Sight, Transaction};
use crate::tx::{CAPTURES, Journal};
use crate::value::{Arena, hash};

/// How things were before a rule ran that may be remembered.
pub(super) struct Before {
    latest: Option<Latest>,
    errors: u64,
}

impl Transaction {
    /// Whether a rule is known not to match. Then its traces are there.
    pub(super) fn recalls(&mut self, index: u32, rule: &Rule, bound: &Bound, book: &Book, sight: &mut Sight) -> bool {
        if self.loses_targets(index) || !self.sees_nothing_else(rule, bound) {
            return false;
        }
        let Some(head) = sight.lend_head(self, book) else { return false };
        let is_known = head.recalled(bound.number).is_some_and(|known| self.recall(index, bound, known));
        sight.give_back(head);
        is_known
    }

    fn recall(&mut self, index: u32, bound: &Bound, known: &Recalled) -> bool {
        let same = |(place, input): (&u32, &Option<Bytes>)| self.state.tx.at(*place) == input.as_ref();
        if !bound.inputs.iter().zip(&known.inputs).all(same) || self.state.tx.len() + known.sets.len() > limits::COLLECTION_VARIABLES_MAX {
            return false;
        }
        self.burn(0);
        self.state.current_rule = Some(index);
        self.state.matched_vars.clear();
        for (name, hash, value) in &known.sets {
            let _ = self.state.tx.set_hashed(name, *hash, value.clone(), usize::MAX);
        }
        if let Some(captures) = &known.captures {
            for (place, value) in (0..CAPTURES).zip(captures) {
                let _ = self.state.tx.set_at(place, None, value.clone(), usize::MAX);
            }
            self.state.tx.remove_captures(captures.len() as u32);
        }
        if let Some((variable, name, value)) = &known.latest {
            self.state.matched = Some(Latest { name: LatestName::Of(*variable, name.clone()), value: value.clone() });
        }
        true
    }

    /// Begins to write down what a rule does, where it may be remembered.
    pub(super) fn before(&mut self, index: u32, rule: &Rule, bound: &Bound, book: &Book, sight: &mut Sight) -> Option<Before> {
        let wanted = sight.wants_recalled(self, book, bound.number) && !self.loses_targets(index) && self.sees_nothing_else(rule, bound);
        wanted.then(|| {
            self.state.tx.journal = Some(Journal::default());
            Before { latest: self.state.matched.take(), errors: self.errors_total }
        })
    }

    /// Remembers what a rule has done that did not match.
    pub(super) fn after(&mut self, before: Before, matched: bool, bound: &Bound, sight: &Sight) {
        let journal = self.state.tx.journal.take().unwrap_or_default();
        let latest = self.state.matched.as_ref().map(|latest| match &latest.name {
            LatestName::Of(variable, name) => Some((*variable, Bytes::copy_from_slice(name), Bytes::copy_from_slice(&latest.value))),
            _ => None,
        });
        if self.state.matched.is_none() {
            self.state.matched = before.latest;
        }
        let is_known = latest.as_ref().is_none_or(Option::is_some);
        if matched || !is_known || self.errors_total != before.errors || self.fuel == 0 || self.intervention.is_some() {
            return;
        }
        let latest = latest.flatten();
        // One after the other in memory, since they will be looked at together.
        let mut arena = Arena::with_room(journal.sets.iter().map(|(name, value)| name.len() + value.len()).sum());
        let sets = journal.sets.iter().map(|(name, value)| (arena.keep(name), hash(name), arena.keep(value))).collect();
        let copy = |value: &Bytes| Bytes::copy_from_slice(value);
        let captures = || (0..CAPTURES).map_while(|place| self.state.tx.at(place)).map(copy).collect();
        let known = Recalled {
            inputs: bound.inputs.iter().map(|place| self.state.tx.at(*place).map(copy)).collect(),
            sets,
            captures: journal.has_captures.then(captures),
            latest,
        };
        sight.remember(bound.number, known);
    }

    /// Whether TX has nothing that the rule looks at beside what it sets itself.
    fn sees_nothing_else(&self, rule: &Rule, bound: &Bound) -> bool {
        bound.patterns.iter().filter_map(|number| rule.links.get(*number)).flat_map(|link| &link.targets).all(|target| {
            let Some(selector @ Selector::Pattern(_, text)) = &target.selector else { return false };
            let mut any = false;
            self.state.tx.each_matching(Some(text), |name| selector.picks(name), |_, _| any = true);
            !any
        })
    }
}
