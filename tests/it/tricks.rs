//! Tricks of strangers over a real socket, as data: what a backend may see of them. The format is in `tests/tricks/README.md`.

use crate::gateway::{Answer, Gate, connect, run};
use crate::wire::cases::unescaped;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One trick.
#[derive(Debug, Default)]
struct Trick {
    /// `file:line: name`
    name: String,
    send: Vec<u8>,
    /// The statuses, in order.
    answers: Vec<u16>,
    /// The gateway closes after them.
    close: bool,
    /// The client ends its side after the bytes.
    hangup: bool,
    /// Requests that the gateway closes on without an answer.
    silent: usize,
    backend: Vec<Expected>,
}

/// One request that the backend must see.
#[derive(Debug, Default)]
struct Expected {
    /// `METHOD TARGET`
    line: Vec<u8>,
    body: Option<Vec<u8>>,
    present: Vec<String>,
    absent: Vec<String>,
}

fn tricks() -> Vec<Trick> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tricks");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "tricks"));
    files.sort();
    files.iter().flat_map(|path| tricks_of(path)).collect()
}

fn tricks_of(path: &Path) -> Vec<Trick> {
    let text = fs::read_to_string(path).unwrap();
    let mut all: Vec<Trick> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}", path.file_name().unwrap().to_string_lossy(), number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{place}: no key"));
        let value = value.strip_prefix(' ').unwrap_or(value);
        if key == "case" {
            all.push(Trick { name: format!("{place}: {value}"), ..Trick::default() });
            continue;
        }
        let trick = all.last_mut().unwrap_or_else(|| panic!("{place}: a case begins with its name"));
        if key == "backend" {
            trick.backend.push(Expected { line: unescaped(value), ..Expected::default() });
            continue;
        }
        let last = trick.backend.last_mut();
        match (key, last) {
            ("send", _) => trick.send.extend(unescaped(value)),
            ("answers", _) => {
                for word in value.split_whitespace() {
                    match word {
                        "close" => trick.close = true,
                        "hangup" => (trick.hangup, trick.close) = (true, true),
                        "silent" => (trick.silent, trick.close) = (trick.silent + 1, true),
                        status => trick.answers.push(status.parse().unwrap_or_else(|_| panic!("{place}: {status} is no status"))),
                    }
                }
            }
            ("body", Some(last)) => last.body = Some(unescaped(value)),
            ("present", Some(last)) => last.present.push(value.to_ascii_lowercase()),
            ("absent", Some(last)) => last.absent.push(value.to_ascii_lowercase()),
            _ => panic!("{place}: {key} is unknown, or stands before `backend`"),
        }
    }
    all
}

/// A request as a strict server reads it.
#[derive(Clone, Debug, Default)]
struct Seen {
    line: Vec<u8>,
    /// Header lines, lower case.
    headers: Vec<String>,
    body: Vec<u8>,
    /// Trailer lines, lower case.
    trailers: Vec<String>,
}

/// A backend that reads strictly, remembers, and answers 200. What is not a request is remembered as one that no case expects.
struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(record(stream, shared.clone()));
            }
        });
        Self { address, seen }
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn record(mut stream: TcpStream, all: Arc<Mutex<Vec<Seen>>>) {
    let mut buffer = Vec::new();
    loop {
        match request(&buffer) {
            Ok(Some((seen, used))) => {
                buffer.drain(..used);
                all.lock().unwrap().push(seen);
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(why) => {
                let line = format!("garbage ({why}): {}", buffer.escape_ascii()).into_bytes();
                return all.lock().unwrap().push(Seen { line, ..Seen::default() });
            }
        }
        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

type Parsed = Result<Option<(Seen, usize)>, &'static str>;

/// The first request of the bytes and its length; `None` while it is not all there.
fn request(bytes: &[u8]) -> Parsed {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let head = &bytes[..end];
    let mut lines = head.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let line = lines.next().unwrap_or_default().to_vec();
    let headers: Vec<String> = lines.map(|l| String::from_utf8_lossy(l).to_ascii_lowercase()).collect();
    if head.iter().enumerate().any(|(i, b)| (*b == b'\n') != (i > 0 && head[i - 1] == b'\r')) {
        return Err("a bare line end");
    }
    let Some(line) = line.strip_suffix(b" HTTP/1.1") else { return Err("no version") };
    if line.split(|b| *b == b' ').count() != 2 || headers.iter().any(|h| !h.contains(": ")) {
        return Err("not a head");
    }
    let mut seen = Seen { line: line.to_vec(), headers, ..Seen::default() };
    let lengths = values(&seen.headers, "content-length");
    let encodings = values(&seen.headers, "transfer-encoding");
    let rest = &bytes[end + 4..];
    let used = match (lengths.as_slice(), encodings.as_slice()) {
        ([], []) => 0,
        ([length], []) => {
            let length = length.parse().map_err(|_| "a length that is none")?;
            let Some(body) = rest.get(..length) else { return Ok(None) };
            seen.body = body.to_vec();
            length
        }
        ([], ["chunked"]) => match chunks(rest, &mut seen)? {
            Some(used) => used,
            None => return Ok(None),
        },
        _ => return Err("two ways of framing"),
    };
    Ok(Some((seen, end + 4 + used)))
}

fn chunks(bytes: &[u8], seen: &mut Seen) -> Result<Option<usize>, &'static str> {
    let mut at = 0;
    let line = |at: usize| bytes[at..].windows(2).position(|w| w == b"\r\n").map(|n| &bytes[at..at + n]);
    loop {
        let Some(size) = line(at) else { return Ok(None) };
        at += size.len() + 2;
        let size = std::str::from_utf8(size).ok().and_then(|s| usize::from_str_radix(s, 16).ok()).ok_or("a chunk size that is none")?;
        if size == 0 {
            break;
        }
        let Some(data) = bytes.get(at..at + size + 2) else { return Ok(None) };
        seen.body.extend(&data[..size]);
        if &data[size..] != b"\r\n" {
            return Err("a chunk without its end");
        }
        at += size + 2;
    }
    loop {
        let Some(trailer) = line(at) else { return Ok(None) };
        at += trailer.len() + 2;
        if trailer.is_empty() {
            return Ok(Some(at));
        }
        seen.trailers.push(String::from_utf8_lossy(trailer).to_ascii_lowercase());
    }
}

fn values<'a>(headers: &'a [String], name: &str) -> Vec<&'a str> {
    headers.iter().filter_map(|h| h.split_once(": ")).filter(|(n, _)| *n == name).map(|(_, v)| v).collect()
}

/// The policy of all tricks: an open map with an exclusion, and stricter ones inside it.
fn policy(address: SocketAddr) -> String {
    let other = "certificate = \"cert.pem\"\nkey = \"key.pem\"\nrequire = [\"all granted\"]\nhttps = \"either\"";
    format!(
        r#"[[backend]]
name = "app"
members = ["http://{address}"]

[[site]]
names = ["app.test"]
{other}
[[site.map]]
path = "/"
to = "app/"
exclude = ["/private"]
[[site.map]]
path = "/admin"
to = "app/admin"
require = ["user alice"]
[[site.map]]
path = "/me"
to = "app/me"
require = ["valid-user"]
[[site.map]]
path = "/files/"
to = "app/store/"
[[site.map]]
path = "/up"
to = "app/up"
upgrades = true
[[site.map]]
path = "/read"
to = "app/read"
methods = ["GET", "HEAD"]

[[site]]
names = ["other.test"]
{other}
[[site.map]]
path = "/"
to = "app/other/"
"#
    )
}

/// What shows that a connection is still in step: asked after every trick that leaves it open.
const SENTINEL: &[u8] = b"GET /in-step HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";

/// No trick takes longer; less than the harness waits, so that a trick that hangs is named like any other that fails.
const TRICK_TIMEOUT: Duration = Duration::from_secs(4);

/// What a trick led to.
struct Played {
    answers: Vec<Answer>,
    port: u16,
    /// Something that should have come did not.
    hung: bool,
}

async fn play(trick: &Trick, gateway: SocketAddr) -> Played {
    let mut client = connect(gateway).await;
    let port = client.stream.local_addr().unwrap().port();
    let mut answers = Vec::new();
    let all = async {
        client.send(&trick.send).await;
        if trick.hangup {
            client.stream.shutdown().await.unwrap();
        }
        if !trick.close {
            for _ in &trick.answers {
                answers.extend(client.answer().await);
            }
            client.send(SENTINEL).await;
        }
        while let Some(answer) = client.answer().await {
            answers.push(answer);
        }
    };
    let hung = tokio::time::timeout(TRICK_TIMEOUT, all).await.is_err();
    Played { answers, port, hung }
}

fn judge(trick: &Trick, played: &Played, seen: &[Seen]) -> Vec<String> {
    let mut wrong = Vec::new();
    if played.hung {
        wrong.push("the connection neither went on nor ended".to_owned());
    }
    let mut expected = trick.answers.clone();
    expected.extend((!trick.close).then_some(200));
    let got: Vec<u16> = played.answers.iter().map(|a| a.status).collect();
    if got != expected {
        wrong.push(format!("answered {got:?} instead of {expected:?}"));
    }
    let mut lines: Vec<&[u8]> = trick.backend.iter().map(|e| &*e.line).collect();
    lines.extend((!trick.close).then_some(&b"GET /in-step"[..]));
    let got: Vec<&[u8]> = seen.iter().map(|s| &*s.line).collect();
    if got != lines {
        let shown = |list: &[&[u8]]| list.iter().map(|l| l.escape_ascii().to_string()).collect::<Vec<_>>();
        wrong.push(format!("the backend saw {:?} instead of {:?}", shown(&got), shown(&lines)));
        return wrong;
    }
    for (seen, expected) in seen.iter().zip(&trick.backend) {
        if expected.body.as_ref().is_some_and(|body| *body != seen.body) {
            wrong.push(format!("the backend got the body {}", seen.body.escape_ascii()));
        }
        for header in expected.present.iter().filter(|h| seen.headers.iter().filter(|s| s == h).count() != 1) {
            wrong.push(format!("{header:?} is not there once: {:?}", seen.headers));
        }
        for name in expected.absent.iter().filter(|n| !values(&seen.headers, n).is_empty()) {
            wrong.push(format!("{name:?} is there: {:?}", seen.headers));
        }
    }
    wrong
}

/// What holds of every request at the backend, whatever the trick.
fn invariants(seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(line) = seen.headers.iter().chain(&seen.trailers).find(|l| l.contains("evil")) {
        wrong.push(format!("a spoofed header reached the backend: {line:?}"));
    }
    let plain = |name: &str| name.replace('_', "-");
    let spoken_for = |line: &&String| {
        let name = plain(line.split(':').next().unwrap_or_default());
        name.starts_with("x-remote-") || name.starts_with("x-forwarded-") || name == "forwarded" || name == "host"
    };
    if let Some(line) = seen.trailers.iter().find(spoken_for) {
        wrong.push(format!("a trailer that speaks for the gateway: {line:?}"));
    }
    let logged_in = [&b"/me"[..], b"/admin"].iter().any(|p| seen.line.split(|b| *b == b' ').nth(1).is_some_and(|t| t.starts_with(p)));
    let every = |name: &str| -> Vec<&str> {
        let named = |h: &&String| h.split_once(": ").is_some_and(|(n, _)| plain(n) == name);
        seen.headers.iter().filter(named).map(|h| h.split_once(": ").map_or("", |(_, v)| v)).collect()
    };
    if every("x-forwarded-for") != ["127.0.0.1"] || every("x-forwarded-proto") != ["http"] {
        wrong.push(format!("the address or the scheme is not the gateway's word: {:?}", seen.headers));
    }
    let host = every("host");
    if host.len() != 1 || every("x-forwarded-host") != host || !["app.test", "other.test"].iter().any(|s| host[0].starts_with(s)) {
        wrong.push(format!("the host is not the one that decided: {:?}", seen.headers));
    }
    let users = every("x-remote-user");
    if users.iter().any(|u| !logged_in || *u != "alice") || users.len() > 1 {
        wrong.push(format!("a user whom the gateway did not let in: {:?}", seen.headers));
    }
    wrong
}

#[test]
fn no_trick_shows_a_backend_a_request_that_was_not_answered_for_or_a_spoofed_identity() {
    run(async {
        let tricks = tricks();
        assert!(tricks.len() >= 110, "only {} cases were found", tricks.len());
        let recorder = Recorder::start().await;
        let gate = Gate::start(&policy(recorder.address));
        let mut wrong = Vec::new();
        let mut ports = std::collections::BTreeMap::new();
        for trick in &tricks {
            let played = play(trick, gate.plain).await;
            let seen = recorder.take();
            let mut found = judge(trick, &played, &seen);
            found.extend(seen.iter().flat_map(invariants));
            if !found.is_empty() {
                wrong.push(format!("{}:\n  {}", trick.name, found.join("\n  ")));
            }
            let count = trick.answers.iter().filter(|s| **s >= 200).count() + trick.silent + usize::from(!trick.close);
            let (names, all) = ports.entry(played.port).or_insert((Vec::new(), 0));
            names.push(&trick.name);
            *all += count;
        }
        let (records, drained) = gate.stop();
        assert!(drained, "connections were left open");
        for (port, (names, expected)) in &ports {
            let own: Vec<_> = records.iter().filter(|r| r["source"]["port"] == *port).collect();
            if own.len() != *expected {
                let reasons: Vec<_> = own.iter().map(|r| &r["decision"]["reason"]).collect();
                wrong.push(format!("{names:?}:\n  {} audit records instead of {expected}: {reasons:?}", own.len()));
            }
        }
        if !recorder.take().is_empty() {
            wrong.push("the backend saw requests after all was answered".into());
        }
        assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), tricks.len(), wrong.join("\n"));
    });
}
