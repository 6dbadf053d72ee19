//! The wire itself: its state, the step from a head to what follows it.

use super::chunked::Chunked;
use super::handle::{Shared, Upgrade};
use super::head::HeadParser;
use super::pace::{Pace, Timer};
use super::{Arrived, Framing, Handle, Limits, Turn, Version, neutral};
use crate::clock::Moment;
use crate::refusal::Refusal;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) enum Phase {
    /// Between requests, or inside a head.
    Head,
    /// Inside a body of known length; bytes to come.
    Length(u64),
    Chunked(Chunked),
    /// The request is complete and being served; also where an upgrade waits for its answer.
    Serving,
    /// A refused head was handed on. Its answer ends the connection; nothing is read.
    Refused(Instant),
    /// To be reported by the next read.
    Failed(Refusal),
    Closed,
    Transparent,
}

/// A client's stream with the framing filter on it. See the module for what it promises.
pub struct Wire<S> {
    pub(super) stream: S,
    pub(super) limits: Arc<Limits>,
    pub(super) shared: Arc<Shared>,
    pub(super) phase: Phase,
    pub(super) parser: HeadParser,
    /// Read and not yet used.
    pub(super) buffer: BytesMut,
    /// Of the neutral head, to be handed on.
    pub(super) out: Bytes,
    /// The stream has ended.
    pub(super) ended: bool,
    /// The present request is the connection's last (RFC 9112 section 9.6).
    pub(super) last: bool,
    /// The client has sent something that nobody will read.
    pub(super) unread: bool,
    /// When the head's first byte came; for a connection's first head, when the connection began.
    pub(super) head_since: Option<Instant>,
    /// Since when there is nothing to read or write; `None` until that is noticed.
    pub(super) idle_since: Option<Instant>,
    pub(super) pace: Pace,
    pub(super) read_timer: Timer,
    pub(super) write_timer: Timer,
    /// Since when a write has made no progress.
    pub(super) write_since: Option<Instant>,
    pub(super) shut: bool,
    pub(super) linger_until: Option<Instant>,
    pub(super) lingered: usize,
}

/// Puts the filter on `stream`, of which nothing must have been read. The first head's time starts now.
pub fn wire<S>(stream: S, limits: Arc<Limits>) -> (Wire<S>, Handle) {
    let shared = Arc::<Shared>::default();
    let now = Instant::now();
    let wire = Wire {
        stream,
        limits,
        shared: Arc::clone(&shared),
        phase: Phase::Head,
        parser: HeadParser::default(),
        buffer: BytesMut::new(),
        out: Bytes::new(),
        ended: false,
        last: false,
        unread: false,
        head_since: Some(now),
        idle_since: None,
        pace: Pace::default(),
        read_timer: Timer::default(),
        write_timer: Timer::default(),
        write_since: None,
        shut: false,
        linger_until: None,
        lingered: 0,
    };
    (wire, Handle(shared))
}

impl<S> Wire<S> {
    /// The stream beneath, for its addresses and its TLS session.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Ends the head at `bytes`, hands it to the service and its neutral form to the library.
    pub(super) fn hand_on(&mut self, bytes: usize) {
        let raw = self.buffer.split_to(bytes.min(self.buffer.len())).freeze();
        if self.buffer.is_empty() {
            // An empty rest would keep the head's memory alive while the connection idles.
            self.buffer = BytesMut::new();
        }
        let parsed = std::mem::take(&mut self.parser).finish(raw);
        let refused = parsed.refusal.is_some();
        (self.out, self.phase) = if refused {
            (Bytes::from_static(neutral::REFUSED), Phase::Refused(Instant::now()))
        } else {
            let phase = match parsed.body {
                Framing::None | Framing::Length(0) => Phase::Serving,
                Framing::Length(length) => Phase::Length(length),
                Framing::Chunked => Phase::Chunked(Chunked::new()),
            };
            (neutral::head(&parsed), phase)
        };
        self.last = parsed.close || (parsed.version == Version::Http10 && !parsed.keep_alive);
        self.head_since = None;
        self.pace = Pace::default();
        let upgrade = parsed.upgrade.filter(|_| !refused).map(|place| parsed.head.slice(&place));
        let mut state = self.shared.lock();
        state.midway = matches!(self.phase, Phase::Length(_) | Phase::Chunked(_));
        state.upgrade = if upgrade.is_some() { Upgrade::Asked } else { Upgrade::None };
        state.queue = Some(Arrived {
            at: Moment::now(),
            refusal: parsed.refusal,
            version: parsed.version,
            host: parsed.host.map(|place| parsed.head.slice(&place)),
            expects_continue: parsed.expects_continue,
            upgrade,
            body: parsed.body,
            turn: Turn::default(),
            head: parsed.head,
        });
    }

    pub(super) fn refuse(&mut self, refusal: Option<Refusal>) {
        let bytes = self.parser.break_off(&self.buffer, refusal);
        self.hand_on(bytes);
    }

    pub(super) fn body_ended(&mut self) {
        self.phase = Phase::Serving;
        self.shared.lock().midway = false;
    }

    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.unread |= !self.buffer.is_empty();
        self.buffer = BytesMut::new();
        self.shared.lock().midway = false;
    }
}
