//! What the wire and the service share: the head that has arrived, the answer to an upgrade, the wish to close.

use crate::clock::Moment;
use crate::head::RawHead;
use crate::refusal::Refusal;
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// The two versions this wire speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1; also stands where a refused head names no version.
    #[default]
    Http11,
}

/// How the body of a request is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// Content-Length, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A request head as the wire understood it.
#[derive(Debug)]
pub struct Arrived {
    /// The bytes as sent. Of a refused head as much as still splits into a line and headers, perhaps nothing.
    pub head: RawHead,
    /// When the head was complete or refused.
    pub at: Moment,
    /// Why it was refused. The connection ends after the answer.
    pub refusal: Option<Refusal>,
    /// The version of the request line.
    pub version: Version,
    /// The value of Host; of a refused head perhaps one that is not a host.
    pub host: Option<Bytes>,
    /// `Expect: 100-continue` on HTTP/1.1.
    pub expects_continue: bool,
    /// The value of Upgrade, where an upgrade may be granted: named by Connection, HTTP/1.1, no body. The wire then waits for
    /// [`Handle::upgraded`].
    pub upgrade: Option<Bytes>,
    /// How the body is framed.
    pub body: Framing,
    /// To be kept until the response, body included, has been handed over.
    pub turn: Turn,
}

/// Says that a request is being served. No further head is read and no idle timer runs until it is dropped, so it belongs into the
/// response body (beside the open audit record).
#[derive(Debug, Default)]
pub struct Turn(Option<Arc<Shared>>);

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.lock();
        state.turns = state.turns.saturating_sub(1);
        let waker = if state.turns == 0 { state.reader.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Where a wish for an upgrade stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Upgrade {
    #[default]
    None,
    Asked,
    Granted,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// At most one: the next head is read only when this one has been served.
    pub queue: Option<Arrived>,
    pub turns: usize,
    pub upgrade: Upgrade,
    pub closing: bool,
    /// Inside a head or a body.
    pub midway: bool,
    pub reader: Option<Waker>,
}

impl State {
    pub(super) fn serving(&self) -> bool {
        self.turns > 0 || self.queue.is_some()
    }

    /// Who is to be woken by a change; replaced only when it is another task.
    pub(super) fn watch(&mut self, cx: &Context<'_>) {
        match &mut self.reader {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens under the lock; a poisoned one is still in order.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The service's side of a connection's wire.
#[derive(Clone, Debug)]
pub struct Handle(pub(super) Arc<Shared>);

impl Handle {
    /// The head of the request that the HTTP library has just handed over: exactly one per request, so `None` means a call too
    /// many.
    pub fn next(&self) -> Option<Arrived> {
        let mut state = self.0.lock();
        let mut arrived = state.queue.take()?;
        state.turns += 1;
        arrived.turn = Turn(Some(Arc::clone(&self.0)));
        Some(arrived)
    }

    /// The answer to a head with [`Arrived::upgrade`]: granted makes the wire transparent from here on, bytes already buffered
    /// included; refused lets it go on with HTTP. Without such a head it does nothing. An answer other than 101 must call it too.
    pub fn upgraded(&self, granted: bool) {
        self.change(|state| {
            if state.upgrade == Upgrade::Asked {
                state.upgrade = if granted { Upgrade::Granted } else { Upgrade::None };
            }
        });
    }

    /// Drain: the head that is arriving and the request being served are finished, then the library reads the end of the stream.
    pub fn close(&self) {
        self.change(|state| state.closing = true);
    }

    /// Whether nothing is arriving and nothing is being served: the connection may be closed without losing a request.
    pub fn idle(&self) -> bool {
        let state = self.0.lock();
        !state.midway && !state.serving()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        change(&mut state);
        let waker = state.reader.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
