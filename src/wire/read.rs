//! The reading side of the wire: heads, bodies, the wait between them.

use super::chunked::Chunked;
use super::filter::{Phase, Wire};
use super::handle::Upgrade;
use super::pace::later;
use crate::refusal::Refusal;
use bytes::{Buf, BytesMut};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::Instant;

/// Bytes read ahead at a time; also what is held of a pipelining client while its first request is served.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// Chunks with more to come than this are read straight into the library's buffer.
const DIRECT_BYTES_MIN: u64 = 4 * 1024;

impl<S> Wire<S> {
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
            None => later(*self.idle_since.get_or_insert_with(Instant::now), self.limits.idle_timeout),
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
                self.idle_since = None;
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
