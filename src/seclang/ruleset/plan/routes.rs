//! Ways through the rules of a phase, for each answer that the gates on one variable of TX may give.
//!
//! Rule sets with levels ask for the level again and again: rules of a higher one stand behind a rule that does nothing but skip them. Once the
//! level is known, so is which rules will be asked, and all of them can be asked together.

use std::collections::BTreeMap;

use super::{Book, Compare, Head, Program, Questions};
use crate::bits::Bits;
use crate::tx::Tx;
use crate::value::integer;

/// Most different comparisons of the gates; each may mean three more ways.
const COMPARES_MAX: usize = 8;

/// The ways through a phase.
#[derive(Debug)]
pub(crate) struct Routes {
    /// The place in TX of the variable that the gates ask for.
    pub(crate) place: u32,
    /// The first gate: there it is decided which way it is.
    pub(crate) start: u32,
    /// The gates' rules, as bits.
    pub(crate) rules: Bits,
    compares: Vec<Compare>,
    routes: Vec<Route>,
}

/// One way, as long as no rule that matches leads off it.
#[derive(Debug)]
pub(crate) struct Route {
    /// What the gates' comparisons say, as bits.
    pub(crate) answers: u64,
    /// The stops that are passed. Of these:
    pub(crate) passed: Bits,
    /// the gates that send on,
    pub(crate) gates: Bits,
    /// those that are asked each by itself,
    pub(crate) single: Bits,
    /// and what is asked of all others.
    pub(crate) asked: Questions,
}

impl Routes {
    /// The comparisons' answers for the variable as it is.
    pub(crate) fn answers(&self, tx: &Tx) -> u64 {
        tx.at(self.place).map_or(0, |value| self.said(integer(value)))
    }

    fn said(&self, number: i64) -> u64 {
        self.compares.iter().rev().fold(0, |bits, compare| bits << 1 | u64::from(compare.holds(number)))
    }

    /// The way for such answers.
    pub(crate) fn find(&self, answers: u64) -> Option<&Route> {
        self.routes.iter().find(|route| route.answers == answers)
    }
}

impl Program {
    /// Finds the ways for the variable that most gates ask for.
    pub(super) fn find_routes(&mut self, rules: usize, book: &mut Book) {
        let gates = || self.stops.iter().enumerate().filter_map(|(at, stop)| stop.gate().map(|(place, compare)| (at, place, compare)));
        let mut counts = BTreeMap::<u32, usize>::new();
        gates().for_each(|(_, place, _)| *counts.entry(place).or_default() += 1);
        let most = counts.into_iter().filter(|(_, count)| *count > 1).max_by_key(|(_, count)| *count);
        let Some((place, _)) = most else { return };
        let mut own = Routes { place, start: u32::MAX, rules: Bits::below(rules), compares: Vec::new(), routes: Vec::new() };
        for (at, _, compare) in gates().filter(|gate| gate.1 == place) {
            own.start = own.start.min(at as u32);
            if let Some(stop) = self.stops.get(at) {
                own.rules.insert(stop.rule as usize);
            }
            if !own.compares.contains(&compare) {
                own.compares.push(compare);
            }
        }
        if own.compares.len() > COMPARES_MAX {
            return;
        }
        let around = own.compares.iter().flat_map(|compare| [-1, 0, 1].map(|more| compare.with().saturating_add(more)));
        let mut answers: Vec<u64> = around.map(|number| own.said(number)).chain([0]).collect();
        answers.sort_unstable();
        answers.dedup();
        for answers in answers {
            let route = self.route(&own, answers, book);
            own.routes.push(route);
        }
        self.routes = Some(own);
    }

    fn route(&mut self, routes: &Routes, answers: u64, book: &mut Book) -> Route {
        let none = || Bits::below(self.stops.len());
        let (mut passed, mut gates, mut single, mut together) = (none(), none(), none(), Vec::new());
        let mut at = routes.start as usize;
        while let Some(stop) = self.stops.get(at) {
            passed.insert(at);
            match stop.gate().filter(|(place, _)| *place == routes.place) {
                Some((_, compare)) => {
                    let number = routes.compares.iter().position(|own| *own == compare).unwrap_or(0);
                    if answers >> number & 1 == 1 {
                        gates.insert(at);
                        at = stop.next as usize;
                        continue;
                    }
                }
                None if matches!(stop.head, Head::View(_, Some(_))) => together.push(at),
                None => single.insert(at),
            }
            at += 1;
        }
        Route { answers, passed, gates, single, asked: self.questions(&together, book) }
    }
}
