//! One record as one line of a table.

use crate::audit::escape::printable;
use serde_json::Value;
use std::io::{self, Write};

/// Characters of a URL or a text shown in a row.
const TEXT_MAX: usize = 100;

/// A string of the record that a terminal may show.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> std::borrow::Cow<'v, str> {
    printable(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

/// Who it was: a name, the beginning of a hash, or a dash.
pub(super) fn user(value: &Value) -> String {
    match (text(value, "/user/name"), text(value, "/user/hash")) {
        (name, _) if !name.is_empty() => name.into_owned(),
        (_, hash) if !hash.is_empty() => format!("#{}", hash.chars().take(8).collect::<String>()),
        _ => "-".into(),
    }
}

/// What was asked for.
pub(super) fn url(value: &Value) -> String {
    let query = text(value, "/url/query");
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{}{mark}{query}", text(value, "/url/domain"), text(value, "/url/path"))
}

/// The colour of an outcome, as a terminal's escape.
pub(super) fn paint(value: &Value, colour: bool) -> (&'static str, &'static str) {
    if !colour {
        return ("", "");
    }
    match text(value, "/event/outcome").as_ref() {
        "success" => ("\x1b[32m", "\x1b[0m"),
        "failure" => ("\x1b[31m", "\x1b[0m"),
        _ => ("\x1b[33m", "\x1b[0m"),
    }
}

/// The head of the table.
pub(super) fn head(colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let (on, off) = if colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    writeln!(
        out,
        "{on}{:<23} {:>3} {:<9} {:<32} {:<12} {:<15} {:<26} REQUEST{off}",
        "TIME (UTC)", "", "ACTION", "DECIDED BY", "USER", "ADDRESS", "EVENT"
    )
}

/// One row.
pub(super) fn row(value: &Value, colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let time = text(value, "/@timestamp").replace('T', " ").chars().take(23).collect::<String>();
    let (on, off) = paint(value, colour);
    let kind = text(value, "/event/kind");
    let what = match kind.as_ref() {
        "gap" => {
            let number = |field: &str| value["gap"][field].as_u64();
            let count = match (number("count"), number("count_max")) {
                (Some(count), _) => format!("{count} records"),
                (None, Some(most)) => format!("at most {most} records"),
                (None, None) => "an unknown number of records".into(),
            };
            let (reason, from, to) = (text(value, "/gap/reason"), text(value, "/gap/from"), text(value, "/gap/to"));
            format!("{count} lost from {from} to {to} ({reason})")
        }
        "flood" => {
            let (address, from, to) = (text(value, "/flood/address"), text(value, "/flood/from"), text(value, "/flood/to"));
            format!("{} refusals of {address} from {from} to {to}, counted together", value["flood"]["count"])
        }
        "start" => format!("the gateway began to write (before: {})", text(value, "/trail/previous")),
        "stop" => "the gateway ended".into(),
        "checkpoint" => format!("{} begun, {} written", value["trail"]["opened"], value["trail"]["written"]),
        "retired" => format!("{} removed for its age", text(value, "/trail/file")),
        "resume" => format!("{} ends with a line cut short", text(value, "/trail/file")),
        _ => String::new(),
    };
    if !what.is_empty() {
        return writeln!(out, "{time} {on}  - {kind:<9}{off} {what}");
    }
    let status = value.pointer("/http/response/status_code").map_or_else(|| "-".into(), Value::to_string);
    let layer = text(value, "/decision/layer");
    let reason = text(value, "/decision/reason");
    let by = if layer.is_empty() { reason.into_owned() } else { format!("{layer}: {reason}") };
    let request = if kind == "request" { String::new() } else { format!("[{kind}] ") };
    let request = format!("{request}{} {}", text(value, "/http/request/method"), url(value));
    let shown: String = request.chars().take(TEXT_MAX).collect();
    let more = if shown.len() < request.len() { "..." } else { "" };
    writeln!(
        out,
        "{time} {on}{status:>3} {:<9}{off} {by:<32} {:<12} {:<15} {:<26} {shown}{more}",
        text(value, "/decision/action"),
        user(value),
        text(value, "/source/ip"),
        text(value, "/event/id"),
    )
}
