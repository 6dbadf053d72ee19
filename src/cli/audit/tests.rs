//! What the commands print, over a trail that the real writer wrote.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::audit::{Action, AuthOutcome, Decision, Record, Redactor, RuleMatch, Settings, Trail};
use crate::clock::Moment;
use crate::message::{EventId, Peer};
use crate::refusal::Layer;
use clap::Parser;
use std::sync::Arc;

/// Three requests: carol allowed, a stranger challenged, an attack of 203.0.113.9 denied.
fn trail(records: impl Fn(&mut Record, usize)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(Settings::new(folder.path(), Redactor::new([], [], false).unwrap())).unwrap();
    for place in 0..3 {
        let now = Moment::now();
        let remote = if place == 2 { "203.0.113.9:1" } else { "192.0.2.1:1" }.parse().unwrap();
        let peer = Peer::new(remote, "192.0.2.2:443".parse().unwrap(), 1);
        let mut record = Record::new(EventId::new(now, place as u128), now, Arc::new(peer));
        record.method = "GET".into();
        record.host = "mail.example.com".into();
        record.path = format!("/exchange/{place}");
        let (status, layer, action, reason) = [
            (200, None, Action::Allow, ""),
            (401, Some(Layer::BasicAuth), Action::Challenge, "credentials_missing"),
            (403, Some(Layer::Inspection), Action::Deny, "rule_denied"),
        ][place];
        record.status = Some(status);
        record.decision = Decision { layer, action, reason };
        if place == 0 {
            record.auth = AuthOutcome { result: "proven", user: Some("carol".into()), known: true, ..AuthOutcome::default() };
        }
        if place == 2 {
            record.rules =
                vec![RuleMatch { id: 942_100, matched: b"\x1b[2J' or 1=1".to_vec(), variable: "ARGS:q".into(), ..RuleMatch::default() }];
        }
        records(&mut record, place);
        trail.write(&record);
    }
    drop(trail);
    folder
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    filter: Filter,
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// The statuses of what is listed, and whether anything was.
fn listed(folder: &tempfile::TempDir, line: &str) -> (Vec<u64>, bool) {
    let line = Line::parse_from(std::iter::once("list").chain(line.split_whitespace()));
    let mut out = Vec::new();
    let found = list(folder.path(), &line.filter, line.limit, Format::Json, false, &mut out).ok().unwrap();
    let values = out.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice::<Value>(l).unwrap());
    (values.filter_map(|v| v.pointer("/http/response/status_code").and_then(Value::as_u64)).collect(), found)
}

#[test]
fn filters_find_what_they_say() {
    let folder = trail(|_, _| {});
    for (line, expected) in [
        ("", &[200, 401, 403][..]),
        ("--limit 0", &[200, 401, 403]),
        ("--limit 3", &[401, 403]),
        ("--user carol", &[200]),
        ("--ip 203.0.113.0/24", &[403]),
        ("--ip 192.0.2.1", &[200, 401]),
        ("--site MAIL.example.com --path /exchange/1", &[401]),
        ("--layer inspection", &[403]),
        ("--action challenge", &[401]),
        ("--status 4xx", &[401, 403]),
        ("--status 400-401", &[401]),
        ("--rule 942100", &[403]),
        ("--rule 94210", &[]),
        ("OR 1=1", &[403]),
        ("--since 1h", &[200, 401, 403]),
        ("--until 1h", &[]),
        ("--since 2999-01-01", &[]),
    ] {
        let (statuses, found) = listed(&folder, line);
        assert_eq!(statuses, expected, "{line}");
        assert_eq!(found, line.contains("limit") || !expected.is_empty(), "{line}");
    }
}

#[test]
fn a_wrong_question_is_told_from_an_empty_answer() {
    for line in ["--status abc", "--ip nowhere", "--since yesterday"] {
        let line = Line::parse_from(std::iter::once("list").chain(line.split_whitespace()));
        assert!(line.filter.question().is_err());
    }
}

#[test]
fn the_story_of_an_event_is_told_and_steers_no_terminal() {
    let folder = trail(|record, _| record.path.push_str("\u{1b}]0;x\u{7}\u{202e}"));
    let mut json = Vec::new();
    list(folder.path(), &Filter::default(), 2, Format::Json, false, &mut json).ok().unwrap();
    let denied: Value = serde_json::from_slice(json.split(|b| *b == b'\n').next().unwrap()).unwrap();
    let id = denied["event"]["id"].as_str().unwrap().to_lowercase();
    let mut out = Vec::new();
    assert!(show_event(folder.path(), &id, Format::Human, false, &mut out).ok().unwrap());
    list(folder.path(), &Filter::default(), 0, Format::Human, false, &mut out).ok().unwrap();
    let text = String::from_utf8(out).unwrap();
    for part in ["deny 403", "4 inspection", "rule_denied", "rule 942100", "ARGS:q = \\u001b[2J' or 1=1", "203.0.113.9"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!text.chars().any(|c| c != '\n' && crate::audit::escape::is_unsafe(c)), "{text:?}");
    assert!(!show_event(folder.path(), &"0".repeat(26), Format::Human, false, &mut Vec::new()).ok().unwrap());
}
