//! Block lists for `@rbl`: names looked up by DNS outside the engine, within a time, and remembered.

use super::watch::Watched;
use crate::limits::{RBL_NAMES_MAX, RBL_RETRY_INTERVAL, RBL_TIMEOUT, RBL_TTL_MAX, RBL_TTL_MIN};
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// See the module. The resolver is made when the first name is needed.
#[derive(Default)]
pub(super) struct Rbl {
    servers: Vec<SocketAddr>,
    resolver: OnceLock<Option<TokioResolver>>,
    known: Mutex<HashMap<String, Known>>,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// The first address, or that there is none; `None` where the name servers gave no answer.
    listed: Option<Option<IpAddr>>,
    until: Instant,
}

impl std::fmt::Debug for Rbl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rbl")
    }
}

impl Rbl {
    /// A resolver that asks these servers; the system's where there are none.
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        Self { servers: servers.to_vec(), ..Self::default() }
    }

    pub(super) fn asks(&self, servers: &[SocketAddr]) -> bool {
        self.servers == servers
    }

    /// Answers for the names that a transaction's rules will ask about. In block mode they are waited for; in detect mode, which
    /// holds nothing, what is not known yet is looked up for the next time. A name without an answer is not listed, as in
    /// ModSecurity, and the record says so.
    pub(super) async fn answer(self: &Arc<Self>, names: Vec<String>, watched: &Watched, wait: bool) {
        let unknown: Vec<String> = names.iter().filter(|name| self.recall(name).is_none()).cloned().collect();
        if !unknown.is_empty() {
            let own = Arc::clone(self);
            let looking = tokio::spawn(async move {
                let mut all = tokio::task::JoinSet::new();
                for name in unknown {
                    let own = Arc::clone(&own);
                    all.spawn(async move { own.look_up(name).await });
                }
                all.join_all().await;
            });
            if wait {
                // Each look-up has its time limit.
                let _ = looking.await;
            }
        }
        for name in names {
            match self.recall(&name).and_then(|known| known.listed) {
                Some(address) => watched.with(|tx| tx.dns_answer(&name, address)),
                None => {
                    watched.with(|tx| tx.dns_answer(&name, None));
                    watched.remark("rbl_unanswered");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, name: &str) -> Option<Known> {
        self.lock().get(name).copied().filter(|known| known.until > Instant::now())
    }

    async fn look_up(&self, name: String) {
        let found = match self.resolver() {
            // A full stop at the end: the system's search list is not for these names.
            Some(resolver) => tokio::time::timeout(RBL_TIMEOUT, resolver.lookup_ip(format!("{name}."))).await.ok(),
            None => None,
        };
        let now = Instant::now();
        let (listed, lifetime) = match found {
            Some(Ok(found)) => (Some(found.iter().next()), found.valid_until().saturating_duration_since(now)),
            Some(Err(error)) if error.is_no_records_found() => (Some(None), Duration::ZERO),
            _ => (None, RBL_RETRY_INTERVAL),
        };
        let lifetime = if listed.is_some() { lifetime.clamp(RBL_TTL_MIN, RBL_TTL_MAX) } else { lifetime };
        let mut known = self.lock();
        if known.len() >= RBL_NAMES_MAX {
            known.retain(|_, one| one.until > now);
            if known.len() >= RBL_NAMES_MAX {
                known.clear();
            }
        }
        known.insert(name, Known { listed, until: now + lifetime });
    }

    fn resolver(&self) -> Option<&TokioResolver> {
        let build = || {
            let mut builder = if self.servers.is_empty() {
                Resolver::builder_tokio().map_err(|error| error.to_string())?
            } else {
                let servers = self.servers.iter().map(|address| {
                    let mut server = NameServerConfig::udp(address.ip());
                    server.connections.iter_mut().for_each(|connection| connection.port = address.port());
                    server
                });
                let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
                Resolver::builder_with_config(config, TokioRuntimeProvider::default())
            };
            builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4Only;
            builder.options_mut().timeout = RBL_TIMEOUT;
            builder.options_mut().attempts = 0;
            builder.build().map_err(|error| error.to_string())
        };
        let built =
            self.resolver.get_or_init(|| build().inspect_err(|error| tracing::error!(%error, "block lists cannot be looked up")).ok());
        built.as_ref()
    }
}
