//! Many rules asked together: which of them may match, mostly without looking at a view.

use super::{Admits, BLANK, Set, Sight};
use crate::bits::Bits;
use crate::limits;
use crate::prefilter::Marks;
use crate::ruleset::{AskedSet, Book, Program, Questions};
use crate::transaction::Transaction;

impl Sight {
    /// Adds the stops whose operators may match.
    pub(crate) fn hits(&mut self, tx: &Transaction, book: &Book, program: &Program, asked: &Questions, hits: &mut Bits) {
        self.reach(book, asked.top);
        for asked in Program::part(&program.sets, asked.sets) {
            self.hits_of(tx, book, program, asked, hits);
        }
    }

    fn hits_of(&mut self, tx: &Transaction, book: &Book, program: &Program, asked: &AskedSet, hits: &mut Bits) {
        let set = if asked.has_more { None } else { self.set(tx, book, asked.set, asked.mask) };
        if set.is_some_and(|set| set.own | set.common == 0) {
            return;
        }
        // What the columns tell without their transformations, where each view has room for all of their values.
        let has_room = self.items.saturating_mul(asked.columns as usize) <= limits::VALUES_PER_RULE_MAX;
        let set = set.filter(|_| has_room);
        if set.is_some_and(|set| self.rules_out(&set, asked.number, asked.reach, Program::part(&program.words, asked.words))) {
            return;
        }
        let mut is_clear = true;
        for one in Program::part(&program.asked, asked.asked) {
            if set.is_some_and(|set| self.rules_out(&set, one.number, one.reach, &[(one.word, one.bits)])) {
                continue;
            }
            let viewed = self.viewed(tx, book, one.view);
            let found = |words: u32| self.words.get((words + one.word) as usize).map_or(one.bits, |found| found & one.bits);
            let (found, common) = match viewed.admits {
                Admits::Nothing => (0, 0),
                Admits::Unknown => (one.bits, one.bits),
                Admits::Words => (found(viewed.words), found(viewed.common)),
            };
            if common == 0 {
                self.common.clear(one.number);
            }
            is_clear &= common == 0;
            if found != 0 {
                let seekers = Program::part(&program.seekers, one.seekers);
                seekers.iter().filter(|(bit, _)| found >> bit & 1 == 1).for_each(|(_, stop)| hits.insert(*stop as usize));
            }
        }
        if is_clear {
            self.common.clear(asked.number);
        }
    }

    /// Whether nothing of what a question asks for can be found, as far as the columns tell it.
    fn rules_out(&self, set: &Set, number: u32, reach: Marks, words: &[(u32, u64)]) -> bool {
        let lacks = |(word, bits): &(u32, u64)| self.words.get((set.words + word) as usize).is_some_and(|found| found & bits == 0);
        (set.common == 0 || self.common.is_clear(number)) && (set.own == 0 || set.marks & reach == 0 && words.iter().all(lacks))
    }
}

const _: () = assert!(BLANK == 0, "a view without common values has blank words for them");
