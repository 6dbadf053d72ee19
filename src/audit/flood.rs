//! Refusals before auth beyond a rate are counted, not written one by one, so that a stranger cannot fill the disk.
//!
//! Two allowances must both be left for such a record to be written by itself: so many a second for its address (IPv6: its
//! /64), and so many bytes a second over all. The others of a window of time become one flood record per address, with the
//! reasons counted and the first few told. A stranger with many addresses ends in the one record for `any`.

use super::control::Flood;
use super::json::time;
use super::record::{Action, Kind, Record};
use super::redact::Redactor;
use crate::limits::{FLOOD_ADDRESSES_MAX, FLOOD_BURST_SECONDS, FLOOD_RECORD_BYTES_PER_SECOND, FLOOD_SAMPLES_MAX, FLOOD_WINDOW};
use crate::refusal::Layer;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Reasons told apart in one flood record; there are not many more in all.
const REASONS_MAX: usize = 32;

/// An allowance that fills with time up to a burst.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn full(rate: u32, now: Instant) -> Self {
        Self { left: f64::from(rate) * f64::from(FLOOD_BURST_SECONDS), at: now }
    }

    fn fill(&mut self, rate: u32, now: Instant) {
        let most = f64::from(rate) * f64::from(FLOOD_BURST_SECONDS);
        self.left = most.min(self.left + f64::from(rate) * now.saturating_duration_since(self.at).as_secs_f64());
        self.at = now;
    }
}

/// Refusals merged so far.
#[derive(Debug)]
struct Merged {
    flood: Flood,
    samples: usize,
}

/// The state of one trail.
#[derive(Debug)]
pub(crate) struct Floods {
    rate: u32,
    all: Allowance,
    addresses: HashMap<IpAddr, Allowance>,
    merged: HashMap<Option<IpAddr>, Merged>,
    /// When the first refusal of this window was merged.
    since: Option<Instant>,
}

impl Floods {
    /// `rate` records a second and address.
    pub(crate) fn new(rate: u32) -> Self {
        let all = Allowance::full(FLOOD_RECORD_BYTES_PER_SECOND, Instant::now());
        Self { rate, all, addresses: HashMap::new(), merged: HashMap::new(), since: None }
    }

    /// Takes the record where it is over its address's rate, or over what all may have; else it is to be written.
    pub(crate) fn merge(&mut self, record: &Record, redactor: &Redactor, now: Instant) -> bool {
        let address = network(record.source);
        self.all.fill(FLOOD_RECORD_BYTES_PER_SECOND, now);
        let rate = self.rate;
        if !self.addresses.contains_key(&address) && self.addresses.len() >= FLOOD_ADDRESSES_MAX {
            // Who has been silent for long enough is as good as new.
            self.addresses.retain(|_, allowance| now.saturating_duration_since(allowance.at).as_secs() < u64::from(FLOOD_BURST_SECONDS));
        }
        let known = self.addresses.len() < FLOOD_ADDRESSES_MAX || self.addresses.contains_key(&address);
        if known {
            let allowance = self.addresses.entry(address).or_insert_with(|| Allowance::full(rate, now));
            allowance.fill(rate, now);
            if allowance.left >= 1.0 && self.all.left > 0.0 {
                allowance.left -= 1.0;
                return false;
            }
        } else if self.all.left > 0.0 {
            return false;
        }
        self.add(known.then_some(address), record, redactor);
        self.since.get_or_insert(now);
        true
    }

    /// Bytes of a record that [`Floods::merge`] did not take.
    pub(crate) fn written(&mut self, bytes: usize) {
        self.all.left -= bytes as f64;
    }

    fn add(&mut self, address: Option<IpAddr>, record: &Record, redactor: &Redactor) {
        // An address's allowance may be forgotten within a window: what was merged is bounded by itself.
        let address = address.filter(|_| self.merged.len() < FLOOD_ADDRESSES_MAX || self.merged.contains_key(&address));
        let at = record.received.unix_micros;
        let merged = self.merged.entry(address).or_insert_with(|| Merged {
            flood: Flood { address: address.map_or_else(|| "any".into(), shown), from: at, to: at, ..Flood::default() },
            samples: 0,
        });
        let flood = &mut merged.flood;
        flood.count += 1;
        (flood.from, flood.to) = (flood.from.min(at), flood.to.max(at));
        let reason = if record.decision.reason.is_empty() { "refused" } else { record.decision.reason };
        if let Some((_, count)) = flood.reasons.iter_mut().find(|(known, _)| *known == reason) {
            *count += 1;
        } else if flood.reasons.len() < REASONS_MAX {
            flood.reasons.push((reason, 1));
        }
        if merged.samples < FLOOD_SAMPLES_MAX {
            merged.samples += 1;
            sample(record, redactor, &mut flood.samples);
        }
    }

    /// How long until the window ends; `None` where nothing was merged.
    pub(crate) fn due(&self, now: Instant) -> Option<std::time::Duration> {
        self.since.map(|since| FLOOD_WINDOW.saturating_sub(now.saturating_duration_since(since)))
    }

    /// All that was merged, and begins a new window.
    pub(crate) fn take(&mut self) -> Vec<Flood> {
        self.since = None;
        let mut floods: Vec<Flood> = self.merged.drain().map(|(_, merged)| merged.flood).collect();
        floods.sort_by(|a, b| (a.from, &a.address).cmp(&(b.from, &b.address)));
        floods
    }
}

/// Whether a record is one of the refusals that a stranger can cause as often as he likes.
pub(crate) fn is_mergeable(record: &Record) -> bool {
    let refused = match record.decision.action {
        Action::Deny | Action::Challenge | Action::Redirect => true,
        Action::Allow | Action::Mask | Action::Answer | Action::Abort => false,
    };
    let before_auth = match record.decision.layer {
        Some(Layer::Wire | Layer::Door | Layer::BasicAuth | Layer::NtlmBlock | Layer::AccountRequests | Layer::Server) => true,
        Some(Layer::RateLimit | Layer::Inspection | Layer::Forwarding | Layer::Audit) | None => false,
    };
    let proven = matches!(record.auth.result, "proven" | "cached");
    (refused && before_auth && !proven && record.kind == Kind::Request) || record.kind == Kind::Connection
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

fn shown(network: IpAddr) -> String {
    if network.is_ipv6() { format!("{network}/64") } else { network.to_string() }
}

/// One refusal in few words.
fn sample(record: &Record, redactor: &Redactor, out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(record.id.as_str().as_bytes());
    out.extend_from_slice(b"\",\"@timestamp\":\"");
    time(out, record.received.unix_micros);
    out.extend_from_slice(b"\",\"reason\":\"");
    out.extend_from_slice(record.decision.reason.as_bytes());
    out.extend_from_slice(b"\",\"method\":");
    redactor.short_text(record.method.as_bytes(), out);
    out.extend_from_slice(b",\"domain\":");
    redactor.short_text(record.host.as_bytes(), out);
    out.extend_from_slice(b",\"path\":");
    redactor.short_text(record.path.as_bytes(), out);
    out.push(b'}');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::audit::Decision;
    use crate::clock::Moment;
    use crate::message::{EventId, Peer};
    use std::sync::Arc;
    use std::time::Duration;

    fn refusal(address: &str) -> Record {
        let now = Moment::now();
        let peer = Peer::new(format!("{address}:1").parse().unwrap(), "192.0.2.2:443".parse().unwrap(), 1);
        let mut record = Record::new(EventId::new(now, 1), now, Arc::new(peer));
        record.decision = Decision { layer: Some(Layer::BasicAuth), action: Action::Challenge, reason: "credentials_missing" };
        record
    }

    fn redactor() -> Redactor {
        Redactor::new([], [], false).unwrap()
    }

    #[test]
    fn what_is_over_the_rate_is_counted_and_the_rate_comes_back_with_time() {
        let (mut floods, start) = (Floods::new(2), Instant::now());
        let mut merged = |seconds, address: &str| {
            (0..100).filter(|_| floods.merge(&refusal(address), &redactor(), start + Duration::from_secs(seconds))).count()
        };
        assert_eq!(merged(0, "192.0.2.1"), 80, "a burst of ten seconds is written");
        assert_eq!(merged(0, "192.0.2.9"), 80, "another address has its own");
        assert_eq!(merged(3, "192.0.2.1"), 94);
        assert_eq!(merged(3600, "192.0.2.1"), 80);
        let taken = floods.take();
        assert_eq!(taken.iter().map(|flood| flood.count).sum::<u64>(), 80 + 80 + 94 + 80);
        assert_eq!(taken.iter().map(|flood| flood.address.as_str()).collect::<Vec<_>>(), ["192.0.2.1", "192.0.2.9"]);
        assert_eq!(taken[0].reasons, [("credentials_missing", 254)]);
        assert!(floods.take().is_empty() && floods.due(start).is_none());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let (mut floods, now) = (Floods::new(1), Instant::now());
        for n in 0..20 {
            floods.merge(&refusal(&format!("[2001:db8::{n:x}]")), &redactor(), now);
        }
        let taken = floods.take();
        assert_eq!((taken[0].address.as_str(), taken[0].count), ("2001:db8::/64", 10));
    }

    #[test]
    fn many_addresses_take_no_more_memory_and_no_more_disk() {
        let (mut floods, now) = (Floods::new(20), Instant::now());
        let mut written = 0;
        for n in 0..100_000u32 {
            if !floods.merge(&refusal(&std::net::Ipv4Addr::from(n).to_string()), &redactor(), now) {
                written += 1;
                floods.written(1000);
            }
        }
        assert!(written <= 2 * 10 * FLOOD_RECORD_BYTES_PER_SECOND / 1000, "{written}");
        assert!(floods.addresses.len() <= FLOOD_ADDRESSES_MAX && floods.merged.len() <= FLOOD_ADDRESSES_MAX + 1);
        assert_eq!(floods.take().iter().map(|flood| flood.count).sum::<u64>() + u64::from(written), 100_000);
    }

    #[test]
    fn who_is_known_is_never_merged() {
        let mut record = refusal("192.0.2.1");
        assert!(is_mergeable(&record));
        record.auth.result = "cached";
        assert!(!is_mergeable(&record));
        record.auth.result = "none";
        record.decision.layer = Some(Layer::Inspection);
        assert!(!is_mergeable(&record));
        assert!(is_mergeable(&Record { kind: Kind::Connection, ..refusal("192.0.2.1") }));
    }
}
