//! `[[audit.ship]]`: receivers of the audit trail's records.

use super::names::{self, host_and_port};
use super::section::{Section, quoted, sentence, shown};
use super::tree::{Sp, Span};
use super::{Expect, Named, files};
use crate::audit::export::Form;
use crate::limits;
use crate::policy::ship::{Begin, Destination, HttpTo, Payload, Place, SecretHeaders, Ship, ShipTls, Shipped, SyslogTo, Transport};
use crate::policy::{CertificateFiles, SiteName};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Names of the facilities (RFC 5424 section 6.2.1) by their numbers.
const FACILITIES: [(&str, u8); 24] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("ntp", 12),
    ("audit", 13),
    ("alert", 14),
    ("clock", 15),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];
const FORMS: [(&str, Form); 5] =
    [("json", Form::Json), ("ecs", Form::Ecs), ("ocsf", Form::Ocsf), ("modsec-json", Form::ModsecJson), ("csv", Form::Csv)];
/// The port of syslog over TLS (RFC 5425), of syslog over TCP and over UDP (RFC 5426).
const PORTS: [u16; 3] = [6514, 601, 514];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Syslog,
    Otlp,
    Http,
}

impl Kind {
    const WORDS: [(&'static str, Self); 3] = [("syslog", Self::Syslog), ("otlp", Self::Otlp), ("http", Self::Http)];

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// Keys that say something only of the other kinds.
    fn strange(self) -> &'static [&'static str] {
        match self {
            Self::Syslog => &["url", "headers_file", "gzip"],
            Self::Otlp | Self::Http => &["address", "transport", "facility", "message_bytes_max"],
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Tls,
    Tcp,
    Udp,
}

/// Reads all receivers; their cursors are in `state`.
pub(super) fn read(audit: &Section<'_>, state: &Path) -> Vec<Ship> {
    let report = &audit.ctx.report;
    let mut list: Vec<Ship> = Vec::new();
    let mut names: Vec<Sp<String>> = Vec::new();
    let tables = audit.tables("ship");
    if let Some(s) = tables.get(limits::AUDIT_SHIP_RECEIVERS_MAX) {
        let message = format!("there are more than {} receivers of records", limits::AUDIT_SHIP_RECEIVERS_MAX);
        report.error(&s.span, message, "have one of them hand the records on");
    }
    for s in tables {
        let name = name(&s);
        if let Some(own) = &name {
            if let Some(other) = names.iter().find(|other| other.value == own.value) {
                let message = format!("the receiver {} is already there in line {}", quoted(&own.value), report.line(other.span.start));
                report.error(&own.span, message, "give it another name: it also names the file that says how far it is");
            }
            names.push(own.clone());
        }
        let one = one(&s);
        if let (Some(name), Some((what, form, begin, to))) = (name, one) {
            let cursor = state.join(format!("ship-{}.cursor", name.value));
            list.push(Ship { name: name.value.into(), what, form, to, begin, cursor });
        }
    }
    list
}

fn name(s: &Section<'_>) -> Option<Sp<String>> {
    if !s.has("name") {
        s.ctx.report.missing(&s.span, "this receiver has no `name`", "write name = \"siem\"; metrics and its cursor carry it");
    }
    let name = s.text("name")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.value.chars().all(plain) {
        let right: String = name.value.chars().map(|c| if plain(c) { c } else { '-' }).collect();
        let message = "a receiver's name has only letters, digits, `-`, `_` and `.`";
        s.ctx.report.error(&name.span, message, format!("write name = {}", quoted(&right)));
        return None;
    }
    Some(name)
}

fn one(s: &Section<'_>) -> Option<(Shipped, Form, Begin, Destination)> {
    let report = &s.ctx.report;
    if !s.has("kind") {
        report.missing(&s.span, "this receiver has no `kind`", "write kind = \"syslog\", \"otlp\" or \"http\"");
    }
    let kind = s.choice("kind", &Kind::WORDS).map(|kind| kind.value);
    for key in kind.map(Kind::strange).unwrap_or_default() {
        if let (Some(node), Some(kind)) = (s.raw(key), kind) {
            let place = if kind == Kind::Syslog { "a syslog receiver has an `address`" } else { "this receiver has a `url`" };
            report.error(&node.span, format!("`{key}` means nothing with kind = \"{}\"", kind.word()), format!("leave it out; {place}"));
        }
    }
    let what = s.choice("records", &[("all", Shipped::All), ("heads", Shipped::Heads)]).map_or(Shipped::All, |what| what.value);
    let form = s.choice("format", &FORMS);
    if let Some(form) = form.as_ref().filter(|form| what == Shipped::Heads && form.value != Form::Json) {
        report.error(&form.span, "the signed records are shipped as they stand, or nobody could verify them", "leave `format` out");
    }
    let form = if what == Shipped::Heads { Form::Json } else { form.map_or(Form::Ecs, |form| form.value) };
    let begin = s.choice("begin", &[("oldest", Begin::Oldest), ("now", Begin::Now)]).map_or(Begin::Oldest, |begin| begin.value);
    let to = match kind {
        Some(Kind::Syslog) => syslog(s).map(Destination::Syslog),
        Some(Kind::Otlp) => http(s, Payload::Otlp).map(Destination::Http),
        Some(Kind::Http) => http(s, Payload::Lines).map(Destination::Http),
        // What else is wrong is said all the same.
        None => {
            tls(s, None);
            None
        }
    };
    Some((what, form, begin, to?))
}

fn syslog(s: &Section<'_>) -> Option<SyslogTo> {
    let report = &s.ctx.report;
    let ways = [("tls", Way::Tls), ("tcp", Way::Tcp), ("udp", Way::Udp)];
    let way = s.choice("transport", &ways);
    let over = way.as_ref().map_or(Way::Tls, |way| way.value);
    if !s.has("address") {
        report.missing(&s.span, "this receiver has no `address`", "write address = \"syslog.internal:6514\"");
    }
    let address = s.text("address");
    let place = address.as_ref().and_then(|text| match host_and_port(&text.value, PORTS[over as usize]) {
        Ok((host, port)) => Some(Place { host, port }),
        Err((message, right)) => {
            report.error(&text.span, sentence(&message), super::instead(&right));
            None
        }
    });
    let tls = tls(s, Some(over == Way::Tls));
    if let (Some(place), Some(address)) = (&place, &address) {
        in_plain(s, over != Way::Tls, place, way.as_ref().map_or(&address.span, |way| &way.span));
    }
    let facility = s.choice("facility", &FACILITIES).map_or(16, |facility| facility.value);
    let message_bytes_max = s.number("message_bytes_max", 480..=8 << 20).map_or(limits::AUDIT_SHIP_MESSAGE_BYTES_MAX, |n| n.value);
    let place = place?;
    let transport = match over {
        Way::Udp => Transport::Udp,
        Way::Tcp => Transport::Tcp,
        Way::Tls => Transport::Tls(named(tls, &place)),
    };
    Some(SyslogTo { place, transport, facility, message_bytes_max })
}

fn http(s: &Section<'_>, payload: Payload) -> Option<HttpTo> {
    let report = &s.ctx.report;
    let example = if payload == Payload::Otlp { "https://collector.internal:4318/v1/logs" } else { "https://siem.internal/records" };
    if !s.has("url") {
        report.missing(&s.span, "this receiver has no `url`", format!("write url = \"{example}\""));
    }
    let url = s.text("url");
    let parts = url.as_ref().and_then(|url| match split(&url.value) {
        Ok(parts) => Some(parts),
        Err((message, right)) => {
            let help = if right.is_empty() { format!("for example: url = \"{example}\"") } else { super::instead(&right) };
            report.error(&url.span, sentence(&message), help);
            None
        }
    });
    let tls = tls(s, parts.as_ref().map(|parts| parts.tls));
    if let (Some(parts), Some(url)) = (&parts, &url) {
        in_plain(s, !parts.tls, &parts.place, &url.span);
    }
    let headers = s.path("headers_file", Expect::File).and_then(|file| headers(s, &file)).unwrap_or_default();
    let gzip = s.flag("gzip").is_none_or(|flag| flag.value);
    let Parts { tls: over_tls, place, target } = parts?;
    let own = if over_tls { 443 } else { 80 };
    let authority = if place.port == own { place.host.clone() } else { place.to_string() };
    let tls = over_tls.then(|| named(tls, &place));
    Some(HttpTo { payload, place, tls, authority, target, gzip, headers })
}

/// The receiver's own name is its host's where no other is written.
fn named(tls: Option<TlsKeys>, place: &Place) -> ShipTls {
    let TlsKeys { name, ca, identity } = tls.unwrap_or_default();
    let host = || place.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ShipTls { name: name.unwrap_or_else(host), ca, identity }
}

#[derive(Default)]
struct TlsKeys {
    name: Option<String>,
    ca: Option<PathBuf>,
    identity: Option<CertificateFiles>,
}

/// The keys about TLS; `over_tls` says whether they mean anything, where that is known.
fn tls(s: &Section<'_>, over_tls: Option<bool>) -> Option<TlsKeys> {
    let report = &s.ctx.report;
    if over_tls == Some(false) {
        for key in ["ca", "tls_name", "certificate", "key"] {
            if let Some(node) = s.raw(key) {
                let help = "use TLS (transport = \"tls\", or https:// in the URL), or leave the key out";
                report.error(&node.span, format!("`{key}` means nothing: this receiver is not reached over TLS"), help);
            }
        }
        return None;
    }
    let name = s.text("tls_name").and_then(|text| match names::host(&text.value) {
        Ok(value) => Some(value),
        Err((message, right)) => {
            report.error(&text.span, sentence(&message), super::instead(&right));
            None
        }
    });
    let ca = s.path("ca", Expect::File).map(|ca| ca.value);
    if let Some(path) = ca.clone() {
        s.ctx.name(Named::Authorities { path });
    }
    let (certificate, key) = (s.path("certificate", Expect::File), s.path("key", Expect::File));
    if let (None, Some(key)) = (&certificate, &key) {
        let help = "write certificate = \"...\" as well: what the receiver is to be shown";
        report.missing(&key.span, "this key is of no use without its certificate", help);
    }
    let identity =
        certificate.map(|certificate| CertificateFiles { certificate: certificate.value, key: key.map(|key| key.value), chain: None });
    if let Some(files) = identity.clone() {
        s.ctx.name(Named::Certificate { files, names: Vec::<SiteName>::new() });
    }
    Some(TlsKeys { name, ca, identity })
}

/// Records tell who was where: they do not go over a network for everybody to read unless somebody says so in words.
fn in_plain(s: &Section<'_>, plain: bool, place: &Place, at: &Span) {
    let allowed = s.flag("dangerously_in_plain").filter(|flag| flag.value);
    let host = place.host.trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if plain && !here && allowed.is_none() {
        let help = "use TLS, or write dangerously_in_plain = true";
        s.ctx.report.error(at, "records would go over the network for everybody on the way to read", help);
    }
}

struct Parts {
    tls: bool,
    place: Place,
    target: String,
}

/// Scheme, host, port and path of a URL.
fn split(url: &str) -> Result<Parts, names::Wrong> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => {
            let right = if host_and_port(url.split('/').next().unwrap_or_default(), 443).is_ok() {
                format!("https://{url}")
            } else {
                String::new()
            };
            return Err((format!("{} has no scheme", quoted(url)), right));
        }
    };
    let tls = match scheme.as_str() {
        "http" => false,
        "https" => true,
        _ => return Err((format!("a receiver speaks https or http, not {}", shown(&scheme)), format!("https://{rest}"))),
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if let Some((_, host)) = authority.rsplit_once('@') {
        let help = format!("{scheme}://{host}{}", path.split('#').next().unwrap_or_default());
        return Err(("a receiver's URL has no user and password; a header in `headers_file` can carry them".into(), help));
    }
    let (host, port) = host_and_port(authority, if tls { 443 } else { 80 })?;
    if let Some((before, _)) = path.split_once('#') {
        return Err(("a receiver's URL has no fragment".into(), format!("{scheme}://{authority}{before}")));
    }
    let target = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if http::uri::PathAndQuery::try_from(target.as_str()).is_err() {
        return Err((format!("{} is not the path of a URL", quoted(&target)), String::new()));
    }
    Ok(Parts { tls, place: Place { host, port }, target })
}

/// The headers of a file, one a line. No diagnostic ever shows its content.
fn headers(s: &Section<'_>, file: &Sp<PathBuf>) -> Option<SecretHeaders> {
    let ctx = s.ctx;
    if ctx.is_absent(&file.value) {
        return None;
    }
    let path = file.value.display();
    let error = |why: &str| {
        ctx.report.error(&file.span, format!("{path} {why}"), "each line of it is a header: Authorization: Bearer ...");
        None
    };
    let bytes = match ctx.files.read(&file.value, limits::CREDENTIALS_FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) => return error(&format!("cannot be read: {}", files::plain(&e))),
    };
    if ctx.files.readable_by_others(&file.value) {
        ctx.report.warning(&file.span, format!("{path} can be read by other users of this machine"), format!("run: chmod 600 {path}"));
    }
    let Ok(text) = String::from_utf8(bytes) else { return error("is not UTF-8") };
    let mut list = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
        let number = number + 1;
        let Some((name, value)) = line.split_once(':').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim())) else {
            return error(&format!("has no colon in line {number}"));
        };
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() || http::HeaderValue::from_str(value).is_err() {
            return error(&format!("has no header in line {number}"));
        }
        if ["host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection"].contains(&name.as_str()) {
            return error(&format!("sets `{name}` in line {number}, which the gateway sets itself"));
        }
        list.push((name, value.to_owned()));
    }
    if list.is_empty() {
        return error("has no header");
    }
    Some(SecretHeaders(list))
}
