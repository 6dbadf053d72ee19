//! Response bodies on their way past the rules: held until phase 4 has decided, or followed where they must not wait.

use super::budget::{Budget, Share};
use super::decode::{self, Coding, End};
use super::held::Held;
use super::watch::{Fed, Feed, Watched};
use super::{Decision, Plan};
use crate::head::CONTENT_TYPE;
use crate::limits::{RESPONSE_HOLD_SILENCE, RESPONSE_HOLD_TIMEOUT};
use crate::message::{Body, BodyError, Response};
use crate::refusal::Refusal;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use seclang::transaction::Mode;
use seclang::verdict::Phase;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, timeout_at};

/// Why reading ended.
enum Stop {
    End,
    Limit,
    NoRoom,
    /// It comes too slowly to be waited for.
    Slow,
    Broken(BodyError),
}

/// Phase 4, and the body that goes on.
///
/// # Errors
/// What the rules decide, `ResponseTooLarge`, `EngineError`, `Overloaded`.
pub(super) async fn pass(plan: &Plan, watched: &Arc<Watched>, budget: &Arc<Budget>, body: Body, head: Head) -> Result<Body, Refusal> {
    let wanted = !body.is_empty() && head.wanted;
    let codings = match (wanted, head.codings) {
        (true, Ok(codings)) => codings,
        (true, Err(decode::Unknown)) => {
            watched.lessen("response_encoding");
            plan.run(watched, Phase::ResponseBody, None).await?;
            return Ok(body);
        }
        (false, _) => {
            plan.run(watched, Phase::ResponseBody, None).await?;
            return Ok(body);
        }
    };
    let mut follow = Following::new(plan, watched, codings, head.limit, budget.share());
    if plan.mode != Mode::Block || head.streams {
        follow.body = body;
        return Ok(Body::boxed(follow));
    }
    let (mut body, mut held) = (body, Held::new(budget));
    let stop = read(&mut body, &mut held, head.limit, budget).await;
    let rest = match stop {
        Stop::End => None,
        Stop::Broken(error) => {
            // Nothing has gone out yet: an error is told as one.
            watched.lessen("response_broken");
            follow.decided = true;
            return Err(match error {
                BodyError::Refused(refusal) => refusal,
                BodyError::Broken(_) => Refusal::BackendGarbage,
            });
        }
        Stop::Limit if plan.refuses_large_responses => {
            watched.lessen("response_limit");
            follow.decided = true;
            return Err(Refusal::ResponseTooLarge);
        }
        Stop::Limit => {
            watched.lessen("response_limit");
            follow.cut = true;
            Some(body)
        }
        Stop::Slow if head.limit > 0 => {
            if let Some(seen) = held.whole().await {
                (follow.bytes, follow.skip) = (seen.len(), seen.len());
                follow.share = held.take_share(budget.share());
                follow.chunks.push(seen);
                follow.body = held.back(Some(body)).await;
                return Ok(Body::boxed(follow));
            }
            Some(body)
        }
        Stop::Slow | Stop::NoRoom => Some(body),
    };
    follow.decided = true;
    let seen = held.whole().await;
    match seen.filter(|_| held.bytes() <= head.limit as u64 || follow.cut) {
        Some(seen) => {
            let most = if follow.codings.is_empty() { head.limit.min(seen.len()) } else { seen.len() };
            let (codings, share) = (std::mem::take(&mut follow.codings), held.take_share(budget.share()));
            let feed = Feed { body: Fed::Plain(seen.slice(..most)), codings, limit: head.limit, share, cut: follow.cut };
            decide(plan, watched, feed).await?;
        }
        None => {
            watched.lessen("response_memory");
            plan.run(watched, Phase::ResponseBody, None).await?;
        }
    }
    Ok(held.back(rest).await)
}

/// What of a response's head decides about its body.
pub(super) struct Head {
    /// Rules want to see it.
    wanted: bool,
    /// Bytes that are inspected, decoded.
    limit: usize,
    codings: Result<Vec<Coding>, decode::Unknown>,
    /// Events that must not wait for one another.
    streams: bool,
}

impl Head {
    /// Read off a response that the transaction has seen, unless it is still busy: then the body is copied in any case, and the
    /// transaction takes it or leaves it.
    pub(super) fn of(response: &Response, watched: &Watched, usual_limit: u64) -> Self {
        let content_type = response.headers.get(&CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let streams = content_type.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"));
        let (wanted, limit) =
            if watched.is_busy() { (true, usual_limit) } else { watched.with(|tx| (tx.wants_response_body(), tx.response_body_limit())) };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { wanted, limit, codings: decode::codings(&response.headers), streams }
    }
}

/// Reads until the end, the limit, or a pause: a body that comes bit by bit is somebody's stream.
async fn read(body: &mut Body, held: &mut Held, limit: usize, budget: &Arc<Budget>) -> Stop {
    let last = Instant::now() + RESPONSE_HOLD_TIMEOUT;
    loop {
        let frame = match timeout_at(last.min(Instant::now() + RESPONSE_HOLD_SILENCE), body.frame()).await {
            Err(_) => return Stop::Slow,
            Ok(None) => return Stop::End,
            Ok(Some(Err(error))) => return Stop::Broken(error),
            Ok(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(chunk) => {
                if held.push(chunk, budget).await.is_err() {
                    return Stop::NoRoom;
                }
                if held.bytes() > limit as u64 {
                    return Stop::Limit;
                }
            }
            Err(frame) => held.trailers = frame.into_trailers().ok(),
        }
    }
}

/// Phase 4 on a body; what could not be decoded passes, and the record says so.
async fn decide(plan: &Plan, watched: &Arc<Watched>, feed: Feed) -> Result<(), Refusal> {
    let outcome = watched.decide(Phase::ResponseBody, Some(feed)).await?;
    if let Some(reason) = outcome.decoded.reason(Phase::ResponseBody) {
        watched.lessen(reason);
    }
    plan.judge(watched, outcome.intervention)?;
    let large = matches!(outcome.decoded, End::Limit | End::Ratio);
    if large && plan.refuses_large_responses { Err(Refusal::ResponseTooLarge) } else { Ok(()) }
}

/// A body that passes while a copy of its first part is kept. In block mode phase 4 decides before the end passes: its no cuts the
/// stream off. In detect mode nobody waits for it.
struct Following {
    body: Body,
    plan: Plan,
    watched: Arc<Watched>,
    codings: Vec<Coding>,
    chunks: Vec<Bytes>,
    bytes: usize,
    limit: usize,
    share: Share,
    /// Bytes that were copied before they began to pass.
    skip: usize,
    cut: bool,
    /// The frame that waits for the decision.
    last: Option<Frame<Bytes>>,
    decision: Option<Decision>,
    decided: bool,
}

impl Following {
    fn new(plan: &Plan, watched: &Arc<Watched>, codings: Vec<Coding>, limit: usize, share: Share) -> Self {
        Self {
            body: Body::empty(),
            plan: *plan,
            watched: Arc::clone(watched),
            codings,
            chunks: Vec::new(),
            bytes: 0,
            limit,
            share,
            skip: 0,
            cut: false,
            last: None,
            decision: None,
            decided: false,
        }
    }

    /// Keeps a copy; true when no more is to be kept.
    fn copy(&mut self, chunk: &Bytes) -> bool {
        let skipped = self.skip.min(chunk.len());
        self.skip -= skipped;
        let chunk = chunk.slice(skipped..);
        let room = (self.limit - self.bytes).min(chunk.len());
        if !self.share.take(room) {
            self.watched.lessen("response_memory");
            self.cut = true;
            return true;
        }
        self.bytes += room;
        if room > 0 {
            self.chunks.push(chunk.slice(..room));
        }
        if room < chunk.len() {
            self.watched.lessen("response_limit");
            self.cut = true;
        }
        self.cut
    }

    fn feed(&mut self) -> Feed {
        let chunks = std::mem::take(&mut self.chunks);
        let whole = if chunks.len() == 1 { chunks.into_iter().next().unwrap_or_default() } else { chunks.concat().into() };
        let share = self.share.split();
        Feed { body: Fed::Plain(whole), codings: std::mem::take(&mut self.codings), limit: self.limit, share, cut: self.cut }
    }

    /// No more is to be copied: phase 4.
    fn end(&mut self) {
        if std::mem::replace(&mut self.decided, true) {
            return;
        }
        let feed = self.feed();
        if self.plan.mode != Mode::Block {
            return self.watched.note(Phase::ResponseBody, Some(feed));
        }
        let (plan, watched) = (self.plan, Arc::clone(&self.watched));
        self.decision = Some(Box::pin(async move { decide(&plan, &watched, feed).await }));
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if !self.decided {
            self.watched.lessen("response_not_read");
            (self.cut, self.decided) = (true, true);
            let feed = self.feed();
            self.watched.note(Phase::ResponseBody, Some(feed));
        }
    }
}

impl http_body::Body for Following {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(decision) = &mut this.decision {
                let outcome = ready!(decision.as_mut().poll(cx));
                this.decision = None;
                if let Err(refusal) = outcome {
                    this.last = None;
                    this.body = Body::empty();
                    return Poll::Ready(Some(Err(BodyError::Refused(refusal))));
                }
            }
            if let Some(frame) = this.last.take() {
                return Poll::Ready(Some(Ok(frame)));
            }
            let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
            if this.decided {
                return Poll::Ready(frame);
            }
            match frame {
                Some(Ok(frame)) => {
                    let full = frame.data_ref().is_some_and(|chunk| this.copy(&chunk.clone()));
                    if full || frame.is_trailers() || this.body.is_end_stream() {
                        this.end();
                    }
                    this.last = Some(frame);
                }
                Some(Err(error)) => {
                    this.watched.lessen("response_broken");
                    // It has failed already: what the rules say changes nothing.
                    (this.cut, this.decided) = (true, true);
                    let feed = this.feed();
                    this.watched.note(Phase::ResponseBody, Some(feed));
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.end();
                    if this.decision.is_none() {
                        return Poll::Ready(None);
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decided && self.decision.is_none() && self.last.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let last = self.last.as_ref().and_then(|frame| frame.data_ref()).map_or(0, |data| data.len() as u64);
        self.body.size_hint().exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + last))
    }
}
