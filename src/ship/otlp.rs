//! OpenTelemetry's logs as OTLP/HTTP carries them in JSON (OTLP 1.x, section "OTLP/HTTP"; protobuf's JSON mapping).

use super::feed::Item;
use serde_json::{Value, json};

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

/// An `ExportLogsServiceRequest`.
pub(super) fn request(items: &[Item]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let request = json!({
        "resourceLogs": [{
            "resource": { "attributes": [attribute("service.name", &"portcullis".into()), attribute("service.version", &version.into())] },
            "scopeLogs": [{
                "scope": { "name": "portcullis.audit", "version": version },
                "logRecords": items.iter().map(record).collect::<Vec<_>>(),
            }],
        }],
    });
    request.to_string().into_bytes()
}

fn record(item: &Item) -> Value {
    let (number, word) = item.severity.otlp();
    let kind = item.record.pointer("/event/kind").and_then(Value::as_str).unwrap_or_default();
    let time = item.record["@timestamp"].as_str().and_then(crate::clock::unix_micros).unwrap_or_default();
    let found = ATTRIBUTES.iter().filter_map(|(name, pointer)| Some((name, item.record.pointer(pointer)?)));
    let rules: Vec<Value> = item.record["rules"].as_array().into_iter().flatten().map(|rule| rule["id"].to_string().into()).collect();
    let mut attributes: Vec<Value> = found.filter(|(_, value)| !value.is_null()).map(|(name, value)| attribute(name, value)).collect();
    if !rules.is_empty() {
        attributes.push(attribute("portcullis.rules", &rules.into()));
    }
    // Numbers of 64 bits are texts in protobuf's JSON.
    let nanoseconds = (u128::from(time) * 1000).to_string();
    json!({
        "timeUnixNano": nanoseconds,
        "observedTimeUnixNano": nanoseconds,
        "severityNumber": number,
        "severityText": word,
        "eventName": format!("portcullis.audit.{kind}"),
        "body": { "stringValue": item.text },
        "attributes": attributes,
    })
}

fn attribute(name: &str, value: &Value) -> Value {
    json!({ "key": name, "value": any(value) })
}

/// An `AnyValue`.
fn any(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => json!({ "intValue": whole.to_string() }),
            None => json!({ "doubleValue": number.as_f64() }),
        },
        Value::Bool(flag) => json!({ "boolValue": flag }),
        Value::Array(items) => json!({ "arrayValue": { "values": items.iter().map(any).collect::<Vec<_>>() } }),
        Value::String(text) => json!({ "stringValue": text }),
        other => json!({ "stringValue": other.to_string() }),
    }
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
