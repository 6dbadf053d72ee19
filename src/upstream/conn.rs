//! One HTTP/1.1 connection to a backend: bytes in and out, heads, and what is left of it after a 101.

use super::connect::Line;
use super::deadline::Deadline;
use super::head::{self, Fault, Head};
use crate::limits::{BACKEND_HEAD_BYTES_MAX, BACKEND_INTERIM_ANSWERS_MAX};
use bytes::{Buf, BytesMut};
use std::fmt;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes asked of the socket at once, at least and at most; memory of an idle connection is bounded by the first.
const READ_BYTES_MIN: usize = 8 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;
/// Bytes of an unfinished head that are parsed at each arrival, so that what is no HTTP is found out at once; a longer one is parsed
/// when it has ended.
const EARLY_PARSE_BYTES_MAX: usize = 1024;

/// One connection that can take a request.
pub(super) struct Conn {
    line: Line,
    /// Read and not yet used.
    inbox: BytesMut,
    /// Of an unfinished head: up to here it has no end.
    scanned: usize,
    /// Interim answers passed over since the request.
    interim: usize,
    /// Bytes to ask for when the body's length does not tell.
    step: usize,
    /// A large read was made: the buffer is not kept while idle.
    large: bool,
    /// Whether bytes have come since the request: one of which the backend has said nothing yet may be retried.
    heard: bool,
    /// Kept with the connection so that a request need not make a timer.
    pub(super) timer: Deadline,
    /// The member's address, for the record.
    pub(super) address: Arc<str>,
    pub(super) idle_since: Instant,
}

impl Conn {
    pub(super) fn new(line: Line, address: SocketAddr) -> Self {
        Self {
            line,
            inbox: BytesMut::new(),
            scanned: 0,
            interim: 0,
            step: READ_BYTES_MIN,
            large: false,
            heard: false,
            timer: Deadline::new(),
            address: address.to_string().into(),
            idle_since: Instant::now(),
        }
    }

    /// Whether the next request may go on it: it stands, and nothing has come that nobody asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.inbox.is_empty() && self.line.is_quiet()
    }

    /// A request begins.
    pub(super) fn begin(&mut self) {
        (self.scanned, self.interim, self.heard) = (0, 0, false);
    }

    /// Whether bytes have come since then.
    pub(super) fn heard(&self) -> bool {
        self.heard
    }

    pub(super) fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    /// What was read and not yet used.
    pub(super) fn inbox(&mut self) -> &mut BytesMut {
        &mut self.inbox
    }

    /// Whether everything that came was used.
    pub(super) fn is_drained(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Gives back the memory of a large body.
    pub(super) fn rest(&mut self) {
        if std::mem::take(&mut self.large) {
            self.inbox = BytesMut::new();
        }
    }

    /// Reads on, for about `wanted` bytes where that is known; ready with how many came, 0 at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, wanted: Option<u64>) -> Poll<io::Result<usize>> {
        let wanted = wanted.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(self.step);
        let room = wanted.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        self.inbox.reserve(room);
        self.large |= room > READ_BYTES_MIN;
        let bytes = ready!(pin!(self.line.read_buf(&mut self.inbox)).poll(cx))?;
        self.heard |= bytes > 0;
        self.step = if bytes >= room { (room * 2).min(READ_BYTES_MAX) } else { self.step.min(bytes.max(READ_BYTES_MIN) * 2) };
        Poll::Ready(Ok(bytes))
    }

    /// The head of the final answer; interim ones are passed over. `bodiless` says that the request was HEAD.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>, bodiless: bool) -> Poll<Result<Head, Fault>> {
        loop {
            if let Some(head) = self.take_head(bodiless)? {
                return Poll::Ready(Ok(head));
            }
            match ready!(self.poll_fill(cx, None)) {
                Ok(0) => return Poll::Ready(Err(Fault::Closed)),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Fault::Io(error))),
            }
        }
    }

    fn take_head(&mut self, bodiless: bool) -> Result<Option<Head>, Fault> {
        while !self.inbox.is_empty() {
            if self.scanned == 0
                && let Some((end, read)) = head::plain(&self.inbox, bodiless)
            {
                // The head has its own copy, so that this memory is the connection's alone, and serves again and again.
                self.inbox.advance(end);
                if let Some(head) = read? {
                    return Ok(Some(head));
                }
                self.passed_over()?;
                continue;
            }
            let Some(end) = head::end(&self.inbox, self.scanned) else {
                if self.inbox.len() > BACKEND_HEAD_BYTES_MAX {
                    return Err(Fault::TooLarge);
                }
                if self.inbox.len() <= EARLY_PARSE_BYTES_MAX {
                    head::may_begin(&self.inbox)?;
                }
                // The line end before an empty line may be the last byte seen.
                self.scanned = self.inbox.len().saturating_sub(2);
                return Ok(None);
            };
            if end > BACKEND_HEAD_BYTES_MAX {
                return Err(Fault::TooLarge);
            }
            let raw = self.inbox.split_to(end).freeze();
            self.scanned = 0;
            if let Some(head) = head::read(&raw, bodiless)? {
                return Ok(Some(head));
            }
            self.passed_over()?;
        }
        Ok(None)
    }

    fn passed_over(&mut self) -> Result<(), Fault> {
        self.interim += 1;
        if self.interim > BACKEND_INTERIM_ANSWERS_MAX { Err(Fault::NotHttp("too many interim answers")) } else { Ok(()) }
    }

    /// After a 101: the connection as a stream, with what has come already.
    pub(super) fn switch(self) -> Switched {
        Switched { line: self.line, left: self.inbox }
    }
}

/// A backend connection after a 101: bytes, no longer HTTP.
pub struct Switched {
    line: Line,
    /// Came with the head.
    left: BytesMut,
}

impl fmt::Debug for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Switched")
    }
}

impl AsyncRead for Switched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            return Pin::new(&mut self.line).poll_read(cx, buf);
        }
        let bytes = self.left.len().min(buf.remaining());
        buf.put_slice(self.left.get(..bytes).unwrap_or_default());
        self.left.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.line).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_shutdown(cx)
    }
}
