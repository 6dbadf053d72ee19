//! HTTP/2 streams whose client must take what it is given: what the wire's write timeout is on HTTP/1.
//!
//! A stream's data waits for the client's window, and no read or write of the connection tells of it. So each stream's task looks at
//! when its body last gave something that was not asked on from; after the limit it ends, which resets the stream.

use crate::message::{Body, BodyError};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes given at once: what a stream that has ended may still have waiting for a window.
const PIECE_BYTES_MAX: usize = 16 * 1024;

tokio::task_local! {
    static PACE: Arc<Pace>;
}

/// When the body gave what the client has not taken yet: milliseconds after `born`, and one more; 0 while the client owes nothing.
#[derive(Debug)]
struct Pace {
    born: Instant,
    given: AtomicU64,
}

impl Pace {
    fn give(&self) {
        let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.given.store(millis.saturating_add(1), Ordering::Relaxed);
    }

    fn asked(&self) {
        self.given.store(0, Ordering::Relaxed);
    }

    fn given(&self) -> Option<Instant> {
        let millis = self.given.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.born + Duration::from_millis(millis))
    }
}

/// Runs the streams of a connection.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    /// How long a client may leave what it was given.
    pub(super) limit: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let pace = Arc::new(Pace { born: Instant::now(), given: AtomicU64::new(0) });
        let stream = Box::pin(PACE.scope(Arc::clone(&pace), stream));
        tokio::spawn(Watched { stream, pace, limit: self.limit, timer: None });
    }
}

/// A stream's task.
struct Watched<F> {
    stream: Pin<Box<F>>,
    pace: Arc<Pace>,
    limit: Duration,
    /// Made when the client is first waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(given) = this.pace.given() else { return Poll::Pending };
        let due = given + this.limit;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }
}

/// A response body that tells its stream's task what it gives. Outside such a task it stays as it is.
pub(super) fn paced(body: Body) -> Body {
    match PACE.try_with(Arc::clone) {
        Ok(pace) if !body.is_empty() => Body::boxed(Paced { body, pace, rest: Bytes::new() }),
        _ => body,
    }
}

struct Paced {
    body: Body,
    pace: Arc<Pace>,
    /// Of a frame that was larger than a piece.
    rest: Bytes,
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        this.pace.asked();
        if this.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        this.pace.give();
        let bytes = this.rest.len().min(PIECE_BYTES_MAX);
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        match hint.exact() {
            Some(left) => SizeHint::with_exact(left + self.rest.len() as u64),
            None => hint,
        }
    }
}
