//! `require` as it is written: a list of lines, nested by `all`, `any`, `none`.

use super::Ctx;
use super::names::network;
use super::section::{quoted, sentence, shown};
use super::suggest::nearest;
use super::tree::{Sp, Span, Table, Value};
use crate::policy::Require;

const WORDS: &[&str] = &["valid-user", "user", "group", "ip", "local", "all granted", "all denied"];

/// Reads the value of a `require` key. `None` where it has a mistake, which is then reported.
pub(super) fn read(ctx: &Ctx<'_>, node: &Sp<Value>) -> Option<Sp<Require>> {
    let require = match &node.value {
        Value::Array(items) => {
            let list = list(ctx, items, &node.span);
            if let Some(list) = &list {
                plain_list(ctx, list, items, &node.span);
            }
            Require::Any(list?)
        }
        Value::Table(table) => nested(ctx, table, &node.span)?,
        Value::Text(text) => {
            ctx.report.error(&node.span, "`require` is a list of lines", format!("write require = [{}]", quoted(text)));
            return None;
        }
        other => {
            ctx.report.error(&node.span, format!("`require` is a list of lines, not {}", other.kind()), EXAMPLE);
            return None;
        }
    };
    if opens(&require) && !says_open(&require) {
        let help =
            "name who may come in: { all = [\"valid-user\", { none = [...] }] }, or say { all = [\"all granted\", { none = [...] }] }";
        ctx.report.error(&node.span, "this opens the map to everybody but a few, without saying `all granted`", help);
    }
    Some(Sp { value: require, span: node.span.clone() })
}

const EXAMPLE: &str = "for example: require = [\"group employees\", \"user carol\"]";

fn list(ctx: &Ctx<'_>, items: &[Sp<Value>], span: &Span) -> Option<Vec<Require>> {
    if items.is_empty() {
        ctx.report.error(span, "an empty list lets nobody in", "say it in words: require = [\"all denied\"]");
        return None;
    }
    // Every item is read before any is given up, so that all mistakes are found.
    let read: Vec<Option<Require>> = items.iter().map(|item| one(ctx, item)).collect();
    read.into_iter().collect()
}

fn one(ctx: &Ctx<'_>, item: &Sp<Value>) -> Option<Require> {
    match &item.value {
        Value::Text(text) => line(ctx, text, &item.span),
        Value::Table(table) => nested(ctx, table, &item.span),
        other => {
            ctx.report.error(&item.span, format!("a condition is text or a table, not {}", other.kind()), EXAMPLE);
            None
        }
    }
}

fn nested(ctx: &Ctx<'_>, table: &Table, span: &Span) -> Option<Require> {
    let help = "write { all = [...] }, { any = [...] } or { none = [...] }";
    let [entry] = table.entries.as_slice() else {
        ctx.report.error(span, "a nested condition has exactly one of `all`, `any` and `none`", help);
        return None;
    };
    let join: fn(Vec<Require>) -> Require = match entry.key.value.as_str() {
        "all" => Require::All,
        "any" => Require::Any,
        "none" => Require::None,
        other => {
            ctx.report.error(&entry.key.span, format!("conditions are not joined by `{}`", shown(other)), help);
            return None;
        }
    };
    match &entry.value.value {
        Value::Array(items) => list(ctx, items, &entry.value.span).map(join),
        other => {
            let message = format!("`{}` takes a list, not {}", entry.key.value, other.kind());
            ctx.report.error(&entry.value.span, message, help);
            None
        }
    }
}

/// One line, in the words of Apache's `Require`.
fn line(ctx: &Ctx<'_>, text: &str, span: &Span) -> Option<Require> {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let rest: Vec<String> = words.map(str::to_owned).collect();
    let error = |message: String, help: &str| {
        ctx.report.error(span, message, help);
        None
    };
    if text.chars().any(char::is_control) {
        return error("a condition has no control characters".into(), EXAMPLE);
    }
    match (first, rest.as_slice()) {
        ("valid-user", []) => Some(Require::ValidUser),
        ("local", []) => Some(Require::Local),
        ("all", [word]) if word == "granted" => Some(Require::AllGranted),
        ("all", [word]) if word == "denied" => Some(Require::AllDenied),
        ("all", _) => {
            error(format!("\"{}\" is neither `all granted` nor `all denied`", shown(text)), "write \"all granted\" or \"all denied\"")
        }
        ("user" | "group", []) => error(format!("`{first}` needs a name"), &format!("for example: \"{first} employees\"")),
        ("user" | "group", names) if names.iter().any(|n| n.contains(',')) => {
            let right = text.replace(',', " ").split_whitespace().collect::<Vec<_>>().join(" ");
            error("names are separated by blanks, not commas".into(), &format!("write {}", quoted(&right)))
        }
        ("user", _) => Some(Require::Users(rest)),
        ("group", _) => Some(Require::Groups(rest)),
        ("ip", []) => error("`ip` needs a network".into(), "for example: \"ip 10.0.0.0/8\""),
        ("ip", networks) => ip(ctx, networks, span),
        ("valid-user" | "local", _) => error(format!("`{first}` stands alone"), &format!("write \"{first}\"")),
        ("not", _) => {
            let negated = rest.join(" ");
            error("`not` is written as a nested condition".into(), &format!("write {{ none = [{}] }}", quoted(&negated)))
        }
        ("host" | "forward-dns", _) => {
            error(format!("`{first}` is not supported: whoever owns an address chooses its name"), "name the networks: \"ip 10.0.0.0/8\"")
        }
        ("env" | "expr" | "method" | "ldap-user" | "ldap-group" | "file-group" | "dbm-group" | "unix-group", _) => {
            error(format!("`{first}` is not supported"), "conditions are: valid-user, user, group, ip, local, all granted, all denied")
        }
        _ => {
            let near =
                nearest(&text.to_lowercase(), WORDS.iter().copied()).or_else(|| nearest(&first.to_lowercase(), WORDS.iter().copied()));
            let help = near.map_or_else(
                || "conditions are: valid-user, user, group, ip, local, all granted, all denied".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            error(format!("\"{}\" is not a condition", shown(text)), &help)
        }
    }
}

fn ip(ctx: &Ctx<'_>, networks: &[String], span: &Span) -> Option<Require> {
    let mut list = Vec::with_capacity(networks.len());
    let mut whole = true;
    for text in networks {
        match network(text) {
            Ok(net) => list.push(net),
            Err((message, right)) => {
                whole = false;
                let help = if !right.is_empty() {
                    format!("write \"ip {right}\"")
                } else if message.contains("every address") {
                    "to let everybody in, say \"all granted\"".to_owned()
                } else {
                    "for example: \"ip 10.0.0.0/8 2001:db8::/32\"".to_owned()
                };
                ctx.report.error(span, sentence(&message), help);
            }
        }
    }
    whole.then_some(Require::Ip(list))
}

/// What a plain list must not mix: its meaning is `any`, which few who write it have in mind.
fn plain_list(ctx: &Ctx<'_>, list: &[Require], items: &[Sp<Value>], span: &Span) {
    let source = |i: usize| items.get(i).and_then(|n| ctx.report.text.get(n.span.clone())).unwrap_or("...").to_owned();
    let all = (0..list.len()).map(source).collect::<Vec<_>>().join(", ");
    if list.len() > 1
        && let Some(i) = list.iter().position(|r| matches!(r, Require::AllGranted | Require::AllDenied))
    {
        let what = source(i);
        let at = items.get(i).map_or(span, |n| &n.span);
        ctx.report.error(at, format!("{what} makes the rest of the list pointless"), format!("write require = [{what}], or leave it out"));
        return;
    }
    let users = list.iter().any(Require::names_users);
    if let Some(i) = list.iter().position(|r| !matches!(r, Require::Any(_)) && passwordless(r))
        && users
    {
        let help = format!("write require = {{ all = [{all}] }} for both, or require = {{ any = [{all}] }} if that is meant");
        let at = items.get(i).map_or(span, |n| &n.span);
        ctx.report.error(at, format!("{} beside users opens the map without a password to whoever it holds for", source(i)), help);
    }
}

/// Whether the condition can hold for somebody who has not logged in.
fn passwordless(require: &Require) -> bool {
    match require {
        Require::AllGranted | Require::Ip(_) | Require::Local | Require::None(_) => true,
        Require::AllDenied | Require::ValidUser | Require::Users(_) | Require::Groups(_) => false,
        Require::Any(list) => list.iter().any(passwordless),
        Require::All(list) => list.iter().all(passwordless),
    }
}

/// Whether it holds for a stranger from anywhere.
fn opens(require: &Require) -> bool {
    match require {
        Require::AllGranted => true,
        Require::Any(list) => list.iter().any(opens),
        Require::All(list) => list.iter().all(opens),
        Require::None(list) => !list.iter().any(opens),
        _ => false,
    }
}

fn says_open(require: &Require) -> bool {
    match require {
        Require::AllGranted => true,
        Require::Any(list) | Require::All(list) => list.iter().any(says_open),
        _ => false,
    }
}

/// Whether a group file is needed.
pub(super) fn names_groups(require: &Require) -> bool {
    match require {
        Require::Groups(_) => true,
        Require::Any(list) | Require::All(list) | Require::None(list) => list.iter().any(names_groups),
        _ => false,
    }
}
