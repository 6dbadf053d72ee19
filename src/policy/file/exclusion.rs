//! `[[exclusion]]`: what the rules leave out, why, who answers for it, until when.

use super::section::{Section, quoted};
use super::tree::{Sp, Value};
use super::{instead, paths};
use crate::limits::EXCLUSIONS_MAX;
use crate::policy::{Exclusion, Expiry, Marked, RuleChoice};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// Reads the exclusions written in the whole file's, a site's or a map's section.
pub(super) fn read(section: &Section<'_>) -> Vec<Arc<Exclusion>> {
    section.tables("exclusion").iter().filter_map(one).map(Arc::new).collect()
}

fn one(s: &Section<'_>) -> Option<Exclusion> {
    let ctx = s.ctx;
    for (key, example) in [("reason", "editors write SQL in articles"), ("owner", "wiki team")] {
        if !s.has(key) {
            let message = format!("this exclusion has no `{key}`");
            ctx.report.missing(&s.span, message, format!("whoever finds it later has to know: {key} = \"{example}\""));
        }
    }
    if !s.has("rule") {
        ctx.report.missing(
            &s.span,
            "this exclusion names no `rule`",
            "for example: rule = 942100, \"942110-942199\" or \"tag attack-xss\"",
        );
    }
    let index = ctx.next_exclusion();
    if index == EXCLUSIONS_MAX {
        ctx.report.error(&s.span, format!("these are more than {EXCLUSIONS_MAX} exclusions"), "exclude tags or ranges of ids");
    }
    let rules = rules(s);
    let targets = targets(s);
    let path = path(s);
    let (reason, owner) = (s.text("reason"), s.text("owner"));
    Some(Exclusion {
        index,
        source: format!("{}:{}", ctx.file_name, ctx.report.line(s.span.start)).into(),
        rules,
        targets,
        path,
        reason: reason?.value,
        owner: owner?.value,
        expires: expires(s),
    })
}

/// The items of a value that may be one or a list.
fn items(node: &Sp<Value>) -> &[Sp<Value>] {
    match &node.value {
        Value::Array(list) => list,
        _ => std::slice::from_ref(node),
    }
}

fn rules(s: &Section<'_>) -> Vec<Marked<RuleChoice>> {
    let Some(node) = s.raw("rule") else { return Vec::new() };
    let report = &s.ctx.report;
    if items(node).is_empty() {
        report.error(&node.span, "no rule is named", "for example: rule = [942100, \"tag attack-xss\"]");
    }
    let mut list = Vec::new();
    for item in items(node) {
        let choice = match &item.value {
            Value::Integer(Some(id)) if *id > 0 => Ok(RuleChoice::Ids(id.unsigned_abs(), id.unsigned_abs())),
            Value::Integer(_) => Err(("an id is greater than 0".to_owned(), String::new())),
            Value::Text(text) => choice(text),
            _ => {
                s.wrong("rule", item, "an id, a range of ids or a tag");
                continue;
            }
        };
        match choice {
            Ok(choice) => list.push(Marked::new(choice, report.place(&item.span))),
            Err((message, right)) => {
                let help = if right.is_empty() {
                    "for example: rule = 942100, \"942110-942199\" or \"tag attack-xss\"".into()
                } else {
                    instead(&right)
                };
                report.error(&item.span, message, help);
            }
        }
    }
    list
}

/// `942100`, `942100-942199` or `tag attack-sqli`; else what is wrong and the right form.
fn choice(text: &str) -> Result<RuleChoice, (String, String)> {
    if let Some(tag) = text.trim().strip_prefix("tag").filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
        let tag = tag.trim();
        return if tag.is_empty() { Err(("no tag is named".to_owned(), String::new())) } else { Ok(RuleChoice::Tag(tag.into())) };
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Err((format!("the range {first}-{last} is empty"), format!("{last}-{first}"))),
        (Ok(first), Ok(last)) if first > 0 => Ok(RuleChoice::Ids(first, last)),
        _ => {
            let right = if text.starts_with(|c: char| c.is_ascii_digit()) {
                String::new()
            } else {
                format!("tag {}", text.trim_start_matches("tag:").trim())
            };
            Err((format!("{} is neither an id nor a range of ids", quoted(text)), right))
        }
    }
}

fn targets(s: &Section<'_>) -> Vec<Marked<String>> {
    let Some(node) = s.raw("target") else { return Vec::new() };
    let report = &s.ctx.report;
    if items(node).is_empty() {
        report.error(&node.span, "no variable is named", "leave `target` out to leave the whole rule out");
    }
    let mut list = Vec::new();
    for item in items(node) {
        match &item.value {
            Value::Text(text) if !text.trim().is_empty() && !text.chars().any(char::is_control) => {
                list.push(Marked::new(text.trim().to_owned(), report.place(&item.span)));
            }
            Value::Text(_) => report.error(&item.span, "no variable is named", "for example: target = \"ARGS:body\""),
            _ => s.wrong("target", item, "a variable or a list of variables"),
        }
    }
    list
}

fn path(s: &Section<'_>) -> Option<Marked<String>> {
    let text = s.text("path")?;
    match paths::prefix(&text.value) {
        Ok(path) => Some(Marked::new(path, s.ctx.report.place(&text.span))),
        Err((message, right)) => {
            s.ctx.report.error(&text.span, message, instead(&right));
            None
        }
    }
}

fn expires(s: &Section<'_>) -> Option<Marked<Expiry>> {
    let text = s.text("expires")?;
    let day: Result<Date, _> = text.value.parse();
    let end = day.ok().and_then(|day| day.tomorrow().ok()).and_then(|day| day.to_zoned(TimeZone::UTC).ok());
    let Some(end) = end.filter(|_| text.value.len() == "2027-03-31".len()) else {
        s.ctx.report.error(
            &text.span,
            format!("{} is not a date", quoted(&text.value)),
            "write year, month and day: expires = \"2027-03-31\"",
        );
        return None;
    };
    let end_micros = u64::try_from(end.timestamp().as_microsecond()).unwrap_or(0);
    Some(Marked::new(Expiry { day: text.value, end_micros }, s.ctx.report.place(&text.span)))
}
