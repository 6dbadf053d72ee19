//! The rules of a phase in their order, each with the question that rules it out most often, and blocks of them that are asked together.

use std::collections::{BTreeMap, HashMap};

use super::{Book, Compare, EVERY, PlannedRule, Prelude, Quick, Routes, Single, Way};
use crate::action::Disruptive;
use crate::prefilter::Marks;
use crate::ruleset::{Rule, Step};

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
    /// Rules that see nothing but TX, where the first phase has some.
    pub(crate) prelude: Option<Prelude>,
    /// The ways that gates lead, where there are gates.
    pub(crate) routes: Option<Routes>,
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
const NO_BLOCK: u32 = u32::MAX;

/// What is asked of a view: bits of one word.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) bits: u64,
    pub(crate) view: u32,
    pub(crate) word: u32,
    /// See [`AskedSet::number`] and [`AskedSet::reach`].
    pub(crate) number: u32,
    pub(crate) reach: Marks,
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
    /// Its own number among all questions of its book.
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
    pub(crate) asked: Questions,
}

/// What many stops ask of views.
#[derive(Debug)]
pub(crate) struct Questions {
    /// The highest bit that is asked for.
    pub(crate) top: u32,
    /// A part of the program's `sets`.
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

/// The rules of a phase, each with where to go on behind a match: the next one, or behind the marker or the rule that `skipAfter`
/// names, and behind as many more as `skip` says.
pub(super) fn program(steps: &[Step], rules: &[Rule], planned: &[PlannedRule], book: &mut Book) -> Program {
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
    program.find_routes(rules.len(), book);
    program
}

impl Stop {
    /// The place in TX and the comparison of a rule that does nothing but skip others.
    pub(super) fn gate(&self) -> Option<(u32, Compare)> {
        match self.head {
            Head::Tx(place, compare) if self.quiet => Some((place, compare)),
            _ => None,
        }
    }
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
            let is_asked = |stop: &&Stop| matches!(stop.head, Head::View(_, Some(_)));
            let end = start + self.stops.iter().skip(start).take_while(is_asked).count();
            if end > start {
                let asked = self.questions(&(start..end).collect::<Vec<_>>(), book);
                if let Some(first) = self.stops.get_mut(start) {
                    first.block = self.blocks.len() as u32;
                }
                self.blocks.push(Block { end: end as u32, asked });
            }
            start = end.max(start + 1);
        }
    }

    /// What some of the stops ask of views.
    pub(super) fn questions(&mut self, stops: &[usize], book: &mut Book) -> Questions {
        let mut asked = BTreeMap::<u32, BTreeMap<(u32, u32), Vec<(u8, u32)>>>::new();
        let mut top = 0;
        for at in stops {
            let Some(Stop { head: Head::View(view, Some(bit)), .. }) = self.stops.get(*at) else { continue };
            let set = book.views.get(*view as usize).map_or(0, |view| view.set);
            asked.entry(set).or_default().entry((*view, bit / 64)).or_default().push(((bit % 64) as u8, *at as u32));
            top = top.max(*bit);
        }
        let first = self.sets.len() as u32;
        asked.into_values().for_each(|asked| self.push_set(asked, book));
        Questions { top, sets: (first, self.sets.len() as u32) }
    }

    fn push_set(&mut self, asked: BTreeMap<(u32, u32), Vec<(u8, u32)>>, book: &mut Book) {
        let mut words = BTreeMap::<u32, u64>::new();
        let number = book.next_question();
        let starts = (self.words.len() as u32, self.asked.len() as u32);
        let mut set =
            AskedSet { reach: 0, mask: 0, has_more: true, set: 0, number, columns: 0, words: (starts.0, 0), asked: (starts.1, 0) };
        for ((view, word), seekers) in asked {
            let mut reach = EVERY;
            if let Some(planned) = book.views.get(view as usize) {
                (set.mask, set.has_more, set.set) = (planned.mask, planned.has_more, planned.set);
                reach = planned.reach;
                set.columns = set.columns.max(planned.columns.len() as u32);
            }
            set.reach |= reach;
            let bits = seekers.iter().fold(0, |bits, (bit, _)| bits | 1 << bit);
            *words.entry(word).or_default() |= bits;
            let first = self.seekers.len() as u32;
            self.seekers.extend(seekers);
            self.asked.push(Asked { bits, view, word, number: book.next_question(), reach, seekers: (first, self.seekers.len() as u32) });
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
        Way::Single(Single { place: Some(place), compare: Some(compare), only_digits, .. }) => {
            match link.targets.first().is_some_and(|target| target.counted) {
                true => Head::TxCount(*place, *compare),
                false if *only_digits => Head::Other,
                false => Head::Tx(*place, *compare),
            }
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
