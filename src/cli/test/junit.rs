//! A JUnit report, as build servers read it: one suite for each file, one case for each test.

use super::show::counts;
use crate::rehearse::ftw::Test;
use crate::rehearse::{Outcome, Status};
use std::fmt::Write as _;
use std::path::Path;

/// The report's text.
pub(super) fn report(tests: &[Test], outcomes: &[Outcome]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (_, failed, _) = counts(outcomes);
    let _ = writeln!(out, "<testsuites name=\"portcullis test\" tests=\"{}\" failures=\"{failed}\">", outcomes.len());
    let mut rest = outcomes;
    while let Some(path) = rest.first().and_then(|o| tests.get(o.index)).map(|t| &t.path) {
        let same = |o: &&Outcome| tests.get(o.index).is_some_and(|t| t.path == *path);
        let (suite, others) = rest.split_at(rest.iter().take_while(same).count().max(1));
        write_suite(&mut out, tests, path, suite);
        rest = others;
    }
    out.push_str("</testsuites>\n");
    out
}

fn write_suite(out: &mut String, tests: &[Test], path: &Path, suite: &[Outcome]) {
    let name = text(&path.display().to_string());
    let seconds: f64 = suite.iter().map(|o| o.elapsed.as_secs_f64()).sum();
    let (_, failed, _) = counts(suite);
    let _ = writeln!(out, "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\" time=\"{seconds:.3}\">", suite.len());
    for outcome in suite {
        let Some(test) = tests.get(outcome.index) else { continue };
        let seconds = outcome.elapsed.as_secs_f64();
        let _ = write!(out, "    <testcase classname=\"{name}\" name=\"{}\" time=\"{seconds:.3}\"", test.name());
        match &outcome.status {
            Status::Passed => out.push_str("/>\n"),
            Status::Stricter(reason) => {
                let _ = writeln!(out, ">\n      <system-out>stricter by decision: {}</system-out>\n    </testcase>", text(reason));
            }
            Status::Failed => {
                let wrong: Vec<&str> = outcome.stages.iter().flat_map(|s| &s.wrong).map(String::as_str).collect();
                let request: Vec<String> =
                    outcome.stages.iter().filter(|s| !s.wrong.is_empty()).map(|s| crate::audit::escape::visible(&s.request)).collect();
                let message = text(&wrong.join("; "));
                let _ = writeln!(out, ">\n      <failure message=\"{message}\">{}</failure>\n    </testcase>", text(&request.join("\n")));
            }
        }
    }
    out.push_str("  </testsuite>\n");
}

/// Text for XML 1.0: escaped, without the characters that XML cannot hold.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
