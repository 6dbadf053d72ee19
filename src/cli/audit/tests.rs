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

/// What a command prints, and whether it found anything.
fn printed(folder: &tempfile::TempDir, format: Format, act: impl FnOnce(&Folders, &mut Printer) -> Result<bool, End>) -> (String, bool) {
    let folders = Folders { directory: folder.path().to_owned(), index: folder.path().join("index"), spill: None };
    let mut out = Vec::new();
    let found = act(&folders, &mut Printer { format, colour: false, out: &mut out }).ok().unwrap();
    (String::from_utf8(out).unwrap(), found)
}

fn question(line: &str) -> (Question, usize) {
    let line = Line::parse_from(std::iter::once("list").chain(line.split_whitespace()));
    (line.filter.question().unwrap(), line.limit)
}

/// The statuses of what is listed, and whether anything was.
fn listed(folder: &tempfile::TempDir, line: &str) -> (Vec<u64>, bool) {
    let (question, limit) = question(line);
    let (out, found) = printed(folder, Format::Json, |folders, to| list(folders, &question, limit, to));
    let values = out.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    (values.filter_map(|v| v.pointer("/http/response/status_code").and_then(Value::as_u64)).collect(), found)
}

fn build_index(folder: &tempfile::TempDir) {
    assert!(printed(folder, Format::Human, |folders, to| index::run(folders, false, to)).1);
}

#[test]
fn filters_find_what_they_say_with_and_without_an_index() {
    let folder = trail(|_, _| {});
    for indexed in [false, true] {
        if indexed {
            build_index(&folder);
        }
        for (line, expected) in [
            ("", &[200, 401, 403][..]),
            ("--limit 0", &[200, 401, 403]),
            ("--limit 3", &[401, 403]),
            ("--user carol", &[200]),
            ("--user CAROL", &[200]),
            ("--ip 203.0.113.0/24", &[403]),
            ("--ip 192.0.2.1", &[200, 401]),
            ("--site MAIL.example.com --path /exchange/1", &[401]),
            ("--path /exchange", &[200, 401, 403]),
            ("--path /exchange/12", &[]),
            ("--layer inspection", &[403]),
            ("--action challenge", &[401]),
            ("--reason rule_denied", &[403]),
            ("--method get --kind request", &[200, 401, 403]),
            ("--target ARGS:q", &[403]),
            ("--status 4xx", &[401, 403]),
            ("--status 400-401", &[401]),
            ("--rule 942100", &[403]),
            ("--rule 94210", &[]),
            ("OR 1=1", &[403]),
            ("xchang", &[200, 401, 403]),
            ("mail.example", &[200, 401, 403]),
            ("mail-example", &[]),
            ("1=2", &[]),
            ("--since 1h", &[200, 401, 403]),
            ("--until 1h", &[]),
            ("--since 2999-01-01", &[]),
        ] {
            let (statuses, found) = listed(&folder, line);
            assert_eq!(statuses, expected, "{line} indexed: {indexed}");
            assert_eq!(found, line.contains("limit") || !expected.is_empty(), "{line}");
        }
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
fn counts_and_groups_say_the_same_with_and_without_an_index() {
    let folder = trail(|record, place| record.host = format!("h{place}.example.com"));
    let mut answers = Vec::new();
    for indexed in [false, true] {
        if indexed {
            build_index(&folder);
        }
        let all = question("").0;
        let requests = question("--kind request").0;
        answers.push([
            printed(&folder, Format::Human, |folders, to| count::top(folders, &all, "action", 20, to)),
            printed(&folder, Format::Json, |folders, to| count::top(folders, &all, "host", 2, to)),
            printed(&folder, Format::Human, |folders, to| count::stats(folders, &requests, to)),
            printed(&folder, Format::Json, |folders, to| count::groups(folders, &all, 20, to)),
            printed(&folder, Format::Human, |folders, to| count::groups(folders, &all, 1, to)),
        ]);
    }
    assert_eq!(answers[0], answers[1]);
    let [actions, hosts, stats, groups, few] = &answers[0];
    assert_eq!(actions.0.lines().filter(|l| l.contains("20.0 %")).count(), 3, "{}", actions.0);
    assert_eq!(
        hosts.0.lines().collect::<Vec<_>>(),
        ["{\"host\":\"h0.example.com\",\"records\":1}", "{\"host\":\"h1.example.com\",\"records\":1}"]
    );
    for part in ["3 records from 20", "inspection deny", "basic_auth challenge", "33.3 %", "403", "█"] {
        assert!(stats.0.contains(part), "{part} is missing:\n{}", stats.0);
    }
    let groups: Vec<Value> = groups.0.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(groups.len(), 2);
    let denied = groups.iter().find(|g| g["rules"] == "942100").unwrap();
    assert_eq!((&denied["target"], &denied["template"], &denied["records"]), (&"ARGS:q".into(), &"/exchange/{n}".into(), &1.into()));
    assert!(few.0.contains("and 1 more groups"), "{}", few.0);
    let id = denied["group"].as_str().unwrap();
    assert_eq!(listed(&folder, &format!("--group {id}")).0, [403]);
}

#[test]
fn the_story_of_an_event_is_told_and_steers_no_terminal() {
    let folder = trail(|record, _| record.path.push_str("\u{1b}]0;x\u{7}\u{202e}"));
    let (out, _) = printed(&folder, Format::Json, |folders, to| list(folders, &question("").0, 2, to));
    let denied: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    let id = denied["event"]["id"].as_str().unwrap().to_lowercase();
    for indexed in [false, true] {
        if indexed {
            build_index(&folder);
        }
        let (mut text, found) = printed(&folder, Format::Human, |folders, to| show_event(folders, &id, to));
        assert!(found);
        let all = question("").0;
        text += &printed(&folder, Format::Human, |folders, to| list(folders, &all, 0, to)).0;
        text += &printed(&folder, Format::Human, |folders, to| count::top(folders, &all, "path", 9, to)).0;
        text += &printed(&folder, Format::Human, |folders, to| count::groups(folders, &all, 9, to)).0;
        for part in ["deny 403", "4 inspection", "rule_denied", "rule 942100", "ARGS:q = \\u001b[2J' or 1=1", "203.0.113.9"] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        assert!(!text.chars().any(|c| c != '\n' && crate::audit::escape::is_unsafe(c)), "{text:?}");
        assert!(!printed(&folder, Format::Human, |folders, to| show_event(folders, &"0".repeat(26), to)).1);
    }
}
