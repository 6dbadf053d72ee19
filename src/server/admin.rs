//! The admin listener: `/healthz`, `/readyz`, `/metrics` and the console, on an address of its own and never on a public one.

use super::Drain;
use super::connections::Connections;
use crate::audit::Trail;
use crate::audit::escape::printable;
use crate::console::{self, Console};
use crate::limits;
use crate::metrics::{Metrics, Now, Shipped};
use crate::ship::Board;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What the admin listener answers from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) drain: Drain,
    pub(super) trail: Trail,
    pub(super) console: Option<Arc<Console>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) connections: Arc<Connections>,
    pub(super) receivers: Board,
}

/// Starts the listener on a thread of its own, so that it answers also when the gateway's threads are busy.
///
/// # Errors
/// The address cannot be bound.
pub(super) fn start(address: SocketAddr, sources: Sources) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("admin".into()).spawn(move || runtime.block_on(serve(listener, sources)))?;
    Ok(bound)
}

async fn serve(listener: std::net::TcpListener, sources: Sources) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot use the admin socket"),
    };
    let connections = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&connections).acquire_owned().await else { return };
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let sources = sources.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let sources = sources.clone();
                async move { Ok::<_, Infallible>(answer(request, &sources, peer.ip()).await) }
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits::HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(place);
        });
    }
}

/// `/healthz` says that the process runs; `/readyz` that it takes requests and can record them; `/metrics` what it has counted; all else
/// is the console's.
async fn answer(request: hyper::Request<Incoming>, sources: &Sources, peer: IpAddr) -> hyper::Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if sources.drain.is_begun() => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if !sources.trail.healthy() => {
            (StatusCode::SERVICE_UNAVAILABLE, "audit trail cannot write\n")
        }
        (&Method::GET | &Method::HEAD, "/readyz") => return ready(&sources.receivers),
        (&Method::GET | &Method::HEAD, "/metrics") => return metrics(sources),
        _ => match &sources.console {
            Some(console) => return from_console(request, console, peer).await,
            None => (StatusCode::NOT_FOUND, "not found\n"),
        },
    };
    plain(status, text)
}

/// Ready, also where a receiver of the trail's records fails: they are safe in the trail. The failure is told as a state.
fn ready(receivers: &Board) -> hyper::Response<Full<Bytes>> {
    let mut text = "ready\n".to_owned();
    for (receiver, trouble) in receivers.states().iter().filter_map(|state| Some((state, state.trouble()?))) {
        text.push_str(&format!("audit records wait for {}: {}\n", receiver.name, printable(&trouble)));
    }
    hyper::Response::new(Full::new(Bytes::from(text)))
}

fn metrics(sources: &Sources) -> hyper::Response<Full<Bytes>> {
    let last = sources.trail.last_sequence();
    let receivers = sources.receivers.states().into_iter().map(|state| Shipped {
        receiver: Arc::clone(&state.name),
        records: state.records(),
        bytes: state.bytes(),
        errors: state.errors(),
        refused: state.refused(),
        cut: state.cut(),
        skipped: state.skipped(),
        behind: last.saturating_sub(state.sequence()),
        failing: state.trouble().is_some(),
    });
    let now = Now {
        connections: sources.connections.count(),
        connections_refused: sources.connections.refused(),
        receivers: receivers.collect(),
    };
    let mut response = hyper::Response::new(Full::new(Bytes::from(sources.metrics.text(&sources.trail, &now))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// Asks the console, on a thread where it may take its time.
async fn from_console(request: hyper::Request<Incoming>, console: &Arc<Console>, peer: IpAddr) -> hyper::Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, limits::CONSOLE_FORM_BYTES_MAX).collect();
    let body = match tokio::time::timeout(limits::CONSOLE_FORM_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "this form is too long\n"),
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "this form takes too long\n"),
    };
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let cookies = head.headers.get_all(http::header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let asked = console::Request {
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        cookies: cookies.collect::<Vec<_>>().join("; "),
        host: text("host"),
        origin: text("origin"),
        fetch_site: text("sec-fetch-site"),
        address: peer.to_canonical(),
        body: String::from_utf8_lossy(&body).into_owned(),
        method: head.method,
    };
    let console = Arc::clone(console);
    let Ok(answer) = tokio::task::spawn_blocking(move || console.answer(&asked)).await else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the console could not answer\n");
    };
    let mut response = hyper::Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    put(response.headers_mut(), answer.headers);
    response
}

fn put(headers: &mut HeaderMap, list: Vec<(&'static str, String)>) {
    for (name, value) in list {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
}
