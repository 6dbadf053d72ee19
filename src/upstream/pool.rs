//! Kept-alive connections to backend members: idle lists per runtime thread under one cap over all threads.

use super::conn::Conn;
use super::connect::{Trouble, open};
use super::pin::PinSlots;
use super::resolve::{Names, Target};
use crate::head::OwnValue;
use crate::limits::{BACKEND_IDLE_SWEEP_INTERVAL, BACKEND_MEMBER_REST, BACKEND_POOL_SHARDS, BACKEND_QUEUE_TIMEOUT};
use crate::policy::Backend;
use crate::refusal::Refusal;
use rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

/// One member of a backend as the pool knows it.
pub(super) struct Server {
    pub(super) target: Target,
    pub(super) port: u16,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The member's own name as `Host`.
    pub(super) host: OwnValue,
    permits: Arc<Semaphore>,
    idle: [Mutex<VecDeque<Box<Conn>>>; BACKEND_POOL_SHARDS],
    /// Requests waiting under the cap; a connection that falls free goes to the first of them.
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<oneshot::Sender<Box<Conn>>>>,
    /// Microseconds after [`Pool::born`] until which new connections are not tried first.
    resting_until: AtomicU64,
}

impl Server {
    pub(super) fn new(target: Target, port: u16, tls: Option<(TlsConnector, ServerName<'static>)>, host: OwnValue, cap: usize) -> Self {
        let permits = Arc::new(Semaphore::new(cap.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            target,
            port,
            tls,
            host,
            permits,
            idle: Default::default(),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            resting_until: AtomicU64::new(0),
        }
    }

    fn idle(&self, shard: usize) -> std::sync::MutexGuard<'_, VecDeque<Box<Conn>>> {
        self.idle[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One member of a backend as it is now, as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberNow {
    /// Host and port, as `Host` would name it.
    pub name: String,
    /// Connections that stand, in use or kept.
    pub connections: usize,
    /// Those of them that are kept for the next request.
    pub idle: usize,
    /// Requests that wait for one.
    pub waiting: usize,
    /// It could not be connected to a moment ago.
    pub resting: bool,
}

/// One backend as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendNow {
    /// Its name in the policy.
    pub name: String,
    /// Its members, in the policy's order.
    pub members: Vec<MemberNow>,
}

/// A backend and its members.
pub(super) struct Group {
    pub(super) backend: Arc<Backend>,
    /// The backend's name, for records.
    pub(super) name: Arc<str>,
    pub(super) servers: Vec<Server>,
    pub(super) turn: AtomicUsize,
}

/// All connections to all backends.
pub(super) struct Pool {
    pub(super) groups: Vec<Group>,
    pub(super) names: Names,
    pub(super) born: Instant,
    /// Whether an idle list's sweeper runs, by shard.
    pub(super) sweeping: [AtomicBool; BACKEND_POOL_SHARDS],
}

/// The idle lists that this thread uses. Runtimes have one thread each, so lists are not contended.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = NEXT.fetch_add(1, Ordering::Relaxed) % BACKEND_POOL_SHARDS;
    }
    SHARD.with(|shard| *shard)
}

impl Pool {
    fn micros(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// All backends as they are now.
    pub(super) fn now(&self) -> Vec<BackendNow> {
        let member = |group: &Group, server: &Server| {
            let cap = group.backend.connections_max.clamp(1, Semaphore::MAX_PERMITS);
            MemberNow {
                name: String::from_utf8_lossy(server.host.get().as_bytes()).into_owned(),
                connections: cap.saturating_sub(server.permits.available_permits()),
                idle: (0..BACKEND_POOL_SHARDS).map(|shard| server.idle(shard).len()).sum(),
                waiting: server.waiting.load(Ordering::Relaxed),
                resting: self.resting(server),
            }
        };
        let backend = |group: &Group| BackendNow {
            name: group.backend.name.clone(),
            members: group.servers.iter().map(|server| member(group, server)).collect(),
        };
        self.groups.iter().map(backend).collect()
    }

    /// Whether a member could not be connected to a moment ago.
    pub(super) fn resting(&self, server: &Server) -> bool {
        let until = server.resting_until.load(Ordering::Relaxed);
        until != 0 && self.micros() < until
    }

    fn rest(&self, server: &Server) {
        let rest = u64::try_from(BACKEND_MEMBER_REST.as_micros()).unwrap_or(u64::MAX);
        server.resting_until.store(self.micros().saturating_add(rest), Ordering::Relaxed);
    }

    /// An idle connection of this thread, the one used last, if it still stands.
    pub(super) fn take_idle(&self, group: &Group, server: &Server) -> Option<Box<Conn>> {
        self.take_idle_of(group, server, shard())
    }

    fn take_idle_of(&self, group: &Group, server: &Server, shard: usize) -> Option<Box<Conn>> {
        loop {
            let mut conn = server.idle(shard).pop_back()?;
            if conn.idle_since.elapsed() < group.backend.idle_timeout && conn.is_quiet() {
                return Some(conn);
            }
        }
    }

    /// A new connection under the cap. With `wait`, a full member is waited for (another request's connection may come
    /// instead: the flag says so); without, it is busy at once. `new` asks for one that nobody has used: an idle one is closed
    /// to make room for it.
    pub(super) async fn connect(&self, group: &Group, server: &Server, wait: bool, new: bool) -> Result<(Box<Conn>, bool), Trouble> {
        let permit = match server.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match self.steal(group, server) {
                Some(conn) if !new => return Ok((conn, true)),
                Some(conn) => {
                    drop(conn);
                    self.permit(server).await?
                }
                None if wait && new => self.permit(server).await?,
                None if wait => match self.queue(group, server).await? {
                    Place::Conn(conn) => return Ok((conn, true)),
                    Place::Permit(permit) => permit,
                },
                None => return Err(Trouble::new(Refusal::BackendBusy, "all connections are in use")),
            },
        };
        match open(server, &self.names, group.backend.connect_timeout, permit).await {
            Ok(conn) => {
                server.resting_until.store(0, Ordering::Relaxed);
                Ok((Box::new(conn), false))
            }
            Err(trouble) => {
                self.rest(server);
                Err(trouble)
            }
        }
    }

    /// An idle connection of any thread.
    fn steal(&self, group: &Group, server: &Server) -> Option<Box<Conn>> {
        let own = shard();
        (0..BACKEND_POOL_SHARDS).find_map(|i| {
            let mut conn = self.take_idle_of(group, server, (own + i) % BACKEND_POOL_SHARDS)?;
            conn.timer.detach();
            Some(conn)
        })
    }

    async fn permit(&self, server: &Server) -> Result<OwnedSemaphorePermit, Trouble> {
        match timeout(BACKEND_QUEUE_TIMEOUT, server.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Trouble::new(Refusal::BackendBusy, "all connections stayed in use")),
        }
    }

    async fn queue(&self, group: &Group, server: &Server) -> Result<Place, Trouble> {
        let _waiting = Waiting::new(&server.waiting);
        let (give, take) = oneshot::channel();
        server.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(give);
        // One may have fallen free before we stood in the queue.
        if let Some(conn) = self.steal(group, server) {
            return Ok(Place::Conn(conn));
        }
        let first = async {
            tokio::select! {
                biased;
                Ok(mut conn) = take => {
                    conn.timer.detach();
                    Some(Place::Conn(conn))
                }
                permit = server.permits.clone().acquire_owned() => permit.ok().map(Place::Permit),
            }
        };
        match timeout(BACKEND_QUEUE_TIMEOUT, first).await {
            Ok(Some(place)) => Ok(place),
            _ => Err(Trouble::new(Refusal::BackendBusy, "all connections stayed in use")),
        }
    }

    /// Takes a connection back that can be used again.
    fn put(self: &Arc<Self>, group: usize, server: usize, mut conn: Box<Conn>) {
        let Some((group, server)) = self.groups.get(group).and_then(|g| Some((g, g.servers.get(server)?))) else { return };
        if group.backend.idle_connections_max == 0 {
            return;
        }
        conn.idle_since = Instant::now();
        let shard = shard();
        let mut idle = server.idle(shard);
        let oldest = if idle.len() >= group.backend.idle_connections_max { idle.pop_front() } else { None };
        idle.push_back(conn);
        drop(idle);
        drop(oldest);
        // After the push: a request that begins to wait now has looked through the idle lists or is seen here.
        if server.waiting.load(Ordering::Acquire) > 0 {
            self.serve_queue(group, server, shard);
        }
        if !self.sweeping[shard].load(Ordering::Acquire) && !self.sweeping[shard].swap(true, Ordering::AcqRel) {
            tokio::spawn(sweep(Arc::downgrade(self), shard));
        }
    }

    /// Gives an idle connection to the request that waits longest; those that gave up are passed over.
    fn serve_queue(&self, group: &Group, server: &Server, shard: usize) {
        let Some(mut conn) = self.take_idle_of(group, server, shard) else { return };
        loop {
            let next = server.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(next) = next else { return server.idle(shard).push_back(conn) };
            match next.send(conn) {
                Ok(()) => return,
                Err(back) => conn = back,
            }
        }
    }

    /// Closes what has been idle for too long; the number of connections that stay.
    fn sweep_once(&self, shard: usize) -> usize {
        let mut old = Vec::new();
        let mut left = 0;
        for group in &self.groups {
            for server in &group.servers {
                let mut idle = server.idle(shard);
                // The oldest stand in front; one that its backend has closed may stand anywhere.
                for _ in 0..idle.len() {
                    let Some(mut conn) = idle.pop_front() else { break };
                    if conn.idle_since.elapsed() < group.backend.idle_timeout && conn.is_quiet() {
                        idle.push_back(conn);
                    } else {
                        old.push(conn);
                    }
                }
                left += idle.len();
            }
        }
        left
    }
}

/// What a request waiting under the cap gets.
enum Place {
    Conn(Box<Conn>),
    Permit(OwnedSemaphorePermit),
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs on the thread of the idle list while that holds anything.
async fn sweep(pool: Weak<Pool>, shard: usize) {
    /// Lets the next sweeper start, also when this one's runtime ends.
    struct Done(Weak<Pool>, usize);
    impl Drop for Done {
        fn drop(&mut self) {
            if let Some(pool) = self.0.upgrade() {
                pool.sweeping[self.1].store(false, Ordering::Release);
            }
        }
    }
    let _done = Done(pool.clone(), shard);
    loop {
        sleep(BACKEND_IDLE_SWEEP_INTERVAL).await;
        let Some(pool) = pool.upgrade() else { return };
        if pool.sweep_once(shard) > 0 {
            continue;
        }
        pool.sweeping[shard].store(false, Ordering::Release);
        // Something may have been put back in between, by a thread that saw us still running.
        if pool.sweep_once(shard) == 0 || pool.sweeping[shard].swap(true, Ordering::AcqRel) {
            return;
        }
    }
}

/// Where a connection goes after its exchange.
pub(super) enum Home {
    /// The pool.
    Pool,
    /// A client's connection, and nobody else.
    Pin(Weak<PinSlots>),
}

/// A connection in use. Dropped, it is closed at once; given back, it can be used again.
pub(super) struct Lease {
    conn: Option<Box<Conn>>,
    pool: Arc<Pool>,
    home: Home,
    pub(super) group: usize,
    pub(super) server: usize,
}

impl Lease {
    pub(super) fn new(conn: Box<Conn>, pool: Arc<Pool>, home: Home, group: usize, server: usize) -> Self {
        Self { conn: Some(conn), pool, home, group, server }
    }

    /// The connection; `None` only after it was given away.
    pub(super) fn conn(&mut self) -> Option<&mut Conn> {
        self.conn.as_deref_mut()
    }

    /// The exchange is over on both sides: the connection waits for the next.
    pub(super) fn give_back(mut self) {
        let Some(mut conn) = self.conn.take() else { return };
        // What came beyond the answer would be taken for the next one's.
        if conn.is_drained() {
            conn.rest();
            self.settle(conn);
        }
    }

    fn settle(&self, conn: Box<Conn>) {
        match &self.home {
            Home::Pool => self.pool.put(self.group, self.server, conn),
            Home::Pin(slots) => {
                if let Some(slots) = slots.upgrade() {
                    slots.put(self.group, self.server, conn);
                }
            }
        }
    }

    /// After a 101 the connection belongs to the tunnel.
    pub(super) fn release(mut self) -> Option<Box<Conn>> {
        self.conn.take()
    }
}
