//! A transaction shared by request body, response and record, since none of them knows which ends last.

use super::now;
use crate::audit::{Extent, Late, Record, RuleMatch, Would};
use crate::limits::RECORD_RULES_MAX;
use crate::message::Response;
use seclang::collections::{Change, Collections, MemoryCollections, Record as CollectionRecord};
use seclang::transaction::Transaction;
use seclang::verdict::{Disruption, Intervention, Match};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SEVERITIES: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// A transaction and what is said of it in the record.
#[derive(Debug)]
pub(super) struct Watched {
    state: Mutex<State>,
    collections: Arc<Mutex<MemoryCollections>>,
}

#[derive(Debug)]
struct State {
    transaction: Transaction,
    extent: Extent,
    reason: &'static str,
}

/// The collections of all transactions behind one lock that is held for one look-up only.
struct SharedCollections<'a>(&'a Mutex<MemoryCollections>);

impl Collections for SharedCollections<'_> {
    fn load(&mut self, name: &str, key: &[u8], now: u64) -> Result<CollectionRecord, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).load(name, key, now)
    }

    fn store(&mut self, name: &str, key: &[u8], changes: &[Change], timeout_seconds: u64, now: u64) -> Result<(), String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).store(name, key, changes, timeout_seconds, now)
    }
}

impl Watched {
    pub(super) fn new(transaction: Transaction, collections: Arc<Mutex<MemoryCollections>>) -> Self {
        Self { state: Mutex::new(State { transaction, extent: Extent::Partial, reason: "not_read" }), collections }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside a rule leaves the matches found so far; they still belong into the record.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self, run: impl FnOnce(&mut Transaction, &mut SharedCollections<'_>) -> Option<Intervention>) -> Option<Intervention> {
        let mut state = self.lock();
        state.transaction.set_now(now());
        run(&mut state.transaction, &mut SharedCollections(&self.collections))
    }

    pub(super) fn request_headers(&self) -> Option<Intervention> {
        self.phase(|tx, collections| tx.request_headers_done(collections))
    }

    pub(super) fn request_body(&self) -> Option<Intervention> {
        self.phase(|tx, collections| tx.request_body_done(collections))
    }

    pub(super) fn response_headers(&self) -> Option<Intervention> {
        self.phase(|tx, collections| tx.response_headers_done(collections))
    }

    pub(super) fn wants_body(&self) -> bool {
        self.lock().transaction.wants_request_body()
    }

    pub(super) fn feed(&self, chunk: &[u8]) {
        let _ = self.lock().transaction.request_body(chunk);
    }

    pub(super) fn response(&self, response: &Response) {
        let mut state = self.lock();
        state.transaction.response_line(response.status.as_u16(), b"HTTP/1.1");
        for (name, value) in &response.headers {
            state.transaction.response_header(name.as_str().as_bytes(), value.as_bytes());
        }
    }

    /// Whether the engine could not do all it should.
    pub(super) fn failed(&self) -> bool {
        !self.lock().transaction.errors().is_empty()
    }

    pub(super) fn extent(&self, extent: Extent, reason: &'static str) {
        let mut state = self.lock();
        (state.extent, state.reason) = (extent, reason);
    }
}

impl Late for Watched {
    fn settle(&self, record: &mut Record) {
        self.phase(|tx, collections| {
            tx.log(collections);
            None
        });
        let state = self.lock();
        (record.extent, record.extent_reason) = (state.extent, state.reason);
        record.would = state.transaction.would_intervene().map(would);
        record.score = state.transaction.score();
        record.rules = state.transaction.matches().iter().filter(|m| m.log).take(RECORD_RULES_MAX).map(rule_match).collect();
        record.sanitised = state.transaction.sanitised().to_vec();
        if !state.transaction.errors().is_empty() {
            record.notes.push("engine_error");
        }
    }
}

fn would(intervention: &Intervention) -> Would {
    let action = match intervention.action {
        Disruption::Deny => "deny",
        Disruption::Drop => "drop",
        Disruption::Redirect => "redirect",
    };
    Would { action, status: intervention.status, rule: intervention.rule_id, phase: intervention.phase as u8 }
}

fn rule_match(found: &Match) -> RuleMatch {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    RuleMatch {
        id: found.rule_id,
        phase: found.phase as u8,
        message: text(&found.message),
        tags: found.tags.iter().map(|t| t.to_string()).collect(),
        severity: found.severity.and_then(|s| SEVERITIES.get(usize::from(s))).map(|s| (*s).to_owned()).unwrap_or_default(),
        variable: text(&found.variable),
        matched: found.matched.as_ref().unwrap_or(&found.value).to_vec(),
        data: text(&found.data),
        score: found.score,
        source: format!("{}:{}", found.file, found.line),
    }
}
