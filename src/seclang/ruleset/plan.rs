//! The matching plan: which values rules look at through which transformations, and which links can be ruled out by one scan of each.
//!
//! A column is a list of values that no rule changes while a phase runs. A unit is a column behind a chain of transformations, a view
//! all units of a link. Each link whose operator has a [`Requirement`] gets a bit in the scanners of its book (one book for the
//! request, one for the response). Rules behind gates on TX, as those of the higher paranoia levels are, have the higher bits, so that a
//! transaction that never comes to them scans for fewer: there is a scanner for each tier of rules.

mod bound;
mod columns;
mod quick;
mod tiers;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::{Check, Link, Rule, Step, Test};
use crate::action::{Control, Disruptive, Effect};
use crate::expand::{Macro, Template};
use crate::operator::{Need, Operator};
use crate::prefilter::{ByteSet, Marks, Requirement, Scanner, triggers};
use crate::target::{Selector, Target};
use crate::transform::Transformation;
use crate::tx::Names;
use crate::variable::Variable;
use crate::verdict::Phase;

pub(crate) use bound::Bound;
pub(crate) use columns::{Column, List};
pub(crate) use quick::{Compare, Quick, SetTx, TxChange};

/// Where a caller's marks begin among the scanner's.
const CALLER_SHIFT: u32 = 96;

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

/// The rules of a phase in their order.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) stops: Vec<Stop>,
    /// Stops in a row that can be ruled out together.
    pub(crate) blocks: Vec<Block>,
    /// What the blocks ask, one after the other, since that is the order it is looked at: what waits for memory is slow.
    pub(crate) sets: Vec<AskedSet>,
    pub(crate) asked: Vec<Asked>,
    /// Words and bits of them.
    pub(crate) words: Vec<(u32, u64)>,
    /// Bits, by their number in the word, and the stops that ask for them.
    pub(crate) seekers: Vec<(u8, u32)>,
}

/// A rule as it stands in a phase.
#[derive(Debug)]
pub(crate) struct Stop {
    /// Index into the rules.
    pub(crate) rule: u32,
    /// What its first link is asked first.
    pub(crate) head: Head,
    /// Nothing comes of a match but a jump.
    pub(crate) quiet: bool,
    /// Nothing comes of a match but a jump and variables of TX.
    pub(crate) sets_only: bool,
    /// Where to go on behind a match.
    pub(crate) next: u32,
    /// The block that begins here, or [`NO_BLOCK`].
    pub(crate) block: u32,
    /// See [`PlannedRule::bound`].
    pub(crate) is_bound: bool,
}

/// Where no block begins.
pub(crate) const NO_BLOCK: u32 = u32::MAX;

/// What is asked of a view: bits of one word.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) bits: u64,
    pub(crate) view: u32,
    pub(crate) word: u32,
    /// Those of the program's `seekers` that ask for them.
    pub(crate) seekers: (u32, u32),
}

/// What is asked of views with the same columns.
#[derive(Debug)]
pub(crate) struct AskedSet {
    /// The marks of all units of these views.
    pub(crate) reach: Marks,
    /// The columns as bits, whether there are some that have none, and the number of their list.
    pub(crate) mask: u64,
    pub(crate) has_more: bool,
    pub(crate) set: u32,
    /// Its own number in its book.
    pub(crate) number: u32,
    /// The most columns that any of the views lists.
    pub(crate) columns: u32,
    /// Those of the program's `words` that any of the views is asked for.
    pub(crate) words: (u32, u32),
    /// Its part of the program's `asked`.
    pub(crate) asked: (u32, u32),
}

/// Stops in a row whose operators are gated by the scan.
#[derive(Debug)]
pub(crate) struct Block {
    /// The first stop behind it.
    pub(crate) end: u32,
    /// The highest bit that is asked in it.
    pub(crate) top: u32,
    /// What is asked of its views: a part of the program's `sets`.
    pub(crate) sets: (u32, u32),
}

/// A question that rules most rules out.
#[derive(Debug)]
pub(crate) enum Head {
    /// A variable of TX compares with a number.
    Tx(u32, Compare),
    /// Whether there is a variable of TX, as a number, does.
    TxCount(u32, Compare),
    /// The operator may match in the view; without a bit, there is any value.
    View(u32, Option<u32>),
    /// It matches, and variables of TX are all that comes of it.
    Always,
    /// Only the link itself knows.
    Other,
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
    /// How many lists of columns there are, and how many questions to them in blocks.
    pub(crate) sets: u32,
    pub(crate) asked_sets: u32,
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
        let programs = Phase::ALL.map(|phase| program(&phases[phase.index()], rules, &planned, &mut books[book_of(phase)]));
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

/// The rules of a phase, each with where to go on behind a match: the next one, or behind the marker or the rule that `skipAfter`
/// names, and behind as many more as `skip` says.
fn program(steps: &[Step], rules: &[Rule], planned: &[PlannedRule], book: &mut Book) -> Program {
    let mut behind = HashMap::<&str, u32>::new();
    let mut ids = HashMap::<u64, u32>::new();
    let mut place = steps.iter().filter(|step| matches!(step, Step::Rule(_))).count() as u32;
    let mut stops = Vec::with_capacity(place as usize);
    for step in steps.iter().rev() {
        let index = match step {
            Step::Marker(label) => {
                behind.insert(label, place);
                continue;
            }
            Step::Rule(index) => *index,
        };
        place = place.saturating_sub(1);
        let (Some(rule), Some(plan)) = (rules.get(index as usize), planned.get(index as usize)) else { continue };
        let jump = rule.skip_after.as_ref().map(|label| {
            let marker = behind.get(label.as_ref()).copied().unwrap_or(u32::MAX);
            let id = label.parse().ok().and_then(|id: u64| ids.get(&id).copied()).unwrap_or(u32::MAX);
            marker.min(id)
        });
        let skipped = u32::try_from(rule.skip).unwrap_or(u32::MAX);
        let next = jump.unwrap_or(place + 1).saturating_add(skipped);
        ids.insert(rule.id, place + 1);
        stops.push(Stop {
            rule: index,
            head: head(rule, plan),
            quiet: is_quiet(rule),
            sets_only: sets_only(rule, plan),
            next,
            block: NO_BLOCK,
            is_bound: plan.bound.is_some(),
        });
    }
    stops.reverse();
    let mut program = Program { stops, ..Program::default() };
    program.find_blocks(book);
    program
}

impl Program {
    /// A part of one of the lists.
    pub(crate) fn part<T>(list: &[T], (start, end): (u32, u32)) -> &[T] {
        list.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Finds the stops that can be ruled out together.
    fn find_blocks(&mut self, book: &mut Book) {
        let mut start = 0;
        while start < self.stops.len() {
            let mut asked = BTreeMap::<u32, BTreeMap<(u32, u32), Vec<(u8, u32)>>>::new();
            let (mut end, mut top) = (start, 0);
            while let Some(Stop { head: Head::View(view, Some(bit)), .. }) = self.stops.get(end) {
                let set = book.views.get(*view as usize).map_or(0, |view| view.set);
                asked.entry(set).or_default().entry((*view, bit / 64)).or_default().push(((bit % 64) as u8, end as u32));
                top = top.max(*bit);
                end += 1;
            }
            if let (true, Some(first)) = (end > start, self.stops.get_mut(start)) {
                first.block = self.blocks.len() as u32;
                let first = self.sets.len() as u32;
                asked.into_values().for_each(|asked| self.push_set(asked, book));
                self.blocks.push(Block { end: end as u32, top, sets: (first, self.sets.len() as u32) });
            }
            start = end.max(start + 1);
        }
    }

    fn push_set(&mut self, asked: BTreeMap<(u32, u32), Vec<(u8, u32)>>, book: &mut Book) {
        let mut words = BTreeMap::<u32, u64>::new();
        let number = book.asked_sets;
        book.asked_sets += 1;
        let starts = (self.words.len() as u32, self.asked.len() as u32);
        let mut set =
            AskedSet { reach: 0, mask: 0, has_more: true, set: 0, number, columns: 0, words: (starts.0, 0), asked: (starts.1, 0) };
        for ((view, word), seekers) in asked {
            if let Some(planned) = book.views.get(view as usize) {
                (set.mask, set.has_more, set.set) = (planned.mask, planned.has_more, planned.set);
                set.reach |= planned.reach;
                set.columns = set.columns.max(planned.columns.len() as u32);
            }
            let bits = seekers.iter().fold(0, |bits, (bit, _)| bits | 1 << bit);
            *words.entry(word).or_default() |= bits;
            let first = self.seekers.len() as u32;
            self.seekers.extend(seekers);
            self.asked.push(Asked { bits, view, word, seekers: (first, self.seekers.len() as u32) });
        }
        self.words.extend(words);
        (set.words.1, set.asked.1) = (self.words.len() as u32, self.asked.len() as u32);
        self.sets.push(set);
    }
}

fn head(rule: &Rule, plan: &PlannedRule) -> Head {
    let (Some(link), Some(planned)) = (rule.links.first(), plan.links.first()) else { return Head::Other };
    match &planned.way {
        Way::Columns(columns) => Head::View(columns.view, columns.bit),
        Way::Single(Single { place: Some(place), compare: Some(compare), .. }) => {
            let counted = link.targets.first().is_some_and(|target| target.counted);
            if counted { Head::TxCount(*place, *compare) } else { Head::Tx(*place, *compare) }
        }
        _ if link.test.is_none() && sets_only(rule, plan) => Head::Always,
        _ => Head::Other,
    }
}

/// Whether nothing comes of a match but a jump, and the match as `MATCHED_VAR`.
fn is_quiet(rule: &Rule) -> bool {
    is_silent(rule) && rule.links.first().is_some_and(|link| link.effects.is_empty())
}

/// Whether nothing comes of a match but a jump and variables of TX with numbered places.
fn sets_only(rule: &Rule, plan: &PlannedRule) -> bool {
    let mut effects = plan.links.iter().flat_map(|link| &link.effects);
    is_silent(rule) && !plan.asks_matched_vars && effects.all(|effect| matches!(effect, Quick::SetTx(_)))
}

/// Whether a rule without a chain leaves no record and decides nothing.
fn is_silent(rule: &Rule) -> bool {
    let silent = !rule.log && !rule.audit && rule.severity.is_none();
    silent && matches!(rule.disruptive, Disruptive::Pass | Disruptive::Block) && rule.links.len() == 1
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
    fn way(&mut self, link: &Link, volatile: &Volatile, phase: Phase, names: &Names) -> Way {
        let Some(test) = &link.test else { return Way::Plain };
        if let [target] = link.targets.as_slice()
            && link.transformations.is_empty()
            && is_single(target, link)
        {
            let tx = match &target.selector {
                Some(Selector::Name(name)) if target.variable == Variable::Tx => names.find(name).map(|place| (place, name)),
                _ => None,
            };
            let is_numbered = tx.is_some_and(|(place, name)| names.name(place).is_some_and(|own| **own == **name));
            let name = if target.counted { target.counted_name() } else { target.full_name() };
            return Way::Single(Single { name, place: tx.map(|(place, _)| place), is_numbered, compare: Compare::of(test) });
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

    fn close_tier(&mut self) {
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

    fn finish(self) -> Book {
        let kinds = self.kinds;
        let capitals = triggers(Transformation::Lowercase).and_then(|capitals| kinds.iter().position(|kind| *kind == capitals));
        let caller = |byte: u8| {
            let marks = kinds.iter().enumerate().filter(|(_, kind)| kind.contains(byte)).map(|(index, _)| 1_u32 << index);
            marks.fold(0, |all, mark| all | mark)
        };
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
            asked_sets: 0,
            bound: 0,
            units: self.units,
            views,
            scanners,
            bits,
            capitals,
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

/// Whether the link looks at one value that is quickly at hand: a count, a variable of TX by its name, or a scalar.
fn is_single(target: &Target, link: &Link) -> bool {
    let Some(test) = &link.test else { return false };
    let plain = matches!(&test.check, Check::Operator(operator) if !matches!(operator, Operator::Rbl(_) | Operator::GeoLookup));
    let quick = target.counted || target.variable == Variable::Tx && matches!(target.selector, Some(Selector::Name(_)));
    let scalar = !target.variable.is_collection() && !columns::is_stable(target.variable);
    plain && !link.multi_match && link.excluded.is_empty() && (quick || scalar)
}
