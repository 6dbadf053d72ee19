//! The counters of one thread.

use super::histogram::Histogram;
use super::text::Page;
use crate::audit::{Action, Extent, Kind, Record};
use crate::limits::METRIC_SERIES_MAX;
use crate::refusal::Layer;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// One counter per key, up to [`METRIC_SERIES_MAX`] of them; the key counted last is found without a look-up.
#[derive(Debug)]
struct Counts<K> {
    rows: Vec<(K, u64)>,
    places: HashMap<K, usize>,
    last: usize,
    /// Counted under none of the keys, since there were too many.
    beyond: u64,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self { rows: Vec::new(), places: HashMap::new(), last: 0, beyond: 0 }
    }
}

impl<K: Clone + Eq + Hash> Counts<K> {
    /// Counts under the last key, if that is the one.
    fn add_to_last(&mut self, is_it: impl FnOnce(&K) -> bool, count: u64) -> bool {
        match self.rows.get_mut(self.last) {
            Some((last, value)) if is_it(last) => {
                *value += count;
                true
            }
            _ => false,
        }
    }

    fn add(&mut self, key: &K, count: u64) {
        if self.add_to_last(|last| last == key, count) {
            return;
        }
        let place = match self.places.get(key) {
            Some(place) => *place,
            None if self.rows.len() >= METRIC_SERIES_MAX => {
                self.beyond += count;
                return;
            }
            None => {
                self.rows.push((key.clone(), 0));
                self.places.insert(key.clone(), self.rows.len() - 1);
                self.rows.len() - 1
            }
        };
        self.last = place;
        self.rows[place].1 += count;
    }

    fn add_all(&mut self, other: &Self) {
        for (key, count) in &other.rows {
            self.add(key, *count);
        }
        self.beyond += other.beyond;
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Answered {
    site: Option<Arc<str>>,
    code: Option<u16>,
    layer: Option<Layer>,
    action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tried {
    backend: Arc<str>,
    /// The backend's status, or the reason there was none.
    outcome: Result<u16, &'static str>,
}

/// The layers whose time records tell, as their labels.
const LAYERS: [&str; 6] = ["door", "basic_auth", "ntlm_block", "rate_limit", "inspection", "forwarding"];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shard {
    requests: Counts<Answered>,
    duration: Histogram,
    layers: [Histogram; LAYERS.len()],
    rules: Counts<u64>,
    uninspected: Counts<&'static str>,
    rate_limited: Counts<&'static str>,
    auth: Counts<&'static str>,
    upstream: Counts<Tried>,
    upstream_connects: Counts<Arc<str>>,
    upstream_retries: Counts<Arc<str>>,
    failed_connections: Counts<&'static str>,
}

impl Shard {
    pub(super) fn observe(&mut self, record: &Record) {
        match record.kind {
            Kind::Request => {}
            Kind::Connection => return self.failed_connections.add(&record.decision.reason, 1),
            // Its request was counted when it became a tunnel.
            _ => return,
        }
        let decision = &record.decision;
        let same = |last: &Answered| {
            last.code == record.status
                && last.layer == decision.layer
                && last.action == decision.action
                && same_text(last.site.as_ref(), record.site.as_ref())
        };
        if !self.requests.add_to_last(same, 1) {
            let (site, code) = (record.site.clone(), record.status);
            self.requests.add(&Answered { site, code, layer: decision.layer, action: decision.action }, 1);
        }
        self.duration.observe(record.timing.total.unwrap_or_default());
        let timing = &record.timing;
        let laps = [timing.door, timing.basic_auth, timing.ntlm_block, timing.rate_limit, timing.inspection, timing.forwarding];
        for (layer, lap) in self.layers.iter_mut().zip(laps) {
            if let Some(micros) = lap {
                layer.observe(micros);
            }
        }
        for rule in &record.rules {
            self.rules.add(&rule.id, 1);
        }
        if record.upstream.is_some() && record.extent != Extent::Full {
            self.uninspected.add(&record.extent_reason, 1);
        }
        if matches!(decision.reason, "rate_limited" | "too_many_in_flight") {
            self.rate_limited.add(if record.auth.known { &"user" } else { &"address" }, 1);
        }
        if record.auth.result != "none" {
            self.auth.add(&record.auth.result, 1);
        }
        self.observe_upstream(record);
    }

    fn observe_upstream(&mut self, record: &Record) {
        let Some(upstream) = &record.upstream else { return };
        let outcome = upstream.status.ok_or(if record.decision.reason.is_empty() { "none" } else { record.decision.reason });
        let same = |last: &Tried| last.outcome == outcome && same_text(Some(&last.backend), Some(&upstream.backend));
        if !self.upstream.add_to_last(same, 1) {
            self.upstream.add(&Tried { backend: Arc::clone(&upstream.backend), outcome }, 1);
        }
        if upstream.tries > 0 && !upstream.reused {
            self.upstream_connects.add(&upstream.backend, 1);
        }
        if upstream.tries > 1 {
            self.upstream_retries.add(&upstream.backend, u64::from(upstream.tries - 1));
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.requests.add_all(&other.requests);
        self.duration.add(&other.duration);
        for (own, more) in self.layers.iter_mut().zip(&other.layers) {
            own.add(more);
        }
        self.rules.add_all(&other.rules);
        self.uninspected.add_all(&other.uninspected);
        self.rate_limited.add_all(&other.rate_limited);
        self.auth.add_all(&other.auth);
        self.upstream.add_all(&other.upstream);
        self.upstream_connects.add_all(&other.upstream_connects);
        self.upstream_retries.add_all(&other.upstream_retries);
        self.failed_connections.add_all(&other.failed_connections);
    }

    pub(super) fn write(&self, page: &mut Page) {
        const REQUESTS: &str = "portcullis_requests_total";
        page.begin(REQUESTS, "counter", "Requests, by what the client got and who decided it.");
        for (Answered { site, code, layer, action }, count) in &self.requests.rows {
            let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
            let labels = [
                ("site", site.as_deref().unwrap_or("none")),
                ("code", &code),
                ("layer", layer.map_or("none", Layer::name)),
                ("action", action.name()),
            ];
            page.sample(REQUESTS, &labels, *count);
        }
        const DURATION: &str = "portcullis_request_duration_seconds";
        page.begin(DURATION, "histogram", "From the end of a request's head to the end of its answer.");
        page.histogram(DURATION, &[], &self.duration);
        const LAYER_DURATION: &str = "portcullis_layer_duration_seconds";
        page.begin(LAYER_DURATION, "histogram", "Time spent in each layer on the way to the backend.");
        for (layer, histogram) in LAYERS.iter().zip(&self.layers) {
            page.histogram(LAYER_DURATION, &[("layer", layer)], histogram);
        }
        const RULES: &str = "portcullis_rule_matches_total";
        page.begin(RULES, "counter", "Matches of a rule, as records name them.");
        for (id, count) in &self.rules.rows {
            page.sample(RULES, &[("rule_id", &id.to_string())], *count);
        }
        words(page, "portcullis_uninspected_total", "Requests forwarded without full inspection.", "reason", &self.uninspected);
        words(page, "portcullis_rate_limited_total", "Requests refused by the rate limit.", "key", &self.rate_limited);
        words(page, "portcullis_auth_total", "Logins, by how they ended.", "result", &self.auth);
        words(page, "portcullis_failed_connections_total", "Connections that failed before a request.", "reason", &self.failed_connections);
        self.write_upstream(page);
        let beyond = self.requests.beyond + self.rules.beyond + self.upstream.beyond + self.upstream_connects.beyond;
        page.counter("portcullis_metrics_beyond_total", "Counted under no series, since there were too many.", beyond);
    }

    fn write_upstream(&self, page: &mut Page) {
        const ANSWERS: &str = "portcullis_upstream_answers_total";
        const ERRORS: &str = "portcullis_upstream_errors_total";
        page.begin(ANSWERS, "counter", "Answers of backends, by their status.");
        for (Tried { backend, outcome }, count) in &self.upstream.rows {
            if let Ok(code) = outcome {
                page.sample(ANSWERS, &[("backend", backend), ("code", &code.to_string())], *count);
            }
        }
        page.begin(ERRORS, "counter", "Requests that got no answer from their backend.");
        for (Tried { backend, outcome }, count) in &self.upstream.rows {
            if let Err(reason) = outcome {
                page.sample(ERRORS, &[("backend", backend), ("reason", reason)], *count);
            }
        }
        for (name, help, counts) in [
            ("portcullis_upstream_connects_total", "Requests for which a connection to the backend was opened.", &self.upstream_connects),
            ("portcullis_upstream_retries_total", "Further tries of requests to a backend.", &self.upstream_retries),
        ] {
            page.begin(name, "counter", help);
            for (backend, count) in &counts.rows {
                page.sample(name, &[("backend", backend)], *count);
            }
        }
    }
}

/// Whether two are the same text, which mostly is one text shared.
fn same_text(a: Option<&Arc<str>>, b: Option<&Arc<str>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (a, b) => a == b,
    }
}

fn words(page: &mut Page, name: &str, help: &str, label: &str, counts: &Counts<&'static str>) {
    page.begin(name, "counter", help);
    for (word, count) in &counts.rows {
        page.sample(name, &[(label, word)], *count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_beyond_the_most_are_counted_together() {
        let mut counts = Counts::default();
        for key in 0..METRIC_SERIES_MAX as u64 + 5 {
            counts.add(&key, 2);
        }
        counts.add(&7, 1);
        assert_eq!((counts.rows.len(), counts.beyond), (METRIC_SERIES_MAX, 10));
        assert_eq!(counts.rows[7], (7, 3));
    }
}
