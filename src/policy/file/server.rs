//! The tables about the gateway itself: listeners, admin, log, audit, limits.

use super::section::Section;
use super::settings::{Level, each, header_name};
use super::tree::{Sp, Span};
use super::{Ctx, Expect, Named, names, require, ship};
use crate::audit::read::INDEX_DIRECTORY;
use crate::audit::{JsonPath, Redactor};
use crate::limits;
use crate::policy::{Admin, Audit, AuditSync, ClientLimits, ConsoleSettings, Listener, Log, OnAuditFailure, Require};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the console listens by default.
const ADMIN_ADDRESS: &str = "127.0.0.1:9900";
/// The audit folder by default: beside the folder of the policy.
const AUDIT_DIRECTORY: &str = "../audit";

/// Hours after which a closed file is compressed: today's and yesterday's are plain.
const COMPRESS_AFTER_HOURS: Option<u64> = Some(24);

/// The listeners, each with the place of its address.
pub(super) fn listeners(root: &Section<'_>) -> Vec<Sp<Listener>> {
    let report = &root.ctx.report;
    let mut list: Vec<Sp<Listener>> = Vec::new();
    for s in root.tables("listener") {
        let tls = s.flag("tls").is_none_or(|f| f.value);
        let proxy_protocol_from = balancers(&s);
        if !s.has("address") {
            report.missing(&s.span, "this listener has no `address`", "write address = \"0.0.0.0:443\"");
        }
        let Some(address) = socket_address(&s, "address") else { continue };
        if address.value.port() == 0 {
            report.warning(&address.span, "port 0 is a different port at every start", "write the port that clients know");
        }
        if let Some(other) = list.iter().find(|o| collide(o.value.address, address.value)) {
            let message = format!("{} is already listened to in line {}", address.value, report.line(other.span.start));
            report.error(&address.span, message, "give each listener its own address or port");
        }
        list.push(Sp { value: Listener { address: address.value, tls, proxy_protocol_from }, span: address.span });
    }
    if !root.has("listener") {
        report.lacking("there is no listener: nobody can connect", "add [[listener]] with address = \"0.0.0.0:443\"");
    }
    list
}

/// Who must send a PROXY protocol header; the flag and the list only make sense together.
fn balancers(s: &Section<'_>) -> Vec<IpNet> {
    let report = &s.ctx.report;
    let flag = s.flag("proxy_protocol");
    let from = each(s, "proxy_protocol_from", names::network);
    match (flag.filter(|flag| flag.value), from) {
        (None, Some(from)) if !from.value.is_empty() => {
            report.error(&from.span, "these networks mean nothing without `proxy_protocol = true`", "add proxy_protocol = true");
            Vec::new()
        }
        (None, _) => Vec::new(),
        (Some(flag), from) => {
            let list = from.map(|from| from.value).unwrap_or_default();
            if list.is_empty() {
                let message = "whoever connects could choose the address that is logged and let in";
                report.error(&flag.span, message, "name the load balancers: proxy_protocol_from = [\"10.0.0.1/32\"]");
            }
            list
        }
    }
}

/// Whether both cannot be listened to at the same time.
pub(super) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let wide = |x: IpAddr, y: IpAddr| x.is_unspecified() && (x.is_ipv6() || y.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || wide(a.ip(), b.ip()) || wide(b.ip(), a.ip()))
}

fn socket_address(s: &Section<'_>, key: &'static str) -> Option<Sp<SocketAddr>> {
    let text = s.text(key)?;
    if let Ok(value) = text.value.parse() {
        return Some(Sp { value, span: text.span });
    }
    let t = text.value.trim();
    let guess = if t.parse::<u16>().is_ok() || t.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok()) {
        format!("0.0.0.0:{}", t.trim_start_matches(':'))
    } else if let Some(port) = t.strip_prefix("*:").or_else(|| t.strip_prefix("localhost:")).filter(|p| p.parse::<u16>().is_ok()) {
        format!("{}:{port}", if t.starts_with('*') { "0.0.0.0" } else { "127.0.0.1" })
    } else if let Ok(ip) = t.parse::<IpAddr>() {
        SocketAddr::new(ip, 443).to_string()
    } else {
        String::new()
    };
    let help =
        if guess.is_empty() { "an IP address and a port, as in \"0.0.0.0:443\" or \"[::]:443\"".into() } else { super::instead(&guess) };
    let message = format!("\"{}\" is not an address with a port", super::section::shown(&text.value));
    s.ctx.report.error(&text.span, message, help);
    None
}

/// The admin listener, with the place of its address. `global` has the password and group files where it names none of its own.
pub(super) fn admin(root: &Section<'_>, global: &Level) -> Option<Sp<Admin>> {
    let s = root.table("admin", false)?;
    let address = if s.has("address") {
        socket_address(&s, "address")
    } else {
        ADMIN_ADDRESS.parse().ok().map(|value| Sp { value, span: s.span.clone() })
    };
    let allowed = s.flag("dangerously_public_admin").is_some_and(|f| f.value);
    let address = address?;
    if !address.value.ip().to_canonical().is_loopback() && !allowed {
        let help = format!("write address = \"127.0.0.1:{}\", or dangerously_public_admin = true", address.value.port());
        s.ctx.report.error(&address.span, "other machines can reach this admin address", help);
    }
    let console = console(&s, global);
    Some(address.map(|address| Admin { address, console }))
}

/// Who may use the console; nobody where `require` is not written.
fn console(s: &Section<'_>, global: &Level) -> Option<ConsoleSettings> {
    let own = |key| s.path(key, Expect::File);
    let (users, groups) = (own("users"), own("groups"));
    let dangerously_allow_des = global.auth.dangerously_allow_des.as_ref().is_some_and(|flag| flag.value);
    for path in users.iter().map(|path| path.value.clone()) {
        s.ctx.name(Named::Users { path, dangerously_allow_des });
    }
    for path in groups.iter().map(|path| path.value.clone()) {
        s.ctx.name(Named::Groups { path });
    }
    let written = require::read(s.ctx, s.raw("require")?)?;
    if !people_only(&written.value) {
        let help = "write require = [\"group admins\"]; an address can be asked for beside that by the machine's firewall";
        s.ctx.report.error(&written.span, "the console is only for people who log in", help);
    }
    let (users, groups) = (users.or_else(|| global.auth.users.clone()), groups.or_else(|| global.auth.groups.clone()));
    if users.is_none() && !s.ctx.is_faulty("users") {
        let help = "write users = \"auth/htpasswd\" in [admin] or [auth]";
        s.ctx.report.missing(&written.span, "this needs a password file, and none is named", help);
    }
    if require::names_groups(&written.value) && groups.is_none() && !s.ctx.is_faulty("groups") {
        let help = "write groups = \"auth/groups\" in [admin] or [auth]";
        s.ctx.report.missing(&written.span, "this needs a group file, and none is named", help);
    }
    Some(ConsoleSettings { users: users?.value, groups: groups.map(|path| path.value), require: written.value, dangerously_allow_des })
}

/// Whether a `require` names nothing but people.
fn people_only(require: &Require) -> bool {
    match require {
        Require::ValidUser | Require::Users(_) | Require::Groups(_) | Require::AllDenied => true,
        Require::AllGranted | Require::Ip(_) | Require::Local => false,
        Require::Any(list) | Require::All(list) | Require::None(list) => list.iter().all(people_only),
    }
}

/// Admin and clients on one socket are told apart by nothing.
pub(super) fn admin_apart(ctx: &Ctx<'_>, admin: Option<&Sp<Admin>>, listeners: &[Sp<Listener>]) {
    let Some(admin) = admin else { return };
    if let Some(other) = listeners.iter().find(|l| collide(l.value.address, admin.value.address)) {
        let message = format!("the admin address is also the listener of line {}", ctx.report.line(other.span.start));
        ctx.report.error(&admin.span, message, format!("write address = \"{ADMIN_ADDRESS}\""));
    }
}

/// The operational log.
pub(super) fn log(root: &Section<'_>) -> Log {
    let s = root.table("log", false);
    let level = s.as_ref().and_then(|s| s.text("level"));
    if let (Some(s), Some(level)) = (&s, &level)
        && !is_filter(&level.value)
    {
        let words = ["error", "warn", "info", "debug", "trace"];
        let near = super::suggest::nearest(&level.value.to_lowercase(), words.into_iter()).unwrap_or("info");
        let message = format!("\"{}\" is not a log level", super::section::shown(&level.value));
        s.ctx.report.error(&level.span, message, format!("write level = \"{near}\"; levels are error, warn, info, debug, trace"));
    }
    Log {
        level: level.map_or_else(|| "info".to_owned(), |l| l.value),
        directory: s.as_ref().and_then(|s| s.path("directory", Expect::Anything)).map(|d| d.value),
        json: s.as_ref().and_then(|s| s.choice("format", &[("text", false), ("json", true)])).is_some_and(|j| j.value),
    }
}

/// `info`, or `info,module=debug`. The filter's own parser takes a mistyped level for a module's name.
fn is_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    text.parse::<tracing_subscriber::filter::Targets>().is_ok()
        && text.split(',').all(|part| LEVELS.contains(&part.rsplit('=').next().unwrap_or_default().trim().to_ascii_lowercase().as_str()))
}

/// The audit trail. `console` says that somebody reads it there.
pub(super) fn audit(root: &Section<'_>, console: bool) -> Audit {
    let s = root.table("audit", false);
    let s = s.as_ref();
    let list_of = |key, read: fn(&str) -> Result<String, names::Wrong>| {
        let mut list = s.and_then(|s| each(s, key, read)).map(|own| own.value).unwrap_or_default();
        list.sort();
        list.dedup();
        list
    };
    let place = |key| s.and_then(|s| s.path(key, Expect::Anything));
    let directory = place("directory").map_or_else(|| root.ctx.base.join(AUDIT_DIRECTORY), |d| d.value);
    let state_directory = place("state_directory");
    for own in [&state_directory, &place("signing_key"), &place("heads_file"), &place("spill_directory")].into_iter().flatten() {
        if own.value.starts_with(&directory) {
            let help = "name a place outside it: whoever can change the records must not reach this with them";
            root.ctx.report.error(&own.span, "this lies inside the audit directory", help);
        }
    }
    let sync = [("interval", AuditSync::Interval), ("commit", AuditSync::Commit), ("never", AuditSync::Never)];
    let seconds = |key, default: Duration| s.and_then(|s| s.seconds(key)).map_or(default, |n| n.value);
    let hours = s.and_then(|s| s.number_or("compress_after_hours", "never", 0..=876_000)).map_or(COMPRESS_AFTER_HOURS, |n| n.value);
    let flood = s.and_then(|s| s.number_or("flood_records_per_second", "unlimited", 1..=1_000_000));
    let failure = [("refuse", OnAuditFailure::Refuse), ("serve", OnAuditFailure::Serve)];
    let state_directory = state_directory.map_or_else(|| beside(&directory), |d| d.value);
    Audit {
        ship: s.map(|s| ship::read(s, &state_directory)).unwrap_or_default(),
        state_directory,
        signing_key: place("signing_key").map(|d| d.value),
        heads_file: place("heads_file").map(|d| d.value),
        spill_directory: place("spill_directory").map(|d| d.value),
        index_directory: place("index_directory").map_or_else(|| directory.join(INDEX_DIRECTORY), |d| d.value),
        index: s.and_then(|s| s.flag("index")).map_or(console, |flag| flag.value),
        directory,
        file_bytes_max: s.and_then(|s| s.number("file_bytes_max", 1 << 16..=1 << 40)).map_or(limits::AUDIT_FILE_BYTES_MAX, |n| n.value),
        retention_days: s.and_then(|s| s.number_or("retention_days", "forever", 1..=36_500)).and_then(|n| n.value),
        compress_after: hours.map(|hours: u64| Duration::from_secs(hours * 3600)),
        sync: s.and_then(|s| s.choice("sync", &sync)).map_or(AuditSync::Interval, |c| c.value),
        sync_interval: seconds("sync_interval_seconds", limits::AUDIT_SYNC_INTERVAL),
        checkpoint_interval: seconds("checkpoint_interval_seconds", limits::AUDIT_CHECKPOINT_INTERVAL),
        flood_records_per_second: flood.map_or(Some(limits::FLOOD_RECORDS_PER_SECOND), |n| n.value),
        on_failure: s.and_then(|s| s.choice("on_failure", &failure)).map_or(OnAuditFailure::Refuse, |c| c.value),
        redact_parameters: list_of("redact_parameters", |name| Ok(name.to_lowercase())),
        dangerously_record_parameters: list_of("dangerously_record_parameters", recordable),
        redact_headers: list_of("redact_headers", header_name),
        redact_json_paths: s.and_then(|s| each(s, "redact_json_paths", json_path)).map(|paths| paths.value).unwrap_or_default(),
        dangerously_record_unknown_users: s.and_then(|s| s.flag("dangerously_record_unknown_users")).is_some_and(|f| f.value),
    }
}

/// A name of the built-in list that may be written.
fn recordable(text: &str) -> Result<String, names::Wrong> {
    let name = text.to_lowercase();
    if Redactor::is_recordable(&name) {
        return Ok(name);
    }
    let what = "is not among the built-in parameters that may be written";
    Err((format!("\"{}\" {what}", super::section::shown(text)), "session".to_owned()))
}

fn json_path(text: &str) -> Result<JsonPath, names::Wrong> {
    JsonPath::parse(text).map_err(|what| (format!("\"{}\" is no path into JSON: {what}", super::section::shown(text)), String::new()))
}

/// The state folder by default: `audit-state` beside `audit`.
fn beside(directory: &Path) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_else(|| "audit".as_ref()).to_owned();
    name.push("-state");
    directory.with_file_name(name)
}

/// Limits of clients' connections.
pub(super) fn client_limits(root: &Section<'_>) -> ClientLimits {
    const SIZE_MAX: i64 = 1 << 20;
    const COUNT_MAX: i64 = 10_000_000;
    let s = root.table("limits", false);
    let s = s.as_ref();
    let number = |key, range, default: usize| s.and_then(|s| s.number(key, range)).map_or(default, |n| n.value);
    let seconds = |key, default: Duration| s.and_then(|s| s.seconds(key)).map_or(default, |n| n.value);
    let out = ClientLimits {
        request_line_bytes_max: number("request_line_bytes_max", 64..=SIZE_MAX, limits::REQUEST_LINE_BYTES_MAX),
        head_bytes_max: number("head_bytes_max", 256..=SIZE_MAX, limits::HEAD_BYTES_MAX),
        headers_max: number("headers_max", 1..=10_000, limits::HEADERS_MAX),
        header_timeout: seconds("header_timeout_seconds", limits::HEADER_TIMEOUT),
        idle_timeout: seconds("idle_timeout_seconds", limits::IDLE_TIMEOUT),
        body_timeout: seconds("body_timeout_seconds", limits::BODY_TIMEOUT),
        body_bytes_per_second_min: s
            .and_then(|s| s.number("body_bytes_per_second_min", 1..=1 << 30))
            .map_or(limits::BODY_BYTES_PER_SECOND_MIN, |n| n.value),
        write_timeout: seconds("write_timeout_seconds", limits::WRITE_TIMEOUT),
        handshake_timeout: seconds("handshake_timeout_seconds", limits::HANDSHAKE_TIMEOUT),
        connections_max: number("connections_max", 1..=COUNT_MAX, limits::CONNECTIONS_MAX),
        connections_per_address_max: number("connections_per_address_max", 1..=COUNT_MAX, limits::CONNECTIONS_PER_ADDRESS_MAX),
        drain_timeout: seconds("drain_timeout_seconds", limits::DRAIN_TIMEOUT),
    };
    if out.head_bytes_max < out.request_line_bytes_max
        && let Some(s) = s
    {
        let at: Span = s.raw("head_bytes_max").map_or_else(|| s.span.clone(), |n| n.span.clone());
        let help = format!("write head_bytes_max = {} or more", out.request_line_bytes_max);
        s.ctx.report.error(&at, "a request head cannot be shorter than its request line", help);
    }
    out
}

/// The folder of the error pages.
pub(super) fn pages(root: &Section<'_>) -> Option<PathBuf> {
    let mask = root.table("mask", false)?;
    mask.path("pages", Expect::Directory).map(|p| p.value)
}
