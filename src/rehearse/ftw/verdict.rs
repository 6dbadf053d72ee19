//! Whether what a stage saw is what it expects.

use super::text::Output;
use std::collections::BTreeSet;

/// What came of one request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The answer's status, or why there is none.
    pub answer: Result<u16, String>,
    /// The answer's head and the beginning of its body.
    pub beginning: Vec<u8>,
    /// The ids of the rules that matched and log.
    pub ids: BTreeSet<u64>,
    /// One line for each match, in ModSecurity's words.
    pub lines: Vec<String>,
}

/// Every expectation that does not hold; empty for a stage that passes.
pub fn judge(expected: &Output, seen: &Seen) -> Vec<String> {
    if expected.expect_error == Some(true) {
        return match seen.answer {
            Err(_) => Vec::new(),
            Ok(status) => vec![format!("expected no valid answer, got status {status}")],
        };
    }
    let status = match &seen.answer {
        Err(why) => return vec![format!("expected an answer, got none: {why}")],
        Ok(status) => *status,
    };
    let mut wrong = Vec::new();
    if expected.status.is_some_and(|wanted| wanted != status) {
        wrong.push(format!("expected status {}, got {status}", expected.status.unwrap_or_default()));
    }
    if let Some(regex) = expected.response_contains.as_ref().filter(|r| !r.is_match(&seen.beginning)) {
        wrong.push(format!("expected the answer to match {:?}", regex.as_str()));
    }
    let log = &expected.log;
    let some_line = |regex: &regex::bytes::Regex| seen.lines.iter().any(|line| regex.is_match(line.as_bytes()));
    if let Some(regex) = log.match_regex.as_ref().filter(|r| !some_line(r)) {
        wrong.push(format!("expected a log line to match {:?}", regex.as_str()));
    }
    let missing: Vec<u64> = log.expect_ids.iter().filter(|id| !seen.ids.contains(id)).copied().collect();
    if !missing.is_empty() {
        wrong.push(format!("expected {}, which did not match", ids(&missing)));
    }
    if expected.isolated {
        let others: Vec<u64> = seen.ids.iter().filter(|id| !log.expect_ids.contains(id)).copied().collect();
        if !others.is_empty() {
            wrong.push(format!("expected that rule alone, but {} matched as well", ids(&others)));
        }
    }
    if let Some(regex) = log.no_match_regex.as_ref().filter(|r| some_line(r)) {
        wrong.push(format!("expected no log line to match {:?}", regex.as_str()));
    }
    let unwanted: Vec<u64> = log.no_expect_ids.iter().filter(|id| seen.ids.contains(id)).copied().collect();
    if !unwanted.is_empty() {
        wrong.push(format!("expected {} not to match", ids(&unwanted)));
    }
    wrong
}

fn ids(list: &[u64]) -> String {
    let names: Vec<String> = list.iter().map(u64::to_string).collect();
    format!("rule{} {}", if list.len() == 1 { "" } else { "s" }, names.join(", "))
}
