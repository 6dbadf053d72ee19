//! Promises of inspection: what rules refuse, what detect mode leaves alone, what limits do.

use crate::backend::{Backend, Script, ok, raw};
use crate::gateway::{Gate, ask, connect, get, open_site, run};

const BLOCK: &str = "[inspection]\nmode = \"block\"\n";

#[test]
fn a_rule_refuses_with_403_and_the_record_names_it() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&format!("{BLOCK}{}", open_site(backend.address, "")));
        for (path, query) in
            [("/sql", "?id=1'+UNION+SELECT+a+FROM+b--"), ("/xss", "?q=<script>alert(1)</script>"), ("/cmd", "?f=;cat+/etc/passwd")]
        {
            let answer = ask(gate.plain, get(&format!("{path}{query}"), "")).await;
            assert_eq!(answer.status, 403, "{path}");
            let record = gate.record(path).await;
            assert!(!record["rules"].as_array().unwrap().is_empty());
            assert!(answer.text().contains(record["event"]["id"].as_str().unwrap()));
            for rule in record["rules"].as_array().unwrap() {
                let id = rule["id"].to_string();
                assert!(!answer.text().contains(&id) && !answer.head.contains(&id), "the page names rule {id}");
            }
        }
        let body = "id=1'+UNION+SELECT+a+FROM+b--";
        let post = format!(
            "POST /body HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(ask(gate.plain, post).await.status, 403);
        assert_eq!(gate.record("/body").await["inspection"]["extent"], "full");
        assert!(backend.requests().is_empty());
        assert_eq!(ask(gate.plain, get("/fine?id=1", "")).await.status, 200);
    });
}

/// The bytes that a compressed answer and a form take.
fn gzip() -> Vec<u8> {
    // gzip of "hello hello hello\n", stored.
    let text = b"hello hello hello\n";
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, text.len() as u8, 0, !(text.len() as u8), 0xff];
    out.extend(text);
    out.extend([0x00, 0x11, 0x22, 0x33, text.len() as u8, 0, 0, 0]);
    out
}

fn answers(path: &str) -> Script {
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nX-Custom:  two  blanks \r\n{more}\r\n").into_bytes();
    match path {
        "/gzip" => raw([head(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", gzip().len())), gzip()].concat()),
        "/chunked" => raw([head("Transfer-Encoding: chunked\r\n"), b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n".to_vec()].concat()),
        "/error" => raw("HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\ngone!"),
        "/empty" => raw("HTTP/1.1 204 No Content\r\nETag: \"x\"\r\n\r\n"),
        _ => ok("hello"),
    }
}

#[test]
fn detect_mode_changes_no_byte_on_either_side() {
    run(async {
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let attack = "a=1'+UNION+SELECT+a+FROM+b--&c=%3Cscript%3E";
        let long = format!("a={}", "x".repeat(300_000));
        let multipart = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../x.php\"\r\n\r\n<?php system(1)\r\n--b--\r\n";
        let requests: Vec<Vec<u8>> = vec![
            get("/?id=1'+UNION+SELECT+a+FROM+b--", "User-Agent: sqlmap/1.0\r\nAccept-Encoding: gzip\r\n").into(),
            get("/gzip?x=../../etc/passwd", "Accept-Encoding: gzip, br\r\n").into(),
            get("/chunked", "").into(),
            get("/error?q=<script>", "").into(),
            get("/empty", "").into(),
            format!("POST /f HTTP/1.1\r\nHost: app.test\r\n{form}Content-Length: {}\r\nConnection: close\r\n\r\n{attack}", attack.len()).into(),
            format!("POST /c HTTP/1.1\r\nHost: app.test\r\n{form}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{attack}\r\n0\r\n\r\n", attack.len()).into(),
            format!("POST /long HTTP/1.1\r\nHost: app.test\r\n{form}Content-Length: {}\r\nConnection: close\r\n\r\n{long}", long.len()).into(),
            format!("POST /m HTTP/1.1\r\nHost: app.test\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{multipart}", multipart.len()).into(),
            [format!("POST /z HTTP/1.1\r\nHost: app.test\r\nContent-Encoding: gzip\r\n{form}Content-Length: {}\r\nConnection: close\r\n\r\n", gzip().len()).into_bytes(), gzip()].concat(),
            "POST /broken HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/json\r\nContent-Length: 5\r\nConnection: close\r\n\r\n{\"a\":".into(),
        ];
        let mut sides = Vec::new();
        for mode in ["off", "detect"] {
            let backend = Backend::start(|r| answers(r.head().split([' ', '?']).nth(1).unwrap())).await;
            let limit = "request_body_bytes_max = 131072\nover_limit = \"partial\"\n";
            let gate = Gate::start(&format!("[inspection]\nmode = \"{mode}\"\n{limit}{}", open_site(backend.address, "")));
            let mut client_side = Vec::new();
            for request in &requests {
                let mut client = connect(gate.plain).await;
                client.send(request).await;
                let answer = client.answer().await.unwrap();
                client_side.push((undated(&answer.head), answer.body));
            }
            let own = backend.address.to_string();
            let backend_side: Vec<_> = backend.requests().into_iter().map(|r| (r.head().replace(&own, "backend"), r.body)).collect();
            assert_eq!(backend_side.len(), requests.len());
            if mode == "detect" {
                let found = gate.record("/f").await;
                assert_eq!((&found["inspection"]["mode"], found["rules"].is_array()), (&"detect".into(), true), "{found:#}");
                assert_eq!(gate.record("/long").await["inspection"]["extent"], "partial");
            }
            sides.push((client_side, backend_side));
        }
        assert_eq!(sides[0].0, sides[1].0, "the clients' side differs");
        assert_eq!(sides[0].1, sides[1].1, "the backend's side differs");
        assert!(sides[0].0[1].1 == gzip() && sides[0].1[9].1 == gzip(), "a compressed body was changed");
    });
}

fn undated(head: &str) -> String {
    head.lines().filter(|l| !l.to_ascii_lowercase().starts_with("date:")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_body_over_the_limit_is_413_or_inspected_in_part_as_the_policy_says() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let body = format!("a={}", "x".repeat(2000));
        let post = |path: &str| {
            let form = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n";
            format!("POST {path} HTTP/1.1\r\nHost: app.test\r\n{form}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        let limited = |over: &str| {
            let inspection = format!("[inspection]\nmode = \"block\"\nrequest_body_bytes_max = 1000\nover_limit = \"{over}\"\n");
            Gate::start(&format!("{inspection}{}", open_site(backend.address, "")))
        };
        let gate = limited("refuse");
        assert_eq!(ask(gate.plain, post("/refuse")).await.status, 413);
        assert_eq!(gate.decision("/refuse").await, ["inspection", "deny", "body_too_large"]);
        assert!(backend.requests().is_empty());
        let gate = limited("partial");
        assert_eq!(ask(gate.plain, post("/partial")).await.status, 200);
        assert_eq!(backend.requests()[0].body, body.as_bytes());
        let record = gate.record("/partial").await;
        assert_eq!((&record["inspection"]["extent"], &record["inspection"]["reason"]), (&"partial".into(), &"body_limit".into()));
    });
}

/// Rules of a site, whose ids say which head they saw.
const WITNESS: &str = "SecRuleEngine On\n\
     SecRule REQUEST_LINE \"@contains /mark\" \"id:10,phase:1,deny\"\n\
     SecRule REQUEST_HEADERS_NAMES \"@streq X-First\" \"id:11,phase:1,pass\"\n\
     SecRule &REQUEST_HEADERS:Host \"@gt 1\" \"id:12,phase:1,pass\"\n\
     SecRule REQUEST_URI_RAW \"@rx \\.\\./\" \"id:13,phase:2,pass\"\n\
     SecRule REQUEST_LINE \"@contains /mark\" \"id:15,phase:5,pass\"\n";

#[test]
fn a_refused_head_is_told_by_rules_in_its_record() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let policy = format!("[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\n{}", open_site(backend.address, ""));
        let gate = Gate::start_with(&policy, &[("own.conf", WITNESS)]);
        let cases: [(&str, &str, u16, &[u64]); 6] = [
            // The wire: a length beside an encoding, two hosts, a bad name (its line is no header).
            ("/mark1", "Host: app.test\r\nX-First: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400, &[10, 11, 15]),
            ("/mark2", "Host: app.test\r\nHost: other\r\n", 400, &[10, 12, 15]),
            ("/mark3", "Host: app.test\r\nX-First : a\r\n", 400, &[10, 15]),
            // No site has that name: the first site's rules report.
            ("/mark4", "Host: nobody.test\r\nX-First: a\r\n", 421, &[10, 11, 15]),
            // The door: the head is whole, so that phase 2 runs as well.
            ("/mark5/../../x", "Host: app.test\r\n", 400, &[10, 13, 15]),
            // The first line alone is no head.
            ("mark6 with blanks", "Host: app.test\r\n", 400, &[]),
        ];
        for (path, headers, status, ids) in cases {
            let answer = ask(gate.plain, format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await;
            assert_eq!(answer.status, status, "{path}");
            let record = gate.record_on(answer.text()).await;
            let named: Vec<u64> = record["rules"].as_array().into_iter().flatten().map(|r| r["id"].as_u64().unwrap()).collect();
            assert_eq!(named, ids, "{path}: {record:#}");
            if !ids.is_empty() {
                assert_eq!((&record["inspection"]["mode"], &record["inspection"]["reason"]), (&"detect".into(), &"refused_head".into()));
                assert_eq!(record["inspection"]["would"]["rule_id"], 10);
                assert_ne!(record["decision"]["layer"], "inspection");
            }
        }
        assert!(backend.requests().is_empty());
    });
}

#[test]
fn own_rules_drop_and_redirect() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let rules = "SecRuleEngine On\nSecRule ARGS:x \"@streq drop\" \"id:1,phase:1,drop\"\n\
                     SecRule ARGS:x \"@streq go\" \"id:2,phase:1,redirect:https://help.test/\"\n\
                     SecRule ARGS:x \"@streq teapot\" \"id:3,phase:1,deny,status:418\"\n";
        let policy = format!("[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\n{}", open_site(backend.address, ""));
        let gate = Gate::start_with(&policy, &[("own.conf", rules)]);
        let mut client = connect(gate.plain).await;
        client.send(get("/drop?x=drop", "")).await;
        assert!(client.answer().await.is_none());
        assert_eq!(gate.decision("/drop").await[2], "rule_dropped");
        let answer = ask(gate.plain, get("/go?x=go", "")).await;
        assert_eq!((answer.status, answer.header("location")), (302, "https://help.test/"));
        assert_eq!(ask(gate.plain, get("/tea?x=teapot", "")).await.status, 418);
        assert!(backend.requests().is_empty());
    });
}
