//! TLS towards clients: which certificate for which name, what a handshake agreed on, a swap without a restart.

use super::load::{Loaded, load};
use crate::diagnostic::Diagnostic;
use crate::message::TlsSession;
use crate::policy::{CertificateFiles, Site, SiteName};
use arc_swap::ArcSwap;
use rustls::server::{Acceptor, ClientHello, ProducesTickets, ResolvesServerCert, ServerConfig, ServerConnection};
use rustls::sign::CertifiedKey;
use rustls::{NamedGroup, ProtocolVersion};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::LazyConfigAcceptor;
pub use tokio_rustls::server::TlsStream;

/// What a name is served with.
#[derive(Clone, Debug)]
struct Offer {
    key: Arc<CertifiedKey>,
    /// HTTP/2 is not offered.
    http1_only: bool,
}

/// Certificates of all sites by name. Exact names win over wildcards, wildcards over the catch-all site.
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<Box<str>, Offer>,
    /// By the suffix after `*.`.
    wildcard: HashMap<Box<str>, Offer>,
    any: Option<Offer>,
    /// For clients that name no site: the first site's certificate, and HTTP/1.1 alone where any site needs it.
    nameless: Option<Offer>,
}

impl Names {
    fn add(&mut self, names: &[SiteName], offer: &Offer) {
        self.nameless.get_or_insert_with(|| offer.clone()).http1_only |= offer.http1_only;
        for name in names {
            match name {
                SiteName::Exact(host) => _ = self.exact.entry(host.as_str().into()).or_insert_with(|| offer.clone()),
                SiteName::Wildcard(suffix) => _ = self.wildcard.entry(suffix.as_str().into()).or_insert_with(|| offer.clone()),
                SiteName::Any => _ = self.any.get_or_insert_with(|| offer.clone()),
            }
        }
    }

    /// Without a name the first site's certificate, since a client that sends none can be given nothing better; an unknown
    /// name gets the catch-all site's, or nothing.
    fn find(&self, name: Option<&str>) -> Option<&Offer> {
        let Some(name) = name else { return self.nameless.as_ref() };
        let lower;
        let name = if name.bytes().any(|b| b.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            lower.as_str()
        } else {
            name
        };
        let wildcard = || name.split_once('.').and_then(|(_, suffix)| self.wildcard.get(suffix));
        self.exact.get(name).or_else(wildcard).or(self.any.as_ref())
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).map(|offer| offer.key.clone())
    }
}

/// Certificates read and checked, ready to be served.
#[derive(Debug)]
pub struct Prepared {
    names: Arc<Names>,
    /// Each site's first name with what was loaded for it, for metrics and the log.
    pub certificates: Vec<(Arc<str>, Loaded)>,
}

/// Loads the certificates of all sites that have one, at `now` (seconds since the Unix epoch); `None` where a diagnostic
/// is an error or no site has a certificate.
pub fn prepare(sites: &[Arc<Site>], now: i64) -> (Option<Prepared>, Vec<Diagnostic>) {
    let served = sites.iter().filter_map(|site| {
        let files = site.certificate.as_ref()?;
        Some(Served { name: &site.name, names: &site.names, files, http1_only: site.http1_only() })
    });
    prepare_each(served, now)
}

/// What of a site TLS needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The site's first name, for the log.
    pub name: &'a Arc<str>,
    /// All names.
    pub names: &'a [SiteName],
    /// Its certificate.
    pub files: &'a CertificateFiles,
    /// Offer HTTP/1.1 only ([`Site::http1_only`]).
    pub http1_only: bool,
}

/// [`prepare`], for sites that are not in a policy.
pub fn prepare_each<'a>(sites: impl Iterator<Item = Served<'a>>, now: i64) -> (Option<Prepared>, Vec<Diagnostic>) {
    let mut names = Names::default();
    let mut certificates = Vec::new();
    let mut found: Vec<Diagnostic> = Vec::new();
    for site in sites {
        let (loaded, diagnostics) = load(site.files, site.names, now);
        // Sites may share files: what is wrong with a file is said once.
        found.extend(diagnostics.into_iter().filter(|d| !found.contains(d)).collect::<Vec<_>>());
        if let Some(loaded) = loaded {
            names.add(site.names, &Offer { key: loaded.key.clone(), http1_only: site.http1_only });
            certificates.push((site.name.clone(), loaded));
        }
    }
    let usable = !certificates.is_empty() && !found.iter().any(Diagnostic::is_error);
    (usable.then(|| Prepared { names: Arc::new(names), certificates }), found)
}

/// Why a handshake did not come about.
#[derive(Debug)]
pub enum HandshakeError {
    /// The client asked for a name, lower case, that no site has; it was told so (`unrecognized_name`, RFC 6066 section 3).
    UnknownName(String),
    /// The client and we do not agree, or what it sent is not TLS; in words.
    Failed(String),
    /// The connection broke off; in words.
    Broken(String),
}

impl std::fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownName(_) => f.write_str("unknown server name"),
            Self::Failed(why) | Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HandshakeError {}

struct Current {
    /// HTTP/2 and HTTP/1.1.
    both: Arc<ServerConfig>,
    /// HTTP/1.1 alone.
    http1: Arc<ServerConfig>,
    names: Arc<Names>,
}

/// TLS of all listeners. Handshakes under way keep what they began with when the certificates are swapped.
pub struct ServerTls {
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<Current>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// TLS 1.2 and 1.3 with `prepared`'s certificates, HTTP/2 and HTTP/1.1 by ALPN (HTTP/1.1 alone for sites that need it), and
    /// session tickets under keys that change every six hours and survive a swap.
    ///
    /// # Errors
    /// The operating system has no random numbers; in words.
    pub fn new(prepared: &Prepared) -> Result<Self, String> {
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|e| format!("no keys for session tickets: {e}"))?;
        let current = ArcSwap::from_pointee(current(prepared, &tickets)?);
        Ok(Self { tickets, current })
    }

    /// Serves other certificates from now on.
    ///
    /// # Errors
    /// In words; nothing is changed then.
    pub fn swap(&self, prepared: &Prepared) -> Result<(), String> {
        self.current.store(Arc::new(current(prepared, &self.tickets)?));
        Ok(())
    }

    /// Does the handshake on a new connection. There is no time limit here: the listener has one.
    ///
    /// # Errors
    /// [`HandshakeError`]; the connection is closed then.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<TlsStream<S>, HandshakeError> {
        let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let start = (&mut acceptor).await.map_err(|e| handshake_error(&e))?;
        let current = self.current.load_full();
        let asked = start.client_hello().server_name().map(str::to_ascii_lowercase);
        let offer = current.names.find(asked.as_deref());
        if let (None, Some(name)) = (offer, &asked) {
            let name = name.clone();
            // An alert record by hand (RFC 8446 section 6): rustls sends access_denied where it finds no certificate.
            const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
            let mut stream = start.io;
            let _ = stream.write_all(&UNRECOGNIZED_NAME).await;
            let _ = stream.shutdown().await;
            return Err(HandshakeError::UnknownName(name));
        }
        let config = if offer.is_some_and(|o| o.http1_only) { &current.http1 } else { &current.both };
        start.into_stream(Arc::clone(config)).await.map_err(|e| handshake_error(&e))
    }
}

fn current(prepared: &Prepared, tickets: &Arc<dyn ProducesTickets>) -> Result<Current, String> {
    let builder = ServerConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|e| format!("TLS cannot be set up: {e}"))?;
    let names = prepared.names.clone();
    let mut config = builder.with_no_client_auth().with_cert_resolver(names.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = tickets.clone();
    let mut both = config.clone();
    both.alpn_protocols.insert(0, b"h2".to_vec());
    Ok(Current { both: Arc::new(both), http1: Arc::new(config), names })
}

fn handshake_error(error: &std::io::Error) -> HandshakeError {
    match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(tls) => HandshakeError::Failed(tls.to_string()),
        None => HandshakeError::Broken(error.to_string()),
    }
}

/// What a finished handshake agreed on.
pub fn session(connection: &ServerConnection) -> TlsSession {
    TlsSession {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "",
        },
        cipher: connection.negotiated_cipher_suite().map(|suite| cipher_name(suite.suite())).unwrap_or_default(),
        group: connection.negotiated_key_exchange_group().map(|group| group_name(group.name())).unwrap_or_default(),
        server_name: connection.server_name().map(str::to_ascii_lowercase),
        protocol: match connection.alpn_protocol() {
            Some(b"h2") => Some("h2"),
            Some(b"http/1.1") => Some("http/1.1"),
            _ => None,
        },
    }
}

/// rustls writes `TLS13_` where the IANA registry has `TLS_`.
fn cipher_name(suite: rustls::CipherSuite) -> String {
    let name = format!("{suite:?}");
    name.strip_prefix("TLS13_").map_or(name.clone(), |rest| format!("TLS_{rest}"))
}

/// The names of the IANA registry "TLS Supported Groups".
fn group_name(group: NamedGroup) -> String {
    match group {
        NamedGroup::X25519 => "x25519".into(),
        NamedGroup::X448 => "x448".into(),
        other => format!("{other:?}"),
    }
}
