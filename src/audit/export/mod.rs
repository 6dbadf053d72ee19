//! Records in the forms that other systems read.

mod csv;
mod ecs;
mod modsec;
mod ocsf;

use serde_json::{Map, Value};

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The line as it stands in the trail.
    Json,
    /// Elastic Common Schema 8.11, one JSON object a line.
    Ecs,
    /// Open Cybersecurity Schema Framework 1.3, class HTTP Activity.
    Ocsf,
    /// ModSecurity 3's JSON audit log.
    ModsecJson,
    /// RFC 4180.
    Csv,
}

impl Form {
    /// What stands before the first record.
    pub fn head(self) -> Option<String> {
        (self == Self::Csv).then(csv::head)
    }

    /// One record; `None` where the form has no place for it. `line` is without its line end, and so is the result.
    pub fn record(self, line: &[u8]) -> Option<String> {
        if self == Self::Json {
            return self.of(line, Value::Null);
        }
        self.of(line, serde_json::from_slice(line).ok()?)
    }

    /// The same of a line that was parsed already.
    pub fn of(self, line: &[u8], record: Value) -> Option<String> {
        match self {
            Self::Json => String::from_utf8(line.to_vec()).ok(),
            Self::Ecs => Some(ecs::record(record).to_string()),
            Self::Ocsf => Some(ocsf::record(&record).to_string()),
            Self::ModsecJson => modsec::record(&record).map(|value| value.to_string()),
            Self::Csv => Some(csv::record(&record)),
        }
    }
}

/// The record's string at a pointer; empty where there is none.
fn text<'v>(record: &'v Value, pointer: &str) -> &'v str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(record: &Value, pointer: &str) -> Option<u64> {
    record.pointer(pointer).and_then(Value::as_u64)
}

/// Whether it is about a request, a tunnel or a connection, not about the trail.
fn is_traffic(record: &Value) -> bool {
    matches!(text(record, "/event/kind"), "request" | "tunnel_end" | "connection")
}

/// Leaves out members that say nothing.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().map(|(name, member)| (name, without_nothing(member)));
            Value::Object(kept.filter(|(_, member)| !is_nothing(member)).collect::<Map<_, _>>())
        }
        other => other,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The path and query as asked for.
fn target(record: &Value) -> String {
    let (path, query) = (text(record, "/url/path"), record.pointer("/url/query").and_then(Value::as_str));
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// One line for people.
fn message(record: &Value) -> String {
    if record["account"].is_object() {
        let by = text(record, "/account/by");
        let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
        return format!("account request {}{by}: {}", text(record, "/account/answer"), text(record, "/user/name"));
    }
    if !is_traffic(record) {
        return format!("audit trail: {}", text(record, "/event/kind"));
    }
    let status = number(record, "/http/response/status_code").map_or_else(|| "-".into(), |status| status.to_string());
    let reason = text(record, "/decision/reason");
    let method = text(record, "/http/request/method");
    format!("{status} {} {reason} {method} {}{}", text(record, "/decision/action"), text(record, "/url/domain"), target(record))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn exported(form: Form) -> Vec<String> {
        include_str!("../../../audit/example.jsonl").lines().filter_map(|line| form.record(line.as_bytes())).collect()
    }

    /// The second of the example's requests: everything is in it.
    fn full(form: Form) -> Value {
        let all: Vec<Value> = exported(form).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        all.into_iter().find(|value| value.to_string().contains("942100")).unwrap()
    }

    fn check(value: &Value, expected: &[(&str, &str)]) {
        for (pointer, wanted) in expected {
            assert_eq!(value.pointer(pointer).map(Value::to_string).as_deref(), Some(*wanted), "{pointer} of {value:#}");
        }
    }

    #[test]
    fn ecs_has_the_fields_that_dashboards_ask_for() {
        assert_eq!(exported(Form::Ecs).len(), exported(Form::Json).len());
        check(
            &full(Form::Ecs),
            &[
                ("/@timestamp", "\"2023-11-14T22:13:20.000000Z\""),
                ("/ecs/version", "\"8.11.0\""),
                ("/event/kind", "\"alert\""),
                ("/event/category", "[\"web\"]"),
                ("/event/type", "[\"access\",\"denied\"]"),
                ("/event/duration", "53000000"),
                ("/event/dataset", "\"portcullis.audit\""),
                ("/http/response/body/bytes", "812"),
                ("/http/request/body/bytes", "120"),
                ("/user_agent/original", "\"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\""),
                ("/url/original", "\"https://mail.example.com/exchange/%2e/owa?id=1'+or+1=1--&page=2\""),
                ("/rule/id", "[\"942100\"]"),
                ("/user/roles", "[\"employees\"]"),
                ("/tls/client/server_name", "\"mail.example.com\""),
                ("/portcullis/event/kind", "\"request\""),
            ],
        );
    }

    #[test]
    fn an_answer_to_an_account_request_says_who_and_what_in_every_form() {
        let lines = |form| exported(form).into_iter().filter(|line| line.contains("approved")).collect::<Vec<_>>();
        let one = |form| serde_json::from_str::<Value>(&lines(form)[0]).unwrap();
        check(
            &one(Form::Ecs),
            &[
                ("/event/category", "[\"iam\"]"),
                ("/event/type", "[\"user\",\"creation\"]"),
                ("/event/reason", "\"approved\""),
                ("/user/name", "\"carol\""),
                ("/portcullis/account/by", "\"root\""),
                ("/message", "\"account request approved by root: carol\""),
            ],
        );
        check(&one(Form::Ocsf), &[("/unmapped/account/answer", "\"approved\""), ("/unmapped/user/name", "\"carol\"")]);
        let row = lines(Form::Csv).remove(0);
        assert!(row.contains(",account,01HF7YAT000000000000000007,success,,,approved,") && row.contains(",carol,"), "{row}");
    }

    #[test]
    fn ocsf_has_its_class_and_its_required_fields() {
        check(
            &full(Form::Ocsf),
            &[
                ("/class_uid", "4002"),
                ("/category_uid", "4"),
                ("/activity_id", "6"),
                ("/type_uid", "400206"),
                ("/time", "1700000000000"),
                ("/severity_id", "4"),
                ("/status_id", "2"),
                ("/action_id", "2"),
                ("/disposition_id", "2"),
                ("/metadata/version", "\"1.3.0\""),
                ("/http_request/http_method", "\"POST\""),
                ("/http_response/code", "403"),
                ("/src_endpoint/ip", "\"203.0.113.9\""),
                ("/actor/user/name", "\"carol\""),
            ],
        );
        for line in exported(Form::Ocsf) {
            let value: Value = serde_json::from_str(&line).unwrap();
            for name in ["class_uid", "category_uid", "activity_id", "type_uid", "time", "severity_id", "metadata"] {
                assert!(!value[name].is_null(), "{name} in {value}");
            }
        }
    }

    #[test]
    fn modsec_json_reads_as_modsecurity_3_wrote_it() {
        assert_eq!(exported(Form::ModsecJson).len(), 4, "requests, the tunnel's end, the connection");
        check(
            &full(Form::ModsecJson),
            &[
                ("/transaction/client_ip", "\"203.0.113.9\""),
                ("/transaction/time_stamp", "\"Tue Nov 14 22:13:20 2023\""),
                ("/transaction/request/method", "\"POST\""),
                ("/transaction/request/uri", "\"/exchange/%2e/owa?id=1'+or+1=1--&page=2\""),
                ("/transaction/response/http_code", "403"),
                ("/transaction/messages/0/details/ruleId", "\"942100\""),
                ("/transaction/messages/0/details/severity", "\"2\""),
                ("/transaction/messages/0/details/file", "\"rules/baseline.conf\""),
                ("/transaction/messages/0/details/lineNumber", "\"12\""),
                ("/transaction/messages/0/details/tags/0", "\"attack-sqli\""),
            ],
        );
    }

    #[test]
    fn csv_has_as_many_cells_in_every_row_and_starts_no_formula() {
        let columns = Form::Csv.head().unwrap().split(',').count();
        for row in exported(Form::Csv) {
            let (mut cells, mut quoted) = (1, false);
            for byte in row.bytes() {
                match byte {
                    b'"' => quoted = !quoted,
                    b',' if !quoted => cells += 1,
                    _ => {}
                }
            }
            assert_eq!((cells, quoted), (columns, false), "{row}");
        }
        let line = br#"{"event":{"kind":"request"},"url":{"path":"=cmd|' /C calc'!A0","query":"a,\"b\""}}"#;
        let row = Form::Csv.record(line).unwrap();
        assert!(row.contains("\"'=cmd|' /C calc'!A0\"") && row.contains("\"a,\"\"b\"\"\""), "{row}");
    }
}
