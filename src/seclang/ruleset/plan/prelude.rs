//! Rules in a row that see nothing but TX: where it still holds what the transaction began with, they leave the same every time.

use std::sync::OnceLock;

use super::{Head, Program};
use crate::bits::Bits;
use crate::latest::Latest;
use crate::tx::Start;

/// How many different beginnings are told apart: sites may set variables of their own.
const BEGINNINGS: usize = 8;

/// Such rules, and what they leave.
#[derive(Debug)]
pub(crate) struct Prelude {
    pub(crate) start: u32,
    /// The first stop behind them.
    pub(crate) end: u32,
    /// The rules, as bits.
    pub(crate) rules: Bits,
    /// What they leave, for each of the beginnings that came first.
    pub(crate) left: [OnceLock<Left>; BEGINNINGS],
}

/// What rules leave.
#[derive(Debug)]
pub(crate) struct Left {
    /// What the transaction began with.
    pub(crate) before: Start,
    /// The stop that comes next.
    pub(crate) next: u32,
    pub(crate) tx: Start,
    pub(crate) latest: Option<Latest>,
    /// The fuel that they burn.
    pub(crate) fuel: u64,
}

impl Program {
    /// Finds the longest row of such rules before the first gate of the routes.
    pub(super) fn find_prelude(&mut self, rules: usize) {
        let last = self.routes.as_ref().map_or(self.stops.len(), |routes| routes.start as usize);
        let stops = self.stops.get(..last).unwrap_or_default();
        let sees_tx = |head: &Head| matches!(head, Head::Always | Head::Tx(..) | Head::TxCount(..));
        let mut best = 0..0;
        let mut start = 0;
        for row in stops.chunk_by(|a, b| sees_tx(&a.head) == sees_tx(&b.head)) {
            let end = start + row.len();
            if row.len() > best.len() && row.iter().all(|stop| sees_tx(&stop.head)) {
                best = start..end;
            }
            start = end;
        }
        let mut own = Bits::below(rules);
        self.stops.get(best.clone()).into_iter().flatten().for_each(|stop| own.insert(stop.rule as usize));
        let (start, end) = (best.start as u32, best.end as u32);
        self.prelude = (end > start).then(|| Prelude { start, end, rules: own, left: Default::default() });
    }
}
