//! One HTTP/1 connection: the wire, hyper behind it, and the stack behind hyper.

use super::worker::Worker;
use super::{outgoing, shapes};
use crate::message::{Body, EventId, Peer, Request};
use crate::refusal::Refusal;
use crate::wire::{self, Arrived, Turn};
use http::{Method, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves requests until either side closes, or the gateway drains.
pub(super) async fn serve<S>(stream: S, peer: Arc<Peer>, worker: Arc<Worker>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (wire, handle) = wire::wire(stream, worker.wire_limits());
    let in_service = handle.clone();
    let in_worker = Arc::clone(&worker);
    let service = service_fn(move |shown: hyper::Request<Incoming>| {
        let arrived = in_service.next();
        let (worker, peer, handle) = (Arc::clone(&in_worker), Arc::clone(&peer), in_service.clone());
        async move {
            let arrived = arrived.ok_or(outgoing::Abort)?;
            let asks_upgrade = arrived.upgrade.is_some();
            let (request, turn) = request(arrived, shown, &worker, peer);
            let response = worker.stack().handle(request).await;
            if asks_upgrade {
                handle.upgraded(response.status == http::StatusCode::SWITCHING_PROTOCOLS);
            }
            outgoing::response(response, turn)
        }
    });
    let mut builder = http1::Builder::new();
    builder.keep_alive(true).max_headers(16);
    let connection = builder.serve_connection(TokioIo::new(wire), service).with_upgrades();
    let mut connection = pin!(connection);
    if worker.drain().unless_begun(connection.as_mut()).await.is_some() {
        return;
    }
    handle.close();
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// The request as the layers know it: everything but the body comes from the wire, not from hyper.
fn request(arrived: Arrived, mut shown: hyper::Request<Incoming>, worker: &Worker, peer: Arc<Peer>) -> (Request, Turn) {
    let upgrade = arrived.upgrade.is_some().then(|| hyper::upgrade::on(&mut shown));
    let head = arrived.head;
    let mut refusal = arrived.refusal;
    let method = Method::from_bytes(head.method()).unwrap_or_else(|_| {
        refusal.get_or_insert(Refusal::MalformedRequestLine);
        Method::GET
    });
    let (headers, whole) = shapes::headers(&head);
    if !whole {
        // What the wire let through and these types do not take is refused, never dropped.
        refusal.get_or_insert(Refusal::MalformedHeader);
    }
    let request = Request {
        id: EventId::new(arrived.at, worker.random()),
        received: arrived.at,
        peer,
        version: match arrived.version {
            wire::Version::Http10 => Version::HTTP_10,
            wire::Version::Http11 => Version::HTTP_11,
        },
        method,
        target: head.slice(&head.target),
        authority: arrived.host,
        headers,
        raw: head,
        body: Body::incoming(shown.into_body()),
        refusal,
        upgrade,
    };
    (request, arrived.turn)
}
