//! OpenTelemetry's logs as OTLP/HTTP carries them in JSON (OTLP 1.x, section "OTLP/HTTP"; protobuf's JSON mapping).

use super::feed::Item;
use serde_json::Value;
use std::io::Write as _;

/// Attributes by their names in the semantic conventions, where these have one, and where a record has them.
const ATTRIBUTES: [(&str, &str); 22] = [
    ("log.record.uid", "/event/id"),
    ("client.address", "/source/ip"),
    ("network.peer.address", "/source/peer_ip"),
    ("server.address", "/url/domain"),
    ("url.scheme", "/url/scheme"),
    ("url.path", "/url/path"),
    ("url.query", "/url/query"),
    ("http.request.method", "/http/request/method"),
    ("http.request.body.size", "/http/request/bytes"),
    ("http.response.status_code", "/http/response/status_code"),
    ("http.response.body.size", "/http/response/bytes"),
    ("user_agent.original", "/http/request/headers/user-agent/0"),
    ("user.name", "/user/name"),
    ("user.roles", "/user/groups"),
    ("tls.protocol.version", "/tls/version"),
    ("portcullis.sequence", "/event/sequence"),
    ("portcullis.outcome", "/event/outcome"),
    ("portcullis.site", "/site"),
    ("portcullis.layer", "/decision/layer"),
    ("portcullis.action", "/decision/action"),
    ("portcullis.reason", "/decision/reason"),
    ("portcullis.score", "/inspection/score"),
];

/// An `ExportLogsServiceRequest`, written straight into bytes: a tree of values for each record costs more than all else.
pub(super) fn request(items: &[Item]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = Vec::with_capacity(items.iter().map(|item| item.text.len() * 5 / 4 + 2048).sum());
    out.extend_from_slice(b"{\"resourceLogs\":[{\"resource\":{\"attributes\":[");
    attribute("service.name", &"portcullis".into(), &mut out);
    out.push(b',');
    attribute("service.version", &version.into(), &mut out);
    let _ = write!(out, "]}},\"scopeLogs\":[{{\"scope\":{{\"name\":\"portcullis.audit\",\"version\":\"{version}\"}},\"logRecords\":[");
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        record(item, &mut out);
    }
    out.extend_from_slice(b"]}]}]}");
    out
}

fn record(item: &Item, out: &mut Vec<u8>) {
    let (number, word) = item.severity.otlp();
    let kind = item.record.pointer("/event/kind").and_then(Value::as_str).unwrap_or_default();
    let time = item.record["@timestamp"].as_str().and_then(crate::clock::unix_micros).unwrap_or_default();
    // Numbers of 64 bits are texts in protobuf's JSON.
    let nanoseconds = u128::from(time) * 1000;
    let _ = write!(
        out,
        "{{\"timeUnixNano\":\"{nanoseconds}\",\"observedTimeUnixNano\":\"{nanoseconds}\",\"severityNumber\":{number},\"severityText\":\"{word}\",\
         \"eventName\":\"portcullis.audit.{kind}\",\"body\":{{\"stringValue\":"
    );
    text(&item.text, out);
    out.extend_from_slice(b"},\"attributes\":[");
    let begin = out.len();
    let mut put = |name: &str, value: &Value| {
        if out.len() > begin {
            out.push(b',');
        }
        attribute(name, value, out);
    };
    for (name, pointer) in ATTRIBUTES {
        if let Some(value) = item.record.pointer(pointer).filter(|value| !value.is_null()) {
            put(name, value);
        }
    }
    let rules: Vec<Value> = item.record["rules"].as_array().into_iter().flatten().map(|rule| rule["id"].to_string().into()).collect();
    if !rules.is_empty() {
        put("portcullis.rules", &rules.into());
    }
    out.extend_from_slice(b"]}");
}

/// A JSON string.
fn text(text: &str, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = serde_json::to_writer(out, text);
}

fn attribute(name: &str, value: &Value, out: &mut Vec<u8>) {
    let _ = write!(out, "{{\"key\":\"{name}\",\"value\":");
    any(value, out);
    out.push(b'}');
}

/// An `AnyValue`.
fn any(value: &Value, out: &mut Vec<u8>) {
    let _ = match value {
        Value::Number(number) if number.is_f64() => write!(out, "{{\"doubleValue\":{number}"),
        Value::Number(number) => write!(out, "{{\"intValue\":\"{number}\""),
        Value::Bool(flag) => write!(out, "{{\"boolValue\":{flag}"),
        Value::Array(items) => {
            out.extend_from_slice(b"{\"arrayValue\":{\"values\":[");
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                any(item, out);
            }
            out.extend_from_slice(b"]}");
            Ok(())
        }
        Value::String(string) => {
            out.extend_from_slice(b"{\"stringValue\":");
            text(string, out);
            Ok(())
        }
        other => {
            out.extend_from_slice(b"{\"stringValue\":");
            text(&other.to_string(), out);
            Ok(())
        }
    };
    out.push(b'}');
}

/// How many records an `ExportLogsServiceResponse` says were rejected.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    match &answer["partialSuccess"]["rejectedLogRecords"] {
        Value::String(number) => number.parse().unwrap_or_default(),
        value => value.as_u64().unwrap_or_default(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ship::severity::Severity;

    #[test]
    fn a_record_has_its_time_its_severity_its_body_and_typed_attributes() {
        let line = include_str!("../../audit/example.jsonl").lines().find(|line| line.contains("942100")).unwrap();
        let record: Value = serde_json::from_str(line).unwrap();
        let item = Item { severity: Severity::of(&record), record, text: line.to_owned() };
        let request: Value = serde_json::from_slice(&request(&[item])).unwrap();
        let log = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        for (pointer, expected) in [
            ("/timeUnixNano", "\"1700000000000000000\""),
            ("/severityNumber", "13"),
            ("/severityText", "\"WARNING\""),
            ("/eventName", "\"portcullis.audit.request\""),
        ] {
            assert_eq!(log.pointer(pointer).map(Value::to_string).as_deref(), Some(expected), "{pointer}");
        }
        assert_eq!(log["body"]["stringValue"], line);
        let of = |name: &str| log["attributes"].as_array().unwrap().iter().find(|one| one["key"] == name).unwrap()["value"].to_string();
        assert_eq!(of("http.response.status_code"), r#"{"intValue":"403"}"#);
        assert_eq!(of("client.address"), r#"{"stringValue":"203.0.113.9"}"#);
        assert_eq!(of("user.roles"), r#"{"arrayValue":{"values":[{"stringValue":"employees"}]}}"#);
        assert_eq!(of("portcullis.rules"), r#"{"arrayValue":{"values":[{"stringValue":"942100"}]}}"#);
        assert_eq!(request["resourceLogs"][0]["resource"]["attributes"][0]["value"]["stringValue"], "portcullis");
    }

    #[test]
    fn rejections_are_read_in_both_spellings_of_a_number() {
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"old"}}"#), 3);
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedLogRecords":4}}"#), 4);
        assert_eq!(rejected(b"{}") + rejected(b"") + rejected(b"<html>"), 0);
    }
}
