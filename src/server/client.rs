//! A client's HTTP/1 connection, shared by whoever serves it and the body of its present request. Both are in one task, one after the
//! other, so nobody ever waits for the lock.

use crate::message::{Body, BodyError};
use crate::wire::{Framing, Wire};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// See the module.
pub(super) struct Client<S>(Arc<Mutex<Wire<S>>>);

impl<S> Client<S> {
    pub(super) fn new(wire: Wire<S>) -> Self {
        Self(Arc::new(Mutex::new(wire)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Wire<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody holds a body of this connection any more.
    pub(super) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Client<S> {
    /// The body of the request whose head has just come.
    pub(super) fn body(&self, framing: Framing) -> Body {
        let left = match framing {
            Framing::None | Framing::Length(0) => return Body::empty(),
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        };
        Body::boxed(Incoming { client: Self(Arc::clone(&self.0)), left, over: false })
    }
}

/// A request's body as it comes in.
struct Incoming<S> {
    client: Client<S>,
    /// Bytes to come, where the head said how many.
    left: Option<u64>,
    over: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> http_body::Body for Incoming<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let read = ready!(self.client.lock().poll_body(cx));
        Poll::Ready(match read {
            Some(Ok(data)) => {
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                self.over = self.left == Some(0);
                Some(Ok(Frame::data(data)))
            }
            Some(Err(refusal)) => {
                self.over = true;
                Some(Err(BodyError::Refused(refusal)))
            }
            None => {
                self.over = true;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.over => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

/// After a 101.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Client<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, to)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Client<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(cx)
    }
}
