//! Receivers of audit records for tests: syslog over TCP, TLS and UDP, and HTTP that answers as its script says.

use super::program::until;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A certificate with its key, as PEM.
pub(crate) type Pem = (String, String);

/// An authority, a certificate of `name` and one of a client, both issued by it.
pub(crate) fn authority(name: &str) -> (String, Pem, Pem) {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    let mut root = CertificateParams::new(vec![]).unwrap();
    root.distinguished_name.push(rcgen::DnType::CommonName, "An authority for tests");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().unwrap();
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let issuer = Issuer::new(root, root_key);
    let issued = |name: &str, usage| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let own = issued(name, ExtendedKeyUsagePurpose::ServerAuth);
    (root_pem, own, issued("gate.example.com", ExtendedKeyUsagePurpose::ClientAuth))
}

/// TLS of a server with this certificate that takes only clients whose certificate `root` has issued.
pub(crate) fn asking_for_certificates(root: &str, own: &Pem) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(own.0.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.1.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap().into()
}

/// What every receiver over TCP has: a thread that accepts, one for each connection, an end to all of them.
struct Accepting {
    end: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Accepting {
    fn start(address: SocketAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> (Self, SocketAddr) {
        let listener = until(|| TcpListener::bind(address).map_err(|e| e.to_string()));
        listener.set_nonblocking(true).unwrap();
        let bound = listener.local_addr().unwrap();
        let (end, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (own_end, own_open, serve) = (Arc::clone(&end), Arc::clone(&open), Arc::new(serve));
        let thread = std::thread::spawn(move || {
            while !own_end.load(SeqCst) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                own_open.lock().unwrap().push(stream.try_clone().unwrap());
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || {
                    let end = stream.try_clone().unwrap();
                    serve(stream);
                    let _ = end.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        (Self { end, open, thread: Some(thread) }, bound)
    }
}

impl Drop for Accepting {
    /// As if it were killed: what lies unread in its connections is lost.
    fn drop(&mut self) {
        self.end.store(true, SeqCst);
        let _ = self.thread.take().unwrap().join();
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// A syslog receiver; what it has read outlives it in [`Messages`].
pub(crate) struct Syslog {
    pub(crate) address: SocketAddr,
    _accepting: Accepting,
}

/// What receivers have read, in order.
#[derive(Clone, Default)]
pub(crate) struct Messages(Arc<Mutex<Vec<String>>>);

impl Messages {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn add(&self, message: Vec<u8>) {
        self.0.lock().unwrap().push(String::from_utf8(message).unwrap());
    }

    /// The JSON of each message, from its first brace on.
    pub(crate) fn records(&self) -> Vec<Value> {
        let json =
            |message: &String| serde_json::from_str(&message[message.find('{').unwrap()..]).unwrap_or_else(|e| panic!("{e}: {message}"));
        self.all().iter().map(json).collect()
    }
}

/// A stream of octet-counted frames (RFC 6587 section 3.4.1), until it ends.
fn read_frames(stream: impl Read, messages: &Messages) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = Vec::new();
        if !reader.read_until(b' ', &mut length).is_ok_and(|read| read > 0) || length.pop() != Some(b' ') {
            return;
        }
        let length: usize = std::str::from_utf8(&length).unwrap().parse().unwrap();
        let mut message = vec![0; length];
        if reader.read_exact(&mut message).is_err() {
            return;
        }
        messages.add(message);
    }
}

impl Syslog {
    /// Over TCP, or over TLS.
    pub(crate) fn start(address: SocketAddr, tls: Option<Arc<ServerConfig>>, messages: &Messages) -> Self {
        let messages = messages.clone();
        let (accepting, address) = Accepting::start(address, move |stream| match &tls {
            None => read_frames(stream, &messages),
            Some(tls) => {
                let Ok(connection) = ServerConnection::new(Arc::clone(tls)) else { return };
                read_frames(StreamOwned::new(connection, stream), &messages);
            }
        });
        Self { address, _accepting: accepting }
    }

    /// Over UDP, for as long as the test runs.
    pub(crate) fn datagrams(messages: &Messages) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, messages) = (socket.local_addr().unwrap(), messages.clone());
        std::thread::spawn(move || {
            let mut space = vec![0; 65_536];
            while let Ok(length) = socket.recv(&mut space) {
                messages.add(space[..length].to_vec());
            }
        });
        address
    }
}

/// One POST as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) head: String,
    /// The body, unpacked.
    pub(crate) body: String,
}

impl Post {
    /// The log records of an OTLP request.
    pub(crate) fn logs(&self) -> Vec<Value> {
        let mut request: Value = serde_json::from_str(&self.body).unwrap();
        match request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].take() {
            Value::Array(list) => list,
            other => panic!("{other}"),
        }
    }
}

/// The status line, the headers and the body of an answer.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// A receiver over HTTP. `script` says what is answered to a POST; an empty text closes the connection instead.
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    _accepting: Accepting,
}

impl Http {
    pub(crate) fn start(address: SocketAddr, script: impl FnMut(&Post) -> String + Send + 'static) -> Self {
        let script = Mutex::new(script);
        let (accepting, address) = Accepting::start(address, move |stream| {
            let mut writer = stream.try_clone().unwrap();
            let mut reader = BufReader::new(stream);
            while let Some(post) = read_post(&mut reader) {
                let answer = (script.lock().unwrap())(&post);
                if answer.is_empty() || writer.write_all(answer.as_bytes()).is_err() {
                    let _ = writer.shutdown(std::net::Shutdown::Both);
                    return;
                }
            }
        });
        Self { address, _accepting: accepting }
    }
}

fn read_post(reader: &mut BufReader<TcpStream>) -> Option<Post> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mut body = vec![0; header("content-length:")?.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    if header("content-encoding:") == Some("gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
        body = plain;
    }
    Some(Post { body: String::from_utf8(body).unwrap(), head })
}
