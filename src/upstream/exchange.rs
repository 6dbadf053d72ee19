//! One request to one backend: a member chosen, a connection leased, the head awaited, at most one retry.

use super::answer::{AnswerBody, Watch};
use super::connect::Trouble;
use super::outgoing::Outgoing;
use super::pin::Pin;
use super::pool::{Conn, Group, Home, Lease, Pool};
use crate::audit::UpstreamOutcome;
use crate::message::Body;
use crate::policy::{Backend, HostHeader};
use crate::refusal::Refusal;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::upgrade::OnUpgrade;
use std::future::poll_fn;
use std::pin::pin;
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
    pub headers: HeaderMap,
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
    pub headers: HeaderMap,
    /// The body. The connection goes back to the pool when it has been read to its end, and is closed when it is dropped before.
    pub body: Body,
    /// After a 101, the hold on the connection.
    pub upgrade: Option<OnUpgrade>,
    /// Which of the backend's members answered, as a place in `Backend::members`.
    pub member: usize,
}

/// How one try ended without an answer.
enum Failed {
    /// The request was not sent and is as it was.
    Unsent(Box<Request<Outgoing>>, Trouble),
    /// It may have been sent; `silent` says that not one byte came back.
    Sent { trouble: Trouble, silent: bool },
}

/// Sends an exchange and awaits the response head. `outcome` is filled as things happen, so that it tells what was done
/// also when the future is dropped.
pub(super) async fn send(pool: &Arc<Pool>, exchange: Exchange<'_>, outcome: &mut UpstreamOutcome) -> Result<Answer, Refusal> {
    let group = exchange.backend.index;
    outcome.backend.clone_from(&exchange.backend.name);
    // A backend of another policy has no place here, whatever its index says.
    if !pool.groups.get(group).is_some_and(|g| Arc::ptr_eq(&g.backend, exchange.backend)) {
        return Err(refuse(outcome, Trouble::new(Refusal::Internal, "the backend is not the policy's")));
    }
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
    let length = declared_length(&headers, &body)?;
    let chunked = !body.is_empty() && length.is_none() && http_body::Body::size_hint(&body).exact().is_none();
    let (body, progress) = Outgoing::new(body, length);
    let replayable = progress.is_none() && method.is_idempotent();
    let mut request = request(method, target, headers, body)?;
    if chunked {
        // Without this word hyper takes a GET of unknown length for one without a body, and drops what the client sent.
        request.headers_mut().insert(header::TRANSFER_ENCODING, header::HeaderValue::from_static("chunked"));
    }
    let mut retried = false;
    loop {
        let mut lease = acquire(pool, group, pin, retried, total_at, outcome).await?;
        let server = &pool.groups[group].servers[lease.server];
        if host == HostHeader::Backend {
            request.headers_mut().insert(header::HOST, server.host.clone());
        }
        let watch = Watch {
            header: timeouts.header,
            between: timeouts.between_bytes,
            total_at,
            progress: progress.clone(),
            started: Instant::now(),
        };
        let spare = (outcome.reused && replayable && !retried).then(|| copy(&request));
        match attempt(&mut lease, request, &watch).await {
            Ok(response) => return finish(response, lease, watch, upgrade, outcome),
            Err(Failed::Unsent(unsent, _)) if !retried => request = *unsent,
            Err(Failed::Sent { silent: true, trouble }) if spare.is_some() && trouble.refusal != Refusal::BackendTimeout => match spare {
                Some(spare) => request = spare,
                None => return Err(trouble),
            },
            Err(Failed::Unsent(_, trouble) | Failed::Sent { trouble, .. }) => return Err(trouble),
        }
        retried = true;
    }
}

/// The Content-Length of a request, which must be the body's: a backend that waits for bytes that never come would take the
/// next request on the connection for them. What disagrees is a fault of ours, since the wire has checked the client's.
fn declared_length(headers: &HeaderMap, body: &Body) -> Result<Option<u64>, Trouble> {
    let fault = || Trouble::new(Refusal::Internal, "the request's framing headers do not fit its body");
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(fault());
    }
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let plain = value.as_bytes().iter().all(u8::is_ascii_digit) && values.next().is_none();
    let declared = value.to_str().ok().filter(|_| plain).and_then(|v| v.parse::<u64>().ok()).ok_or_else(fault)?;
    let exact = if body.is_empty() { Some(0) } else { http_body::Body::size_hint(body).exact() };
    if exact.is_some_and(|exact| exact != declared) { Err(fault()) } else { Ok(Some(declared)) }
}

fn request(method: Method, target: Bytes, headers: HeaderMap, body: Outgoing) -> Result<Request<Outgoing>, Trouble> {
    let malformed = || Trouble::new(Refusal::MalformedTarget, "the target cannot be written to a backend");
    if !(target.starts_with(b"/") || &target[..] == b"*") {
        return Err(malformed());
    }
    let path = PathAndQuery::from_maybe_shared(target).map_err(|_| malformed())?;
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = headers;
    Ok(request)
}

/// A copy of a request without a body.
fn copy(request: &Request<Outgoing>) -> Request<Outgoing> {
    let mut copy = Request::new(Outgoing::empty());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
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
    let found = |server, conn: Conn, reused, outcome: &mut UpstreamOutcome| {
        outcome.tries += 1;
        outcome.reused = reused;
        outcome.address.clone_from(&conn.address);
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
) -> Result<(usize, Conn, bool), Trouble> {
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
async fn attempt(lease: &mut Lease, request: Request<Outgoing>, watch: &Watch) -> Result<http::Response<Incoming>, Failed> {
    let Some(conn) = lease.conn() else {
        return Err(Failed::Unsent(Box::new(request), Trouble::new(Refusal::Internal, "the connection is gone")));
    };
    conn.heard.store(false, Ordering::Release);
    let mut answer = pin!(conn.sender.try_send_request(request));
    let timer = &mut conn.timer;
    timer.set(watch.next_look(watch.started));
    let answered = poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        loop {
            ready!(timer.poll(cx));
            let now = Instant::now();
            if watch.head_due(now) <= now {
                return Poll::Ready(None);
            }
            timer.set(watch.next_look(now));
        }
    })
    .await;
    let silent = !conn.heard.load(Ordering::Acquire);
    match answered {
        Some(Ok(response)) => Ok(response),
        Some(Err(error)) => Err(failed(error, watch, silent)),
        None => {
            let why = if watch.request_ended() { "no response head in time" } else { "the request body was not taken in time" };
            Err(Failed::Sent { trouble: Trouble::new(Refusal::BackendTimeout, why), silent })
        }
    }
}

fn failed(mut error: TrySendError<Request<Outgoing>>, watch: &Watch, silent: bool) -> Failed {
    let message = error.take_message();
    let error = error.into_error();
    if let Some(refusal) = watch.progress.as_ref().and_then(|p| p.failure()) {
        // The client's fault: never tried again, and not the backend's error.
        return Failed::Sent { trouble: Trouble::new(refusal, "the client's body broke off"), silent: false };
    }
    let trouble = Trouble::new(Refusal::BackendGarbage, in_words(&error));
    match message {
        Some(request) => Failed::Unsent(Box::new(request), trouble),
        None => Failed::Sent { trouble, silent: silent && !error.is_parse() },
    }
}

/// What hyper says of a backend, in our words and without a byte of what the backend sent.
pub(super) fn in_words(error: &hyper::Error) -> &'static str {
    if error.is_parse_too_large() {
        "the response head is too large"
    } else if error.is_parse() {
        "the response is not HTTP"
    } else if error.is_incomplete_message() {
        "the backend closed the connection too early"
    } else if error.is_canceled() || error.is_closed() {
        "the connection was closed before it was used"
    } else {
        let source = std::error::Error::source(error).and_then(|s| s.downcast_ref::<std::io::Error>());
        match source.map(std::io::Error::kind) {
            Some(std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe) => "the backend reset the connection",
            Some(std::io::ErrorKind::UnexpectedEof) => "the backend closed the connection too early",
            _ => "the connection to the backend failed",
        }
    }
}

fn finish(
    mut response: http::Response<Incoming>,
    lease: Lease,
    watch: Watch,
    upgrade: bool,
    outcome: &mut UpstreamOutcome,
) -> Result<Answer, Trouble> {
    let garbage = |why: &str| Trouble::new(Refusal::BackendGarbage, why);
    check_framing(&mut response).map_err(garbage)?;
    outcome.error = None;
    outcome.status = Some(response.status().as_u16());
    let member = lease.server;
    let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if switching && !upgrade {
        return Err(garbage("the backend switched protocols without being asked"));
    }
    let hold = switching.then(|| hyper::upgrade::on(&mut response));
    let (parts, incoming) = response.into_parts();
    let body = if switching {
        lease.release();
        Body::empty()
    } else {
        AnswerBody::wrap(incoming, lease, watch)
    };
    Ok(Answer { status: parts.status, version: parts.version, headers: parts.headers, body, upgrade: hold, member })
}

/// Refuses what two readers could cut differently (RFC 9112 section 6.3): Transfer-Encoding with Content-Length, or another
/// coding than `chunked`. Equal lengths sent twice become one; different ones hyper has refused.
fn check_framing(response: &mut http::Response<Incoming>) -> Result<(), &'static str> {
    let headers = response.headers_mut();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(first) = codings.next() {
        if codings.next().is_some() || !first.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err("a transfer coding other than chunked");
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err("Content-Length with Transfer-Encoding");
        }
        return Ok(());
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let (Some(first), Some(_)) = (lengths.next(), lengths.next()) {
        let first = first.clone();
        headers.insert(header::CONTENT_LENGTH, first);
    }
    Ok(())
}
