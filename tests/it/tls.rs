//! TLS on both sides, with real handshakes: certificates by name, versions, groups, tickets; backends verified.

use crate::backend::{Backend, ok};
use crate::upstream::{Way, group, member};
use portcullis::diagnostic::Diagnostic;
use portcullis::policy::{CertificateFiles, Member, MemberTls, SiteName};
use portcullis::refusal::Refusal;
use portcullis::tls::server::{Served, prepare_each};
use portcullis::tls::{HandshakeError, Prepared, ServerTls, self_signed, session};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A file with certificate and key for `names`, and the certificate alone.
fn certificate(folder: &Path, file: &str, names: &[&str]) -> (PathBuf, CertificateDer<'static>, PrivateKeyDer<'static>) {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let (certificate, key) = self_signed(&names, 90).unwrap();
    let path = folder.join(file);
    std::fs::write(&path, format!("{certificate}{key}")).unwrap();
    (path, CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap(), PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
}

/// Certificates of sites with these names.
fn prepare(sites: &[(&[SiteName], &Path)], now: i64) -> (Option<Prepared>, Vec<Diagnostic>) {
    let files: Vec<_> = sites.iter().map(|(_, path)| CertificateFiles { certificate: path.into(), key: None, chain: None }).collect();
    let name = "site".into();
    prepare_each(sites.iter().zip(&files).map(|((names, _), files)| Served { name: &name, names, files, http1_only: false }), now)
}

fn now() -> i64 {
    i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

struct Met {
    client: tokio_rustls::client::TlsStream<tokio::io::DuplexStream>,
    agreed: portcullis::message::TlsSession,
}

impl Met {
    fn certificate(&self) -> CertificateDer<'static> {
        self.client.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

/// A handshake in memory; `Err` has what each side says.
async fn meet(server: &ServerTls, config: &Arc<ClientConfig>, name: &str) -> Result<Met, (String, HandshakeError)> {
    let (ours, theirs) = tokio::io::duplex(65536);
    let connector = TlsConnector::from(config.clone());
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (client, served) = tokio::join!(connector.connect(name, theirs), server.accept(ours));
    match (client, served) {
        (Ok(mut client), Ok(mut served)) => {
            // Session tickets come with the first bytes.
            served.write_all(b"x").await.unwrap();
            let mut byte = [0];
            tokio::io::AsyncReadExt::read_exact(&mut client, &mut byte).await.unwrap();
            Ok(Met { client, agreed: session(served.get_ref().1) })
        }
        (client, served) => Err((client.err().map(|e| e.to_string()).unwrap_or_default(), served.err().unwrap())),
    }
}

fn trusting(
    certificates: &[&CertificateDer<'static>],
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add((*certificate).clone()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Arc::new(config)
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn each_name_gets_its_certificate_and_an_unknown_one_an_alert() {
    let folder = tempfile::tempdir().unwrap();
    let (mail, mail_cert, _) = certificate(folder.path(), "mail.pem", &["mail.example.com", "192.0.2.1"]);
    let (wild, wild_cert, _) = certificate(folder.path(), "wild.pem", &["*.example.com"]);
    let (exact, wildcard) = ([SiteName::Exact("mail.example.com".into())], [SiteName::Wildcard("example.com".into())]);
    let sites: [(&[SiteName], &Path); 2] = [(&exact, &mail), (&wildcard, &wild)];
    let (prepared, found) = prepare(&sites, now());
    assert!(found.iter().all(|d| !d.is_error()), "{found:?}");
    let server = ServerTls::new(&prepared.unwrap()).unwrap();
    let client = trusting(&[&mail_cert, &wild_cert], BOTH, &[b"h2", b"http/1.1"]);
    for (name, expected) in [("mail.example.com", &mail_cert), ("MAIL.example.com", &mail_cert), ("www.example.com", &wild_cert)] {
        let met = meet(&server, &client, name).await.unwrap();
        assert_eq!(met.certificate(), *expected, "{name}");
        assert_eq!(met.agreed.server_name.as_deref(), Some(name.to_ascii_lowercase().as_str()));
    }
    // A client that connects by address sends no name: the first site's certificate.
    let met = meet(&server, &client, "192.0.2.1").await.unwrap();
    assert_eq!((met.certificate(), met.agreed.server_name), (mail_cert, None));
    for name in ["other.example", "a.b.example.com", "example.com"] {
        let (client, server) = meet(&server, &client, name).await.map(|_| ()).unwrap_err();
        assert!(matches!(&server, HandshakeError::UnknownName(asked) if asked == name), "{server}");
        assert!(client.contains("UnrecognisedName") || client.contains("UnrecognizedName"), "{client}");
    }
    let server = ServerTls::new(&prepare(&[sites[0], (&[SiteName::Any], &wild)], now()).0.unwrap()).unwrap();
    assert_eq!(meet(&server, &client, "new.example.com").await.unwrap().certificate(), wild_cert);
}

#[tokio::test]
async fn tls_1_3_with_the_post_quantum_group_is_preferred_and_1_2_still_served() {
    let folder = tempfile::tempdir().unwrap();
    let (path, cert, _) = certificate(folder.path(), "a.pem", &["a.example"]);
    let server = ServerTls::new(&prepare(&[(&[SiteName::Exact("a.example".into())], &path)], now()).0.unwrap()).unwrap();
    let agreed = meet(&server, &trusting(&[&cert], BOTH, &[b"http/1.1", b"h2"]), "a.example").await.unwrap().agreed;
    assert_eq!((agreed.version, agreed.group.as_str(), agreed.protocol), ("1.3", "X25519MLKEM768", Some("h2")));
    assert!(["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"].contains(&agreed.cipher.as_str()), "{}", agreed.cipher);
    let agreed = meet(&server, &trusting(&[&cert], &[&rustls::version::TLS12], &[]), "a.example").await.unwrap().agreed;
    assert_eq!((agreed.version, agreed.protocol), ("1.2", None));
    assert!(agreed.cipher.starts_with("TLS_ECDHE_ECDSA_WITH_"), "{}", agreed.cipher);
    let strange = meet(&server, &trusting(&[&cert], BOTH, &[b"spdy/1"]), "a.example").await.map(|_| ()).unwrap_err();
    assert!(matches!(strange.1, HandshakeError::Failed(_)));
}

#[tokio::test]
async fn a_swap_changes_the_certificate_and_keeps_tickets_good() {
    let folder = tempfile::tempdir().unwrap();
    let names = [SiteName::Exact("a.example".into())];
    let (old, old_cert, _) = certificate(folder.path(), "old.pem", &["a.example"]);
    let (new, new_cert, _) = certificate(folder.path(), "new.pem", &["a.example"]);
    let server = ServerTls::new(&prepare(&[(&names, &old)], now()).0.unwrap()).unwrap();
    let returning = trusting(&[&old_cert, &new_cert], BOTH, &[]);
    let kind = |met: &Met| met.client.get_ref().1.handshake_kind();
    assert_eq!(kind(&meet(&server, &returning, "a.example").await.unwrap()), Some(rustls::HandshakeKind::Full));
    assert_eq!(kind(&meet(&server, &returning, "a.example").await.unwrap()), Some(rustls::HandshakeKind::Resumed));
    server.swap(&prepare(&[(&names, &new)], now()).0.unwrap()).unwrap();
    assert_eq!(kind(&meet(&server, &returning, "a.example").await.unwrap()), Some(rustls::HandshakeKind::Resumed));
    let newcomer = trusting(&[&new_cert], BOTH, &[]);
    assert_eq!(meet(&server, &newcomer, "a.example").await.unwrap().certificate(), new_cert);
}

#[tokio::test]
async fn one_bad_certificate_makes_the_whole_set_unusable_and_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let (good, ..) = certificate(folder.path(), "good.pem", &["a.example"]);
    let missing = folder.path().join("missing.pem");
    let name = |n: &str| [SiteName::Exact(n.into())];
    let sites: [(&[SiteName], &Path); 3] = [(&name("a.example"), &good), (&name("b.example"), &missing), (&name("c.example"), &missing)];
    let (prepared, found) = prepare(&sites, now());
    assert!(prepared.is_none());
    assert_eq!(found.iter().filter(|d| d.is_error()).count(), 1);
}

fn acceptor(cert: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(vec![cert], key).unwrap()))
}

#[tokio::test]
async fn a_backend_is_verified_unless_a_dangerous_key_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, cert, key) = certificate(folder.path(), "app.pem", &["app.internal", "127.0.0.1"]);
    let (other, ..) = certificate(folder.path(), "other.pem", &["app.internal"]);
    let backend = Backend::start_tls(acceptor(cert, key), |_| ok("secret")).await;
    let tls =
        |name: &str, ca: Option<&PathBuf>, skip| MemberTls { name: name.into(), ca: ca.cloned(), dangerously_skip_verification: skip };
    let way = |tls| Way::to(group(vec![Member { tls: Some(tls), ..member(backend.address) }]));
    for good in [tls("app.internal", Some(&ca), false), tls("127.0.0.1", Some(&ca), false), tls("whatever.example", None, true)] {
        let way = way(good);
        assert_eq!(way.fetch("/").await.1, "secret");
        assert!(way.get("/").await.1.reused);
    }
    for bad in [tls("wrong.internal", Some(&ca), false), tls("app.internal", Some(&other), false), tls("app.internal", None, false)] {
        let seen = backend.requests().len();
        let (answer, outcome) = way(bad.clone()).get("/").await;
        assert_eq!(answer.unwrap_err(), Refusal::BackendTls, "{bad:?}");
        assert!(outcome.error.unwrap().contains("certificate"), "{bad:?}");
        assert_eq!(backend.requests().len(), seen);
    }
}

#[test]
fn a_wrong_ca_file_is_a_diagnostic_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("ca.pem");
    std::fs::write(&empty, "").unwrap();
    for path in [empty, folder.path().join("missing.pem")] {
        let tls = MemberTls { name: "a b".into(), ca: Some(path.clone()), dangerously_skip_verification: false };
        let backend = Arc::new(group(vec![Member { tls: Some(tls), ..member("127.0.0.1:1".parse().unwrap()) }]));
        let found = portcullis::upstream::Upstreams::of(&[backend], Path::new("gateway.toml")).unwrap_err();
        assert!(found.iter().any(|d| d.path == path), "{found:?}");
    }
}
