//! The promises of the trail: every record valid against the schema, no secret in any field, nothing lost that is not declared.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use super::chain::{Chain, genesis};
use super::control::{self, Control, Counters, Flood, Retired, Start};
use super::json::{self, Scratch};
use super::read::{self, Backward, Follow, Records};
use super::*;
use crate::clock::Moment;
use crate::limits::RECORD_FIELD_BYTES_MAX;
use crate::message::{EventId, Peer, TlsSession};
use crate::refusal::Layer;
use proptest::prelude::*;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
/// 2023-11-14T22:13:20Z.
const NOW: u64 = 1_700_000_000_000_000;

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(include_str!("../../audit/schema.json")).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
});

fn moment(unix_micros: u64) -> Moment {
    Moment { unix_micros, instant: Instant::now() }
}

fn redactor() -> Redactor {
    Redactor::new(["Geheimnis"], ["X-Custom"], false).unwrap()
}

fn peer(remote: &str, local: &str, tls: Option<TlsSession>) -> Arc<Peer> {
    Arc::new(Peer { tls, ..Peer::new(remote.parse().unwrap(), local.parse().unwrap(), 3) })
}

fn tls(server_name: &str) -> TlsSession {
    TlsSession {
        version: "1.3",
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        group: "X25519MLKEM768".into(),
        server_name: Some(server_name.into()),
        protocol: Some("h2"),
    }
}

fn minimal() -> Record {
    Record::new(EventId::new(moment(NOW), 7), moment(NOW), peer("192.0.2.7:50000", "198.51.100.1:443", None))
}

fn full() -> Record {
    let peer = peer("[2001:db8::7]:50000", "[2001:db8::1]:443", Some(tls("mail.example.com")));
    let mut record = Record::new(EventId::new(moment(NOW), 8), moment(NOW), peer);
    record.source = "203.0.113.9".parse().unwrap();
    record.method = "POST".into();
    record.version = "2";
    record.host = "mail.example.com".into();
    record.path = "/exchange/%2e/owa".into();
    record.canonical_path = Some("/exchange/owa".into());
    record.query = Some("id=1'+or+1=1--&page=2".into());
    record.headers = vec![
        ("user-agent".into(), b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".to_vec().into()),
        ("x-forwarded-for".into(), b"203.0.113.9".to_vec().into()),
        ("X-Forwarded-For".into(), b"10.0.0.1".to_vec().into()),
    ];
    record.request_bytes = 120;
    record.site = Some("mail.example.com".into());
    record.map = Some("/exchange".into());
    record.auth = AuthOutcome {
        result: "proven",
        user: Some("carol".into()),
        known: true,
        groups: vec!["employees".into()],
        hash_micros: Some(48_000),
    };
    record.integrated_removed = vec!["www-authenticate: Negotiate".into()];
    record.rate_would_limit = true;
    record.extent = Extent::Partial;
    record.extent_reason = "body_over_limit";
    record.inspection_mode = "block";
    record.score = Some(5);
    record.rules = vec![RuleMatch {
        id: 942_100,
        phase: 2,
        message: "SQL injection".into(),
        tags: vec!["attack-sqli".into()],
        severity: "critical".into(),
        variable: "ARGS:id".into(),
        matched: b"1' or 1=1--".to_vec(),
        data: "Matched Data: s&1 found within ARGS:id: 1' or 1=1--".into(),
        score: 5,
        source: "rules/baseline.conf:12".into(),
    }];
    record.upstream = Some(UpstreamOutcome {
        backend: "exchange".into(),
        address: "10.0.0.5:8080".into(),
        reused: true,
        status: Some(500),
        tries: 1,
        error: Some("closed in the middle of the head".into()),
    });
    record.status = Some(403);
    record.response_bytes = 812;
    record.ended = Ended::Complete;
    record.decision = Decision { layer: Some(Layer::Inspection), action: Action::Deny, reason: "rule_denied" };
    record.timing = Timing {
        door: Some(4),
        basic_auth: Some(48_010),
        ntlm_block: Some(1),
        rate_limit: Some(2),
        inspection: Some(230),
        forwarding: Some(4100),
        head: Some(52_400),
        total: Some(53_000),
    };
    record.notes = vec!["canonical_spelling_rewritten"];
    record
}

fn line(record: &Record) -> String {
    line_by(record, &redactor())
}

fn line_by(record: &Record, redactor: &Redactor) -> String {
    let mut frame = Vec::new();
    json::record(record, redactor, &mut Scratch::default(), &mut frame);
    completed(&frame)
}

fn completed(frame: &[u8]) -> String {
    let mut out = Vec::new();
    json::numbered(frame, 41, &mut out);
    Chain { head: genesis() }.seal(0, None, &mut out);
    String::from_utf8(out).unwrap()
}

fn control_line(control: &Control) -> String {
    let mut frame = Vec::new();
    control::control(control, NOW, &mut frame);
    completed(&frame)
}

/// The record as JSON, after the schema has accepted it.
fn valid(line: &str) -> Value {
    assert_eq!(line.matches('\n').count(), 1, "one line: {line}");
    let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    if let Some(error) = SCHEMA.iter_errors(&value).next() {
        panic!("{error} at {}: {line}", error.instance_path());
    }
    value
}

#[test]
fn the_schema_describes_every_kind_of_record_and_the_example_shows_them() {
    let mut tunnel = full();
    tunnel.kind = Kind::TunnelEnd;
    let mut connection = minimal();
    connection.kind = Kind::Connection;
    let counters = Counters { opened: 9, written: 4, dropped: 3, merged: 2 };
    let torn = || "portcullis-20231114-221320-0000.jsonl".to_owned();
    let lines = [
        control_line(&Control::Start(Start { previous: "torn", torn_bytes: 17, file: Some(torn()) })),
        control_line(&Control::GapMax { count_max: Some(8), from: NOW, to: NOW + 5, reason: "killed" }),
        line(&minimal()),
        line(&full()),
        line(&tunnel),
        line(&connection),
        control_line(&Control::Gap { count: 3, from: NOW, to: NOW + 5, reason: "queue_full" }),
        control_line(&Control::Flood(flood())),
        control_line(&Control::Account(AccountDecision {
            request: "01HF7YAT000000000000000007".into(),
            answer: "approved",
            decided: crate::clock::rfc3339(NOW),
            by: "root".into(),
            site: "mail.example.com".into(),
            user: "carol".into(),
            groups: vec!["employees".into()],
        })),
        control_line(&Control::Checkpoint(counters)),
        control_line(&Control::Retired(Retired { file: torn(), first_sequence: 1, last_sequence: 9, last_hash: chain::GENESIS.into() })),
        control_line(&Control::Resume { file: torn(), torn_bytes: 17 }),
        control_line(&Control::Stop(counters)),
    ];
    let mut chained = Chain { head: genesis() };
    let mut example = String::new();
    for (place, line) in lines.iter().enumerate() {
        valid(line);
        let open = line.replacen("\"sequence\":41", &format!("\"sequence\":{}", place + 1), 1);
        let mut out = open.as_bytes()[..open.find(",\"chain\":").unwrap()].to_vec();
        chained.seal(0, None, &mut out);
        example.push_str(std::str::from_utf8(&out).unwrap());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("audit/example.jsonl");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &example).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), example, "UPDATE=1 writes the example anew");
}

fn flood() -> Flood {
    let mut floods = flood::Floods::new(1);
    let mut record = minimal();
    record.decision = Decision { layer: Some(Layer::BasicAuth), action: Action::Challenge, reason: "credentials_missing" };
    record.method = "GET".into();
    record.host = "mail.example.com".into();
    record.path = "/exchange".into();
    for _ in 0..12 {
        floods.merge(&record, &redactor(), Instant::now());
    }
    floods.take().remove(0)
}

#[test]
fn the_schema_says_no_to_a_field_it_does_not_know() {
    let mut value = valid(&line(&full()));
    value["surprise"] = Value::Bool(true);
    assert!(!SCHEMA.is_valid(&value));
    let mut value = valid(&line(&full()));
    value["http"]["request"]["surprise"] = Value::Bool(true);
    assert!(!SCHEMA.is_valid(&value));
    let mut value = valid(&line(&full()));
    value["event"]["kind"] = "gap".into();
    assert!(!SCHEMA.is_valid(&value));
}

#[test]
fn every_field_of_the_schema_is_described() {
    fn walk(value: &Value, path: &str) {
        for (name, inner) in value["properties"].as_object().into_iter().flatten() {
            assert!(inner["description"].as_str().is_some_and(|d| d.len() > 4), "{path}.{name} has no description");
            walk(inner, &format!("{path}.{name}"));
            walk(&inner["items"], &format!("{path}.{name}[]"));
        }
    }
    walk(&serde_json::from_str(include_str!("../../audit/schema.json")).unwrap(), "");
}

#[test]
fn a_record_says_what_conventions_promise() {
    let value = valid(&line(&full()));
    for (pointer, expected) in [
        ("/@timestamp", "\"2023-11-14T22:13:20.000000Z\""),
        ("/event/sequence", "41"),
        ("/source/ip", "\"203.0.113.9\""),
        ("/source/peer_ip", "\"2001:db8::7\""),
        ("/user/name", "\"carol\""),
        ("/http/request/headers/x-forwarded-for", "[\"203.0.113.9\",\"10.0.0.1\"]"),
        ("/http/response/status_code", "403"),
        ("/http/response/upstream_status_code", "500"),
        ("/url/canonical_path", "\"/exchange/owa\""),
        ("/url/query", "\"id=1'+or+1=1--&page=2\""),
        ("/decision/layer", "\"inspection\""),
        ("/rules/0/matched", "\"1' or 1=1--\""),
        ("/timing/hash_us", "48000"),
        ("/integrated_auth_removed/0", "\"www-authenticate: Negotiate\""),
        ("/chain/previous", "\"0000000000000000000000000000000000000000000000000000000000000000\""),
        ("/schema_version", "1"),
    ] {
        assert_eq!(value.pointer(pointer).map(Value::to_string).as_deref(), Some(expected), "{pointer}");
    }
}

#[test]
fn a_long_field_is_cut_at_a_character_and_the_record_says_so() {
    let mut record = full();
    record.path = format!("/{}", "ü".repeat(RECORD_FIELD_BYTES_MAX));
    let value = valid(&line(&record));
    let path = value["url"]["path"].as_str().unwrap();
    assert!(path.len() <= RECORD_FIELD_BYTES_MAX && path.ends_with('ü'), "{}", path.len());
    assert_eq!(value["truncated"].to_string(), "[\"url.path\"]");
}

#[test]
fn a_secret_that_straddles_the_cut_is_not_shown_in_part() {
    for lead in RECORD_FIELD_BYTES_MAX - 40..RECORD_FIELD_BYTES_MAX + 4 {
        let mut record = minimal();
        record.rules = vec![RuleMatch { matched: [vec![b'x'; lead], b" 4111-1111-1111-1111 ".to_vec()].concat(), ..RuleMatch::default() }];
        assert!(!line(&record).contains("411"), "{lead}");
    }
}

#[test]
fn unknown_user_names_are_hashed_unless_a_dangerous_key_asks_for_them() {
    let mut record = full();
    record.auth = AuthOutcome { result: "unknown_user", user: Some("S3cretTypo".into()), ..AuthOutcome::default() };
    record.rules[0].data = "user s3crettypo".into();
    let (one, again) = (redactor(), redactor());
    let text = line_by(&record, &one);
    assert!(!text.to_lowercase().contains("s3crettypo"), "{text}");
    let hash = |text: &str| valid(text)["user"]["hash"].as_str().unwrap().to_owned();
    assert_eq!(hash(&text), hash(&line_by(&record, &one)), "equal names are equal within a run");
    assert_ne!(hash(&text), hash(&line_by(&record, &again)), "the key is random");
    let plain = Redactor::new([], [], true).unwrap();
    assert_eq!(valid(&line_by(&record, &plain))["user"]["name"], "S3cretTypo");
}

const SECRET: &str = "Zx9Hunter2Qw";

/// The ways in which a secret, here `§`, can stand in a text.
const WAYS: &[&str] = &[
    "password=§",
    "a=1&password=§&b=2",
    "a=1;password=§;b",
    "PassWord=§",
    "user[password]=§",
    "new-password=§",
    "x?token=§#f",
    "?access_token=§",
    "passw%6Frd=§",
    "p%61ssword%3D§",
    "next=%2Flogin%3Fpassword%3D§",
    "next=%252Flogin%253Fapi_key%253D§",
    "{\"password\":\"§\"}",
    "{\"password\" : \"§\"",
    "{\\\"client_secret\\\":\\\"§\\\"}",
    "ARGS:password: §",
    "found within ARGS:pwd: a b c §",
    "<password>§</password>",
    "<wsse:Password Type=\"text\">§</wsse:Password>",
    "name=\"password\"\r\n\r\n§",
    "{\"name\":\"password\",\"value\":\"§\"}",
    "https://carol:§@mail.example.com/",
    "https://carol:a@b:§@mail.example.com/",
    "Authorization: Bearer §",
    "authorization: basic §",
    "Basic §",
    "bearer §",
    "NTLM §",
    "Negotiate §",
    "Digest username=\"x\", response=\"§\"",
    "eyJhbGciOiJIUzI1NiJ9.§.sig",
    ";jsessionid=§",
    "Cookie: sid=§; theme=dark",
    "geheimnis=§",
    "secret_key=§",
    "password=a b §",
    "samlResponse=§",
    "x&code=§",
];

fn planted() -> impl Iterator<Item = String> {
    WAYS.iter().map(|way| way.replace('§', SECRET))
}

/// Puts `text` into every field that a stranger has a say in, each alone.
fn with_text(text: &str) -> Vec<(&'static str, Record)> {
    let mut out = Vec::new();
    let mut put = |name, fill: &dyn Fn(&mut Record)| {
        let mut record = full();
        fill(&mut record);
        out.push((name, record));
    };
    put("method", &|r| r.method = text.to_owned().into());
    put("host", &|r| r.host = text.into());
    put("path", &|r| r.path = text.into());
    put("canonical_path", &|r| r.canonical_path = Some(text.into()));
    put("query", &|r| r.query = Some(text.into()));
    put("user-agent", &|r| r.headers[0].1 = text.as_bytes().to_vec().into());
    put("referer", &|r| r.headers[0] = ("referer".into(), text.as_bytes().to_vec().into()));
    put("integrated", &|r| r.integrated_removed = vec![text.into()]);
    put("message", &|r| r.rules[0].message = text.into());
    put("tag", &|r| r.rules[0].tags = vec![text.into()]);
    put("severity", &|r| r.rules[0].severity = text.into());
    put("variable", &|r| r.rules[0].variable = text.into());
    put("matched", &|r| r.rules[0].matched = text.into());
    put("data", &|r| r.rules[0].data = text.into());
    put("upstream.error", &|r| r.upstream.as_mut().unwrap().error = Some(text.into()));
    put("user", &|r| r.auth.user = Some(text.into()));
    put("server_name", &|r| r.peer = peer("[2001:db8::7]:50000", "[2001:db8::1]:443", Some(tls(text))));
    out
}

#[test]
fn a_secret_never_comes_out_whatever_field_it_stands_in() {
    for way in planted() {
        for (field, record) in with_text(&way) {
            let text = line(&record);
            valid(&text);
            assert!(!text.to_lowercase().contains(&SECRET.to_lowercase()), "{way:?} in {field}: {text}");
        }
    }
}

#[test]
fn what_a_rule_saw_of_a_secret_is_not_in_its_texts() {
    for variable in
        ["ARGS:password", "ARGS_POST:user.pwd", "REQUEST_COOKIES:theme", "REQUEST_HEADERS:Authorization", "REQUEST_HEADERS:X-Custom"]
    {
        let mut record = full();
        let other =
            RuleMatch { variable: "TX:1".into(), matched: b"Hunter2".to_vec(), data: format!("captured {SECRET}"), ..RuleMatch::default() };
        record.rules[0].variable = variable.into();
        record.rules[0].matched = SECRET.into();
        record.rules[0].data = format!("Matched Data: {SECRET}");
        record.rules[0].message = format!("Odd value {SECRET}!");
        record.rules.push(other);
        let text = line(&record);
        assert!(!text.contains("Hunter2"), "{variable}: {text}");
    }
    // The names of parameters are no secrets.
    let mut record = full();
    record.rules[0].variable = "ARGS_NAMES:password".into();
    record.rules[0].matched = b"password".to_vec();
    assert_eq!(valid(&line(&record))["rules"][0]["matched"], "password");
}

#[test]
fn values_of_secret_headers_are_not_written() {
    for name in ["Authorization", "proxy-authorization", "cookie", "set-cookie", "x-custom", "X-CSRF-Token", "x-api-key"] {
        let mut record = full();
        record.headers[0] = (name.into(), SECRET.into());
        record.rules[0].matched = SECRET.into();
        assert!(!line(&record).contains(SECRET), "{name}");
    }
}

#[test]
fn a_stranger_cannot_blank_out_his_own_tracks() {
    let mut record = full();
    record.query = Some("password=/exchange/%2e/owa&token=/exchange/owa".into());
    let value = valid(&line(&record));
    assert_eq!(value["url"]["path"], "/exchange/%2e/owa");
    assert_eq!(value["url"]["canonical_path"], "/exchange/owa");
}

#[test]
fn ordinary_text_stays_as_it_is() {
    for text in [
        "/a/b?c",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36",
        "text/html;q=0.9, */*",
        "10:30",
        "a=1&b=2&page=3",
        "100%",
    ] {
        for (field, record) in with_text(text).into_iter().filter(|(field, _)| *field != "integrated") {
            assert!(!line(&record).contains(REDACTED), "{text} in {field}: {}", line(&record));
        }
    }
}

/// Sixteen digits with a right check digit, in a card's grouping.
fn card() -> impl Strategy<Value = String> {
    (1..10u8, proptest::collection::vec(0..10u8, 14), proptest::sample::select(vec!["", " ", "-", "%20", "+"])).prop_map(
        |(first, rest, separator)| {
            let mut digits = vec![first];
            digits.extend(rest);
            let sum: u32 = digits
                .iter()
                .rev()
                .enumerate()
                .map(|(i, d)| if i % 2 == 0 { u32::from(d * 2 / 10 + d * 2 % 10) } else { u32::from(*d) })
                .sum();
            digits.push(((10 - sum % 10) % 10) as u8);
            digits.chunks(4).map(|chunk| chunk.iter().map(u8::to_string).collect::<String>()).collect::<Vec<_>>().join(separator)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn card_numbers_never_come_out(card in card(), before in "[a-z =:/&?]{0,12}", after in "([a-z &][ -~]{0,12})?") {
        for (field, record) in with_text(&format!("{before}{card}{after}")) {
            let text = line(&record);
            prop_assert!(!text.contains(&card), "{} in {}: {}", card, field, text);
        }
    }

    #[test]
    fn any_bytes_in_any_field_make_a_valid_record(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        text in any::<String>(),
        number in any::<u64>(),
        signed in any::<i64>(),
        status in proptest::option::of(100u16..1000),
    ) {
        let mut record = full();
        record.method = text.clone().into();
        record.host.clone_from(&text);
        record.path = escape::visible(&bytes);
        record.query = Some(text.clone());
        let value = bytes::Bytes::from(bytes.clone());
        record.headers = vec![(text.clone().into(), value.clone()), (escape::visible(&bytes).into(), value.clone()), ("user-agent".into(), value)];
        record.integrated_removed = vec![text.clone()];
        record.rules[0].matched.clone_from(&bytes);
        record.rules[0].data.clone_from(&text);
        record.rules[0].variable.clone_from(&text);
        record.rules[0].tags = vec![text.clone(); 3];
        record.rules[0].score = signed;
        record.score = Some(signed);
        record.auth.user = Some(text.clone());
        record.status = status;
        record.request_bytes = number;
        record.timing.total = Some(number);
        record.received.unix_micros = number;
        valid(&line(&record));
        record.auth.known = false;
        valid(&line(&record));
    }
}

#[test]
fn hostile_texts_take_linear_time() {
    for unit in ["@", ">", "=", "%", "eyJ", "a:", "<a>", "password", " basic", "4111 ", "%25", "\"=", "//a@", "name=", "1-"] {
        let mut record = full();
        for rule in 0..64 {
            record.rules.resize_with(rule + 1, RuleMatch::default);
            record.rules[rule].matched = unit.repeat(8192).into();
            record.rules[rule].data = unit.repeat(8192);
        }
        let started = Instant::now();
        line(&record);
        // Far above what linear work takes here on a loaded machine, far below what quadratic work would.
        assert!(started.elapsed() < Duration::from_secs(30), "{unit}: {:?}", started.elapsed());
    }
}

mod cursors;
mod faults;
mod redaction;
mod trust;
mod writer;

// ---- the writer ----

struct Bench {
    folder: tempfile::TempDir,
    clock: Arc<AtomicU64>,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: Arc::new(AtomicU64::new(NOW)) }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn settings(&self) -> Settings {
        let clock = Arc::clone(&self.clock);
        Settings {
            clock: Arc::new(move || clock.load(SeqCst)),
            stop_timeout: Duration::from_millis(300),
            ..Settings::new(self.directory(), redactor())
        }
    }

    fn open(&self) -> Trail {
        Trail::open(self.settings()).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        read::files(&self.directory()).unwrap()
    }

    /// All whole lines, valid, their numbers without a hole from 1; torn ones are left out.
    fn values(&self) -> Vec<Value> {
        let lines: Vec<_> = Records::open(&self.directory()).unwrap().map(|line| line.unwrap()).filter(|line| !line.torn).collect();
        let values: Vec<Value> = lines.iter().map(|line| valid(&format!("{}\n", std::str::from_utf8(&line.bytes).unwrap()))).collect();
        let mut backward: Vec<_> = Backward::open(&self.directory()).unwrap().map(|line| line.unwrap()).filter(|line| !line.torn).collect();
        backward.reverse();
        assert!(lines == backward, "backwards is forwards, reversed");
        for (place, value) in values.iter().enumerate() {
            assert_eq!(value["event"]["sequence"].as_u64(), Some(place as u64 + 1), "a hole in the numbers");
        }
        values
    }

    fn kinds(&self) -> Vec<String> {
        self.values().iter().map(|value| value["event"]["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// Requests recorded, and requests declared lost.
    fn account(&self) -> (u64, u64) {
        let values = self.values();
        let records = values.iter().filter(|value| value["event"]["kind"] == "request").count() as u64;
        (records, values.iter().filter_map(|value| value["gap"]["count"].as_u64()).sum())
    }
}

#[test]
fn a_record_is_made_quickly() {
    // An honest bound needs an optimised build; this one only notices an accident.
    let (redactor, mut scratch, mut out) = (redactor(), Scratch::default(), Vec::new());
    let record = full();
    let started = Instant::now();
    for _ in 0..1000 {
        out.clear();
        json::record(&record, &redactor, &mut scratch, &mut out);
    }
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?} for 1000 records of {} bytes", started.elapsed(), out.len());
}
