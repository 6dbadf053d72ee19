//! `portcullis run` as a service manager and an administrator handle it: signals, files that change, addresses, logs.

use super::program::{Program, SOON, Stream, ask, connect, free_address, get, portcullis, records, rest, until};
use portcullis::limits::REMOVED_USER_TUNNEL_TIMEOUT;
use rustix::process::Signal;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The hash of `pass word`, cheap to verify.
const HASH: &str = "{SHA}2oguq15ANCGsJCWKX31fllwpyEk=";
const ALICE: Option<(&str, &str)> = Some(("alice", "pass word"));
const BOB: Option<(&str, &str)> = Some(("bob", "pass word"));
const HOST: &str = "app.example.com";
/// Beyond what is promised: what a loaded machine takes.
const MARGIN: Duration = Duration::from_secs(3);
/// A password file is taken up within this time.
const TAKEN_UP: Duration = Duration::from_secs(3);

/// An application: `/slow` waits for the gate in the middle of its answer, `/events` never ends, an upgrade echoes.
struct Application {
    address: SocketAddr,
    gate: Arc<AtomicBool>,
}

impl Application {
    fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&gate);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let gate = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let _ = answer(stream, name, &gate);
                });
            }
        });
        Self { address, gate }
    }

    fn open_gate(&self) {
        self.gate.store(true, Ordering::SeqCst);
    }
}

fn answer(mut stream: TcpStream, name: &str, gate: &AtomicBool) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if head.starts_with("GET /slow") {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\nfirst,")?;
        while !gate.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        return stream.write_all(b"second");
    }
    if head.starts_with("GET /events") {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
        loop {
            stream.write_all(b"8\r\ndata: x\n\r\n")?;
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    if head.starts_with("GET /tunnel") {
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")?;
        let mut buffer = [0; 1024];
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n])?,
            }
        }
    }
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{name}", name.len())
}

/// A folder with everything a gateway needs.
struct Setup(tempfile::TempDir);

impl Setup {
    fn new(backend: SocketAddr) -> Self {
        let setup = Self(tempfile::tempdir().unwrap());
        let (certificate, key) = portcullis::tls::self_signed(&[HOST.to_owned()], 30).unwrap();
        setup.write("site.pem", &format!("{certificate}{key}"));
        setup.write("groups", "staff: alice bob\n");
        setup.write("htpasswd", &format!("alice:{HASH}\n"));
        setup.write("gateway.toml", &policy("127.0.0.1:0", backend));
        setup
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Written anew and put in place at once, as editors do, and readable by its owner only.
    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let beside = self.path().join(format!("{name}.new"));
        fs::write(&beside, text).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(beside, self.path().join(name)).unwrap();
    }

    fn audit_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.path().join("audit")).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "jsonl"));
        files.sort();
        files
    }
}

fn policy(listener: &str, backend: SocketAddr) -> String {
    format!(
        r#"[[listener]]
address = "{listener}"

[admin]
address = "127.0.0.1:0"

[auth]
users = "htpasswd"
groups = "groups"

[audit]
directory = "audit"

[[backend]]
name = "app"
members = ["http://{backend}"]

[[site]]
names = ["{HOST}"]
certificate = "site.pem"
require = ["group staff"]

[[site.map]]
path = "/"
to = "app/"
upgrades = true
"#
    )
}

/// A running gateway with its addresses.
struct Gateway {
    program: Program,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    fn start(setup: &Setup) -> Self {
        let mut program = Program::start(setup.path(), &["run", "-c", "gateway.toml"]);
        program.says("admin listener on ");
        let said = program.stderr();
        let address = |words: &str| -> SocketAddr {
            let (_, rest) = said.split_once(words).unwrap_or_else(|| panic!("no {words:?} in\n{said}"));
            rest.lines().next().unwrap().trim().parse().unwrap()
        };
        Self { public: address("listening on https://"), admin: address("admin listener on http://"), program }
    }

    fn get(&self, target: &str, login: Option<(&str, &str)>) -> (u16, String) {
        ask(self.public, Some(HOST), &get(HOST, target, login))
    }

    /// A connection on which a request was sent and an answer has begun.
    fn begin(&self, request: &str, until: &str) -> (Box<dyn Stream>, String) {
        let mut stream = connect(self.public, Some(HOST));
        stream.write_all(request.as_bytes()).unwrap();
        let mut got = Vec::new();
        while !String::from_utf8_lossy(&got).contains(until) {
            let mut buffer = [0; 1024];
            let n = stream.read(&mut buffer).unwrap();
            assert!(n > 0, "it ended: {:?}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&buffer[..n]);
        }
        (stream, String::from_utf8(got).unwrap())
    }

    fn terminate(mut self) {
        self.program.signal(Signal::TERM);
        assert_eq!(self.program.ended(SOON).code(), Some(0), "{}", self.program.stderr());
    }
}

#[test]
fn a_hangup_keeps_the_old_configuration_beside_a_mistake_and_takes_up_a_good_one_without_dropping_a_request() {
    let (one, two) = (Application::start("one"), Application::start("two"));
    let setup = Setup::new(one.address);
    let mut gateway = Gateway::start(&setup);
    assert!(gateway.get("/", ALICE).1.ends_with("one"));

    setup.write("gateway.toml", &policy("127.0.0.1:0", two.address).replace("\"app/\"", "\"ap/\""));
    gateway.program.signal(Signal::HUP);
    gateway.program.says("not reloaded, the old configuration stays in force");
    gateway.program.says("there is no backend \"ap\"");
    gateway.program.says("gateway.toml:");
    let (status, answer) = gateway.get("/", ALICE);
    assert!(status == 200 && answer.ends_with("one"), "{answer}");

    // A mistake in a file that the policy names counts as well.
    setup.write("gateway.toml", &policy("127.0.0.1:0", two.address).replace("site.pem", "nowhere.pem"));
    gateway.program.signal(Signal::HUP);
    gateway.program.says_times("not reloaded", 2);
    assert!(gateway.get("/", ALICE).1.ends_with("one"));

    let (mut slow, begun) = gateway.begin(&get(HOST, "/slow", ALICE), "first,");
    setup.write("gateway.toml", &policy("127.0.0.1:0", two.address));
    gateway.program.signal(Signal::HUP);
    gateway.program.says(": reloaded");
    let (status, answer) = gateway.get("/", ALICE);
    assert!(status == 200 && answer.ends_with("two"), "{answer}");
    one.open_gate();
    let whole = begun + &rest(&mut *slow);
    assert!(whole.starts_with("HTTP/1.1 200") && whole.ends_with("first,second"), "{whole}");
    gateway.terminate();
}

#[test]
fn a_stop_lets_a_request_in_flight_have_its_whole_answer() {
    let application = Application::start("app");
    let setup = Setup::new(application.address);
    let mut gateway = Gateway::start(&setup);
    let (mut slow, begun) = gateway.begin(&get(HOST, "/slow", ALICE), "first,");
    gateway.program.signal(Signal::TERM);
    gateway.program.says("stopping");
    until(|| match TcpStream::connect(gateway.public) {
        Ok(_) => Err("new connections are still accepted".into()),
        Err(_) => Ok(()),
    });
    assert_eq!(ask(gateway.admin, None, &get("localhost", "/readyz", None)).0, 503);
    std::thread::sleep(Duration::from_millis(300));
    application.open_gate();
    let whole = begun + &rest(&mut *slow);
    assert!(whole.ends_with("first,second"), "{whole}");
    assert_eq!(gateway.program.ended(SOON).code(), Some(0), "{}", gateway.program.stderr());
    assert_eq!(records(&setup.path().join("audit")).len(), 1, "the record of what ended during the stop");
}

#[test]
fn a_second_start_on_the_same_address_says_what_is_in_use_and_leaves_the_first_alone() {
    let application = Application::start("app");
    let setup = Setup::new(application.address);
    let gateway = Gateway::start(&setup);
    let files = setup.audit_files();
    for (wrong, words) in [
        (gateway.public, policy(&gateway.public.to_string(), application.address)),
        (
            gateway.admin,
            policy("127.0.0.1:0", application.address).replacen(
                "[admin]\naddress = \"127.0.0.1:0\"",
                &format!("[admin]\naddress = \"{}\"", gateway.admin),
                1,
            ),
        ),
    ] {
        setup.write("second.toml", &words);
        let said = portcullis(setup.path(), &["run", "-c", "second.toml"], "");
        assert_eq!(said.code, 3, "{}", said.stderr);
        let error = said.stderr.lines().find(|l| l.starts_with("error: ")).unwrap_or_default();
        assert!(error.contains(&wrong.to_string()) && error.contains("in use"), "{}", said.stderr);
        assert_eq!(setup.audit_files(), files, "the second start wrote into the first's trail");
    }
    assert_eq!(gateway.get("/", ALICE).0, 200);
    gateway.terminate();
}

#[test]
fn user1_reopens_the_audit_file_after_a_rename() {
    let application = Application::start("app");
    let setup = Setup::new(application.address);
    let gateway = Gateway::start(&setup);
    let before = setup.audit_files();
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!(gateway.get("/before", ALICE).0, 200);
    let paths =
        || -> Vec<String> { records(&setup.path().join("audit")).iter().map(|r| r["url"]["path"].as_str().unwrap().to_owned()).collect() };
    until(|| if paths() == ["/before"] { Ok(()) } else { Err(format!("{:?}", paths())) });
    let rotated = setup.path().join("rotated");
    fs::rename(&before[0], &rotated).unwrap();
    gateway.program.signal(Signal::USR1);
    until(|| {
        assert_eq!(gateway.get("/after", ALICE).0, 200);
        match setup.audit_files().as_slice() {
            [one] if *one != before[0] && paths().iter().any(|p| p == "/after") => Ok(()),
            files => Err(format!("{files:?}")),
        }
    });
    let old = fs::read_to_string(rotated).unwrap();
    assert!(old.contains("\"/before\""), "{old}");
    gateway.terminate();
}

#[test]
fn health_is_told_on_the_admin_listener_and_not_to_strangers() {
    let application = Application::start("app");
    let setup = Setup::new(application.address);
    let gateway = Gateway::start(&setup);
    let admin = |target| ask(gateway.admin, None, &get("localhost", target, None));
    for (target, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let (status, answer) = admin(target);
        assert!(status == 200 && answer.ends_with(&format!("\r\n\r\n{text}")), "{answer}");
        let (status, answer) = gateway.get(target, None);
        assert_eq!(status, 401, "{answer}");
        let (status, answer) = gateway.get(target, ALICE);
        assert!(status == 200 && answer.ends_with("\r\n\r\napp"), "the application's own: {answer}");
    }
    assert_eq!(admin("/").0, 404);
    gateway.terminate();
}

#[test]
fn the_operational_log_goes_to_its_directory() {
    let application = Application::start("app");
    let setup = Setup::new(application.address);
    let public = free_address();
    setup.write("gateway.toml", &format!("[log]\ndirectory = \"log\"\n\n{}", policy(&public.to_string(), application.address)));
    let mut program = Program::start(setup.path(), &["run", "-c", "gateway.toml"]);
    let log = || -> String {
        let files = fs::read_dir(setup.path().join("log")).into_iter().flatten().map(|e| fs::read_to_string(e.unwrap().path()).unwrap());
        files.collect()
    };
    let words = format!("listening on https://{public}");
    until(|| if log().contains(&words) { Ok(()) } else { Err(format!("{}\n{}", log(), program.stderr())) });
    assert_eq!(ask(public, Some(HOST), &get(HOST, "/", ALICE)).0, 200);
    program.signal(Signal::TERM);
    assert_eq!(program.ended(SOON).code(), Some(0));
    assert!(log().contains("stopped"), "{}", log());
    assert_eq!(program.stderr(), "");
    assert!(!log().contains("pass word") && !log().contains(HASH), "{}", log());
}

#[test]
fn a_changed_password_file_is_taken_up_and_a_broken_one_keeps_the_old() {
    let application = Application::start("app");
    let setup = Setup::new(application.address);
    let mut gateway = Gateway::start(&setup);
    assert_eq!((gateway.get("/", ALICE).0, gateway.get("/", BOB).0), (200, 401));
    setup.write("htpasswd", &format!("alice:{HASH}\nbob:{HASH}\n"));
    let begin = Instant::now();
    gateway.program.says("took up a changed password or group file");
    assert!(begin.elapsed() < TAKEN_UP + MARGIN, "{:?}", begin.elapsed());
    assert_eq!(gateway.get("/", BOB).0, 200);

    setup.write("htpasswd", &format!("alice:{HASH}\nbob:hunter2\n"));
    gateway.program.says("a password or group file is broken, the old one stays in force");
    gateway.program.says("htpasswd:2:");
    assert!(!gateway.program.stderr().contains("hunter2"), "{}", gateway.program.stderr());
    assert_eq!((gateway.get("/", ALICE).0, gateway.get("/", BOB).0), (200, 200));

    setup.write("htpasswd", &format!("alice:{HASH}\n"));
    gateway.program.says_times("took up a changed password or group file", 2);
    assert_eq!((gateway.get("/", ALICE).0, gateway.get("/", BOB).0), (200, 401));
    gateway.terminate();
}

/// Reads until the other side ends; how long that took.
fn time_to_end(stream: &mut dyn Stream, limit: Duration) -> Duration {
    let begin = Instant::now();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return begin.elapsed(),
            Ok(_) => assert!(begin.elapsed() < limit, "it goes on after {:?}", begin.elapsed()),
        }
    }
}

#[test]
fn a_tunnel_and_a_stream_of_a_removed_user_end_and_others_go_on() {
    removed_user(false);
}

#[test]
fn they_end_also_where_the_configuration_was_reloaded_after_they_began() {
    removed_user(true);
}

fn removed_user(reload: bool) {
    let application = Application::start("app");
    let setup = Setup::new(application.address);
    setup.write("htpasswd", &format!("alice:{HASH}\nbob:{HASH}\n"));
    let mut gateway = Gateway::start(&setup);
    let upgrade = |login| {
        let request = get(HOST, "/tunnel", login);
        request.replace(
            "Connection: close",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
    };
    let (mut tunnel, begun) = gateway.begin(&upgrade(BOB), "\r\n\r\n");
    assert!(begun.starts_with("HTTP/1.1 101"), "{begun}");
    let (mut other, _) = gateway.begin(&upgrade(ALICE), "\r\n\r\n");
    let (mut stream, _) = gateway.begin(&get(HOST, "/events", BOB), "data: x");
    let (mut other_stream, _) = gateway.begin(&get(HOST, "/events", ALICE), "data: x");
    let echoes = |stream: &mut Box<dyn Stream>, text: &[u8; 5]| {
        stream.write_all(text).unwrap();
        let mut got = [0; 5];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, *text);
    };
    echoes(&mut tunnel, b"hello");
    echoes(&mut other, b"there");
    if reload {
        gateway.program.signal(Signal::HUP);
        gateway.program.says(": reloaded");
    }

    setup.write("htpasswd", &format!("alice:{HASH}\n"));
    let removed = Instant::now();
    let limit = REMOVED_USER_TUNNEL_TIMEOUT + MARGIN;
    time_to_end(&mut *tunnel, limit);
    assert!(removed.elapsed() < limit, "the tunnel took {:?}", removed.elapsed());
    time_to_end(&mut *stream, limit);
    assert!(removed.elapsed() < limit, "the stream took {:?}", removed.elapsed());
    echoes(&mut other, b"still");
    // What queued up meanwhile is read away; then more must come, well after a check that could have cut it.
    let begin = Instant::now();
    while begin.elapsed() < 2 * portcullis::limits::TUNNEL_CHECK_INTERVAL {
        let mut buffer = [0; 4096];
        assert!(other_stream.read(&mut buffer).unwrap() > 0, "the stream of a user who is still there ended");
    }
    drop((other, other_stream));
    let found = until(|| {
        let found = records(&setup.path().join("audit"));
        match found.iter().find(|r| r["url"]["path"] == "/events") {
            Some(record) => Ok(record.clone()),
            None => Err(format!("{found:?}")),
        }
    });
    assert_eq!(found["http"]["response"]["ended"], "cut", "{found}");
    gateway.terminate();
}
