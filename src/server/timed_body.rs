//! A request body that may not stall: the HTTP/2 side of what the wire does on HTTP/1.

use crate::limits::BODY_BYTES_PER_SECOND_MIN;
use crate::message::{Body, BodyError};
use crate::refusal::Refusal;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// Fails with `BodyTimeout` on silence, or when the body stays under the least rate. Only time in which we waited counts.
pub(super) struct TimedBody {
    body: Body,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
    waiting_since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl TimedBody {
    pub(super) fn new(body: Body, silence: Duration) -> Self {
        Self { body, silence, timer: Box::pin(sleep(silence)), waiting_since: None, waited: Duration::ZERO, bytes: 0 }
    }

    fn too_slow(&self) -> bool {
        self.waited > self.silence && self.bytes < (self.waited - self.silence).as_secs().saturating_mul(BODY_BYTES_PER_SECOND_MIN)
    }
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(since) = this.waiting_since.take() {
                this.waited += since.elapsed();
            }
            if let Some(Ok(frame)) = &frame {
                this.bytes += frame.data_ref().map_or(0, |d| d.len() as u64);
                if this.too_slow() {
                    return Poll::Ready(Some(Err(BodyError::Refused(Refusal::BodyTimeout))));
                }
            }
            return Poll::Ready(frame);
        }
        let now = Instant::now();
        let since = *this.waiting_since.get_or_insert(now);
        this.timer.as_mut().reset(since + this.silence);
        match this.timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::Refused(Refusal::BodyTimeout)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
