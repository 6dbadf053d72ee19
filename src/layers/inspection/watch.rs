//! A transaction shared by request body, response and record, since none of them knows which ends last.

use super::decode::{self, Coding, End};
use super::shared::{Handle, Tools};
use super::{budget::Share, now};
use crate::audit::{Extent, Late, Record, RuleMatch, Sink, Would};
use crate::head::Headers;
use crate::limits::{INSPECTION_INLINE_BYTES_MAX, RECORD_RULES_MAX};
use crate::message::Response;
use crate::refusal::Refusal;
use bytes::Bytes;
use http::StatusCode;
use seclang::body::multipart::Condensed;
use seclang::transaction::Transaction;
use seclang::verdict::{Disruption, Intervention, Match, Phase};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

const SEVERITIES: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// A transaction and what is said of it in the record.
#[derive(Debug)]
pub(super) struct Watched {
    state: Mutex<State>,
    said: Mutex<Said>,
    line: Mutex<Line>,
    tools: Arc<Tools>,
    /// Bytes of the request's head: phases that look at no body cost by them.
    head_bytes: usize,
}

#[derive(Debug)]
struct State {
    transaction: Transaction,
    /// The memory of what the transaction holds, given back with it.
    shares: Vec<Share>,
}

/// What the record will say of how much was seen. Apart from the state, so that it is not waited for while rules run.
#[derive(Debug)]
struct Said {
    extent: Extent,
    reason: &'static str,
    notes: Vec<&'static str>,
}

type Step = Box<dyn FnOnce(&Watched) + Send>;

/// Steps of one transaction follow one another also where they run on the pool.
#[derive(Default)]
struct Line {
    busy: bool,
    waiting: VecDeque<Step>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("busy", &self.busy).field("waiting", &self.waiting.len()).finish()
    }
}

/// A body, or the part of one that is inspected, on its way into the transaction.
pub(super) struct Feed {
    pub(super) body: Fed,
    pub(super) codings: Vec<Coding>,
    /// Bytes of the decoded body.
    pub(super) limit: usize,
    /// The memory of what is fed.
    pub(super) share: Share,
    /// The body was cut: a coding that breaks off is no mistake of the sender's.
    pub(super) cut: bool,
}

pub(super) enum Fed {
    Plain(Bytes),
    Condensed(Condensed),
}

/// What came of a phase.
pub(super) struct Outcome {
    pub(super) intervention: Option<Intervention>,
    /// How decoding ended; `Whole` where nothing was encoded.
    pub(super) decoded: End,
}

impl Watched {
    pub(super) fn new(transaction: Transaction, tools: &Arc<Tools>, head_bytes: usize) -> Arc<Self> {
        let state = Mutex::new(State { transaction, shares: Vec::new() });
        let said = Mutex::new(Said { extent: Extent::Partial, reason: "not_read", notes: Vec::new() });
        Arc::new(Self { state, said, line: Mutex::default(), tools: Arc::clone(tools), head_bytes })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside a rule leaves the matches found so far; they still belong into the record.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Transaction) -> T) -> T {
        look(&mut self.lock().transaction)
    }

    /// Runs a phase, with the body that it is about.
    pub(super) fn phase(&self, phase: Phase, feed: Option<Feed>) -> Outcome {
        let mut state = self.lock();
        state.transaction.set_now(now());
        let decoded = feed.map_or(End::Whole, |feed| state.feed(phase, feed));
        let mut collections = Handle(&self.tools.collections);
        let transaction = &mut state.transaction;
        let intervention = match phase {
            Phase::RequestHeaders => transaction.request_headers_done(&mut collections),
            Phase::RequestBody => transaction.request_body_done(&mut collections),
            Phase::ResponseHeaders => transaction.response_headers_done(&mut collections),
            Phase::ResponseBody => transaction.response_body_done(&mut collections),
            Phase::Logging => {
                transaction.log(&mut collections);
                None
            }
        };
        Outcome { intervention, decoded }
    }

    /// Runs a phase and waits for what comes of it: on this thread where little is to be looked at, else on the pool.
    ///
    /// # Errors
    /// `Overloaded` when the pool's queue is full, `EngineError` when the rules have panicked.
    pub(super) async fn decide(self: &Arc<Self>, phase: Phase, feed: Option<Feed>) -> Result<Outcome, Refusal> {
        if !self.is_large(feed.as_ref()) && !self.lock_line().busy {
            return Ok(self.phase(phase, feed));
        }
        let (tell, told) = oneshot::channel();
        let step: Step = Box::new(move |watched| drop(tell.send(watched.phase(phase, feed))));
        if !self.queue(true, step) {
            return Err(Refusal::Overloaded);
        }
        told.await.map_err(|_| Refusal::EngineError)
    }

    /// Runs a phase whose outcome nobody waits for.
    pub(super) fn note(self: &Arc<Self>, phase: Phase, feed: Option<Feed>) {
        let large = self.is_large(feed.as_ref());
        let step: Step = Box::new(move |watched| {
            let Outcome { decoded, .. } = watched.phase(phase, feed);
            if let Some(reason) = decoded.reason(phase) {
                watched.lessen(reason);
            }
        });
        if !self.queue(large, step) {
            self.lessen("overloaded");
        }
    }

    /// Takes in a response's head and runs phase 3, as [`Self::note`] does.
    pub(super) fn note_response(self: &Arc<Self>, response: &Response) {
        if !self.lock_line().busy {
            self.response(response.status, &response.headers);
            return self.note(Phase::ResponseHeaders, None);
        }
        let (status, headers) = (response.status, response.headers.clone());
        self.queue(false, Box::new(move |watched| watched.response(status, &headers)));
        self.note(Phase::ResponseHeaders, None);
    }

    /// Whether steps are under way, so that looking at the transaction would mean to wait for them.
    pub(super) fn is_busy(&self) -> bool {
        self.lock_line().busy
    }

    fn is_large(&self, feed: Option<&Feed>) -> bool {
        let body = feed.map_or(0, |feed| match &feed.body {
            // What is packed small may be large.
            Fed::Plain(bytes) if !feed.codings.is_empty() => bytes.len().saturating_mul(8),
            Fed::Plain(bytes) => bytes.len(),
            Fed::Condensed(condensed) => condensed.body.len(),
        });
        self.head_bytes + body > INSPECTION_INLINE_BYTES_MAX
    }

    /// Takes a step, now or behind those under way.
    fn queue(self: &Arc<Self>, large: bool, step: Step) -> bool {
        let mut line = self.lock_line();
        if line.busy {
            line.waiting.push_back(step);
            return true;
        }
        line.busy = true;
        drop(line);
        if !large {
            self.work(step);
            return true;
        }
        let own = Arc::clone(self);
        if self.tools.pool.execute(Box::new(move || own.work(step))).is_ok() {
            return true;
        }
        // Nothing ran; what came meanwhile does.
        self.work(Box::new(|_| {}));
        false
    }

    fn work(&self, first: Step) {
        let mut step = first;
        loop {
            if catch_unwind(AssertUnwindSafe(|| step(self))).is_err() {
                self.remark("engine_panicked");
            }
            let mut line = self.lock_line();
            match line.waiting.pop_front() {
                Some(next) => step = next,
                None => {
                    line.busy = false;
                    return;
                }
            }
        }
    }

    pub(super) fn response(&self, status: StatusCode, headers: &Headers) {
        let mut state = self.lock();
        state.transaction.response_line(status.as_u16(), b"HTTP/1.1");
        for (name, value) in headers.iter() {
            state.transaction.response_header(name.as_bytes(), value.as_bytes());
        }
    }

    /// Whether the engine could not do all it should.
    pub(super) fn failed(&self) -> bool {
        !self.lock().transaction.errors().is_empty()
    }

    /// What was seen of the request.
    pub(super) fn extent(&self, extent: Extent, reason: &'static str) {
        let mut said = self.lock_said();
        (said.extent, said.reason) = (extent, reason);
    }

    /// Less than all of something was seen. What was said first stays.
    pub(super) fn lessen(&self, reason: &'static str) {
        let mut said = self.lock_said();
        if said.extent == Extent::Full {
            (said.extent, said.reason) = (Extent::Partial, reason);
        }
    }

    /// A word for the record's notes.
    pub(super) fn remark(&self, note: &'static str) {
        let mut said = self.lock_said();
        if !said.notes.contains(&note) {
            said.notes.push(note);
        }
    }

    /// The record closes whatever phase 5 does.
    fn settle_and_give(&self, record: &mut Record, sink: &Sink) {
        if catch_unwind(AssertUnwindSafe(|| self.settle(record))).is_err() {
            record.notes.push("engine_panicked");
        }
        sink.take(record);
    }

    fn settle(&self, record: &mut Record) {
        let _ = self.phase(Phase::Logging, None);
        let state = self.lock();
        let mut said = self.lock_said();
        (record.extent, record.extent_reason) = (said.extent, said.reason);
        record.would = state.transaction.would_intervene().map(would);
        record.score = state.transaction.score();
        record.rules = state.transaction.matches().iter().filter(|m| m.log).take(RECORD_RULES_MAX).map(rule_match).collect();
        record.sanitised = state.transaction.sanitised().to_vec();
        if !state.transaction.errors().is_empty() {
            record.notes.push("engine_error");
        }
        record.notes.append(&mut said.notes);
    }
}

impl State {
    fn feed(&mut self, phase: Phase, feed: Feed) -> End {
        let Feed { body, codings, limit, mut share, cut } = feed;
        let request = phase == Phase::RequestBody;
        let mut end = End::Whole;
        let body = match body {
            Fed::Plain(bytes) if !codings.is_empty() => {
                let (decoded, how) = decode::decode(&codings, &bytes, limit, &mut share);
                end = if how == End::Broken && cut { End::Whole } else { how };
                Fed::Plain(decoded)
            }
            body => body,
        };
        // The caller has kept to the limits; what the engine itself leaves out is in its own flags.
        match (body, request) {
            (Fed::Plain(bytes), true) => drop(self.transaction.request_body_bytes(bytes)),
            (Fed::Condensed(condensed), true) => drop(self.transaction.request_body_condensed(condensed)),
            (Fed::Plain(bytes), false) => drop(self.transaction.response_body_bytes(bytes)),
            (Fed::Condensed(_), false) => {}
        }
        if cut || end != End::Whole {
            if request { self.transaction.request_body_was_cut() } else { self.transaction.response_body_was_cut() }
        }
        self.shares.push(share);
        end
    }
}

impl Late for Watched {
    fn close(self: Arc<Self>, mut record: Box<Record>, sink: &Sink) {
        if !self.lock_line().busy {
            return self.settle_and_give(&mut record, sink);
        }
        let sink = sink.clone();
        self.queue(false, Box::new(move |watched| watched.settle_and_give(&mut record, &sink)));
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
