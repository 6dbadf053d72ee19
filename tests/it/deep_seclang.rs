//! The rule language beside Apache with ModSecurity 2: `tests/deep/seclang/*.txt` run through both, the same ids, the same status.
//! Runs only where `PORTCULLIS_DEEP=1` is set.
#![allow(clippy::print_stdout, reason = "a test says why it skips")]

use crate::apache::installed;
use seclang::{MemoryCollections, MemoryFiles, Options, RuleSet, Transaction};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MODULES: &str = "/usr/lib/apache2/modules";

/// What every path answers.
const PAGE: &str = "<html>hello world</html>\n";

/// What every case begins with.
const PREFIX: &str = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\nSecAuditEngine Off\n";

/// Rules and the requests that go through them, one after the other.
struct Case {
    place: String,
    name: String,
    rules: String,
    /// As they are written, and why the outcome differs where it does.
    requests: Vec<(String, Option<String>)>,
}

/// Ids in the order they were logged, and the status; 0 where the connection ended without an answer.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    ids: Vec<u64>,
    status: u16,
}

#[test]
fn rules_decide_as_in_apache_with_modsecurity_2() {
    if std::env::var_os("PORTCULLIS_DEEP").is_none_or(|value| value != "1") {
        println!("skipped: PORTCULLIS_DEEP is not 1");
        return;
    }
    let module = Path::new(MODULES).join("mod_security2.so");
    assert!(module.exists() || std::env::var_os("CI").is_none(), "libapache2-mod-security2 is not installed");
    if !installed("/usr/sbin/apache2") || !module.exists() {
        println!("skipped: libapache2-mod-security2 is not installed");
        return;
    }
    let cases = cases();
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    let apache = Apache::start(&cases);
    let mut differences = Vec::new();
    let (mut requests, mut by_decision) = (0, 0);
    for (number, case) in cases.iter().enumerate() {
        let files = MemoryFiles::new().with("rules.conf", format!("{PREFIX}{}", case.rules));
        let rules = match RuleSet::load(&files, &["rules.conf"]) {
            Ok((rules, _)) => Arc::new(rules),
            Err(mistakes) => {
                let text: String = mistakes.iter().map(|one| format!("{one}\n")).collect();
                differences.push(format!("{} {}: does not load\n{text}", case.place, case.name));
                continue;
            }
        };
        let mut collections = MemoryCollections::default();
        for (text, reason) in &case.requests {
            requests += 1;
            let request = with_host(&request(&text.replace("{host}", &format!("case{number}.test"))), number);
            let (ours, theirs) = (engine(&rules, &request, &mut collections), apache.ask(number, &request));
            if let Some(reason) = reason {
                println!("differs, {}: {reason}", case.name);
                by_decision += 1;
            }
            if (ours != theirs) != reason.is_some() {
                let line = String::from_utf8_lossy(request.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
                differences.push(format!("{} {}: `{line}`\n  here   {ours:?}\n  Apache {theirs:?}", case.place, case.name));
            }
        }
    }
    println!("{} cases, {requests} requests, {by_decision} differ by decision", cases.len());
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Cases begin with `== name`; rules follow, then each request behind a line `--`, or `-- differs: reason` where another outcome than
/// Apache's is meant. Lines of a head end in CRLF, a body is written with escapes; the line feed before the next such line is no part of it.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deep/seclang");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file");
        let file = file.file_name().expect("a name").to_string_lossy().into_owned();
        let begin = cases.len();
        for (index, line) in text.lines().enumerate() {
            if let Some(name) = line.strip_prefix("== ") {
                let place = format!("{file}:{}", index + 1);
                cases.push(Case { place, name: name.to_owned(), rules: String::new(), requests: Vec::new() });
            } else if let Some(case) = cases.get_mut(begin..).and_then(<[Case]>::last_mut) {
                match line.strip_prefix("--") {
                    Some("") => case.requests.push((String::new(), None)),
                    Some(rest) if rest.starts_with(" differs: ") => case.requests.push((String::new(), Some(rest[10..].to_owned()))),
                    _ => {
                        let text = case.requests.last_mut().map_or(&mut case.rules, |request| &mut request.0);
                        text.push_str(line);
                        text.push('\n');
                    }
                }
            }
        }
    }
    for case in &mut cases {
        assert!(!case.requests.is_empty(), "{} has no request", case.place);
        // An empty line stands between cases.
        if let Some((last, _)) = case.requests.last_mut() {
            *last = last.strip_suffix('\n').unwrap_or(last).to_owned();
        }
    }
    cases
}

fn request(text: &str) -> Vec<u8> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let body = unescaped(body.strip_suffix('\n').unwrap_or(body));
    let mut request: Vec<u8> = head.trim_end().lines().flat_map(|line| [&unescaped(line)[..], b"\r\n"].concat()).collect();
    if !body.is_empty() && !head.contains("Transfer-Encoding") {
        request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(&body);
    request
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let (byte, taken) = match (first, tail.first()) {
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'\\')) => (b'\\', 2),
            (b'\\', Some(b'x')) => {
                let digits = std::str::from_utf8(&tail[1..3]).expect("two digits");
                (u8::from_str_radix(digits, 16).expect("two digits"), 4)
            }
            _ => (*first, 1),
        };
        out.push(byte);
        rest = &rest[taken..];
    }
    out
}

/// Each case has a host of its own, by which Apache finds its rules.
fn with_host(request: &[u8], number: usize) -> Vec<u8> {
    let end = request.windows(2).position(|pair| pair == b"\r\n").expect("a line") + 2;
    let host = format!("Host: case{number}.test\r\nConnection: close\r\n");
    [&request[..end], host.as_bytes(), &request[end..]].concat()
}

/// The request through the engine, and the page as the response.
fn engine(rules: &Arc<RuleSet>, request: &[u8], collections: &mut MemoryCollections) -> Outcome {
    let split = request.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let (head, body) = (&request[..split], &request[split + 4..]);
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next().expect("a line");
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let [method, uri, protocol] = [words.next(), words.next(), words.next()].map(Option::unwrap_or_default);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_micros() as u64;
    let options = Options { unique_id: "test".to_owned(), now, ..Options::default() };
    let mut tx = Transaction::new(Arc::clone(rules), options);
    tx.connection([127, 0, 0, 1].into(), 50_000, [127, 0, 0, 1].into(), 80);
    tx.request_line(line, method, uri, protocol);
    for header in lines {
        let colon = header.iter().position(|byte| *byte == b':').expect("a colon");
        tx.request_header(&header[..colon], header[colon + 1..].trim_ascii());
    }
    let answer = (|| {
        if let Some(intervention) = tx.request_headers_done(collections) {
            return Some(intervention);
        }
        if tx.wants_request_body() && !body.is_empty() && tx.request_body(body) == seclang::BodyOutcome::TooLarge {
            return None;
        }
        if let Some(intervention) = tx.request_body_done(collections) {
            return Some(intervention);
        }
        tx.response_line(200, b"HTTP/1.1");
        tx.response_header(b"Content-Length", PAGE.len().to_string().as_bytes());
        tx.response_header(b"Content-Type", b"text/html");
        if let Some(intervention) = tx.response_headers_done(collections) {
            return Some(intervention);
        }
        if tx.wants_response_body() {
            tx.response_body(PAGE.as_bytes());
        }
        tx.response_body_done(collections)
    })();
    tx.log(collections);
    assert!(tx.errors().is_empty(), "{:?}", tx.errors());
    let ids = tx.matches().iter().filter(|one| one.log).map(|one| one.rule_id).collect();
    let status = match answer {
        Some(one) if one.action == seclang::Disruption::Drop => 0,
        Some(one) => one.status,
        None => 200,
    };
    Outcome { ids, status }
}

/// Apache with one virtual host a case; it ends when it is dropped.
struct Apache {
    address: SocketAddr,
    child: Child,
    folder: tempfile::TempDir,
}

impl Apache {
    fn start(cases: &[Case]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).expect("permissions");
        for name in ["htdocs", "data", "logs"] {
            fs::create_dir(root.join(name)).expect("a folder");
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o777)).expect("permissions");
        }
        fs::write(root.join("htdocs/index.html"), PAGE).expect("a page");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        fs::write(root.join("apache.conf"), configuration(root, address, cases)).expect("a file");
        let child = Command::new("/usr/sbin/apache2")
            .args(["-X", "-f"])
            .arg(root.join("apache.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(root.join("start.log")).expect("a file"))
            .spawn()
            .expect("Apache starts");
        let mut apache = Self { address, child, folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            let ended = apache.child.try_wait().is_ok_and(|status| status.is_some());
            let log = fs::read_to_string(apache.folder.path().join("start.log")).unwrap_or_default();
            assert!(!ended && Instant::now() < deadline, "Apache does not answer: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        apache
    }

    fn ask(&self, number: usize, request: &[u8]) -> Outcome {
        let log = self.folder.path().join(format!("logs/case{number}"));
        let before = fs::read(&log).map_or(0, |bytes| bytes.len());
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(request).expect("a request");
        let mut answer = Vec::new();
        // A dropped connection may end in a reset.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        if status == 0 {
            self.next_turn();
        }
        let lines = fs::read(&log).unwrap_or_default();
        let lines = String::from_utf8_lossy(lines.get(before..).unwrap_or_default()).into_owned();
        let id = |line: &str| line.split("[id \"").nth(1)?.split('"').next()?.parse().ok();
        // A page is no place for a body: Apache's own 405 behind the rules counts as having passed.
        Outcome { ids: lines.lines().filter_map(id).collect(), status: if status == 405 { 200 } else { status } }
    }

    /// ModSecurity closes a dropped connection before it logs. Apache has one process here, so whatever it answers next comes after.
    fn next_turn(&self) {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(b"x\r\n\r\n").expect("what is no request");
        stream.read_to_end(&mut Vec::new()).expect("its refusal");
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(root: &Path, address: SocketAddr, cases: &[Case]) -> String {
    let at = root.display();
    let modules: String = ["mpm_prefork", "authz_core", "alias", "mime", "unique_id"]
        .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
        .concat();
    let hosts: String = cases
        .iter()
        .enumerate()
        .map(|(number, case)| {
            format!(
                "<VirtualHost {address}>\nServerName case{number}.test\nErrorLog {at}/logs/case{number}\n{PREFIX}{}\n</VirtualHost>\n",
                case.rules
            )
        })
        .collect();
    format!(
        "ServerRoot {at}\nServerName localhost\nListen {address}\n{modules}LoadModule security2_module {MODULES}/mod_security2.so\n\
         PidFile {at}/pid\nErrorLog {at}/logs/error\nDefaultRuntimeDir {at}\nTypesConfig /dev/null\nAddType text/html .html\n\
         DocumentRoot {at}/htdocs\nUser www-data\nGroup www-data\nAliasMatch \"^/.*\" {at}/htdocs/index.html\n\
         <Directory {at}/htdocs>\nRequire all granted\n</Directory>\nLogLevel error\nSecDataDir {at}/data\nSecTmpDir {at}/data\n\
         SecUploadDir {at}/data\n{hosts}"
    )
}
