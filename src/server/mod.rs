//! The running gateway: listeners, TLS handshakes, HTTP/1 and 2, reload and drain.

mod admin;
mod answer;
mod client;
mod connections;
mod drain;
mod enclosed;
mod http1;
mod http2;
mod indexing;
mod named;
mod outgoing;
mod paced;
mod proxy;
mod timed_body;
mod watching;
mod worker;

use crate::audit::{AccountDecision, Redactor, Settings as TrailSettings, SyncPolicy, Trail};
use crate::clock::Moment;
use crate::console::{BackendsNow, Console};
use crate::diagnostic::Diagnostic;
use crate::identity::requests::Decision;
use crate::layers::basic_auth::FileChange;
use crate::layers::error_mask::page_mistake;
use crate::layers::inspection::LoadedRule;
use crate::limits;
use crate::metrics::{Expiry, Metrics};
use crate::policy::{self, AuditSync, Policy};
use crate::ship::{self, Board, Receiver, Shipping};
use crate::stack::{Shared, Stack};
use crate::tls::{self, ServerTls};
use crate::upstream::Upstreams;
use crate::wire;
use connections::Connections;
use drain::{Drain, Drainer};
pub use enclosed::Enclosed;
use indexing::Indexing;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use watching::Watching;
use worker::{Generation, Socket, Worker};

/// Connections the kernel holds for us before `accept`.
const BACKLOG: i32 = 1024;

/// Why a gateway does not start, or keeps its old configuration.
#[derive(Debug)]
pub enum StartError {
    /// Mistakes in the policy or in a file it names.
    Policy(Vec<Diagnostic>),
    /// The system refuses: an address in use, a folder that cannot be written.
    System(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Policy(list) => {
                for (i, diagnostic) in list.iter().enumerate() {
                    if i > 0 {
                        writeln!(f)?;
                    }
                    diagnostic.fmt(f)?;
                }
                Ok(())
            }
            Self::System(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StartError {}

/// A policy whose every file has been read: what `check` proves and a start or reload uses.
#[derive(Debug)]
pub struct Prepared {
    /// The policy.
    pub policy: Arc<Policy>,
    /// What is odd but usable.
    pub warnings: Vec<Diagnostic>,
    shared: Shared,
    tls: Option<tls::Prepared>,
    receivers: Vec<Receiver>,
}

impl Prepared {
    /// The rules that its maps use.
    pub fn rules(&self) -> Vec<LoadedRule> {
        self.shared.inspection.loaded()
    }
}

/// Reads a policy and every file it names.
///
/// # Errors
/// All mistakes of all files in one list.
pub fn prepare(path: &Path) -> Result<Prepared, Vec<Diagnostic>> {
    prepare_after(path, None, |_| {})
}

/// The same with a change to the policy before anything is made of it: a rehearsal has its own backends and audit folder.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_changed(path: &Path, change: impl FnOnce(&mut Policy)) -> Result<Prepared, Vec<Diagnostic>> {
    prepare_after(path, None, change)
}

fn prepare_after(path: &Path, previous: Option<&Shared>, change: impl FnOnce(&mut Policy)) -> Result<Prepared, Vec<Diagnostic>> {
    let examined = policy::file::examine(path, &policy::file::Disk);
    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    let mut sort = |found: Vec<Diagnostic>, mistakes: &mut Vec<Diagnostic>| {
        for diagnostic in found {
            if diagnostic.is_error() { mistakes.push(diagnostic) } else { warnings.push(diagnostic) }
        }
    };
    sort(examined.diagnostics, &mut mistakes);
    let now = i64::try_from(Moment::now().unix_micros / 1_000_000).unwrap_or(i64::MAX);
    let Some(mut policy) = examined.policy else {
        // The files it names are looked at all the same, so that one run shows every mistake.
        sort(named::check(&examined.named, now), &mut mistakes);
        return Err(mistakes);
    };
    change(&mut policy);
    if let Err(found) = Console::check(&policy) {
        sort(found, &mut mistakes);
    }
    let shared = Shared::new(&policy, previous).map_err(|found| sort(found, &mut mistakes)).ok();
    let (tls, found) =
        if policy.sites.iter().any(|s| s.certificate.is_some()) { tls::prepare(&policy.sites, now) } else { (None, Vec::new()) };
    sort(found, &mut mistakes);
    mistakes.extend(policy.pages.as_deref().and_then(page_mistake));
    let (receivers, found) = ship::prepare(&policy, now);
    sort(found, &mut mistakes);
    if let Err(found) = Upstreams::new(&policy) {
        mistakes.extend(found);
    }
    match (shared, receivers) {
        (Some((shared, notes)), Some(receivers)) if mistakes.is_empty() => {
            warnings.extend(notes);
            Ok(Prepared { policy: Arc::new(policy), warnings, shared, tls, receivers })
        }
        _ => Err(mistakes),
    }
}

/// A gateway that serves until it is stopped.
#[derive(Debug)]
pub struct Gateway {
    path: PathBuf,
    workers: Vec<Arc<Worker>>,
    threads: Vec<JoinHandle<()>>,
    addresses: Vec<(SocketAddr, bool)>,
    admin: Option<SocketAddr>,
    console: Option<Arc<Console>>,
    indexing: Option<Indexing>,
    receivers: Board,
    shipping: Mutex<Shipping>,
    watching: Option<Watching>,
    drainer: Drainer,
    connections: Arc<Connections>,
    trail: Trail,
    tls: Option<Arc<ServerTls>>,
    metrics: Arc<Metrics>,
    current: Mutex<(Arc<Policy>, Shared)>,
}

impl Gateway {
    /// Binds every listener and starts one runtime thread per core.
    ///
    /// # Errors
    /// An address that cannot be bound, an audit folder that cannot be written.
    pub fn start(prepared: Prepared) -> Result<Arc<Self>, StartError> {
        let Prepared { policy, shared, tls, receivers, .. } = prepared;
        let system = |what: &str, e: &dyn std::fmt::Display| StartError::System(format!("{what}: {e}"));
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Shared ports would let a second gateway start beside the first unseen; a bind without sharing finds it. All of this
        // comes before the trail is opened, so that a second start by mistake leaves the first one's files alone.
        for address in policy.listeners.iter().map(|l| l.address).chain(policy.admin.iter().map(|a| a.address)) {
            probe(address).map_err(|e| system(&address.to_string(), &e))?;
        }
        let trail = trail_settings(&policy).and_then(Trail::open).map_err(|e| system(&policy.audit.directory.display().to_string(), &e))?;
        let tls = match &tls {
            Some(prepared) => Some(Arc::new(ServerTls::new(prepared).map_err(StartError::System)?)),
            None => None,
        };
        let (drainer, drain) = drain::pair();
        let connections = Arc::new(Connections::default());
        let mut sockets: Vec<Vec<Socket>> = (0..threads).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for listener in &policy.listeners {
            let mut address = listener.address;
            for per_thread in &mut sockets {
                let bound = bind(address).map_err(|e| system(&listener.address.to_string(), &e))?;
                // Port 0 is chosen once; the other threads share what was chosen.
                address = bound.local_addr().map_err(|e| system("a listening socket", &e))?;
                per_thread.push(Socket { listener: bound, tls: listener.tls, balancers: listener.proxy_protocol_from.clone().into() });
            }
            addresses.push((address, listener.tls));
        }
        let upstreams = Arc::new(Upstreams::new(&policy).map_err(StartError::Policy)?);
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let generation = generation(&policy, &shared, &upstreams, tls.as_ref(), &trail)?;
            workers.push(Arc::new(Worker::new(generation, Arc::clone(&connections), drain.clone(), trail.clone())));
        }
        let handles = workers
            .iter()
            .zip(sockets)
            .enumerate()
            .map(|(n, (worker, sockets))| spawn(n, Arc::clone(worker), sockets))
            .collect::<Result<_, _>>();
        let threads = handles.map_err(|e| system("a runtime thread", &e))?;
        shared.in_force.take_up(&policy, &shared);
        let metrics = Arc::clone(&shared.metrics);
        metrics.certificates(expiries(&policy));
        let mut gateway = Self {
            path: policy.path.clone(),
            workers,
            threads,
            addresses,
            admin: None,
            console: None,
            indexing: None,
            receivers: Board::default(),
            shipping: Mutex::default(),
            watching: None,
            drainer,
            connections,
            trail,
            tls,
            metrics,
            current: Mutex::new((Arc::clone(&policy), shared)),
        };
        if let Some(admin) = &policy.admin {
            let console = Console::new(&policy, gateway.trail.clone(), gateway.receivers.clone()).map(Arc::new);
            if let Some(console) = &console {
                console.renew(&policy, backends_now(&upstreams)).map_err(StartError::Policy)?;
            }
            let (metrics, connections) = (Arc::clone(&gateway.metrics), Arc::clone(&gateway.connections));
            let receivers = gateway.receivers.clone();
            let sources = admin::Sources { drain, trail: gateway.trail.clone(), console: console.clone(), metrics, connections, receivers };
            gateway.admin = Some(admin::start(admin.address, sources).map_err(|e| system(&admin.address.to_string(), &e))?);
            // Where nobody may use it, nobody looks.
            if let Some(console) = console.as_ref().filter(|_| admin.console.is_some()) {
                gateway.watching = Some(Watching::start(Arc::clone(console)).map_err(|e| system("the thread that checks the trail", &e))?);
            }
            gateway.console = console;
        }
        if policy.audit.index {
            let (directory, index) = (policy.audit.directory.clone(), policy.audit.index_directory.clone());
            gateway.indexing = Some(Indexing::start(directory, index).map_err(|e| system("the index's thread", &e))?);
        }
        gateway.ship(receivers, &policy).map_err(|e| system("a thread that ships records", &e))?;
        Ok(Arc::new(gateway))
    }

    /// Ships the trail's records to these receivers from now on, and no longer to those before.
    fn ship(&self, receivers: Vec<Receiver>, policy: &Policy) -> io::Result<()> {
        let mut shipping = self.shipping.lock().unwrap_or_else(PoisonError::into_inner);
        // Those before save their places first.
        drop(std::mem::take(&mut *shipping));
        *shipping = Shipping::start(receivers, &self.trail, policy.audit.spill_directory.clone(), &self.receivers)?;
        Ok(())
    }

    /// The last records, the one of the stop among them, and no more.
    fn stop_shipping(&self) {
        drop(std::mem::take(&mut *self.shipping.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    /// The addresses really bound, and whether each speaks TLS.
    pub fn addresses(&self) -> &[(SocketAddr, bool)] {
        &self.addresses
    }

    /// The admin listener's address.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Reads the policy anew and swaps it in; on any mistake nothing changes.
    ///
    /// # Errors
    /// The mistakes; also a change of listeners, which needs a restart.
    pub fn reload(&self) -> Result<Vec<Diagnostic>, StartError> {
        let outcome = self.take_up();
        self.metrics.reloaded(outcome.is_ok());
        outcome
    }

    fn take_up(&self) -> Result<Vec<Diagnostic>, StartError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Prepared { policy, warnings, shared, tls, receivers } =
            prepare_after(&self.path, Some(&current.1), |_| {}).map_err(StartError::Policy)?;
        if policy.listeners != current.0.listeners || policy.audit.directory != current.0.audit.directory {
            return Err(StartError::System("listeners and the audit folder change only with a restart; nothing was reloaded".into()));
        }
        let upstreams = Arc::new(Upstreams::new(&policy).map_err(StartError::Policy)?);
        let fresh = self
            .workers
            .iter()
            .map(|_| generation(&policy, &shared, &upstreams, self.tls.as_ref(), &self.trail))
            .collect::<Result<Vec<_>, _>>()?;
        if let (Some(own), Some(prepared)) = (&self.tls, &tls) {
            own.swap(prepared).map_err(StartError::System)?;
        }
        if let Some(console) = &self.console {
            console.renew(&policy, backends_now(&upstreams)).map_err(StartError::Policy)?;
        }
        for (worker, generation) in self.workers.iter().zip(fresh) {
            worker.generation.store(Arc::new(generation));
        }
        shared.in_force.take_up(&policy, &shared);
        self.metrics.certificates(expiries(&policy));
        if let Err(error) = self.ship(receivers, &policy) {
            tracing::error!(%error, "the system gives no thread to ship audit records; they wait in the trail");
        }
        *current = (policy, shared);
        Ok(warnings)
    }

    /// Looks at the password and group files, takes up what changed, and forgets idle rate-limit keys. To be called every
    /// [`limits::AUTH_FILES_POLL_INTERVAL`].
    pub fn housekeeping(&self) {
        let shared = self.current.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
        for change in shared.basic_auth.reload_files() {
            match change {
                FileChange::Changed { users, count, warnings } => {
                    tracing::info!(file = %users.display(), users = count, "took up a changed password or group file");
                    for warning in warnings {
                        tracing::warn!("{warning}");
                    }
                }
                FileChange::Broken { users, diagnostics } => {
                    tracing::error!(file = %users.display(), "a password or group file is broken, the old one stays in force");
                    for diagnostic in diagnostics {
                        tracing::error!("{diagnostic}");
                    }
                }
            }
        }
        shared.rate_limit.forget_idle();
        self.take_down_accounts(&shared);
    }

    /// Writes into the trail which account requests were answered or have expired.
    fn take_down_accounts(&self, shared: &Shared) {
        let settled = shared.account_requests.settle(|decisions| {
            let decisions: Vec<_> = decisions.iter().cloned().map(account_decision).collect();
            self.trail.tell(&decisions, limits::ACCOUNT_RECORD_TIMEOUT)
        });
        if let Err(error) = settled {
            tracing::error!(%error, "answers to account requests cannot be taken down");
        }
    }

    /// Closes and opens the log files anew (USR1).
    pub fn reopen_logs(&self) {
        self.trail.reopen();
    }

    /// Stops accepting, lets requests in flight end within the policy's `drain_timeout_seconds`, writes out the trail.
    /// Returns whether all ended in time.
    pub fn stop(self: Arc<Self>) -> bool {
        let limit = self.current.lock().unwrap_or_else(PoisonError::into_inner).0.limits.drain_timeout;
        self.drainer.begin();
        let deadline = std::time::Instant::now() + limit;
        while self.connections.count() > 0 && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let inspection = Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).1.inspection);
        let drained = self.connections.count() == 0;
        match Arc::try_unwrap(self) {
            Ok(own) => {
                for worker in &own.workers {
                    worker.stopped.notify_one();
                }
                for thread in own.threads {
                    let _ = thread.join();
                }
                drop(own.workers);
                drop(own.indexing);
                drop(own.watching);
                // Records whose inputs are still looked at come last.
                let looked_at = inspection.finish(limits::INSPECTION_STOP_TIMEOUT);
                own.trail.stop();
                drop(own.shipping);
                return drained && looked_at;
            }
            Err(shared) => {
                inspection.finish(limits::INSPECTION_STOP_TIMEOUT);
                shared.trail.stop();
                shared.stop_shipping();
            }
        }
        drained
    }
}

/// How the connections to the backends stand, for the console: data, and no way to them.
fn backends_now(upstreams: &Arc<Upstreams>) -> BackendsNow {
    let upstreams = Arc::clone(upstreams);
    Box::new(move || upstreams.now())
}

fn account_decision(decision: Decision) -> AccountDecision {
    let Decision { id, answer, decided, by, site, user, groups } = decision;
    AccountDecision { request: id, answer: answer.name(), decided, by, site, user, groups }
}

/// When the sites' certificates end, as their files say now.
fn expiries(policy: &Policy) -> Vec<Expiry> {
    let files = policy.sites.iter().filter_map(|site| Some((&site.name, site.certificate.as_ref()?)));
    let expiry = |(site, files): (&Arc<str>, &policy::CertificateFiles)| {
        let status = tls::status::certificate_status(&files.certificate).ok()?;
        Some(Expiry { site: Arc::clone(site), not_after: status.not_after })
    };
    files.filter_map(expiry).collect()
}

fn trail_settings(policy: &Policy) -> io::Result<TrailSettings> {
    let audit = &policy.audit;
    let names = |list: &[String]| list.to_vec();
    let (parameters, headers) = (names(&audit.redact_parameters), names(&audit.redact_headers));
    let redactor =
        Redactor::new(parameters.iter().map(String::as_str), headers.iter().map(String::as_str), audit.dangerously_record_unknown_users)?
            .with_json_paths(audit.redact_json_paths.clone())
            .recording(audit.dangerously_record_parameters.iter().map(String::as_str));
    Ok(TrailSettings {
        state_directory: Some(audit.state_directory.clone()),
        signing_key: audit.signing_key.clone(),
        heads_file: audit.heads_file.clone(),
        spill_directory: audit.spill_directory.clone(),
        file_bytes_max: audit.file_bytes_max,
        retention_days: audit.retention_days,
        compress_after: audit.compress_after,
        sync: match audit.sync {
            AuditSync::Interval => SyncPolicy::Interval(audit.sync_interval),
            AuditSync::Commit => SyncPolicy::Commit,
            AuditSync::Never => SyncPolicy::Never,
        },
        checkpoint_interval: audit.checkpoint_interval,
        flood_records_per_second: audit.flood_records_per_second,
        ..TrailSettings::new(&audit.directory, redactor)
    })
}

fn generation(
    policy: &Arc<Policy>,
    shared: &Shared,
    upstreams: &Arc<Upstreams>,
    tls: Option<&Arc<ServerTls>>,
    trail: &Trail,
) -> Result<Generation, StartError> {
    let stack = Stack::new(policy, shared, Arc::clone(upstreams), trail.clone()).map_err(StartError::System)?;
    let client = &policy.limits;
    let wire_limits = Arc::new(wire::Limits {
        request_line_bytes_max: client.request_line_bytes_max,
        head_bytes_max: client.head_bytes_max,
        headers_max: client.headers_max,
        header_timeout: client.header_timeout,
        idle_timeout: client.idle_timeout,
        body_timeout: client.body_timeout,
        body_bytes_per_second_min: client.body_bytes_per_second_min,
        write_timeout: client.write_timeout,
        ..wire::Limits::default()
    });
    Ok(Generation { policy: Arc::clone(policy), stack, tls: tls.cloned(), wire_limits, metrics: Arc::clone(&shared.metrics) })
}

fn probe(address: SocketAddr) -> io::Result<()> {
    std::net::TcpListener::bind(address).map(drop)
}

/// A listening socket that other threads' sockets may share the address with (SO_REUSEPORT).
fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn spawn(number: usize, worker: Arc<Worker>, sockets: Vec<Socket>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("gateway-{number}")).spawn(move || {
        runtime.block_on(async {
            for socket in sockets {
                tokio::spawn(Arc::clone(&worker).accept(socket));
            }
            worker.stopped.notified().await;
        });
        // What did not end within the drain ends here; its records are written as the futures drop.
        runtime.shutdown_timeout(Duration::from_secs(1));
    })
}

/// How often [`Gateway::housekeeping`] is due.
pub const HOUSEKEEPING_INTERVAL: Duration = limits::AUTH_FILES_POLL_INTERVAL;
