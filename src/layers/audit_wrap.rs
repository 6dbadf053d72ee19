//! The audit layer: opens a record for each request, and closes it when the response body has ended or the client has gone.

use crate::audit::{Action, Decision, Ended, Kind, Record, Trail};
use crate::message::{Body, BodyError, Request, Response};
use crate::refusal::Layer;
use bytes::Bytes;
use http::header::HeaderName;
use http::{Method, StatusCode, Version};
use http_body::{Frame, SizeHint};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// Request headers kept in a record, in this order of names; their values are redacted by the writer.
const KEPT: [&str; 14] = [
    "user-agent",
    "referer",
    "origin",
    "content-type",
    "content-length",
    "content-encoding",
    "accept",
    "accept-language",
    "range",
    "upgrade",
    "via",
    "x-forwarded-for",
    "sec-fetch-site",
    "sec-fetch-mode",
];

/// Opens records.
#[derive(Debug)]
pub struct AuditWrap {
    trail: Trail,
}

/// A record that is written exactly once: when it is closed, or else when it is dropped.
#[derive(Debug)]
pub struct OpenRecord {
    record: Option<Box<Record>>,
    trail: Trail,
    request_bytes: Arc<AtomicU64>,
    head: bool,
}

impl AuditWrap {
    /// The layer in front of a trail.
    pub fn new(trail: Trail) -> Self {
        Self { trail }
    }

    /// Opens the record of a request; its body is counted from here on.
    pub fn open(&self, request: &mut Request) -> OpenRecord {
        let mut record = Box::new(Record::new(request.id, request.received, Arc::clone(&request.peer)));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        record.method = text(request.raw.method());
        record.version = version(request.version);
        record.host = request.authority.as_ref().map(|h| text(h)).unwrap_or_default();
        match request.target.iter().position(|b| *b == b'?') {
            Some(at) => {
                record.path = text(request.target.get(..at).unwrap_or_default());
                record.query = Some(text(request.target.get(at + 1..).unwrap_or_default()));
            }
            None => record.path = text(&request.target),
        }
        for name in KEPT {
            for value in request.headers.get_all(HeaderName::from_static(name)) {
                record.headers.push((name.to_owned(), value.as_bytes().to_vec()));
            }
        }
        let request_bytes = Arc::new(AtomicU64::new(0));
        if !request.body.is_empty() {
            let body = request.body.take();
            request.body = Body::boxed(Counted { body, bytes: Arc::clone(&request_bytes) });
        }
        OpenRecord { record: Some(record), trail: self.trail.clone(), request_bytes, head: request.method == Method::HEAD }
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

impl OpenRecord {
    /// Closes the record when the response's body has ended; until then it travels inside the body.
    pub fn close_with(mut self, response: Response) -> Response {
        self.answer(response.status, response.abort);
        if response.abort {
            return response;
        }
        let bodiless = self.head || response.status == StatusCode::NO_CONTENT || response.status == StatusCode::NOT_MODIFIED;
        let mut response = response;
        if bodiless || response.body.is_empty() {
            self.ended = Ended::Complete;
            drop(self);
            return response;
        }
        self.ended = Ended::ClientGone;
        let body = response.body.take();
        response.body = Body::boxed(Recorded { body, open: Some(self) });
        response
    }

    /// Writes the record of an upgrade, whose response is a 101, and opens that of the tunnel's end.
    pub fn tunnel(mut self, response: Response) -> (Response, TunnelRecord) {
        self.answer(response.status, false);
        self.ended = Ended::Tunnel;
        let mut end = Record::new(self.id, self.received, Arc::clone(&self.peer));
        end.kind = Kind::TunnelEnd;
        end.clone_request(&self);
        let trail = self.trail.clone();
        drop(self);
        (response, TunnelRecord { record: Box::new(end), trail })
    }

    fn answer(&mut self, status: StatusCode, abort: bool) {
        self.status = (!abort).then_some(status.as_u16());
        self.timing.head = Some(self.received.elapsed_micros());
    }

    fn write(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        record.request_bytes = self.request_bytes.load(Ordering::Relaxed);
        record.timing.total = Some(record.received.elapsed_micros());
        if record.status.is_none() && record.decision.layer.is_none() {
            // The future was dropped before there was an answer.
            record.ended = Ended::ClientGone;
            record.decision = Decision { layer: Some(Layer::Server), action: Action::Abort, reason: "client_gone" };
        }
        if let Some(late) = record.late.take() {
            late.settle(&mut record);
        }
        self.trail.write(&record);
    }
}

impl Deref for OpenRecord {
    type Target = Record;

    #[allow(clippy::expect_used, reason = "the record is taken only in write, by drop")]
    fn deref(&self) -> &Record {
        self.record.as_ref().expect("an open record has its record")
    }
}

impl DerefMut for OpenRecord {
    #[allow(clippy::expect_used, reason = "the record is taken only in write, by drop")]
    fn deref_mut(&mut self) -> &mut Record {
        self.record.as_mut().expect("an open record has its record")
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        self.write();
    }
}

/// A request body whose bytes are counted.
struct Counted {
    body: Body,
    bytes: Arc<AtomicU64>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.bytes.fetch_add(frame.data_ref().map_or(0, |d| d.len() as u64), Ordering::Relaxed);
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

/// A response body that carries the record and closes it at its end, or when it is dropped.
struct Recorded {
    body: Body,
    open: Option<OpenRecord>,
}

impl Recorded {
    fn close(&mut self, ended: Ended) {
        if let Some(mut open) = self.open.take() {
            open.ended = ended;
        }
    }
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(open), Some(data)) = (&mut this.open, frame.data_ref()) {
                    open.response_bytes += data.len() as u64;
                }
                if this.body.is_end_stream() {
                    this.close(Ended::Complete);
                }
            }
            Some(Err(BodyError::Broken(_))) => this.close(Ended::BackendBroken),
            Some(Err(BodyError::Refused(_))) => this.close(Ended::Cut),
            None => this.close(Ended::Complete),
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

/// The record of a tunnel's end, written when it is closed or dropped.
#[derive(Debug)]
pub struct TunnelRecord {
    record: Box<Record>,
    trail: Trail,
}

impl TunnelRecord {
    /// Writes what went through, and why it is over.
    pub fn close(mut self, bytes_up: u64, bytes_down: u64, why: &'static str) {
        self.record.request_bytes = bytes_up;
        self.record.response_bytes = bytes_down;
        self.record.ended = Ended::Complete;
        self.record.decision = Decision { layer: None, action: Action::Allow, reason: why };
    }
}

impl Drop for TunnelRecord {
    fn drop(&mut self) {
        self.record.timing.total = Some(self.record.received.elapsed_micros());
        self.trail.write(&self.record);
    }
}
