//! A response body that goes on only while its user may come in.

use crate::limits::TUNNEL_CHECK_INTERVAL;
use crate::message::{Body, BodyError};
use crate::refusal::Refusal;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// Looks every [`TUNNEL_CHECK_INTERVAL`] whether the caller is still allowed, also while the backend is silent. Bodies that
/// are over sooner, nearly all, are never looked at.
pub(super) struct WhileAllowed<F> {
    body: Body,
    still_allowed: F,
    due: Instant,
    /// Made when the backend is first waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Fn() -> bool> WhileAllowed<F> {
    pub(super) fn new(body: Body, still_allowed: F) -> Self {
        Self { body, still_allowed, due: Instant::now() + TUNNEL_CHECK_INTERVAL, timer: None }
    }

    /// Whether it may go on; the next look is due an interval later.
    fn look(&mut self) -> bool {
        self.due = Instant::now() + TUNNEL_CHECK_INTERVAL;
        (self.still_allowed)()
    }
}

impl<F: Fn() -> bool + Unpin> http_body::Body for WhileAllowed<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let cut = || Poll::Ready(Some(Err(BodyError::Refused(Refusal::NotAllowed))));
        if Instant::now() >= this.due && !this.look() {
            return cut();
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        loop {
            let due = this.due;
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if !this.look() {
                return cut();
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
