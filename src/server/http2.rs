//! One HTTP/2 connection, every limit of it set by name.

use super::outgoing;
use super::paced::{Streams as Paced, paced};
use super::timed_body::TimedBody;
use super::worker::Worker;
use crate::clock::Moment;
use crate::head::{Headers, RawHead};
use crate::limits;
use crate::message::{Body, EventId, Peer, Request};
use crate::refusal::Refusal;
use bytes::Bytes;
use http::header::{COOKIE, HOST, HeaderValue};
use http::{HeaderMap, Version};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};

/// Streams begun and streams open, so that an idle connection can be told from a busy one.
#[derive(Debug, Default)]
struct Streams {
    begun: AtomicU64,
    open: AtomicU64,
}

/// Counts one stream as open until dropped.
struct Open(Arc<Streams>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves streams until either side closes, the connection idles, or the gateway drains.
pub(super) async fn serve<S>(stream: S, peer: Arc<Peer>, worker: Arc<Worker>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Arc::new(Streams::default());
    let in_service = Arc::clone(&streams);
    let in_worker = Arc::clone(&worker);
    let service = service_fn(move |shown: hyper::Request<Incoming>| {
        in_service.begun.fetch_add(1, Ordering::Relaxed);
        in_service.open.fetch_add(1, Ordering::Relaxed);
        let open = Open(Arc::clone(&in_service));
        let (worker, peer) = (Arc::clone(&in_worker), Arc::clone(&peer));
        async move {
            let request = request(shown, &worker, peer);
            let mut response = worker.stack().handle(request).await;
            response.body = paced(response.body.take());
            outgoing::response(response, open)
        }
    });
    let mut builder = http2::Builder::new(Paced { limit: worker.write_timeout() });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_CONCURRENT_STREAMS_MAX)
        .max_header_list_size(limits::H2_HEADER_LIST_BYTES_MAX)
        .initial_stream_window_size(limits::H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW_BYTES)
        .adaptive_window(false)
        .max_frame_size(limits::H2_FRAME_BYTES_MAX)
        .max_send_buf_size(limits::H2_SEND_BUFFER_BYTES_MAX)
        .max_pending_accept_reset_streams(limits::H2_PENDING_RESET_STREAMS_MAX)
        .max_local_error_reset_streams(limits::H2_LOCAL_ERROR_RESET_STREAMS_MAX)
        .keep_alive_interval(limits::H2_KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(limits::H2_KEEP_ALIVE_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut drain = worker.drain();
    tokio::select! {
        _ = connection.as_mut() => return,
        () = drain.begun() => {}
        () = idle(&streams, worker.idle_timeout()) => {}
    }
    connection.as_mut().graceful_shutdown();
    // A client that ignores GOAWAY with nothing open is not waited for.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = idle(&streams, limits::H2_KEEP_ALIVE_TIMEOUT) => {}
    }
}

/// Ends when no stream was open or begun for the whole of `timeout`; also what ends a client that never says anything.
async fn idle(streams: &Streams, timeout: std::time::Duration) {
    let mut seen = streams.begun.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(timeout).await;
        let begun = streams.begun.load(Ordering::Relaxed);
        if begun == seen && streams.open.load(Ordering::Relaxed) == 0 {
            return;
        }
        seen = begun;
    }
}

fn request(shown: hyper::Request<Incoming>, worker: &Worker, peer: Arc<Peer>) -> Request {
    let at = Moment::now();
    let (parts, body) = shown.into_parts();
    let mut headers: HeaderMap = parts.headers;
    let mut refusal = join_cookies(&mut headers);
    let named = parts.uri.authority().map(|a| Bytes::copy_from_slice(a.as_str().as_bytes()));
    let host = headers.get(HOST).map(|v| Bytes::copy_from_slice(v.as_bytes()));
    let mut hosts = headers.get_all(HOST).iter();
    // RFC 9113 section 8.3.1: the two must agree, and one of them must be there.
    let authority = match (named, host) {
        (Some(named), Some(host)) if !named.eq_ignore_ascii_case(&host) => {
            refusal.get_or_insert(Refusal::BadHost);
            Some(named)
        }
        (named, host) => named.or(host),
    };
    if hosts.nth(1).is_some() || authority.as_ref().is_none_or(|a| bad_host(a)) {
        refusal.get_or_insert(Refusal::BadHost);
    }
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let target = Bytes::copy_from_slice(target.as_bytes());
    if let Some(authority) = &authority
        && let Ok(value) = HeaderValue::from_bytes(authority)
    {
        headers.insert(HOST, value);
    }
    let raw = RawHead::from_parts(
        parts.method.as_str().as_bytes(),
        &target,
        b"HTTP/2.0",
        headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
    );
    let (fields, whole) = Headers::of_head(&raw);
    if !whole {
        refusal.get_or_insert(Refusal::MalformedHttp2);
    }
    Request {
        id: EventId::new(at, worker.random()),
        received: at,
        peer,
        version: Version::HTTP_2,
        method: parts.method,
        raw: Arc::new(raw),
        target,
        authority,
        headers: fields,
        body: if http_body::Body::is_end_stream(&body) {
            Body::empty()
        } else {
            Body::boxed(TimedBody::new(Body::incoming(body), worker.body_timeout()))
        },
        refusal,
        upgrade: None,
    }
}

fn bad_host(authority: &[u8]) -> bool {
    authority.is_empty() || authority.iter().any(|b| !(b.is_ascii_alphanumeric() || b"-._:[]~!$&'()*+".contains(b)))
}

/// Cookie crumbs become one header again (RFC 9113 section 8.2.3), so that rules see what a backend will.
fn join_cookies(headers: &mut HeaderMap) -> Option<Refusal> {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1 {
        match HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            Ok(joined) => drop(headers.insert(COOKIE, joined)),
            Err(_) => return Some(Refusal::MalformedHttp2),
        }
    }
    let transfer = headers.contains_key(http::header::TRANSFER_ENCODING) || headers.contains_key(http::header::CONNECTION);
    transfer.then_some(Refusal::MalformedHttp2)
}
