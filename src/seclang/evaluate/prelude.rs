//! The prelude of a phase: what rules leave that see nothing but TX is found out once, and put there for all transactions.

use std::sync::OnceLock;

use super::walk::{First, Walk};
use crate::collections::Collections;
use crate::limits;
use crate::ruleset::{Left, Prelude};
use crate::transaction::{Sight, Transaction};

impl Transaction {
    /// Runs the prelude, as far as it can be run by itself. The stop that comes next.
    pub(super) fn prelude(&mut self, walk: &Walk<'_>, prelude: &Prelude, sight: &mut Sight, collections: &mut dyn Collections) -> usize {
        let start = prelude.start as usize;
        if prelude.rules.meets(&self.state.removed) || prelude.rules.meets(&self.state.losing_targets) {
            return start;
        }
        let known = |left: &&Left| self.state.tx.is(&left.before);
        let Some(left) = prelude.left.iter().map_while(OnceLock::get).find(known) else {
            return self.first_prelude(walk, prelude, sight, collections);
        };
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
        left.next as usize
    }

    /// Runs it rule by rule, and remembers what they leave.
    fn first_prelude(&mut self, walk: &Walk<'_>, prelude: &Prelude, sight: &mut Sight, collections: &mut dyn Collections) -> usize {
        let (start, end) = (prelude.start as usize, prelude.end as usize);
        let free = prelude.left.iter().find(|left| left.get().is_none());
        let (Some(free), Some(before)) = (free, self.state.tx.start()) else { return start };
        let (fuel, errors) = (self.fuel, self.errors_total);
        let latest = self.state.matched.take();
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
        if self.fuel > 0
            && self.errors_total == errors
            && let Some(tx) = self.state.tx.start()
        {
            let (latest, fuel) = (self.state.matched.clone(), fuel - self.fuel);
            let _ = free.set(Left { before, next: at as u32, tx, latest, fuel });
        }
        self.state.matched = self.state.matched.take().or(latest);
        at
    }
}
