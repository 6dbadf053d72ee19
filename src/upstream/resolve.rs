//! Addresses of backend members: fixed, literal or looked up, believed for their TTL, kept a while when name servers fail.

use crate::limits::{RESOLVE_ADDRESSES_MAX, RESOLVE_RETRY_INTERVAL, RESOLVE_STALE_MAX, RESOLVE_TTL_MAX, RESOLVE_TTL_MIN};
use crate::policy::Member;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::{Resolver, TokioResolver};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// The system's name servers, search list and hosts file, read when the first name is needed. Only [`Target`]s ask it, and
/// those come from the policy, so that no other name can be looked up.
#[derive(Default)]
pub(super) struct Names {
    resolver: OnceLock<Result<TokioResolver, String>>,
}

impl Names {
    fn resolver(&self) -> Result<&TokioResolver, String> {
        let build = || {
            let mut builder = Resolver::builder_tokio().map_err(|e| format!("the system's name servers cannot be read: {e}"))?;
            builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            builder.build().map_err(|e| format!("the resolver cannot be set up: {e}"))
        };
        self.resolver.get_or_init(build).as_ref().map_err(Clone::clone)
    }
}

/// What was looked up for a member.
#[derive(Clone)]
pub(super) struct Known {
    addresses: Arc<[IpAddr]>,
    fresh_until: Instant,
    stale_until: Instant,
}

/// Where a member is.
pub(super) enum Target {
    /// An address that the policy gives.
    Fixed(Arc<[IpAddr]>),
    /// A name to look up.
    Name {
        /// As the policy writes it.
        host: String,
        known: Mutex<Option<Known>>,
    },
}

impl Target {
    /// Of a member: its fixed address, its host where that is an address, else its name.
    pub(super) fn of(member: &Member) -> Self {
        let literal = member.host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        match member.address.or(literal) {
            Some(address) => Self::Fixed([address].into()),
            None => Self::Name { host: member.host.clone(), known: Mutex::new(None) },
        }
    }

    /// The addresses, in the order to try; never empty. The error is a sentence.
    pub(super) async fn addresses(&self, names: &Names) -> Result<Arc<[IpAddr]>, String> {
        let (host, known) = match self {
            Self::Fixed(addresses) => return Ok(addresses.clone()),
            Self::Name { host, known } => (host, known),
        };
        let held = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.fresh_until) {
            return Ok(held.addresses.clone());
        }
        let found = lookup(names, host).await;
        let mut slot = known.lock().unwrap_or_else(PoisonError::into_inner);
        match (found, held) {
            (Ok(found), _) => {
                let addresses = found.addresses.clone();
                *slot = Some(found);
                Ok(addresses)
            }
            (Err(Failure::Servers(_)), Some(held)) if Instant::now() < held.stale_until => {
                let addresses = held.addresses.clone();
                *slot = Some(Known { fresh_until: Instant::now() + RESOLVE_RETRY_INTERVAL, ..held });
                Ok(addresses)
            }
            (Err(Failure::Servers(why) | Failure::NoSuchName(why)), _) => {
                *slot = None;
                Err(why)
            }
        }
    }
}

/// Why a lookup gave no address. A name that does not exist any more is not served from memory.
enum Failure {
    NoSuchName(String),
    Servers(String),
}

async fn lookup(names: &Names, host: &str) -> Result<Known, Failure> {
    let resolver = names.resolver().map_err(Failure::Servers)?;
    let found = resolver.lookup_ip(host).await.map_err(|e| match e.is_no_records_found() {
        true => Failure::NoSuchName(format!("{host} has no address")),
        false => Failure::Servers(format!("the lookup of {host} failed: {e}")),
    })?;
    let addresses: Arc<[IpAddr]> = found.iter().take(RESOLVE_ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(Failure::NoSuchName(format!("{host} has no address")));
    }
    let now = Instant::now();
    let ttl = found.valid_until().saturating_duration_since(now).clamp(RESOLVE_TTL_MIN, RESOLVE_TTL_MAX);
    Ok(Known { addresses, fresh_until: now + ttl, stale_until: now + ttl + RESOLVE_STALE_MAX })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use hickory_resolver::config::{NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn member(host: &str, address: Option<&str>) -> Member {
        Member { tls: None, host: host.into(), port: 80, address: address.map(|a| a.parse().unwrap()) }
    }

    #[tokio::test]
    async fn a_fixed_address_is_used_and_the_name_is_not_looked_up() {
        let names = Names::default();
        let target = Target::of(&member("no.such.name.invalid", Some("192.0.2.1")));
        assert_eq!(&*target.addresses(&names).await.unwrap(), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        let target = Target::of(&member("[2001:db8::1]", None));
        assert_eq!(&*target.addresses(&names).await.unwrap(), ["2001:db8::1".parse::<IpAddr>().unwrap()]);
        assert!(names.resolver.get().is_none());
    }

    #[tokio::test]
    async fn the_hosts_file_is_respected() {
        let names = Names::default();
        let found = Target::of(&member("localhost", None)).addresses(&names).await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    /// What the name server of a test does with a question.
    #[derive(Clone, Copy, PartialEq)]
    enum Mood {
        Answer([u8; 4]),
        NoSuchName,
        Fail,
    }

    /// A name server on UDP that gives every name one address with a TTL of one second; and how often it was asked for it.
    async fn name_server(mood: Arc<Mutex<Mood>>) -> (Names, Arc<AtomicUsize>) {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                // The question: after the 12 bytes of the header, up to the root label, type and class.
                let end = 12 + packet[12..length].iter().position(|b| *b == 0).unwrap() + 5;
                let wants_v4 = packet[end - 3] == 1;
                let mood = *mood.lock().unwrap();
                count.fetch_add(usize::from(wants_v4), Ordering::SeqCst);
                let code = match mood {
                    Mood::Answer(_) => 0,
                    Mood::NoSuchName => 3,
                    Mood::Fail => 2,
                };
                let answers = u8::from(wants_v4 && code == 0);
                let mut reply = packet[..end].to_vec();
                reply[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
                if let (Mood::Answer(address), 1) = (mood, answers) {
                    reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                    reply.extend(address);
                }
                socket.send_to(&reply, from).await.unwrap();
            }
        });
        let mut server = NameServerConfig::udp("127.0.0.1".parse().unwrap());
        server.connections[0].port = port;
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.options_mut().attempts = 0;
        let names = Names::default();
        assert!(names.resolver.set(builder.build().map_err(|e| e.to_string())).is_ok());
        (names, asked)
    }

    #[tokio::test]
    async fn an_address_is_believed_for_its_ttl_and_outlives_it_only_while_name_servers_fail() {
        let mood = Arc::new(Mutex::new(Mood::Answer([192, 0, 2, 1])));
        let (names, asked) = name_server(mood.clone()).await;
        let target = Target::of(&member("app.internal.example", None));
        let first = |found: Arc<[IpAddr]>| found[0].to_string();
        for _ in 0..5 {
            assert_eq!(first(target.addresses(&names).await.unwrap()), "192.0.2.1");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        *mood.lock().unwrap() = Mood::Answer([192, 0, 2, 2]);
        tokio::time::sleep(RESOLVE_TTL_MIN * 3 / 2).await;
        assert_eq!(first(target.addresses(&names).await.unwrap()), "192.0.2.2");
        *mood.lock().unwrap() = Mood::Fail;
        tokio::time::sleep(RESOLVE_TTL_MIN * 3 / 2).await;
        assert_eq!(first(target.addresses(&names).await.unwrap()), "192.0.2.2");
        *mood.lock().unwrap() = Mood::NoSuchName;
        tokio::time::sleep(RESOLVE_RETRY_INTERVAL * 3 / 2).await;
        assert!(target.addresses(&names).await.is_err());
        *mood.lock().unwrap() = Mood::Fail;
        assert!(target.addresses(&names).await.is_err(), "a name that is gone does not come back from memory");
    }
}
