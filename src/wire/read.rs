//! The reading side of the wire: heads, bodies, the wait between them.

use super::chunked::Chunked;
use super::filter::{Phase, Wire};
use super::pace::later;
use super::{Arrived, Limits};
use crate::refusal::Refusal;
use bytes::{Buf, Bytes, BytesMut};
use std::future::Future as _;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes read ahead at a time; also what is held of a pipelining client while its first request is served.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// Bytes of a body read at a time where it has as many to come.
const BODY_READ_BYTES: usize = 64 * 1024;
/// Bytes of an unread body that are dropped so that its connection can be kept, if they are there already.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl<S> Wire<S> {
    /// A body ends for this reason, and with it the connection.
    fn fail(&mut self, refusal: Refusal) -> Poll<Option<Result<Bytes, Refusal>>> {
        self.buffer = BytesMut::new();
        self.phase = Phase::Refused;
        self.last = true;
        Poll::Ready(Some(Err(refusal)))
    }

    /// The reader of a body is left waiting.
    fn body_waits(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Refusal>>> {
        match self.pace.wait(&self.limits) {
            Some(deadline) if self.read_timer.poll(cx, deadline).is_pending() => Poll::Pending,
            _ => self.fail(Refusal::BodyTimeout),
        }
    }

    fn body_ended(&mut self) {
        self.phase = Phase::Serving;
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Reads ahead into the buffer: 0 at the end of the stream. While a connection idles there is no buffer.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; READ_AHEAD_BYTES];
        let mut space = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
        let bytes = space.filled();
        self.ended |= bytes.is_empty();
        self.buffer.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// The next head; `None` when the connection is over: the client has ended it, has been silent for too long, or the answer
    /// before was the last. Behind a refused head comes nothing.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrived>> {
        if !matches!(self.phase, Phase::Head) {
            return Poll::Ready(None);
        }
        loop {
            if !self.buffer.is_empty() {
                self.parser.skip_empty_line(&mut self.buffer);
            }
            if !self.buffer.is_empty() {
                self.head_since.get_or_insert_with(Instant::now);
                if let Some(bytes) = self.parser.advance(&self.buffer, &self.limits) {
                    let raw = self.take(bytes);
                    return Poll::Ready(Some(self.hand_on(raw)));
                }
            }
            if self.ended {
                return Poll::Ready(self.break_off(None));
            }
            match self.first(cx) {
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(arrived)) => return Poll::Ready(arrived),
                Poll::Ready(Err(_)) => {
                    self.ended = true;
                    self.buffer = BytesMut::new();
                    self.close();
                    return Poll::Ready(None);
                }
                Poll::Pending => return self.head_waits(cx),
            }
        }
    }

    /// Reads on in a head. A plain one that comes whole is taken as it comes, without a stay in the buffer.
    fn first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Arrived>>> {
        if !self.buffer.is_empty() {
            return self.fill(cx).map_ok(|_| None);
        }
        let mut space = [const { MaybeUninit::<u8>::uninit() }; READ_AHEAD_BYTES];
        let mut space = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
        let bytes = space.filled();
        self.ended |= bytes.is_empty();
        let end = self.parser.plain(bytes, &self.limits).unwrap_or(0);
        let (head, rest) = bytes.split_at(end);
        self.buffer.extend_from_slice(rest);
        if head.is_empty() {
            return Poll::Ready(Ok(None));
        }
        Poll::Ready(Ok(Some(self.hand_on(Bytes::copy_from_slice(head)))))
    }

    /// The head will not be completed: what there is of it is refused; nothing, where nothing has come.
    fn break_off(&mut self, refusal: Option<Refusal>) -> Option<Arrived> {
        if self.buffer.is_empty() {
            self.close();
            return None;
        }
        let bytes = self.parser.break_off(&self.buffer, refusal);
        let raw = self.take(bytes);
        Some(self.hand_on(raw))
    }

    fn head_waits(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrived>> {
        let begun = !self.buffer.is_empty();
        if self.closing && !begun {
            self.close();
            return Poll::Ready(None);
        }
        let deadline = match self.head_since {
            Some(since) => later(since, self.limits.header_timeout),
            // The last answer is still on its way out: its own timer runs.
            None if self.write_since.is_some() => return Poll::Pending,
            None => later(*self.idle_since.get_or_insert_with(Instant::now), self.limits.idle_timeout),
        };
        ready!(self.read_timer.poll(cx, deadline));
        Poll::Ready(self.break_off(Some(Refusal::HeaderTimeout)))
    }

    /// Whether the client has gone while its request is served; what it sends ahead is kept, up to a bound. Ready when it has.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.phase {
            Phase::Serving => {}
            Phase::Closed => return Poll::Ready(()),
            // Whoever reads the body will notice; after a refused head nothing is read.
            _ => return Poll::Pending,
        }
        while !self.ended && self.buffer.len() < READ_AHEAD_BYTES {
            if ready!(self.fill(cx)).is_err() {
                self.ended = true;
                self.buffer = BytesMut::new();
            }
        }
        if self.ended && self.buffer.is_empty() {
            self.close();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn poll_length(&mut self, cx: &mut Context<'_>, left: u64) -> Poll<Option<Result<Bytes, Refusal>>> {
        self.pace.resume();
        if self.buffer.is_empty() {
            match self.poll_direct(cx, left) {
                Poll::Pending => return self.body_waits(cx),
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.ended = true;
                    return self.fail(Refusal::BodyIncomplete);
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
        let data = self.take(usize::try_from(left).unwrap_or(usize::MAX));
        self.pace.got(data.len() as u64);
        match left.saturating_sub(data.len() as u64) {
            0 => self.body_ended(),
            left => self.phase = Phase::Length(left),
        }
        Poll::Ready(Some(Ok(data)))
    }

    /// Reads into the empty buffer, no further than `left` bytes.
    fn poll_direct(&mut self, cx: &mut Context<'_>, left: u64) -> Poll<io::Result<usize>> {
        self.buffer.reserve(usize::try_from(left).unwrap_or(usize::MAX).clamp(1, BODY_READ_BYTES));
        let outcome = pin!((&mut self.stream).take(left).read_buf(&mut self.buffer)).poll(cx);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        outcome
    }

    fn poll_chunked(&mut self, cx: &mut Context<'_>, machine: &mut Chunked) -> Poll<Option<Result<Bytes, Refusal>>> {
        self.pace.resume();
        loop {
            match step(machine, &mut self.buffer, &self.limits) {
                Err(refusal) => return self.fail(refusal),
                Ok(true) => {
                    self.body_ended();
                    return Poll::Ready(None);
                }
                Ok(false) => {}
            }
            let data = machine.data_left();
            if data > 0 && !self.buffer.is_empty() {
                let data = self.take(usize::try_from(data).unwrap_or(usize::MAX));
                machine.data_passed(data.len() as u64);
                self.pace.got(data.len() as u64);
                return Poll::Ready(Some(Ok(data)));
            }
            let read = if data > READ_AHEAD_BYTES as u64 { self.poll_direct(cx, data) } else { self.fill(cx) };
            match read {
                Poll::Pending => return self.body_waits(cx),
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.ended = true;
                    return self.fail(Refusal::BodyIncomplete);
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    /// Drops what has come of a body that nobody reads, so that the connection need not end for it; false where it must. A client
    /// that waits for 100 has not been asked for its body, and may send it or not: of that only what came with the head counts.
    pub fn discard(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut dropped = 0;
        while !self.is_body_read() && dropped < DISCARDED_BYTES_MAX {
            if self.expects_continue && self.buffer.is_empty() {
                break;
            }
            match self.poll_framed(&mut cx) {
                Poll::Ready(Some(Ok(data))) => dropped += data.len(),
                Poll::Ready(Some(Err(_))) => return false,
                Poll::Ready(None) => {}
                Poll::Pending => break,
            }
        }
        self.is_body_read()
    }

    fn poll_framed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Refusal>>> {
        match &mut self.phase {
            Phase::Length(left) => {
                let left = *left;
                self.poll_length(cx, left)
            }
            Phase::Chunked(machine) => {
                let mut machine = std::mem::replace(machine, Chunked::new());
                let outcome = self.poll_chunked(cx, &mut machine);
                if let Phase::Chunked(place) = &mut self.phase {
                    *place = machine;
                }
                outcome
            }
            _ => Poll::Ready(None),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The next bytes of the body, without its framing; `None` at its end. What ends it early ends the connection as well.
    ///
    /// # Errors
    /// `BadChunk`, `BodyIncomplete`, `BodyTimeout`.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Refusal>>> {
        if std::mem::take(&mut self.expects_continue) {
            self.interim = CONTINUE;
        }
        if !self.interim.is_empty() {
            // A client that does not take it will not send its body either: the reader's time limit covers both.
            let _ = self.poll_interim(cx);
        }
        self.poll_framed(cx)
    }
}

/// Buffered bytes through the machine, up to the next data; true when the body has ended.
fn step(machine: &mut Chunked, buffer: &mut BytesMut, limits: &Limits) -> Result<bool, Refusal> {
    while !machine.ended() && machine.data_left() == 0 && !buffer.is_empty() {
        machine.byte(buffer.get_u8(), limits)?;
    }
    Ok(machine.ended())
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    /// Only after an upgrade; before, it is an end.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.phase {
            Phase::Transparent if this.buffer.is_empty() => Pin::new(&mut this.stream).poll_read(cx, to),
            Phase::Transparent => {
                let bytes = this.take(to.remaining());
                to.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}
