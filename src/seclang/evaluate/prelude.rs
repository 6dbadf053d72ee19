//! The prelude of a phase: what rules leave that see nothing but TX is found out once, and put there for all transactions.

use super::planned::{First, Walk};
use crate::collections::Collections;
use crate::limits;
use crate::ruleset::{Left, Prelude};
use crate::transaction::{Sight, Transaction};

impl Transaction {
    /// Runs the prelude, as far as it can be run by itself. The stop that comes next.
    pub(super) fn prelude(&mut self, walk: &Walk<'_>, prelude: &Prelude, sight: &mut Sight, collections: &mut dyn Collections) -> usize {
        let (start, end) = (prelude.start as usize, prelude.end as usize);
        if !self.state.tx.is_new() || prelude.rules.meets(&self.state.removed) || prelude.rules.meets(&self.state.losing_targets) {
            return start;
        }
        if let Some(left) = prelude.left.get() {
            // Some to spare, since each rule asks for more than it burns.
            if self.fuel < left.fuel + limits::EXPANSION_BYTES_MAX as u64 + limits::FUEL_PER_RUN {
                return start;
            }
            self.fuel -= left.fuel;
            self.state.tx.begin(&left.tx);
            self.state.matched_vars.clear();
            if left.latest.is_some() {
                self.state.matched.clone_from(&left.latest);
            }
            return left.next as usize;
        }
        let (fuel, errors) = (self.fuel, self.errors_total);
        let before = self.state.matched.take();
        let mut at = start;
        let mut is_whole = true;
        while let Some(stop) = walk.program.stops.get(at).filter(|_| at < end && is_whole) {
            match self.ask(stop, walk.book, sight) {
                First::No if self.fuel > 0 => at += 1,
                First::Jump => at = stop.next as usize,
                First::Sets => {
                    self.sets(walk.rules, stop.rule, collections);
                    at = stop.next as usize;
                }
                First::No | First::Open => is_whole = false,
            }
        }
        if is_whole
            && self.fuel > 0
            && self.errors_total == errors
            && let Some(tx) = self.state.tx.start()
        {
            let (latest, fuel) = (self.state.matched.clone(), fuel - self.fuel);
            let _ = prelude.left.set(Left { next: at as u32, tx, latest, fuel });
        }
        self.state.matched = self.state.matched.take().or(before);
        at
    }
}
