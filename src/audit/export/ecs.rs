//! Elastic Common Schema 8.11: what it has a field for stands there, all else below `portcullis`.

use super::{is_traffic, message, number, target, text, without_nothing};
use serde_json::{Value, json};

/// Fields of ours that the schema has no place for.
const OWN: [&str; 15] = [
    "event",
    "authentication",
    "decision",
    "inspection",
    "rules",
    "upstream",
    "timing",
    "site",
    "map",
    "notes",
    "gap",
    "flood",
    "account",
    "trail",
    "chain",
];

pub(super) fn record(mut record: Value) -> Value {
    let is_denied = text(&record, "/event/outcome") == "failure" && is_traffic(&record);
    let has_rules = record["rules"].as_array().is_some_and(|rules| !rules.is_empty());
    let url = if is_traffic(&record) {
        format!("{}://{}{}", text(&record, "/url/scheme"), text(&record, "/url/domain"), target(&record))
    } else {
        String::new()
    };
    let category = match text(&record, "/decision/layer") {
        _ if record["account"].is_object() => json!(["iam"]),
        _ if !is_traffic(&record) => json!(["configuration"]),
        "basic_auth" => json!(["web", "authentication"]),
        _ => json!(["web"]),
    };
    let kinds = if text(&record, "/account/answer") == "approved" {
        json!(["user", "creation"])
    } else if !is_traffic(&record) {
        json!(["info"])
    } else if is_denied {
        json!(["access", "denied"])
    } else {
        json!(["access", "allowed"])
    };
    let list = |field: &str| {
        let values = record["rules"].as_array().into_iter().flatten().map(|rule| match &rule[field] {
            Value::Number(number) => number.to_string(),
            value => value.as_str().unwrap_or_default().to_owned(),
        });
        Value::from(values.collect::<Vec<_>>())
    };
    let header = |name: &str| record["http"]["request"]["headers"][name][0].as_str().unwrap_or_default().to_owned();
    let out = json!({
        "@timestamp": record["@timestamp"],
        "ecs": { "version": "8.11.0" },
        "message": message(&record),
        "event": {
            "kind": if has_rules && is_denied { "alert" } else { "event" },
            "category": category,
            "type": kinds,
            "module": "portcullis",
            "dataset": "portcullis.audit",
            "id": record["event"]["id"],
            "sequence": record["event"]["sequence"],
            "outcome": record["event"]["outcome"],
            "action": record["decision"]["action"],
            "reason": if record["account"].is_object() { &record["account"]["answer"] } else { &record["decision"]["reason"] },
            "duration": number(&record, "/timing/total_us").map(|micros| micros * 1000),
        },
        "observer": { "vendor": "Portcullis", "product": "Portcullis", "type": "gateway", "version": env!("CARGO_PKG_VERSION") },
        "source": { "ip": record["source"]["ip"], "address": record["source"]["ip"], "port": record["source"]["port"] },
        "client": { "ip": record["source"]["ip"] },
        "network": { "forwarded_ip": record["source"]["peer_ip"], "protocol": if is_traffic(&record) { "http" } else { "" } },
        "destination": record["destination"],
        "user": { "name": record["user"]["name"], "hash": record["user"]["hash"], "roles": record["user"]["groups"] },
        "user_agent": { "original": header("user-agent") },
        "http": {
            "version": record["http"]["version"],
            "request": {
                "method": record["http"]["request"]["method"],
                "referrer": header("referer"),
                "mime_type": header("content-type"),
                "body": { "bytes": record["http"]["request"]["bytes"] },
            },
            "response": {
                "status_code": record["http"]["response"]["status_code"],
                "body": { "bytes": record["http"]["response"]["bytes"] },
            },
        },
        "url": {
            "original": url,
            "scheme": record["url"]["scheme"],
            "domain": record["url"]["domain"],
            "path": record["url"]["path"],
            "query": record["url"]["query"],
        },
        "tls": {
            "version": record["tls"]["version"],
            "version_protocol": if record["tls"].is_object() { "tls" } else { "" },
            "cipher": record["tls"]["cipher"],
            "curve": record["tls"]["group"],
            "next_protocol": record["tls"]["protocol"],
            "client": { "server_name": record["tls"]["server_name"] },
        },
        "rule": { "id": list("id"), "name": list("message"), "ruleset": if has_rules { "seclang" } else { "" } },
        "portcullis": OWN.iter().map(|name| ((*name).to_owned(), record[*name].take())).collect::<serde_json::Map<_, _>>(),
    });
    without_nothing(out)
}
