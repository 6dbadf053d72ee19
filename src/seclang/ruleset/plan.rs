//! The matching plan: which values rules look at through which transformations, and which links can be ruled out by one scan of each.
//!
//! A column is a list of values that no rule changes while a phase runs. A unit is a column behind a chain of transformations, a view
//! all units of a link. Each link whose operator has a [`Requirement`] gets a bit in the scanners of its book (one book for the
//! request, one for the response). Rules behind gates on TX, as those of the higher paranoia levels are, have the higher bits, so that a
//! transaction that never comes to them scans for fewer: there is a scanner for each tier of rules.

mod bound;
mod columns;
mod draft;
mod prelude;
mod program;
mod quick;
mod routes;
mod tiers;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Link, Rule, Step};
use crate::prefilter::{Marks, Scanner};
use crate::transform::Transformation;
use crate::tx::Names;
use crate::verdict::Phase;

pub(crate) use bound::Bound;
pub(crate) use columns::{Column, List};
use draft::{Draft, Volatile};
pub(crate) use prelude::{Left, Prelude};
use program::program;
pub(crate) use program::{AskedSet, Head, Program, Questions, Stop};
pub(crate) use quick::{Compare, Quick, SetTx, TxChange};
pub(crate) use routes::{Route, Routes};

/// The mark that every text has, the empty one too: for transformations that may change anything.
pub(crate) const EVERY: Marks = 1 << 127;

/// How all rules are looked at.
#[derive(Debug)]
pub(crate) struct Plan {
    /// For the request's phases, and for the others.
    pub(crate) books: [Book; 2],
    /// For each rule its links.
    rules: Vec<PlannedRule>,
    /// The rules of each phase.
    programs: [Program; 5],
    names: Arc<Names>,
}

/// The plan of a rule.
#[derive(Debug, Default)]
pub(crate) struct PlannedRule {
    pub(crate) links: Box<[PlannedLink]>,
    /// Something in it may ask for `MATCHED_VARS`.
    pub(crate) asks_matched_vars: bool,
    /// It sees nothing but the head of a request that a thread may know.
    pub(crate) bound: Option<Bound>,
}

/// The plan of a link.
#[derive(Debug)]
pub(crate) struct PlannedLink {
    pub(crate) way: Way,
    pub(crate) effects: Box<[Quick]>,
}

/// The values of some phases.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) columns: Vec<Planned>,
    /// The columns of the request's head as bits, and those of them that have one value.
    pub(crate) head_mask: u64,
    pub(crate) scalars: Box<[u32]>,
    /// Those of its headers, and how many views see any of them.
    pub(crate) common_mask: u64,
    pub(crate) common_views: u32,
    /// How many lists of columns there are, and how many questions to them.
    pub(crate) sets: u32,
    pub(crate) questions: u32,
    /// How many rules are bound to the head.
    pub(crate) bound: u32,
    pub(crate) units: Vec<Unit>,
    pub(crate) views: Vec<View>,
    /// One for each tier, the last for all rules.
    scanners: Vec<Scanner>,
    /// The operators that each tier's scanner looks for.
    bits: Vec<u32>,
    /// The mark of capitals, where a transformation has asked for it.
    pub(crate) capitals: Marks,
    /// The marks that small letters have: a text without capitals any more may have others than before.
    pub(crate) small: Marks,
}

/// A column, and what it has beside its source.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) source: Column,
    /// It stays as it is between the phases of the request.
    pub(crate) is_head: bool,
    /// The lowest bit that is asked of it.
    asked: u32,
}

/// A column behind a chain of transformations.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) column: u32,
    /// The chain's last transformation and the unit of those before it; none is the column itself.
    pub(crate) step: Option<Chained>,
    /// The marks of all of its chain's transformations: a column without any of them is the unit.
    pub(crate) reach: Marks,
}

/// One transformation behind others.
#[derive(Debug)]
pub(crate) struct Chained {
    pub(crate) parent: u32,
    pub(crate) transformation: Transformation,
    /// A value without any of these marks is not changed by it.
    pub(crate) triggers: Marks,
}

/// What a link looks at.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
pub(crate) struct View {
    /// The columns of all its targets.
    pub(crate) columns: Box<[u32]>,
    /// All units whose answers decide whether the link can match, by their columns, ascending.
    pub(crate) groups: Box<[Group]>,
    /// The columns as bits, and whether there are some that have none.
    pub(crate) mask: u64,
    pub(crate) has_more: bool,
    /// All marks of its units: without any of them every column is as it was.
    pub(crate) reach: Marks,
    /// A number for each list of columns.
    pub(crate) set: u32,
    /// Its number among the views that see request headers, or [`NO_COMMON`].
    pub(crate) common: u32,
}

/// The number of a view that sees no request headers.
pub(crate) const NO_COMMON: u32 = u32::MAX;

/// The units of a view that belong to a column.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
pub(crate) struct Group {
    pub(crate) column: u32,
    pub(crate) watched: Box<[Watched]>,
}

/// A unit of a view, with what is often asked of it.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
pub(crate) struct Watched {
    pub(crate) unit: u32,
    /// See [`Unit::reach`].
    pub(crate) reach: Marks,
}

/// How a link is looked at.
#[derive(Debug)]
pub(crate) enum Way {
    /// As the plain evaluator does.
    Plain,
    /// The values of one target that rules may change, as they are.
    Loose,
    /// One value that rules may change, or a count: no list, no copies.
    Single(Single),
    /// Values in columns.
    Columns(Columns),
}

/// A link with one value.
#[derive(Debug)]
pub(crate) struct Single {
    /// Its full name as the rule spells it.
    pub(crate) name: Bytes,
    /// Its place in TX.
    pub(crate) place: Option<u32>,
    /// The rule spells its name in TX as it is numbered.
    pub(crate) is_numbered: bool,
    /// What the operator comes to, where it compares numbers.
    pub(crate) compare: Option<Compare>,
    /// It has transformations, which leave digits as they are: a value of digits only can do without them.
    pub(crate) only_digits: bool,
}

/// A link over columns.
#[derive(Debug)]
pub(crate) struct Columns {
    /// The operator's number in the scanner; none runs on every value.
    pub(crate) bit: Option<u32>,
    /// No other link looks for the same in the same view.
    pub(crate) is_alone: bool,
    pub(crate) view: u32,
    /// The units of its targets, in order.
    pub(crate) looked: Box<[Looked]>,
}

/// A unit of a target.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) target: u32,
    pub(crate) unit: u32,
    pub(crate) column: u32,
    /// The column's values are those that the target's selector picks.
    pub(crate) picked: bool,
}

impl Plan {
    /// Plans all rules of a set.
    pub(super) fn new(rules: &[Rule], phases: &[Vec<Step>; 5]) -> Self {
        let volatile = Volatile::of(rules);
        let names = quick::names(rules);
        let tiers = tiers::of(rules, phases);
        let mut drafts = [Draft::default(), Draft::default()];
        let mut planned: Vec<PlannedRule> = rules.iter().map(|_| PlannedRule::default()).collect();
        for tier in 0..tiers::MOST {
            for ((rule, slot), _) in rules.iter().zip(&mut planned).zip(&tiers).filter(|(_, own)| **own == tier) {
                let draft = &mut drafts[book_of(rule.phase)];
                let link =
                    |link: &Link| PlannedLink { way: draft.way(link, &volatile, rule.phase, &names), effects: Quick::of(link, &names) };
                slot.links = rule.links.iter().map(link).collect();
                slot.asks_matched_vars = quick::asks_matched_vars(rule);
            }
            drafts.iter_mut().for_each(Draft::close_tier);
        }
        mark_alone(rules, &mut planned);
        let mut books = drafts.map(Draft::finish);
        let request = &mut books[0];
        for (rule, plan) in rules.iter().zip(&mut planned).filter(|(rule, _)| book_of(rule.phase) == 0) {
            plan.bound = Bound::of(rule, plan, request, &names).map(|bound| Bound { number: request.bound, ..bound });
            request.bound += u32::from(plan.bound.is_some());
        }
        let mut programs = Phase::ALL.map(|phase| program(&phases[phase.index()], rules, &planned, &mut books[book_of(phase)]));
        programs[Phase::RequestHeaders.index()].find_prelude(rules.len());
        Plan { books, rules: planned, programs, names }
    }

    /// The plan of a rule.
    pub(crate) fn rule(&self, rule: u32) -> Option<&PlannedRule> {
        self.rules.get(rule as usize)
    }

    /// The rules of a phase.
    pub(crate) fn program(&self, phase: Phase) -> Option<&Program> {
        self.programs.get(phase.index())
    }

    /// The names of TX.
    pub(crate) fn names(&self) -> &Arc<Names> {
        &self.names
    }
}

impl Book {
    /// The scanner of a tier, or the last one.
    pub(crate) fn scanner(&self, tier: usize) -> Option<&Scanner> {
        self.scanners.get(tier).or(self.scanners.last())
    }

    /// Whether any operator of a tier or those below it looks for something in a column.
    pub(crate) fn is_searched(&self, column: u32, tier: usize) -> bool {
        let bits = self.bits.get(tier).or(self.bits.last()).copied().unwrap_or(0);
        self.columns.get(column as usize).is_none_or(|column| column.asked < bits)
    }

    /// A number for one more question.
    fn next_question(&mut self) -> u32 {
        self.questions += 1;
        self.questions - 1
    }

    /// The first tier whose scanner looks for an operator.
    pub(crate) fn tier_of(&self, bit: u32) -> usize {
        self.bits.iter().position(|bits| bit < *bits).unwrap_or(0)
    }
}

/// Finds the links that are the only ones to look for something in a view.
fn mark_alone(rules: &[Rule], planned: &mut [PlannedRule]) {
    let mut links = HashMap::<(usize, u32, Option<u32>), Option<&mut Columns>>::new();
    for (rule, plan) in rules.iter().zip(planned) {
        for link in &mut plan.links {
            if let Way::Columns(columns) = &mut link.way {
                let key = (book_of(rule.phase), columns.view, columns.bit);
                let is_first = !links.contains_key(&key);
                links.insert(key, is_first.then_some(columns));
            }
        }
    }
    links.into_values().flatten().for_each(|columns| columns.is_alone = true);
}

/// The index of the book a phase uses.
pub(crate) fn book_of(phase: Phase) -> usize {
    usize::from(phase > Phase::RequestBody)
}
