//! One runtime thread of the gateway: its sockets, its connections, its own stack and backend pool.

use super::connections::{Connections, Place};
use super::drain::Drain;
use super::{http1, http2, proxy};
use crate::audit::{Action, Decision, Kind, Record, Trail};
use crate::clock::Moment;
use crate::layers::audit_wrap::covered;
use crate::message::{EventId, Peer};
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::refusal::Layer;
use crate::stack::Stack;
use crate::tls::{HandshakeError, ServerTls, session};
use crate::wire;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What one configuration gives a worker; a reload replaces it whole.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) policy: Arc<Policy>,
    pub(super) stack: Stack,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) wire_limits: Arc<wire::Limits>,
    pub(super) metrics: Arc<Metrics>,
}

/// A runtime thread's state.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) generation: ArcSwap<Generation>,
    pub(super) connections: Arc<Connections>,
    pub(super) drain: Drain,
    pub(super) trail: Trail,
    /// Ends the thread.
    pub(super) stopped: Notify,
    random: AtomicU64,
}

/// A bound socket and what it speaks.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: std::net::TcpListener,
    pub(super) tls: bool,
    /// Load balancers that name their clients; nobody else may connect where there are any.
    pub(super) balancers: Arc<[IpNet]>,
}

impl Worker {
    pub(super) fn new(generation: Generation, connections: Arc<Connections>, drain: Drain, trail: Trail) -> Self {
        // A clock reading is a good enough seed where the operating system gives no randomness: ids are not secrets.
        let seed = getrandom::u64().unwrap_or_else(|_| crate::clock::Moment::now().unix_micros);
        Self {
            generation: ArcSwap::from_pointee(generation),
            connections,
            drain,
            trail,
            stopped: Notify::new(),
            random: AtomicU64::new(seed),
        }
    }

    pub(super) fn stack(&self) -> StackRef {
        StackRef(self.generation.load_full())
    }

    pub(super) fn wire_limits(&self) -> Arc<wire::Limits> {
        Arc::clone(&self.generation.load().wire_limits)
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        self.generation.load().policy.limits.idle_timeout
    }

    pub(super) fn body_timeout(&self) -> Duration {
        self.generation.load().policy.limits.body_timeout
    }

    pub(super) fn write_timeout(&self) -> Duration {
        self.generation.load().policy.limits.write_timeout
    }

    pub(super) fn drain(&self) -> Drain {
        self.drain.clone()
    }

    /// 128 bits for event ids (SplitMix64, twice): unique, not secret.
    pub(super) fn random(&self) -> u128 {
        let next = || {
            let mut z = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            u128::from(z ^ (z >> 31))
        };
        (next() << 64) | next()
    }

    /// Accepts until the drain begins.
    pub(super) async fn accept(self: Arc<Self>, socket: Socket) {
        let listener = match TcpListener::from_std(socket.listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot use a listening socket"),
        };
        let mut drain = self.drain();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = drain.begun() => return,
            };
            match accepted {
                Ok((stream, remote)) => self.enter(stream, remote, socket.tls, &socket.balancers),
                Err(error) => {
                    // Out of descriptors or memory: wait for connections to end instead of spinning.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn enter(self: &Arc<Self>, stream: TcpStream, remote: SocketAddr, tls: bool, balancers: &Arc<[IpNet]>) {
        let generation = self.generation.load();
        let settings = &generation.policy.limits;
        // A balancer's connections are counted under their clients, as soon as these are known.
        let per_address = settings.connections_per_address_max;
        let most = if balancers.is_empty() { per_address } else { settings.connections_max };
        let Some(place) = self.connections.enter(remote.ip(), settings.connections_max, most) else {
            return;
        };
        let local = stream.local_addr().unwrap_or(remote);
        let _ = stream.set_nodelay(true);
        let config = generation.tls.clone().filter(|_| tls);
        let handshake_timeout = settings.handshake_timeout;
        drop(generation);
        let worker = Arc::clone(self);
        let balancers = Arc::clone(balancers);
        tokio::spawn(async move {
            let (mut place, mut stream) = (place, stream);
            let mut peer = Peer::new(remote, local, place.number());
            if !balancers.is_empty() {
                match named(&mut stream, remote, &balancers, handshake_timeout).await {
                    Ok(None) => {}
                    Ok(Some(client)) if !place.belongs_to(client.ip(), per_address) => return,
                    Ok(Some(client)) => peer = Peer::new(client, local, place.number()),
                    Err("") => return,
                    Err(reason) => return worker.refuse(peer, reason).await,
                }
            }
            match config {
                None if tls => {}
                // Boxed, so that a connection has the memory of what it is and not of what it could have been.
                None => Box::pin(http1::serve(stream, Arc::new(peer), worker)).await,
                Some(config) => worker.secure(stream, peer, config, handshake_timeout).await,
            }
            drop::<Place>(place);
        });
    }

    async fn secure(self: Arc<Self>, stream: TcpStream, mut peer: Peer, tls: Arc<ServerTls>, limit: Duration) {
        let shaken = Box::pin(tokio::time::timeout(limit, tls.accept(stream))).await;
        let failure = match shaken {
            Ok(Ok(stream)) => {
                let agreed = session(stream.get_ref().1);
                let second = agreed.protocol == Some("h2");
                peer.tls = Some(agreed);
                let peer = Arc::new(peer);
                return match second {
                    true => Box::pin(http2::serve(stream, peer, self)).await,
                    false => Box::pin(http1::serve(stream, peer, self)).await,
                };
            }
            Ok(Err(HandshakeError::UnknownName(_))) => "unknown_server_name",
            Ok(Err(HandshakeError::Failed(_))) => "tls_handshake_failed",
            // Port probes and health checks connect and go: no event.
            Ok(Err(HandshakeError::Broken(_))) => return,
            Err(_) => "tls_handshake_timeout",
        };
        self.refuse(peer, failure).await;
    }

    /// Records a connection that failed before a request.
    async fn refuse(&self, peer: Peer, reason: &'static str) {
        let at = Moment::now();
        let mut record = Record::new(EventId::new(at, self.random()), at, Arc::new(peer));
        record.kind = Kind::Connection;
        record.decision = Decision { layer: Some(Layer::Server), action: Action::Deny, reason };
        covered(&self.trail, self.trail.begin()).await;
        self.generation.load().metrics.observe(&record);
        self.trail.write(&record);
    }
}

/// Whose connection a load balancer hands on; `None` where it is its own. An error is the reason for the record, empty where the
/// connection only came and went.
async fn named(
    stream: &mut TcpStream,
    remote: SocketAddr,
    balancers: &[IpNet],
    limit: Duration,
) -> Result<Option<SocketAddr>, &'static str> {
    let address = remote.ip().to_canonical();
    if !balancers.iter().any(|net| net.contains(&address)) {
        return Err("proxy_protocol_untrusted");
    }
    match tokio::time::timeout(limit, proxy::read(stream)).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(proxy::Failure::Malformed)) => Err("proxy_protocol_malformed"),
        Ok(Err(proxy::Failure::Broken)) => Err(""),
        Err(_) => Err("proxy_protocol_timeout"),
    }
}

/// A stack that a reload cannot take away while a request walks it.
pub(super) struct StackRef(Arc<Generation>);

impl std::ops::Deref for StackRef {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.0.stack
    }
}
