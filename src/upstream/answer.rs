//! The response body on its way from a backend: timed between its bytes, and giving its connection back at its end.

use super::outgoing::{Progress, Stage};
use super::pool::Lease;
use crate::message::{Body, BodyError};
use crate::refusal::Refusal;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// The time limits of an exchange whose request is on its way.
pub(super) struct Watch {
    pub(super) header: Duration,
    pub(super) between: Duration,
    pub(super) total_at: Option<Instant>,
    /// `None` for a request without a body.
    pub(super) progress: Option<Arc<Progress>>,
    pub(super) started: Instant,
}

impl Watch {
    /// When the response head is too late, as things stand. While the body is sent, its standstill counts; while the client
    /// is waited for, nothing does.
    pub(super) fn head_due(&self, now: Instant) -> Instant {
        let due = match self.progress.as_ref().map(|p| p.stage()) {
            None => self.started + self.header,
            Some(Stage::Ended(at)) => at + self.header,
            Some(Stage::Sending(since)) => since + self.between,
            // Looked at again soon enough for whatever stage comes next.
            Some(Stage::Source) => now + self.between.min(self.header),
        };
        self.bounded(due)
    }

    /// When to look again for the head: a stage may change without waking us, to one with a shorter limit.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        match &self.progress {
            Some(progress) if !progress.ended() => self.head_due(now).min(now + self.header),
            _ => self.head_due(now),
        }
    }

    /// When the next bytes of the response are too late, after silence since `since`.
    fn bytes_due(&self, since: Instant) -> Instant {
        let moved = match self.progress.as_ref().map(|p| p.stage()) {
            Some(Stage::Sending(at)) => since.max(at),
            Some(Stage::Source) => Instant::now(),
            Some(Stage::Ended(at)) => since.max(at),
            None => since,
        };
        self.bounded(moved + self.between)
    }

    fn bounded(&self, due: Instant) -> Instant {
        self.total_at.map_or(due, |total| total.min(due))
    }

    /// Whether the request has been sent to its end.
    pub(super) fn request_ended(&self) -> bool {
        self.progress.as_ref().is_none_or(|p| p.ended())
    }
}

/// See the module.
pub(super) struct AnswerBody {
    incoming: Incoming,
    lease: Option<Lease>,
    watch: Watch,
    /// Since when nothing comes; `None` while bytes flow.
    silent_since: Option<Instant>,
    /// Every byte has come or the body has failed.
    over: bool,
}

impl AnswerBody {
    /// The body for the stack; a body that is empty gives its connection back at once.
    pub(super) fn wrap(incoming: Incoming, lease: Lease, watch: Watch) -> Body {
        let mut body = Self { incoming, lease: Some(lease), watch, silent_since: None, over: false };
        if body.incoming.is_end_stream() {
            body.finish();
            return Body::empty();
        }
        Body::boxed(body)
    }

    /// A connection whose request is still being sent is closed instead: the backend has decided without the rest.
    fn finish(&mut self) {
        self.over = true;
        if let Some(lease) = self.lease.take()
            && self.watch.request_ended()
        {
            lease.give_back();
        }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.over = true;
        self.lease = None;
        Poll::Ready(Some(Err(error)))
    }

    /// Ready when the backend has been silent for too long, or the whole exchange lasts too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let since = *self.silent_since.get_or_insert(now);
        let due = self.watch.bytes_due(since);
        let Some(conn) = self.lease.as_mut().and_then(Lease::conn) else { return Poll::Pending };
        conn.timer.set(due);
        while conn.timer.poll(cx).is_ready() {
            let due = self.watch.bytes_due(since);
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            conn.timer.set(due);
        }
        Poll::Pending
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.silent_since = None;
                if self.incoming.is_end_stream() {
                    self.finish();
                } else if self.watch.total_at.is_some_and(|total| total <= Instant::now()) {
                    // A body that always has bytes ready never comes to the timer.
                    return self.fail(BodyError::Refused(Refusal::BackendTimeout));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                // The client's own body may be what ended the connection.
                let client = self.watch.progress.as_ref().and_then(|p| p.failure());
                let error = client.map_or_else(|| BodyError::Broken(super::exchange::in_words(&error).into()), BodyError::Refused);
                self.fail(error)
            }
            Poll::Pending => match self.poll_late(cx) {
                Poll::Ready(()) => self.fail(BodyError::Refused(Refusal::BackendTimeout)),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
