//! Request bodies held or copied for inspection, under one memory budget for all requests.

use super::watch::Watched;
use crate::audit::Extent;
use crate::message::{Body, BodyError};
use crate::refusal::Refusal;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// Bytes that inspection may hold over all requests.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicUsize,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }

    fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }
}

impl Share {
    /// Takes more; false when there is not as much.
    fn take(&mut self, bytes: usize) -> bool {
        let taken = self.budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// A body, or its first part, in memory.
pub(super) struct Collected {
    /// What was read, in order; together at most the limit, but for the end of the last chunk.
    pub(super) chunks: Vec<Bytes>,
    /// All of it.
    pub(super) whole: bool,
    /// Reading stopped for lack of memory.
    pub(super) over_budget: bool,
    trailers: Option<http::HeaderMap>,
    rest: Body,
    share: Share,
}

/// Reads a body up to `limit` bytes.
///
/// # Errors
/// What ended the body: the wire's refusal, or `BodyIncomplete`.
pub(super) async fn collect(mut body: Body, limit: usize, budget: &Arc<Budget>) -> Result<Collected, Refusal> {
    let (mut chunks, mut share, mut total) = (Vec::new(), budget.share(), 0_usize);
    let (mut whole, mut over_budget, mut trailers) = (false, false, None);
    loop {
        let frame = match body.frame().await {
            None => {
                whole = true;
                break;
            }
            Some(Ok(frame)) => frame,
            Some(Err(BodyError::Refused(refusal))) => return Err(refusal),
            Some(Err(BodyError::Broken(_))) => return Err(Refusal::BodyIncomplete),
        };
        match frame.into_data() {
            Ok(chunk) => {
                total += chunk.len();
                over_budget = !share.take(chunk.len());
                chunks.push(chunk);
                if total > limit || over_budget {
                    break;
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Collected { chunks, whole, over_budget, trailers, rest: body, share })
}

impl Collected {
    /// The body as it came, for the backend.
    pub(super) fn back(self) -> Body {
        let simple = self.whole && self.trailers.is_none();
        let mut chunks = self.chunks;
        if simple && chunks.len() == 1 {
            return chunks.pop().map_or_else(Body::empty, Body::full);
        }
        chunks.reverse();
        let length = simple.then(|| chunks.iter().map(|c| c.len() as u64).sum());
        let rest = if self.whole { Body::empty() } else { self.rest };
        Body::boxed(Replay { chunks, rest, trailers: self.trailers, length, _share: self.share })
    }
}

/// What was read, then the rest.
struct Replay {
    /// In reverse order.
    chunks: Vec<Bytes>,
    rest: Body,
    trailers: Option<http::HeaderMap>,
    length: Option<u64>,
    _share: Share,
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(chunk) = self.chunks.pop() {
            if let Some(length) = &mut self.length {
                *length = length.saturating_sub(chunk.len() as u64);
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Detect mode: the body passes untouched, a copy of its first part is inspected when it has ended.
pub(super) struct Copying {
    body: Body,
    watched: Arc<Watched>,
    left: usize,
    share: Share,
    cut: Option<&'static str>,
    done: bool,
}

impl Copying {
    pub(super) fn new(body: Body, watched: Arc<Watched>, limit: usize, budget: &Arc<Budget>) -> Self {
        Self { body, watched, left: limit, share: budget.share(), cut: None, done: false }
    }

    fn copy(&mut self, chunk: &Bytes) {
        if self.cut.is_some() {
            return;
        }
        let part = chunk.len().min(self.left);
        if !self.share.take(part) {
            self.cut = Some("memory");
            return;
        }
        self.watched.feed(&chunk[..part]);
        self.left -= part;
        if part < chunk.len() {
            self.cut = Some("body_limit");
        }
    }

    fn end(&mut self, cut: Option<&'static str>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        match self.cut.or(cut) {
            None => self.watched.extent(Extent::Full, ""),
            Some(reason) => self.watched.extent(Extent::Partial, reason),
        }
        // Detect mode never intervenes; what the rules found is in the transaction.
        let _ = self.watched.request_body();
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        self.end(Some("body_not_read"));
    }
}

impl http_body::Body for Copying {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(chunk) = frame.data_ref() {
                    this.copy(chunk);
                }
                if this.body.is_end_stream() {
                    this.end(None);
                }
            }
            Some(Err(_)) => this.end(Some("body_broken")),
            None => this.end(None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
