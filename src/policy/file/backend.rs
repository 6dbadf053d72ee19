//! `[[backend]]`: the named servers that requests can be forwarded to.

use super::names::{self, host_address, host_and_port};
use super::section::{SECONDS_MAX, Section, quoted, sentence};
use super::tree::{Sp, Span, Value};
use super::{Expect, Named};
use crate::limits;
use crate::policy::{Backend, Member, MemberTls};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A backend as read, with the places that later checks point at.
pub(super) struct BackendFile {
    pub(super) name: Sp<String>,
    pub(super) backend: Arc<Backend>,
    /// Where each member stands, in the order of `backend.members`.
    pub(super) members: Vec<Span>,
    /// Something in it could not be read, so its members are not all there.
    pub(super) whole: bool,
}

/// What a member can take from its backend.
struct Shared {
    address: Option<Sp<IpAddr>>,
    tls_name: Option<Sp<String>>,
    ca: Option<Sp<PathBuf>>,
    skip: Option<Sp<bool>>,
}

impl Shared {
    fn read(s: &Section<'_>) -> Self {
        Self {
            address: s.text("address").and_then(|text| match text.value.parse() {
                Ok(value) => Some(Sp { value, span: text.span }),
                Err(_) => {
                    let message = format!("`address` is an IP address without a port, not {}", quoted(&text.value));
                    s.ctx.report.error(&text.span, message, "for example: address = \"10.0.0.5\"; the port stands in the member's URL");
                    None
                }
            }),
            tls_name: s.text("tls_name").and_then(|text| match names::host(&text.value) {
                Ok(value) => Some(Sp { value, span: text.span }),
                Err((message, right)) => {
                    s.ctx.report.error(&text.span, sentence(&message), super::instead(&right));
                    None
                }
            }),
            ca: s.path("ca", Expect::File),
            skip: s.flag("dangerously_skip_verification"),
        }
    }

    /// The first setting that only means something over TLS.
    fn tls_span(&self) -> Option<(&'static str, &Span)> {
        let name = self.tls_name.as_ref().map(|s| ("tls_name", &s.span));
        let ca = self.ca.as_ref().map(|s| ("ca", &s.span));
        name.or(ca).or_else(|| self.skip.as_ref().filter(|s| s.value).map(|s| ("dangerously_skip_verification", &s.span)))
    }
}

/// Reads all backends.
pub(super) fn read(root: &Section<'_>) -> Vec<BackendFile> {
    let report = &root.ctx.report;
    let mut list: Vec<BackendFile> = Vec::new();
    for s in root.tables("backend") {
        let name = name(&s);
        if let Some(other) = list.iter().find(|o| name.as_ref().is_some_and(|n| n.value == o.name.value)) {
            let line = report.line(other.name.span.start);
            let at = name.as_ref().map_or(&s.span, |n| &n.span);
            let help = "give it another name, or put its members into the first one";
            report.error(at, format!("the backend {} is already there in line {line}", quoted(&other.name.value)), help);
        }
        let (members, whole) = members(&s);
        let seconds = |key, default: Duration| s.seconds(key).map_or(default, |n| n.value);
        let number = |key, from: i64, default: usize| s.number(key, from..=1_000_000).map_or(default, |n| n.value);
        let backend = Backend {
            index: list.len(),
            name: name.as_ref().map(|n| n.value.clone()).unwrap_or_default(),
            connect_timeout: seconds("connect_timeout_seconds", limits::BACKEND_CONNECT_TIMEOUT),
            header_timeout: seconds("header_timeout_seconds", limits::BACKEND_HEADER_TIMEOUT),
            between_bytes_timeout: seconds("between_bytes_timeout_seconds", limits::BACKEND_BETWEEN_BYTES_TIMEOUT),
            total_timeout: s
                .number_or::<u64>("total_timeout_seconds", "none", 1..=SECONDS_MAX)
                .and_then(|n| n.value)
                .map(Duration::from_secs),
            connections_max: number("connections_max", 1, limits::BACKEND_CONNECTIONS_MAX),
            idle_connections_max: number("idle_connections_max", 0, limits::BACKEND_IDLE_CONNECTIONS_MAX),
            idle_timeout: seconds("idle_timeout_seconds", limits::BACKEND_IDLE_TIMEOUT),
            members: members.iter().map(|m| m.value.clone()).collect(),
        };
        let name = name.unwrap_or_else(|| Sp { value: String::new(), span: s.span.clone() });
        list.push(BackendFile { name, backend: Arc::new(backend), members: members.into_iter().map(|m| m.span).collect(), whole });
    }
    list
}

fn name(s: &Section<'_>) -> Option<Sp<String>> {
    if !s.has("name") {
        s.ctx.report.missing(&s.span, "this backend has no `name`", "write name = \"app\"; maps use it in to = \"app/\"");
    }
    let name = s.text("name")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.value.chars().all(plain) {
        let right: String = name.value.chars().map(|c| if plain(c) { c } else { '-' }).collect();
        let message = "a backend's name has only letters, digits, `-`, `_` and `.`";
        s.ctx.report.error(&name.span, message, format!("write name = {}", quoted(&right)));
        return None;
    }
    Some(name)
}

/// The members, and whether all of them could be read.
fn members(s: &Section<'_>) -> (Vec<Sp<Member>>, bool) {
    let report = &s.ctx.report;
    let shared = Shared::read(s);
    let Some(node) = s.raw("members") else {
        report.missing(&s.span, "this backend has no `members`", "write members = [\"http://app.internal:8080\"]");
        return (Vec::new(), false);
    };
    let Value::Array(items) = &node.value else {
        if let Value::Text(url) = &node.value {
            report.error(&node.span, "`members` is a list", format!("write members = [{}]", quoted(url)));
        } else {
            s.wrong("members", node, "a list of URLs");
        }
        return (Vec::new(), false);
    };
    if items.is_empty() {
        report.error(&node.span, "a backend has at least one member", "write members = [\"http://app.internal:8080\"]");
    }
    if let Some(address) = shared.address.as_ref().filter(|_| items.len() > 1) {
        let help = "write members = [{ url = \"http://a.internal\", address = \"10.0.0.5\" }, ...]";
        report.error(&address.span, "several members cannot all be at one address", help);
    }
    let mut list: Vec<Sp<Member>> = Vec::new();
    for item in items {
        let Some(member) = one(s, item, &shared) else { continue };
        let twin = |o: &Sp<Member>| {
            o.value.host == member.value.host && o.value.port == member.value.port && o.value.address == member.value.address
        };
        if list.iter().any(twin) {
            report.error(&member.span, "this member stands here twice", "leave one out");
        }
        list.push(member);
    }
    if let Some(other) = list.iter().find(|m| m.value.tls.is_some() != list.first().is_some_and(|f| f.value.tls.is_some())) {
        report.warning(&other.span, "some members are reached over TLS and some are not", "use https:// for all of them");
    }
    if let Some((key, span)) = shared.tls_span()
        && list.len() == items.len()
        && list.iter().all(|m| m.value.tls.is_none())
    {
        report.error(
            span,
            format!("`{key}` means nothing: no member is reached over TLS"),
            "write https:// in the member's URL, or leave the key out",
        );
    }
    let whole = list.len() == items.len() && !list.is_empty();
    (list, whole)
}

fn one(s: &Section<'_>, item: &Sp<Value>, shared: &Shared) -> Option<Sp<Member>> {
    match &item.value {
        Value::Text(text) => member(s, &Sp { value: text.clone(), span: item.span.clone() }, shared, None),
        Value::Table(table) => {
            let inner = Section::open(s.ctx, table, item.span.clone(), "member", false);
            if !inner.has("url") {
                s.ctx.report.missing(&item.span, "this member has no `url`", "write { url = \"https://app.internal\", ... }");
            }
            let own = Shared::read(&inner);
            member(s, &inner.text("url")?, shared, Some(&own))
        }
        _ => {
            s.wrong("members", item, "a list of URLs");
            None
        }
    }
}

fn member(s: &Section<'_>, url: &Sp<String>, shared: &Shared, own: Option<&Shared>) -> Option<Sp<Member>> {
    let (tls, host, port) = match split(&url.value) {
        Ok(parts) => parts,
        Err((message, right)) => {
            let help =
                if right.is_empty() { "for example: members = [\"http://app.internal:8080\"]".to_owned() } else { super::instead(&right) };
            s.ctx.report.error(&url.span, sentence(&message), help);
            return None;
        }
    };
    let own_or = |f: fn(&Shared) -> bool| own.filter(|o| f(o)).unwrap_or(shared);
    if let Some((key, span)) = own.and_then(Shared::tls_span).filter(|_| !tls) {
        s.ctx.report.error(
            span,
            format!("`{key}` means nothing: this member is not reached over TLS"),
            "write https:// in its `url`, or leave the key out",
        );
    }
    let tls = tls.then(|| MemberTls {
        name: own_or(|o| o.tls_name.is_some()).tls_name.as_ref().map_or_else(|| host.clone(), |n| n.value.clone()),
        ca: own_or(|o| o.ca.is_some()).ca.as_ref().map(|c| c.value.clone()),
        dangerously_skip_verification: own_or(|o| o.skip.is_some()).skip.as_ref().is_some_and(|f| f.value),
    });
    if let Some(path) = tls.as_ref().and_then(|t| t.ca.clone()) {
        s.ctx.name(Named::Authorities { path });
    }
    let address = own_or(|o| o.address.is_some()).address.as_ref();
    if let (Some(address), Some(literal)) = (address, host_address(&host))
        && address.value != literal
    {
        let message = format!("`address` contradicts the address in the member's URL, {literal}");
        s.ctx.report.error(&address.span, message, "leave `address` out, or write a name in the URL");
    }
    let address = address.map(|a| a.value).or_else(|| host_address(&host));
    Some(Sp { value: Member { tls, host, port, address }, span: url.span.clone() })
}

/// Scheme, host and port of a member's URL; anything more is a mistake.
fn split(url: &str) -> Result<(bool, String, u16), names::Wrong> {
    let (scheme, rest) = match url.split_once("://") {
        Some((s, r)) => (s.to_ascii_lowercase(), r),
        None => {
            let right = host_and_port(url, 80).map(|_| format!("http://{url}")).unwrap_or_default();
            return Err((format!("{} has no scheme", quoted(url)), right));
        }
    };
    let tls = match scheme.as_str() {
        "http" => false,
        "https" => true,
        _ => return Err((format!("a backend speaks http or https, not {scheme}"), format!("http://{rest}"))),
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let authority = &rest[..end];
    if let Some((_, host)) = authority.rsplit_once('@') {
        let help = format!("{scheme}://{host}");
        return Err(("a member's URL has no user and password; see `replace_credentials_file`".into(), help));
    }
    if authority.contains('*') {
        return Err(("a backend is a server with a name: forwarding to any host cannot be configured".into(), String::new()));
    }
    if end < rest.len() {
        return Err(("a member's URL ends after host and port: a path stands in the map's `to`".into(), format!("{scheme}://{authority}")));
    }
    let (host, port) = host_and_port(authority, if tls { 443 } else { 80 })
        .map_err(|(message, right)| (message, if right.is_empty() { right } else { format!("{scheme}://{right}") }))?;
    Ok((tls, host, port))
}
