//! Durations by size.

/// Upper bounds in microseconds: from a layer's own work to the longest wait for a backend.
pub(super) const BOUNDS: [u64; 16] =
    [10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000, 30_000_000];

/// How many durations fell under each bound, and their sum.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// By the smallest bound that holds; the last for what is above all.
    pub(super) counts: [u64; BOUNDS.len() + 1],
    pub(super) sum_micros: u64,
}

impl Histogram {
    pub(super) fn observe(&mut self, micros: u64) {
        let place = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.counts[place] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (own, more) in self.counts.iter_mut().zip(&other.counts) {
            *own += more;
        }
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }
}
