//! Our verdicts beside those of a real Apache with ModSecurity 2 on the same rules and the same requests, one by one.
//!
//! What differs stands in `tests/crs/*.differences`, each request with its reason; anything else that differs fails.

use crate::conformance::{crs, deep};
use crate::modsecurity::{ModSecurity, Verdict, own};
use crate::program::portcullis;
use crate::tools::tool;
use portcullis::rehearse::ftw::{self, Input, Output, Overrides, Stage, Test};
use portcullis::rehearse::{Outcome, Place, Scene, Settings, Setup, backend, run};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rules whose message carries an anomaly score.
const SCORES: [u64; 5] = [949_110, 959_100, 980_130, 980_140, 980_170];

/// All requests of the tests below a folder, each a test of one stage, with their names: `942100-1`, and `934120-43/2` where a test has more.
fn requests(folder: &Path) -> Vec<(String, Test)> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                files.push(path);
            }
        }
    }
    files.sort();
    let tests = files.iter().flat_map(|path| ftw::read(path).unwrap_or_else(|e| panic!("{e}")).tests);
    let stages = |test: Test| {
        let only = test.stages.len() == 1;
        let name = move |test: &Test, number: usize| if only { test.name() } else { format!("{}/{number}", test.name()) };
        let stages: Vec<_> =
            (1..).zip(&test.stages).map(|(n, s)| (name(&test, n), Test { stages: vec![s.clone()], ..test.clone() })).collect();
        stages
    };
    tests.flat_map(stages).collect()
}

/// What loads without a mistake in Apache is not found fault with, but for patterns that run with a bound.
fn bounded_patterns_alone_are_warned_of(inspection: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), policy(inspection, 80)).unwrap();
    let checked = portcullis(folder.path(), &["check", "-c", "gateway.toml"], "");
    let warnings: Vec<&str> = checked.stderr.lines().filter(|line| line.contains(": warning: ")).collect();
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(warnings.iter().all(|line| line.ends_with("so it runs with a step limit")), "{warnings:#?}");
    println!("{} patterns of Debian's rules run with a bound", warnings.len());
}

/// A policy with this `[inspection]` in block mode.
fn policy(inspection: &str, port: u16) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntls = false\n[audit]\ndirectory = \"audit\"\n[inspection]\nmode = \"block\"\n{inspection}\n\
         [[backend]]\nname = \"scripted\"\nmembers = [\"http://127.0.0.1:1\"]\n[[site]]\nnames = [\"*\"]\nrequire = [\"all granted\"]\n\
         https = \"either\"\n[[site.map]]\npath = \"/\"\nto = \"scripted/\"\n"
    )
}

/// What our gateway makes of them, with this `[inspection]` in block mode.
fn ours(inspection: &str, tests: &[(String, Test)]) -> Vec<Verdict> {
    let tests: Vec<Test> = tests.iter().map(|(_, test)| test.clone()).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    fs::write(&path, policy(inspection, 0)).unwrap();
    let scene = Scene::new(&Setup::Policy { path, user: None }, backend::start().unwrap()).unwrap_or_else(|e| panic!("{e:?}"));
    let settings = Settings { answer_timeout: Duration::from_secs(8), ..Settings::default() };
    let outcomes = run(&tests, &Overrides::default(), Place::Inside(&scene), &settings, &mut |_| {}).unwrap_or_else(|e| panic!("{e}"));
    outcomes.iter().map(verdict).collect()
}

fn verdict(outcome: &Outcome) -> Verdict {
    let stage = &outcome.stages[0];
    let rules: Vec<_> = stage.events.iter().flat_map(|e| &e.rules).collect();
    Verdict {
        status: stage.answer.as_ref().ok().copied(),
        denied: stage.events.iter().any(|e| e.reason.starts_with("rule_")),
        ids: rules.iter().map(|r| r.id).collect(),
        messages: rules.iter().map(|r| (r.id, r.message.clone())).collect(),
        logged: !stage.events.is_empty(),
    }
}

/// What of a verdict has to be the same: refused by rules and with which status, and every anomaly score that is reported.
fn decision(verdict: &Verdict) -> String {
    let status = if verdict.denied { verdict.status.map_or("no answer".to_owned(), |s| s.to_string()) } else { "-".to_owned() };
    let scores: BTreeSet<&(u64, String)> = verdict.messages.iter().filter(|(id, _)| SCORES.contains(id)).collect();
    scores.iter().fold(format!("denied {status}"), |mut text, (id, message)| {
        let _ = write!(text, "; {id} {message}");
        text
    })
}

/// Whether both decide the same. What Apache refuses by itself its rules never see: we have to refuse it as well, with our rules
/// only reporting.
fn same(ours: &Verdict, theirs: &Verdict) -> bool {
    let refused = |v: &Verdict| v.status.is_none_or(|s| s >= 400);
    match (ours.denied, theirs.denied) {
        _ if !theirs.logged => !ours.denied && refused(ours) == refused(theirs),
        // Our front end came first: the score that the rules report must be the one that Apache refused for.
        (false, true) if refused(ours) => report(ours).is_some() && report(ours) == report(theirs),
        _ => decision(ours) == decision(theirs),
    }
}

/// All scores in one message: version 4 of the rules reports them of every request, version 3 of those over the threshold.
fn report(verdict: &Verdict) -> Option<&str> {
    verdict.messages.iter().find(|(id, _)| matches!(id, 980_130 | 980_170)).map(|(_, message)| message.as_str())
}

/// Compares all, and holds the differences against a file of `name: reason` lines. No more may differ than did.
fn compare(names: &[String], ours: &[Verdict], theirs: &[Verdict], listed: &str, differing_max: usize) {
    let path = own(listed);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let lines = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    let listed: BTreeMap<&str, &str> = lines.map(|l| l.split_once(": ").unwrap_or_else(|| panic!("{l:?} is no `name: reason`"))).collect();
    let mut wrong = String::new();
    let mut differing = BTreeSet::new();
    for ((name, ours), theirs) in names.iter().zip(ours).zip(theirs) {
        if same(ours, theirs) {
            continue;
        }
        differing.insert(name.as_str());
        if !listed.contains_key(name.as_str()) {
            let only = |a: &Verdict, b: &Verdict| a.ids.difference(&b.ids).map(u64::to_string).collect::<Vec<_>>().join(" ");
            let _ = writeln!(
                wrong,
                "{name}\n  ours   ({:?}) {}\n  theirs ({:?}) {}\n  only ours: {}; only theirs: {}",
                ours.status,
                decision(ours),
                theirs.status,
                decision(theirs),
                only(ours, theirs),
                only(theirs, ours)
            );
        }
    }
    for name in listed.keys().filter(|name| !differing.contains(*name)) {
        let _ = writeln!(wrong, "{name} is listed and does not differ");
    }
    println!("{} requests, {} decided otherwise, {} refused by both", names.len(), differing.len(), {
        ours.iter().zip(theirs).filter(|(a, b)| a.denied && b.denied).count()
    });
    assert!(wrong.is_empty(), "{}:\n{wrong}", path.display());
    assert!(differing.len() <= differing_max, "{} of {} differ", differing.len(), names.len());
}

fn side_by_side(tests: &[(String, Test)], rules: &Rules, listed: &str, differing_max: usize) {
    let Rules { apache, inspection } = rules;
    let names: Vec<String> = tests.iter().map(|(name, _)| name.clone()).collect();
    let sent: Vec<Vec<u8>> = tests.iter().map(|(_, test)| ftw::bytes(&test.stages[0].input)).collect();
    let theirs = ModSecurity::start(apache).judge(&sent);
    let ours = ours(inspection, tests);
    assert!(theirs.iter().filter(|v| v.denied).count() * 20 > tests.len(), "ModSecurity refuses next to nothing: is it at work?");
    compare(&names, &ours, &theirs, listed, differing_max);
}

/// Our engine's settings for Apache too, then rule files in the order of a Core Rule Set with its setup. Apache wants to read the code
/// page from its own file.
fn includes(files: &[PathBuf]) -> String {
    let engine = fs::read_to_string(own("policies/crs/engine.conf")).unwrap();
    let engine: String = engine.lines().filter(|l| !l.starts_with("SecUnicodeMapFile")).map(|l| format!("{l}\n")).collect();
    files.iter().fold(engine, |text, file| format!("{text}Include {}\n", file.display()))
}

/// A rule set: the lines that load it into Apache, and those of our `[inspection]`.
struct Rules {
    apache: String,
    inspection: String,
}

/// The Core Rule Set as shipped.
fn shipped() -> Option<(Rules, PathBuf)> {
    let crs = crs().filter(|_| deep())?;
    tool("apache2")?;
    let files = [crs.join("crs-setup.conf.example"), crs.join("rules/*.conf")];
    let inspection = format!("rules = [\"crs\"]\ncrs_directory = {crs:?}");
    Some((Rules { apache: includes(&files), inspection }, crs))
}

/// The version 3 that Debian installs, with its setup.
fn debians() -> Option<(Rules, PathBuf)> {
    let crs = crs().filter(|_| deep())?;
    let debian = Path::new("/usr/share/modsecurity-crs/rules");
    if tool("apache2").is_none() || !debian.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "modsecurity-crs is not installed");
        println!("skipped: modsecurity-crs is not installed");
        return None;
    }
    let etc = Path::new("/etc/modsecurity/crs");
    let files = [
        etc.join("crs-setup.conf"),
        etc.join("REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf"),
        debian.join("*.conf"),
        etc.join("RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf"),
    ];
    let inspection = "rules = [\"crs\"]\ncrs_directory = \"/usr/share/modsecurity-crs\"".to_owned();
    bounded_patterns_alone_are_warned_of(&inspection);
    Some((Rules { apache: includes(&files), inspection }, crs))
}

#[test]
fn deep_the_core_rule_set_as_shipped_refuses_and_scores_as_apache_with_modsecurity_does() {
    let Some((rules, crs)) = shipped() else { return };
    let tests = requests(&crs.join("tests"));
    assert!(tests.len() >= 5_088, "{}", tests.len());
    side_by_side(&tests, &rules, "tests/crs/shipped.differences", 8);
}

#[test]
fn deep_debians_core_rule_set_3_refuses_and_scores_as_apache_with_modsecurity_does() {
    let Some((rules, crs)) = debians() else { return };
    let tests = requests(&crs.join("tests"));
    side_by_side(&tests, &rules, "tests/crs/debian.differences", 8);
}

#[test]
fn deep_ordinary_traffic_is_refused_and_scored_as_by_apache_with_modsecurity() {
    let Some((rules, _)) = shipped() else { return };
    side_by_side(&traffic(), &rules, "tests/crs/shipped-traffic.differences", 0);
}

#[test]
fn deep_ordinary_traffic_is_refused_and_scored_by_debians_core_rule_set_3_as_by_apache_with_modsecurity() {
    let Some((rules, _)) = debians() else { return };
    side_by_side(&traffic(), &rules, "tests/crs/debian-traffic.differences", 0);
}

/// The recorded requests of ordinary work (`tests/traffic/README.md` has the form), named by the file and the place in it from 0.
fn traffic() -> Vec<(String, Test)> {
    let plain = ftw::parse(Path::new("1.yaml"), "tests: [{stages: [{input: {}, output: {status: 200}}]}]").unwrap();
    let plain = &plain.tests[0];
    let mut tests = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(own("tests/traffic")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "traffic"));
    files.sort();
    for path in &files {
        let bytes = fs::read(path).unwrap();
        let mut rest = bytes.strip_prefix(b"portcullis traffic 1\n").unwrap_or_else(|| panic!("{}", path.display()));
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut place = 0;
        while let Some(after) = rest.strip_prefix(b"=== ") {
            let end = after.iter().position(|b| *b == b'\n').unwrap();
            let length: usize = std::str::from_utf8(&after[..end]).unwrap().parse().unwrap();
            let request = &after[end + 1..end + 1 + length];
            let input = Input { encoded_request: Some(request.to_vec()), ..plain.stages[0].input.clone() };
            let stage = Stage { description: String::new(), input, output: Output::default() };
            tests.push((format!("{stem} {place}"), Test { stages: vec![stage], ..plain.clone() }));
            place += 1;
            rest = &after[end + 2 + length..];
        }
        assert!(rest.is_empty(), "{}: {} bytes are left", path.display(), rest.len());
    }
    assert!(tests.len() >= 2_000, "{}", tests.len());
    tests
}
