//! A response body that ends when its user may no longer come in.

use super::BasicAuth;
use crate::evidence::Caller;
use crate::limits::TUNNEL_CHECK_INTERVAL;
use crate::message::{Body, BodyError};
use crate::policy::Map;
use crate::refusal::Refusal;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep};

/// Chunks that pass before a body that never waits is looked at; shorter ones cost nothing.
const FREE_CHUNKS: u32 = 64;

/// Asks [`BasicAuth::still_allowed`] every [`TUNNEL_CHECK_INTERVAL`], from the first time that it has to wait.
pub(super) struct Stream {
    body: Body,
    layer: Arc<BasicAuth>,
    map: Arc<Map>,
    caller: Caller,
    timer: Option<Pin<Box<Sleep>>>,
    chunks: u32,
}

impl Stream {
    pub(super) fn new(body: Body, layer: Arc<BasicAuth>, map: Arc<Map>, caller: Caller) -> Self {
        Self { body, layer, map, caller, timer: None, chunks: 0 }
    }

    /// False when it is time to ask and the answer is no.
    fn may_go_on(&mut self, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(TUNNEL_CHECK_INTERVAL)));
        while timer.as_mut().poll(cx).is_ready() {
            if !self.layer.still_allowed(&self.map, &self.caller) {
                return false;
            }
            timer.as_mut().reset(Instant::now() + TUNNEL_CHECK_INTERVAL);
        }
        true
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.chunks = self.chunks.saturating_add(1);
        let look = frame.is_pending() || self.timer.is_some() || self.chunks > FREE_CHUNKS;
        if look && !self.may_go_on(cx) {
            return Poll::Ready(Some(Err(BodyError::Refused(Refusal::NotAllowed))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
