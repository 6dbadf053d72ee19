//! Promises about tunnels, limits on requests in flight, and clients that go away.

use crate::backend::{Backend, Step, early, ok, script};
use crate::gateway::{ALICE, Client, Gate, PATIENCE, ask, connect, connect_h2_with, connect_tls, get, open_site, run};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{accept_async, client_async};

/// A WebSocket server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() || message.is_binary() {
                        let _ = socket.send(message).await;
                    }
                }
            });
        }
    });
    address
}

fn handshake(url: &str, login: bool) -> tokio_tungstenite::tungstenite::handshake::client::Request {
    let mut request = url.into_client_request().unwrap();
    if login {
        request.headers_mut().insert("authorization", "Basic YWxpY2U6c2VjcmV0".parse().unwrap());
    }
    request
}

async fn chat<S: AsyncRead + AsyncWrite + Unpin>(client: Client<S>, url: &str) {
    let (mut socket, answer) = client_async(handshake(url, true), client.stream).await.unwrap();
    assert_eq!(answer.status(), 101);
    for message in [Message::text("hello"), Message::binary(vec![7_u8; 300_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    while let Ok(Some(Ok(_))) = tokio::time::timeout(PATIENCE, socket.next()).await {}
}

/// The record of the end of the tunnel opened under `path`.
async fn tunnel_end(gate: &Gate, path: &str) -> serde_json::Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = gate.records().into_iter().find(|r| r["event"]["kind"] == "tunnel_end" && r["url"]["path"] == path);
        if let Some(record) = found {
            return record;
        }
        assert!(Instant::now() < until, "no end of the tunnel: {:#?}", gate.records());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_websocket_passes_both_ways_and_leaves_a_record_at_each_end() {
    run(async {
        let gate = Gate::start(&format!(
            "[inspection]\nmode = \"block\"\n{}",
            open_site(echo().await, "require = [\"valid-user\"]\nupgrades = true")
        ));
        chat(connect(gate.plain).await, "ws://app.test/plain").await;
        chat(connect_tls(gate.tls, "app.test", &["http/1.1"]).await, "wss://app.test/tls").await;
        for path in ["/plain", "/tls"] {
            let end = tunnel_end(&gate, path).await;
            assert!(end.to_string().contains("300"), "{end:#}");
            let both: Vec<_> = gate.records().into_iter().filter(|r| r["url"]["path"] == path).collect();
            assert_eq!(both.len(), 2, "{both:#?}");
            assert_eq!((&both[0]["event"]["kind"], &both[0]["http"]["response"]["status_code"]), (&"request".into(), &101.into()));
            assert_eq!(both[1]["user"]["name"], "alice");
        }
    });
}

#[test]
fn a_websocket_without_a_login_or_where_no_upgrade_is_allowed_is_refused() {
    run(async {
        let gate = Gate::start(&open_site(echo().await, "require = [\"valid-user\"]\nupgrades = true"));
        let refused = client_async(handshake("ws://app.test/w", false), connect(gate.plain).await.stream).await;
        let Err(Error::Http(answer)) = refused else { panic!("{refused:?}") };
        assert_eq!(answer.status(), 401);
        assert_eq!(gate.decision("/w").await[2], "credentials_missing");
        let backend = Backend::start(|_| ok("no tunnel")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let refused = client_async(handshake("ws://app.test/w", false), connect(gate.plain).await.stream).await;
        let Err(Error::Http(answer)) = refused else { panic!("{refused:?}") };
        assert_eq!(answer.status(), 200);
        assert_eq!(backend.requests()[0].header("upgrade"), None);
    });
}

#[test]
fn a_tunnel_of_a_removed_user_ends() {
    run(async {
        let gate = Gate::start(&open_site(echo().await, "require = [\"valid-user\"]\nupgrades = true"));
        let (mut socket, _) = client_async(handshake("ws://app.test/t", true), connect(gate.plain).await.stream).await.unwrap();
        socket.send(Message::text("still here")).await.unwrap();
        socket.next().await.unwrap().unwrap();
        std::fs::write(gate.file("htpasswd"), "bob:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n").unwrap();
        gate.gateway().housekeeping();
        let ended =
            tokio::time::timeout(portcullis::limits::REMOVED_USER_TUNNEL_TIMEOUT, async { while let Some(Ok(_)) = socket.next().await {} });
        ended.await.expect("the tunnel goes on");
        tunnel_end(&gate, "/t").await;
    });
}

#[test]
fn a_changed_require_reaches_the_tunnels_and_streams_that_were_there_before_the_reload() {
    run(async {
        let policy = |address, require: &str| {
            format!(
                "{}\n[[site.map]]\npath = \"/other\"\nto = \"app/other\"\n",
                open_site(address, &format!("require = [\"{require}\"]\nupgrades = true"))
            )
        };
        let tunnels = echo().await;
        let gate = Gate::start(&policy(tunnels, "group staff"));
        let (mut socket, _) = client_async(handshake("ws://app.test/t", true), connect(gate.plain).await.stream).await.unwrap();
        // Still allowed by another line: the tunnel goes on past several looks at it.
        gate.reload(&policy(tunnels, "group admins")).unwrap();
        tokio::time::sleep(2 * portcullis::limits::TUNNEL_CHECK_INTERVAL).await;
        socket.send(Message::text("still here")).await.unwrap();
        socket.next().await.unwrap().unwrap();
        gate.reload(&policy(tunnels, "user bob")).unwrap();
        let ended =
            tokio::time::timeout(portcullis::limits::REMOVED_USER_TUNNEL_TIMEOUT, async { while let Some(Ok(_)) = socket.next().await {} });
        ended.await.expect("the tunnel goes on");
        tunnel_end(&gate, "/t").await;

        let head = Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc".into());
        let backend = Backend::start(move |_| script([head.clone(), Step::Wait(Duration::from_secs(30))])).await;
        let gate = Gate::start(&policy(backend.address, "group staff"));
        let mut client = connect(gate.plain).await;
        client.send(format!("GET /s HTTP/1.1\r\nHost: app.test\r\n{ALICE}\r\n")).await;
        client.head().await.unwrap();
        // The map itself goes, and with it who may use it.
        let other = policy(backend.address, "group staff").replace("path = \"/\"", "path = \"/elsewhere/\"");
        gate.reload(&other).unwrap();
        let record =
            tokio::time::timeout(portcullis::limits::REMOVED_USER_TUNNEL_TIMEOUT, gate.record("/s")).await.expect("the stream goes on");
        assert_eq!(record["http"]["response"]["ended"], "cut");
    });
}

#[test]
fn a_granted_upgrade_that_was_not_asked_for_is_502() {
    run(async {
        let backend =
            Backend::start(|_| crate::backend::raw("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")).await;
        let gate = Gate::start(&open_site(backend.address, "upgrades = true"));
        assert_eq!(ask(gate.plain, get("/u", "")).await.status, 502);
    });
}

#[test]
fn more_requests_in_flight_than_allowed_are_429_until_one_has_ended() {
    run(async {
        let head = Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na".into());
        let backend = Backend::start(move |r| match r.head().contains("/slow") {
            true => early([head.clone(), Step::Wait(Duration::from_secs(30))]),
            false => ok("x"),
        })
        .await;
        let gate = Gate::start(&open_site(backend.address, "rate_limit = { in_flight_max = 1 }"));
        let mut slow = connect(gate.plain).await;
        slow.send("GET /slow HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        slow.head().await.unwrap();
        let refused = ask(gate.plain, get("/over", "")).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
        assert_eq!(gate.decision("/over").await, ["rate_limit", "deny", "too_many_in_flight"]);
        drop(slow);
        gate.record("/slow").await;
        assert_eq!(ask(gate.plain, get("/after", "")).await.status, 200);
    });
}

#[test]
fn a_client_that_hangs_up_leaves_a_record_wherever_it_was() {
    run(async {
        let head = Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc".into());
        let backend = Backend::start(move |r| match r.head().contains("/body") {
            true => script([head.clone(), Step::Wait(Duration::from_secs(30))]),
            false => script([Step::Wait(Duration::from_secs(30))]),
        })
        .await;
        let gate = Gate::start(&open_site(backend.address, ""));
        // While the backend thinks.
        let mut client = connect(gate.plain).await;
        client.send("GET /wait HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        backend.wait_for_open(1).await;
        drop(client);
        assert_eq!(gate.record("/wait").await["decision"]["action"], "abort");
        // In the middle of the answer.
        let mut client = connect(gate.plain).await;
        client.send("GET /body HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        client.head().await.unwrap();
        drop(client);
        assert_eq!(gate.record("/body").await["http"]["response"]["ended"], "client_gone");
        // In the middle of its own body.
        let mut client = connect(gate.plain).await;
        client.send("POST /upload HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\nabc").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(client);
        gate.record("/upload").await;
        // The backends are not kept waiting either.
        backend.wait_for_open(0).await;
    });
}

#[test]
fn an_http_2_client_that_opens_no_window_holds_a_response_no_longer_than_the_write_timeout() {
    run(async {
        let backend = Backend::start(|_| ok(&"x".repeat(100_000))).await;
        let gate = Gate::start(&format!("[limits]\nwrite_timeout_seconds = 1\n{}", open_site(backend.address, "")));
        for (window, path) in [(0, "/none"), (1, "/one"), (40_000, "/some")] {
            let mut client = connect_h2_with(gate.tls, "app.test", Some(window)).await;
            let held = client.begin(&format!("https://app.test{path}")).await;
            gate.record(path).await;
            tokio::time::sleep(Duration::from_millis(2500)).await;
            // Reading on opens the window, and comes too late.
            assert!(held.into_body().collect().await.is_err(), "{path}");
            // Only the stream has ended.
            let head = hyper::Request::head("https://app.test/head").body(Default::default()).unwrap();
            assert_eq!(client.send(head).await.0, 200, "{path}");
        }
        let mut reader = connect_h2_with(gate.tls, "app.test", Some(10_000)).await;
        assert_eq!(reader.get("https://app.test/read", &[]).await.2.len(), 100_000);
    });
}

#[test]
fn a_slow_head_is_408_and_leaves_a_record() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate =
            Gate::start(&format!("[limits]\nheader_timeout_seconds = 1\nbody_timeout_seconds = 1\n{}", open_site(backend.address, "")));
        let mut client = connect(gate.plain).await;
        client.send("GET /slow HTTP/1.1\r\nHost: app.test\r\n").await;
        assert_eq!(client.answer().await.unwrap().status, 408);
        let mut client = connect(gate.plain).await;
        client.send(format!("POST /body HTTP/1.1\r\nHost: app.test\r\n{ALICE}Content-Length: 9\r\n\r\nabc")).await;
        assert_eq!(client.answer().await.unwrap().status, 408);
        assert_eq!(gate.decision("/body").await[2], "body_timeout");
        let reasons: Vec<_> = gate.records().iter().map(|r| r["decision"]["reason"].clone()).collect();
        assert_eq!(reasons, ["header_timeout", "body_timeout"]);
    });
}
