//! Promises about backends that are down, slow, broken or old.

use crate::backend::{Backend, Step, early, ok, raw, script};
use crate::gateway::{Gate, ask, connect, get, open_site, run};
use std::time::Duration;

fn policy(address: std::net::SocketAddr, backend: &str) -> String {
    open_site(address, "").replacen("members", &format!("{backend}\nmembers"), 1)
}

#[test]
fn a_backend_that_is_down_is_502() {
    run(async {
        let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let gate = Gate::start(&policy(dead, ""));
        let answer = ask(gate.plain, get("/d", "")).await;
        assert_eq!(answer.status, 502);
        assert!(!answer.text().contains(&dead.port().to_string()));
        assert_eq!(gate.decision("/d").await, ["forwarding", "deny", "backend_unreachable"]);
    });
}

#[test]
fn a_backend_that_is_slow_is_504() {
    run(async {
        let backend = Backend::start(|_| script([Step::Wait(Duration::from_secs(30))])).await;
        let gate = Gate::start(&policy(backend.address, "header_timeout_seconds = 1"));
        assert_eq!(ask(gate.plain, get("/s", "")).await.status, 504);
        assert_eq!(gate.decision("/s").await, ["forwarding", "deny", "backend_timeout"]);
    });
}

#[test]
fn a_backend_that_answers_garbage_or_nothing_is_502() {
    run(async {
        let backend = Backend::start(|r| {
            let what = match r.head().split(' ').nth(1).unwrap() {
                "/banner" => "SSH-2.0-OpenSSH_9.0\r\n",
                "/status" => "HTTP/1.1 abc OK\r\n\r\n",
                "/lengths" => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                "/header" => "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
                _ => "",
            };
            script([Step::Send(what.into()), Step::Close])
        })
        .await;
        let gate = Gate::start(&policy(backend.address, ""));
        for path in ["/banner", "/status", "/lengths", "/header", "/nothing"] {
            assert_eq!(ask(gate.plain, get(path, "")).await.status, 502, "{path}");
            assert_eq!(gate.decision(path).await[2], "backend_garbage", "{path}");
        }
    });
}

#[test]
fn an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    run(async {
        let backend =
            Backend::start(|_| script([Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".into()), Step::Close])).await;
        let gate = Gate::start(&policy(backend.address, ""));
        let mut client = connect(gate.plain).await;
        client.send(get("/b", "")).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("content-length"), answer.text()), (200, "10", "abc"));
        assert_eq!(gate.record("/b").await["http"]["response"]["ended"], "backend_broken");
    });
}

#[test]
fn an_http_1_0_backend_that_ends_its_answer_by_closing_works() {
    run(async {
        let backend = Backend::start(|_| {
            script([
                Step::Send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold but ".into()),
                Step::Wait(Duration::from_millis(50)),
                Step::Send(b"good".into()),
                Step::Close,
            ])
        })
        .await;
        let gate = Gate::start(&policy(backend.address, ""));
        let mut client = connect(gate.plain).await;
        for _ in 0..2 {
            client.send("GET /o HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
            assert_eq!(client.answer().await.unwrap().text(), "old but good");
        }
        assert_eq!(backend.connections(), 2);
        // A client of 1.0 gets it without chunks.
        let mut client = connect(gate.plain).await;
        client.send("GET /o HTTP/1.0\r\nHost: app.test\r\n\r\n").await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.header("transfer-encoding"), answer.text()), ("", "old but good"));
    });
}

#[test]
fn server_sent_events_arrive_one_by_one() {
    run(async {
        let event = |n: usize| Step::Send(format!("9\r\ndata: {n}\n\n\r\n").into_bytes());
        let head = Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".into());
        let (first, second) = (event(1), event(2));
        // The second event comes only after thirty seconds: whoever waits for it to pass on the first one fails the test.
        let steps = [head, first, Step::Wait(Duration::from_secs(30)), second];
        let backend = Backend::start(move |_| early(steps.clone())).await;
        let gate = Gate::start(&format!("[inspection]\nmode = \"block\"\n{}", policy(backend.address, "")));
        let mut client = connect(gate.plain).await;
        client.send("GET /e HTTP/1.1\r\nHost: app.test\r\nAccept: text/event-stream\r\n\r\n").await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
        assert_eq!(client.chunk().await.unwrap(), b"data: 1\n\n");
        drop(client);
        assert_eq!(gate.record("/e").await["http"]["response"]["ended"], "client_gone");
    });
}

#[test]
fn a_large_upload_streams_past_inspection_that_does_not_want_it() {
    run(async {
        let backend = Backend::start(|_| ok("got it")).await;
        let gate = Gate::start(&format!("[inspection]\nmode = \"block\"\n{}", policy(backend.address, "")));
        let body = vec![0xa5_u8; 20 << 20];
        let head = format!(
            "PUT /u HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let answer = ask(gate.plain, [head.into_bytes(), body.clone()].concat()).await;
        assert_eq!((answer.status, answer.text()), (200, "got it"));
        assert!(backend.requests()[0].body == body);
        let record = gate.record("/u").await;
        assert_eq!(record["http"]["request"]["bytes"], body.len());
        assert_eq!(record["inspection"]["extent"], "partial");
    });
}

#[test]
fn a_backend_over_its_connection_cap_is_503() {
    run(async {
        let backend = Backend::start(|_| script([Step::Wait(Duration::from_secs(30))])).await;
        let gate = Gate::start(&policy(backend.address, "connections_max = 1"));
        let mut first = connect(gate.plain).await;
        first.send("GET /1 HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        backend.wait_for_open(1).await;
        let answer = ask(gate.plain, get("/2", "")).await;
        assert_eq!(answer.status, 503);
        assert!(!answer.header("retry-after").is_empty());
        assert_eq!(gate.decision("/2").await[2], "backend_busy");
    });
}

#[test]
fn a_100_continue_is_asked_for_only_where_the_body_is_wanted() {
    run(async {
        let backend = Backend::start(|_| raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
        let gate = Gate::start(&open_site(backend.address, "methods = [\"POST\"]"));
        let mut client = connect(gate.plain).await;
        client.send("POST /c HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
        assert_eq!(client.answer().await.unwrap().status, 100);
        client.send("abc").await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        let mut client = connect(gate.plain).await;
        client.send("PUT /c HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
        assert_eq!(client.answer().await.unwrap().status, 405);
    });
}
