//! The admin listener: `/healthz` and `/readyz`, on an address of its own and never on a public one.

use super::Drain;
use crate::audit::Trail;
use crate::limits;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Starts the listener on a thread of its own, so that it answers also when the gateway's threads are busy.
///
/// # Errors
/// The address cannot be bound.
pub(super) fn start(address: SocketAddr, drain: Drain, trail: Trail) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("admin".into()).spawn(move || runtime.block_on(serve(listener, drain, trail)))?;
    Ok(bound)
}

async fn serve(listener: std::net::TcpListener, drain: Drain, trail: Trail) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot use the admin socket"),
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let (drain, trail) = (drain.clone(), trail.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&request, &drain, &trail);
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

/// `/healthz` says that the process runs; `/readyz` that it takes requests and can record them.
fn answer(request: &hyper::Request<Incoming>, drain: &Drain, trail: &Trail) -> hyper::Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if drain.is_begun() => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if !trail.healthy() => (StatusCode::SERVICE_UNAVAILABLE, "audit trail cannot write\n"),
        (&Method::GET | &Method::HEAD, "/readyz") => (StatusCode::OK, "ready\n"),
        _ => (StatusCode::NOT_FOUND, "not found\n"),
    };
    let mut response = hyper::Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}
