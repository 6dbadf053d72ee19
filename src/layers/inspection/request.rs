//! Request bodies on their way past the rules: held until they have decided, copied in detect mode, or streamed past.

use super::budget::{Budget, Share};
use super::decode::{self, Coding, End};
use super::held::Held;
use super::intake::{Intake, Kind, Look};
use super::watch::{Fed, Feed, Outcome, Watched};
use super::{Decision, Plan};
use crate::audit::Extent;
use crate::message::{Body, BodyError, Request};
use crate::refusal::Refusal;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use seclang::verdict::Phase;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Why reading ended.
enum Stop {
    /// The body has.
    End,
    /// It is of a form that rules do not read.
    Opaque,
    /// There is more than is inspected.
    Limit,
    /// What is too large are files, which need not be held.
    Files,
    /// There is room for it neither in memory nor on the disk.
    NoRoom,
}

/// Block mode: nothing goes on before phase 2 has decided.
///
/// # Errors
/// What the rules decide, `BodyTooLarge`, `BodyUndecodable`, `Overloaded`, `EngineError`, and what ended the body early.
pub(super) async fn hold(plan: &Plan, watched: &Arc<Watched>, budget: &Arc<Budget>, request: &mut Request) -> Result<(), Refusal> {
    let codings = match decode::codings(&request.headers) {
        Ok(codings) => codings,
        Err(decode::Unknown) => {
            watched.extent(Extent::Partial, "content_encoding");
            judge(plan, watched, None).await?;
            return if plan.closed { Err(Refusal::BodyUndecodable) } else { Ok(()) };
        }
    };
    let mut intake = Intake::of_request(request, watched, &codings, budget);
    let mut held = Held::new(budget);
    let mut body = request.body.take();
    let stop = read(&mut body, &mut intake, &mut held, budget).await?;
    let rest = if matches!(stop, Stop::End) { None } else { Some(body) };
    match stop {
        Stop::End => {
            watched.extent(Extent::Full, "");
            let feed = feed(&mut held, intake, codings, false).await;
            decide(plan, watched, feed).await?;
        }
        Stop::Opaque => {
            watched.extent(Extent::Partial, "content_type");
            judge(plan, watched, None).await?;
        }
        Stop::Limit => {
            watched.extent(Extent::Partial, "body_limit");
            if plan.refuses_large && intake.kind != Kind::Unknown {
                return Err(Refusal::BodyTooLarge);
            }
            let feed = feed(&mut held, intake, codings, true).await;
            decide(plan, watched, feed).await?;
        }
        Stop::Files => {
            watched.extent(Extent::Partial, "file_content");
            let held = held.back(None).await;
            let rest = rest.unwrap_or_else(Body::empty);
            request.body = Body::boxed(Flowing::new(held, rest, intake, *plan, Arc::clone(watched)));
            return Ok(());
        }
        Stop::NoRoom => {
            watched.extent(Extent::Partial, "memory");
            judge(plan, watched, None).await?;
            if plan.closed {
                return Err(Refusal::Overloaded);
            }
        }
    }
    request.body = held.back(rest).await;
    Ok(())
}

async fn read(body: &mut Body, intake: &mut Intake, held: &mut Held, budget: &Arc<Budget>) -> Result<Stop, Refusal> {
    loop {
        let frame = match body.frame().await {
            None => return Ok(Stop::End),
            Some(Ok(frame)) => frame,
            Some(Err(BodyError::Refused(refusal))) => return Err(refusal),
            Some(Err(BodyError::Broken(_))) => return Err(Refusal::BodyIncomplete),
        };
        match frame.into_data() {
            Ok(chunk) => {
                let look = intake.look(&chunk);
                let room = held.push(chunk, budget).await;
                match look {
                    Look::Opaque => return Ok(Stop::Opaque),
                    Look::Over => return Ok(Stop::Limit),
                    Look::Files => return Ok(Stop::Files),
                    Look::NoRoom => return Ok(Stop::NoRoom),
                    Look::On if room.is_err() => return Ok(Stop::NoRoom),
                    Look::On => {}
                }
            }
            Err(frame) => held.trailers = frame.into_trailers().ok(),
        }
    }
}

/// What the rules are given of a held body; `None` where no memory became free in time.
async fn feed(held: &mut Held, intake: Intake, codings: Vec<Coding>, cut: bool) -> Option<Feed> {
    let limit = intake.limit();
    let (body, share) = match intake.condensed() {
        Ok(condensed) => condensed,
        Err(share) => {
            let whole = held.whole().await?;
            let most = whole.len().min(if codings.is_empty() { limit } else { usize::MAX });
            // The memory counts for as long as the transaction holds the body, which is longer than the backend needs it.
            (Fed::Plain(whole.slice(..most)), held.take_share(share))
        }
    };
    Some(Feed { body, codings, limit, share, cut })
}

async fn decide(plan: &Plan, watched: &Arc<Watched>, feed: Option<Feed>) -> Result<(), Refusal> {
    let Some(feed) = feed else {
        watched.extent(Extent::Partial, "memory");
        judge(plan, watched, None).await?;
        return if plan.closed { Err(Refusal::Overloaded) } else { Ok(()) };
    };
    if let Fed::Condensed(condensed) = &feed.body
        && condensed.is_cut
    {
        watched.lessen("file_content");
    }
    let end = judge(plan, watched, Some(feed)).await?;
    if let Some(reason) = end.reason(Phase::RequestBody) {
        watched.extent(Extent::Partial, reason);
    }
    match end {
        End::Broken if plan.closed => Err(Refusal::BodyUndecodable),
        End::Limit | End::Ratio if plan.refuses_large => Err(Refusal::BodyTooLarge),
        End::Memory if plan.closed => Err(Refusal::Overloaded),
        _ => Ok(()),
    }
}

/// Phase 2.
async fn judge(plan: &Plan, watched: &Arc<Watched>, feed: Option<Feed>) -> Result<End, Refusal> {
    let Outcome { intervention, decoded } = watched.decide(Phase::RequestBody, feed).await?;
    plan.judge(watched, intervention)?;
    Ok(decoded)
}

/// A multipart body whose files are too large to be held: it flows, all but its end, while fields and file names are gathered. The
/// rules decide before the end goes on, so that the backend never gets the whole of a refused body.
struct Flowing {
    held: Body,
    rest: Body,
    intake: Option<Intake>,
    plan: Plan,
    watched: Arc<Watched>,
    /// The last chunk, which goes on when there is another, or when phase 2 has let it pass.
    tail: Option<Bytes>,
    trailers: Option<http::HeaderMap>,
    decision: Option<Decision>,
    decided: bool,
}

impl Flowing {
    fn new(held: Body, rest: Body, intake: Intake, plan: Plan, watched: Arc<Watched>) -> Self {
        let (tail, trailers, decision) = (None, None, None);
        Self { held, rest, intake: Some(intake), plan, watched, tail, trailers, decision, decided: false }
    }

    /// Phase 2 on what was gathered.
    fn decide(&mut self, reason: Option<&'static str>) {
        let Some(intake) = self.intake.take() else { return };
        let (plan, watched) = (self.plan, Arc::clone(&self.watched));
        self.decision = Some(Box::pin(async move {
            if let Some(reason) = reason {
                watched.extent(Extent::Partial, reason);
            }
            let limit = intake.limit();
            let feed = intake.condensed().ok().map(|(body, share)| Feed { body, codings: Vec::new(), limit, share, cut: reason.is_some() });
            decide(&plan, &watched, feed).await?;
            match reason {
                Some("body_limit") if plan.refuses_large => Err(Refusal::BodyTooLarge),
                Some("memory") if plan.closed => Err(Refusal::Overloaded),
                _ => Ok(()),
            }
        }));
    }

    fn take_in(&mut self, chunk: &Bytes) {
        match self.intake.as_mut().map(|intake| intake.look(chunk)) {
            Some(Look::Over) => self.decide(Some("body_limit")),
            Some(Look::NoRoom) => self.decide(Some("memory")),
            _ => {}
        }
    }
}

impl http_body::Body for Flowing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(decision) = &mut this.decision {
                let outcome = ready!(decision.as_mut().poll(cx));
                (this.decision, this.decided) = (None, true);
                if let Err(refusal) = outcome {
                    return Poll::Ready(Some(Err(BodyError::Refused(refusal))));
                }
            }
            if !this.held.is_empty() {
                // Gathered already, while it was held.
                match ready!(Pin::new(&mut this.held).poll_frame(cx)) {
                    Some(frame) => return Poll::Ready(Some(frame)),
                    None => this.held = Body::empty(),
                }
                continue;
            }
            if this.decided && this.tail.is_none() && this.trailers.is_none() {
                return Pin::new(&mut this.rest).poll_frame(cx);
            }
            if this.decided {
                let frame = this.tail.take().map(Frame::data).or_else(|| this.trailers.take().map(Frame::trailers));
                return Poll::Ready(frame.map(Ok));
            }
            match ready!(Pin::new(&mut this.rest).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => {
                        this.take_in(&chunk);
                        if let Some(before) = this.tail.replace(chunk) {
                            return Poll::Ready(Some(Ok(Frame::data(before))));
                        }
                    }
                    Err(frame) => this.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if this.intake.is_none() => this.decided = true,
                None => this.decide(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decided && self.tail.is_none() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let tail = self.tail.as_ref().map_or(0, |tail| tail.len() as u64);
        match (self.held.size_hint().exact(), self.rest.size_hint().exact()) {
            (Some(held), Some(rest)) => SizeHint::with_exact(held + tail + rest),
            _ => SizeHint::default(),
        }
    }
}

/// Detect mode: the body passes untouched, a copy of its first part is inspected when it has ended.
pub(super) struct Copying {
    body: Body,
    watched: Arc<Watched>,
    intake: Option<Intake>,
    codings: Vec<Coding>,
    chunks: Vec<Bytes>,
    bytes: usize,
    share: Share,
    cut: Option<&'static str>,
}

impl Copying {
    /// Puts the copy between a request and its body.
    pub(super) fn put(watched: &Arc<Watched>, budget: &Arc<Budget>, request: &mut Request) {
        let (codings, cut) = match decode::codings(&request.headers) {
            Ok(codings) => (codings, None),
            Err(decode::Unknown) => (Vec::new(), Some("content_encoding")),
        };
        let intake = Some(Intake::of_request(request, watched, &codings, budget));
        let (body, watched, share) = (request.body.take(), Arc::clone(watched), budget.share());
        request.body = Body::boxed(Self { body, watched, intake, codings, chunks: Vec::new(), bytes: 0, share, cut });
    }

    fn copy(&mut self, chunk: &Bytes) {
        let Some(intake) = self.intake.as_mut().filter(|_| self.cut.is_none()) else { return };
        let look = intake.look(chunk);
        if !intake.is_condensing() {
            let room = intake.raw_limit().saturating_sub(self.bytes).min(chunk.len());
            if !self.share.take(room) {
                self.cut = Some("memory");
                return;
            }
            self.bytes += room;
            self.chunks.push(chunk.slice(..room));
        }
        match look {
            Look::On | Look::Files => {}
            Look::Over => self.cut = Some("body_limit"),
            Look::NoRoom => self.cut = Some("memory"),
            Look::Opaque => {
                self.cut = Some("content_type");
                (self.chunks, self.bytes) = (Vec::new(), 0);
                self.share.give_back();
            }
        }
    }

    fn end(&mut self, cut: Option<&'static str>) {
        let Some(intake) = self.intake.take() else { return };
        let cut = self.cut.or(cut);
        match cut {
            None => self.watched.extent(Extent::Full, ""),
            Some(reason) => self.watched.extent(Extent::Partial, reason),
        }
        let limit = intake.limit();
        let (body, share) = match intake.condensed() {
            Ok((Fed::Condensed(condensed), share)) => {
                if condensed.is_cut {
                    self.watched.lessen("file_content");
                }
                (Fed::Condensed(condensed), share)
            }
            Ok(other) => other,
            Err(unused) => {
                let chunks = std::mem::take(&mut self.chunks);
                let whole = if chunks.len() == 1 { chunks.into_iter().next().unwrap_or_default() } else { chunks.concat().into() };
                (Fed::Plain(whole), std::mem::replace(&mut self.share, unused))
            }
        };
        let codings = std::mem::take(&mut self.codings);
        // Detect mode never intervenes; what the rules found is in the transaction.
        self.watched.note(Phase::RequestBody, Some(Feed { body, codings, limit, share, cut: cut.is_some() }));
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
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(chunk) = frame.data_ref() {
                    this.copy(chunk);
                }
                if frame.is_trailers() || this.body.is_end_stream() {
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
