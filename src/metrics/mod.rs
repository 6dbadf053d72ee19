//! What the gateway counts: read off each closed record, summed up where somebody asks.
//!
//! Every number comes from the audit record, so metrics and trail cannot disagree about what happened. Each thread counts into a
//! shard of its own. A series exists when something was counted in it; labels are words of ours and of the policy, never a user's
//! name or anything else of a stranger's choosing.

mod histogram;
mod shard;
mod text;

use crate::audit::{Record, Trail};
use shard::Shard;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Independent sets of counters; threads share one only beyond this number.
const SHARDS: usize = 16;

/// All counters of the process; they go on when the policy is replaced.
#[derive(Debug, Default)]
pub struct Metrics {
    shards: [Mutex<Shard>; SHARDS],
    reloads_taken_up: AtomicU64,
    reloads_refused: AtomicU64,
    certificates: Mutex<Vec<Expiry>>,
}

/// When a certificate in force ends.
#[derive(Clone, Debug)]
pub struct Expiry {
    /// The site's name.
    pub site: Arc<str>,
    /// Seconds since the Unix epoch.
    pub not_after: i64,
}

/// What only the server knows at the moment it is asked.
#[derive(Clone, Debug, Default)]
pub struct Now {
    /// Clients' connections that are open.
    pub connections: usize,
    /// Those refused over a limit so far.
    pub connections_refused: u64,
    /// The receivers of the trail's records.
    pub receivers: Vec<Shipped>,
}

/// How a receiver of the trail's records does.
#[derive(Clone, Debug, Default)]
pub struct Shipped {
    /// Its name in the policy.
    pub receiver: Arc<str>,
    /// Records sent, repeats included.
    pub records: u64,
    /// Bytes of these in the receiver's form.
    pub bytes: u64,
    /// Tries that failed.
    pub errors: u64,
    /// Records that it does not take.
    pub refused: u64,
    /// Messages that were cut.
    pub cut: u64,
    /// Records retired before their turn.
    pub skipped: u64,
    /// Records that it does not have yet.
    pub behind: u64,
    /// It fails now.
    pub failing: bool,
}

/// The series of a receiver: name, kind, help, value.
type Series = (&'static str, &'static str, &'static str, fn(&Shipped) -> u64);

const SHIPPED: [Series; 8] = [
    ("portcullis_audit_ship_records_total", "counter", "Audit records sent to a receiver, repeats included.", |of| of.records),
    ("portcullis_audit_ship_bytes_total", "counter", "Bytes of these records before compression.", |of| of.bytes),
    ("portcullis_audit_ship_errors_total", "counter", "Tries to send to a receiver that failed.", |of| of.errors),
    ("portcullis_audit_ship_refused_total", "counter", "Audit records that a receiver does not take.", |of| of.refused),
    ("portcullis_audit_ship_cut_total", "counter", "Messages cut to the length that one may have.", |of| of.cut),
    ("portcullis_audit_ship_skipped_total", "counter", "Audit records retired before they could be sent.", |of| of.skipped),
    ("portcullis_audit_ship_behind", "gauge", "Audit records that a receiver does not have yet.", |of| of.behind),
    ("portcullis_audit_ship_failing", "gauge", "Whether the last try to send failed.", |of| u64::from(of.failing)),
];

fn own_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    SHARD.with(|shard| *shard)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// Counts a record that is about to be written.
    pub fn observe(&self, record: &Record) {
        locked(&self.shards[own_shard()]).observe(record);
    }

    /// Counts a reload.
    pub fn reloaded(&self, taken_up: bool) {
        let counter = if taken_up { &self.reloads_taken_up } else { &self.reloads_refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The certificates that are in force from now on.
    pub fn certificates(&self, list: Vec<Expiry>) {
        *locked(&self.certificates) = list;
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    pub fn text(&self, trail: &Trail, now: &Now) -> String {
        let mut sum = Shard::default();
        for shard in &self.shards {
            sum.add(&locked(shard));
        }
        let mut page = text::Page::default();
        sum.write(&mut page);
        let audit = trail.metrics();
        page.counter("portcullis_audit_records_total", "Audit records that reached a file.", audit.written);
        page.counter("portcullis_audit_dropped_total", "Audit records that were lost and declared in gap records.", audit.dropped);
        page.counter("portcullis_audit_bytes_total", "Bytes that reached audit files.", audit.bytes);
        page.counter("portcullis_audit_errors_total", "Errors of the disk under the audit trail.", audit.errors);
        page.gauge("portcullis_audit_queued_bytes", "Bytes of audit records that wait for the disk.", audit.queued_bytes);
        for (name, kind, help, value) in SHIPPED.iter().filter(|_| !now.receivers.is_empty()) {
            page.begin(name, kind, help);
            for receiver in &now.receivers {
                page.sample(name, &[("receiver", &receiver.receiver)], value(receiver));
            }
        }
        page.begin("portcullis_config_reloads_total", "counter", "Reloads of the configuration.");
        for (result, counter) in [("taken_up", &self.reloads_taken_up), ("refused", &self.reloads_refused)] {
            page.sample("portcullis_config_reloads_total", &[("result", result)], counter.load(Ordering::Relaxed));
        }
        page.gauge("portcullis_connections", "Connections of clients that are open.", now.connections as u64);
        page.counter("portcullis_connections_refused_total", "Connections of clients refused over a limit.", now.connections_refused);
        page.begin("portcullis_tls_cert_not_after_seconds", "gauge", "End of a certificate's validity, seconds since 1970.");
        for Expiry { site, not_after } in locked(&self.certificates).iter() {
            page.sample("portcullis_tls_cert_not_after_seconds", &[("site", site)], u64::try_from(*not_after).unwrap_or(0));
        }
        page.into_text()
    }
}
