//! Runs a request through both evaluators and compares all that can be seen.

use std::fmt::Write as _;
use std::sync::Arc;

use seclang::{Evaluator, MemoryCollections, Mode, Options, RuleSet, Transaction};

use crate::corpus::Request;

/// All phases of a request, answered with a page that holds what the request did.
pub(crate) fn run(rules: &Arc<RuleSet>, request: &Request, mode: Mode, evaluator: Evaluator, variables: &[(&str, &str)]) -> Transaction {
    let mut collections = MemoryCollections::with_capacity(16);
    let options = Options { mode: Some(mode), unique_id: "0a1b2c".to_owned(), now: 1_718_901_234_000_000, evaluator, ..Options::default() };
    let mut tx = Transaction::new(Arc::clone(rules), options);
    for (name, value) in variables {
        assert!(tx.set_tx_variable(name, value), "there is room for {name}");
    }
    tx.connection([192, 0, 2, 1].into(), 50_000, [192, 0, 2, 80].into(), 443);
    let line = format!("{} {} {}", request.method, request.uri, request.version);
    tx.request_line(line.as_bytes(), request.method.as_bytes(), request.uri.as_bytes(), request.version.as_bytes());
    request.headers.iter().for_each(|(name, value)| tx.request_header(name.as_bytes(), value.as_bytes()));
    let mut stopped = tx.request_headers_done(&mut collections).is_some();
    if !stopped {
        tx.request_body(&request.body);
        stopped = tx.request_body_done(&mut collections).is_some();
    }
    if !stopped {
        tx.response_line(200, b"HTTP/1.1");
        tx.response_header(b"Content-Type", b"text/html; charset=utf-8");
        stopped = tx.response_headers_done(&mut collections).is_some();
    }
    if !stopped {
        tx.response_body(&[b"<html><body>", request.body.as_slice(), request.uri.as_bytes(), b"</body></html>"].concat());
        tx.response_body_done(&mut collections);
    }
    tx.log(&mut collections);
    tx
}

/// What a transaction left behind, as text.
pub(crate) fn seen(tx: &Transaction) -> String {
    let mut out = String::new();
    for one in tx.matches() {
        let _ = writeln!(out, "{one:?}");
    }
    for error in tx.errors() {
        let _ = writeln!(out, "{error:?}");
    }
    let _ = writeln!(out, "{} {} {:?} {:?}", tx.matches_total(), tx.errors_total(), tx.intervention(), tx.would_intervene());
    let _ = writeln!(out, "{:?} {:?} {:?} {} {:?}", tx.mode(), tx.score(), tx.audit_engine(), tx.audit_parts(), tx.sanitised());
    for (name, value) in tx.tx_variables() {
        let _ = writeln!(out, "{name:?} = {value:?}");
    }
    out
}

/// Fails where the evaluators differ; says how many rules matched. The plan runs three times, since a thread remembers what it has seen once
/// of common values, and twice of whole heads: the first time it learns, then it uses what it has learned.
pub(crate) fn compare(rules: &Arc<RuleSet>, request: &Request, mode: Mode) -> Result<u64, String> {
    compare_with(rules, request, mode, &[])
}

/// The same where TX has variables from the start.
pub(crate) fn compare_with(rules: &Arc<RuleSet>, request: &Request, mode: Mode, variables: &[(&str, &str)]) -> Result<u64, String> {
    let plain = run(rules, request, mode, Evaluator::Plain, variables);
    let expected = seen(&plain);
    for time in 1..=3 {
        let found = seen(&run(rules, request, mode, Evaluator::Plan, variables));
        if expected != found {
            let differs = expected.lines().zip(found.lines()).find(|(a, b)| a != b);
            let (a, b) = differs.unwrap_or((expected.lines().last().unwrap_or_default(), found.lines().last().unwrap_or_default()));
            return Err(format!("{}, time {time}:\n  plain: {a}\n  plan:  {b}", request.name));
        }
    }
    Ok(plain.matches_total())
}
