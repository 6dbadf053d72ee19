//! Layer 5, the forwarding core: one request to the one mapped backend, and its answer as the client may see it.

mod headers;
mod reverse;
mod target;

use headers::OwnName;

use crate::audit::{Record, UpstreamOutcome};
use crate::evidence::{Inspected, Mapped};
use crate::head::{CONNECTION, OwnValue, UPGRADE, Value};
use crate::message::{Request, Response, Upgrade};
use crate::policy::{HostHeader, Policy};
use crate::refusal::Refusal;
use crate::upstream::{Answer, Exchange, Pin, Switched, Timeouts, Upstreams};
use http::{StatusCode, Version};
use std::sync::{Arc, PoisonError};

/// Layer 5.
#[derive(Debug)]
pub struct Forwarding {
    upstreams: Arc<Upstreams>,
    own: OwnName,
}

/// A backend's answer on its way up.
#[derive(Debug)]
pub struct Forwarded {
    /// The answer, reverse-mapped.
    pub response: Response,
    /// After a 101: both ends, to be joined when the client has its answer.
    pub tunnel: Option<Ends>,
}

/// The two connections of a granted upgrade.
#[derive(Debug)]
pub struct Ends {
    /// The client's.
    pub client: Upgrade,
    /// The backend's.
    pub backend: Switched,
}

impl Forwarding {
    /// The forwarding core of a policy.
    pub fn new(policy: &Policy, upstreams: Arc<Upstreams>) -> Self {
        Self { upstreams, own: OwnName::new(&policy.pseudonym) }
    }

    /// Sends the request to the map's backend and awaits the head of the answer.
    ///
    /// # Errors
    /// `Loop`, and what the way to the backend refuses.
    pub async fn forward(
        &self,
        mapped: &Mapped,
        inspected: Inspected,
        request: &mut Request,
        record: &mut Record,
    ) -> Result<Forwarded, Refusal> {
        let backend = mapped.map.backend.as_ref().ok_or(Refusal::NotMapped)?;
        headers::to_backend(request, mapped, &self.own)?;
        let upgrade = request.upgrade.is_some() && request.headers.contains(&UPGRADE);
        let own = Timeouts::of(backend);
        let pin = pin(request, inspected.handshake.integrated);
        let exchange = Exchange {
            backend,
            method: request.method.clone(),
            target: target::for_backend(mapped).into(),
            headers: std::mem::take(&mut request.headers),
            host: if mapped.map.host == HostHeader::Backend { HostHeader::Backend } else { HostHeader::Pass },
            body: request.body.take(),
            timeouts: Timeouts {
                between_bytes: mapped.map.between_bytes_timeout.unwrap_or(own.between_bytes),
                total: mapped.map.total_timeout.or(own.total),
                ..own
            },
            pin: pin.as_deref(),
            upgrade,
        };
        let outcome = record.upstream.insert(UpstreamOutcome::default());
        let answer = self.upstreams.send(exchange, outcome).await?;
        outcome.status = Some(answer.status.as_u16());
        self.answer(answer, mapped, request)
    }

    /// From now on this client connection has backend connections of its own: a handshake has begun on it.
    pub fn keep_pinned(&self, request: &Request) {
        let _ = pin(request, true);
    }

    fn answer(&self, answer: Answer, mapped: &Mapped, request: &mut Request) -> Result<Forwarded, Refusal> {
        let switching = answer.status == StatusCode::SWITCHING_PROTOCOLS;
        let mut response = Response { status: answer.status, headers: answer.headers, body: answer.body, abort: false };
        let protocol = if switching { response.headers.get(&UPGRADE).and_then(|value| OwnValue::new(value.as_bytes())) } else { None };
        headers::to_client(&mut response.headers, mapped.map.via, answer.version, &self.own);
        reverse::rewrite(&mut response.headers, mapped);
        let tunnel = match (switching, answer.upgrade, request.upgrade.take()) {
            (false, _, _) => None,
            (true, Some(backend), Some(client)) => {
                response.headers.insert(&CONNECTION, const { Value::from_static("upgrade") });
                if let Some(protocol) = protocol {
                    response.headers.insert(&UPGRADE, protocol.get());
                }
                Some(Ends { client, backend })
            }
            (true, _, _) => return Err(Refusal::BackendGarbage),
        };
        Ok(Forwarded { response, tunnel })
    }
}

/// The client connection's own backend connections: made when `begin`, found when they were made before. HTTP/1 only, since a
/// handshake belongs to a connection whose requests follow one another.
fn pin(request: &Request, begin: bool) -> Option<Arc<Pin>> {
    if request.version == Version::HTTP_2 {
        return None;
    }
    let mut attached = request.peer.attachments.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pin) = attached.get::<Arc<Pin>>() {
        return Some(Arc::clone(pin));
    }
    begin.then(|| {
        let pin = Arc::new(Pin::new());
        attached.insert(Arc::clone(&pin));
        pin
    })
}
