//! Failed logins and requests without credentials, counted in bounded memory.

use crate::limits::{BACKOFF_KEYS_MAX, BACKOFF_MEMORY, USER_DELAY_MAX, USER_DELAY_MIN, USER_FAILURES_BEFORE_DELAY};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Locks per table, so that runtime threads seldom meet.
const SHARDS: usize = 16;

/// An IPv4 address, or the /64 that one IPv6 client commands.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// One counter: failures, when the last was, and until when something follows from them.
#[derive(Clone, Copy)]
struct Entry {
    count: u32,
    last: Instant,
    until: Instant,
}

impl Entry {
    /// Entries that hold somebody back are worth more than those that do not, and then the younger ones.
    fn worth(&self, now: Instant) -> (bool, Instant) {
        (self.until > now, self.until.max(self.last))
    }
}

/// Counters by a keyed hash, so that a key of any length takes the same room.
struct Table {
    shards: Vec<Mutex<HashMap<u64, Entry>>>,
    max_per_shard: usize,
}

impl Table {
    fn new(max: usize) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), max_per_shard: max / SHARDS }
    }

    fn with<T>(&self, key: u64, act: impl FnOnce(&mut HashMap<u64, Entry>) -> T) -> T {
        let shard = &self.shards[(key % SHARDS as u64) as usize];
        act(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, key: u64) -> Option<Entry> {
        self.with(key, |shard| shard.get(&key).copied())
    }

    fn remove(&self, key: u64) {
        self.with(key, |shard| shard.remove(&key));
    }

    fn update<T>(&self, key: u64, now: Instant, act: impl FnOnce(&mut Entry) -> T) -> T {
        self.with(key, |shard| {
            if shard.len() >= self.max_per_shard && !shard.contains_key(&key) {
                // An eighth at once, so that a flood of new keys does not sort on every one of them.
                let mut worths: Vec<_> = shard.values().map(|e| e.worth(now)).collect();
                let (_, limit, _) = worths.select_nth_unstable(self.max_per_shard / 8);
                let limit = *limit;
                shard.retain(|_, e| e.worth(now) > limit);
            }
            act(shard.entry(key).or_insert(Entry { count: 0, last: now, until: now }))
        })
    }
}

/// Things done per key and period: a period's worth may come at once, after that they must keep to the rate.
pub struct Allowances {
    hasher: RandomState,
    table: Table,
}

impl Default for Allowances {
    fn default() -> Self {
        Self { hasher: RandomState::new(), table: Table::new(BACKOFF_KEYS_MAX) }
    }
}

impl Allowances {
    /// Counts one thing done by `key`, of `count` in a `period`.
    ///
    /// # Errors
    /// Seconds to wait, over the rate; then nothing was counted.
    pub fn take(&self, key: impl Hash, count: u32, period: Duration, now: Instant) -> Result<(), u64> {
        let interval = period / count.max(1);
        self.table.update(self.hasher.hash_one(key), now, |entry| {
            // `until` is the moment at which the account would be empty again.
            let next = entry.until.max(now) + interval;
            if next > now + period + Duration::from_millis(1) {
                return Err(seconds(next - now - period));
            }
            entry.until = next;
            entry.last = now;
            Ok(())
        })
    }
}

impl std::fmt::Debug for Allowances {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Allowances")
    }
}

/// All counters of layer 1.
pub struct Backoff {
    hasher: RandomState,
    pairs: Table,
    users: Table,
    strangers: Allowances,
}

fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// Nobody has failed yet.
    pub fn new() -> Self {
        let table = || Table::new(BACKOFF_KEYS_MAX);
        Self { hasher: RandomState::new(), pairs: table(), users: table(), strangers: Allowances::default() }
    }

    fn pair(&self, user: &[u8], address: IpAddr) -> u64 {
        self.hasher.hash_one((user, network(address)))
    }

    /// Seconds this user has to wait at this address before another password is looked at.
    pub fn held(&self, user: &[u8], address: IpAddr, now: Instant) -> Option<u64> {
        let entry = self.pairs.get(self.pair(user, address))?;
        (entry.until > now).then(|| seconds(entry.until - now))
    }

    /// How long a guess at this user is put off, wherever it comes from.
    pub fn delay(&self, user: &[u8], now: Instant) -> Duration {
        match self.users.get(self.hasher.hash_one(user)) {
            Some(entry) if now.saturating_duration_since(entry.last) < BACKOFF_MEMORY => {
                let over = entry.count.saturating_sub(USER_FAILURES_BEFORE_DELAY);
                if over == 0 { Duration::ZERO } else { USER_DELAY_MIN.saturating_mul(1 << (over - 1).min(20)).min(USER_DELAY_MAX) }
            }
            _ => Duration::ZERO,
        }
    }

    /// Counts a failed login.
    pub fn failed(&self, user: &[u8], address: IpAddr, allowed: u32, max: Duration, now: Instant) {
        let count = |entry: &mut Entry, memory: Duration| {
            if now.saturating_duration_since(entry.last) >= memory {
                entry.count = 0;
            }
            entry.count = entry.count.saturating_add(1);
            entry.last = now;
            entry.count
        };
        self.pairs.update(self.pair(user, address), now, |entry| {
            if let Some(over) = count(entry, BACKOFF_MEMORY.max(max.saturating_mul(2))).checked_sub(allowed.max(1)) {
                entry.until = now + Duration::from_secs(1 << over.min(32)).min(max);
            }
        });
        self.users.update(self.hasher.hash_one(user), now, |entry| count(entry, BACKOFF_MEMORY));
    }

    /// Forgets the failures of a user at an address, after a password that fitted.
    pub fn succeeded(&self, user: &[u8], address: IpAddr) {
        self.pairs.remove(self.pair(user, address));
    }

    /// Counts a request without a login: a minute's worth may come at once, after that they must keep to the rate.
    ///
    /// # Errors
    /// Seconds to wait, over the rate.
    pub fn stranger(&self, address: IpAddr, per_minute: u32, now: Instant) -> Result<(), u64> {
        self.strangers.take(network(address), per_minute, Duration::from_secs(60), now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(60);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn waits_double_up_to_the_longest_and_hold_one_user_at_one_address() {
        let (backoff, now) = (Backoff::new(), Instant::now());
        let (here, there) = (ip("192.0.2.1"), ip("192.0.2.2"));
        for expected in [None, None, Some(1), Some(2), Some(4), Some(8), Some(16), Some(32), Some(60), Some(60)] {
            backoff.failed(b"alice", here, 3, MAX, now);
            assert_eq!(backoff.held(b"alice", here, now), expected);
        }
        assert_eq!(backoff.held(b"alice", there, now), None);
        assert_eq!(backoff.held(b"bob", here, now), None);
        assert_eq!(backoff.held(b"alice", here, now + MAX), None);
        backoff.succeeded(b"alice", here);
        assert_eq!(backoff.held(b"alice", here, now), None);
    }

    #[test]
    fn an_ipv6_client_is_its_whole_64() {
        let (backoff, now) = (Backoff::new(), Instant::now());
        backoff.failed(b"a", ip("2001:db8::1"), 1, MAX, now);
        assert!(backoff.held(b"a", ip("2001:db8::ffff:1"), now).is_some());
        assert!(backoff.held(b"a", ip("2001:db8:0:1::1"), now).is_none());
        backoff.failed(b"a", ip("192.0.2.1"), 1, MAX, now);
        assert!(backoff.held(b"a", ip("::ffff:192.0.2.1"), now).is_some());
    }

    #[test]
    fn failures_from_everywhere_slow_guesses_at_a_user_and_no_more() {
        let (backoff, now) = (Backoff::new(), Instant::now());
        for i in 0..40_u8 {
            assert_eq!(backoff.delay(b"alice", now).is_zero(), u32::from(i) <= USER_FAILURES_BEFORE_DELAY);
            backoff.failed(b"alice", IpAddr::from([10, 0, 0, i]), 3, MAX, now);
        }
        assert_eq!(backoff.delay(b"alice", now), USER_DELAY_MAX);
        assert_eq!(backoff.held(b"alice", ip("192.0.2.9"), now), None);
        assert!(backoff.delay(b"alice", now + BACKOFF_MEMORY).is_zero());
    }

    #[test]
    fn active_offenders_stay_when_a_stranger_fills_the_table() {
        let (backoff, now) = (Backoff::new(), Instant::now());
        let offender = ip("192.0.2.1");
        for _ in 0..8 {
            backoff.failed(b"alice", offender, 1, MAX, now);
        }
        for i in 0..(2 * BACKOFF_KEYS_MAX as u32) {
            backoff.failed(b"x", IpAddr::from(i.to_be_bytes()), 5, MAX, now + Duration::from_nanos(u64::from(i)));
        }
        assert!(backoff.held(b"alice", offender, now + Duration::from_secs(1)).is_some());
        let held: usize = backoff.pairs.shards.iter().map(|s| s.lock().unwrap().len()).sum();
        assert!(held <= BACKOFF_KEYS_MAX, "{held}");
    }

    #[test]
    fn strangers_have_a_minutes_worth_and_then_the_rate() {
        let (backoff, now) = (Backoff::new(), Instant::now());
        let here = ip("192.0.2.1");
        for _ in 0..30 {
            assert_eq!(backoff.stranger(here, 30, now), Ok(()));
        }
        assert_eq!(backoff.stranger(here, 30, now), Err(2));
        assert_eq!(backoff.stranger(ip("192.0.2.2"), 30, now), Ok(()));
        assert_eq!(backoff.stranger(here, 30, now + Duration::from_secs(2)), Ok(()));
        assert_eq!(backoff.stranger(here, 30, now + Duration::from_secs(2)), Err(2));
    }
}
