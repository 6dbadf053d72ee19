//! The Core Rule Set's own tests and ordinary requests, at paranoia 1 blocking and at paranoia 4 detecting.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seclang::{Mode, RuleSet};

use crate::corpus::{Request, Shape, crs_folder, ordinary, regression_tests};
use crate::rules::crs;
use crate::same::compare;

/// Compares every request, on two threads; gives the differences and how often any rule matched.
fn differences(rules: &Arc<RuleSet>, requests: &[Request], mode: Mode) -> (Vec<String>, u64) {
    let matches = AtomicU64::new(0);
    let part = |requests: &[Request]| -> Vec<String> {
        let outcome = |request: &Request| match compare(rules, request, mode) {
            Ok(count) => {
                matches.fetch_add(count, Ordering::Relaxed);
                None
            }
            Err(difference) => Some(difference),
        };
        requests.iter().filter_map(outcome).collect()
    };
    let (left, right) = requests.split_at(requests.len() / 2);
    let found = std::thread::scope(|scope| {
        let left = scope.spawn(|| part(left));
        let mut found = part(right);
        found.extend(left.join().expect("no panic"));
        found
    });
    (found, matches.load(Ordering::Relaxed))
}

fn assert_same(rules: &Arc<RuleSet>, requests: &[Request], mode: Mode, matches_at_least: u64) {
    let (found, matches) = differences(rules, requests, mode);
    assert!(found.is_empty(), "{} of {} differ:\n{}", found.len(), requests.len(), found[..found.len().min(10)].join("\n"));
    assert!(matches >= matches_at_least, "only {matches} matches");
}

/// Every test of the rule set where PORTCULLIS_DEEP is set, else one in so many: the plain evaluator is slow unoptimised.
fn some(requests: Vec<Request>, one_in: usize) -> Vec<Request> {
    if std::env::var_os("PORTCULLIS_DEEP").is_some() {
        return requests;
    }
    requests.into_iter().step_by(one_in).collect()
}

#[test]
fn both_evaluators_agree_on_the_tests_of_the_core_rule_set_at_paranoia_4() {
    let Some(folder) = crs_folder() else { return };
    let requests = some(regression_tests(&folder.join("tests")), 12);
    assert_same(&crs(&folder, 4), &requests, Mode::Detect, 3 * requests.len() as u64);
}

#[test]
fn both_evaluators_agree_on_the_tests_of_the_core_rule_set_at_paranoia_1() {
    let Some(folder) = crs_folder() else { return };
    let requests = some(regression_tests(&folder.join("tests")), 12);
    assert_same(&crs(&folder, 1), &requests, Mode::Block, requests.len() as u64);
}

#[test]
fn both_evaluators_agree_on_ordinary_requests() {
    let Some(folder) = crs_folder() else { return };
    let shapes = [(Shape::Small, 40), (Shape::Cookies, 20), (Shape::Form, 20), (Shape::Json, 4)];
    let requests: Vec<Request> = shapes.into_iter().flat_map(|(shape, count)| (0..count).map(move |seed| ordinary(shape, seed))).collect();
    assert_same(&crs(&folder, 1), &requests, Mode::Block, 0);
    assert_same(&crs(&folder, 3), &requests[..60], Mode::Detect, 1);
}

/// The requests of a file of recorded traffic: `=== LENGTH`, then so many bytes, then a line end.
fn recorded(path: &Path) -> Vec<Request> {
    let bytes = std::fs::read(path).expect("a readable file");
    let mut rest = bytes.strip_prefix(b"portcullis traffic 1\n").expect("a file of traffic");
    let mut requests = Vec::new();
    while let Some((line, behind)) =
        rest.strip_prefix(b"=== ").and_then(|rest| rest.split_at_checked(rest.iter().position(|byte| *byte == b'\n')?))
    {
        let length: usize = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).expect("a length");
        let raw = behind.get(1..=length).expect("a whole request");
        requests.push(request(raw, format!("{} {}", path.display(), requests.len())));
        rest = behind.get(length + 2..).unwrap_or_default();
    }
    assert!(rest.is_empty(), "{}: a request does not begin with its length", path.display());
    requests
}

fn request(raw: &[u8], name: String) -> Request {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n").expect("an end of the head");
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let (method, uri, version) = (word(), word(), word());
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Request { name, method, uri, version, headers: headers.collect(), body: raw[end + 4..].to_vec() }
}

#[test]
fn both_evaluators_agree_on_recorded_traffic() {
    let Some(folder) = crs_folder() else { return };
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/traffic")).expect("the folder of traffic");
    let mut files: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ext| ext == "traffic")).collect();
    files.sort();
    let requests: Vec<Request> = files.iter().flat_map(|path| recorded(path)).collect();
    assert!(requests.len() >= 2_000, "only {} requests", requests.len());
    assert_same(&crs(&folder, 1), &some(requests, 12), Mode::Block, 0);
}
