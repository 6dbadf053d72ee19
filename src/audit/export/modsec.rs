//! ModSecurity 3's JSON audit log (`SecAuditLogFormat JSON`), for dashboards that were made for it.

use super::{is_traffic, number, target, text};
use serde_json::{Map, Value, json};

/// The names of severities, by ModSecurity's numbers.
const SEVERITIES: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// One transaction; `None` for what is not about traffic.
pub(super) fn record(record: &Value) -> Option<Value> {
    is_traffic(record).then_some(())?;
    let mut headers = Map::new();
    headers.insert("Host".into(), record["url"]["domain"].clone());
    for (name, values) in record["http"]["request"]["headers"].as_object().into_iter().flatten() {
        let joined: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        headers.insert(name.clone(), joined.join(", ").into());
    }
    let engine = match text(record, "/inspection/mode") {
        "block" => "Enabled",
        "detect" => "DetectionOnly",
        _ => "Disabled",
    };
    Some(json!({
        "transaction": {
            "client_ip": record["source"]["ip"],
            "time_stamp": asctime(text(record, "/@timestamp")),
            "server_id": record["site"].as_str().unwrap_or_default(),
            "client_port": record["source"]["port"],
            "host_ip": record["destination"]["ip"],
            "host_port": record["destination"]["port"],
            "unique_id": record["event"]["id"],
            "request": {
                "method": record["http"]["request"]["method"],
                "http_version": text(record, "/http/version").parse::<f64>().unwrap_or(1.1),
                "hostname": record["url"]["domain"],
                "uri": target(record),
                "headers": headers,
            },
            "response": {
                "http_code": number(record, "/http/response/status_code").unwrap_or_default(),
                "headers": {},
            },
            "producer": {
                "modsecurity": format!("Portcullis/{}", env!("CARGO_PKG_VERSION")),
                "connector": "Portcullis",
                "secrules_engine": engine,
                "components": [],
            },
            "messages": record["rules"].as_array().into_iter().flatten().map(rule).collect::<Vec<_>>(),
        }
    }))
}

fn rule(rule: &Value) -> Value {
    let (file, line) = text(rule, "/source").rsplit_once(':').unwrap_or((text(rule, "/source"), ""));
    let severity = SEVERITIES.iter().position(|name| *name == text(rule, "/severity")).map_or_else(String::new, |place| place.to_string());
    let matched = format!("Matched \"{}\" at {}", text(rule, "/matched"), text(rule, "/variable"));
    json!({
        "message": rule["message"],
        "details": {
            "match": matched,
            "reference": "",
            "ruleId": number(rule, "/id").unwrap_or_default().to_string(),
            "file": file,
            "lineNumber": line,
            "data": text(rule, "/data"),
            "severity": severity,
            "ver": "",
            "rev": "",
            "tags": rule["tags"].as_array().cloned().unwrap_or_default(),
            "maturity": "0",
            "accuracy": "0",
        }
    })
}

/// `Tue Nov 14 22:13:20 2023`.
fn asctime(timestamp: &str) -> String {
    timestamp
        .parse::<jiff::Timestamp>()
        .map_or_else(|_| String::new(), |time| jiff::tz::Offset::UTC.to_datetime(time).strftime("%a %b %e %H:%M:%S %Y").to_string())
}
