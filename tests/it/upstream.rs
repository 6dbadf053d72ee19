//! Promises of the way to the backends, kept over real sockets with a recording backend.

use crate::backend::{Backend, Recorded, Script, Step, early, ok, raw, script};
use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use portcullis::audit::UpstreamOutcome;
use portcullis::head::{CONNECTION, CONTENT_LENGTH, HOST, Headers, LINK, Name, UPGRADE, Value};
use portcullis::limits::{BACKEND_HEADERS_MAX, BACKEND_QUEUE_TIMEOUT, REMOVED_USER_TUNNEL_TIMEOUT};
use portcullis::message::{Body, BodyError};
use portcullis::policy::{self, HostHeader, Member, MemberTls};
use portcullis::refusal::Refusal;
use portcullis::upstream::{Answer, Exchange, Pin, Timeouts, TunnelEnd, TunnelReport, Upstreams, splice};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LONG: Duration = Duration::from_secs(20);

pub(crate) fn member(address: SocketAddr) -> Member {
    Member { tls: None, host: address.ip().to_string(), port: address.port(), address: None }
}

pub(crate) fn group(members: Vec<Member>) -> policy::Backend {
    policy::Backend {
        index: 0,
        name: "app".into(),
        members,
        connect_timeout: Duration::from_secs(5),
        header_timeout: LONG,
        between_bytes_timeout: LONG,
        total_timeout: None,
        connections_max: 64,
        idle_connections_max: 8,
        idle_timeout: Duration::from_secs(30),
    }
}

/// One backend's worth of [`Upstreams`].
pub(crate) struct Way {
    pub(crate) upstreams: Upstreams,
    pub(crate) backend: Arc<policy::Backend>,
}

impl Way {
    pub(crate) fn to(backend: policy::Backend) -> Self {
        let backend = Arc::new(backend);
        let upstreams = Upstreams::of(std::slice::from_ref(&backend), Path::new("gateway.toml")).unwrap();
        Self { upstreams, backend }
    }

    pub(crate) fn to_one(backend: &Backend) -> Self {
        Self::to(group(vec![member(backend.address)]))
    }

    pub(crate) fn exchange(&self, method: Method, target: &'static str, body: Body) -> Exchange<'_> {
        let headers = Headers::from_iter([(HOST, Value::from_static("mail.example"))]);
        Exchange {
            backend: &self.backend,
            method,
            target: Bytes::from_static(target.as_bytes()),
            headers,
            host: HostHeader::Pass,
            body,
            timeouts: Timeouts::of(&self.backend),
            pin: None,
            upgrade: false,
        }
    }

    async fn send(&self, exchange: Exchange<'_>) -> (Result<Answer, Refusal>, UpstreamOutcome) {
        let mut outcome = UpstreamOutcome::default();
        let answer = self.upstreams.send(exchange, &mut outcome).await;
        (answer, outcome)
    }

    pub(crate) async fn get(&self, target: &'static str) -> (Result<Answer, Refusal>, UpstreamOutcome) {
        self.send(self.exchange(Method::GET, target, Body::empty())).await
    }

    /// The status and whole body of a GET.
    pub(crate) async fn fetch(&self, target: &'static str) -> (u16, Bytes) {
        let (answer, outcome) = self.get(target).await;
        let answer = answer.unwrap_or_else(|e| panic!("{e}: {outcome:?}"));
        (answer.status.as_u16(), answer.body.collect().await.unwrap().to_bytes())
    }
}

/// A body that a test feeds.
struct Fed(tokio::sync::mpsc::Receiver<Result<Bytes, BodyError>>);

fn fed() -> (tokio::sync::mpsc::Sender<Result<Bytes, BodyError>>, Body) {
    let (give, take) = tokio::sync::mpsc::channel(1);
    (give, Body::boxed(Fed(take)))
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|item| item.map(|data| data.map(Frame::data)))
    }
}

fn refused(error: &BodyError) -> Option<&Refusal> {
    match error {
        BodyError::Refused(refusal) => Some(refusal),
        BodyError::Broken(_) => None,
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_the_request_is_written_as_given() {
    let backend = Backend::start(|r| ok(&format!("{}", r.number))).await;
    let way = Way::to_one(&backend);
    assert_eq!(way.fetch("/a?b=%2F").await, (200, Bytes::from_static(b"0")));
    let (answer, outcome) = way.get("/c").await;
    assert_eq!(answer.unwrap().body.collect().await.unwrap().to_bytes(), "1");
    assert_eq!((outcome.reused, outcome.tries, outcome.status), (true, 1, Some(200)));
    assert_eq!((&*outcome.backend, &*outcome.address), ("app", &*backend.address.to_string()));
    assert_eq!(backend.connections(), 1);
    assert_eq!(backend.requests()[0].head(), "GET /a?b=%2F HTTP/1.1\r\nhost: mail.example\r\n\r\n");
}

#[tokio::test]
async fn every_bodyless_answer_gives_its_connection_back() {
    let backend = Backend::start(|r| {
        raw(match r.number % 4 {
            0 => "HTTP/1.1 204 No Content\r\n\r\n",
            1 => "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
            2 => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        })
    })
    .await;
    let way = Way::to_one(&backend);
    for _ in 0..8 {
        assert!(way.fetch("/").await.1.is_empty());
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_connection_whose_answer_was_not_read_to_its_end_is_closed() {
    let backend =
        Backend::start(|_| script([Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 90000000\r\n\r\n".into()), Step::Flood(90_000_000)]))
            .await;
    let way = Way::to_one(&backend);
    let mut body = way.get("/").await.0.unwrap().body;
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    backend.wait_for_open(0).await;
}

#[tokio::test]
async fn a_slow_client_holds_the_backend_back_instead_of_filling_memory() {
    const WHOLE: usize = 200_000_000;
    let backend =
        Backend::start(|_| script([Step::Send(format!("HTTP/1.1 200 OK\r\ncontent-length: {WHOLE}\r\n\r\n").into()), Step::Flood(WHOLE)]))
            .await;
    let way = Way::to_one(&backend);
    let mut body = way.get("/").await.0.unwrap().body;
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::sleep(Duration::from_millis(500)).await;
    // What loopback sockets hold, and no more than one buffer of ours.
    assert!(backend.sent() < 20_000_000, "{}", backend.sent());
}

#[tokio::test]
async fn a_backend_that_does_not_read_holds_the_client_back_and_then_times_out() {
    let backend = Backend::start(|_| early([Step::Wait(LONG)])).await;
    let way = Way::to_one(&backend);
    let (give, body) = fed();
    let mut exchange = way.exchange(Method::POST, "/", body);
    exchange.timeouts.between_bytes = Duration::from_millis(600);
    let feeder = tokio::spawn(async move {
        let mut fed = 0;
        while give.send(Ok(Bytes::from(vec![0; 65536]))).await.is_ok() {
            fed += 65536;
        }
        fed
    });
    let start = Instant::now();
    let (answer, outcome) = way.send(exchange).await;
    assert_eq!(answer.unwrap_err(), Refusal::BackendTimeout);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(outcome.error.unwrap().contains("request body"));
    assert!(feeder.await.unwrap() < 20_000_000);
    assert_eq!(outcome.tries, 1);
}

#[tokio::test]
async fn close_delimited_answers_of_http_1_0_are_whole_and_end_the_connection() {
    let backend = Backend::start(|_| script([Step::Send(b"HTTP/1.0 200 OK\r\n\r\nhello".into()), Step::Close])).await;
    let way = Way::to_one(&backend);
    for _ in 0..2 {
        assert_eq!(way.fetch("/").await, (200, Bytes::from_static(b"hello")));
    }
    assert_eq!(backend.connections(), 2);
    backend.wait_for_open(0).await;
}

#[tokio::test]
async fn a_body_cut_short_is_an_error_and_never_an_end() {
    for cut in ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        let backend = Backend::start(move |_| script([Step::Send(cut.into()), Step::Close])).await;
        let way = Way::to_one(&backend);
        let error = way.get("/").await.0.unwrap().body.collect().await.unwrap_err();
        assert!(matches!(error, BodyError::Broken(_)), "{error:?}");
    }
}

fn unescape(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = line.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match bytes.next().unwrap() {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'\\' => out.push(b'\\'),
            b'x' => {
                let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            other => panic!("unknown escape {other}"),
        }
    }
    out
}

#[tokio::test]
async fn whatever_is_not_a_proper_head_is_backend_garbage() {
    let cases = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/upstream/garbage.txt")).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases.lines().filter(|l| !l.starts_with('#')) {
        count += 1;
        let bytes = unescape(case);
        let backend =
            Backend::start(move |_| script([Step::Send(bytes.clone()), Step::Wait(Duration::from_millis(30)), Step::Close])).await;
        let (answer, outcome) = Way::to_one(&backend).get("/").await;
        match answer {
            Err(Refusal::BackendGarbage) if backend.requests().len() == 1 && outcome.error.is_some() => {}
            other => wrong.push(format!("{case}: {other:?}, {} requests", backend.requests().len())),
        }
    }
    assert!(count > 20 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn heads_without_measure_are_backend_garbage() {
    let many = |count: usize| (0..count).map(|i| format!("x-{i}: y\r\n")).collect::<String>();
    let few = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", many(BACKEND_HEADERS_MAX - 1));
    let too_many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", many(BACKEND_HEADERS_MAX));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "y".repeat(300_000));
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(3_000_000));
    for (head, fine) in [(few, true), (too_many, false), (long, false), (endless, false)] {
        let size = head.len();
        let backend = Backend::start(move |_| raw(&head)).await;
        let (answer, _) = Way::to_one(&backend).get("/").await;
        match fine {
            true => assert!(answer.is_ok(), "{size}: {answer:?}"),
            false => assert_eq!(answer.unwrap_err(), Refusal::BackendGarbage, "{size}"),
        }
    }
}

#[tokio::test]
async fn a_second_answer_nobody_asked_for_is_never_given_to_the_next_request() {
    let backend = Backend::start(|r| match r.connection {
        0 => raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"),
        _ => ok("clean"),
    })
    .await;
    let way = Way::to_one(&backend);
    assert_eq!(way.fetch("/").await.1, "ok");
    assert_eq!(way.fetch("/").await.1, "clean");
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let backend = Backend::start(|_| {
        raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    })
    .await;
    let way = Way::to_one(&backend);
    let (give, body) = fed();
    drop(give);
    let (answer, _) = way.send(way.exchange(Method::POST, "/", body)).await;
    let answer = answer.unwrap();
    assert!(!answer.headers.contains(&LINK));
    assert_eq!(answer.body.collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn equal_lengths_sent_twice_become_one() {
    let backend = Backend::start(|_| raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok")).await;
    let answer = Way::to_one(&backend).get("/").await.0.unwrap();
    assert_eq!(answer.headers.get_all(&CONTENT_LENGTH).count(), 1);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_body_neither_deadlocks_nor_is_lost() {
    let backend =
        Backend::start(|_| early([Step::Send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno".into()), Step::Wait(LONG)])).await;
    let way = Way::to_one(&backend);
    let (give, body) = fed();
    give.send(Ok(Bytes::from_static(b"begin"))).await.unwrap();
    let (answer, _) = way.send(way.exchange(Method::POST, "/", body)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(answer.body.collect().await.unwrap().to_bytes(), "no");
    // The rest of the body is not waited for: its source is let go, and the connection is not used again.
    tokio::time::timeout(Duration::from_secs(2), give.closed()).await.unwrap();
}

#[tokio::test]
async fn request_and_response_bodies_can_flow_at_the_same_time() {
    let backend = Backend::start(|_| {
        early([Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok".into()), Step::ReadBody, Step::Send(b"ok".into())])
    })
    .await;
    let way = Way::to_one(&backend);
    let (give, body) = fed();
    let (answer, _) = way.send(way.exchange(Method::POST, "/", body)).await;
    let mut body = answer.unwrap().body;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ok");
    give.send(Ok(Bytes::from_static(b"late"))).await.unwrap();
    drop(give);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
    assert_eq!(backend.requests()[0].body, b"4\r\nlate\r\n0\r\n\r\n");
    assert!(way.get("/").await.1.reused);
}

#[tokio::test]
async fn a_body_goes_with_its_declared_length_and_its_connection_is_used_again() {
    let backend = Backend::start(|_| ok("")).await;
    let way = Way::to_one(&backend);
    for _ in 0..3 {
        // The body does not know its own end: the declared length tells it.
        let (give, body) = fed();
        let mut exchange = way.exchange(Method::POST, "/", body);
        exchange.headers.insert(&CONTENT_LENGTH, Value::from_static("4"));
        let feeder = tokio::spawn(async move { give.send(Ok(Bytes::from_static(b"four"))).await.map(|()| give) });
        assert!(way.send(exchange).await.0.is_ok());
        drop(feeder.await);
    }
    assert!(backend.requests().iter().all(|r| r.body == b"four" && r.header("transfer-encoding").is_none()));
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn framing_headers_that_do_not_fit_the_body_never_reach_a_backend() {
    let backend = Backend::start(|_| ok("")).await;
    let way = Way::to_one(&backend);
    let cases: [(&'static str, &[(&'static str, &'static str)]); 8] = [
        ("", &[("content-length", "5")]),
        ("four", &[("content-length", "5")]),
        ("four", &[("content-length", "3")]),
        ("four", &[("content-length", "+4")]),
        ("four", &[("content-length", "four")]),
        ("four", &[("content-length", "4"), ("content-length", "4")]),
        ("four", &[("transfer-encoding", "chunked")]),
        ("", &[("transfer-encoding", "chunked"), ("content-length", "0")]),
    ];
    for (body, headers) in cases {
        let mut exchange = way.exchange(Method::POST, "/", Body::full(body));
        for (name, value) in headers {
            exchange.headers.append(&Name::new(name.as_bytes()).unwrap(), Value::from_static(value));
        }
        assert_eq!(way.send(exchange).await.0.unwrap_err(), Refusal::Internal, "{body} {headers:?}");
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_body_shorter_than_declared_ends_its_connection_before_the_next_request() {
    let backend = Backend::start(|_| ok("")).await;
    let way = Way::to_one(&backend);
    let (give, body) = fed();
    let mut exchange = way.exchange(Method::POST, "/", body);
    exchange.headers.insert(&CONTENT_LENGTH, Value::from_static("50"));
    tokio::spawn(async move { give.send(Ok(Bytes::from_static(b"short"))).await });
    assert!(way.send(exchange).await.0.is_err());
    backend.wait_for_open(0).await;
    assert!(backend.requests().is_empty());
    assert_eq!(way.fetch("/next").await.0, 200);
}

#[tokio::test]
async fn a_client_that_breaks_off_its_body_is_at_fault_and_the_backend_sees_no_whole_request() {
    let backend = Backend::start(|_| ok("whole")).await;
    let way = Way::to_one(&backend);
    for (error, refusal) in [
        (BodyError::Broken("gone".into()), Refusal::BodyIncomplete),
        (BodyError::Refused(Refusal::BodyTimeout), Refusal::BodyTimeout),
        (BodyError::Refused(Refusal::RuleDenied { status: 403, rule: 1 }), Refusal::RuleDenied { status: 403, rule: 1 }),
    ] {
        let (give, body) = fed();
        tokio::spawn(async move {
            give.send(Ok(Bytes::from_static(b"part"))).await.unwrap();
            give.send(Err(error)).await.unwrap();
        });
        let (answer, outcome) = way.send(way.exchange(Method::POST, "/", body)).await;
        assert_eq!(answer.unwrap_err(), refusal);
        assert_eq!(outcome.tries, 1);
    }
    backend.wait_for_open(0).await;
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn time_limits_hold_for_the_head_between_bytes_and_in_all() {
    let head = || Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n".to_vec());
    let drip = || [Step::Send(b"x".to_vec()), Step::Wait(Duration::from_millis(100))];
    let backend = Backend::start(move |r| {
        let steps = match r.head().split(' ').nth(1).unwrap() {
            "/head" => vec![Step::Wait(LONG)],
            "/between" => vec![head(), Step::Send(b"x".to_vec()), Step::Wait(LONG)],
            _ => [vec![head()], (0..90).flat_map(|_| drip()).collect()].concat(),
        };
        script(steps)
    })
    .await;
    let way = Way::to_one(&backend);
    let start = Instant::now();
    let mut exchange = way.exchange(Method::GET, "/head", Body::empty());
    exchange.timeouts.header = Duration::from_millis(300);
    let (answer, outcome) = way.send(exchange).await;
    assert_eq!(answer.unwrap_err(), Refusal::BackendTimeout);
    assert_eq!((outcome.tries, backend.requests().len()), (1, 1));

    let mut exchange = way.exchange(Method::GET, "/between", Body::empty());
    exchange.timeouts.between_bytes = Duration::from_millis(300);
    let error = way.send(exchange).await.0.unwrap().body.collect().await.unwrap_err();
    assert_eq!(refused(&error), Some(&Refusal::BackendTimeout));

    let mut exchange = way.exchange(Method::GET, "/total", Body::empty());
    exchange.timeouts.between_bytes = Duration::from_millis(300);
    exchange.timeouts.total = Some(Duration::from_millis(1000));
    let slow = Instant::now();
    let error = way.send(exchange).await.0.unwrap().body.collect().await.unwrap_err();
    assert_eq!(refused(&error), Some(&Refusal::BackendTimeout));
    assert!(slow.elapsed() >= Duration::from_millis(900), "bytes that come in time are no silence");
    assert!(start.elapsed() < Duration::from_secs(8));
    backend.wait_for_open(0).await;
}

#[tokio::test]
async fn the_head_has_its_whole_time_after_a_slow_request_body() {
    let backend = Backend::start(|_| {
        script([Step::Wait(Duration::from_millis(200)), Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into())])
    })
    .await;
    let way = Way::to_one(&backend);
    let (give, body) = fed();
    let mut exchange = way.exchange(Method::POST, "/", body);
    exchange.timeouts.header = Duration::from_millis(400);
    exchange.timeouts.between_bytes = Duration::from_millis(400);
    tokio::spawn(async move {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(600)).await;
            give.send(Ok(Bytes::from_static(b"slow"))).await.unwrap();
        }
    });
    assert!(way.send(exchange).await.0.is_ok());
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_noticed_before_use() {
    let backend = Backend::start(|_| script([Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into()), Step::Close])).await;
    let way = Way::to_one(&backend);
    for _ in 0..5 {
        way.fetch("/").await;
        backend.wait_for_open(0).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (give, body) = fed();
        drop(give);
        let (answer, outcome) = way.send(way.exchange(Method::POST, "/", body)).await;
        assert!(answer.is_ok(), "{outcome:?}");
    }
}

/// The first request of each connection is answered, the second one meets its end.
fn fickle(second: Script) -> impl Fn(&Recorded) -> Script {
    move |r| if r.number == 0 { ok("") } else { second.clone() }
}

#[tokio::test]
async fn a_get_whose_reused_connection_breaks_silently_is_tried_once_more_on_a_new_one() {
    let backend = Backend::start(fickle(script([Step::Close]))).await;
    let way = Way::to_one(&backend);
    way.fetch("/1").await;
    let (answer, outcome) = way.get("/2").await;
    assert!(answer.is_ok());
    assert_eq!((outcome.tries, outcome.reused, outcome.error), (2, false, None));
    assert_eq!(backend.requests().iter().filter(|r| r.head().starts_with("GET /2 ")).count(), 2);
}

#[tokio::test]
async fn what_may_have_been_acted_upon_is_never_sent_twice() {
    let part = || script([Step::Send(b"HTTP/1.1 2".into()), Step::Close]);
    let cases: [(Method, &'static str, Script); 4] = [
        (Method::POST, "", script([Step::Close])),
        (Method::PATCH, "body", script([Step::Close])),
        (Method::PUT, "body", script([Step::Close])),
        (Method::GET, "", part()),
    ];
    for (method, body, second) in cases {
        let backend = Backend::start(fickle(second)).await;
        let way = Way::to_one(&backend);
        way.fetch("/first").await;
        let (answer, outcome) = way.send(way.exchange(method.clone(), "/second", Body::full(body))).await;
        assert_eq!(answer.unwrap_err(), Refusal::BackendGarbage, "{method}");
        assert_eq!((outcome.tries, backend.requests().len()), (1, 2), "{method}");
    }
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_not_tried_again() {
    let backend = Backend::start(|_| script([Step::Close])).await;
    let (answer, outcome) = Way::to_one(&backend).get("/").await;
    assert_eq!((answer.unwrap_err(), outcome.tries, backend.requests().len()), (Refusal::BackendGarbage, 1, 1));
}

#[tokio::test]
async fn the_cap_on_connections_holds_and_a_waiting_request_gets_the_next_free_one() {
    let backend = Backend::start(|_| {
        script([Step::Wait(Duration::from_millis(50)), Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into())])
    })
    .await;
    let way = Arc::new(Way::to(policy::Backend { connections_max: 2, ..group(vec![member(backend.address)]) }));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let way = way.clone();
                async move { way.fetch("/").await.0 }
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!((backend.connections(), backend.requests().len()), (2, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_cap_holds_over_several_runtime_threads_and_connections_cross_them() {
    let backend = Backend::start(|_| ok("ok")).await;
    let way = Arc::new(Way::to(policy::Backend { connections_max: 3, ..group(vec![member(backend.address)]) }));
    // All threads stay until all are done: a connection lives on the thread that opened it.
    let done = Arc::new(std::sync::Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (way, done) = (way.clone(), done.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let tasks: Vec<_> = (0..5)
                        .map(|_| {
                            let way = way.clone();
                            tokio::spawn(async move {
                                for _ in 0..50 {
                                    assert_eq!(way.fetch("/").await.0, 200);
                                }
                            })
                        })
                        .collect();
                    for task in tasks {
                        task.await.unwrap();
                    }
                    tokio::task::spawn_blocking(move || done.wait()).await.unwrap();
                });
            })
        })
        .collect();
    tokio::task::spawn_blocking(|| threads.into_iter().for_each(|t| t.join().unwrap())).await.unwrap();
    assert_eq!((backend.connections(), backend.requests().len()), (3, 1000));
    // The threads are gone and their connections with them: a new request opens one.
    assert_eq!(way.fetch("/").await.0, 200);
}

#[tokio::test]
async fn a_request_that_gets_no_connection_under_the_cap_is_backend_busy() {
    let backend = Backend::start(|_| script([Step::Wait(LONG)])).await;
    let way = Way::to(policy::Backend { connections_max: 1, ..group(vec![member(backend.address)]) });
    let start = Instant::now();
    let first = way.get("/1");
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        way.get("/2").await.0.unwrap_err()
    };
    tokio::select! {
        _ = first => panic!("the backend does not answer"),
        refusal = second => assert_eq!(refusal, Refusal::BackendBusy),
    }
    assert!(start.elapsed() >= BACKEND_QUEUE_TIMEOUT);
    // The first request was dropped by `select!`: its connection is closed and its place is free.
    backend.wait_for_open(0).await;
}

#[tokio::test]
async fn idle_connections_are_closed_after_their_time_and_above_their_number() {
    let backend = Backend::start(|_| {
        script([Step::Wait(Duration::from_millis(50)), Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into())])
    })
    .await;
    let settings =
        policy::Backend { idle_connections_max: 3, idle_timeout: Duration::from_millis(500), ..group(vec![member(backend.address)]) };
    let way = Arc::new(Way::to(settings));
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            tokio::spawn({
                let way = way.clone();
                async move { way.fetch("/").await }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    backend.wait_for_open(3).await;
    backend.wait_for_open(0).await;
}

#[tokio::test]
async fn members_take_turns_and_a_dead_one_is_passed_over() {
    let one = Backend::start(|_| ok("1")).await;
    let two = Backend::start(|_| ok("2")).await;
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let way = Way::to(group(vec![member(dead), member(one.address), member(two.address)]));
    for _ in 0..30 {
        assert_eq!(way.fetch("/").await.0, 200);
    }
    assert!(one.requests().len() >= 5 && two.requests().len() >= 5, "{} {}", one.requests().len(), two.requests().len());
    assert_eq!(one.connections() + two.connections(), 2);
}

#[tokio::test]
async fn a_backend_without_a_living_member_is_unreachable() {
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let way = Way::to(group(vec![member(dead)]));
    for _ in 0..2 {
        let (answer, outcome) = way.get("/").await;
        assert_eq!(answer.unwrap_err(), Refusal::BackendUnreachable);
        assert!(outcome.error.unwrap().contains("refused"));
    }
}

#[tokio::test]
async fn a_member_that_never_finishes_connecting_times_out() {
    // It accepts, and never says a word of TLS.
    let backend = Backend::start(|_| ok("")).await;
    let tls = MemberTls { name: "app.example".into(), ca: None, dangerously_skip_verification: true };
    let member = Member { tls: Some(tls), ..member(backend.address) };
    let way = Way::to(policy::Backend { connect_timeout: Duration::from_millis(300), ..group(vec![member]) });
    let start = Instant::now();
    assert_eq!(way.get("/").await.0.unwrap_err(), Refusal::BackendTimeout);
    assert!(start.elapsed() < Duration::from_secs(3));
    backend.wait_for_open(0).await;
}

#[tokio::test]
async fn a_backend_that_the_policy_does_not_name_is_never_forwarded_to() {
    let named = Backend::start(|_| ok("")).await;
    let other = Backend::start(|_| ok("")).await;
    let way = Way::to_one(&named);
    let stranger = Arc::new(group(vec![member(other.address)]));
    let mut exchange = way.exchange(Method::GET, "/", Body::empty());
    exchange.backend = &stranger;
    assert_eq!(way.send(exchange).await.0.unwrap_err(), Refusal::Internal);
    for target in ["http://127.0.0.1/", "//x", "other.example:80", "", "?q"] {
        let mut exchange = way.exchange(Method::GET, "/", Body::empty());
        exchange.target = Bytes::from_static(target.as_bytes());
        let answer = way.send(exchange).await.0;
        assert!(answer.is_err() || target == "//x", "{target}: {answer:?}");
    }
    assert!(other.requests().is_empty());
    assert!(named.requests().iter().all(|r| r.head().starts_with("GET //x HTTP/1.1")));
}

#[tokio::test]
async fn host_is_the_members_own_where_the_map_says_so() {
    let backend = Backend::start(|_| ok("")).await;
    let way = Way::to_one(&backend);
    let mut exchange = way.exchange(Method::GET, "/", Body::empty());
    exchange.host = HostHeader::Backend;
    assert!(way.send(exchange).await.0.is_ok());
    way.fetch("/").await;
    let hosts: Vec<_> = backend.requests().iter().map(|r| r.header("host").unwrap().to_owned()).collect();
    assert_eq!(hosts, [backend.address.to_string(), "mail.example".into()]);
}

#[tokio::test]
async fn a_pinned_connection_serves_one_client_alone_and_ends_with_it() {
    let backend = Backend::start(|r| ok(&r.connection.to_string())).await;
    let way = Way::to_one(&backend);
    way.fetch("/pooled").await;
    let (carol, dave) = (Pin::new(), Pin::new());
    for round in 0..20 {
        for (pin, user) in [(Some(&carol), "carol"), (Some(&dave), "dave"), (None, "nobody")] {
            let mut exchange = way.exchange(Method::GET, "/", Body::empty());
            exchange.pin = pin;
            exchange.headers.insert(&Name::new(b"x-user").unwrap(), Value::from_static(user));
            let answer = way.send(exchange).await.0.unwrap();
            match round % 3 {
                // A broken-off answer ends the connection; nobody inherits it.
                2 => drop(answer),
                _ => _ = answer.body.collect().await.unwrap(),
            }
        }
    }
    let mut users: Vec<Vec<String>> = vec![Vec::new(); backend.connections()];
    for request in backend.requests().iter().filter(|r| r.header("x-user").is_some()) {
        users[request.connection].push(request.header("x-user").unwrap().to_owned());
    }
    for served in &users {
        assert!(served.windows(2).all(|w| w[0] == w[1]), "one connection served {served:?}");
    }
    assert!(users.iter().any(|u| u.len() > 1), "pinned connections are kept between requests");
    way.fetch("/").await;
    let before = backend.open();
    let held = usize::from(carol.holds_any()) + usize::from(dave.holds_any());
    assert_eq!(held, 2);
    drop((carol, dave));
    backend.wait_for_open(before - 2).await;
}

#[tokio::test]
async fn a_dropped_exchange_closes_its_connection() {
    let backend = Backend::start(|_| script([Step::Wait(LONG)])).await;
    let way = Way::to_one(&backend);
    let gone = tokio::time::timeout(Duration::from_millis(200), way.get("/")).await;
    assert!(gone.is_err());
    backend.wait_for_open(0).await;
}

/// A gate of the smallest kind: every request becomes an upgrade to the backend, joined when that switches.
async fn gate(way: Arc<Way>, allowed: Arc<AtomicBool>) -> (SocketAddr, tokio::sync::mpsc::Receiver<TunnelReport>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = tokio::sync::mpsc::channel(8);
    let serve = move |mut request: http::Request<hyper::body::Incoming>| {
        let (way, allowed, tell) = (way.clone(), allowed.clone(), tell.clone());
        async move {
            let client = hyper::upgrade::on(&mut request);
            let mut exchange = way.exchange(Method::GET, "/ws", Body::empty());
            exchange.upgrade = true;
            exchange.headers.insert(&CONNECTION, Value::from_static("upgrade"));
            exchange.headers.insert(&UPGRADE, Value::from_static("websocket"));
            let answer = way.send(exchange).await.0.unwrap();
            let mut response = http::Response::new(answer.body);
            *response.status_mut() = answer.status;
            for (name, value) in answer.headers.iter() {
                let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                response.headers_mut().append(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            if let Some(backend) = answer.upgrade {
                tokio::spawn(async move {
                    let report =
                        splice(Box::pin(TokioIo::new(client.await.unwrap())), backend, LONG, move || allowed.load(Ordering::SeqCst)).await;
                    tell.send(report).await.unwrap();
                });
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    };
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let service = hyper::service::service_fn(serve.clone());
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
            tokio::spawn(connection.with_upgrades());
        }
    });
    (address, told)
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

#[tokio::test]
async fn an_upgrade_is_joined_both_ways_without_losing_a_byte() {
    let backend = Backend::start(|_| script([Step::Send(format!("{SWITCH}first").into()), Step::Echo])).await;
    let way = Arc::new(Way::to_one(&backend));
    let (address, mut told) = gate(way.clone(), Arc::new(AtomicBool::new(true))).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"first") {
        assert!(client.read_buf(&mut seen).await.unwrap() > 0);
    }
    assert!(seen.starts_with(b"HTTP/1.1 101 "));
    let message: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
    let (mut reader, mut writer) = client.split();
    let (_, back) = tokio::join!(
        async {
            writer.write_all(&message).await.unwrap();
            writer.shutdown().await.unwrap()
        },
        async {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).await.unwrap();
            back
        }
    );
    assert!(back == message, "{} bytes came back", back.len());
    let report = told.recv().await.unwrap();
    assert_eq!(report, TunnelReport { bytes_up: 1_000_000, bytes_down: 1_000_005, end: TunnelEnd::Closed });
    backend.wait_for_open(0).await;
    let request = &backend.requests()[0];
    assert_eq!((request.header("connection"), request.header("upgrade")), (Some("upgrade"), Some("websocket")));
}

#[tokio::test]
async fn a_tunnel_ends_on_both_sides_when_its_user_is_removed_and_frees_its_place_under_the_cap() {
    let backend = Backend::start(|_| script([Step::Send(SWITCH.into()), Step::Echo])).await;
    let way = Arc::new(Way::to(policy::Backend { connections_max: 1, ..group(vec![member(backend.address)]) }));
    let allowed = Arc::new(AtomicBool::new(true));
    let (address, mut told) = gate(way.clone(), allowed.clone()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await.unwrap();
    assert!(client.read(&mut [0; 512]).await.unwrap() > 0);
    allowed.store(false, Ordering::SeqCst);
    let report = tokio::time::timeout(REMOVED_USER_TUNNEL_TIMEOUT, told.recv()).await.unwrap().unwrap();
    assert_eq!(report.end, TunnelEnd::NotAllowed);
    assert_eq!(client.read(&mut [0; 512]).await.unwrap(), 0);
    backend.wait_for_open(0).await;
    let (again, _) = way.get("/").await;
    assert_eq!(again.unwrap_err(), Refusal::BackendGarbage, "a 101 that nobody asked for");
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer_like_any_other() {
    let backend = Backend::start(|_| ok("no")).await;
    let way = Way::to_one(&backend);
    let mut exchange = way.exchange(Method::GET, "/ws", Body::empty());
    exchange.upgrade = true;
    exchange.headers.insert(&CONNECTION, Value::from_static("upgrade"));
    exchange.headers.insert(&UPGRADE, Value::from_static("websocket"));
    let answer = way.send(exchange).await.0.unwrap();
    assert!(answer.upgrade.is_none());
    assert_eq!(answer.body.collect().await.unwrap().to_bytes(), "no");
    assert!(way.get("/").await.1.reused);
}
