//! The story of one record, in the order in which it happened.

use super::table::{paint, text, url, user};
use crate::audit::escape::printable;
use serde_json::Value;
use std::io::{self, Write};

/// The layers in request order: name, title, field of its time.
const LAYERS: [(&str, &str, &str); 6] = [
    ("door", "0 door", "door_us"),
    ("basic_auth", "1 Basic auth", "basic_auth_us"),
    ("ntlm_block", "2 NTLM/Negotiate block", "ntlm_block_us"),
    ("rate_limit", "3 rate limit", "rate_limit_us"),
    ("inspection", "4 inspection", "inspection_us"),
    ("forwarding", "5 forwarding", "forwarding_us"),
];

/// Writes the story.
pub(super) fn story(value: &Value, colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let (on, off) = paint(value, colour);
    if value["account"].is_object() {
        return account(value, out);
    }
    let line = |out: &mut dyn Write, name: &str, what: &str| if what.is_empty() { Ok(()) } else { writeln!(out, "  {name:<18} {what}") };
    writeln!(
        out,
        "{} {}  {on}{} {}{off}",
        text(value, "/event/kind"),
        text(value, "/event/id"),
        text(value, "/decision/action"),
        value.pointer("/http/response/status_code").map(Value::to_string).unwrap_or_default()
    )?;
    line(out, "time", &text(value, "/@timestamp"))?;
    line(out, "sequence", &value["event"]["sequence"].to_string())?;

    writeln!(out, "\nWhat came")?;
    let peer = text(value, "/source/peer_ip");
    let from = text(value, "/source/ip");
    let through = if peer == from { String::new() } else { format!(", connected from {peer}") };
    line(out, "from", &format!("{from}{through} port {}, connection {}", value["source"]["port"], value["source"]["connection"]))?;
    line(out, "at", &format!("{} port {}", text(value, "/destination/ip"), value["destination"]["port"]))?;
    if value["tls"].is_object() {
        let name = text(value, "/tls/server_name");
        line(out, "TLS", &format!("{} {} {} {name}", text(value, "/tls/version"), text(value, "/tls/cipher"), text(value, "/tls/group")))?;
    }
    let version = text(value, "/http/version");
    line(
        out,
        "request",
        &format!("{} {}://{} HTTP/{version}", text(value, "/http/request/method"), text(value, "/url/scheme"), url(value)),
    )?;
    line(out, "canonical path", &text(value, "/url/canonical_path"))?;
    for (name, values) in value["http"]["request"]["headers"].as_object().into_iter().flatten() {
        for one in values.as_array().into_iter().flatten().filter_map(Value::as_str) {
            line(out, &printable(name), &printable(one))?;
        }
    }
    line(out, "body", &format!("{} bytes", value["http"]["request"]["bytes"]))?;

    writeln!(out, "\nWhat the layers did")?;
    line(out, "site", &text(value, "/site"))?;
    line(out, "map", &text(value, "/map"))?;
    let decider = text(value, "/decision/layer");
    let reason = text(value, "/decision/reason");
    if !decider.is_empty() && !LAYERS.iter().any(|(name, ..)| *name == decider) {
        line(out, &decider, &format!("{on}{}: {reason}{off}", text(value, "/decision/action")))?;
    }
    for (name, title, timing) in LAYERS {
        let time = value["timing"][timing].as_u64().map(|micros| format!("{micros} us"));
        let decided = decider == name;
        let mut words = vec![time.unwrap_or_else(|| if decided { String::new() } else { "not reached".into() })];
        words.push(detail(value, name));
        if decided {
            words.push(format!("{on}{}: {reason}{off}", text(value, "/decision/action")));
        }
        words.retain(|word| !word.is_empty());
        line(out, title, &words.join(", "))?;
    }
    if decider.is_empty() {
        line(out, "decision", &format!("{} {reason}", text(value, "/decision/action")))?;
    }
    rules(value, out)?;

    writeln!(out, "\nWhat was answered")?;
    if value["upstream"].is_object() {
        let status = value.pointer("/http/response/upstream_status_code").map_or_else(|| "no status".into(), |s| format!("status {s}"));
        let reused = if value["upstream"]["reused"] == true { "kept connection" } else { "new connection" };
        let error = text(value, "/upstream/error");
        let backend = text(value, "/upstream/backend");
        line(
            out,
            "backend",
            &format!("{backend} {}: {status}, {reused}, {} tries {error}", text(value, "/upstream/address"), value["upstream"]["tries"]),
        )?;
    }
    let status = value.pointer("/http/response/status_code").map_or_else(|| "none".into(), Value::to_string);
    line(out, "status", &status)?;
    line(out, "body", &format!("{} bytes, {}", value["http"]["response"]["bytes"], text(value, "/http/response/ended")))?;
    for (name, field) in [("head after", "head_us"), ("all after", "total_us")] {
        line(out, name, &value["timing"][field].as_u64().map(|micros| format!("{micros} us")).unwrap_or_default())?;
    }
    line(out, "notes", &words(&value["notes"]))?;
    line(out, "cut fields", &words(&value["truncated"]))?;
    writeln!(out)
}

/// What became of an account request.
fn account(value: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "account {}  {}", text(value, "/event/id"), text(value, "/account/answer"))?;
    let groups = words(&value["user"]["groups"]);
    for (name, what) in [
        ("time", text(value, "/account/decided").into_owned()),
        ("sequence", value["event"]["sequence"].to_string()),
        ("site", text(value, "/site").into_owned()),
        ("user", text(value, "/user/name").into_owned()),
        ("groups", groups),
        ("by", text(value, "/account/by").into_owned()),
    ] {
        if !what.is_empty() {
            writeln!(out, "  {name:<18} {what}")?;
        }
    }
    writeln!(out)
}

fn words(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(printable).collect::<Vec<_>>().join(", ")
}

/// What a layer found, beside its time.
fn detail(value: &Value, layer: &str) -> String {
    match layer {
        "basic_auth" => {
            let groups = words(&value["user"]["groups"]);
            let groups = if groups.is_empty() { String::new() } else { format!(" in {groups}") };
            let hash = value["timing"]["hash_us"].as_u64().map(|micros| format!(" (hash {micros} us)")).unwrap_or_default();
            match user(value).as_str() {
                "-" => text(value, "/authentication/result").into_owned(),
                who => format!("{who}{groups}: {}{hash}", text(value, "/authentication/result")),
            }
        }
        "ntlm_block" => match words(&value["integrated_auth_removed"]) {
            removed if removed.is_empty() => removed,
            removed => format!("removed {removed}"),
        },
        "rate_limit" if value["rate_would_limit"] == true => "would have refused".into(),
        "inspection" => {
            let score = value["inspection"]["score"].as_i64().map(|score| format!(", score {score}")).unwrap_or_default();
            let reason = text(value, "/inspection/reason");
            let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
            format!("{}, {}{why}{score}", text(value, "/inspection/mode"), text(value, "/inspection/extent"))
        }
        _ => String::new(),
    }
}

fn rules(value: &Value, out: &mut dyn Write) -> io::Result<()> {
    for rule in value["rules"].as_array().into_iter().flatten() {
        let severity = text(rule, "/severity");
        writeln!(out, "    rule {} phase {} score {} {severity}  {}", rule["id"], rule["phase"], rule["score"], text(rule, "/message"))?;
        writeln!(out, "      {} = {}", text(rule, "/variable"), text(rule, "/matched"))?;
        for field in ["/data", "/source"] {
            let what = text(rule, field);
            if !what.is_empty() {
                writeln!(out, "      {what}")?;
            }
        }
    }
    Ok(())
}
