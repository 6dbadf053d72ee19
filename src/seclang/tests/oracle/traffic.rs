//! The Core Rule Set's own tests and ordinary requests, at paranoia 1 blocking and at paranoia 4 detecting.

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
