//! Comma-separated values (RFC 4180), one row a record. A cell that a spreadsheet would take for a formula begins with `'`.

use super::text;
use serde_json::Value;

/// Columns with where their values stand.
const COLUMNS: [(&str, &str); 27] = [
    ("time", "/@timestamp"),
    ("sequence", "/event/sequence"),
    ("kind", "/event/kind"),
    ("id", "/event/id"),
    ("outcome", "/event/outcome"),
    ("action", "/decision/action"),
    ("layer", "/decision/layer"),
    ("reason", "/decision/reason"),
    ("status", "/http/response/status_code"),
    ("backend_status", "/http/response/upstream_status_code"),
    ("method", "/http/request/method"),
    ("scheme", "/url/scheme"),
    ("host", "/url/domain"),
    ("path", "/url/path"),
    ("query", "/url/query"),
    ("address", "/source/ip"),
    ("user", "/user/name"),
    ("user_hash", "/user/hash"),
    ("site", "/site"),
    ("map", "/map"),
    ("score", "/inspection/score"),
    ("backend", "/upstream/backend"),
    ("request_bytes", "/http/request/bytes"),
    ("response_bytes", "/http/response/bytes"),
    ("total_us", "/timing/total_us"),
    ("user_agent", "/http/request/headers/user-agent/0"),
    ("count", "/flood/count"),
];

pub(super) fn head() -> String {
    let mut names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    names.push("rules");
    names.join(",")
}

pub(super) fn record(record: &Value) -> String {
    let mut row = String::new();
    for (_, pointer) in COLUMNS {
        match record.pointer(pointer) {
            Some(Value::Number(number)) => row.push_str(&number.to_string()),
            Some(Value::String(_)) => cell(text(record, pointer), &mut row),
            // A gap's count stands in the same column as a flood's.
            _ if pointer == "/flood/count" => {
                row.push_str(&record["gap"]["count"].as_u64().map_or_else(String::new, |count| count.to_string()))
            }
            // So does the answer to an account request where others have their reason.
            _ if pointer == "/decision/reason" => cell(text(record, "/account/answer"), &mut row),
            _ => {}
        }
        row.push(',');
    }
    let ids = record["rules"].as_array().into_iter().flatten().filter_map(|rule| rule["id"].as_u64());
    row.push_str(&ids.map(|id| id.to_string()).collect::<Vec<_>>().join(" "));
    row
}

fn cell(text: &str, row: &mut String) {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !is_formula && !text.contains([',', '"', '\n', '\r', '\'', ' ']) {
        return row.push_str(text);
    }
    row.push('"');
    if is_formula {
        row.push('\'');
    }
    row.push_str(&text.replace('"', "\"\""));
    row.push('"');
}
