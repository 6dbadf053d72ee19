//! Promises of inspection: what rules refuse, what detect mode leaves alone, what limits do.

use crate::backend::{Backend, Script, ok, raw};
use crate::gateway::{Gate, ask, connect, get, open_site, run};
use portcullis::limits::RBL_TIMEOUT;
use std::time::Instant;

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

#[test]
fn allow_lets_through_as_far_as_it_says() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let rules = "SecRuleEngine On\n\
            SecRule ARGS:x \"@streq all\" \"id:1,phase:1,allow\"\n\
            SecRule ARGS:x \"@streq phase\" \"id:2,phase:1,allow:phase\"\n\
            SecRule ARGS:x \"@streq request\" \"id:3,phase:1,allow:request\"\n\
            SecRule ARGS:y \"@streq 1\" \"id:11,phase:1,deny\"\n\
            SecRule ARGS:y \"@streq 2\" \"id:12,phase:2,deny\"\n\
            SecRule ARGS:y \"@streq 3\" \"id:13,phase:3,deny\"\n";
        let policy = format!("[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\n{}", open_site(backend.address, ""));
        let gate = Gate::start_with(&policy, &[("own.conf", rules)]);
        for (x, denied_phases) in [("none", [1, 2, 3].as_slice()), ("phase", &[2, 3]), ("request", &[3]), ("all", &[])] {
            for y in 1..=3 {
                let status = ask(gate.plain, get(&format!("/?x={x}&y={y}"), "")).await.status;
                assert_eq!(status, if denied_phases.contains(&y) { 403 } else { 200 }, "allow {x}, phase {y}");
            }
        }
    });
}

#[test]
fn detect_mode_says_what_it_would_have_done() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let rules = "SecRuleEngine On\n\
            SecRule ARGS:x \"@streq deny\" \"id:1,phase:1,deny,status:418\"\n\
            SecRule ARGS:x \"@streq drop\" \"id:2,phase:2,drop\"\n\
            SecRule ARGS:x \"@streq go\" \"id:3,phase:3,redirect:https://help.test/\"\n";
        let policy = format!("[inspection]\nmode = \"detect\"\nrules = [\"own.conf\"]\n{}", open_site(backend.address, ""));
        let gate = Gate::start_with(&policy, &[("own.conf", rules)]);
        for (x, action, status, rule, phase) in [("deny", "deny", 418, 1, 1), ("drop", "drop", 403, 2, 2), ("go", "redirect", 302, 3, 3)] {
            assert_eq!(ask(gate.plain, get(&format!("/{x}?x={x}"), "")).await.status, 200);
            let record = gate.record(&format!("/{x}")).await;
            let wanted = serde_json::json!({ "action": action, "status": status, "rule_id": rule, "phase": phase });
            assert_eq!(record["inspection"]["would"], wanted);
            assert_eq!(record["decision"]["action"], "allow");
        }
        assert_eq!(ask(gate.plain, get("/fine", "")).await.status, 200);
        assert!(gate.record("/fine").await["inspection"].get("would").is_none());
    });
}

#[test]
fn persistent_collections_are_shared_by_all_threads_and_outlive_a_reload() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let rules = "SecRuleEngine On\n\
            SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{remote_addr},setvar:ip.count=+1\"\n\
            SecRule IP:COUNT \"@gt 12\" \"id:2,phase:1,deny,status:429\"\n";
        let policy = format!("[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\n{}", open_site(backend.address, ""));
        let gate = Gate::start_with(&policy, &[("own.conf", rules)]);
        for number in 1..=15 {
            if number == 8 {
                gate.reload(&policy).unwrap();
            }
            // Each on a connection of its own, which the kernel gives to either thread.
            let status = ask(gate.plain, get(&format!("/{number}"), "")).await.status;
            assert_eq!(status, if number > 12 { 429 } else { 200 }, "request {number}");
            gate.record(&format!("/{number}")).await;
        }
    });
}

/// A name server that lists 127.0.0.1 in the zone `listed.test` and, for who has the key, in Project Honey Pot's as a suspicious comment
/// spammer; it has nothing in `empty.test`, and never answers for others.
async fn name_server(asked: std::sync::Arc<std::sync::Mutex<Vec<String>>>) -> std::net::SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let end = 12 + packet[12..length].iter().position(|b| *b == 0).unwrap() + 5;
            let (mut at, mut labels) = (12, Vec::new());
            while packet[at] > 0 {
                let size = usize::from(packet[at]);
                labels.push(String::from_utf8_lossy(&packet[at + 1..at + 1 + size]).into_owned());
                at += size + 1;
            }
            let name = labels.join(".").to_lowercase();
            asked.lock().unwrap().push(name.clone());
            let address: Option<[u8; 4]> = match name.as_str() {
                "1.0.0.127.listed.test" => Some([127, 0, 0, 2]),
                "abcdefghijkl.1.0.0.127.dnsbl.httpbl.org" => Some([127, 9, 40, 5]),
                other if other.ends_with("empty.test") => None,
                _ => continue,
            };
            let listed = address.is_some();
            let mut reply = packet[..end].to_vec();
            reply[2..12].copy_from_slice(&[0x81, if listed { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(listed), 0, 0, 0, 0]);
            if let Some(address) = address {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                reply.extend(address);
            }
            socket.send_to(&reply, from).await.unwrap();
        }
    });
    address
}

#[test]
fn block_lists_are_asked_once_and_without_an_answer_nobody_is_listed() {
    run(async {
        let asked = std::sync::Arc::default();
        let server = name_server(std::sync::Arc::clone(&asked)).await;
        let backend = Backend::start(|_| ok("x")).await;
        for (zone, status, notes) in [("listed.test", 403, false), ("empty.test", 200, false), ("silent.test", 200, true)] {
            let rules = format!("SecRuleEngine On\nSecRule REMOTE_ADDR \"@rbl {zone}\" \"id:1,phase:1,deny\"\n");
            let inspection = format!("[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\nrbl_name_servers = [\"{server}\"]\n");
            let gate = Gate::start_with(&format!("{inspection}{}", open_site(backend.address, "")), &[("own.conf", &rules)]);
            let mut begun = Instant::now();
            for number in 0..3 {
                let path = format!("/{zone}{number}");
                assert_eq!(ask(gate.plain, get(&path, "")).await.status, status, "{zone}");
                if number == 0 {
                    begun = Instant::now();
                }
                let record = gate.record(&path).await;
                let noted = record["notes"].as_array().is_some_and(|notes| notes.contains(&"rbl_unanswered".into()));
                assert_eq!(noted, notes, "{record:#}");
            }
            assert!(begun.elapsed() < RBL_TIMEOUT, "an answer, or its absence, is remembered");
            // A question without an answer is sent more than once.
            let count = asked.lock().unwrap().iter().filter(|name| name.ends_with(zone)).count();
            assert!(count == 1 || notes, "{zone} was asked {count} times");
        }
    });
}

#[test]
fn what_a_block_list_knows_of_an_address_can_be_asked_and_the_key_is_in_no_record() {
    run(async {
        let server = name_server(std::sync::Arc::default()).await;
        let backend = Backend::start(|_| ok("x")).await;
        // As the Core Rule Set 3 has it: the address is written down in phase 1, and settings decide whether the list is asked.
        let rules = "SecRuleEngine On\nSecHttpBlKey abcdefghijkl\n\
            SecAction \"id:1,phase:1,pass,nolog,setvar:'tx.real_ip=%{remote_addr}'\"\n\
            SecRule TX:REAL_IP \"@rbl dnsbl.httpbl.org\" \"id:2,phase:2,capture,pass,log,msg:'%{tx.0}',setvar:'tx.said=%{tx.0}'\"\n\
            SecRule TX:said \"@rx (?i)\\. ([^:]*) spammer[^:]*: (\\d+) days.*score ([4-9]\\d)\" \"id:3,phase:2,deny,status:418,capture,msg:'%{tx.1}, %{tx.2} days, %{tx.3}'\"\n";
        let inspection = format!("[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\nrbl_name_servers = [\"{server}\"]\n");
        let gate = Gate::start_with(&format!("{inspection}{}", open_site(backend.address, "")), &[("own.conf", rules)]);
        assert_eq!(ask(gate.plain, get("/pot", "")).await.status, 418);
        let record = gate.record("/pot").await;
        let said: Vec<&str> = record["rules"].as_array().unwrap().iter().map(|rule| rule["message"].as_str().unwrap()).collect();
        assert_eq!(
            said,
            [
                "RBL lookup of 1.0.0.127.dnsbl.httpbl.org succeeded at TX:real_ip. Suspicious comment spammer IP: 9 days since last activity, threat score 40",
                "Suspicious comment, 9 days, 40"
            ]
        );
        assert!(!record.to_string().contains("abcdefghijkl"));
    });
}

#[test]
fn a_pattern_that_reaches_its_bound_refuses_with_500_or_passes_as_on_error_says() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let rules = "SecRuleEngine On\nSecRule ARGS:q \"@rx ^(a|aa)+\\1!$\" \"id:1,phase:2,deny\"\n";
        let hostile = format!("?q={}", "a".repeat(4_000));
        for (key, status, action) in [("", 500, "deny"), ("on_error = \"closed\"\n", 500, "deny"), ("on_error = \"open\"\n", 200, "allow")]
        {
            let inspection = format!("[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\n{key}");
            let gate = Gate::start_with(&format!("{inspection}{}", open_site(backend.address, "")), &[("own.conf", rules)]);
            let before = backend.requests().len();
            assert_eq!(ask(gate.plain, get(&format!("/bound{hostile}"), "")).await.status, status, "{key}");
            assert_eq!(backend.requests().len() - before, usize::from(status == 200));
            let record = gate.record("/bound").await;
            assert_eq!(record["decision"]["action"], action, "{record:#}");
            assert!(record.to_string().contains("engine_error"), "the record has to say so: {record:#}");
            assert_eq!(ask(gate.plain, get("/judged?q=aaa!", "")).await.status, 403, "within the bound the rule decides");
            assert_eq!(ask(gate.plain, get("/fine?q=b", "")).await.status, 200);
        }
    });
}

/// A MaxMind database that knows 127.0.0.0/8 as a place in Ruritania (the format: MaxMind DB file format specification, 2.0).
fn geo_database() -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(2 << 5 | text.len() as u8);
        out.extend(text.as_bytes());
    };
    let map = |out: &mut Vec<u8>, entries: u8| out.push(7 << 5 | entries);
    let mut file = Vec::new();
    const NODES: u32 = 8;
    for (node, bit) in [0, 1, 1, 1, 1, 1, 1, 1].into_iter().enumerate() {
        let next = if node == 7 { NODES + 16 } else { node as u32 + 1 };
        for side in 0..2 {
            file.extend(&(if side == bit { next } else { NODES }).to_be_bytes()[1..]);
        }
    }
    file.extend([0; 16]);
    map(&mut file, 2);
    text(&mut file, "country");
    map(&mut file, 2);
    text(&mut file, "iso_code");
    text(&mut file, "RU");
    text(&mut file, "names");
    map(&mut file, 1);
    text(&mut file, "en");
    text(&mut file, "Ruritania");
    text(&mut file, "city");
    map(&mut file, 1);
    text(&mut file, "names");
    map(&mut file, 1);
    text(&mut file, "en");
    text(&mut file, "Strelsau");
    file.extend(b"\xab\xcd\xefMaxMind.com");
    map(&mut file, 9);
    text(&mut file, "node_count");
    file.push(6 << 5 | 4);
    file.extend(NODES.to_be_bytes());
    for (key, value) in [("record_size", 24_u16), ("ip_version", 4), ("binary_format_major_version", 2), ("binary_format_minor_version", 0)]
    {
        text(&mut file, key);
        file.push(5 << 5 | 2);
        file.extend(value.to_be_bytes());
    }
    text(&mut file, "database_type");
    text(&mut file, "Test-City");
    text(&mut file, "languages");
    file.extend([1, 4]);
    text(&mut file, "en");
    text(&mut file, "description");
    map(&mut file, 0);
    text(&mut file, "build_epoch");
    file.extend([8, 2]);
    file.extend(1_u64.to_be_bytes());
    file
}

#[test]
fn places_come_from_a_maxmind_file() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("places.mmdb");
        std::fs::write(&path, geo_database()).unwrap();
        let rules = format!(
            "SecRuleEngine On\nSecGeoLookupDb {}\n\
             SecRule REMOTE_ADDR \"@geoLookup\" \"id:1,phase:1,deny,chain,msg:'from %{{geo.city}}, %{{geo.country_name}}'\"\n\
             SecRule GEO:COUNTRY_CODE \"@streq RU\" \"t:none\"\n",
            path.display()
        );
        let policy = format!("[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\n{}", open_site(backend.address, ""));
        let gate = Gate::start_with(&policy, &[("own.conf", &rules)]);
        assert_eq!(ask(gate.plain, get("/place", "")).await.status, 403);
        assert_eq!(gate.record("/place").await["rules"][0]["message"], "from Strelsau, Ruritania");
        // A file that is none is a mistake that names it, and a reload with it changes nothing.
        std::fs::write(&path, "no database").unwrap();
        let error = gate.reload(&policy).expect_err("no database").to_string();
        assert!(error.contains("places.mmdb") && error.contains("is no MaxMind database"), "{error}");
        assert_eq!(ask(gate.plain, get("/still", "")).await.status, 403);
    });
}
