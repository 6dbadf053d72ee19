//! The matching plan: which values rules look at through which transformations, and which links can be ruled out by one scan of each.
//!
//! A column is a list of values that no rule changes while a phase runs. A unit is a column behind a chain of transformations. Each
//! link whose operator has a [`Requirement`] gets a bit in the scanner of its book (one for the request, one for the response).

mod columns;

use std::collections::HashMap;

use bytes::Bytes;

use super::{Check, Link, Rule, Step};
use crate::action::{Control, Effect};
use crate::operator::Operator;
use crate::prefilter::{ByteSet, Marks, Requirement, Scanner, triggers};
use crate::target::{Selector, Target};
use crate::transform::Transformation;
use crate::variable::Variable;
use crate::verdict::Phase;

pub(crate) use columns::{Column, List};

/// Where a caller's marks begin among the scanner's.
const CALLER_SHIFT: u32 = 96;

/// The mark that every text has, the empty one too: for transformations that may change anything.
pub(crate) const EVERY: Marks = 1 << 127;

/// How all rules are looked at.
#[derive(Debug)]
pub(crate) struct Plan {
    /// For the request's phases, and for the others.
    pub(crate) books: [Book; 2],
    /// For each rule the ways of its links.
    ways: Vec<Box<[Way]>>,
    /// For each phase and step with `skipAfter`: the step to go on with.
    jumps: [Vec<u32>; 5],
}

/// The values of some phases.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) columns: Vec<Column>,
    pub(crate) units: Vec<Unit>,
    pub(crate) scanner: Scanner,
}

/// A column behind a chain of transformations.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) column: u32,
    /// The chain's last transformation and the unit of those before it; none is the column itself.
    pub(crate) step: Option<Chained>,
}

/// One transformation behind others.
#[derive(Debug)]
pub(crate) struct Chained {
    pub(crate) parent: u32,
    pub(crate) transformation: Transformation,
    /// A value without any of these marks is not changed by it.
    pub(crate) triggers: Marks,
}

/// How a link is looked at.
#[derive(Debug)]
pub(crate) enum Way {
    /// As the plain evaluator does.
    Plain,
    /// One value that rules may change, or a count: no list, no copies. With its full name as the rule spells it.
    Single(Bytes),
    /// Values in columns.
    Columns(Columns),
}

/// A link over columns.
#[derive(Debug)]
pub(crate) struct Columns {
    /// The operator's number in the scanner; none runs on every value.
    pub(crate) bit: Option<u32>,
    /// For each target its units, in order.
    pub(crate) targets: Box<[Box<[u32]>]>,
    /// All of the units whose answers decide whether the link can match.
    pub(crate) watched: Box<[u32]>,
}

impl Plan {
    /// Plans all rules of a set.
    pub(super) fn new(rules: &[Rule], phases: &[Vec<Step>; 5]) -> Self {
        let volatile = Volatile::of(rules);
        let mut drafts = [Draft::default(), Draft::default()];
        let mut ways = Vec::with_capacity(rules.len());
        for rule in rules {
            let draft = &mut drafts[book_of(rule.phase)];
            ways.push(rule.links.iter().map(|link| draft.way(link, &volatile, rule.phase)).collect());
        }
        let jumps = phases.each_ref().map(|steps| jumps(steps, rules));
        Plan { books: drafts.map(Draft::finish), ways, jumps }
    }

    /// The ways of a rule's links.
    pub(crate) fn ways(&self, rule: u32) -> &[Way] {
        self.ways.get(rule as usize).map_or(&[], |ways| ways)
    }

    /// The step to go on with behind a rule with `skipAfter` that matched.
    pub(crate) fn jump(&self, phase: Phase, step: usize) -> usize {
        let jumps = self.jumps.get(phase.index()).map_or(&[][..], Vec::as_slice);
        jumps.get(step).map_or(usize::MAX, |target| *target as usize)
    }
}

/// The index of the book a phase uses.
pub(crate) fn book_of(phase: Phase) -> usize {
    usize::from(phase > Phase::RequestBody)
}

/// For each step where `skipAfter` leads: behind the marker, or behind the rule of that id.
fn jumps(steps: &[Step], rules: &[Rule]) -> Vec<u32> {
    let mut behind = HashMap::<&str, u32>::new();
    let mut ids = HashMap::<u64, u32>::new();
    let mut jumps = vec![u32::MAX; steps.len()];
    for (index, step) in steps.iter().enumerate().rev() {
        let next = index as u32 + 1;
        match step {
            Step::Marker(label) => {
                behind.insert(label, next);
            }
            Step::Rule(number) => {
                let Some(rule) = rules.get(*number as usize) else { continue };
                if let (Some(label), Some(slot)) = (&rule.skip_after, jumps.get_mut(index)) {
                    let marker = behind.get(label.as_ref()).copied().unwrap_or(u32::MAX);
                    let id = label.parse().ok().and_then(|id: u64| ids.get(&id).copied()).unwrap_or(u32::MAX);
                    *slot = marker.min(id);
                }
                ids.insert(rule.id, next);
            }
        }
    }
    jumps
}

/// Variables that a `ctl` of some rule may change while rules of a phase run.
struct Volatile {
    body: [bool; 5],
}

impl Volatile {
    fn of(rules: &[Rule]) -> Self {
        let mut body = [false; 5];
        for rule in rules {
            let mut effects = rule.links.iter().flat_map(|link| &link.effects);
            let changes = |effect: &Effect| {
                matches!(effect, Effect::Control(Control::RequestBodyProcessor(_) | Control::ForceRequestBodyVariable(_)))
            };
            if let (true, Some(phase)) = (effects.any(changes), body.get_mut(rule.phase.index())) {
                *phase = true;
            }
        }
        Volatile { body }
    }

    /// Whether the target's values stay as they are while the phase runs.
    fn is_stable(&self, target: &Target, phase: Phase) -> bool {
        let body_changes = self.body.get(phase.index()).copied().unwrap_or(true);
        columns::is_stable(target.variable) && !(target.variable == Variable::RequestBody && body_changes)
    }
}

/// A book that is being written.
#[derive(Default)]
struct Draft {
    columns: Vec<Column>,
    units: Vec<Unit>,
    known: HashMap<(u32, Transformation), u32>,
    roots: HashMap<u32, u32>,
    requirements: Vec<Requirement>,
    /// The bytes that change anything for each transformation in use, at most 31 kinds of them; the last mark is [`EVERY`].
    kinds: Vec<ByteSet>,
}

impl Draft {
    fn way(&mut self, link: &Link, volatile: &Volatile, phase: Phase) -> Way {
        let Some(test) = &link.test else { return Way::Plain };
        if let [target] = link.targets.as_slice()
            && link.transformations.is_empty()
            && is_single(target, link)
        {
            return Way::Single(if target.counted { target.counted_name() } else { target.full_name() });
        }
        if link.targets.iter().any(|target| target.counted || !volatile.is_stable(target, phase)) {
            return Way::Plain;
        }
        let Check::Operator(operator) = &test.check else { return Way::Plain };
        if matches!(operator, Operator::Rbl(_)) {
            // What it captures names the variable.
            return Way::Plain;
        }
        let gated = !test.negated && test.argument.is_none();
        let requirement = if gated { Requirement::of(operator) } else { None };
        let bit = requirement.map(|requirement| self.bit(requirement));
        let targets: Box<[Box<[u32]>]> = link.targets.iter().map(|target| self.units(target, &link.transformations)).collect();
        let mut watched: Vec<u32> = targets.iter().flatten().copied().collect();
        if link.multi_match {
            // Every stage is looked at.
            let mut at = 0;
            while let Some(unit) = watched.get(at) {
                let parent = self.units.get(*unit as usize).and_then(|unit| unit.step.as_ref()).map(|step| step.parent);
                watched.extend(parent);
                at += 1;
            }
        }
        watched.sort_unstable();
        watched.dedup();
        Way::Columns(Columns { bit, targets, watched: watched.into() })
    }

    fn bit(&mut self, requirement: Requirement) -> u32 {
        let known = self.requirements.iter().position(|known| *known == requirement);
        let bit = known.unwrap_or(self.requirements.len());
        if known.is_none() {
            self.requirements.push(requirement);
        }
        bit as u32
    }

    fn units(&mut self, target: &Target, chain: &[Transformation]) -> Box<[u32]> {
        columns::of(target).into_iter().map(|column| self.unit(column, chain)).collect()
    }

    fn unit(&mut self, column: Column, chain: &[Transformation]) -> u32 {
        let known = self.columns.iter().position(|known| known.same(&column));
        let index = known.unwrap_or(self.columns.len()) as u32;
        if known.is_none() {
            self.columns.push(column);
        }
        let mut unit = match self.roots.get(&index) {
            Some(root) => *root,
            None => {
                let root = self.push(Unit { column: index, step: None });
                self.roots.insert(index, root);
                root
            }
        };
        for transformation in chain {
            unit = match self.known.get(&(unit, *transformation)) {
                Some(known) => *known,
                None => {
                    let triggers = self.triggers(*transformation);
                    let step = Chained { parent: unit, transformation: *transformation, triggers };
                    let new = self.push(Unit { column: index, step: Some(step) });
                    self.known.insert((unit, *transformation), new);
                    new
                }
            };
        }
        unit
    }

    fn push(&mut self, unit: Unit) -> u32 {
        self.units.push(unit);
        self.units.len() as u32 - 1
    }

    /// The marks of which a value has one that the transformation changes.
    fn triggers(&mut self, transformation: Transformation) -> Marks {
        let Some(bytes) = triggers(transformation) else { return EVERY };
        if bytes.is_empty() {
            return 0;
        }
        let known = self.kinds.iter().position(|kind| *kind == bytes);
        let kind = known.unwrap_or(self.kinds.len());
        if kind >= 31 {
            return EVERY;
        }
        if known.is_none() {
            self.kinds.push(bytes);
        }
        1 << (CALLER_SHIFT as usize + kind)
    }

    fn finish(self) -> Book {
        let kinds = self.kinds;
        let caller = move |byte: u8| {
            let marks = kinds.iter().enumerate().filter(|(_, kind)| kind.contains(byte)).map(|(index, _)| 1_u32 << index);
            marks.fold(0, |all, mark| all | mark)
        };
        Book { columns: self.columns, units: self.units, scanner: Scanner::new(&self.requirements, caller) }
    }
}

/// Whether the link looks at one value that is quickly at hand: a count, a variable of TX by its name, or a scalar.
fn is_single(target: &Target, link: &Link) -> bool {
    let Some(test) = &link.test else { return false };
    let plain = matches!(&test.check, Check::Operator(operator) if !matches!(operator, Operator::Rbl(_) | Operator::GeoLookup));
    let quick = target.counted || target.variable == Variable::Tx && matches!(target.selector, Some(Selector::Name(_)));
    let scalar = !target.variable.is_collection() && !columns::is_stable(target.variable);
    plain && !link.multi_match && link.excluded.is_empty() && (quick || scalar)
}
