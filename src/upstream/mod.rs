//! The way to the backends: members resolved, connections pooled and pinned, exchanges timed, tunnels joined.

mod answer;
mod chunks;
mod conn;
mod connect;
mod deadline;
mod exchange;
mod head;
mod outgoing;
mod pin;
mod pool;
mod resolve;
mod tunnel;

pub use conn::Switched;
pub use exchange::{Answer, Exchange, Timeouts};
pub use pin::Pin;
pub use pool::{BackendNow, MemberNow};
pub use tunnel::{TunnelEnd, TunnelReport, splice};

use crate::audit::UpstreamOutcome;
use crate::diagnostic::Diagnostic;
use crate::head::OwnValue;
use crate::policy::{Backend, Member, Policy};
use crate::refusal::Refusal;
use crate::tls::client::{ClientConfigs, server_name};
use pool::{Group, Pool, Server};
use resolve::{Names, Target};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// All backends of one policy. One value serves the whole process: each runtime thread has its own idle connections in it,
/// while caps, addresses and the health of members are shared. A new policy gets a new one; the old one's connections end
/// with its last exchange.
pub struct Upstreams {
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstreams").field("backends", &self.pool.groups.len()).finish()
    }
}

impl Upstreams {
    /// Prepares all backends of a policy: reads CA files and the system's authorities, but connects to nobody.
    ///
    /// # Errors
    /// Every mistake in a CA file, a TLS name or a member's host.
    pub fn new(policy: &Policy) -> Result<Self, Vec<Diagnostic>> {
        Self::of(&policy.backends, &policy.path)
    }

    /// The same from the backends alone; `path` is the file that names them. Each backend's `index` must be its place.
    ///
    /// # Errors
    /// As [`Upstreams::new`].
    pub fn of(backends: &[Arc<Backend>], path: &Path) -> Result<Self, Vec<Diagnostic>> {
        let mut configs = ClientConfigs::default();
        let mut found = Vec::new();
        let mut groups = Vec::with_capacity(backends.len());
        for backend in backends {
            let mut servers = Vec::with_capacity(backend.members.len());
            for member in &backend.members {
                match server(backend, member, &mut configs, path) {
                    Ok(server) => servers.push(server),
                    Err(diagnostic) if found.contains(&diagnostic) => {}
                    Err(diagnostic) => found.push(diagnostic),
                }
            }
            if backend.members.is_empty() {
                found.push(Diagnostic::file(
                    path,
                    format!("backend {:?} has no members", backend.name),
                    "add members = [\"http://host:port\"]",
                ));
            }
            groups.push(Group { backend: backend.clone(), name: backend.name.as_str().into(), servers, turn: AtomicUsize::new(0) });
        }
        if !found.is_empty() {
            return Err(found);
        }
        let pool = Pool { groups, names: Names::default(), born: Instant::now(), sweeping: Default::default() };
        Ok(Self { pool: Arc::new(pool) })
    }

    /// How the connections to all backends stand now.
    pub fn now(&self) -> Vec<BackendNow> {
        self.pool.now()
    }

    /// Sends a request and awaits the head of the answer. `outcome` is filled as things happen: also where this fails, and
    /// where the future is dropped because the client has gone.
    ///
    /// A request is tried again once, on a new connection, where the backend cannot have seen it, or where it is idempotent
    /// without a body and a reused connection broke before one byte of an answer.
    ///
    /// # Errors
    /// `BackendUnreachable`, `BackendTls`, `BackendTimeout`, `BackendGarbage`, `BackendBusy`; `MalformedTarget` where the target
    /// cannot be written; what the request body was refused for; `Internal` for a backend that is not the policy's.
    pub async fn send(&self, exchange: Exchange<'_>, outcome: &mut UpstreamOutcome) -> Result<Answer, Refusal> {
        exchange::send(&self.pool, exchange, outcome).await
    }
}

/// A member's own name as `Host`: with its port where that is not the scheme's.
pub fn member_host(member: &Member) -> String {
    let host = match member.host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => member.host.clone(),
    };
    let default = if member.tls.is_some() { 443 } else { 80 };
    if member.port == default { host } else { format!("{host}:{}", member.port) }
}

fn server(backend: &Backend, member: &Member, configs: &mut ClientConfigs, path: &Path) -> Result<Server, Diagnostic> {
    let tls = match &member.tls {
        None => None,
        Some(tls) => Some((TlsConnector::from(configs.get(tls, path)?), server_name(tls, path)?)),
    };
    let host = OwnValue::new(member_host(member)).ok_or_else(|| {
        Diagnostic::file(path, format!("backend {:?} has a member whose host is no host name", backend.name), "write http://host:port")
    })?;
    Ok(Server::new(Target::of(member), member.port, tls, host, backend.connections_max))
}
