//! One request to one backend: a member chosen, a connection leased, the head awaited, at most one retry.

use super::answer::{AnswerBody, Watch};
use super::conn::{Conn, Switched};
use super::connect::Trouble;
use super::head::{Fault, Head};
use super::outgoing::{Lines, Sending, Stopped};
use super::pin::Pin;
use super::pool::{Group, Home, Lease, Pool};
use crate::audit::UpstreamOutcome;
use crate::head::{CONTENT_LENGTH, Headers, TRANSFER_ENCODING};
use crate::message::Body;
use crate::policy::{Backend, HostHeader};
use crate::refusal::Refusal;
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The time limits of one exchange; connecting has the backend's own.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the response head, from the end of the request.
    pub header: Duration,
    /// Silence between bytes, of the response and of a request body the backend does not take.
    pub between_bytes: Duration,
    /// For all of it; `None` for no limit.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// The limits a backend has of itself.
    pub fn of(backend: &Backend) -> Self {
        Self { header: backend.header_timeout, between_bytes: backend.between_bytes_timeout, total: backend.total_timeout }
    }
}

/// A request to a backend, ready to be sent.
pub struct Exchange<'a> {
    /// The backend, which must be one of the policy's.
    pub backend: &'a Arc<Backend>,
    /// The method.
    pub method: Method,
    /// Path and query in origin form, or `*` for OPTIONS.
    pub target: Bytes,
    /// The headers, final but for `Host` where `host` says so; hop-by-hop headers and Transfer-Encoding removed,
    /// Content-Length the body's or none.
    pub headers: Headers,
    /// `Backend` sets `Host` to the name of the member that is chosen.
    pub host: HostHeader,
    /// The body.
    pub body: Body,
    /// The time limits.
    pub timeouts: Timeouts,
    /// The client connection's own backend connections, to be used instead of the pool.
    pub pin: Option<&'a Pin>,
    /// Whether a 101 is a proper answer; `headers` carry Connection and Upgrade then.
    pub upgrade: bool,
}

/// What a backend answered.
#[derive(Debug)]
pub struct Answer {
    /// The status; never 1xx except 101 with `upgrade`.
    pub status: StatusCode,
    /// HTTP/1.0 or 1.1.
    pub version: Version,
    /// The headers as the backend sent them, hop-by-hop ones included; at most one Content-Length.
    pub headers: Headers,
    /// The body. The connection goes back to the pool when it has been read to its end, and is closed when it is dropped before.
    pub body: Body,
    /// After a 101, the connection.
    pub upgrade: Option<Switched>,
    /// Which of the backend's members answered, as a place in `Backend::members`.
    pub member: usize,
}

/// How one try ended without an answer.
struct Failed {
    trouble: Trouble,
    /// Not one byte of the request was taken.
    unsent: bool,
    /// Not one byte came back before the connection broke.
    silent: bool,
}

/// Sends an exchange and awaits the response head. `outcome` is filled as things happen, so that it tells what was done
/// also when the future is dropped.
pub(super) async fn send(pool: &Arc<Pool>, exchange: Exchange<'_>, outcome: &mut UpstreamOutcome) -> Result<Answer, Refusal> {
    let group = exchange.backend.index;
    // A backend of another policy has no place here, whatever its index says.
    let Some(members) = pool.groups.get(group).filter(|members| Arc::ptr_eq(&members.backend, exchange.backend)) else {
        return Err(refuse(outcome, Trouble::new(Refusal::Internal, "the backend is not the policy's")));
    };
    outcome.backend = Arc::clone(&members.name);
    let total_at = exchange.timeouts.total.map(|total| Instant::now() + total);
    let done = send_until(pool, group, exchange, total_at, outcome).await;
    done.map_err(|trouble| refuse(outcome, trouble))
}

fn refuse(outcome: &mut UpstreamOutcome, trouble: Trouble) -> Refusal {
    outcome.error = Some(trouble.why);
    trouble.refusal
}

async fn send_until(
    pool: &Arc<Pool>,
    group: usize,
    exchange: Exchange<'_>,
    total_at: Option<Instant>,
    outcome: &mut UpstreamOutcome,
) -> Result<Answer, Trouble> {
    let Exchange { method, target, headers, host, body, timeouts, pin, upgrade, .. } = exchange;
    let length = declared_length(&headers, &body)?.or_else(|| http_body::Body::size_hint(&body).exact());
    writable(&target)?;
    let idempotent = body.is_empty() && method.is_idempotent();
    let mut lines = Lines { method: &method, target: &target, headers: &headers, host: None };
    let mut lease = acquire(pool, group, pin, false, total_at, outcome).await?;
    let own = |server: usize| Some(pool.groups[group].servers[server].host.get()).filter(|_| host == HostHeader::Backend);
    lines.host = own(lease.server);
    let started = Instant::now();
    let mut sending = Sending::new(&lines, body, length, started);
    let mut watch = Watch { header: timeouts.header, between: timeouts.between_bytes, total_at, started };
    let bodiless = method == Method::HEAD;
    let head = match attempt(&mut lease, &mut sending, bodiless, &watch).await {
        Ok(head) => head,
        Err(failed) if failed.unsent || (failed.silent && idempotent && outcome.reused) => {
            drop(lease);
            lease = acquire(pool, group, pin, true, total_at, outcome).await?;
            lines.host = own(lease.server);
            sending.restart(lines.host.is_some().then_some(&lines));
            watch.started = Instant::now();
            attempt(&mut lease, &mut sending, bodiless, &watch).await.map_err(|failed| failed.trouble)?
        }
        Err(failed) => return Err(failed.trouble),
    };
    finish(head, lease, sending, watch, upgrade, outcome)
}

/// The Content-Length of a request, which must be the body's: a backend that waits for bytes that never come would take the
/// next request on the connection for them. What disagrees is a fault of ours, since the wire has checked the client's.
fn declared_length(headers: &Headers, body: &Body) -> Result<Option<u64>, Trouble> {
    let fault = || Trouble::new(Refusal::Internal, "the request's framing headers do not fit its body");
    if headers.contains(&TRANSFER_ENCODING) {
        return Err(fault());
    }
    let mut values = headers.get_all(&CONTENT_LENGTH);
    let Some(value) = values.next() else { return Ok(None) };
    let plain = value.as_bytes().iter().all(u8::is_ascii_digit) && values.next().is_none();
    let declared = value.text().filter(|_| plain).and_then(|v| v.parse::<u64>().ok()).ok_or_else(fault)?;
    let exact = if body.is_empty() { Some(0) } else { http_body::Body::size_hint(body).exact() };
    if exact.is_some_and(|exact| exact != declared) { Err(fault()) } else { Ok(Some(declared)) }
}

/// Nothing goes into a request line but what RFC 3986 allows there, with a few bytes more that clients send as they are.
fn writable(target: &[u8]) -> Result<(), Trouble> {
    let origin = target.starts_with(b"/") || target == b"*";
    if origin && target.iter().all(|b| b.is_ascii_graphic() && *b != b'#') {
        return Ok(());
    }
    Err(Trouble::new(Refusal::MalformedTarget, "the target cannot be written to a backend"))
}

/// A connection for the request: the pin's own, an idle one, or (always for a retry) a new one.
async fn acquire(
    pool: &Arc<Pool>,
    group: usize,
    pin: Option<&Pin>,
    fresh: bool,
    total_at: Option<Instant>,
    outcome: &mut UpstreamOutcome,
) -> Result<Lease, Trouble> {
    let members = &pool.groups[group];
    let home = || pin.map_or(Home::Pool, |pin| Home::Pin(Arc::downgrade(&pin.slots)));
    let found = |server, conn: Box<Conn>, reused, outcome: &mut UpstreamOutcome| {
        outcome.tries += 1;
        outcome.reused = reused;
        outcome.address = Arc::clone(&conn.address);
        Lease::new(conn, pool.clone(), home(), group, server)
    };
    let start = members.turn.fetch_add(1, Ordering::Relaxed);
    match pin {
        Some(pin) if !fresh => {
            if let Some((server, conn)) = pin.slots.take(group) {
                return Ok(found(server, conn, true, outcome));
            }
        }
        None if !fresh => {
            let server = first_awake(pool, members, start);
            if let Some(conn) = pool.take_idle(members, &members.servers[server]) {
                return Ok(found(server, conn, true, outcome));
            }
        }
        _ => {}
    }
    let connecting = connect_one(pool, members, start, pin.is_some() || fresh, outcome);
    let (server, conn, reused) = match total_at {
        None => connecting.await?,
        Some(at) => match timeout_at(at, connecting).await {
            Ok(connected) => connected?,
            Err(_) => return Err(Trouble::new(Refusal::BackendTimeout, "the whole time was spent before a connection stood")),
        },
    };
    Ok(found(server, conn, reused, outcome))
}

/// The member whose turn it is, unless it rests and another does not.
fn first_awake(pool: &Pool, group: &Group, start: usize) -> usize {
    let count = group.servers.len();
    (0..count).map(|i| start.wrapping_add(i) % count).find(|i| !pool.resting(&group.servers[*i])).unwrap_or(start % count)
}

/// Connects to the first member that can be reached: those awake first, in turn, full ones and resting ones later. `new` asks for
/// a connection that nobody has used, for a pin or a retry.
async fn connect_one(
    pool: &Pool,
    group: &Group,
    start: usize,
    new: bool,
    outcome: &mut UpstreamOutcome,
) -> Result<(usize, Box<Conn>, bool), Trouble> {
    let count = group.servers.len();
    let mut order: Vec<usize> = (0..count).map(|i| start.wrapping_add(i) % count).collect();
    order.sort_by_key(|i| pool.resting(&group.servers[*i]));
    let mut last = Trouble::new(Refusal::BackendUnreachable, "the backend has no members");
    // With one member, or none that had room, the queue is the only way.
    for wait in [false, true] {
        if count == 1 && !wait {
            continue;
        }
        let mut busy = false;
        for &i in &order {
            match pool.connect(group, &group.servers[i], wait, new).await {
                Ok((conn, reused)) => return Ok((i, conn, reused)),
                Err(trouble) => {
                    busy |= trouble.refusal == Refusal::BackendBusy;
                    if trouble.refusal != Refusal::BackendBusy {
                        outcome.tries += 1;
                        outcome.error = Some(trouble.why.clone());
                    }
                    last = trouble;
                    if wait && busy {
                        return Err(last);
                    }
                }
            }
        }
        if !busy {
            break;
        }
    }
    Err(last)
}

/// Sends the request on a connection and awaits the head within the time limits.
async fn attempt(lease: &mut Lease, sending: &mut Sending, bodiless: bool, watch: &Watch) -> Result<Head, Failed> {
    let Some(conn) = lease.conn() else {
        return Err(Failed { trouble: Trouble::new(Refusal::Internal, "the connection is gone"), unsent: true, silent: true });
    };
    conn.begin();
    let mut sent = false;
    let mut stopped = None;
    poll_fn(|cx| {
        if !sent {
            match sending.poll(cx, conn.line()) {
                Poll::Ready(Err(Stopped::Client(refusal))) => {
                    // The client's fault: never tried again, and not the backend's error.
                    let trouble = Trouble::new(refusal, "the client's body broke off");
                    return Poll::Ready(Err(Failed { trouble, unsent: false, silent: false }));
                }
                // Its answer may have come before it closed.
                Poll::Ready(Err(Stopped::Line(error))) => (sent, stopped) = (true, Some(Fault::Io(error))),
                Poll::Ready(Ok(())) => sent = true,
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(head) = conn.poll_head(cx, bodiless) {
            return Poll::Ready(head.map_err(|fault| broken(stopped.take().unwrap_or(fault), sending, conn.heard())));
        }
        if stopped.is_some() && !conn.heard() {
            return Poll::Ready(Err(broken(stopped.take().unwrap_or(Fault::Closed), sending, false)));
        }
        let Some(due) = watch.head_due(sending.stage()) else { return Poll::Pending };
        conn.timer.set(due);
        ready!(conn.timer.poll(cx));
        let why = if sending.ended() { "no response head in time" } else { "the request body was not taken in time" };
        Poll::Ready(Err(Failed { trouble: Trouble::new(Refusal::BackendTimeout, why), unsent: false, silent: false }))
    })
    .await
}

fn broken(fault: Fault, sending: &Sending, heard: bool) -> Failed {
    let unsent = sending.untouched();
    let why = if unsent { "the connection was closed before it was used" } else { fault.words() };
    Failed { trouble: Trouble::new(Refusal::BackendGarbage, why), unsent, silent: !heard }
}

fn finish(
    head: Head,
    lease: Lease,
    sending: Sending,
    watch: Watch,
    upgrade: bool,
    outcome: &mut UpstreamOutcome,
) -> Result<Answer, Trouble> {
    let Head { status, version, headers, framing, keep_alive } = head;
    outcome.error = None;
    outcome.status = Some(status.as_u16());
    let member = lease.server;
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let body = AnswerBody::wrap(framing, keep_alive, lease, sending, watch);
        return Ok(Answer { status, version, headers, body, upgrade: None, member });
    }
    let garbage = |why: &str| Trouble::new(Refusal::BackendGarbage, why);
    if !upgrade {
        return Err(garbage("the backend switched protocols without being asked"));
    }
    let switched = lease.release().ok_or_else(|| garbage("the connection is gone"))?.switch();
    Ok(Answer { status, version, headers, body: Body::empty(), upgrade: Some(switched), member })
}
