//! Promises about request bodies: every form is read, every limit has an outcome, what is not inspected flows.

use crate::backend::{Backend, ok};
use crate::gateway::{Answer, Gate, ask, connect, get, open_site, run};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use std::io::Write as _;

/// Refuses `evil` wherever a body holds it, and tells by its ids where it was.
const RULES: &str = "SecRuleEngine On\n\
    SecRule REQUEST_HEADERS:X-Processor \"@streq xml\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
    SecRule REQUEST_HEADERS:X-Force \"@streq yes\" \"id:2,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"\n\
    SecRule REQUEST_HEADERS:X-Limit \"@streq small\" \"id:3,phase:1,pass,nolog,ctl:requestBodyLimit=20\"\n\
    SecRule ARGS_POST \"@contains evil\" \"id:10,phase:2,deny\"\n\
    SecRule XML:/* \"@contains evil\" \"id:11,phase:2,deny\"\n\
    SecRule REQUEST_BODY \"@contains evil\" \"id:12,phase:2,deny\"\n\
    SecRule FILES \"@contains evil\" \"id:13,phase:2,deny\"\n\
    SecRule FILES_TMP_CONTENT \"@contains evil\" \"id:14,phase:2,deny\"\n\
    SecRule FILES_SIZES \"@eq 3000000\" \"id:20,phase:2,pass\"\n\
    SecRule REQBODY_PROCESSOR \"@rx .\" \"id:21,phase:2,pass,msg:'%{REQBODY_PROCESSOR}'\"\n\
    SecRule MULTIPART_UNMATCHED_BOUNDARY \"@gt 0\" \"id:22,phase:2,pass\"\n";

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const MULTIPART: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

fn gate(backend: &Backend, inspection: &str) -> Gate {
    limited(backend, inspection, "")
}

fn limited(backend: &Backend, inspection: &str, limits: &str) -> Gate {
    let limits = format!("[limits]\ndrain_timeout_seconds = 5\n{limits}");
    let policy = format!("[inspection]\nrules = [\"own.conf\"]\n{inspection}\n{limits}\n{}", open_site(backend.address, ""));
    Gate::start_with(&policy, &[("own.conf", RULES)])
}

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: app.test\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.into_bytes(), body.to_vec()].concat()
}

async fn ids(gate: &Gate, path: &str) -> Vec<u64> {
    let record = gate.record(path).await;
    record["rules"].as_array().into_iter().flatten().map(|r| r["id"].as_u64().unwrap()).filter(|id| *id != 21).collect()
}

async fn extent(gate: &Gate, path: &str) -> [String; 2] {
    let record = gate.record(path).await;
    ["extent", "reason"].map(|key| record["inspection"][key].as_str().unwrap_or_default().to_owned())
}

fn part(disposition: &str, content: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

#[test]
fn every_form_of_body_is_read_by_type_and_by_rule() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = gate(&backend, "");
        let fields = format!("{}{}--b--\r\n", part("name=\"a\"", "evil"), part("name=\"f\"; filename=\"x.txt\"", "fine"));
        let named = format!("{}--b--\r\n", part("name=\"f\"; filename=\"evil.php\"", "fine"));
        let inside = format!("{}--b--\r\n", part("name=\"f\"; filename=\"x.php\"", "<?php evil"));
        let json = "Content-Type: application/json\r\n";
        let cases: [(&str, &str, &str, &[u64]); 13] = [
            ("/form", FORM, "a=1&b=%65vil", &[10]),
            ("/field", MULTIPART, &fields, &[10]),
            ("/name", MULTIPART, &named, &[13]),
            ("/inside", MULTIPART, &inside, &[14]),
            ("/json", json, r#"{"a":{"b":["x","\u0065vil"]}}"#, &[10]),
            ("/ld", "Content-Type: application/ld+json; charset=utf-8\r\n", r#"["evil"]"#, &[10]),
            ("/xml", "Content-Type: text/xml\r\n", "<a><b>evil</b></a>", &[11]),
            ("/rule", "Content-Type: application/x-odd\r\nX-Processor: xml\r\n", "<a><b>evil</b></a>", &[11]),
            ("/raw", "Content-Type: text/plain\r\nX-Force: yes\r\n", "so evil", &[12]),
            ("/none", "X-Force: yes\r\n", "so evil", &[12]),
            // An unknown type is read as text where it is text.
            ("/odd", "Content-Type: application/x-odd\r\nX-Force: yes\r\n", "so evil", &[12]),
            ("/binary", "Content-Type: application/x-odd\r\nX-Force: yes\r\n", "\u{0}so evil", &[]),
            ("/image", "Content-Type: image/png\r\nX-Force: yes\r\n", "\u{89}PNG\r\n\u{1a}\nevil", &[]),
        ];
        for (path, headers, body, wanted) in cases {
            let answer = ask(gate.plain, post(path, headers, body.as_bytes())).await;
            assert_eq!(answer.status, if wanted.is_empty() { 200 } else { 403 }, "{path}");
            assert_eq!(ids(&gate, path).await, wanted, "{path}");
            let seen = extent(&gate, path).await;
            let whole = if wanted.is_empty() { ["partial", "content_type"] } else { ["full", ""] };
            assert_eq!(seen, whole, "{path}");
        }
        assert_eq!(backend.requests().len(), 2);
    });
}

#[test]
fn limits_are_the_policys_key_else_the_rules_directive_and_a_rule_may_change_them() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let files = "SecRequestBodyLimit 200\nSecRequestBodyNoFilesLimit 100\n";
        let body = |bytes: usize| format!("a={}evil", "x".repeat(bytes)).into_bytes();
        let (over, partial) = ("SecRequestBodyLimitAction Reject\n", "SecRequestBodyLimitAction ProcessPartial\n");
        // directives, the policy's keys, bytes, status, reason
        let cases = [
            ("", "", 2_000, 403, ""),
            (files, "", 50, 403, ""),
            (files, "", 150, 413, "body_limit"),
            (&format!("{files}{over}"), "", 150, 413, "body_limit"),
            (&format!("{files}{partial}"), "", 150, 200, "body_limit"),
            (&format!("{files}{over}"), "over_limit = \"partial\"\n", 150, 200, "body_limit"),
            (&format!("{files}{partial}"), "over_limit = \"refuse\"\n", 150, 413, "body_limit"),
            (files, "request_body_no_files_bytes_max = 1000\n", 150, 403, ""),
            (files, "request_body_no_files_bytes_max = 1000\n", 220, 413, "body_limit"),
            (files, "request_body_no_files_bytes_max = 1000\nrequest_body_bytes_max = 1000\n", 220, 403, ""),
            ("SecRequestBodyAccess Off\n", "", 50, 200, "body_access_off"),
        ];
        for (directives, keys, bytes, status, reason) in cases {
            let policy = format!("[inspection]\nrules = [\"own.conf\"]\n{keys}\n{}", open_site(backend.address, ""));
            let gate = Gate::start_with(&policy, &[("own.conf", &format!("{directives}{RULES}"))]);
            let answer = ask(gate.plain, post("/", FORM, &body(bytes))).await;
            assert_eq!(answer.status, status, "{directives} {keys} {bytes}");
            assert_eq!(gate.record("/").await["inspection"]["reason"].as_str().unwrap_or_default(), reason, "{directives} {keys} {bytes}");
        }
        let gate = gate(&backend, "");
        assert_eq!(ask(gate.plain, post("/ctl", &format!("{FORM}X-Limit: small\r\n"), &body(50))).await.status, 413);
        assert_eq!(extent(&gate, "/ctl").await, ["partial", "body_limit"]);
    });
}

#[test]
fn what_no_rule_reads_flows_while_it_comes() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = gate(&backend, "request_body_bytes_max = 1000");
        let body: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
        let request = post("/flow", "Content-Type: application/octet-stream\r\n", &body);
        let mut client = connect(gate.plain).await;
        let (first, rest) = request.split_at(2_000_000);
        client.send(first).await;
        // The backend has it before it is whole.
        backend.wait_for_open(1).await;
        client.send(rest).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        assert!(backend.requests()[0].body == body, "the backend got other bytes");
        assert_eq!(extent(&gate, "/flow").await, ["partial", "content_type"]);
    });
}

#[test]
fn files_of_an_upload_flow_past_their_first_bytes_and_fields_decide_before_the_end() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = gate(&backend, "request_body_bytes_max = 1000000");
        let file: String = (0..3_000_000_u32).map(|i| if i % 97 == 0 { '\n' } else { char::from(b'a' + (i % 23) as u8) }).collect();
        let upload = |before: &str, after: &str| {
            let large = part("name=\"f\"; filename=\"film.bin\"", &file);
            format!("{}{large}{}--b--\r\n", part("name=\"a\"", before), part("name=\"z\"", after)).into_bytes()
        };
        let fine = upload("one", "two");
        assert_eq!(ask(gate.plain, post("/fine", MULTIPART, &fine)).await.status, 200);
        assert!(backend.requests()[0].body == fine, "the backend got other bytes");
        assert_eq!(extent(&gate, "/fine").await, ["partial", "file_content"]);
        assert_eq!(ids(&gate, "/fine").await, [20], "rules see the size that the file really has");
        for (path, body) in [("/first", upload("evil", "two")), ("/last", upload("one", "evil"))] {
            assert_eq!(ask(gate.plain, post(path, MULTIPART, &body)).await.status, 403, "{path}");
            assert_eq!(gate.decision(path).await, ["inspection", "deny", "rule_denied"]);
            assert_eq!(ids(&gate, path).await.first(), Some(&10), "{path}");
        }
        // A line that a careless reader would take for a boundary is told although it stands where nothing is kept.
        let odd = format!("{}--b--\r\n", part("name=\"f\"; filename=\"x\"", &format!("{}\r\n--bb\r\n{file}", &file)));
        assert_eq!(ask(gate.plain, post("/odd", MULTIPART, odd.as_bytes())).await.status, 200);
        assert_eq!(ids(&gate, "/odd").await, [22]);
        // Fields have a limit of their own, whatever the files have.
        let long = upload(&"x".repeat(1_100_000), "two");
        assert_eq!(ask(gate.plain, post("/long", MULTIPART, &long)).await.status, 413);
        assert_eq!(backend.requests().len(), 2, "no refused upload reached the backend whole");
    });
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_bodies_are_read_decoded_and_go_on_as_they_came() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(b"a=evil").unwrap();
        let zlib = zlib.finish().unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(&b"a=evil"[..], ruzstd::encoding::CompressionLevel::Uncompressed);
        let twice = gzip(&zlib);
        let fine = gzip(b"a=fine");
        let bomb = gzip(&vec![b'a'; 8 << 20]);
        let large = gzip(&[&b"a="[..], &(0..400_000_u64).flat_map(|i| (i * i).to_string().into_bytes()).collect::<Vec<u8>>()].concat());
        type Case<'a> = (&'a str, &'a str, &'a [u8], [u16; 2], &'a str);
        let cases: [Case<'_>; 10] = [
            // refused by default; passed with over_limit = "partial" and on_error = "open"
            ("/gzip", "gzip", &gzip(b"a=evil"), [403, 403], ""),
            ("/deflate", "deflate", &zlib, [403, 403], ""),
            ("/zstd", "zstd", &zstd, [403, 403], ""),
            ("/twice", "deflate, gzip", &twice, [403, 403], ""),
            ("/fine", "gzip", &fine, [200, 200], ""),
            ("/plain", "identity", b"a=fine", [200, 200], ""),
            ("/broken", "gzip", &fine[..fine.len() - 9], [400, 200], "content_encoding"),
            ("/unknown", "rot13", b"n=ivyr", [400, 200], "content_encoding"),
            ("/bomb", "gzip", &bomb, [413, 200], "content_encoding_ratio"),
            ("/large", "gzip", &large, [413, 200], "body_limit"),
        ];
        for (place, keys) in ["", "over_limit = \"partial\"\non_error = \"open\""].into_iter().enumerate() {
            let gate = gate(&backend, keys);
            for (path, coding, body, status, reason) in &cases {
                let before = backend.requests().len();
                let answer = ask(gate.plain, post(path, &format!("{FORM}Content-Encoding: {coding}\r\n"), body)).await;
                assert_eq!(answer.status, status[place], "{path} {keys}");
                assert_eq!(gate.record(path).await["inspection"]["reason"].as_str().unwrap_or_default(), *reason, "{path}");
                let sent = backend.requests();
                assert_eq!(sent.len() - before, usize::from(answer.status == 200), "{path}");
                if answer.status == 200 {
                    assert!(sent[before].body == *body && sent[before].header("content-encoding") == Some(coding), "{path}: other bytes");
                }
            }
        }
    });
}

/// Sends `body` but for its last byte; the connection, for the rest.
async fn all_but_one(gate: &Gate, path: &str, body: &[u8]) -> (crate::gateway::Client<tokio::net::TcpStream>, Vec<u8>) {
    let request = post(path, FORM, body);
    let mut client = connect(gate.plain).await;
    let (first, last) = request.split_at(request.len() - 1);
    client.send(first).await;
    (client, last.to_vec())
}

#[test]
fn bodies_beyond_the_memory_are_held_on_the_disk_and_beyond_that_refused() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let body = |end: &str| format!("a={}{end}", "x".repeat(700_000)).into_bytes();
        let memory = "inspection_memory_bytes_max = 1048576\n";
        let gate = limited(&backend, "", memory);
        // The first holds the memory; the others go to the disk, and are read when there is room again.
        let (mut first, first_end) = all_but_one(&gate, "/1", &body("")).await;
        let (mut second, second_end) = all_but_one(&gate, "/2", &body("")).await;
        let (mut third, third_end) = all_but_one(&gate, "/3", &body("evil")).await;
        for (client, end) in [(&mut first, first_end), (&mut third, third_end), (&mut second, second_end)] {
            client.send(end).await;
        }
        assert_eq!(first.answer().await.unwrap().status, 200);
        assert_eq!(second.answer().await.unwrap().status, 200);
        assert_eq!(third.answer().await.unwrap().status, 403);
        for path in ["/1", "/2", "/3"] {
            assert_eq!(extent(&gate, path).await, ["full", ""], "{path}");
        }
        assert!(backend.requests().iter().all(|r| r.body == body("")), "the backend got other bytes");
        // Neither memory nor disk.
        for (keys, status) in [("", 503), ("on_error = \"open\"", 200)] {
            let gate = limited(&backend, keys, "inspection_memory_bytes_max = 65536\ninspection_disk_bytes_max = 1000\n");
            let answer: Answer = ask(gate.plain, post("/none", FORM, &body(""))).await;
            assert_eq!(answer.status, status);
            assert_eq!(extent(&gate, "/none").await, ["partial", "memory"]);
        }
        assert!(backend.requests().iter().all(|r| r.body == body("")), "the backend got other bytes");
    });
}

#[test]
fn large_bodies_are_looked_at_beside_the_event_loop_and_no_record_is_lost() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let json = "Content-Type: application/json\r\n";
        let body = format!("[{}\"evil\"]", format!("\"{}\",", "fine words ".repeat(100)).repeat(600));
        for (mode, status) in [("block", 403), ("detect", 200)] {
            let gate = gate(&backend, &format!("mode = \"{mode}\""));
            for number in 0..4 {
                let answer = ask(gate.plain, post(&format!("/{mode}{number}"), json, body.as_bytes())).await;
                assert_eq!(answer.status, status);
            }
            // A stop comes after the records of what is still looked at.
            let (records, drained) = gate.stop();
            assert!(drained);
            assert_eq!(records.len(), 4);
            for record in records {
                let ids: Vec<_> = record["rules"].as_array().unwrap().iter().map(|r| r["id"].as_u64().unwrap()).collect();
                assert_eq!(ids, if mode == "block" { vec![10] } else { vec![10, 21] }, "{record:#}");
                assert_eq!(record["inspection"]["would"].is_object(), mode == "detect");
            }
        }
    });
}

#[test]
fn a_client_that_goes_leaves_a_record_of_what_came() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = gate(&backend, "");
        let (client, _) = all_but_one(&gate, "/gone", b"a=fine").await;
        drop(client);
        let record = gate.record("/gone").await;
        assert_eq!(record["decision"]["reason"], "body_incomplete");
        assert_eq!(record["inspection"]["extent"], "partial");
        assert_eq!(ask(gate.plain, get("/after", "")).await.status, 200);
    });
}
