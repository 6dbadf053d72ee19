//! The real `portcullis` binary as a process: started in a folder, asked, signalled, awaited.

use rustls::pki_types::ServerName;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for anything that should happen soon; a loaded machine is slow.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a command ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary to its end, in `folder`, with `input` on standard input.
pub(crate) fn portcullis(folder: &Path, arguments: &[&str], input: &str) -> Ended {
    let mut child = command(folder, arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).current_dir(folder).env_remove("RUST_LOG");
    command
}

/// A binary that runs until it is told to end; killed when dropped.
pub(crate) struct Program {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    _output: tempfile::TempDir,
}

impl Program {
    /// Starts it in `folder`.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let output = tempfile::tempdir().unwrap();
        let (stdout, stderr) = (output.path().join("stdout"), output.path().join("stderr"));
        let child = command(folder, arguments)
            .env("TMPDIR", output.path())
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Self { child, stdout, stderr, _output: output }
    }

    /// What it has printed on standard output.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap()
    }

    /// What it has printed on standard error.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits until `text` is on standard error.
    pub(crate) fn says(&mut self, text: &str) {
        self.says_times(text, 1);
    }

    /// Waits until `text` is on standard error so many times.
    pub(crate) fn says_times(&mut self, text: &str, times: usize) {
        until(|| {
            let said = self.stderr();
            if said.matches(text).count() >= times {
                return Ok(());
            }
            let state = self.child.try_wait().unwrap().map_or("runs".to_owned(), |status| status.to_string());
            Err(format!("{text:?} was not said {times} times ({state}):\n{said}"))
        });
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// How it ended within `limit`.
    pub(crate) fn ended(&mut self, limit: Duration) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < limit, "it does not end:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until it is so; panics with the last reason why not after [`SOON`].
pub(crate) fn until<T>(mut ask: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match ask() {
            Ok(value) => return value,
            Err(why) => assert!(begin.elapsed() < SOON, "{why}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An address of the loopback interface where nobody listens now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A connection to a gateway, plain or TLS.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Connects; with TLS where a server's name (or address) is given, and then whatever certificate is shown is taken.
pub(crate) fn connect(address: SocketAddr, tls: Option<&str>) -> Box<dyn Stream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let Some(name) = tls else { return Box::new(stream) };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    Box::new(rustls::StreamOwned::new(connection, stream))
}

/// What `curl -k` does.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// One request of its own connection, as text to send.
pub(crate) fn get(host: &str, target: &str, login: Option<(&str, &str)>) -> String {
    use base64::Engine as _;
    let login = login.map_or_else(String::new, |(user, password)| {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        format!("Authorization: Basic {text}\r\n")
    });
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{login}Connection: close\r\n\r\n")
}

/// Everything that comes until the other side ends.
pub(crate) fn rest(stream: &mut dyn Stream) -> String {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        // A peer may leave without TLS's closing alert.
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "after {:?}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status and whole answer of one request.
pub(crate) fn ask(address: SocketAddr, tls: Option<&str>, request: &str) -> (u16, String) {
    let mut stream = connect(address, tls);
    stream.write_all(request.as_bytes()).unwrap();
    let answer = rest(&mut *stream);
    let status = answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (status, answer)
}

/// The audit records of requests in a folder, in order; a last line that is still being written is left out.
pub(crate) fn records(folder: &Path) -> Vec<serde_json::Value> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let text: String = files.iter().filter(|f| f.to_string_lossy().contains(".jsonl")).map(|f| fs::read_to_string(f).unwrap()).collect();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter(|record| record["event"]["kind"] == "request").collect()
}
