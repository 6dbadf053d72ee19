//! Promises about responses: phase 4 decides before a body goes out, and no stream ever waits for it.

use crate::backend::{Backend, Script, Step, early, ok, raw, script};
use crate::gateway::{Gate, ask, connect, get, open_site, run};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Refuses what leaks; `tally` is a match that refuses nothing.
const RULES: &str = "SecRuleEngine On\n\
    SecResponseBodyMimeType text/html text/plain text/event-stream\n\
    SecRule RESPONSE_STATUS \"@streq 299\" \"id:30,phase:3,deny\"\n\
    SecRule RESPONSE_HEADERS:X-Go \"@streq away\" \"id:31,phase:3,redirect:https://help.test/\"\n\
    SecRule RESPONSE_HEADERS:X-Go \"@streq drop\" \"id:32,phase:3,drop\"\n\
    SecRule RESPONSE_HEADERS:X-Go \"@streq free\" \"id:33,phase:3,allow\"\n\
    SecRule RESPONSE_BODY \"@contains leak\" \"id:40,phase:4,deny,status:451\"\n\
    SecRule RESPONSE_BODY \"@contains tally\" \"id:41,phase:4,pass\"\n\
    SecAction \"id:42,phase:4,pass\"\n";

fn gate(backend: &Backend, inspection: &str) -> Gate {
    let inspection = format!("[inspection]\nrules = [\"own.conf\"]\n{inspection}\n");
    Gate::start_with(&format!("{inspection}{}", open_site(backend.address, "")), &[("own.conf", RULES)])
}

fn page(kind: &str, more: &str, body: &[u8]) -> Script {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{more}Content-Length: {}\r\n\r\n", body.len());
    raw([head.into_bytes(), body.to_vec()].concat())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn chunked(kind: &str, chunks: &[&str]) -> Vec<u8> {
    let body: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n").into_bytes()
}

fn long(end: &str) -> Vec<u8> {
    format!("{}{end}", "x".repeat(100_000)).into_bytes()
}

fn answers(path: &str) -> Script {
    match path {
        "/leak" => page("text/html; charset=utf-8", "", b"a leak"),
        "/fine" => page("text/html", "", b"fine"),
        "/other" => page("application/pdf", "", b"a leak"),
        "/chunked" => raw(chunked("text/plain", &["a le", "ak"])),
        "/gzip" => page("text/html", "Content-Encoding: gzip\r\n", &gzip(b"a leak")),
        "/gzip-fine" => page("text/html", "Content-Encoding: gzip\r\n", &gzip(b"fine")),
        "/gzip-broken" => page("text/html", "Content-Encoding: gzip\r\n", b"no gzip"),
        "/odd-coding" => page("text/html", "Content-Encoding: odd\r\n", b"a leak"),
        "/bomb" => page("text/html", "Content-Encoding: gzip\r\n", &gzip(&vec![b'a'; 4 << 20])),
        "/late" => page("text/html", "", &long("leak")),
        "/soon" => page("text/html", "", &[b"leak".to_vec(), long("")].concat()),
        "/status" => raw("HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n"),
        "/away" => page("text/html", "X-Go: away\r\n", b"x"),
        "/drop" => page("text/html", "X-Go: drop\r\n", b"x"),
        "/free" => page("text/html", "X-Go: free\r\n", b"a leak"),
        "/empty" => raw("HTTP/1.1 204 No Content\r\n\r\n"),
        "/same" => raw("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        "/broken" => {
            script([Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\nhalf".to_vec()), Step::Close])
        }
        _ => ok("hello"),
    }
}

async fn scripted() -> Backend {
    Backend::start(|r| answers(r.head().split([' ', '?']).nth(1).unwrap())).await
}

#[test]
fn a_body_that_leaks_does_not_go_out() {
    run(async {
        let backend = scripted().await;
        let gate = gate(&backend, "response_bodies = true\nresponse_body_bytes_max = 50000");
        // path, status, body, reason of a partial look
        let cases: [(&str, u16, Option<Vec<u8>>, &str); 17] = [
            ("/leak", 451, None, ""),
            ("/fine", 200, Some(b"fine".to_vec()), ""),
            ("/other", 200, Some(b"a leak".to_vec()), ""),
            ("/chunked", 451, None, ""),
            ("/gzip", 451, None, ""),
            ("/gzip-fine", 200, Some(gzip(b"fine")), ""),
            ("/gzip-broken", 200, Some(b"no gzip".to_vec()), "response_encoding"),
            ("/odd-coding", 200, Some(b"a leak".to_vec()), "response_encoding"),
            ("/bomb", 200, Some(gzip(&vec![b'a'; 4 << 20])), "response_limit"),
            ("/late", 200, Some(long("leak")), "response_limit"),
            ("/soon", 451, None, "response_limit"),
            ("/status", 403, None, ""),
            ("/away", 302, None, ""),
            ("/free", 200, Some(b"a leak".to_vec()), ""),
            ("/empty", 204, Some(vec![]), ""),
            ("/same", 304, Some(vec![]), ""),
            ("/unknown-type", 200, Some(b"hello".to_vec()), ""),
        ];
        for (path, status, body, reason) in cases {
            let answer = ask(gate.plain, get(path, "")).await;
            assert_eq!(answer.status, status, "{path}");
            if let Some(body) = body {
                assert!(answer.body == body, "{path}: {:?}", String::from_utf8_lossy(&answer.body));
            } else {
                assert!(!String::from_utf8_lossy(&answer.body).contains("leak"), "{path}");
            }
            let record = gate.record(path).await;
            assert_eq!(record["inspection"]["reason"].as_str().unwrap_or_default(), reason, "{path}: {record:#}");
            let denied = matches!(status, 451 | 403);
            assert_eq!(record["decision"]["layer"] == "inspection", denied || status == 302, "{path}");
        }
        let mut client = connect(gate.plain).await;
        client.send(get("/drop", "")).await;
        assert!(client.answer().await.is_none(), "a drop has no answer");
        assert_eq!(gate.decision("/drop").await, ["inspection", "deny", "rule_dropped"]);
        let mut client = connect(gate.plain).await;
        client.send("HEAD /fine?head HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.answer_to("HEAD").await.unwrap().header("content-length"), "4");
    });
}

#[test]
fn response_bodies_are_looked_at_where_policy_or_rules_say_so() {
    run(async {
        let backend = scripted().await;
        let cases = [
            ("", "", 200, ""),
            ("SecResponseBodyAccess On\n", "", 451, ""),
            ("SecResponseBodyAccess On\n", "response_bodies = false", 200, ""),
            ("", "response_bodies = true", 451, ""),
            ("SecResponseBodyAccess On\nSecResponseBodyLimit 3\nSecResponseBodyLimitAction Reject\n", "", 502, "response_limit"),
            ("SecResponseBodyAccess On\nSecResponseBodyLimit 3\nSecResponseBodyLimitAction ProcessPartial\n", "", 200, "response_limit"),
            ("SecResponseBodyAccess On\nSecResponseBodyLimit 3\n", "response_over_limit = \"refuse\"", 502, "response_limit"),
            ("SecResponseBodyAccess On\nSecResponseBodyLimit 3\n", "response_body_bytes_max = 100", 451, ""),
        ];
        for (directives, keys, status, reason) in cases {
            let policy = format!("[inspection]\nrules = [\"own.conf\"]\n{keys}\n{}", open_site(backend.address, ""));
            let gate = Gate::start_with(&policy, &[("own.conf", &format!("{directives}{RULES}"))]);
            assert_eq!(ask(gate.plain, get("/leak", "")).await.status, status, "{directives} {keys}");
            assert_eq!(gate.record("/leak").await["inspection"]["reason"].as_str().unwrap_or_default(), reason, "{directives} {keys}");
        }
    });
}

/// A head without a length, these pieces with a pause before each but the first, and the end of the connection.
fn slowly(kind: &str, pieces: &[&str], pause: Duration) -> Script {
    let mut steps = vec![Step::Send(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes())];
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            steps.push(Step::Wait(pause));
        }
        steps.push(Step::Send(format!("{:x}\r\n{piece}\r\n", piece.len()).into_bytes()));
    }
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    early(steps)
}

#[test]
fn streams_pass_at_once_and_a_denial_cuts_them_off() {
    run(async {
        let pause = Duration::from_millis(2_500);
        let backend = Backend::start(move |r| match r.head().split(' ').nth(1).unwrap() {
            "/events" => slowly("text/event-stream", &["data: 1\n\n", "data: leak\n\n"], pause),
            "/bits" => slowly("text/html", &["one ", "leak"], pause),
            _ => slowly("text/html", &["one ", "two"], pause),
        })
        .await;
        let gate = gate(&backend, "response_bodies = true");
        for (path, denied) in [("/events", true), ("/bits", true), ("/fine", false)] {
            let begun = Instant::now();
            let mut client = connect(gate.plain).await;
            client.send(get(path, "")).await;
            assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"), "{path}");
            let first = client.chunk().await.unwrap();
            assert!(first.starts_with(b"data: 1") || first.starts_with(b"one "), "{path}");
            assert!(begun.elapsed() < pause, "{path} waited {:?} for its first bytes", begun.elapsed());
            let mut rest = Vec::new();
            while let Some(chunk) = client.chunk().await {
                rest.extend(chunk);
            }
            let record = gate.record(path).await;
            assert_eq!(record["inspection"]["extent"], "full", "{path}");
            if denied {
                assert_eq!(record["http"]["response"]["ended"], "cut", "{path}: {record:#}");
                assert_eq!(gate.decision(path).await, ["inspection", "deny", "rule_denied"], "{path}");
                assert_eq!(record["http"]["response"]["status_code"], 200);
            } else {
                assert_eq!((rest.as_slice(), &record["http"]["response"]["ended"]), (&b"two"[..], &"complete".into()));
            }
        }
    });
}

#[test]
fn a_body_that_breaks_off_while_it_is_held_is_an_error_of_the_backend() {
    run(async {
        let backend = scripted().await;
        let gate = gate(&backend, "response_bodies = true");
        assert_eq!(ask(gate.plain, get("/broken", "")).await.status, 502);
        assert_eq!(gate.decision("/broken").await[2], "backend_garbage");
        assert_eq!(gate.record("/broken").await["inspection"]["reason"], "response_broken");
    });
}

/// What detect mode must leave as it is.
fn plain_answers(path: &str) -> Script {
    match path {
        "/trailers" => raw(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n6\r\na leak\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
        "/events" => slowly("text/event-stream", &["data: tally\n\n", "data: leak\n\n"], Duration::from_millis(50)),
        other => answers(other),
    }
}

#[test]
fn detect_mode_changes_no_byte_of_a_response_and_tells_what_it_would_have_refused() {
    run(async {
        let paths = ["/leak", "/chunked", "/gzip", "/gzip-broken", "/odd-coding", "/late", "/trailers", "/events", "/empty", "/status"];
        let mut sides = Vec::new();
        for mode in ["off", "detect"] {
            let backend = Backend::start(|r| plain_answers(r.head().split([' ', '?']).nth(1).unwrap())).await;
            let gate = gate(&backend, &format!("mode = \"{mode}\"\nresponse_bodies = true\nresponse_body_bytes_max = 50000"));
            let mut side = Vec::new();
            for path in paths {
                let mut client = connect(gate.plain).await;
                client.send(get(path, "TE: trailers\r\n")).await;
                // Everything up to the close, as it is on the wire.
                let mut all = client.head().await.unwrap().into_bytes();
                let date = |line: &&[u8]| !line.to_ascii_lowercase().starts_with(b"date:");
                all = all.split_inclusive(|b| *b == b'\n').filter(date).collect::<Vec<_>>().concat();
                client.rest().await;
                all.extend(std::mem::take(&mut client.buffer));
                side.push((path, String::from_utf8_lossy(&all).into_owned()));
            }
            if mode == "detect" {
                for (path, rule) in [("/leak", 40), ("/chunked", 40), ("/gzip", 40), ("/trailers", 40), ("/events", 40), ("/status", 30)] {
                    let record = gate.record(path).await;
                    assert_eq!(record["inspection"]["would"]["rule_id"], rule, "{path}: {record:#}");
                    assert_eq!(record["decision"]["action"], "allow", "{path}");
                    assert_eq!(record["inspection"]["extent"], "full", "{path}");
                }
                for (path, reason) in [("/late", "response_limit"), ("/gzip-broken", "response_encoding")] {
                    assert_eq!(gate.record(path).await["inspection"]["reason"], reason, "{path}");
                }
            }
            sides.push(side);
        }
        assert_eq!(sides[0], sides[1]);
    });
}
