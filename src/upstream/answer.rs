//! The response body on its way from a backend: timed between its bytes, and giving its connection back at its end.

use super::chunks::{Chunks, Piece};
use super::head::{Fault, Framing};
use super::outgoing::{Sending, Stage, Stopped};
use super::pool::Lease;
use crate::message::{Body, BodyError};
use crate::refusal::Refusal;
use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// The time limits of an exchange whose request is on its way.
#[derive(Clone, Copy)]
pub(super) struct Watch {
    pub(super) header: Duration,
    pub(super) between: Duration,
    pub(super) total_at: Option<Instant>,
    pub(super) started: Instant,
}

impl Watch {
    /// When the response head is too late, as things stand. While the body is sent, its standstill counts; while the client is
    /// waited for, only the whole time does.
    pub(super) fn head_due(&self, stage: Stage) -> Option<Instant> {
        let due = match stage {
            Stage::Ended(at) => Some(at.max(self.started) + self.header),
            Stage::Sending(since) => Some(since + self.between),
            Stage::Source => None,
        };
        self.bounded(due)
    }

    /// When the next bytes of the response are too late, after silence since `since`.
    fn bytes_due(&self, stage: Stage, since: Instant) -> Option<Instant> {
        let moved = match stage {
            Stage::Sending(at) | Stage::Ended(at) => Some(since.max(at)),
            Stage::Source => None,
        };
        self.bounded(moved.map(|moved| moved + self.between))
    }

    fn bounded(&self, due: Option<Instant>) -> Option<Instant> {
        match (due, self.total_at) {
            (Some(due), Some(total)) => Some(due.min(total)),
            (due, total) => due.or(total),
        }
    }
}

/// Bytes of a body that is handed on at once where all of it has come with the head: its connection is free again then.
const WHOLE_BYTES_MAX: u64 = 4 * 1024;

/// What is to come of a body.
enum Rest {
    Length(u64),
    Chunked(Chunks),
    Close,
}

/// See the module.
pub(super) struct AnswerBody {
    /// `None` when the body is over.
    lease: Option<Lease>,
    rest: Rest,
    /// The request, where its body is not yet at its end.
    sending: Option<Sending>,
    stage: Stage,
    watch: Watch,
    keep_alive: bool,
    /// Since when nothing comes; `None` while bytes flow.
    silent_since: Option<Instant>,
    trailers: Option<http::HeaderMap>,
    /// Something was handed over since we last let the client's side wait.
    handed: bool,
    /// What ended it, to be said when what was handed over has had its turn to go out.
    failed: Option<BodyError>,
}

impl AnswerBody {
    /// The body for the stack; a body that is empty gives its connection back at once.
    pub(super) fn wrap(framing: Framing, keep_alive: bool, lease: Lease, sending: Sending, watch: Watch) -> Body {
        let rest = match framing {
            Framing::None => Rest::Length(0),
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Chunks::new()),
            Framing::Close => Rest::Close,
        };
        let mut lease = lease;
        if let (Framing::Length(length @ ..=WHOLE_BYTES_MAX), true, Some(conn)) = (framing, sending.ended(), lease.conn())
            && let Some(whole) = conn.inbox().get(..length as usize)
        {
            let whole = Bytes::copy_from_slice(whole);
            conn.inbox().advance(length as usize);
            if keep_alive {
                lease.give_back();
            }
            return Body::full(whole);
        }
        let stage = sending.stage();
        let sending = if sending.ended() { None } else { Some(sending) };
        let mut body = Self {
            lease: Some(lease),
            rest,
            sending,
            stage,
            watch,
            keep_alive,
            silent_since: None,
            trailers: None,
            handed: true,
            failed: None,
        };
        if framing == Framing::None {
            body.finish();
            return Body::empty();
        }
        Body::boxed(body)
    }

    /// A connection whose request is still being sent is closed instead: the backend has decided without the rest.
    fn finish(&mut self) {
        let sent = self.sending.take().is_none();
        if let Some(lease) = self.lease.take()
            && sent
            && self.keep_alive
        {
            lease.give_back();
        }
    }

    /// An error makes the client's side drop what it has not written yet: it gets the time to write first.
    fn fail(&mut self, cx: &Context<'_>, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.sending = None;
        self.lease = None;
        if std::mem::take(&mut self.handed) {
            self.failed = Some(error);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(error)))
    }

    /// Sends on what is left of the request.
    ///
    /// # Errors
    /// What the client's side broke off for. A backend that takes no more may still have its answer read.
    fn send_on(&mut self, cx: &mut Context<'_>) -> Result<(), Refusal> {
        let (Some(sending), Some(lease)) = (&mut self.sending, &mut self.lease) else { return Ok(()) };
        let Some(conn) = lease.conn() else { return Ok(()) };
        let sent = sending.poll(cx, conn.line());
        self.stage = sending.stage();
        match sent {
            Poll::Ready(Ok(())) => self.sending = None,
            Poll::Ready(Err(Stopped::Client(refusal))) => return Err(refusal),
            Poll::Ready(Err(Stopped::Line(_))) => (self.sending, self.keep_alive) = (None, false),
            Poll::Pending => {}
        }
        Ok(())
    }

    /// The next bytes of the body; `None` at its end.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        let Some(conn) = self.lease.as_mut().and_then(Lease::conn) else { return Poll::Ready(Ok(None)) };
        loop {
            let wanted = match &mut self.rest {
                Rest::Length(0) => return Poll::Ready(Ok(None)),
                Rest::Chunked(chunks) => match chunks.take(conn.inbox())? {
                    Piece::Data(data) => return Poll::Ready(Ok(Some(data))),
                    Piece::End(trailers) => {
                        self.trailers = trailers;
                        self.rest = Rest::Length(0);
                        return Poll::Ready(Ok(None));
                    }
                    Piece::More => chunks.left(),
                },
                Rest::Length(left) if !conn.is_drained() => {
                    let bytes = usize::try_from(*left).unwrap_or(usize::MAX).min(conn.inbox().len());
                    *left -= bytes as u64;
                    return Poll::Ready(Ok(Some(conn.inbox().split_to(bytes).freeze())));
                }
                Rest::Close if !conn.is_drained() => return Poll::Ready(Ok(Some(conn.inbox().split().freeze()))),
                Rest::Length(left) => *left,
                Rest::Close => 0,
            };
            match ready!(conn.poll_fill(cx, Some(wanted).filter(|bytes| *bytes > 0))) {
                Ok(0) if matches!(self.rest, Rest::Close) => return Poll::Ready(Ok(None)),
                Ok(0) => return Poll::Ready(Err(Fault::Closed)),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Fault::Io(error))),
            }
        }
    }

    /// Whether the end is reached without a further byte, so that it need not be asked for.
    fn at_end(&mut self) -> bool {
        if let (Rest::Chunked(chunks), Some(conn)) = (&mut self.rest, self.lease.as_mut().and_then(Lease::conn))
            && chunks.left() == 0
            && chunks.ends_plainly(conn.inbox())
        {
            self.rest = Rest::Length(0);
        }
        matches!(self.rest, Rest::Length(0))
    }

    /// Ready when the backend has been silent for too long, or the whole exchange lasts too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        let Some(due) = self.watch.bytes_due(self.stage, since) else { return Poll::Pending };
        let Some(conn) = self.lease.as_mut().and_then(Lease::conn) else { return Poll::Pending };
        conn.timer.set(due);
        conn.timer.poll(cx)
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if this.lease.is_none() {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        if let Err(refusal) = this.send_on(cx) {
            return this.fail(cx, BodyError::Refused(refusal));
        }
        match this.poll_data(cx) {
            Poll::Ready(Ok(Some(data))) => {
                this.silent_since = None;
                this.handed = true;
                if this.at_end() {
                    this.finish();
                } else if this.watch.total_at.is_some_and(|total| total <= Instant::now()) {
                    // A body that always has bytes ready never comes to the timer.
                    return this.fail(cx, BodyError::Refused(Refusal::BackendTimeout));
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Ok(None)) => {
                this.finish();
                Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Poll::Ready(Err(fault)) => this.fail(cx, BodyError::Broken(fault.words().into())),
            Poll::Pending => match this.poll_late(cx) {
                Poll::Ready(()) => this.fail(cx, BodyError::Refused(Refusal::BackendTimeout)),
                Poll::Pending => {
                    this.handed = false;
                    Poll::Pending
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lease.is_none() && self.trailers.is_none() && self.failed.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest {
            Rest::Length(left) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }
}
