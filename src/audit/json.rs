//! A record as one JSON line, written straight into bytes; `audit/schema.json` says what every field means.
//!
//! The line is made on the thread that closes the record, without its sequence number and its chain, which only the writer
//! knows: the number's place is at [`SEQUENCE_AT`], the chain's at the end.

use super::escape::{push_bytes, push_text};
use super::known::Known;
use super::record::{Action, Ended, Kind, Record, RuleMatch, Timing};
use super::redact::{Learned, REDACTED, Redactor, Shape};
use super::sanitise::Sanitised;
use crate::limits::{RECORD_FIELD_BYTES_MAX, RECORD_LIST_MAX, RECORD_RULES_MAX};
use crate::message::TlsSession;
use bytes::Bytes;
use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Write as _;
use std::net::IpAddr;
use std::ops::Range;

/// The version of the record's form, `schema_version`.
pub const SCHEMA_VERSION: u64 = 1;

/// Where the writer puts the sequence number into a line.
pub(crate) const SEQUENCE_AT: usize = OPEN.len() + TIME_BYTES + SEQUENCE.len();
const OPEN: &[u8] = b"{\"@timestamp\":\"";
const SEQUENCE: &[u8] = b"\",\"event\":{\"sequence\":";
/// Bytes of `2026-01-31T23:59:59.000000Z`.
const TIME_BYTES: usize = 27;
/// What is looked at beyond a field's cut, so that a secret that straddles the cut is still seen.
const MARGIN_BYTES: usize = 512;

/// Working memory of [`record`], reused from record to record.
#[derive(Default)]
pub(crate) struct Scratch {
    found: Vec<Range<usize>>,
    known: Known,
}

/// Appends `record` as a line that lacks its sequence number, its chain and its end.
pub(crate) fn record(record: &Record, redactor: &Redactor, scratch: &mut Scratch, out: &mut Vec<u8>) {
    scratch.known.of(redactor);
    let learned = learn(record, redactor, scratch);
    let Scratch { found, known } = scratch;
    let mut line = Line { out, redactor, learned: &learned, found, known, truncated: Vec::new() };
    line.event(record);
    line.who(record);
    line.http(record);
    line.url(record);
    if let Some(tls) = &record.peer.tls {
        line.tls(tls);
    }
    line.decision(record);
    line.inspection(record);
    line.upstream(record);
    line.timing(record);
    line.rest(record);
}

/// Appends a frame with its number in its place; what lacks is the chain.
pub(crate) fn numbered(frame: &[u8], sequence: u64, out: &mut Vec<u8>) {
    let (head, tail) = frame.split_at(SEQUENCE_AT.min(frame.len()));
    out.extend_from_slice(head);
    number(out, sequence);
    out.extend_from_slice(tail);
}

/// The sequence number of a line; `None` where it does not begin as a line does.
pub(crate) fn sequence_of(line: &[u8]) -> Option<u64> {
    let before = line.get(SEQUENCE_AT.checked_sub(SEQUENCE.len())?..SEQUENCE_AT)?;
    let digits = line.get(SEQUENCE_AT..)?;
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if !line.starts_with(OPEN) || before != SEQUENCE {
        return None;
    }
    std::str::from_utf8(digits.get(..count)?).ok()?.parse().ok()
}

/// The beginning of every line, up to its sequence number.
pub(crate) fn begin(out: &mut Vec<u8>, unix_micros: u64) {
    out.extend_from_slice(OPEN);
    time(out, unix_micros);
    out.extend_from_slice(SEQUENCE);
}

/// The end of every frame.
pub(crate) fn schema(out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"schema_version\":");
    number(out, SCHEMA_VERSION);
}

/// The secrets that the record itself shows, to be kept out of the texts of its rules.
fn learn(record: &Record, redactor: &Redactor, scratch: &mut Scratch) -> Learned {
    let mut learned = Learned::new();
    let nothing = Learned::new();
    if let Some(query) = record.query.as_ref().map(String::as_bytes).filter(|query| !scratch.known.is_clean(query, Shape::Url)) {
        redactor.scan(window(query), Shape::Url, &nothing, &mut scratch.found);
        for range in &scratch.found {
            learned.add(&query[range.clone()]);
        }
        if scratch.found.is_empty() {
            scratch.known.found_clean(query, Shape::Url);
        }
    }
    for (name, value) in &record.headers {
        if !scratch.known.secret_header(redactor, name) {
            continue;
        }
        learned.add(value);
        if name.to_ascii_lowercase().contains("cookie") {
            for pair in value.split(|b| *b == b';') {
                learned.add(pair.splitn(2, |b| *b == b'=').nth(1).unwrap_or_default());
            }
        } else if let Some(basic) = basic_password(value) {
            learned.add(&basic);
        }
    }
    for rule in record.rules.iter().filter(|rule| redactor.secret_variable(&rule.variable)) {
        learned.add(window(&rule.matched));
    }
    if !record.sanitised.is_empty() {
        let sanitised = Sanitised::of(record);
        learn_sanitised(record, &sanitised, &mut learned, scratch);
        learned.sanitised = sanitised;
    }
    for rule in &record.rules {
        scratch.found.clear();
        redactor.scan_json(window(&rule.matched), &mut scratch.found);
        for range in &scratch.found {
            learned.add(&rule.matched[range.clone()]);
        }
    }
    if let (Some(user), false, false) = (&record.auth.user, record.auth.known, redactor.plain_unknown_users()) {
        learned.add(user.as_bytes());
    }
    learned
}

/// The values behind the names that rules said must not be shown.
fn learn_sanitised(record: &Record, sanitised: &Sanitised, learned: &mut Learned, scratch: &mut Scratch) {
    if let Some(query) = &record.query {
        scratch.found.clear();
        sanitised.scan(window(query.as_bytes()), Shape::Url, &mut scratch.found);
        for range in &scratch.found {
            learned.add(&query.as_bytes()[range.clone()]);
        }
    }
    for (_, value) in record.headers.iter().filter(|(name, _)| sanitised.header(name)) {
        learned.add(value);
    }
    for rule in record.rules.iter().filter(|rule| sanitised.variable(&rule.variable)) {
        learned.add(window(&rule.matched));
    }
}

/// The password inside `Basic dXNlcjpwYXNzd29yZA==`.
fn basic_password(value: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let token = value.splitn(2, |b| *b == b' ').nth(1)?.trim_ascii();
    let decoded = base64::engine::general_purpose::STANDARD.decode(token).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    Some(decoded[colon + 1..].to_vec())
}

fn window(text: &[u8]) -> &[u8] {
    &text[..text.len().min(RECORD_FIELD_BYTES_MAX + MARGIN_BYTES)]
}

/// How a text came into the record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// As raw bytes: invalid UTF-8 is marked here.
    Bytes,
    /// As a string: what was invalid was marked before.
    Text,
}

struct Line<'a> {
    out: &'a mut Vec<u8>,
    redactor: &'a Redactor,
    learned: &'a Learned,
    found: &'a mut Vec<Range<usize>>,
    known: &'a mut Known,
    truncated: Vec<&'static str>,
}

impl Line<'_> {
    fn raw(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// `key` as `,"name":` or `{"name":`, then a word of our own.
    fn word(&mut self, key: &[u8], word: &str) {
        self.raw(key);
        self.out.push(b'"');
        push_text(self.out, word.as_bytes());
        self.out.push(b'"');
    }

    /// `key` with the quote that opens the value, then a word in which nothing needs escaping.
    fn fixed(&mut self, key: &[u8], word: &str) {
        self.raw(key);
        self.raw(word.as_bytes());
        self.out.push(b'"');
    }

    fn count(&mut self, key: &[u8], value: u64) {
        self.raw(key);
        number(self.out, value);
    }

    /// An address, taken from `known` where that is its text.
    fn address(&mut self, key: &[u8], address: IpAddr, known: Option<&[u8]>) {
        self.raw(key);
        match known {
            Some(text) => self.raw(text),
            // Writing into a Vec cannot fail.
            None => drop(write!(self.out, "{}", address.to_canonical())),
        }
        self.out.push(b'"');
    }

    /// A text of a stranger's choosing: searched for secrets, cut, escaped. `field` names it where it was cut.
    fn text(&mut self, key: &[u8], field: &'static str, text: &str, shape: Shape) {
        self.raw(key);
        self.value(field, text.as_bytes(), shape, From::Text, self.learned);
    }

    /// The same for a text that decides (a path, a host): other fields' secrets are not looked for in it.
    fn deciding(&mut self, key: &[u8], field: &'static str, text: &str) {
        self.raw(key);
        self.value(field, text.as_bytes(), Shape::Url, From::Text, &Learned::new());
    }

    fn value(&mut self, field: &'static str, text: &[u8], shape: Shape, from: From, learned: &Learned) {
        if learned.is_empty() && self.known.is_clean(text, shape) {
            self.out.push(b'"');
            self.out.extend_from_slice(text);
            self.out.push(b'"');
            return;
        }
        let seen = window(text);
        self.redactor.scan(seen, shape, learned, self.found);
        if learned.is_empty() && self.found.is_empty() {
            self.known.found_clean(text, shape);
        }
        let limit = if text.len() > RECORD_FIELD_BYTES_MAX {
            self.cut(field);
            boundary(text, RECORD_FIELD_BYTES_MAX)
        } else {
            text.len()
        };
        let push = if from == From::Bytes { push_bytes } else { push_text };
        self.out.push(b'"');
        let mut at = 0;
        for range in self.found.iter() {
            if range.start >= limit {
                break;
            }
            if range.start >= at {
                push(self.out, &text[at..range.start]);
                self.out.extend_from_slice(REDACTED.as_bytes());
            }
            at = at.max(range.end);
        }
        if at < limit {
            push(self.out, &text[at..limit]);
        }
        self.out.push(b'"');
    }

    fn cut(&mut self, field: &'static str) {
        if !self.truncated.contains(&field) {
            self.truncated.push(field);
        }
    }

    fn event(&mut self, record: &Record) {
        begin(self.out, record.received.unix_micros);
        self.fixed(b",\"id\":\"", record.id.as_str());
        self.fixed(
            b",\"kind\":\"",
            match record.kind {
                Kind::Request => "request",
                Kind::TunnelEnd => "tunnel_end",
                Kind::Connection => "connection",
            },
        );
        self.fixed(b",\"outcome\":\"", outcome(record));
        self.raw(b"}");
    }

    fn who(&mut self, record: &Record) {
        let remote = record.peer.remote.ip().to_canonical();
        let remote_text = Some(record.peer.remote_text.get().as_bytes());
        self.address(b",\"source\":{\"ip\":\"", record.source, remote_text.filter(|_| record.source == remote));
        self.count(b",\"port\":", u64::from(record.peer.remote.port()));
        self.address(b",\"peer_ip\":\"", remote, remote_text);
        self.count(b",\"connection\":", record.peer.connection);
        self.address(b"},\"destination\":{\"ip\":\"", record.peer.local.ip(), Some(record.peer.local_text.get().as_bytes()));
        self.count(b",\"port\":", u64::from(record.peer.local.port()));
        self.raw(b"}");
        if let Some(user) = &record.auth.user {
            if record.auth.known || self.redactor.plain_unknown_users() {
                self.raw(b",\"user\":{\"name\":");
                self.value("user.name", user.as_bytes(), Shape::Free, From::Text, &Learned::new());
            } else {
                let hash = self.redactor.user_hash(user);
                self.word(b",\"user\":{\"hash\":", &hash);
            }
            if !record.auth.groups.is_empty() {
                self.words(b",\"groups\":", "user.groups", record.auth.groups.iter().map(String::as_str));
            }
            self.raw(b"}");
        }
        self.fixed(b",\"authentication\":{\"result\":\"", if record.auth.result.is_empty() { "none" } else { record.auth.result });
        self.raw(b"}");
    }

    /// A list of words of the policy's or our own.
    fn words<'w>(&mut self, key: &[u8], field: &'static str, words: impl Iterator<Item = &'w str>) {
        self.raw(key);
        let mut separator = b'[';
        for (place, word) in words.enumerate() {
            if place == RECORD_LIST_MAX {
                self.cut(field);
                break;
            }
            self.out.push(separator);
            separator = b',';
            self.value(field, word.as_bytes(), Shape::Free, From::Text, &Learned::new());
        }
        if separator == b'[' {
            self.out.push(b'[');
        }
        self.out.push(b']');
    }

    fn http(&mut self, record: &Record) {
        self.fixed(b",\"http\":{\"version\":\"", record.version);
        self.text(b",\"request\":{\"method\":", "http.request.method", &record.method, Shape::Free);
        self.count(b",\"bytes\":", record.request_bytes);
        if !record.headers.is_empty() {
            self.headers(&record.headers);
        }
        self.raw(b"},\"response\":{");
        if let Some(status) = record.status {
            self.count(b"\"status_code\":", u64::from(status));
            self.raw(b",");
        }
        if let Some(status) = record.upstream.as_ref().and_then(|upstream| upstream.status) {
            self.count(b"\"upstream_status_code\":", u64::from(status));
            self.raw(b",");
        }
        self.count(b"\"bytes\":", record.response_bytes);
        self.fixed(b",\"ended\":\"", record.ended.name());
        self.raw(b"}}");
    }

    /// Header names with the list of their values; equal names need not be neighbours.
    fn headers(&mut self, headers: &[(Cow<'static, str>, Bytes)]) {
        const FIELD: &str = "http.request.headers";
        let shown = &headers[..headers.len().min(RECORD_LIST_MAX)];
        if shown.len() < headers.len() {
            self.cut(FIELD);
        }
        let learned = self.learned;
        let mut separator: &[u8] = b",\"headers\":{\"";
        for (place, (name, _)) in shown.iter().enumerate() {
            if shown[..place].iter().any(|(earlier, _)| same_name(earlier, name)) {
                continue;
            }
            self.raw(separator);
            separator = b",\"";
            self.out.extend(name_bytes(name));
            self.raw(b"\":");
            let secret = self.known.secret_header(self.redactor, name);
            let mut inner = b'[';
            for (_, value) in shown[place..].iter().filter(|(other, _)| same_name(other, name)) {
                self.out.push(inner);
                inner = b',';
                if secret || learned.sanitised.header(name) {
                    self.raw(b"\"[redacted]\"");
                } else {
                    let shape = if name.eq_ignore_ascii_case("referer") { Shape::Url } else { Shape::Free };
                    self.value(FIELD, value, shape, From::Bytes, learned);
                }
            }
            self.raw(b"]");
        }
        self.raw(b"}");
    }

    fn url(&mut self, record: &Record) {
        self.fixed(b",\"url\":{\"scheme\":\"", record.scheme);
        self.deciding(b",\"domain\":", "url.domain", &record.host);
        self.deciding(b",\"path\":", "url.path", &record.path);
        if let Some(path) = &record.canonical_path {
            self.deciding(b",\"canonical_path\":", "url.canonical_path", path);
        }
        if let Some(query) = &record.query {
            self.text(b",\"query\":", "url.query", query, Shape::Url);
        }
        self.raw(b"}");
    }

    fn tls(&mut self, tls: &TlsSession) {
        self.word(b",\"tls\":{\"version\":", tls.version);
        self.word(b",\"cipher\":", &tls.cipher);
        self.word(b",\"group\":", &tls.group);
        if let Some(name) = &tls.server_name {
            self.text(b",\"server_name\":", "tls.server_name", name, Shape::Free);
        }
        if let Some(protocol) = tls.protocol {
            self.word(b",\"protocol\":", protocol);
        }
        self.raw(b"}");
    }

    fn decision(&mut self, record: &Record) {
        self.fixed(b",\"decision\":{\"action\":\"", record.decision.action.name());
        if let Some(layer) = record.decision.layer {
            self.fixed(b",\"layer\":\"", layer.name());
        }
        if !record.decision.reason.is_empty() {
            self.fixed(b",\"reason\":\"", record.decision.reason);
        }
        self.raw(b"}");
    }

    fn inspection(&mut self, record: &Record) {
        self.fixed(b",\"inspection\":{\"mode\":\"", record.inspection_mode);
        self.fixed(b",\"extent\":\"", record.extent.name());
        if !record.extent_reason.is_empty() {
            self.fixed(b",\"reason\":\"", record.extent_reason);
        }
        if let Some(score) = record.score {
            self.raw(b",\"score\":");
            signed(self.out, score);
        }
        if !record.exclusions.is_empty() {
            self.words(b",\"exclusions\":", "inspection.exclusions", record.exclusions.iter().map(AsRef::as_ref));
        }
        if let Some(would) = &record.would {
            self.word(b",\"would\":{\"action\":", would.action);
            self.count(b",\"status\":", u64::from(would.status));
            self.count(b",\"rule_id\":", would.rule);
            self.count(b",\"phase\":", u64::from(would.phase));
            self.raw(b"}");
        }
        self.raw(b"}");
        if record.rules.len() > RECORD_RULES_MAX {
            self.cut("rules");
        }
        for (place, rule) in record.rules.iter().take(RECORD_RULES_MAX).enumerate() {
            self.raw(if place == 0 { b",\"rules\":[" } else { b"," });
            self.rule(rule);
        }
        if !record.rules.is_empty() {
            self.raw(b"]");
        }
    }

    fn rule(&mut self, rule: &RuleMatch) {
        let secret = self.redactor.secret_variable(&rule.variable)
            || self.learned.sanitised.variable(&rule.variable)
            || (!self.learned.is_empty() && derived(&rule.variable));
        self.count(b"{\"id\":", rule.id);
        self.count(b",\"phase\":", u64::from(rule.phase));
        // A message may have the variable's value expanded into it.
        if secret && contains(rule.message.as_bytes(), window(&rule.matched)) {
            self.word(b",\"message\":", REDACTED);
        } else {
            self.text(b",\"message\":", "rules.message", &rule.message, Shape::Free);
        }
        if !rule.tags.is_empty() {
            self.words(b",\"tags\":", "rules.tags", rule.tags.iter().map(String::as_str));
        }
        if !rule.severity.is_empty() {
            self.text(b",\"severity\":", "rules.severity", &rule.severity, Shape::Free);
        }
        self.text(b",\"variable\":", "rules.variable", &rule.variable, Shape::Free);
        if secret {
            self.raw(b",\"matched\":\"[redacted]\"");
            if !rule.data.is_empty() {
                self.raw(b",\"data\":\"[redacted]\"");
            }
        } else {
            self.raw(b",\"matched\":");
            self.value("rules.matched", &rule.matched, Shape::Free, From::Bytes, self.learned);
            if !rule.data.is_empty() {
                self.text(b",\"data\":", "rules.data", &rule.data, Shape::Free);
            }
        }
        self.raw(b",\"score\":");
        signed(self.out, rule.score);
        if !rule.source.is_empty() {
            self.word(b",\"source\":", &rule.source);
        }
        self.raw(b"}");
    }

    fn upstream(&mut self, record: &Record) {
        let Some(upstream) = &record.upstream else { return };
        self.word(b",\"upstream\":{\"backend\":", &upstream.backend);
        if !upstream.address.is_empty() {
            self.word(b",\"address\":", &upstream.address);
        }
        self.raw(if upstream.reused { b",\"reused\":true" } else { b",\"reused\":false" });
        self.count(b",\"tries\":", u64::from(upstream.tries));
        if let Some(error) = &upstream.error {
            self.text(b",\"error\":", "upstream.error", error, Shape::Free);
        }
        self.raw(b"}");
    }

    /// Header and scheme of each; never what follows the scheme.
    fn integrated(&mut self, removed: &[String]) {
        const HEADERS: [&str; 4] = ["www-authenticate", "proxy-authenticate", "authorization", "proxy-authorization"];
        for (place, text) in removed.iter().take(RECORD_LIST_MAX).enumerate() {
            let (header, rest) = text.split_once(':').unwrap_or(("", text));
            let header = HEADERS.iter().find(|known| header.eq_ignore_ascii_case(known)).unwrap_or(&REDACTED);
            let scheme = rest.trim_start().split([' ', '\t', ',']).next().unwrap_or_default();
            let scheme = if scheme.len() <= 9 && scheme.bytes().all(|b| b.is_ascii_alphabetic()) { scheme } else { REDACTED };
            self.raw(if place == 0 { b",\"integrated_auth_removed\":[\"" } else { b",\"" });
            self.raw(header.as_bytes());
            self.raw(b": ");
            self.raw(scheme.as_bytes());
            self.raw(b"\"");
        }
        self.raw(b"]");
    }

    fn timing(&mut self, record: &Record) {
        let Timing { door, basic_auth, ntlm_block, rate_limit, inspection, forwarding, head, total } = record.timing;
        let hash = record.auth.hash_micros;
        let fields: [(&[u8], Option<u64>); 9] = [
            (b"\"door_us\":", door),
            (b"\"basic_auth_us\":", basic_auth),
            (b"\"hash_us\":", hash),
            (b"\"ntlm_block_us\":", ntlm_block),
            (b"\"rate_limit_us\":", rate_limit),
            (b"\"inspection_us\":", inspection),
            (b"\"forwarding_us\":", forwarding),
            (b"\"head_us\":", head),
            (b"\"total_us\":", total),
        ];
        self.raw(b",\"timing\":");
        let mut separator = b'{';
        for (key, value) in fields {
            if let Some(value) = value {
                self.out.push(separator);
                separator = b',';
                self.count(key, value);
            }
        }
        if separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    fn rest(&mut self, record: &Record) {
        if let Some(site) = &record.site {
            self.word(b",\"site\":", site);
        }
        if let Some(map) = &record.map {
            self.word(b",\"map\":", map);
        }
        if !record.integrated_removed.is_empty() {
            self.integrated(&record.integrated_removed);
        }
        if record.rate_would_limit {
            self.raw(b",\"rate_would_limit\":true");
        }
        if !record.notes.is_empty() {
            self.words(b",\"notes\":", "notes", record.notes.iter().copied());
        }
        if !self.truncated.is_empty() {
            let truncated = std::mem::take(&mut self.truncated);
            self.words(b",\"truncated\":", "truncated", truncated.into_iter());
        }
        schema(self.out);
    }
}

/// `event.outcome`, the Elastic Common Schema's three words: did the client get what it asked for?
fn outcome(record: &Record) -> &'static str {
    match (record.decision.action, record.ended) {
        (Action::Deny | Action::Challenge, _) => "failure",
        (Action::Abort, _) | (_, Ended::ClientGone) => "unknown",
        (_, Ended::BackendBroken | Ended::Cut) => "failure",
        (Action::Allow | Action::Redirect | Action::Mask | Action::Answer, _) => {
            if record.status.is_some_and(|status| status >= 400) {
                "failure"
            } else {
                "success"
            }
        }
    }
}

/// Variables that repeat what another one held.
fn derived(variable: &str) -> bool {
    let name = variable.trim_start_matches(['&', '!']).as_bytes();
    let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    begins(b"MATCHED_VAR") || (begins(b"TX:") && name.get(3).is_some_and(u8::is_ascii_digit))
}

/// Whether `text` holds the beginning of `part`, in any letter case.
fn contains(text: &[u8], part: &[u8]) -> bool {
    let part = &part[..part.len().min(64)];
    !part.is_empty() && window(text).windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// The bytes of a header's name as it stands in a record: lower case, no byte that a name cannot have.
fn name_bytes(name: &str) -> impl Iterator<Item = u8> {
    let name = if name.is_empty() { "_" } else { name };
    name.bytes().take(256).map(|b| match b.to_ascii_lowercase() {
        b if b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b) => b,
        _ => b'_',
    })
}

fn same_name(a: &str, b: &str) -> bool {
    a == b || name_bytes(a).eq(name_bytes(b))
}

/// The last place at or before `at` that does not split a character.
fn boundary(text: &[u8], at: usize) -> usize {
    let mut place = at.min(text.len());
    for _ in 0..3 {
        match text.get(place) {
            Some(byte) if byte & 0xc0 == 0x80 && place > 0 => place -= 1,
            _ => return place,
        }
    }
    place
}

/// Appends a number in decimal.
pub(crate) fn number(out: &mut Vec<u8>, value: u64) {
    if value < 10 {
        return out.push(b'0' + value as u8);
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    number(out, value.unsigned_abs());
}

thread_local! {
    /// The last whole second written, and its text: records come many to a second.
    static SECOND: RefCell<(u64, Vec<u8>)> = const { RefCell::new((0, Vec::new())) };
}

/// Appends a time as [`crate::clock::rfc3339`] writes it.
pub(crate) fn time(out: &mut Vec<u8>, unix_micros: u64) {
    SECOND.with_borrow_mut(|(second, text)| {
        if text.is_empty() || *second != unix_micros / 1_000_000 {
            *second = unix_micros / 1_000_000;
            text.clear();
            whole_second(text, unix_micros);
        }
        out.extend_from_slice(text);
    });
    digits(out, unix_micros % 1_000_000, 6, b'Z');
}

/// `2026-01-31T23:59:59.`
fn whole_second(out: &mut Vec<u8>, unix_micros: u64) {
    let stamp = i64::try_from(unix_micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()).unwrap_or_default();
    let civil = jiff::tz::Offset::UTC.to_datetime(stamp);
    let parts = [
        (u64::from(civil.year().unsigned_abs()), 4, b'-'),
        (u64::from(civil.month().unsigned_abs()), 2, b'-'),
        (u64::from(civil.day().unsigned_abs()), 2, b'T'),
        (u64::from(civil.hour().unsigned_abs()), 2, b':'),
        (u64::from(civil.minute().unsigned_abs()), 2, b':'),
        (u64::from(civil.second().unsigned_abs()), 2, b'.'),
    ];
    for (value, width, end) in parts {
        digits(out, value, width, end);
    }
}

/// Appends a number of a fixed width, and what ends it.
fn digits(out: &mut Vec<u8>, mut value: u64, width: usize, end: u8) {
    let mut text = [b'0'; 8];
    for place in text[..width].iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&text[..width]);
    out.push(end);
}
