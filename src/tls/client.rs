//! TLS towards backends: verified against the system's authorities, or against those of one file.

use super::pem::PemFile;
use super::status::no_certificate;
use crate::diagnostic::Diagnostic;
use crate::limits::BACKEND_TLS_SESSIONS_MAX;
use crate::policy::MemberTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Makes the configurations for backends, one per trust setting, so that members share their sessions and the system's
/// authorities are read once.
#[derive(Debug, Default)]
pub struct ClientConfigs {
    made: HashMap<(Option<PathBuf>, bool), Arc<ClientConfig>>,
}

impl ClientConfigs {
    /// The configuration for a member: HTTP/1.1 by ALPN, sessions resumed. `policy` is the file that names the member, for
    /// diagnostics.
    ///
    /// # Errors
    /// The `ca` file cannot be used, or the system has no authorities.
    pub fn get(&mut self, tls: &MemberTls, policy: &Path) -> Result<Arc<ClientConfig>, Diagnostic> {
        let key = (tls.ca.clone(), tls.dangerously_skip_verification);
        if let Some(config) = self.made.get(&key) {
            return Ok(config.clone());
        }
        let provider = super::provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|e| Diagnostic::file(policy, format!("TLS to backends cannot be set up: {e}"), ""))?;
        let mut config = if tls.dangerously_skip_verification {
            let verifier = Unverified { algorithms: provider.signature_verification_algorithms };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        } else {
            builder.with_root_certificates(roots(tls.ca.as_deref(), policy)?).with_no_client_auth()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(BACKEND_TLS_SESSIONS_MAX);
        let config = Arc::new(config);
        self.made.insert(key, config.clone());
        Ok(config)
    }
}

/// The authorities in a file, or the system's.
pub(super) fn roots(ca: Option<&Path>, policy: &Path) -> Result<RootCertStore, Diagnostic> {
    match ca {
        Some(path) => file_roots(path),
        None => system_roots(policy),
    }
}

/// A client of one server: of a receiver of records, or of a gateway itself where a running one is tested.
#[derive(Clone)]
pub struct Connector {
    connector: tokio_rustls::TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Connector {
    /// A client that trusts as `tls` says; `path` is named in diagnostics.
    ///
    /// # Errors
    /// As [`ClientConfigs::get`] and [`server_name`].
    pub fn new(tls: &MemberTls, path: &Path) -> Result<Self, Diagnostic> {
        let config = ClientConfigs::default().get(tls, path)?;
        Ok(Self::of(config, server_name(tls, path)?))
    }

    pub(super) fn of(config: Arc<ClientConfig>, name: ServerName<'static>) -> Self {
        Self { connector: config.into(), name }
    }

    /// Shakes hands over a connection.
    ///
    /// # Errors
    /// As rustls.
    pub async fn connect(&self, stream: tokio::net::TcpStream) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// The name a member's certificate must carry.
///
/// # Errors
/// A diagnostic where it is neither a host name nor an IP address.
pub fn server_name(tls: &MemberTls, policy: &Path) -> Result<ServerName<'static>, Diagnostic> {
    ServerName::try_from(tls.name.clone()).map_err(|_| {
        let message = format!("{:?} cannot be the name in a backend's certificate", tls.name);
        Diagnostic::file(policy, message, "set tls_name to a host name or an IP address")
    })
}

/// What is wrong with a file of authorities that a backend or a receiver is verified against.
pub fn authorities_mistake(path: &Path) -> Option<Diagnostic> {
    file_roots(path).err()
}

fn file_roots(path: &Path) -> Result<RootCertStore, Diagnostic> {
    let file = PemFile::read(path)?;
    let mut roots = RootCertStore::empty();
    for block in file.blocks.iter().filter(|b| b.is_certificate()) {
        roots.add(CertificateDer::from(block.der.as_slice())).map_err(|_| {
            let help = "leave only certificates of authorities in this file";
            Diagnostic::at(path, &file.text, block.span.clone(), "this certificate cannot be trusted as an authority", help)
        })?;
    }
    if roots.is_empty() { Err(no_certificate(path)) } else { Ok(roots) }
}

fn system_roots(policy: &Path) -> Result<RootCertStore, Diagnostic> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // System stores hold the odd certificate that does not parse; the others serve.
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let message = "a server is to be verified, but this system has no certificates of authorities";
        let help = "install the package ca-certificates, or set ca = \"file.pem\" at the backend or receiver";
        return Err(Diagnostic::file(policy, message, help));
    }
    Ok(roots)
}

/// `dangerously_skip_verification`: takes any certificate, but still makes the server prove that it has its key.
#[derive(Debug)]
struct Unverified {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
