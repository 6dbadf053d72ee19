//! Credentials proven a short while ago, remembered as keyed digests so that nobody hashes on every request.

use crate::limits::PROVEN_CREDENTIALS_MAX;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// Locks, so that runtime threads seldom meet.
const SHARDS: usize = 16;

/// The keyed digest of a user, a password and the line that they were checked against.
pub(super) type Proof = [u8; 32];

/// Makes proofs; its key is random and never leaves the process.
pub(super) struct Prover(Hmac<Sha256>);

impl Prover {
    /// A prover with a fresh key.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        Ok(Self(<Hmac<Sha256> as KeyInit>::new(&key.into())))
    }

    /// The proof of these credentials against this line; lengths are part of it, so that no two triples are alike.
    pub(super) fn proof(&self, user: &[u8], password: &[u8], line: &[u8; 32]) -> Proof {
        let mut mac = self.0.clone();
        mac.update(&(user.len() as u64).to_le_bytes());
        mac.update(user);
        mac.update(line);
        mac.update(password);
        mac.finalize().into_bytes().into()
    }
}

fn number(proof: &Proof) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&proof[..8]);
    u64::from_le_bytes(bytes)
}

/// The proofs. A changed line makes other proofs, a removed user asks for none: nothing need be dropped by hand.
pub(super) struct Proven {
    shards: Vec<RwLock<HashMap<u64, (Proof, Instant)>>>,
    lifetime: Duration,
}

impl Proven {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), lifetime }
    }

    fn shard(&self, number: u64) -> &RwLock<HashMap<u64, (Proof, Instant)>> {
        &self.shards[(number % SHARDS as u64) as usize]
    }

    /// Whether this proof was given within the lifetime.
    pub(super) fn contains(&self, proof: &Proof, now: Instant) -> bool {
        let number = number(proof);
        let shard = self.shard(number).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(&number).is_some_and(|(known, given)| bool::from(known.ct_eq(proof)) && now.duration_since(*given) < self.lifetime)
    }

    /// Remembers a proof; the oldest go when there are too many.
    pub(super) fn insert(&self, proof: Proof, now: Instant) {
        let number = number(&proof);
        let mut shard = self.shard(number).write().unwrap_or_else(PoisonError::into_inner);
        let max = PROVEN_CREDENTIALS_MAX / SHARDS;
        if shard.len() >= max {
            shard.retain(|_, (_, given)| now.duration_since(*given) < self.lifetime);
        }
        if shard.len() >= max {
            // An eighth at once, so that a full table does not sort on every insertion.
            let mut times: Vec<Instant> = shard.values().map(|(_, given)| *given).collect();
            let (_, limit, _) = times.select_nth_unstable(max / 8);
            let limit = *limit;
            shard.retain(|_, (_, given)| *given > limit);
        }
        shard.insert(number, (proof, now));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_lifetime_and_for_its_line() {
        let (prover, proven) = (Prover::new().unwrap(), Proven::new(Duration::from_secs(300)));
        let now = Instant::now();
        let proof = prover.proof(b"alice", b"secret", &[1; 32]);
        assert!(!proven.contains(&proof, now));
        proven.insert(proof, now);
        assert!(proven.contains(&proof, now + Duration::from_secs(299)));
        assert!(!proven.contains(&proof, now + Duration::from_secs(300)));
        for other in [
            prover.proof(b"alice", b"secret", &[2; 32]),
            prover.proof(b"alice", b"secre", &[1; 32]),
            prover.proof(b"alic", b"secret", &[1; 32]),
            Prover::new().unwrap().proof(b"alice", b"secret", &[1; 32]),
        ] {
            assert!(!proven.contains(&other, now));
        }
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let (prover, proven) = (Prover::new().unwrap(), Proven::new(Duration::from_secs(300)));
        let now = Instant::now();
        let mut last = [0; 32];
        for i in 0..(2 * PROVEN_CREDENTIALS_MAX as u64) {
            last = prover.proof(&i.to_le_bytes(), b"", &[0; 32]);
            proven.insert(last, now + Duration::from_nanos(i));
        }
        assert!(proven.contains(&last, now + Duration::from_secs(1)));
        let held: usize = proven.shards.iter().map(|s| s.read().unwrap().len()).sum();
        assert!(held <= PROVEN_CREDENTIALS_MAX, "{held}");
    }
}
