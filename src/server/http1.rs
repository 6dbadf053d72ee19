//! One HTTP/1 connection: heads from the wire, answers from the stack, one after the other.

use super::answer::Answer;
use super::client::Client;
use super::drain::Ear;
use super::worker::Worker;
use crate::head::Headers;
use crate::message::{EventId, Grant, Peer, Request, Response, Upgrade};
use crate::refusal::Refusal;
use crate::wire::{self, Arrived};
use http::{Method, StatusCode, Version};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves requests until either side closes, or the gateway drains.
pub(super) async fn serve<S>(stream: S, peer: Arc<Peer>, worker: Arc<Worker>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = Client::new(wire::wire(stream, worker.wire_limits()));
    let mut drain = worker.drain.ear();
    while let Some(arrived) = next(&client, &mut drain).await {
        let (request, grant) = request(arrived, &client, &worker, &peer);
        let (head, version) = (request.method == Method::HEAD, request.version);
        // Without an answer the client has gone; what was under way for it ends here.
        let stack = worker.stack();
        let handling = pin!(stack.handle(request));
        let Some(response) = answer_of(handling, &client, &mut drain).await else { return };
        if response.abort {
            return;
        }
        let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
        let mut answer = Answer::new(response, head, version, &client);
        if poll_fn(|cx| answer.poll(cx, &client)).await.is_err() {
            return;
        }
        drop(answer);
        match grant {
            Some(grant) if switches => {
                client.lock().upgraded();
                return grant.give(Box::pin(client));
            }
            _ => finish(&client),
        }
    }
    let mut client = client;
    let _ = poll_fn(|cx| Pin::new(&mut client).poll_shutdown(cx)).await;
}

/// The next head, or `None` where the connection is over.
async fn next<S: AsyncRead + Unpin>(client: &Client<S>, drain: &mut Ear) -> Option<Arrived> {
    poll_fn(|cx| {
        let mut wire = client.lock();
        if drain.poll(cx) {
            wire.close_when_idle();
        }
        wire.poll_head(cx)
    })
    .await
}

/// What the stack answers; `None` where the client has gone before.
async fn answer_of<S: AsyncRead + Unpin>(
    mut handling: Pin<&mut impl Future<Output = Response>>,
    client: &Client<S>,
    drain: &mut Ear,
) -> Option<Response> {
    poll_fn(|cx| {
        if let Poll::Ready(response) = handling.as_mut().poll(cx) {
            return Poll::Ready(Some(response));
        }
        let mut wire = client.lock();
        if drain.poll(cx) {
            wire.close_when_idle();
        }
        wire.poll_gone(cx).map(|()| None)
    })
    .await
}

/// The answer is out: what has come of a body that nobody has read goes, so that the next head can be told from it.
fn finish<S: AsyncRead + Unpin>(client: &Client<S>) {
    let alone = client.is_alone();
    let mut wire = client.lock();
    if alone && !wire.is_last() {
        wire.discard();
    }
    wire.served();
}

/// The request as the layers know it.
fn request<S>(arrived: Arrived, client: &Client<S>, worker: &Worker, peer: &Arc<Peer>) -> (Request, Option<Grant>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head = Arc::new(arrived.head);
    let mut refusal = arrived.refusal;
    let method = Method::from_bytes(head.method()).unwrap_or_else(|_| {
        refusal.get_or_insert(Refusal::MalformedRequestLine);
        Method::GET
    });
    let (headers, whole) = Headers::of_head(&head);
    if !whole {
        // What the wire let through and this type does not take is refused, never dropped.
        refusal.get_or_insert(Refusal::MalformedHeader);
    }
    let (grant, upgrade) = arrived.upgrade.is_some().then(Upgrade::new).unzip();
    let request = Request {
        id: EventId::new(arrived.at, worker.random()),
        received: arrived.at,
        peer: Arc::clone(peer),
        version: match arrived.version {
            wire::Version::Http10 => Version::HTTP_10,
            wire::Version::Http11 => Version::HTTP_11,
        },
        method,
        target: head.slice(&head.target),
        authority: arrived.host,
        headers,
        raw: head,
        body: client.body(arrived.body),
        refusal,
        upgrade,
    };
    (request, grant)
}
