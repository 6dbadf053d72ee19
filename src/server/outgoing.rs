//! A response handed to hyper for an HTTP/2 stream, and the body type it has there.

use crate::head::Headers;
use crate::message::{Body, BodyError, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Reset the stream without an answer.
#[derive(Debug)]
pub(super) struct Abort;

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for Abort {}

/// A response body on its way to the client, holding `H` (the stream's place) until it has been handed over.
pub(super) struct Outgoing<H> {
    body: Body,
    _held: H,
}

impl<H: Unpin> http_body::Body for Outgoing<H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Hands a response to hyper.
///
/// # Errors
/// `Abort` where the response says so.
pub(super) fn response<H>(response: Response, held: H) -> Result<hyper::Response<Outgoing<H>>, Abort> {
    if response.abort {
        return Err(Abort);
    }
    let mut out = hyper::Response::new(Outgoing { body: response.body, _held: held });
    *out.status_mut() = response.status;
    *out.headers_mut() = map(&response.headers);
    Ok(out)
}

fn map(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        // Ours and hyper's idea of a name and a value are the same RFC's.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes())) {
            map.append(name, value);
        }
    }
    map
}
