//! Blocks of rules in a row: which of them may match, mostly without looking at a view.

use super::{Admits, BLANK, Sight};
use crate::limits;
use crate::ruleset::{AskedSet, Block, Book, Program};
use crate::transaction::Transaction;

impl Sight {
    /// Lists the stops of a block whose operators may match, ascending.
    pub(crate) fn hits(&mut self, tx: &Transaction, book: &Book, program: &Program, block: &Block, hits: &mut Vec<u32>) {
        hits.clear();
        self.reach(book, block.top);
        for asked in Program::part(&program.sets, block.sets) {
            if !self.rules_out(tx, book, program, asked) {
                self.hits_of(tx, book, program, asked, hits);
            }
        }
        hits.sort_unstable();
    }

    /// Whether nothing of what is asked can be found, as far as the columns tell it without their transformations.
    fn rules_out(&mut self, tx: &Transaction, book: &Book, program: &Program, asked: &AskedSet) -> bool {
        if asked.has_more {
            return false;
        }
        let Some(set) = self.set(tx, book, asked.set, asked.mask) else { return false };
        if set.own | set.common == 0 {
            return true;
        }
        let has_room = self.items.saturating_mul(asked.columns as usize) <= limits::VALUES_PER_RULE_MAX;
        let lacks = |(word, bits): &(u32, u64)| self.words.get((set.words + word) as usize).is_some_and(|found| found & bits == 0);
        has_room
            && (set.common == 0 || self.common.is_clear(asked.number))
            && (set.own == 0 || set.marks & asked.reach == 0 && Program::part(&program.words, asked.words).iter().all(lacks))
    }

    fn hits_of(&mut self, tx: &Transaction, book: &Book, program: &Program, asked: &AskedSet, hits: &mut Vec<u32>) {
        let mut is_clear = true;
        for one in Program::part(&program.asked, asked.asked) {
            let viewed = self.viewed(tx, book, one.view);
            let found = |words: u32| self.words.get((words + one.word) as usize).map_or(one.bits, |found| found & one.bits);
            let (found, common) = match viewed.admits {
                Admits::Nothing => (0, 0),
                Admits::Unknown => (one.bits, one.bits),
                Admits::Words => (found(viewed.words), found(viewed.common)),
            };
            is_clear &= common == 0;
            if found != 0 {
                let seekers = Program::part(&program.seekers, one.seekers);
                hits.extend(seekers.iter().filter(|(bit, _)| found >> bit & 1 == 1).map(|(_, stop)| *stop));
            }
        }
        if is_clear {
            self.common.clear(asked.number);
        }
    }
}

const _: () = assert!(BLANK == 0, "a view without common values has blank words for them");
