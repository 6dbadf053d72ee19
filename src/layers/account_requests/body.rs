//! The body of the form: bounded before anybody holds it, and read.

use crate::limits::ACCOUNT_FORM_BYTES_MAX;
use crate::message::{Body, BodyError};
use crate::refusal::Refusal;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A body that is refused where it is longer than it may be.
pub(super) struct Bounded {
    body: Body,
    left: usize,
}

impl Bounded {
    pub(super) fn new(body: Body, most: usize) -> Self {
        Self { body, left: most }
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(BodyError::Refused(Refusal::FormTooLarge)))),
            }
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

/// The whole body; what is not UTF-8 becomes the replacement character.
pub(super) async fn text(mut body: Body) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error {
            BodyError::Refused(refusal) => refusal,
            BodyError::Broken(_) => Refusal::BodyIncomplete,
        })?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() > ACCOUNT_FORM_BYTES_MAX {
            return Err(Refusal::FormTooLarge);
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit_and_refused_beyond() {
        let read = |bytes: usize| text(Body::boxed(Bounded::new(Body::full(vec![b'a'; bytes]), 100)));
        assert_eq!(read(100).await.unwrap().len(), 100);
        assert_eq!(read(101).await, Err(Refusal::FormTooLarge));
        assert_eq!(text(Body::full(vec![b'a'; ACCOUNT_FORM_BYTES_MAX + 1])).await, Err(Refusal::FormTooLarge));
    }
}
