//! Every question has the same answer with an index, without one, and with one that has only a part.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::audit::{Action, AuthOutcome, Decision, Record, Redactor, RuleMatch, Settings, Trail};
use crate::clock::Moment;
use crate::message::{EventId, Peer};
use crate::refusal::Layer;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// 2026-01-01T00:00:00Z in microseconds.
const BEGIN: u64 = 1_767_225_600_000_000;

/// What differs between records: small numbers, so that questions find some.
type Seed = (u8, u8, u8, u8);

fn record(place: usize, (user, path, status, word): Seed) -> Record {
    let moment = Moment { unix_micros: BEGIN + place as u64 * 60_000_000, ..Moment::now() };
    let remote = format!("10.0.{}.{}:1", user % 3, path % 5).parse().unwrap();
    let mut record =
        Record::new(EventId::new(moment, place as u128), moment, Arc::new(Peer::new(remote, "192.0.2.2:443".parse().unwrap(), 1)));
    record.method = if path % 2 == 0 { "GET".into() } else { "POST".into() };
    record.host = ["Mail.example.com", "wiki.example.com"][usize::from(user % 2)].into();
    record.path = format!("/{}/{}", ["owa", "wiki", "a%3Cb"][usize::from(path % 3)], path);
    record.query = (word % 2 == 0).then(|| format!("q={}", ["1=1", "union+select", "größe", "x"][usize::from(word / 2 % 4)]));
    record.site = (user % 5 > 0).then(|| "mail.example.com".into());
    record.auth = AuthOutcome {
        result: "cached",
        user: (user % 4 > 0).then(|| format!("user{}", user % 4)),
        known: user % 3 > 0,
        ..AuthOutcome::default()
    };
    let (status, layer, action, reason) = [
        (200, None, Action::Allow, ""),
        (401, Some(Layer::BasicAuth), Action::Challenge, "credentials_missing"),
        (403, Some(Layer::Inspection), Action::Deny, "rule_denied"),
        (502, Some(Layer::Forwarding), Action::Mask, "backend_unreachable"),
    ][usize::from(status % 4)];
    record.status = Some(status);
    record.decision = Decision { layer, action, reason };
    record.timing.total = (word % 3 > 0).then_some(1 << (word % 20));
    if status == 403 {
        for id in [942_100, 941_100, 942_100].into_iter().take(usize::from(word % 4)) {
            record.rules.push(RuleMatch {
                id,
                variable: format!("ARGS:{}", word % 2),
                matched: b"' or \x1b[2J".to_vec(),
                ..RuleMatch::default()
            });
        }
    }
    record
}

/// A trail in many small files; `between` is called after every part of it.
fn write(folder: &Path, seeds: &[Seed], parts: usize, mut between: impl FnMut()) {
    let clock = Arc::new(AtomicU64::new(BEGIN));
    let own = Arc::clone(&clock);
    let mut settings = Settings::new(folder, Redactor::new([], [], false).unwrap());
    settings.file_bytes_max = 8 * 1024;
    settings.clock = Arc::new(move || own.load(Relaxed));
    let trail = Trail::open(settings).unwrap();
    for (place, seed) in seeds.iter().enumerate() {
        clock.store(BEGIN + place as u64 * 60_000_000, Relaxed);
        trail.write(&record(place, *seed));
        if place % seeds.len().div_ceil(parts) == 0 {
            assert!(trail.flush(std::time::Duration::from_secs(10)));
            between();
        }
    }
    assert!(trail.stop());
}

fn bring_up(folder: &Path, thorough: bool) -> Report {
    let work = &mut Work { threads: 1, memory_bytes: 16_000_000, thorough, progress: &mut |_, _| true };
    update(folder, &beside(folder), work).unwrap()
}

fn snapshot(folder: &Path, indexed: bool) -> Snapshot {
    Library::new(folder, indexed.then(|| beside(folder)).as_deref()).snapshot().unwrap()
}

/// Everything that can be asked, in one text.
fn answers(snapshot: &Snapshot, question: &Question) -> String {
    let newest = snapshot.newest(question, 7, None).unwrap();
    let last = newest.found.last().and_then(|line| Facts::read(line).map(|facts| facts.sequence()));
    let lines: Vec<_> = newest.found.iter().map(|line| String::from_utf8(line.clone()).unwrap()).collect();
    let older = last.map(|last| snapshot.newest(question, 5, Some(last)).unwrap());
    let top = snapshot.top(question, &Field::ALL, 4).unwrap();
    let decisions = snapshot.timeline(question, Field::Decision, 9).unwrap();
    let statuses = snapshot.timeline(question, Field::Status, 3).unwrap();
    let groups = snapshot.groups(question, 3, 5).unwrap();
    format!("{lines:#?}\n{older:?}\n{top:#?}\n{decisions:#?}\n{statuses:#?}\n{groups:#?}")
}

/// A question of the kinds people ask.
fn question() -> impl Strategy<Value = Asked> {
    let some = |words: &'static [&'static str]| prop_oneof![3 => Just(""), 1 => prop::sample::select(words)].prop_map(str::to_owned);
    let field = prop::sample::select(vec![
        (Field::Layer, "inspection"),
        (Field::Action, "Deny"),
        (Field::Rule, "942100"),
        (Field::Target, "ARGS:1"),
        (Field::Reason, "rule_denied"),
        (Field::Method, "post"),
        (Field::Kind, "start"),
        (Field::Template, "/owa/{n}"),
        (Field::Decision, "basic_auth challenge"),
        (Field::Host, "MAIL.example.com"),
    ]);
    (
        some(&["2026-01-01T00:20", "2026-01-02", "3h"]),
        some(&["2026-01-01T01:00", "2025-01-01"]),
        (some(&["user1", "USER2", "#", "nobody"]), some(&["10.0.1.0/24", "10.0.2.3", "::1"])),
        (some(&["mail.EXAMPLE.com", "wiki.example.com"]), some(&["/owa", "/wiki/1", "/a%3Cb", "/zzz"])),
        some(&["4xx", "200", "401-403"]),
        prop::collection::vec(field.prop_map(|(field, value)| (field, value.to_owned())), 0..2),
        some(&["owa", "1=1", "UNION select", "größe", "=", "ikix", "10.0.1", "\u{1b}[2J", "a%3cb user1", "nowhere"]),
    )
        .prop_map(|(since, until, (user, ip), (site, path), status, fields, text)| Asked {
            since,
            until,
            user,
            ip,
            site,
            path,
            status,
            fields,
            text,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_question_has_the_same_answer_with_an_index_and_without(
        seeds in prop::collection::vec(any::<Seed>(), 1..120),
        parts in 1usize..5,
        thorough in any::<bool>(),
        asked in prop::collection::vec(question(), 12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &seeds, parts, || {
            bring_up(folder.path(), thorough);
        });
        let (with, without) = (snapshot(folder.path(), true), snapshot(folder.path(), false));
        prop_assert!(with.is_indexed() && !without.is_indexed());
        for asked in asked {
            let question = asked.question(BEGIN + 7_200_000_000).unwrap();
            prop_assert_eq!(answers(&with, &question), answers(&without, &question), "{:?}", asked);
        }
    }
}

fn seeds(count: u8) -> Vec<Seed> {
    (0..count).map(|n| (n, n.wrapping_mul(7), n.wrapping_mul(3), n.wrapping_mul(5))).collect()
}

/// The answer to everything agrees with the files as they are.
fn agrees(folder: &Path) {
    assert_eq!(answers(&snapshot(folder, true), &Question::all()), answers(&snapshot(folder, false), &Question::all()));
}

#[test]
fn files_that_go_or_become_others_leave_the_index() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &seeds(90), 1, || ());
    let first = bring_up(folder.path(), true);
    assert!(first.files > 3 && first.records > 90, "{first:?}");
    assert_eq!(bring_up(folder.path(), true), Report::default(), "nothing is left to do");
    let files = crate::audit::read::files(folder.path()).unwrap();
    std::fs::remove_file(&files[0]).unwrap();
    agrees(folder.path());
    let text = std::fs::read_to_string(&files[1]).unwrap();
    std::fs::write(&files[1], text.lines().skip(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let second = bring_up(folder.path(), true);
    assert_eq!((second.removed, second.files), (2, 1));
    agrees(folder.path());
    assert_eq!(snapshot(folder.path(), true).unindexed_bytes(), 0);
}

#[test]
fn an_index_that_cannot_be_read_is_done_without_and_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &seeds(40), 1, || ());
    bring_up(folder.path(), true);
    let kept = super::index::folder(&beside(folder.path()));
    for damage in ["", "{", "{\"payload\":5}"] {
        std::fs::write(kept.join("meta.json"), damage).unwrap();
        assert!(!snapshot(folder.path(), true).is_indexed(), "{damage}");
        agrees(folder.path());
        assert!(bring_up(folder.path(), true).records > 40);
        assert!(snapshot(folder.path(), true).is_indexed());
        agrees(folder.path());
    }
    for entry in std::fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|ending| ending == "fast" || ending == "term") {
            std::fs::write(entry, "cut").unwrap();
        }
    }
    assert!(!snapshot(folder.path(), true).is_indexed());
    agrees(folder.path());
    forget(&beside(folder.path())).unwrap();
    assert!(bring_up(folder.path(), true).records > 40);
    agrees(folder.path());
}

#[test]
fn work_that_is_ended_early_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &seeds(200), 1, || ());
    let mut records = 0;
    let mut rounds = 0;
    loop {
        rounds += 1;
        // The first rounds end at the first word they say.
        let work = &mut Work { threads: 1, memory_bytes: 16_000_000, thorough: true, progress: &mut |_, _| rounds > 3 };
        let report = update(folder.path(), &beside(folder.path()), work).unwrap();
        records += report.records;
        agrees(folder.path());
        if !report.interrupted && report.records == 0 {
            break;
        }
    }
    assert!(rounds > 4, "it was ended early {rounds} times");
    assert_eq!(records, 202, "each record is taken in once, with the start's and the stop's");
}
