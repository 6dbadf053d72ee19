//! The audit layer: opens a record for each request, and closes it when the response body has ended or the client has gone.

use crate::audit::escape::visible;
use crate::audit::{Action, Begun, Decision, Ended, Kind, Record, Sink, Trail};
use crate::head::NameSet;
use crate::message::{Body, BodyError, Request, Response};
use crate::metrics::Metrics;
use crate::refusal::Layer;
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use http_body::{Frame, SizeHint};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

/// Request headers kept in a record, whose values are redacted by the writer.
static KEPT: LazyLock<NameSet> = LazyLock::new(|| {
    NameSet::new(|name| {
        matches!(
            name,
            "range"
                | "origin"
                | "referer"
                | "upgrade"
                | "user-agent"
                | "content-type"
                | "sec-fetch-site"
                | "x-forwarded-for"
                | "content-encoding"
        )
    })
});

/// Opens records.
#[derive(Debug)]
pub struct AuditWrap(Arc<Way>);

/// Where records go.
#[derive(Debug)]
struct Way {
    trail: Trail,
    sink: Sink,
}

/// A record that is written exactly once: when it is closed, or else when it is dropped.
#[derive(Debug)]
pub struct OpenRecord {
    record: Option<Box<Record>>,
    way: Arc<Way>,
    begun: Begun,
    /// Counted where there is a body.
    request_bytes: Option<Arc<AtomicU64>>,
    head: bool,
}

impl AuditWrap {
    /// The layer in front of a trail; what it writes is counted as well.
    pub fn new(trail: Trail, metrics: Arc<Metrics>) -> Self {
        let own = trail.clone();
        let sink = Sink::new(move |record| {
            metrics.observe(record);
            own.write(record);
        });
        Self(Arc::new(Way { trail, sink }))
    }

    /// Opens the record of a request; its body is counted from here on.
    pub fn open(&self, request: &mut Request) -> OpenRecord {
        let begun = self.0.trail.begin();
        let mut record = Box::new(Record::new(request.id, request.received, Arc::clone(&request.peer)));
        record.method = match request.method {
            // Spelled otherwise they would be other methods.
            Method::GET => "GET".into(),
            Method::POST => "POST".into(),
            Method::HEAD => "HEAD".into(),
            _ => visible(request.raw.method()).into(),
        };
        record.version = version(request.version);
        record.host = request.authority.as_ref().map(|h| visible(h)).unwrap_or_default();
        match request.target.iter().position(|b| *b == b'?') {
            Some(at) => {
                record.path = visible(request.target.get(..at).unwrap_or_default());
                record.query = Some(visible(request.target.get(at + 1..).unwrap_or_default()));
            }
            None => record.path = visible(&request.target),
        }
        for header in &request.raw.headers {
            if let Some(name) = KEPT.well_known(&request.raw, header) {
                record.headers.push((name.into(), request.raw.slice(&header.value)));
            }
        }
        let mut request_bytes = None;
        if !request.body.is_empty() {
            let body = request.body.take();
            let bytes = request_bytes.insert(Arc::new(AtomicU64::new(0)));
            request.body = Body::boxed(Counted { body, bytes: Arc::clone(bytes) });
        }
        OpenRecord { record: Some(record), way: Arc::clone(&self.0), begun, request_bytes, head: request.method == Method::HEAD }
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// Waits where a burst has begun more than the trail's writer has allowed for: another thread then writes it down.
pub async fn covered(trail: &Trail, begun: Begun) {
    if !trail.covers(begun) {
        let own = trail.clone();
        if tokio::task::spawn_blocking(move || own.cover(begun)).await.is_err() {
            // The runtime is ending: late is better than not at all.
            trail.cover(begun);
        }
    }
}

impl OpenRecord {
    /// Before anything is done for the request: see [`covered`].
    pub async fn covered(&self) {
        covered(&self.way.trail, self.begun).await;
    }

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
        let expected = http_body::Body::size_hint(&body).exact();
        response.body = Body::boxed(Recorded { body, expected, open: Some(self) });
        response
    }

    /// Writes the record of an upgrade, whose response is a 101, and opens that of the tunnel's end.
    pub fn tunnel(mut self, response: Response) -> (Response, TunnelRecord) {
        self.answer(response.status, false);
        self.ended = Ended::Tunnel;
        let mut end = Record::new(self.id, self.received, Arc::clone(&self.peer));
        end.kind = Kind::TunnelEnd;
        end.clone_request(&self);
        let trail = self.way.trail.clone();
        let begun = trail.begin();
        drop(self);
        (response, TunnelRecord { record: Box::new(end), trail, begun })
    }

    fn answer(&mut self, status: StatusCode, abort: bool) {
        self.status = (!abort).then_some(status.as_u16());
        self.timing.head = Some(self.received.elapsed_micros());
    }

    fn write(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        record.request_bytes = self.request_bytes.as_ref().map_or(0, |bytes| bytes.load(Ordering::Relaxed));
        record.timing.total = Some(record.received.elapsed_micros());
        if record.status.is_none() && record.decision.layer.is_none() {
            // The future was dropped before there was an answer.
            record.ended = Ended::ClientGone;
            record.decision = Decision { layer: Some(Layer::Server), action: Action::Abort, reason: "client_gone" };
        }
        match record.late.take() {
            Some(late) => late.close(record, &self.way.sink),
            None => self.way.sink.take(&record),
        }
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
    /// Bytes that were announced; after the last of them nobody asks for the end.
    expected: Option<u64>,
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
                let mut whole = frame.is_trailers() || this.body.is_end_stream();
                if let (Some(open), Some(data)) = (&mut this.open, frame.data_ref()) {
                    open.response_bytes += data.len() as u64;
                    whole |= this.expected == Some(open.response_bytes);
                }
                if whole {
                    this.close(Ended::Complete);
                }
            }
            Some(Err(BodyError::Broken(_))) => this.close(Ended::BackendBroken),
            Some(Err(BodyError::Refused(refusal))) if refusal.layer() == Layer::Forwarding => this.close(Ended::BackendBroken),
            Some(Err(BodyError::Refused(refusal))) => {
                if let Some(open) = this.open.as_mut().filter(|_| refusal.layer() == Layer::Inspection) {
                    // The head has gone out, and the stream is reset: what was decided after it is told all the same.
                    open.decision = Decision { layer: Some(Layer::Inspection), action: Action::Deny, reason: refusal.reason() };
                }
                this.close(Ended::Cut);
            }
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
    begun: Begun,
}

impl TunnelRecord {
    /// Before anything goes through the tunnel: see [`covered`].
    pub async fn covered(&self) {
        covered(&self.trail, self.begun).await;
    }

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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::audit::{Redactor, Settings, read};
    use crate::clock::Moment;
    use crate::head::{Headers, RawHead};
    use crate::message::{EventId, Peer};
    use crate::refusal::Refusal;
    use futures_util::FutureExt as _;
    use http_body_util::{BodyExt as _, StreamBody};
    use serde_json::Value;

    struct Bench {
        folder: tempfile::TempDir,
        layer: Option<AuditWrap>,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let trail = Trail::open(Settings::new(folder.path(), Redactor::new([], [], false).unwrap())).unwrap();
            Self { folder, layer: Some(AuditWrap::new(trail, Arc::default())) }
        }

        fn open(&self, method: &Method, target: &'static [u8]) -> (Request, OpenRecord) {
            let peer = Peer::new("192.0.2.1:4000".parse().unwrap(), "192.0.2.2:443".parse().unwrap(), 1);
            let headers = [(&b"User-Agent"[..], &b"curl/8"[..]), (b"Cookie", b"sid=1")];
            let received = Moment::now();
            let mut request = Request {
                id: EventId::new(received, 1),
                received,
                peer: Arc::new(peer),
                version: Version::HTTP_11,
                method: method.clone(),
                raw: Arc::new(RawHead::from_parts(method.as_str().as_bytes(), target, b"HTTP/1.1", headers.into_iter())),
                target: Bytes::from_static(target),
                authority: Some(Bytes::from_static(b"example.com")),
                headers: Headers::new(),
                body: Body::full("12345"),
                refusal: None,
                upgrade: None,
            };
            let open = self.layer.as_ref().unwrap().open(&mut request);
            (request, open)
        }

        /// The requests' records, after the trail has ended.
        fn records(&mut self) -> Vec<Value> {
            self.layer = None;
            let lines = read::Records::open(self.folder.path()).unwrap();
            let values = lines.map(|line| serde_json::from_slice::<Value>(&line.unwrap().bytes).unwrap());
            values.filter(|value| value["event"]["id"].is_string()).collect()
        }

        fn only(&mut self) -> Value {
            let mut records = self.records();
            assert_eq!(records.len(), 1, "exactly one record: {records:?}");
            records.remove(0)
        }
    }

    fn frames(frames: Vec<Result<&'static str, BodyError>>) -> Body {
        let frames = frames.into_iter().map(|frame| frame.map(|data| Frame::data(Bytes::from_static(data.as_bytes()))));
        Body::boxed(StreamBody::new(futures_util::stream::iter(frames)))
    }

    fn response(body: Body) -> Response {
        Response { body, ..Response::new(StatusCode::OK) }
    }

    #[test]
    fn a_dropped_future_still_leaves_a_record() {
        let mut bench = Bench::new();
        drop(bench.open(&Method::GET, b"/a?b=\xff"));
        let record = bench.only();
        assert_eq!(record["decision"]["action"], "abort");
        assert_eq!(record["http"]["response"]["ended"], "client_gone");
        assert_eq!((&record["url"]["path"], &record["url"]["query"]), (&"/a".into(), &"b=\\xff".into()));
        assert_eq!(record["http"]["request"]["headers"].to_string(), "{\"user-agent\":[\"curl/8\"]}");
    }

    #[test]
    fn a_response_is_recorded_when_its_body_has_ended() {
        let mut bench = Bench::new();
        let (request, open) = bench.open(&Method::POST, b"/");
        request.body.collect().now_or_never().unwrap().unwrap();
        let response = open.close_with(response(frames(vec![Ok("abc"), Ok("de")])));
        assert!(bench.layer.as_ref().unwrap().0.trail.flush(std::time::Duration::from_secs(9)));
        assert_eq!(bench.layer.as_ref().unwrap().0.trail.metrics().written, 0, "not before");
        response.body.collect().now_or_never().unwrap().unwrap();
        let record = bench.only();
        assert_eq!(record["http"]["response"]["ended"], "complete");
        assert_eq!((record["http"]["response"]["bytes"].as_u64(), record["http"]["request"]["bytes"].as_u64()), (Some(5), Some(5)));
        assert!(record["timing"]["total_us"].as_u64() >= record["timing"]["head_us"].as_u64());
    }

    #[test]
    fn how_a_response_ended_is_told() {
        let broken = || Err(BodyError::Broken("reset".into()));
        let cases = [
            (vec![Ok("a"), Ok("b")], 1, "client_gone"),
            (vec![Ok("a"), Ok("b")], 0, "client_gone"),
            (vec![Ok("a"), broken()], 2, "backend_broken"),
            (vec![Err(BodyError::Refused(Refusal::BackendTimeout))], 1, "backend_broken"),
            (vec![Err(BodyError::Refused(Refusal::RuleDenied { status: 403, rule: 1 }))], 1, "cut"),
            (vec![Ok("a")], 2, "complete"),
        ];
        for (body, polls, expected) in cases {
            let mut bench = Bench::new();
            let (_, open) = bench.open(&Method::GET, b"/");
            let mut response = open.close_with(response(frames(body)));
            for _ in 0..polls {
                let _ = response.body.frame().now_or_never().unwrap();
            }
            drop(response);
            assert_eq!(bench.only()["http"]["response"]["ended"], expected);
        }
    }

    #[test]
    fn a_body_of_known_length_is_complete_with_its_last_byte_and_keeps_its_length() {
        let mut bench = Bench::new();
        let (_, open) = bench.open(&Method::GET, b"/");
        let mut response = open.close_with(response(Body::full("page")));
        assert_eq!(http_body::Body::size_hint(&response.body).exact(), Some(4), "Content-Length is made of this");
        response.body.frame().now_or_never().unwrap().unwrap().unwrap();
        drop(response);
        assert_eq!(bench.only()["http"]["response"]["ended"], "complete");
    }

    #[test]
    fn bodies_that_are_never_asked_for_are_complete() {
        for (method, status) in
            [(Method::HEAD, StatusCode::OK), (Method::GET, StatusCode::NOT_MODIFIED), (Method::GET, StatusCode::NO_CONTENT)]
        {
            let mut bench = Bench::new();
            let (_, open) = bench.open(&method, b"/");
            let response = open.close_with(Response { status, ..response(Body::full("page")) });
            assert_eq!(http_body::Body::size_hint(&response.body).exact(), Some(4));
            drop(response);
            assert_eq!(bench.only()["http"]["response"]["ended"], "complete", "{method} {status}");
        }
    }

    #[test]
    fn a_tunnel_leaves_a_record_when_it_opens_and_one_when_it_ends() {
        let mut bench = Bench::new();
        let (_, open) = bench.open(&Method::GET, b"/socket");
        let (_, tunnel) = open.tunnel(Response::new(StatusCode::SWITCHING_PROTOCOLS));
        tunnel.close(10, 20, "user_removed");
        let records = bench.records();
        assert_eq!(records[0]["http"]["response"]["ended"], "tunnel");
        assert_eq!(records[1]["event"]["kind"], "tunnel_end");
        assert_eq!(records[0]["event"]["id"], records[1]["event"]["id"]);
        assert_eq!(
            (records[1]["http"]["request"]["bytes"].as_u64(), records[1]["http"]["response"]["bytes"].as_u64()),
            (Some(10), Some(20))
        );
        assert_eq!(records[1]["url"]["path"], "/socket");
    }
}
