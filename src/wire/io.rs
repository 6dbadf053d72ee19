//! The wire as a stream: what the HTTP library reads and writes.

use super::chunked::Chunked;
use super::handle::{Shared, Upgrade};
use super::head::HeadParser;
use super::pace::{Pace, Timer, later};
use super::{Arrived, Framing, Handle, Limits, Turn, Version, neutral};
use crate::clock::Moment;
use crate::refusal::Refusal;
use bytes::{Buf, Bytes, BytesMut};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes read ahead at a time; also what is held of a pipelining client while its first request is served.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// Chunks with more to come than this are read straight into the library's buffer.
const DIRECT_BYTES_MIN: u64 = 4 * 1024;

#[derive(Debug)]
enum Phase {
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
    stream: S,
    limits: Arc<Limits>,
    shared: Arc<Shared>,
    phase: Phase,
    parser: HeadParser,
    /// Read and not yet used.
    buffer: BytesMut,
    /// Of the neutral head, to be handed on.
    out: Bytes,
    /// The stream has ended.
    ended: bool,
    /// The present request is the connection's last (RFC 9112 section 9.6).
    last: bool,
    /// The client has sent something that nobody will read.
    unread: bool,
    /// When the head's first byte came; for a connection's first head, when the connection began.
    head_since: Option<Instant>,
    idle_since: Instant,
    pace: Pace,
    read_timer: Timer,
    write_timer: Timer,
    /// Since when a write has made no progress.
    write_since: Option<Instant>,
    shut: bool,
    linger_until: Option<Instant>,
    lingered: usize,
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
        idle_since: now,
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
    fn hand_on(&mut self, bytes: usize) {
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

    fn refuse(&mut self, refusal: Option<Refusal>) {
        let bytes = self.parser.break_off(&self.buffer, refusal);
        self.hand_on(bytes);
    }

    fn body_ended(&mut self) {
        self.phase = Phase::Serving;
        self.shared.lock().midway = false;
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.unread |= !self.buffer.is_empty();
        self.buffer = BytesMut::new();
        self.shared.lock().midway = false;
    }

    fn fail(&mut self, refusal: Refusal) -> Poll<io::Result<()>> {
        self.close();
        self.unread = true;
        let kind = match refusal {
            Refusal::BodyTimeout => ErrorKind::TimedOut,
            Refusal::BodyIncomplete => ErrorKind::UnexpectedEof,
            _ => ErrorKind::InvalidData,
        };
        Poll::Ready(Err(io::Error::new(kind, refusal)))
    }

    /// The reader of a body is left waiting.
    fn body_waits(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.pace.wait(&self.limits) {
            Some(deadline) if self.read_timer.poll(cx, deadline).is_pending() => Poll::Pending,
            _ => self.fail(Refusal::BodyTimeout),
        }
    }

    /// Buffered bytes to the library; returns how many.
    fn drain(&mut self, to: &mut ReadBuf<'_>, at_most: u64) -> usize {
        let bytes = self.buffer.len().min(to.remaining()).min(usize::try_from(at_most).unwrap_or(usize::MAX));
        to.put_slice(self.buffer.get(..bytes).unwrap_or_default());
        self.buffer.advance(bytes);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        bytes
    }

    /// Buffered bytes through the chunk machine to the library.
    fn filter(&mut self, machine: &mut Chunked, to: &mut ReadBuf<'_>) -> Result<(), Refusal> {
        while !self.buffer.is_empty() && to.remaining() > 0 && !machine.ended() {
            let data = machine.data_left();
            if data > 0 {
                let bytes = self.drain(to, data) as u64;
                machine.data_passed(bytes);
                self.pace.got(bytes);
                continue;
            }
            let byte = self.buffer.get_u8();
            if machine.byte(byte, &self.limits)? {
                to.put_slice(&[byte]);
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Reads ahead into the buffer. The library's buffer serves as scratch space, so that an idle connection holds none of ours.
    fn fill(&mut self, cx: &mut Context<'_>, scratch: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let mut space = scratch.take(READ_AHEAD_BYTES);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
        let bytes = space.filled().len();
        self.ended |= bytes == 0;
        self.buffer.extend_from_slice(space.filled());
        Poll::Ready(Ok(bytes))
    }

    /// Reads on in a head; ready when the phase has changed.
    fn poll_head(&mut self, cx: &mut Context<'_>, scratch: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.buffer.is_empty() {
                self.parser.skip_empty_line(&mut self.buffer);
            }
            if !self.buffer.is_empty() {
                if self.head_since.is_none() {
                    self.head_since = Some(Instant::now());
                }
                if let Some(bytes) = self.parser.advance(&self.buffer, &self.limits) {
                    self.hand_on(bytes);
                    return Poll::Ready(Ok(()));
                }
            }
            if self.ended {
                if self.buffer.is_empty() {
                    self.close()
                } else {
                    self.refuse(None)
                }
                return Poll::Ready(Ok(()));
            }
            if self.fill(cx, scratch)?.is_pending() {
                return self.head_waits(cx);
            }
        }
    }

    fn head_waits(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let begun = !self.buffer.is_empty();
        let mut state = self.shared.lock();
        state.midway = begun;
        state.watch(cx);
        let closing = state.closing && !begun;
        drop(state);
        if closing {
            self.close();
            return Poll::Ready(Ok(()));
        }
        let deadline = match self.head_since {
            Some(since) => later(since, self.limits.header_timeout),
            // The last answer is still on its way out: its own timer runs.
            None if self.write_since.is_some() => return Poll::Pending,
            None => later(self.idle_since, self.limits.idle_timeout),
        };
        ready!(self.read_timer.poll(cx, deadline));
        if begun {
            self.refuse(Some(Refusal::HeaderTimeout))
        } else {
            self.close()
        }
        Poll::Ready(Ok(()))
    }

    fn poll_length(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>, left: u64) -> Poll<io::Result<()>> {
        self.pace.resume();
        let bytes = if self.buffer.is_empty() {
            let before = to.filled().len();
            match Pin::new(&mut (&mut self.stream).take(left)).poll_read(cx, to)? {
                Poll::Pending => return self.body_waits(cx),
                Poll::Ready(()) => to.filled().len() - before,
            }
        } else {
            self.drain(to, left)
        };
        if bytes == 0 {
            self.ended = true;
            return self.fail(Refusal::BodyIncomplete);
        }
        self.pace.got(bytes as u64);
        let left = left.saturating_sub(bytes as u64);
        if left == 0 {
            self.body_ended()
        } else {
            self.phase = Phase::Length(left)
        }
        Poll::Ready(Ok(()))
    }

    fn poll_chunked(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>, machine: &mut Chunked) -> Poll<io::Result<()>> {
        self.pace.resume();
        let before = to.filled().len();
        loop {
            let outcome = self.filter(machine, to);
            let written = to.filled().len() > before;
            match outcome {
                Err(refusal) if written => {
                    self.phase = Phase::Failed(refusal);
                    return Poll::Ready(Ok(()));
                }
                Err(refusal) => return self.fail(refusal),
                Ok(()) if machine.ended() => {
                    self.body_ended();
                    return Poll::Ready(Ok(()));
                }
                Ok(()) if written => return Poll::Ready(Ok(())),
                Ok(()) => {}
            }
            let direct = machine.data_left();
            let read = if direct >= DIRECT_BYTES_MIN {
                Pin::new(&mut (&mut self.stream).take(direct)).poll_read(cx, to)?.map(|()| to.filled().len() - before)
            } else {
                self.fill(cx, to)?
            };
            match read {
                Poll::Pending => return self.body_waits(cx),
                Poll::Ready(0) => {
                    self.ended = true;
                    return self.fail(Refusal::BodyIncomplete);
                }
                Poll::Ready(bytes) if direct >= DIRECT_BYTES_MIN => {
                    machine.data_passed(bytes as u64);
                    self.pace.got(bytes as u64);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(_) => {}
            }
        }
    }

    /// The request is being served: notices the client's end, keeps what it sends ahead; ready when the phase has changed.
    fn poll_serving(&mut self, cx: &mut Context<'_>, scratch: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        let next = match state.upgrade {
            Upgrade::Granted => Some(Phase::Transparent),
            Upgrade::None if !state.serving() => Some(if state.closing || self.last { Phase::Closed } else { Phase::Head }),
            _ => None,
        };
        if next.is_none() {
            state.watch(cx);
        }
        drop(state);
        match next {
            Some(Phase::Closed) => {
                self.close();
                return Poll::Ready(Ok(()));
            }
            Some(phase) => {
                self.phase = phase;
                self.idle_since = Instant::now();
                return Poll::Ready(Ok(()));
            }
            None => {}
        }
        while !self.ended && self.buffer.len() < READ_AHEAD_BYTES {
            ready!(self.fill(cx, scratch))?;
        }
        if self.ended && self.buffer.is_empty() {
            self.close();
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if to.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if !this.out.is_empty() {
                let bytes = this.out.len().min(to.remaining());
                to.put_slice(&this.out.split_to(bytes));
                return Poll::Ready(Ok(()));
            }
            match &mut this.phase {
                Phase::Head => ready!(this.poll_head(cx, to))?,
                Phase::Serving => ready!(this.poll_serving(cx, to))?,
                Phase::Length(left) => {
                    let left = *left;
                    return this.poll_length(cx, to, left);
                }
                Phase::Chunked(machine) => {
                    let mut machine = std::mem::replace(machine, Chunked::new());
                    let outcome = this.poll_chunked(cx, to, &mut machine);
                    if let Phase::Chunked(place) = &mut this.phase {
                        *place = machine;
                    }
                    return outcome;
                }
                Phase::Refused(since) => {
                    // The answer ends the connection, not we: an end of stream here would make the library drop the request. The
                    // timer is for a library that never answers.
                    let deadline = later(*since, this.limits.idle_timeout);
                    ready!(this.read_timer.poll(cx, deadline));
                    this.close();
                }
                Phase::Failed(refusal) => {
                    let refusal = refusal.clone();
                    return this.fail(refusal);
                }
                Phase::Closed => return Poll::Ready(Ok(())),
                Phase::Transparent if this.buffer.is_empty() => return Pin::new(&mut this.stream).poll_read(cx, to),
                Phase::Transparent => {
                    this.drain(to, u64::MAX);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S> Wire<S> {
    /// Watches the time of whatever was written.
    fn written<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_since = None;
            self.idle_since = Instant::now();
            return outcome;
        }
        let since = *self.write_since.get_or_insert_with(Instant::now);
        ready!(self.write_timer.poll(cx, later(since, self.limits.write_timeout)));
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the client does not read")))
    }

    /// Whether the client may still be sending what nobody will read.
    fn must_linger(&self) -> bool {
        let unread = match self.phase {
            Phase::Transparent => false,
            Phase::Head | Phase::Serving => !self.buffer.is_empty(),
            Phase::Closed => self.unread,
            Phase::Length(_) | Phase::Chunked(_) | Phase::Refused(_) | Phase::Failed(_) => true,
        };
        unread && !self.ended
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, outcome)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.written(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(cx);
        this.written(cx, outcome)
    }

    /// Closes the sending side, then reads and drops for a while what a refused client is still sending: closing a socket with
    /// unread bytes resets the connection, and the answer is lost with it (RFC 9112 section 9.6).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.shut {
            let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.written(cx, outcome))?;
            this.shut = true;
        }
        let until = match this.linger_until {
            Some(until) => until,
            None if this.must_linger() => *this.linger_until.insert(later(Instant::now(), this.limits.linger_timeout)),
            None => return Poll::Ready(Ok(())),
        };
        while !this.ended && this.lingered < this.limits.linger_bytes_max {
            let mut space = [0u8; 4096];
            let mut scratch = ReadBuf::new(&mut space);
            match Pin::new(&mut this.stream).poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(())) if !scratch.filled().is_empty() => this.lingered += scratch.filled().len(),
                Poll::Ready(_) => this.ended = true,
                Poll::Pending => {
                    ready!(this.read_timer.poll(cx, until));
                    this.ended = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
