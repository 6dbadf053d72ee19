//! A real Apache with ModSecurity 2 on a free port: given rules, raw requests in, what its audit log says out.

use portcullis::rehearse::backend;
use serde_json::Value;
use std::collections::hash_map::Entry::Vacant;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PROGRAM: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";
/// The code page that `t:urlDecodeUni` maps by, as Debian installs it.
const UNICODE_MAP: &str = "/etc/modsecurity/unicode.mapping";
/// Steps a pattern may take, as the recommended configuration has it. It holds for the rules that are loaded behind it.
const PCRE_STEPS: u32 = 100_000;
/// Requests under way at once.
const LANES: usize = 6;
/// How long Apache may take for an answer; a request whose body is shorter than announced gets none before that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
/// How long an entry may take from the end of its answer.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(10);

/// What Apache and ModSecurity made of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The answer's status; `None` where none came.
    pub(crate) status: Option<u16>,
    /// Whether ModSecurity intercepted it.
    pub(crate) denied: bool,
    /// The ids of the rules that logged a match.
    pub(crate) ids: BTreeSet<u64>,
    /// The messages of those rules, by id.
    pub(crate) messages: Vec<(u64, String)>,
    /// Whether there was an entry at all: what Apache refuses by itself may leave none.
    pub(crate) logged: bool,
}

/// A running Apache with ModSecurity; it ends when it is dropped.
pub(crate) struct ModSecurity {
    address: SocketAddr,
    child: Child,
    entries: Arc<Entries>,
    reader: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// Entries of the audit log by the client's port.
#[derive(Default)]
struct Entries {
    by_port: Mutex<HashMap<u16, Option<Value>>>,
    arrived: Condvar,
    /// Lines that are no JSON.
    broken: Mutex<Vec<String>>,
    closed: AtomicBool,
}

impl ModSecurity {
    /// Starts it in front of the scripted backend with these lines of configuration, in which rule files are included.
    pub(crate) fn start(rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        // Apache's workers are another account when the tests run as root.
        fs::set_permissions(root, fs::Permissions::from_mode(0o777)).expect("permissions");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let backend = backend::start().expect("the scripted backend");
        fs::write(root.join("apache.conf"), configuration(root, address, backend, rules)).expect("a file");
        // -X: one process, so that ending it ends all of it.
        let child = Command::new(PROGRAM)
            .args(["-X", "-f"])
            .arg(root.join("apache.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(root.join("stderr")).expect("a file"))
            .spawn()
            .expect("Apache starts");
        let entries = Arc::new(Entries::default());
        let (shared, log) = (Arc::clone(&entries), root.join("audit.log"));
        let reader = std::thread::spawn(move || shared.follow(&log));
        let mut own = Self { address, child, entries, reader: Some(reader), _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            let said = |name: &str| fs::read_to_string(own._folder.path().join(name)).unwrap_or_default();
            let ended = own.child.try_wait().expect("its state").is_some();
            assert!(!ended && Instant::now() < deadline, "Apache does not answer: {}{}", said("stderr"), said("error.log"));
            std::thread::sleep(Duration::from_millis(50));
        }
        own
    }

    /// Sends each request on a connection of its own, several at once; the verdicts are in the order of the requests.
    pub(crate) fn judge(&self, requests: &[Vec<u8>]) -> Vec<Verdict> {
        let next = AtomicUsize::new(0);
        let mut verdicts: Vec<(usize, Verdict)> = std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..LANES)
                .map(|_| {
                    scope.spawn(|| {
                        let mut own = Vec::new();
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            let Some(request) = requests.get(index) else { return own };
                            own.push((index, self.one(request)));
                        }
                    })
                })
                .collect();
            lanes.into_iter().flat_map(|lane| lane.join().expect("a lane")).collect()
        });
        assert_eq!(*self.entries.broken.lock().expect("the broken entries"), Vec::<String>::new());
        verdicts.sort_by_key(|(index, _)| *index);
        verdicts.into_iter().map(|(_, verdict)| verdict).collect()
    }

    fn one(&self, request: &[u8]) -> Verdict {
        let (mut stream, port) = self.connect();
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).expect("a timeout");
        // Apache may refuse before it has read all.
        let _ = stream.write_all(request);
        let status = status(&mut stream);
        drop(stream);
        let entry = self.entries.wait(port, if status.is_some() { ENTRY_TIMEOUT } else { Duration::from_secs(1) });
        verdict(status, entry.as_ref())
    }

    /// A connection whose port no other request waits for: the system may give out a port anew while its last user still waits for an
    /// entry that comes late or never.
    fn connect(&self) -> (TcpStream, u16) {
        let mut taken = Vec::new();
        loop {
            let stream = TcpStream::connect(self.address).expect("a connection");
            let port = stream.local_addr().expect("its address").port();
            if let Vacant(slot) = self.entries.by_port.lock().expect("the entries").entry(port) {
                slot.insert(None);
                return (stream, port);
            }
            // Held, so that the next one has another port.
            taken.push(stream);
        }
    }
}

impl Drop for ModSecurity {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.entries.closed.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// The status of an answer whose connection stays open or not: the head is enough.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut head = Vec::new();
    let mut block = [0; 4096];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut block) {
            Ok(n) if n > 0 => head.extend_from_slice(&block[..n]),
            _ => break,
        }
    }
    // A client that goes before the end of the body would end the transaction early.
    while stream.read(&mut block).is_ok_and(|n| n > 0) {}
    String::from_utf8_lossy(&head).strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
}

impl Entries {
    fn follow(&self, log: &Path) {
        let mut reader: Option<BufReader<File>> = None;
        let mut line = Vec::new();
        while !self.closed.load(Ordering::Relaxed) {
            if reader.is_none() {
                reader = File::open(log).ok().map(BufReader::new);
            }
            let read = reader.as_mut().is_some_and(|r| r.read_until(b'\n', &mut line).is_ok_and(|n| n > 0));
            let whole = read && line.ends_with(b"\n");
            if !whole {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            // ModSecurity writes bytes of requests that are not UTF-8 as they are.
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            let Ok(entry) = serde_json::from_str::<Value>(&text) else {
                self.broken.lock().expect("the broken entries").push(text);
                continue;
            };
            let port = entry["transaction"]["remote_port"].as_u64().and_then(|p| u16::try_from(p).ok());
            let mut all = self.by_port.lock().expect("the entries");
            // The first entry of a connection is its request's; another may follow for what Apache made of the rest.
            if let Some(slot @ None) = port.and_then(|port| all.get_mut(&port)) {
                *slot = Some(entry);
                self.arrived.notify_all();
            }
        }
    }

    fn wait(&self, port: u16, limit: Duration) -> Option<Value> {
        let all = self.by_port.lock().expect("the entries");
        let missing = |all: &mut HashMap<u16, Option<Value>>| all.get(&port).is_some_and(Option::is_none);
        let (mut all, _) = self.arrived.wait_timeout_while(all, limit, missing).expect("the entries");
        all.remove(&port).flatten()
    }
}

fn verdict(status: Option<u16>, entry: Option<&Value>) -> Verdict {
    let Some(entry) = entry else { return Verdict { status, ..Verdict::default() } };
    let data = &entry["audit_data"];
    let messages = data["messages"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let part = |text: &str, name: &str| {
        let rest = &text[text.find(&format!("[{name} \""))? + name.len() + 3..];
        Some(rest[..rest.find("\"]")?].to_owned())
    };
    let messages: Vec<(u64, String)> =
        messages.filter_map(|m| Some((part(m, "id")?.parse().ok()?, part(m, "msg").unwrap_or_default()))).collect();
    Verdict {
        status,
        denied: data["action"]["intercepted"] == true,
        ids: messages.iter().map(|(id, _)| *id).collect(),
        messages,
        logged: true,
    }
}

fn configuration(root: &Path, address: SocketAddr, backend: SocketAddr, rules: &str) -> String {
    let root = root.display();
    let modules: String = ["mpm_event", "authz_core", "unique_id", "proxy", "proxy_http", "security2"]
        .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
        .concat();
    format!(
        "ServerRoot {root}\nServerName localhost\nListen {address}\n{modules}PidFile {root}/pid\nErrorLog {root}/error.log\n\
         LogLevel crit\nKeepAlive Off\nDefaultRuntimeDir {root}\nUser www-data\nGroup www-data\n\
         ThreadsPerChild 16\nMaxRequestWorkers 16\nStartServers 1\nServerLimit 1\nTimeout 6\n\
         AllowEncodedSlashes NoDecode\nProxyPreserveHost On\nProxyPass / http://{backend}/ nocanon\n\
         SecPcreMatchLimit {PCRE_STEPS}\nSecPcreMatchLimitRecursion {PCRE_STEPS}\n\
         {rules}\n\
         SecUnicodeMapFile {UNICODE_MAP} 20127\nSecTmpDir {root}\nSecDataDir {root}\nSecAuditEngine On\n\
         SecAuditLogParts AHZ\nSecAuditLogType Serial\nSecAuditLogFormat JSON\nSecAuditLog {root}/audit.log\n"
    )
}

/// Where a file of this project is.
pub(crate) fn own(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
