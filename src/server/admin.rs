//! The admin listener: `/healthz`, `/readyz` and `/metrics`, on an address of its own and never on a public one.

use super::Drain;
use super::connections::Connections;
use crate::audit::Trail;
use crate::limits;
use crate::metrics::{Metrics, Now};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Whom the answers come from.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) drain: Drain,
    pub(super) trail: Trail,
    pub(super) metrics: Arc<Metrics>,
    pub(super) connections: Arc<Connections>,
}

/// Starts the listener on a thread of its own, so that it answers also when the gateway's threads are busy.
///
/// # Errors
/// The address cannot be bound.
pub(super) fn start(address: SocketAddr, asked: Asked) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("admin".into()).spawn(move || runtime.block_on(serve(listener, asked)))?;
    Ok(bound)
}

async fn serve(listener: std::net::TcpListener, asked: Asked) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot use the admin socket"),
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let asked = asked.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&request, &asked);
                async move { Ok::<_, Infallible>(response) }
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits::HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// `/healthz` says that the process runs; `/readyz` that it takes requests and can record them; `/metrics` what it has counted.
fn answer(request: &hyper::Request<Incoming>, asked: &Asked) -> hyper::Response<Full<Bytes>> {
    const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let plain = |status, text: &'static str| (status, HeaderValue::from_static("text/plain"), Bytes::from_static(text.as_bytes()));
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => plain(StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if asked.drain.is_begun() => plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if !asked.trail.healthy() => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "audit trail cannot write\n")
        }
        (&Method::GET | &Method::HEAD, "/readyz") => plain(StatusCode::OK, "ready\n"),
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let now = Now { connections: asked.connections.count(), connections_refused: asked.connections.refused() };
            (StatusCode::OK, METRICS, asked.metrics.text(&asked.trail, now).into())
        }
        _ => plain(StatusCode::NOT_FOUND, "not found\n"),
    };
    let mut response = hyper::Response::new(Full::new(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
