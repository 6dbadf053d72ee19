//! How results of tests look: the progress bar, failures and coverage for people, JSON.

use crate::layers::inspection::LoadedRule;
use crate::rehearse::ftw::Test;
use crate::rehearse::{Coverage, FileCoverage, Outcome, StageOutcome, Status};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Lines of a failed request that are shown.
const REQUEST_LINES_MAX: usize = 12;
/// Characters of such a line.
const LINE_CHARACTERS_MAX: usize = 160;
/// Time between two looks of the bar.
const BAR_INTERVAL: Duration = Duration::from_millis(100);
const BAR_WIDTH: usize = 30;

/// A bar on standard error, where that is a terminal.
pub(super) struct Progress {
    total: usize,
    done: usize,
    failed: usize,
    drawn: Option<Instant>,
    shown: bool,
}

impl Progress {
    pub(super) fn new(total: usize) -> Self {
        Self { total, done: 0, failed: 0, drawn: None, shown: std::io::stderr().is_terminal() }
    }

    pub(super) fn step(&mut self, outcome: &Outcome) {
        self.done += 1;
        self.failed += usize::from(outcome.status == Status::Failed);
        if !self.shown || self.drawn.is_some_and(|at| at.elapsed() < BAR_INTERVAL) {
            return;
        }
        self.drawn = Some(Instant::now());
        let full = self.done * BAR_WIDTH / self.total.max(1);
        eprint!("\r[{}{}] {}/{} tests, {} failed ", "#".repeat(full), " ".repeat(BAR_WIDTH - full), self.done, self.total, self.failed);
        let _ = std::io::stderr().flush();
    }

    /// Takes the bar away.
    pub(super) fn end(&mut self) {
        if self.drawn.is_some() {
            eprint!("\r{}\r", " ".repeat(BAR_WIDTH + 50));
        }
    }
}

/// Passed, failed, stricter by decision.
pub(super) fn counts(outcomes: &[Outcome]) -> (usize, usize, usize) {
    let count = |wanted: fn(&Status) -> bool| outcomes.iter().filter(|o| wanted(&o.status)).count();
    (count(|s| *s == Status::Passed), count(|s| *s == Status::Failed), count(|s| matches!(s, Status::Stricter(_))))
}

/// Failures with their requests, and what was decided otherwise.
pub(super) fn failures(tests: &[Test], outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for (test, outcome) in of(tests, outcomes) {
        match &outcome.status {
            Status::Failed => failure(&mut out, test, outcome),
            Status::Stricter(reason) => {
                let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
                let _ = writeln!(out, "stricter {}: {reason}", test.name());
            }
            Status::Passed => {}
        }
    }
    out
}

/// The counts.
pub(super) fn last_line(outcomes: &[Outcome]) -> String {
    let (passed, failed, stricter) = counts(outcomes);
    format!("{passed} passed, {failed} failed, {stricter} stricter by decision")
}

/// Each file with the rules that no test has fired.
pub(super) fn coverage(coverage: &Coverage) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let mut out = String::new();
    for FileCoverage { file, rules, never } in &coverage.files {
        let name = Path::new(&**file).strip_prefix(&here).map_or_else(|_| file.to_string(), |path| path.display().to_string());
        let _ = writeln!(out, "{name}: {} of {rules} fired", rules - never.len());
        for rule in never {
            let message = if rule.message.is_empty() { "-".into() } else { visible(rule.message.as_bytes()) };
            let _ = writeln!(out, "  never {} at line {}: {message}", rule.id, rule.line);
        }
    }
    let (rules, fired) = (coverage.rules(), coverage.fired());
    let silent = match coverage.silent {
        0 => String::new(),
        1 => "; 1 rule that logs nothing is not counted".to_owned(),
        more => format!("; {more} rules that log nothing are not counted"),
    };
    let _ = writeln!(out, "{fired} of {rules} rules fired{silent}");
    out
}

/// The same for programs.
pub(super) fn coverage_json(coverage: &Coverage) -> Value {
    let never = |rule: &LoadedRule| json!({"id": rule.id, "line": rule.line, "message": &*rule.message});
    let file = |file: &FileCoverage| {
        let list: Vec<Value> = file.never.iter().map(never).collect();
        json!({"file": &*file.file, "rules": file.rules, "fired": file.rules - file.never.len(), "never": list})
    };
    json!({
        "rules": coverage.rules(),
        "fired": coverage.fired(),
        "silent": coverage.silent,
        "files": coverage.files.iter().map(file).collect::<Vec<_>>(),
    })
}

fn of<'a>(tests: &'a [Test], outcomes: &'a [Outcome]) -> impl Iterator<Item = (&'a Test, &'a Outcome)> {
    outcomes.iter().filter_map(|outcome| tests.get(outcome.index).map(|test| (test, outcome)))
}

fn failure(out: &mut String, test: &Test, outcome: &Outcome) {
    let _ = writeln!(out, "failed {} ({})", test.name(), test.path.display());
    if let Some(line) = test.description.lines().next() {
        let _ = writeln!(out, "  {line}");
    }
    for (number, stage) in outcome.stages.iter().enumerate().filter(|(_, s)| !s.wrong.is_empty()) {
        if test.stages.len() > 1 {
            let _ = writeln!(out, "  stage {number}");
        }
        for wrong in &stage.wrong {
            let _ = writeln!(out, "  {wrong}");
        }
        let _ = writeln!(out, "  answer: {}", answer(stage));
        for event in &stage.events {
            let words = [&event.action, &event.layer, &event.reason].map(|w| if w.is_empty() { "-" } else { w }).join(" ");
            let score = event.score.map(|s| format!(", score {s}")).unwrap_or_default();
            let notes = if event.notes.is_empty() { String::new() } else { format!(", {}", event.notes.join(", ")) };
            let _ = writeln!(out, "  decided: {words}{score}{notes} (event {})", event.id);
            let mut seen = BTreeSet::new();
            for rule in event.rules.iter().filter(|r| seen.insert(r.id)) {
                let _ =
                    writeln!(out, "  matched: {} at {}: {}", rule.id, visible(rule.variable.as_bytes()), visible(rule.message.as_bytes()));
            }
        }
        let _ = writeln!(out, "  request:");
        let lines: Vec<&[u8]> = stage.request.trim_ascii_end().split(|b| *b == b'\n').collect();
        for line in lines.iter().take(REQUEST_LINES_MAX) {
            let _ = writeln!(out, "    {}", visible(line));
        }
        if lines.len() > REQUEST_LINES_MAX {
            let _ = writeln!(out, "    ... {} lines more", lines.len() - REQUEST_LINES_MAX);
        }
    }
    out.push('\n');
}

fn answer(stage: &StageOutcome) -> String {
    match &stage.answer {
        Ok(status) => status.to_string(),
        Err(why) => format!("none ({why})"),
    }
}

/// Bytes for a terminal: one line, no control characters, not too long.
fn visible(bytes: &[u8]) -> String {
    let text = crate::audit::escape::visible(bytes.strip_suffix(b"\r").unwrap_or(bytes));
    let text = crate::audit::escape::printable(&text).into_owned();
    match text.char_indices().nth(LINE_CHARACTERS_MAX) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// Everything as one JSON value.
pub(super) fn json(tests: &[Test], outcomes: &[Outcome], elapsed: Duration) -> Value {
    let (passed, failed, stricter) = counts(outcomes);
    let list: Vec<Value> = of(tests, outcomes).map(|(test, outcome)| one(test, outcome)).collect();
    json!({
        "run": outcomes.len(),
        "passed": passed,
        "failed": failed,
        "stricter": stricter,
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        "tests": list,
    })
}

fn one(test: &Test, outcome: &Outcome) -> Value {
    let (result, reason) = match &outcome.status {
        Status::Passed => ("passed", None),
        Status::Failed => ("failed", None),
        Status::Stricter(reason) => ("stricter", Some(reason)),
    };
    let stages: Vec<Value> = outcome
        .stages
        .iter()
        .map(|stage| {
            let decisions: Vec<Value> = stage
                .events
                .iter()
                .map(|e| json!({"id": e.id, "action": e.action, "layer": e.layer, "reason": e.reason, "score": e.score}))
                .collect();
            let mut value = json!({"status": stage.answer.as_ref().ok(), "rules": stage.ids, "decisions": decisions});
            if let Err(why) = &stage.answer {
                value["error"] = json!(why);
            }
            if !stage.wrong.is_empty() {
                value["wrong"] = json!(stage.wrong);
                value["request"] = json!(crate::audit::escape::visible(&stage.request));
            }
            value
        })
        .collect();
    let mut value = json!({"test": test.name(), "file": test.path.display().to_string(), "result": result, "stages": stages});
    if let Some(reason) = reason {
        value["reason"] = json!(reason);
    }
    value
}
