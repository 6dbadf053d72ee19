//! A running gateway as the place of a rehearsal: requests over real sockets, records read from its audit folder.
//!
//! A request's record is found by the port it came from, so nothing between the two ends may change ports.

use super::answer::{Answer, converse};
use super::event::Event;
use crate::audit::read::Follow;
use crate::diagnostic::Diagnostic;
use crate::policy::MemberTls;
use crate::tls::client::Connector;
use serde_json::Value;
use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// How often the audit folder is looked at: records come in batches every few milliseconds.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How long a record may take from the end of its answer.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request without an answer may take to leave a record: some, as a failed handshake, leave none of a request.
const UNANSWERED_TIMEOUT: Duration = Duration::from_secs(1);

/// A running gateway.
#[derive(Debug)]
pub struct Live {
    address: SocketAddr,
    tls: Option<Connector>,
    inbox: Arc<Inbox>,
    reader: Option<JoinHandle<()>>,
}

/// Records by the port that their request came from.
#[derive(Debug, Default)]
struct Inbox {
    events: Mutex<HashMap<u16, Vec<Event>>>,
    arrived: Notify,
    closed: AtomicBool,
}

/// Where a running gateway is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    secure: bool,
    host: String,
    port: u16,
}

impl Url {
    /// Reads `http://host:port` or `https://host`.
    pub fn parse(text: &str) -> Option<Self> {
        let (secure, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (None, rest) => (true, rest?),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return None;
        }
        let default = if secure { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, default),
        };
        Some(Self { secure, host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

impl Live {
    /// Finds the gateway and begins to read its trail. `connect` is where it is, whatever DNS says; `ca` holds the authorities to
    /// trust, the system's by default.
    ///
    /// # Errors
    /// A name without an address, authorities that cannot be read, a trail that cannot be followed.
    pub fn new(
        url: &Url,
        connect: Option<SocketAddr>,
        ca: Option<&Path>,
        skip_verification: bool,
        audit: &Path,
    ) -> Result<Self, Diagnostic> {
        let wrong = |e: &dyn std::fmt::Display| {
            Diagnostic::file(audit, format!("the audit trail cannot be followed: {e}"), "name its folder with --audit")
        };
        let looked_up = || (url.host.as_str(), url.port).to_socket_addrs().ok().and_then(|mut all| all.next());
        let address = connect.or_else(looked_up);
        let address = address.ok_or_else(|| Diagnostic::file(Path::new(&url.host), "this name has no address", ""))?;
        let trust = MemberTls { name: url.host.clone(), ca: ca.map(Path::to_owned), dangerously_skip_verification: skip_verification };
        let tls = url.secure.then(|| Connector::new(&trust, audit)).transpose()?;
        let mut follow = Follow::open(audit).map_err(|e| wrong(&e))?;
        let inbox = Arc::new(Inbox::default());
        let shared = Arc::clone(&inbox);
        let reader = std::thread::Builder::new().name("trail".into()).spawn(move || {
            while !shared.closed.load(Ordering::Relaxed) {
                // A trail that cannot be read any more shows as records that do not come.
                match follow.poll() {
                    Ok(Some(line)) => shared.take(&line),
                    Ok(None) | Err(_) => std::thread::sleep(POLL_INTERVAL),
                }
            }
        });
        Ok(Self { address, tls, inbox, reader: Some(reader.map_err(|e| wrong(&e))?) })
    }

    /// Sends a request on a connection of its own.
    ///
    /// # Errors
    /// The gateway cannot be connected to, or leaves no record: then no test can be decided.
    pub(super) async fn exchange(&self, request: &[u8], limit: Duration) -> Result<(Result<Answer, String>, Vec<Event>), String> {
        let stream = TcpStream::connect(self.address).await.map_err(|e| format!("{}: {e}", self.address))?;
        let port = stream.local_addr().map_err(|e| e.to_string())?.port();
        self.inbox.lock().insert(port, Vec::new());
        let answer = match &self.tls {
            None => converse(stream, request, limit).await,
            Some(tls) => match tls.connect(stream).await {
                Ok(stream) => converse(stream, request, limit).await,
                Err(e) => return Err(format!("{}: TLS: {e}", self.address)),
            },
        };
        let events = self.inbox.wait(port, if answer.is_ok() { RECORD_TIMEOUT } else { UNANSWERED_TIMEOUT }).await;
        if events.is_empty() && answer.is_ok() {
            return Err("a request was answered, but left no record in the audit folder: is it this gateway's, and is there nothing \
                        in between that changes ports?"
                .into());
        }
        Ok((answer, events))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.inbox.closed.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Inbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u16, Vec<Event>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, line: &[u8]) {
        let Ok(record) = serde_json::from_slice::<Value>(line) else { return };
        let port = record["source"]["port"].as_u64().and_then(|p| u16::try_from(p).ok());
        if record["event"]["kind"] != "request" {
            return;
        }
        let Some(port) = port else { return };
        if let Some(events) = self.lock().get_mut(&port) {
            events.push(Event::read(&record));
            self.arrived.notify_waiters();
        }
    }

    /// The records of a connection, once there is one.
    async fn wait(&self, port: u16, limit: Duration) -> Vec<Event> {
        let until = Instant::now() + limit;
        loop {
            let arrived = self.arrived.notified();
            if self.lock().get(&port).is_some_and(|events| !events.is_empty()) || Instant::now() >= until {
                return self.lock().remove(&port).unwrap_or_default();
            }
            let _ = tokio::time::timeout(until.saturating_duration_since(Instant::now()), arrived).await;
        }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}:{}", if self.secure { "https" } else { "http" }, self.host, self.port)
    }
}
