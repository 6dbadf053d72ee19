//! Reading the keys of one table, each with its type and range, every mistake reported.

use super::keys;
use super::suggest::nearest;
use super::tree::{Entry, Sp, Span, Table, Value};
use super::{Ctx, Expect};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// The longest time a `_seconds` key may say: a day is longer than any connection should last.
pub(super) const SECONDS_MAX: i64 = 86_400;

/// Keys that other gateways use to turn forward proxying on.
const FORWARD_PROXY_KEYS: &[&str] =
    &["proxy_requests", "forward_proxy", "forward_proxying", "proxy_connect", "allow_connect", "open_proxy"];

/// One table of the file and the name it has in the key table.
#[derive(Clone)]
pub(super) struct Section<'a> {
    pub(super) ctx: &'a Ctx<'a>,
    table: &'a Table,
    /// Where its header stands.
    pub(super) span: Span,
    name: &'static str,
}

impl<'a> Section<'a> {
    /// Opens a table: unknown keys are reported at once. `narrow` is for the layers' tables inside a site or a map.
    pub(super) fn open(ctx: &'a Ctx<'a>, table: &'a Table, span: Span, name: &'static str, narrow: bool) -> Self {
        let section = Self { ctx, table, span, name };
        let inner: &[&str] = match name {
            "audit" => &["ship"],
            "site" => &["map", "auth", "ntlm", "rate_limit", "inspection", "exclusion", "mask", "account_requests"],
            "map" => &["auth", "ntlm", "rate_limit", "inspection", "exclusion", "mask"],
            _ => &[],
        };
        for entry in &table.entries {
            let key = entry.key.value.as_str();
            if !inner.contains(&key) && !keys::known(name, narrow).any(|k| k.name == key) {
                let known = keys::known(name, narrow).map(|k| k.name).chain(inner.iter().copied());
                section.unknown(entry, known, narrow);
            }
        }
        section
    }

    /// The whole file; its keys are the tables.
    pub(super) fn root(ctx: &'a Ctx<'a>, table: &'a Table) -> Self {
        let section = Self { ctx, table, span: 0..0, name: "" };
        let tables = || keys::SECTIONS.iter().map(|s| s.0).filter(|s| !matches!(*s, "member" | "map" | "ship" | "account_requests"));
        for entry in &table.entries {
            if !tables().any(|t| t == entry.key.value) {
                section.unknown(entry, tables(), false);
            }
        }
        section
    }

    fn unknown(&self, entry: &Entry, known: impl Iterator<Item = &'static str>, narrow: bool) {
        let key = entry.key.value.as_str();
        let span = &entry.key.span;
        let plain: String = key.to_ascii_lowercase().replace('-', "_");
        if ["passw", "secret", "token", "credential"].iter().any(|word| plain.contains(word)) {
            self.ctx.report.conceal(&entry.value.span);
        }
        if FORWARD_PROXY_KEYS.iter().any(|k| k.replace('_', "") == plain.replace('_', "")) {
            let message = format!("`{key}` cannot be configured: this gateway never proxies to hosts a client chooses");
            self.ctx.report.error(span, message, "remove the line; name each server in a [[backend]] and map a path to it");
            return;
        }
        let place = if self.name.is_empty() { "at the top of the file".to_owned() } else { format!("in {}", keys::written(self.name)) };
        let message = format!("there is no key `{}` {place}", shown(key));
        let inner = keys::SECTIONS.iter().find(|s| s.0 == key && s.1.starts_with("[site.")).map(|s| s.1);
        let elsewhere = keys::KEYS.iter().find(|k| k.name == key && k.section != self.name);
        let help = match (nearest(&plain, known), elsewhere) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, _) if inner.is_some() => format!("it is a table of a site: write {} below the [[site]]", inner.unwrap_or_default()),
            (_, Some(_)) if narrow && key == "require" => "write `require` directly in the [[site]] or [[site.map]]".to_owned(),
            (_, Some(k)) if matches!(self.name, "site" | "map") && k.levels == keys::Levels::All => {
                format!("`{key}` belongs into the table `{0}`: {0} = {{ {key} = {1} }}", k.section, k.example)
            }
            (_, Some(k)) => format!("`{key}` belongs into {}", keys::written(k.section)),
            (None, None) if narrow && keys::known(self.name, false).any(|k| k.name == key) => {
                format!("`{key}` holds for the whole gateway: write it in {}", keys::written(self.name))
            }
            (None, None) => "docs/configuration.md lists every key".to_owned(),
        };
        self.ctx.report.error(span, message, help);
    }

    /// Whether the key is written at all, rightly or wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// The value as it is written.
    pub(super) fn raw(&self, key: &'static str) -> Option<&'a Sp<Value>> {
        debug_assert!(self.name.is_empty() || keys::known(self.name, false).any(|k| k.name == key), "{}.{key} is not declared", self.name);
        self.table.get(key).map(|e| &e.value)
    }

    /// Reports a value of a wrong type, with an example of a right one.
    pub(super) fn wrong(&self, key: &str, value: &Sp<Value>, wanted: &str) {
        let example = keys::known(self.name, false).find(|k| k.name == key).map(|k| k.example);
        let help = example.map_or_else(String::new, |e| format!("for example: {key} = {e}"));
        self.ctx.report.error(&value.span, format!("`{key}` is {wanted}, not {}", value.value.kind()), help);
    }

    pub(super) fn text(&self, key: &'static str) -> Option<Sp<String>> {
        let node = self.raw(key)?;
        match &node.value {
            Value::Text(text) => self.checked_text(key, text, &node.span),
            _ => {
                self.wrong(key, node, "text");
                None
            }
        }
    }

    /// Text without control characters, not empty.
    fn checked_text(&self, key: &str, text: &str, span: &Span) -> Option<Sp<String>> {
        let problem = if text.trim().is_empty() {
            "is empty"
        } else if text.chars().any(char::is_control) {
            "contains a control character"
        } else {
            return Some(Sp { value: text.to_owned(), span: span.clone() });
        };
        let example = keys::known(self.name, false).find(|k| k.name == key).map_or("", |k| k.example);
        self.ctx.report.error(span, format!("`{key}` {problem}"), format!("for example: {key} = {example}"));
        None
    }

    pub(super) fn flag(&self, key: &'static str) -> Option<Sp<bool>> {
        let node = self.raw(key)?;
        match &node.value {
            Value::Boolean(flag) => Some(Sp { value: *flag, span: node.span.clone() }),
            _ => {
                self.wrong(key, node, "true or false");
                None
            }
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<Sp<T>> {
        let node = self.raw(key)?;
        let Value::Integer(number) = &node.value else {
            self.wrong(key, node, "a whole number");
            return None;
        };
        let fitting = number.filter(|n| range.contains(n)).and_then(|n| T::try_from(n).ok());
        if fitting.is_none() {
            let message = format!("`{key}` is from {} to {}", range.start(), range.end());
            let bound = if number.is_some_and(|n| n < *range.start()) { range.start() } else { range.end() };
            self.ctx.report.error(&node.span, message, format!("at the bound: {key} = {bound}"));
        }
        fitting.map(|value| Sp { value, span: node.span.clone() })
    }

    pub(super) fn seconds(&self, key: &'static str) -> Option<Sp<Duration>> {
        self.number::<u64>(key, 1..=SECONDS_MAX).map(|n| n.map(Duration::from_secs))
    }

    /// A number, or one word that stands for none.
    pub(super) fn number_or<T: TryFrom<i64>>(&self, key: &'static str, word: &str, range: RangeInclusive<i64>) -> Option<Sp<Option<T>>> {
        let node = self.raw(key)?;
        match &node.value {
            Value::Text(text) if text == word => Some(Sp { value: None, span: node.span.clone() }),
            Value::Integer(_) => self.number(key, range).map(|n| n.map(Some)),
            _ => {
                self.wrong(key, node, &format!("a whole number or \"{word}\""));
                None
            }
        }
    }

    pub(super) fn choice<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<Sp<T>> {
        let node = self.raw(key)?;
        let list = words.iter().map(|(w, _)| format!("\"{w}\"")).collect::<Vec<_>>().join(", ");
        let Value::Text(text) = &node.value else {
            self.wrong(key, node, &format!("one of {list}"));
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(w, _)| w == text) {
            return Some(Sp { value: *value, span: node.span.clone() });
        }
        let near = nearest(&text.to_lowercase(), words.iter().map(|(w, _)| *w));
        let help = near.map_or_else(|| format!("it is one of {list}"), |near| format!("write {key} = \"{near}\"; it is one of {list}"));
        self.ctx.report.error(&node.span, format!("`{key}` cannot be \"{}\"", shown(text)), help);
        None
    }

    /// A list of texts; a lone text is not a list, since that would make two ways to write one thing.
    pub(super) fn texts(&self, key: &'static str) -> Option<Sp<Vec<Sp<String>>>> {
        let node = self.raw(key)?;
        let Value::Array(items) = &node.value else {
            if let Value::Text(text) = &node.value {
                let help = format!("write {key} = [{}]", quoted(text));
                self.ctx.report.error(&node.span, format!("`{key}` is a list of texts"), help);
            } else {
                self.wrong(key, node, "a list of texts");
            }
            return None;
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            match &item.value {
                Value::Text(text) => list.extend(self.checked_text(key, text, &item.span)),
                _ => self.wrong(key, item, "a list of texts"),
            }
        }
        // Of a list with nothing but mistakes in it, emptiness is not one more.
        if list.is_empty() && !items.is_empty() { None } else { Some(Sp { value: list, span: node.span.clone() }) }
    }

    /// A path, relative to the file, which must be there.
    pub(super) fn path(&self, key: &'static str, expect: Expect) -> Option<Sp<PathBuf>> {
        if !self.has(key) {
            return None;
        }
        let Some(text) = self.text(key) else {
            self.ctx.faulty(key);
            return None;
        };
        Some(Sp { value: self.ctx.resolve(key, &text, expect), span: text.span })
    }

    /// The table behind a key.
    pub(super) fn table(&self, key: &'static str, narrow: bool) -> Option<Section<'a>> {
        let entry = self.table.get(key)?;
        match &entry.value.value {
            Value::Table(table) => Some(Section::open(self.ctx, table, entry.key.span.clone(), key, narrow)),
            other => {
                let header = if narrow { format!("{key} = {{ ... }}") } else { keys::written(key).to_owned() };
                let message = format!("`{key}` is a table, not {}", other.kind());
                self.ctx.report.missing(&entry.key.span, message, format!("write {header}, with its keys inside"));
                None
            }
        }
    }

    /// The tables of a `[[key]]`.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(entry) = self.table.get(key) else { return Vec::new() };
        let header = keys::written(key);
        let Value::Array(items) = &entry.value.value else {
            let message = format!("`{key}` can be there several times, so its header has two brackets");
            self.ctx.report.missing(&entry.key.span, message, format!("write {header}"));
            return Vec::new();
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            match &item.value {
                Value::Table(table) => list.push(Section::open(self.ctx, table, item.span.clone(), key, false)),
                other => {
                    let message = format!("`{key}` is a list of tables, not of {}", other.kind());
                    self.ctx.report.error(&item.span, message, format!("write {header}, with its keys below"));
                }
            }
        }
        list
    }
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml_string(&shown(text))
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text short and plain enough for a message.
pub(super) fn shown(text: &str) -> String {
    cut(text, 80)
}

/// A message that quotes the file, short and plain enough to be shown.
pub(super) fn sentence(text: &str) -> String {
    cut(text, 240)
}

fn cut(text: &str, characters_max: usize) -> String {
    let mut out: String = text.chars().take(characters_max).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(characters_max).is_some() {
        out.push_str("...");
    }
    out
}
