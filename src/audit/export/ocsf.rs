//! Open Cybersecurity Schema Framework 1.3: traffic as HTTP Activity (4002), the trail's own records as base events.

use super::{is_traffic, message, number, target, text, without_nothing};
use serde_json::{Value, json};

const HTTP_ACTIVITY: u64 = 4002;
const NETWORK_ACTIVITY: u64 = 4;
/// `Other` of every enumeration.
const OTHER: u64 = 99;

pub(super) fn record(record: &Value) -> Value {
    let is_denied = matches!(text(record, "/decision/action"), "deny" | "challenge");
    let has_rules = record["rules"].as_array().is_some_and(|rules| !rules.is_empty());
    let (class, category) = if is_traffic(record) { (HTTP_ACTIVITY, NETWORK_ACTIVITY) } else { (0, 0) };
    let activity = if is_traffic(record) { activity(text(record, "/http/request/method")) } else { OTHER };
    let status = match text(record, "/event/outcome") {
        "success" => 1,
        "failure" => 2,
        _ => 0,
    };
    let header = |name: &str| record["http"]["request"]["headers"][name][0].clone();
    let groups: Vec<Value> = record["user"]["groups"].as_array().into_iter().flatten().map(|group| json!({ "name": group })).collect();
    let traffic = if is_traffic(record) {
        json!({
            "action_id": if is_denied { 2 } else { 1 },
            "disposition_id": if is_denied { 2 } else { 1 },
            "http_request": {
                "uid": record["event"]["id"],
                "http_method": record["http"]["request"]["method"],
                "version": record["http"]["version"],
                "user_agent": header("user-agent"),
                "referrer": header("referer"),
                "length": record["http"]["request"]["bytes"],
                "url": {
                    "scheme": record["url"]["scheme"],
                    "hostname": record["url"]["domain"],
                    "path": record["url"]["path"],
                    "query_string": record["url"]["query"],
                    "url_string": target(record),
                    "port": record["destination"]["port"],
                },
            },
            "http_response": { "code": record["http"]["response"]["status_code"], "length": record["http"]["response"]["bytes"] },
            "src_endpoint": { "ip": record["source"]["ip"], "port": record["source"]["port"] },
            "dst_endpoint": { "ip": record["destination"]["ip"], "port": record["destination"]["port"], "hostname": record["url"]["domain"] },
            "tls": { "version": record["tls"]["version"], "cipher": record["tls"]["cipher"], "sni": record["tls"]["server_name"] },
            "actor": { "user": { "name": record["user"]["name"], "uid": record["user"]["hash"], "groups": groups } },
            "duration": number(record, "/timing/total_us").map(|micros| micros / 1000),
            "firewall_rule": { "uid": record["rules"][0]["id"].as_u64().map(|id| id.to_string()), "name": record["rules"][0]["message"] },
        })
    } else {
        Value::Null
    };
    let mut out = json!({
        "class_uid": class,
        "category_uid": category,
        "activity_id": activity,
        "type_uid": class * 100 + activity,
        "time": crate::clock::unix_micros(text(record, "/@timestamp")).unwrap_or_default() / 1000,
        "severity_id": if has_rules && is_denied { 4 } else if is_denied { 2 } else { 1 },
        "status_id": status,
        "status_detail": record["decision"]["reason"],
        "message": message(record),
        "metadata": {
            "version": "1.3.0",
            "uid": record["event"]["id"],
            "sequence": record["event"]["sequence"],
            "log_name": "portcullis.audit",
            "original_time": record["@timestamp"],
            "product": { "name": "Portcullis", "vendor_name": "Portcullis", "version": env!("CARGO_PKG_VERSION") },
        },
        "unmapped": {
            "kind": record["event"]["kind"],
            "decision": record["decision"],
            "site": record["site"],
            "map": record["map"],
            "rules": record["rules"],
            "gap": record["gap"],
            "flood": record["flood"],
            "account": record["account"],
            "user": if record["account"].is_object() { &record["user"] } else { &Value::Null },
            "trail": record["trail"],
            "chain": record["chain"],
        },
    });
    if let (Value::Object(out), Value::Object(traffic)) = (&mut out, traffic) {
        out.extend(traffic);
    }
    without_nothing(out)
}

fn activity(method: &str) -> u64 {
    match method {
        "CONNECT" => 1,
        "DELETE" => 2,
        "GET" => 3,
        "HEAD" => 4,
        "OPTIONS" => 5,
        "POST" => 6,
        "PUT" => 7,
        "TRACE" => 8,
        _ => OTHER,
    }
}
