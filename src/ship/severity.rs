//! How grave a record is, in the words of syslog (RFC 5424 section 6.2.1) and of OpenTelemetry.

use serde_json::Value;

/// A severity. Emergencies, alerts and debugging never are in an audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Records are missing.
    Critical,
    /// A request failed for a reason of ours or of a backend.
    Error,
    /// An attack was refused; the trail was not ended as it should.
    Warning,
    /// Anything else that was refused, or would have been; a rule that matched.
    Notice,
    /// All as it should be.
    Informational,
}

impl Severity {
    pub(super) fn of(record: &Value) -> Self {
        let word = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        match word("/event/kind") {
            "request" | "tunnel_end" | "connection" => {}
            "gap" => return Self::Critical,
            "resume" => return Self::Warning,
            "start" if matches!(word("/trail/previous"), "unclean" | "torn") => return Self::Warning,
            "flood" => return Self::Notice,
            _ => return Self::Informational,
        }
        let status = record.pointer("/http/response/status_code").and_then(Value::as_u64).unwrap_or_default();
        let failed = word("/event/outcome") == "failure";
        match (word("/decision/layer"), word("/decision/action")) {
            ("inspection", "deny") => Self::Warning,
            _ if failed && status >= 500 => Self::Error,
            _ if failed => Self::Notice,
            _ if record["rules"].as_array().is_some_and(|rules| !rules.is_empty()) => Self::Notice,
            _ => Self::Informational,
        }
    }

    /// The number in a syslog priority.
    pub(super) fn syslog(self) -> u8 {
        match self {
            Self::Critical => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Informational => 6,
        }
    }

    /// OpenTelemetry's `severityNumber` (logs data model, appendix B) and our word beside it.
    pub(super) fn otlp(self) -> (u8, &'static str) {
        match self {
            Self::Critical => (18, "CRITICAL"),
            Self::Error => (17, "ERROR"),
            Self::Warning => (13, "WARNING"),
            Self::Notice => (10, "NOTICE"),
            Self::Informational => (9, "INFO"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_is_what_is_missing_and_the_lightest_what_was_allowed() {
        use Severity::*;
        for (record, expected) in [
            (r#"{"event":{"kind":"gap"}}"#, Critical),
            (r#"{"event":{"kind":"start"},"trail":{"previous":"clean"}}"#, Informational),
            (r#"{"event":{"kind":"start"},"trail":{"previous":"torn"}}"#, Warning),
            (r#"{"event":{"kind":"checkpoint"}}"#, Informational),
            (r#"{"event":{"kind":"flood"}}"#, Notice),
            (r#"{"event":{"kind":"request","outcome":"success"},"decision":{"action":"allow"}}"#, Informational),
            (r#"{"event":{"kind":"request","outcome":"success"},"decision":{"action":"allow"},"rules":[{"id":1}]}"#, Notice),
            (
                r#"{"event":{"kind":"request","outcome":"failure"},"decision":{"layer":"basic_auth","action":"challenge"},"http":{"response":{"status_code":401}}}"#,
                Notice,
            ),
            (
                r#"{"event":{"kind":"request","outcome":"failure"},"decision":{"layer":"inspection","action":"deny"},"http":{"response":{"status_code":403}}}"#,
                Warning,
            ),
            (
                r#"{"event":{"kind":"request","outcome":"failure"},"decision":{"layer":"forwarding","action":"mask"},"http":{"response":{"status_code":502}}}"#,
                Error,
            ),
        ] {
            assert_eq!(Severity::of(&serde_json::from_str(record).unwrap()), expected, "{record}");
        }
    }
}
