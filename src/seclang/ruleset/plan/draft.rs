//! A book while it is written: columns, units, views and the operators that are looked for.

use std::collections::{BTreeMap, HashMap};

use super::{
    Book, Chained, Column, Columns, Compare, EVERY, Group, List, Looked, NO_COMMON, Planned, Single, Unit, View, Watched, Way, columns,
};
use crate::action::{Control, Effect};
use crate::expand::{Macro, Template};
use crate::operator::{Need, Operator};
use crate::prefilter::{ByteSet, Marks, Requirement, Scanner, triggers};
use crate::ruleset::{Check, Link, Rule, Test};
use crate::target::{Selector, Target};
use crate::transform::Transformation;
use crate::tx::Names;
use crate::variable::Variable;
use crate::verdict::Phase;

/// Where a caller's marks begin among the scanner's.
const CALLER_SHIFT: u32 = 96;

/// Variables that a `ctl` of some rule may change while rules of a phase run.
pub(super) struct Volatile {
    body: [bool; 5],
}

impl Volatile {
    pub(super) fn of(rules: &[Rule]) -> Self {
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
pub(super) struct Draft {
    columns: Vec<Column>,
    /// For each column the lowest bit that is asked of it.
    asked: Vec<u32>,
    units: Vec<Unit>,
    views: Vec<View>,
    view_numbers: HashMap<View, u32>,
    known: HashMap<(u32, Transformation), u32>,
    roots: HashMap<u32, u32>,
    requirements: Vec<Requirement>,
    /// How many requirements each tier that is done and those before it have.
    bits: Vec<u32>,
    /// The bytes that change anything for each transformation in use, at most 31 kinds of them; the last mark is [`EVERY`].
    kinds: Vec<ByteSet>,
}

impl Draft {
    pub(super) fn way(&mut self, link: &Link, volatile: &Volatile, phase: Phase, names: &Names) -> Way {
        let Some(test) = &link.test else { return Way::Plain };
        if let [target] = link.targets.as_slice()
            && link.transformations.iter().all(|transformation| leaves_digits(*transformation))
            && is_single(target, link)
        {
            let tx = match &target.selector {
                Some(Selector::Name(name)) if target.variable == Variable::Tx => names.find(name).map(|place| (place, name)),
                _ => None,
            };
            let is_numbered = tx.is_some_and(|(place, name)| names.name(place).is_some_and(|own| **own == **name));
            let name = if target.counted { target.counted_name() } else { target.full_name() };
            let only_digits = !link.transformations.is_empty();
            return Way::Single(Single { name, place: tx.map(|(place, _)| place), is_numbered, compare: Compare::of(test), only_digits });
        }
        if link.targets.iter().any(|target| target.counted || !volatile.is_stable(target, phase)) {
            return if is_loose(link, test) { Way::Loose } else { Way::Plain };
        }
        let Check::Operator(operator) = &test.check else { return Way::Plain };
        if matches!(operator, Operator::Rbl(_)) {
            // What it captures names the variable.
            return Way::Plain;
        }
        let gated = !test.negated && test.argument.is_none();
        let requirement = if gated { Requirement::of(operator) } else { None };
        let bit = requirement.map(|requirement| self.bit(requirement));
        let mut looked = Vec::new();
        for (target, own) in (0_u32..).zip(&link.targets) {
            for unit in self.units(own, &link.transformations) {
                let column = self.units.get(unit as usize).map_or(u32::MAX, |unit| unit.column);
                let picked = matches!(self.columns.get(column as usize), Some(Column::Picked(_) | Column::Named(..)));
                looked.push(Looked { target, unit, column, picked });
            }
        }
        let mut watched: Vec<u32> = looked.iter().map(|looked| looked.unit).collect();
        let columns: Box<[u32]> = looked.iter().map(|looked| looked.column).collect();
        if let Some(bit) = bit {
            columns.iter().for_each(|column| self.ask(*column, bit));
        }
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
        let mut groups = BTreeMap::<u32, Vec<Watched>>::new();
        for unit in watched {
            if let Some(own) = self.units.get(unit as usize) {
                groups.entry(own.column).or_default().push(Watched { unit, reach: own.reach });
            }
        }
        let reach = groups.values().flatten().fold(0, |reach, watched| reach | watched.reach);
        let groups = groups.into_iter().map(|(column, watched)| Group { column, watched: watched.into() }).collect();
        let mask = columns.iter().filter(|column| **column < u64::BITS).fold(0, |mask, column| mask | 1 << column);
        let has_more = columns.iter().any(|column| *column >= u64::BITS);
        let view = self.view(View { columns, groups, mask, has_more, reach, set: 0, common: NO_COMMON });
        Way::Columns(Columns { bit, is_alone: false, view, looked: looked.into() })
    }

    /// An operator looks for something in a column, and so in the list that the column picks from.
    fn ask(&mut self, column: u32, bit: u32) {
        self.asked.resize(self.columns.len(), u32::MAX);
        let whole = match self.columns.get(column as usize) {
            Some(Column::Named(_, whole, _)) => Some(*whole),
            _ => None,
        };
        for column in whole.into_iter().chain([column]) {
            if let Some(asked) = self.asked.get_mut(column as usize) {
                *asked = bit.min(*asked);
            }
        }
    }

    fn view(&mut self, view: View) -> u32 {
        if let Some(known) = self.view_numbers.get(&view) {
            return *known;
        }
        let number = self.views.len() as u32;
        self.views.push(view.clone());
        self.view_numbers.insert(view, number);
        number
    }

    pub(super) fn close_tier(&mut self) {
        self.bits.push(self.requirements.len() as u32);
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
        let named = match &target.selector {
            Some(Selector::Name(name)) => Some(name),
            _ => None,
        };
        let columns: Vec<u32> = match columns::of(target) {
            columns::Source::Values(lists) => {
                let value = |list: &List| {
                    let whole = self.column(Column::Values(*list));
                    named.map_or(whole, |name| self.column(Column::Named(*list, whole, name.clone())))
                };
                lists.iter().map(value).collect()
            }
            columns::Source::Names(lists) => lists.iter().map(|list| self.column(Column::Names(*list))).collect(),
            columns::Source::Picked => vec![self.column(Column::Picked(Box::new(target.clone())))],
        };
        columns.into_iter().map(|column| self.unit(column, chain)).collect()
    }

    fn column(&mut self, column: Column) -> u32 {
        let known = self.columns.iter().position(|known| known.same(&column));
        if known.is_none() {
            self.columns.push(column);
        }
        known.unwrap_or(self.columns.len().saturating_sub(1)) as u32
    }

    fn unit(&mut self, index: u32, chain: &[Transformation]) -> u32 {
        let mut unit = match self.roots.get(&index) {
            Some(root) => *root,
            None => {
                let root = self.push(Unit { column: index, step: None, reach: 0 });
                self.roots.insert(index, root);
                root
            }
        };
        for transformation in chain {
            unit = match self.known.get(&(unit, *transformation)) {
                Some(known) => *known,
                None => {
                    let triggers = self.triggers(*transformation);
                    let reach = self.units.get(unit as usize).map_or(EVERY, |parent| parent.reach) | triggers;
                    let step = Chained { parent: unit, transformation: *transformation, triggers };
                    let new = self.push(Unit { column: index, step: Some(step), reach });
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

    pub(super) fn finish(self) -> Book {
        let kinds = self.kinds;
        let capitals = triggers(Transformation::Lowercase).and_then(|capitals| kinds.iter().position(|kind| *kind == capitals));
        let caller = |byte: u8| {
            let marks = kinds.iter().enumerate().filter(|(_, kind)| kind.contains(byte)).map(|(index, _)| 1_u32 << index);
            marks.fold(0, |all, mark| all | mark)
        };
        let small = (b'a'..=b'z').fold(0, |marks, letter| marks | caller(letter));
        let small = Marks::from(small) << CALLER_SHIFT;
        let mut bits = self.bits;
        bits.dedup();
        let scanners =
            bits.iter().map(|bits| Scanner::new(self.requirements.get(..*bits as usize).unwrap_or(&self.requirements), caller)).collect();
        let asked = self.asked.into_iter().chain(std::iter::repeat(u32::MAX));
        let columns: Vec<Planned> =
            self.columns.into_iter().zip(asked).map(|(source, asked)| Planned { is_head: source.is_head(), source, asked }).collect();
        let heads = columns.iter().take(u64::BITS as usize).enumerate().filter(|(_, column)| column.is_head);
        let head_mask = heads.fold(0, |mask, (column, _)| mask | 1 << column);
        let scalars = (0_u32..).zip(&columns).filter(|(_, column)| column.is_head && matches!(column.source, Column::Picked(_)));
        let scalars = scalars.map(|(column, _)| column).collect();
        let capitals = capitals.map_or(0, |kind| 1 << (CALLER_SHIFT as usize + kind));
        let headers = columns.iter().take(u64::BITS as usize).enumerate().filter(|(_, column)| column.source.is_of_request_headers());
        let common_mask = headers.fold(0, |mask, (column, _)| mask | 1 << column);
        let (mut views, mut common_views) = (self.views, 0);
        let mut sets = HashMap::<u64, u32>::new();
        for view in &mut views {
            let next = sets.len() as u32;
            view.set = *sets.entry(view.mask).or_insert(next);
            if view.mask & common_mask != 0 {
                view.common = common_views;
                common_views += 1;
            }
        }
        let sets = sets.len() as u32;
        Book {
            columns,
            head_mask,
            scalars,
            common_mask,
            common_views,
            sets,
            questions: 0,
            bound: 0,
            units: self.units,
            views,
            scanners,
            bits,
            capitals,
            small,
        }
    }
}

/// Whether the link looks at the values of one target as they are, by an operator whose argument no match changes.
fn is_loose(link: &Link, test: &Test) -> bool {
    let plain = matches!(&test.check, Check::Operator(operator) if operator.needs() == Need::None);
    let keeps = |name: &str| {
        link.effects.iter().all(|effect| match effect {
            Effect::SetVariable(set) => set.name.literal().is_some_and(|own| !own.eq_ignore_ascii_case(name.as_bytes())),
            _ => false,
        })
    };
    let of_tx = |one: &Macro| one.variable == Variable::Tx && one.name.as_deref().is_some_and(keeps);
    let is_steady = |template: &Template| template.macros().all(of_tx);
    let one = matches!(link.targets.as_slice(), [target] if !target.counted);
    plain && one && link.transformations.is_empty() && !link.multi_match && !link.capture && test.argument.as_ref().is_none_or(is_steady)
}

/// Whether a value of digits only stays as it is.
fn leaves_digits(transformation: Transformation) -> bool {
    triggers(transformation).is_some_and(|bytes| (b'0'..=b'9').all(|digit| !bytes.contains(digit)))
}

/// Whether the link looks at one value that is quickly at hand: a count, a variable of TX by its name, or a scalar.
fn is_single(target: &Target, link: &Link) -> bool {
    let Some(test) = &link.test else { return false };
    let plain = matches!(&test.check, Check::Operator(operator) if !matches!(operator, Operator::Rbl(_) | Operator::GeoLookup));
    let quick = target.counted || target.variable == Variable::Tx && matches!(target.selector, Some(Selector::Name(_)));
    let scalar = !target.variable.is_collection() && !columns::is_stable(target.variable);
    plain && !link.multi_match && link.excluded.is_empty() && (quick || scalar)
}
