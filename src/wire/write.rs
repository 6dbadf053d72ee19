//! The writing side of the wire: write timeout, lingering close.

use super::filter::{Phase, Wire};
use super::pace::later;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

impl<S> Wire<S> {
    /// Watches the time of whatever was written.
    fn written<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_since = None;
            self.idle_since = None;
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
            Phase::Length(_) | Phase::Chunked(_) | Phase::Refused => true,
        };
        unread && !self.ended
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Writes what there is of an interim answer.
    pub(super) fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let outcome = Pin::new(&mut self.stream).poll_write(cx, self.interim);
            let bytes = ready!(self.written(cx, outcome))?;
            if bytes == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.interim = self.interim.get(bytes..).unwrap_or_default();
        }
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, outcome)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.interim.is_empty() {
            ready!(this.poll_interim(cx))?;
        }
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, outcome)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.interim.is_empty() {
            ready!(this.poll_interim(cx))?;
        }
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
