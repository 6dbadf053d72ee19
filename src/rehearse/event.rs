//! What one request left in the audit trail, from the record itself or from its JSON line.

use crate::audit::escape::{printable, visible};
use crate::audit::{Record, RuleMatch};
use serde_json::Value;
use std::fmt::Write as _;

/// A request's record, as far as a test asks.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// The event's id.
    pub id: String,
    /// `decision.action`.
    pub action: String,
    /// `decision.layer`; empty for none.
    pub layer: String,
    /// `decision.reason`.
    pub reason: String,
    /// The anomaly score.
    pub score: Option<i64>,
    /// The rules that matched and log.
    pub rules: Vec<RuleMatch>,
    /// Further facts.
    pub notes: Vec<String>,
}

impl Event {
    /// From a record.
    pub fn of(record: &Record) -> Self {
        Self {
            id: record.id.to_string(),
            action: record.decision.action.name().to_owned(),
            layer: record.decision.layer.map(|l| l.name().to_owned()).unwrap_or_default(),
            reason: record.decision.reason.to_owned(),
            score: record.score,
            rules: record.rules.clone(),
            notes: record.notes.iter().map(|n| (*n).to_owned()).collect(),
        }
    }

    /// From a line of the trail.
    pub fn read(record: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let texts = |value: &Value| value.as_array().map(|list| list.iter().map(text).collect()).unwrap_or_default();
        let rule = |value: &Value| RuleMatch {
            id: value["id"].as_u64().unwrap_or_default(),
            phase: value["phase"].as_u64().and_then(|p| u8::try_from(p).ok()).unwrap_or_default(),
            message: text(&value["message"]),
            tags: texts(&value["tags"]),
            severity: text(&value["severity"]),
            variable: text(&value["variable"]),
            matched: text(&value["matched"]).into_bytes(),
            data: text(&value["data"]),
            score: value["score"].as_i64().unwrap_or_default(),
            source: text(&value["source"]),
        };
        Self {
            id: text(&record["event"]["id"]),
            action: text(&record["decision"]["action"]),
            layer: text(&record["decision"]["layer"]),
            reason: text(&record["decision"]["reason"]),
            score: record["inspection"]["score"].as_i64(),
            rules: record["rules"].as_array().map(|list| list.iter().map(rule).collect()).unwrap_or_default(),
            notes: texts(&record["notes"]),
        }
    }
}

/// A match as a line of ModSecurity's error log, what `match_regex` is written for; line ends inside it are escaped.
pub(crate) fn line(rule: &RuleMatch) -> String {
    let (file, number) = rule.source.rsplit_once(':').unwrap_or((&rule.source, "0"));
    let matched = visible(&rule.matched);
    let mut line = format!(
        "ModSecurity: Warning. Matched \"{matched}\" at {}. [file \"{file}\"] [line \"{number}\"] [id \"{}\"]",
        rule.variable, rule.id
    );
    for (name, value) in [("msg", &rule.message), ("data", &rule.data), ("severity", &rule.severity.to_uppercase())] {
        if !value.is_empty() {
            let _ = write!(line, " [{name} \"{value}\"]");
        }
    }
    for tag in &rule.tags {
        let _ = write!(line, " [tag \"{tag}\"]");
    }
    printable(&line).into_owned()
}
