//! The real gateway in process, and raw clients for it: what every end-to-end test starts with.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::server::{Gateway, StartError, prepare};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No step of a test waits longer for something that should come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// No test lasts longer than this.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// alice (staff, admins) has the password `secret`, bob (staff) `hunter2`, carol (no group) `pass`.
const USERS: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=
bob:$2y$04$wlpdOSfawTsEqLn3XUF1GeU3Lml57ULXjUvZ9WFaUUQJTpUGJqFrm
carol:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=
";
const GROUPS: &str = "staff: alice bob\nadmins: alice\n";
/// `alice:secret`, as a header line.
pub(crate) const ALICE: &str = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n";
/// `bob:hunter2`, as a header line.
pub(crate) const BOB: &str = "Authorization: Basic Ym9iOmh1bnRlcjI=\r\n";
/// `carol:pass`, as a header line.
pub(crate) const CAROL: &str = "Authorization: Basic Y2Fyb2w6cGFzcw==\r\n";
/// `alice` with a wrong password, as a header line.
pub(crate) const WRONG: &str = "Authorization: Basic YWxpY2U6d3Jvbmc=\r\n";

/// What stands before a test's own policy, which may have its own `[auth]`, `[inspection]` and `[limits]`.
const LISTENERS: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
                         [audit]\ndirectory = \"audit\"\nflood_records_per_second = \"unlimited\"\n";
const AUTH: &str =
    "[auth]\nusers = \"htpasswd\"\ngroups = \"groups\"\nrealm = \"Example Inc.\"\ndangerously_allow_basic_over_http = true\n";
const INSPECTION: &str = "[inspection]\nmode = \"off\"\n";
const LIMITS: &str = "[limits]\ndrain_timeout_seconds = 5\n";

/// Runs a test on a runtime of its own, within a time.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(TEST_TIMEOUT, test).await.expect("the test takes too long") });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// A site `app.test` with one map from `/` to a backend `app` at `address`, everything open; `more` goes into the map.
pub(crate) fn open_site(address: SocketAddr, more: &str) -> String {
    format!("{}\n[[site.map]]\npath = \"/\"\nto = \"app/\"\n{more}\n", site(address, "require = [\"all granted\"]\nhttps = \"either\""))
}

/// A backend `app` at `address` and a site `app.test` without maps; `more` goes into the site.
pub(crate) fn site(address: SocketAddr, more: &str) -> String {
    format!(
        "[[backend]]\nname = \"app\"\nmembers = [\"http://{address}\"]\n\n\
         [[site]]\nnames = [\"app.test\"]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n{more}\n"
    )
}

/// The certificate of all tests, for `app.test`, `other.test` and `localhost`.
fn certificate() -> &'static (String, String) {
    static MADE: OnceLock<(String, String)> = OnceLock::new();
    MADE.get_or_init(|| portcullis::tls::self_signed(&["app.test".into(), "other.test".into(), "localhost".into()], 30).unwrap())
}

/// A running gateway in a folder of its own; dropped, it stops and its records are checked.
pub(crate) struct Gate {
    gateway: Option<Arc<Gateway>>,
    folder: tempfile::TempDir,
    /// The listener with TLS.
    pub(crate) tls: SocketAddr,
    /// The listener without.
    pub(crate) plain: SocketAddr,
}

impl Gate {
    /// Starts it with this policy behind the listeners of [`LISTENERS`].
    pub(crate) fn start(policy: &str) -> Self {
        Self::start_with(policy, &[])
    }

    /// The same with further files beside the policy.
    pub(crate) fn start_with(policy: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = certificate();
        for (name, text) in [("htpasswd", USERS), ("groups", GROUPS), ("cert.pem", certificate), ("key.pem", key)] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let path = folder.path().join("gateway.toml");
        fs::write(&path, whole(policy)).unwrap();
        let prepared = prepare(&path).unwrap_or_else(|e| panic!("{}", e.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
        let gateway = Gateway::start(prepared).unwrap_or_else(|e| panic!("{e}"));
        let address = |with_tls| gateway.addresses().iter().find(|(_, tls)| *tls == with_tls).unwrap().0;
        let (tls, plain) = (address(true), address(false));
        Self { gateway: Some(gateway), folder, tls, plain }
    }

    /// A file of its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The gateway itself.
    pub(crate) fn gateway(&self) -> &Arc<Gateway> {
        self.gateway.as_ref().unwrap()
    }

    /// Writes another policy and reloads.
    pub(crate) fn reload(&self, policy: &str) -> Result<(), StartError> {
        fs::write(self.file("gateway.toml"), whole(policy)).unwrap();
        self.gateway().reload().map(drop)
    }

    /// The records of requests, tunnel ends and failed connections so far, in the order they were written.
    pub(crate) fn records(&self) -> Vec<Value> {
        records(&self.file("audit"))
    }

    /// The records of a request line's path, once there are `count` of them.
    pub(crate) async fn records_of(&self, path: &str, count: usize) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let found: Vec<Value> = self.records().into_iter().filter(|r| r["url"]["path"] == path).collect();
            if found.len() >= count {
                assert_eq!(found.len(), count, "records of {path}: {found:#?}");
                return found;
            }
            assert!(Instant::now() < until, "{} records of {path} instead of {count}: {:#?}", found.len(), self.records());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The one record of a path.
    pub(crate) async fn record(&self, path: &str) -> Value {
        self.records_of(path, 1).await.remove(0)
    }

    /// The one record whose id a page shows.
    pub(crate) async fn record_on(&self, page: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut all = self.records();
            all.retain(|r| r["event"]["id"].as_str().is_some_and(|id| page.contains(id)));
            if let Some(record) = all.pop() {
                assert!(all.is_empty(), "two records of one request: {record:#} {all:#?}");
                return record;
            }
            assert!(Instant::now() < until, "no record's id is on the page {page}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Layer, action and reason of the one record of a path.
    pub(crate) async fn decision(&self, path: &str) -> [String; 3] {
        let record = self.record(path).await;
        ["layer", "action", "reason"].map(|key| record["decision"][key].as_str().unwrap_or_default().to_owned())
    }

    /// Stops it, and gives all its records and whether all requests ended in time.
    pub(crate) fn stop(mut self) -> (Vec<Value>, bool) {
        let drained = self.gateway.take().unwrap().stop();
        (self.records(), drained)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.stop();
        }
        if !std::thread::panicking() {
            follow_the_schema(&lines(&self.file("audit")));
        }
    }
}

fn whole(policy: &str) -> String {
    let own = |table: &str, text: &'static str| if policy.contains(&format!("[{table}]\n")) { "" } else { text };
    format!("{LISTENERS}{}{}{}{policy}", own("auth", AUTH), own("inspection", INSPECTION), own("limits", LIMITS))
}

fn lines(audit: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> = fs::read_dir(audit).map(|d| d.map(|e| e.unwrap().path()).collect()).unwrap_or_default();
    files.retain(|f| f.extension().is_some_and(|e| e == "jsonl"));
    files.sort();
    let text: String = files.iter().map(|f| fs::read_to_string(f).unwrap()).collect();
    // The last line may be on its way to the disk.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e} in {l}"))).collect()
}

fn records(audit: &Path) -> Vec<Value> {
    let wanted = |r: &Value| matches!(r["event"]["kind"].as_str(), Some("request" | "tunnel_end" | "connection"));
    let mut all = lines(audit);
    all.retain(wanted);
    all
}

/// Every record is what `audit/schema.json` promises.
fn follow_the_schema(lines: &[Value]) {
    static SCHEMA: OnceLock<Option<jsonschema::Validator>> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/audit/schema.json")).ok()?;
        Some(jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap())
    });
    let Some(schema) = schema else { return };
    for line in lines {
        let mistakes: Vec<String> = schema.iter_errors(line).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(mistakes.is_empty(), "a record breaks its schema: {mistakes:?}\n{line:#}");
    }
}

/// One answer of HTTP/1.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The head, status line included.
    pub(crate) head: String,
    /// The body, chunks joined.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The values of a header, by its name in lower case.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let named = |line: &&str| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        self.head.lines().skip(1).filter(named).map(|line| line[name.len() + 1..].trim()).collect()
    }

    /// The value of a header that stands there once; empty where it does not.
    pub(crate) fn header(&self, name: &str) -> &str {
        let all = self.headers(name);
        assert!(all.len() <= 1, "{name} stands there {} times:\n{}", all.len(), self.head);
        all.first().copied().unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A connection that sends bytes exactly and reads answers.
pub(crate) struct Client<S> {
    /// The connection.
    pub(crate) stream: S,
    /// What was read and belongs to no answer yet.
    pub(crate) buffer: Vec<u8>,
}

/// A plain connection.
pub(crate) async fn connect(address: SocketAddr) -> Client<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Client { stream, buffer: Vec::new() }
}

/// A TLS connection to `name`, offering these protocols by ALPN.
pub(crate) async fn connect_tls(address: SocketAddr, name: &str, protocols: &[&str]) -> Client<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate().0.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    Client { stream, buffer: Vec::new() }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Sends bytes. The other side may have closed by now; what it answered shows.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if self.stream.write_all(bytes.as_ref()).await.is_ok() {
            let _ = self.stream.flush().await;
        }
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        // A reset is an end as well: what came before it counts.
        read.unwrap_or_else(|_| panic!("nothing more comes after {:?}", String::from_utf8_lossy(&self.buffer))).unwrap_or(0) > 0
    }

    /// The next answer, interim ones included; `None` when the other side has closed.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET").await
    }

    /// The next answer to this method: one to HEAD has no body.
    pub(crate) async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let head = self.head().await?;
        let mut answer = Answer { status: head.get(9..12)?.parse().ok()?, head, body: Vec::new() };
        let bodiless = method == "HEAD" || answer.status < 200 || matches!(answer.status, 204 | 304);
        if bodiless {
            return Some(answer);
        }
        if answer.headers("transfer-encoding").iter().any(|v| v.eq_ignore_ascii_case("chunked")) {
            while let Some(chunk) = self.chunk().await {
                answer.body.extend(chunk);
            }
        } else if let Some(length) = answer.headers("content-length").first().map(|v| v.parse().unwrap()) {
            while self.buffer.len() < length && self.more().await {}
            answer.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else {
            while self.more().await {}
            answer.body = std::mem::take(&mut self.buffer);
        }
        Some(answer)
    }

    /// The next head with its empty line.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                return Some(String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap());
            }
            if !self.more().await {
                assert!(self.buffer.is_empty(), "a head was cut off: {:?}", String::from_utf8_lossy(&self.buffer));
                return None;
            }
        }
    }

    /// The next chunk; `None` after the last one (its trailers are read too), or where the connection ends.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line().await?;
        let size = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
        if size == 0 {
            while self.line().await.is_some_and(|l| !l.is_empty()) {}
            return None;
        }
        while self.buffer.len() < size + 2 {
            if !self.more().await {
                return None;
            }
        }
        let chunk = self.buffer.drain(..size).collect();
        assert_eq!(self.buffer.drain(..2).collect::<Vec<u8>>(), b"\r\n");
        Some(chunk)
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads into the buffer until the other side closes.
    pub(crate) async fn rest(&mut self) {
        while self.more().await {}
    }

    /// All answers until the other side closes.
    pub(crate) async fn answers(&mut self) -> Vec<Answer> {
        let mut all = Vec::new();
        while let Some(answer) = self.answer().await {
            all.push(answer);
        }
        all
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// A GET on `app.test` that closes, with further header lines.
pub(crate) fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n{headers}Connection: close\r\n\r\n")
}

/// The one answer to bytes sent to a plain listener, after which the connection ends.
pub(crate) async fn ask(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
    let mut client = connect(address).await;
    client.send(bytes).await;
    let mut all = client.answers().await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// The same over TLS to `app.test`.
pub(crate) async fn ask_tls(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
    let mut client = connect_tls(address, "app.test", &["http/1.1"]).await;
    client.send(bytes).await;
    let mut all = client.answers().await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// An HTTP/2 connection.
pub(crate) struct H2 {
    sender: http2::SendRequest<Full<Bytes>>,
}

/// Connects with ALPN `h2`.
pub(crate) async fn connect_h2(address: SocketAddr, name: &str) -> H2 {
    connect_h2_with(address, name, None).await
}

/// The same with a flow-control window of the client's choosing for each stream.
pub(crate) async fn connect_h2_with(address: SocketAddr, name: &str, window: Option<u32>) -> H2 {
    let client = connect_tls(address, name, &["h2"]).await;
    assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    if let Some(window) = window {
        builder.initial_stream_window_size(window);
    }
    let (sender, connection) = builder.handshake(TokioIo::new(client.stream)).await.unwrap();
    tokio::spawn(connection);
    H2 { sender }
}

impl H2 {
    /// A GET whose body nobody reads as long as the answer is kept.
    pub(crate) async fn begin(&mut self, url: &str) -> hyper::Response<hyper::body::Incoming> {
        let request = hyper::Request::get(url).body(Full::default()).unwrap();
        tokio::time::timeout(PATIENCE, self.sender.send_request(request)).await.expect("a head over HTTP/2").unwrap()
    }

    /// Sends a request; status, headers and body of the answer.
    pub(crate) async fn send(&mut self, request: hyper::Request<Full<Bytes>>) -> (u16, http::HeaderMap, Bytes) {
        tokio::time::timeout(PATIENCE, async {
            self.sender.ready().await.unwrap();
            let (parts, body) = self.sender.send_request(request).await.unwrap().into_parts();
            (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes())
        })
        .await
        .expect("an answer over HTTP/2")
    }

    /// A GET.
    pub(crate) async fn get(&mut self, url: &str, headers: &[(&str, &str)]) -> (u16, http::HeaderMap, Bytes) {
        let mut request = hyper::Request::get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::default()).unwrap()).await
    }
}
