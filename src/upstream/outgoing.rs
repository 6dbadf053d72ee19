//! The request body on its way to a backend, watched: whether it moves, whether it has ended, why it broke off.

use crate::message::{Body, BodyError};
use crate::refusal::Refusal;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How far the request body is; shared between the connection's task and the exchange.
#[derive(Default)]
pub(super) struct Progress {
    state: AtomicU8,
    /// Microseconds after [`epoch`] of the last step.
    at: AtomicU64,
    failure: Mutex<Option<Refusal>>,
}

/// Bytes were handed to the connection, which has not asked for more.
const SENDING: u8 = 0;
/// The client is waited for.
const SOURCE: u8 = 1;
/// All was handed over.
const ENDED: u8 = 2;
/// The client's side broke off.
const FAILED: u8 = 3;

/// What a [`Progress`] says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The backend takes no more bytes since this moment.
    Sending(Instant),
    /// The client owes the next bytes.
    Source,
    /// The body has ended at this moment.
    Ended(Instant),
}

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

impl Progress {
    fn step(&self, state: u8) {
        self.at.store(u64::try_from(epoch().elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.state.store(state, Ordering::Release);
    }

    pub(super) fn stage(&self) -> Stage {
        let state = self.state.load(Ordering::Acquire);
        let at = epoch() + Duration::from_micros(self.at.load(Ordering::Relaxed));
        match state {
            SENDING => Stage::Sending(at),
            ENDED => Stage::Ended(at),
            _ => Stage::Source,
        }
    }

    pub(super) fn ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == ENDED
    }

    /// Why the client's side broke off, if it did.
    pub(super) fn failure(&self) -> Option<Refusal> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, error: &BodyError) {
        let refusal = match error {
            BodyError::Refused(refusal) => refusal.clone(),
            BodyError::Broken(_) => Refusal::BodyIncomplete,
        };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        self.step(FAILED);
    }
}

/// The body type of requests to backends.
pub(super) struct Outgoing {
    body: Body,
    /// `None` for an empty body, which needs no watching.
    progress: Option<Arc<Progress>>,
    /// Bytes still to come where the length is known: hyper asks no further once it has them all.
    left: Option<u64>,
}

impl Outgoing {
    /// Wraps `body`; `length` is its declared length.
    pub(super) fn new(body: Body, length: Option<u64>) -> (Self, Option<Arc<Progress>>) {
        if body.is_empty() {
            return (Self { body, progress: None, left: None }, None);
        }
        let progress = Arc::new(Progress::default());
        progress.step(SENDING);
        let left = length.or_else(|| http_body::Body::size_hint(&body).exact());
        (Self { body, progress: Some(progress.clone()), left }, Some(progress))
    }

    /// An empty body.
    pub(super) fn empty() -> Self {
        Self { body: Body::empty(), progress: None, left: None }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(progress) = &this.progress else { return Pin::new(&mut this.body).poll_frame(cx) };
        if this.left.is_none_or(|left| left > 0) {
            progress.step(SOURCE);
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.left = this.left.map(|left| left.saturating_sub(bytes));
                let ended = this.left == Some(0) || this.body.is_empty() || frame.is_trailers();
                progress.step(if ended { ENDED } else { SENDING });
            }
            Some(Err(error)) => progress.fail(error),
            None => progress.step(ENDED),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}
