//! The wire itself: its state, the step from a head to what follows it.

use super::chunked::Chunked;
use super::head::HeadParser;
use super::pace::{Pace, Timer};
use super::{Arrived, Framing, Limits, Version};
use crate::clock::Moment;
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
    /// A refused head was handed on, or a body broke off. The answer ends the connection; nothing is read.
    Refused,
    Closed,
    Transparent,
}

/// A client's stream with HTTP/1 on it. See the module for what it promises.
pub struct Wire<S> {
    pub(super) stream: S,
    pub(super) limits: Arc<Limits>,
    pub(super) phase: Phase,
    pub(super) parser: HeadParser,
    /// Read and not yet used.
    pub(super) buffer: BytesMut,
    /// Of an interim answer, to be written before all else.
    pub(super) interim: &'static [u8],
    /// The client waits for a word before it sends its body (RFC 9110 section 10.1.1).
    pub(super) expects_continue: bool,
    /// The stream has ended.
    pub(super) ended: bool,
    /// The present request is the connection's last (RFC 9112 section 9.6).
    pub(super) last: bool,
    /// No further head is read.
    pub(super) closing: bool,
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

/// Puts the wire on `stream`, of which nothing must have been read. The first head's time starts now.
pub fn wire<S>(stream: S, limits: Arc<Limits>) -> Wire<S> {
    Wire {
        stream,
        limits,
        phase: Phase::Head,
        parser: HeadParser::default(),
        buffer: BytesMut::new(),
        interim: b"",
        expects_continue: false,
        ended: false,
        last: false,
        closing: false,
        unread: false,
        head_since: Some(Instant::now()),
        idle_since: None,
        pace: Pace::default(),
        read_timer: Timer::default(),
        write_timer: Timer::default(),
        write_since: None,
        shut: false,
        linger_until: None,
        lingered: 0,
    }
}

impl<S> Wire<S> {
    /// The stream beneath, for its addresses and its TLS session.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Whether the answer to the present request ends the connection, as the request or a refusal has it.
    pub fn is_last(&self) -> bool {
        self.last || self.closing
    }

    /// The answer to the present request ends the connection.
    pub fn end(&mut self) {
        self.last = true;
    }

    /// Drain: the request being served and a head that has begun to arrive are finished, then the connection ends.
    pub fn close_when_idle(&mut self) {
        self.closing = true;
    }

    /// The answer has been handed over: with what comes next a head begins, or the connection is over. To be called once per head,
    /// when nobody reads its body any more.
    pub fn served(&mut self) {
        match self.phase {
            Phase::Serving if !self.is_last() => {
                self.phase = Phase::Head;
                self.idle_since = None;
            }
            // The rest of a body that nobody has read cannot be told from a head.
            _ => self.close(),
        }
    }

    /// The answer to [`Arrived::upgrade`] was a 101: from here on the wire is a plain stream, beginning with what was read already.
    pub fn upgraded(&mut self) {
        self.phase = Phase::Transparent;
    }

    /// Whether all of the request's body has been read.
    pub fn is_body_read(&self) -> bool {
        !matches!(self.phase, Phase::Length(_) | Phase::Chunked(_))
    }

    /// Ends the head whose bytes these are.
    pub(super) fn hand_on(&mut self, raw: Bytes) -> Arrived {
        let parsed = std::mem::take(&mut self.parser).finish(raw);
        let refused = parsed.refusal.is_some();
        self.phase = match parsed.body {
            _ if refused => Phase::Refused,
            Framing::None | Framing::Length(0) => Phase::Serving,
            Framing::Length(length) => Phase::Length(length),
            Framing::Chunked => Phase::Chunked(Chunked::new()),
        };
        self.last = refused || parsed.close || (parsed.version == Version::Http10 && !parsed.keep_alive);
        self.expects_continue = parsed.expects_continue && !self.is_body_read();
        self.head_since = None;
        self.pace = Pace::default();
        Arrived {
            at: Moment::now(),
            version: parsed.version,
            host: parsed.host.map(|place| parsed.head.slice(&place)),
            expects_continue: parsed.expects_continue,
            upgrade: parsed.upgrade.filter(|_| !refused).map(|place| parsed.head.slice(&place)),
            body: if refused { Framing::None } else { parsed.body },
            refusal: parsed.refusal,
            head: parsed.head,
        }
    }

    /// Takes so many bytes out of the buffer, which keeps no memory while it is empty.
    pub(super) fn take(&mut self, bytes: usize) -> Bytes {
        let taken = self.buffer.split_to(bytes.min(self.buffer.len())).freeze();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        taken
    }

    pub(super) fn close(&mut self) {
        let unread = match self.phase {
            Phase::Length(_) | Phase::Chunked(_) | Phase::Refused => true,
            Phase::Closed => self.unread,
            Phase::Head | Phase::Serving | Phase::Transparent => false,
        };
        self.unread = unread || !self.buffer.is_empty();
        self.phase = Phase::Closed;
        self.buffer = BytesMut::new();
    }
}
