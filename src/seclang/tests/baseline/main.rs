//! The baseline rules of `policies/rules`: that they load without a word, and that the tests of `policies/tests` hold.
#![allow(clippy::print_stdout, reason = "a skipped test says so, and figures are shown")]

mod crs;
mod ftw;
mod traffic;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seclang::{BodyOutcome, MemoryFiles, NoCollections, Options, RuleSet, Transaction};

/// The project's folder of policies.
fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

/// The paths in a folder with that extension, sorted.
fn paths(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(policies().join(folder))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}

/// The rule set, loaded; any diagnostic fails the test.
fn rules() -> RuleSet {
    rules_with("")
}

/// The rule set with a file of the administrator's.
fn rules_with(local: &str) -> RuleSet {
    let mut files = MemoryFiles::new().with("80-local.conf", local);
    let mut roots = vec!["80-local.conf".to_owned()];
    for extension in ["conf", "data"] {
        for path in paths("rules", extension) {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            files = files.with(&name, std::fs::read(&path).expect("a readable file"));
            if extension == "conf" {
                roots.push(name);
            }
        }
    }
    roots.sort();
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    match RuleSet::load(&files, &roots) {
        Ok((rules, warnings)) if warnings.is_empty() => rules,
        Ok((_, diagnostics)) | Err(diagnostics) => panic!("{diagnostics:#?}"),
    }
}

/// The ids that the rule files define, by their text.
fn ids() -> BTreeSet<u64> {
    let texts = paths("rules", "conf").into_iter().map(|path| std::fs::read_to_string(path).expect("a readable file"));
    let mut ids = BTreeSet::new();
    for text in texts {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((_, behind)) = line.split_once("\"id:") else { continue };
            let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
            let id = digits.parse().expect("an id");
            assert!((10_000..11_000).contains(&id), "{id} is not one of the baseline's ids");
            assert!(ids.insert(id), "{id} is there twice");
        }
    }
    ids
}

#[test]
fn the_rules_load_without_a_diagnostic() {
    let _ = rules();
    assert!(ids().len() >= 30);
}

#[test]
fn every_rule_has_an_attack_and_a_near_miss() {
    // Those that log nothing set numbers, add them up or skip others: what they do shows in the tests of the others.
    let silent: BTreeSet<u64> = rules().rules().iter().filter(|rule| !rule.log).map(|rule| rule.id).collect();
    let mut missing = ids();
    for path in paths("tests", "yaml") {
        let file = ftw::read(&path).expect("tests");
        let hits = file.tests.iter().flat_map(|test| &test.stages).filter(|stage| !stage.output.log.expect_ids.is_empty()).count();
        let misses = file.tests.iter().flat_map(|test| &test.stages).filter(|stage| !stage.output.log.no_expect_ids.is_empty()).count();
        assert!(hits > 0 && misses > 0, "{}: {hits} attacks, {misses} near misses", path.display());
        assert!(missing.remove(&file.rule_id), "{} tests no rule", path.display());
    }
    missing.retain(|id| !silent.contains(id));
    assert!(missing.is_empty(), "no tests for {missing:?}");
}

/// A request before the rules.
fn run(rules: &Arc<RuleSet>, request: &ftw::Request) -> Transaction {
    let mut transaction = Transaction::new(Arc::clone(rules), Options::default());
    // All levels run and are recorded; only the first counts.
    assert!(transaction.set_tx_variable("baseline_detection_level", "4"));
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    transaction.connection(client, 50_000, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80)), 443);
    let (method, target, protocol) = request.parts();
    transaction.request_line(request.line.as_bytes(), method.as_bytes(), target.as_bytes(), protocol.as_bytes());
    for (name, value) in &request.headers {
        transaction.request_header(name.as_bytes(), value.as_bytes());
    }
    if transaction.request_headers_done(&mut NoCollections).is_none() {
        let outcome = transaction.request_body(&request.body);
        assert!(matches!(outcome, BodyOutcome::Buffered | BodyOutcome::Ignored), "the body is {outcome:?}");
        transaction.request_body_done(&mut NoCollections);
    }
    assert_eq!(transaction.errors(), [], "the engine met an error");
    transaction
}

/// What the rules say to a request: the status (200 where it passes) and the ids of the rules that matched.
fn judge(rules: &Arc<RuleSet>, request: &ftw::Request) -> (u16, BTreeSet<u64>) {
    let transaction = run(rules, request);
    let status = transaction.intervention().map_or(200, |intervention| intervention.status);
    (status, transaction.matches().iter().map(|found| found.rule_id).collect())
}

#[test]
fn every_test_gets_its_status_and_ids() {
    let rules = Arc::new(rules());
    let mut failures = Vec::new();
    let mut count = 0;
    for path in paths("tests", "yaml") {
        let file = ftw::read(&path).expect("tests");
        for (test, stage) in file.tests.iter().flat_map(|test| test.stages.iter().map(move |stage| (test, stage))) {
            count += 1;
            let (status, ids) = judge(&rules, &stage.input.complete().expect("a request in parts"));
            let log = &stage.output.log;
            let missing = log.expect_ids.iter().any(|id| !ids.contains(id));
            let unwanted = log.no_expect_ids.iter().any(|id| ids.contains(id));
            if stage.output.status.is_some_and(|wanted| wanted != status) || missing || unwanted {
                failures.push(format!("{}-{} {}: status {status}, rules {ids:?}", file.rule_id, test.test_id, test.desc));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count >= 100, "only {count} tests were found");
}

fn get(uri: &str) -> ftw::Request {
    let headers = vec![("Host".to_owned(), "gateway.test".to_owned())];
    ftw::Request { line: format!("GET {uri} HTTP/1.1"), headers, body: Vec::new() }
}

#[test]
fn the_ways_to_adapt_that_the_setup_file_names_work() {
    let setup = std::fs::read_to_string(policies().join("rules/00-setup.conf")).expect("the setup file");
    let local: String = setup
        .lines()
        .filter_map(|line| line.strip_prefix("#   * ")?.split_once(':'))
        .map(|(_, directive)| format!("{}\n", directive.trim()))
        .collect();
    assert_eq!(local.lines().count(), 4);
    let (stock, adapted) = (Arc::new(rules()), Arc::new(rules_with(&local)));
    for (uri, before, after) in [
        ("/app/?x=php://input", 403, 200),
        ("/app/?x=php://input&y=php://input", 403, 403),
        ("/app/?html=%3Cscript%3Ealert(1)%3C/script%3E", 403, 200),
        ("/app/?text=%3Cscript%3Ealert(1)%3C/script%3E", 403, 403),
        ("/raw/?text=%3Cscript%3Ealert(1)%3C/script%3E", 403, 200),
    ] {
        let verdicts = (judge(&stock, &get(uri)), judge(&adapted, &get(uri)));
        assert_eq!((verdicts.0.0, verdicts.1.0), (before, after), "{uri}: {verdicts:?}");
    }
    assert!(judge(&stock, &get("/?q=1+union+select+1,2")).1.contains(&10_310));
    assert!(!judge(&adapted, &get("/?q=1+union+select+1,2")).1.contains(&10_310));
}
