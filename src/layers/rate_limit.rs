//! Layer 3, rate limit: a burst and a rate per caller, and a cap on requests in flight, in bounded memory.

use crate::audit::Record;
use crate::limits::RATE_KEYS_MAX;
use crate::message::{Body, BodyError};
use crate::policy::{Map, Policy, RateSettings};
use crate::refusal::Refusal;
use bytes::Bytes;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};
use http_body::{Frame, SizeHint};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// Locks per table, so that runtime threads seldom meet.
const SHARDS: usize = 16;

/// Whose bucket a request draws from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A proven user.
    User(Arc<str>),
    /// An IPv4 address, or an IPv6 /64.
    Address(IpAddr),
    /// The /24 or /48 that new addresses share when the table is full.
    Network(IpAddr),
    /// The one bucket that users share who come when the table is full.
    OtherUsers,
}

impl Key {
    /// The user's where there is one, else the address's.
    pub fn new(user: Option<&Arc<str>>, address: IpAddr) -> Self {
        user.map_or_else(|| Self::Address(masked(address, 32, 64)), |user| Self::User(Arc::clone(user)))
    }

    fn shared(&self) -> Self {
        match self {
            Self::User(_) | Self::OtherUsers => Self::OtherUsers,
            Self::Address(ip) | Self::Network(ip) => Self::Network(masked(*ip, 24, 48)),
        }
    }
}

fn masked(address: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & u32::MAX.checked_shl(32 - v4_bits).unwrap_or(0))),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & u128::MAX.checked_shl(128 - v6_bits).unwrap_or(0))),
    }
}

/// governor's state behind sharded locks, with at most `max` keys of its own; further keys share their network's.
#[derive(Debug)]
struct Buckets {
    shards: Vec<Mutex<HashMap<Key, Nanos>>>,
    hasher: RandomState,
    max_per_shard: usize,
}

impl Buckets {
    fn new(max: usize) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new(), max_per_shard: max.div_ceil(SHARDS) }
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Nanos>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl StateStore for Buckets {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        {
            let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
            let full = shard.len() >= self.max_per_shard;
            if let Some(state) = shard.get_mut(key) {
                let (out, next) = f(Some(*state))?;
                *state = next;
                return Ok(out);
            }
            if !full {
                let (out, next) = f(None)?;
                shard.insert(key.clone(), next);
                return Ok(out);
            }
        }
        // Shared buckets are few (users: one; addresses: one per /24 or /48) and come on top of the bound, which
        // they too respect: beyond twice the bound everything new shares one bucket.
        let shared = key.shared();
        let mut shard = self.shard(&shared).lock().unwrap_or_else(PoisonError::into_inner);
        let shared = if shard.contains_key(&shared) || shard.len() < 2 * self.max_per_shard { shared } else { Key::OtherUsers };
        let state = shard.get(&shared).copied();
        let (out, next) = f(state)?;
        shard.insert(shared, next);
        Ok(out)
    }
}

impl ShrinkableKeyedStateStore<Key> for Buckets {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, state| *state > drop_below);
        }
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

type Limiter = RateLimiter<Key, Buckets, DefaultClock, NoOpMiddleware>;

/// Layer 3: shared by all runtime threads.
#[derive(Debug)]
pub struct RateLimit {
    /// By the number of their settings.
    limiters: HashMap<usize, Limiter>,
    in_flight: Arc<InFlight>,
    clock: DefaultClock,
}

impl RateLimit {
    /// The limiters of a policy, one per distinct setting.
    pub fn new(policy: &Policy) -> Self {
        let mut settings: Vec<&Arc<RateSettings>> =
            policy.sites.iter().flat_map(|site| site.every_map()).filter_map(|m| m.rate.as_ref()).collect();
        settings.sort_by_key(|s| s.index);
        settings.dedup_by_key(|s| s.index);
        let clock = DefaultClock::default();
        let limiter = |s: &RateSettings| RateLimiter::new(quota(s), Buckets::new(RATE_KEYS_MAX), clock.clone());
        let limiters = settings.iter().map(|s| (s.index, limiter(s))).collect();
        Self { limiters, in_flight: Arc::new(InFlight::default()), clock }
    }

    /// Takes a place in the bucket and among the requests in flight.
    ///
    /// # Errors
    /// `RateLimited` and `TooManyInFlight`.
    pub fn admit(&self, map: &Map, key: Key, record: &mut Record) -> Result<Place, Refusal> {
        if let Some(rate) = &map.rate
            && let Some(Err(until)) = self.limiters.get(&rate.index).map(|l| l.check_key(&key))
        {
            let wait = until.wait_time_from(self.clock.now());
            if rate.log_only {
                record.rate_would_limit = true;
            } else {
                return Err(Refusal::RateLimited { retry_after_seconds: wait.as_secs() + 1 });
            }
        }
        let Some(max) = map.in_flight_max else { return Ok(Place(None)) };
        InFlight::enter(&self.in_flight, key, max).map(|place| Place(Some(place))).ok_or(Refusal::TooManyInFlight)
    }

    /// Forgets keys whose buckets are full again; called every few seconds by the server.
    pub fn forget_idle(&self) {
        for limiter in self.limiters.values() {
            limiter.retain_recent();
        }
    }
}

fn quota(settings: &RateSettings) -> Quota {
    let requests = NonZeroU32::new(settings.requests).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new(settings.burst).unwrap_or(NonZeroU32::MIN);
    let each = settings.period / requests.get();
    Quota::with_period(each).unwrap_or_else(|| Quota::per_second(requests)).allow_burst(burst)
}

/// Requests in flight per key.
#[derive(Debug, Default)]
struct InFlight(Mutex<HashMap<Key, u32>>);

impl InFlight {
    fn enter(table: &Arc<Self>, key: Key, max: u32) -> Option<Held> {
        let mut counts = table.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Held { table: Arc::clone(table), key })
    }
}

#[derive(Debug)]
struct Held {
    table: Arc<InFlight>,
    key: Key,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.table.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// A request's place among those in flight, given back when it is dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Place(Option<Held>);

impl Place {
    /// Keeps the place until the body has ended.
    pub fn hold(self, body: Body) -> Body {
        match self.0 {
            None => body,
            Some(held) => Body::boxed(Holding { body, _held: held }),
        }
    }
}

struct Holding {
    body: Body,
    _held: Held,
}

impl http_body::Body for Holding {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn address(n: u32) -> Key {
        Key::new(None, IpAddr::V4(Ipv4Addr::from_bits(n)))
    }

    #[test]
    fn ipv6_addresses_of_one_network_share_a_key() {
        let key = |text: &str| Key::new(None, text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
    }

    #[test]
    fn when_the_table_is_full_new_keys_share_and_active_offenders_stay() {
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_minute(NonZeroU32::new(2).unwrap());
        let limiter: RateLimiter<Key, Buckets, FakeRelativeClock, NoOpMiddleware<_>> = RateLimiter::new(quota, Buckets::new(SHARDS), clock);
        let offender = address(0x0a00_0001);
        let (first, second, third) = (limiter.check_key(&offender), limiter.check_key(&offender), limiter.check_key(&offender));
        assert!(first.is_ok() && second.is_ok() && third.is_err());
        for n in 0..10_000 {
            let _ = limiter.check_key(&address(0xc000_0000 + n));
        }
        assert!(limiter.check_key(&offender).is_err(), "the offender's bucket was lost");
        assert!(limiter.len() < 3 * SHARDS, "{} keys kept", limiter.len());
        let refused = (0..100).filter(|n| limiter.check_key(&address(0xc000_0100 + n)).is_err()).count();
        assert!(refused > 50, "addresses of one /24 do not share a bucket: {refused} refused");
    }

    #[test]
    fn a_place_in_flight_is_given_back_with_the_body() {
        let table = Arc::new(InFlight::default());
        let held = InFlight::enter(&table, address(1), 1);
        assert!(InFlight::enter(&table, address(1), 1).is_none());
        let body = Place(held).hold(Body::empty());
        assert!(InFlight::enter(&table, address(1), 1).is_none());
        drop(body);
        assert!(InFlight::enter(&table, address(1), 1).is_some());
    }
}
