//! What of a record must not be readable: finds secrets in any text, so that the serialiser can leave them out.
//!
//! Found are: values of parameters with a secret's name, in every spelling seen in the wild (`password=x`, `"password":"x"`,
//! `ARGS:password: x`, `<password>x`, multipart's `name="password"`, percent-encoded up to three times), credentials of the
//! `Authorization` schemes, user information in URLs, JSON Web Tokens, and digits that have a payment card's shape and check
//! digit. Where the end of a value cannot be known, everything to the end of the field goes.
//!
//! An unknown user name is often a mistyped password. It is written as HMAC-SHA-256 under a key that is random per process and
//! never stored: equal names can be told to be equal within one run of the gateway, and nobody can try candidates later.

use super::escape::push_bytes;
use super::json_paths::{self, JsonPath};
use super::sanitise::Sanitised;
use crate::limits::FLOOD_SAMPLE_TEXT_BYTES_MAX;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Names that count as secret, as a whole or as one segment (`user[pin]`), where [`Redactor::recording`] does not take them out.
const PARAMETERS: &[&str] = &[
    "pass",
    "code",
    "session",
    "sessionid",
    "sid",
    "jsessionid",
    "phpsessid",
    "csrf",
    "xsrf",
    "otp",
    "pin",
    "cvv",
    "cvc",
    "auth",
    "authorization",
    "cookie",
    "sig",
    "signature",
    "x-amz-signature",
    "ticket",
    "assertion",
    "samlresponse",
    "jwt",
    "card",
    "cardnumber",
    "card_number",
    "card-number",
    "creditcard",
    "ssn",
    "iban",
];

/// Parts of names that make any name secret, by their first letter: `newPassword`, `access_token`, `clientSecret` ...
fn secret_part(lower: &[u8]) -> bool {
    lower.iter().enumerate().any(|(at, first)| {
        let parts: &[&[u8]] = match first {
            b'p' => &[b"passw", b"passphrase", b"passcode", b"pwd", b"private_key"],
            b's' => &[b"secret"],
            b't' => &[b"token"],
            b'a' => &[b"apikey", b"api_key", b"api-key"],
            b'c' => &[b"credential"],
            _ => return false,
        };
        parts.iter().any(|part| lower[at..].starts_with(part))
    })
}

/// Headers whose values are never written.
const HEADERS: &[&str] = &["authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie", "set-cookie2", "authentication-info"];

/// Names longer than this are judged by their end.
const NAME_BYTES_MAX: usize = 96;
/// How far before an `@` the user information of a URL is looked for.
const USER_INFORMATION_BYTES_MAX: usize = 512;
/// Secrets shorter than this are not looked for elsewhere: they would blank out unrelated text.
const LEARNED_BYTES_MIN: usize = 4;
/// Secrets remembered per record; a request with more has its rules' texts blanked altogether.
const LEARNED_MAX: usize = 16;

/// Where a value ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A URL or a part of one: at the next `&` or `#`.
    Url,
    /// Anything else: nobody knows, so at the end of the text.
    Free,
}

/// Digits of the shortest payment card number.
const CARD_DIGITS_MIN: usize = 13;

const fn table(bytes: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut i = 0;
    while i < bytes.len() {
        table[bytes[i] as usize] = true;
        i += 1;
    }
    table
}

/// The bytes at which [`Redactor::scan_plain`] looks closer, in a text with digits enough for a card and in any other.
const BEGINS: [bool; 256] = table(b"=:>@0123456789 +J");
const BEGINS_NO_CARD: [bool; 256] = table(b"=:>@ +J");

/// Names in lower case. Nearly every name that is asked for is not among them, which its length and first byte tell.
struct Names {
    sorted: Vec<String>,
    /// By the low five bits of the first byte: the lengths there are, up to 63.
    lengths: [u64; 32],
}

impl Names {
    fn new(names: impl Iterator<Item = String>) -> Self {
        let mut sorted: Vec<String> = names.filter(|name| !name.is_empty()).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut lengths = [0; 32];
        for name in sorted.iter().map(String::as_bytes) {
            lengths[usize::from(name[0] & 31)] |= 1 << name.len().min(63);
        }
        Self { sorted, lengths }
    }

    fn contains(&self, name: &[u8]) -> bool {
        let Some(first) = name.first() else { return false };
        self.lengths[usize::from(first & 31)] & (1 << name.len().min(63)) != 0
            && self.sorted.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
    }
}

/// The redaction rules of one policy.
pub struct Redactor {
    /// Unique in the process.
    id: u64,
    parameters: Names,
    headers: Names,
    json_paths: Vec<JsonPath>,
    plain_unknown_users: bool,
    key: [u8; 32],
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor")
            .field("parameters", &self.parameters.sorted)
            .field("headers", &self.headers.sorted)
            .finish_non_exhaustive()
    }
}

impl Redactor {
    /// The built-in names and those given (any letter case); unknown user names plain where a dangerously named key asks for it.
    ///
    /// # Errors
    /// When the operating system has no random bytes for the key.
    pub fn new<'a>(
        parameters: impl IntoIterator<Item = &'a str>,
        headers: impl IntoIterator<Item = &'a str>,
        dangerously_record_unknown_users: bool,
    ) -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|e| io::Error::other(e.to_string()))?;
        let lower = |name: &str| name.to_ascii_lowercase();
        static IDS: AtomicU64 = AtomicU64::new(1);
        Ok(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            parameters: Names::new(PARAMETERS.iter().copied().chain(parameters).map(lower)),
            headers: Names::new(HEADERS.iter().copied().chain(headers).map(lower)),
            json_paths: Vec::new(),
            plain_unknown_users: dangerously_record_unknown_users,
            key,
        })
    }

    /// The same with values at these paths of JSON texts kept out as well.
    #[must_use]
    pub fn with_json_paths(mut self, paths: Vec<JsonPath>) -> Self {
        self.json_paths = paths;
        self
    }

    /// The same with the values of these built-in parameters written: where `session` or `code` is something harmless. Names with parts
    /// such as `passw` or `token` stay secret.
    #[must_use]
    pub fn recording<'a>(mut self, parameters: impl IntoIterator<Item = &'a str>) -> Self {
        let shown: Vec<&str> = parameters.into_iter().collect();
        let names = std::mem::take(&mut self.parameters.sorted);
        self.parameters = Names::new(names.into_iter().filter(|name| !shown.contains(&name.as_str())));
        self
    }

    /// Whether a name, in lower case, is of the built-in list that [`Redactor::recording`] takes names out of.
    #[must_use]
    pub fn is_recordable(name: &str) -> bool {
        PARAMETERS.contains(&name) && !secret_part(name.as_bytes())
    }

    /// Tells this redactor from any other of the process.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether the name of an unknown user may be written.
    pub(crate) fn plain_unknown_users(&self) -> bool {
        self.plain_unknown_users
    }

    /// The keyed hash of an unknown user's name, 64 hexadecimal digits.
    pub(crate) fn user_hash(&self, name: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(name.as_bytes());
        mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Appends a text as a JSON string, without its secrets, cut after [`FLOOD_SAMPLE_TEXT_BYTES_MAX`].
    pub(crate) fn short_text(&self, text: &[u8], out: &mut Vec<u8>) {
        let mut found = Vec::new();
        // What is looked at beyond the cut shows a secret that straddles it.
        let seen = text.get(..2 * FLOOD_SAMPLE_TEXT_BYTES_MAX).unwrap_or(text);
        self.scan(seen, Shape::Url, &Learned::new(), &mut found);
        let limit = text.len().min(FLOOD_SAMPLE_TEXT_BYTES_MAX);
        out.push(b'"');
        let mut at = 0;
        for range in found.iter().filter(|range| range.start < limit) {
            if range.start >= at {
                push_bytes(out, &text[at..range.start]);
                out.extend_from_slice(REDACTED.as_bytes());
            }
            at = at.max(range.end);
        }
        push_bytes(out, text.get(at..limit).unwrap_or_default());
        out.push(b'"');
    }

    /// Whether a header's value is never written; `name` in any letter case.
    pub(crate) fn secret_header(&self, name: &str) -> bool {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.secret_header(&name.to_ascii_lowercase());
        }
        self.headers.contains(name.as_bytes()) || secret_part(name.as_bytes())
    }

    /// Whether a parameter's value is a secret; `name` as sent, percent-encoded or not.
    pub(crate) fn secret_name(&self, name: &[u8]) -> bool {
        let name = &name[name.len().saturating_sub(NAME_BYTES_MAX)..];
        let decoded;
        let name = if name.contains(&b'%') {
            decoded = decode(name);
            &decoded[decoded.len().saturating_sub(NAME_BYTES_MAX)..]
        } else {
            name
        };
        let mut buffer = [0; NAME_BYTES_MAX];
        let lower = &mut buffer[..name.len()];
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        if secret_part(lower) || self.parameters.contains(lower) {
            return true;
        }
        let in_segment = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        !lower.iter().all(in_segment) && lower.split(|b| !in_segment(b)).any(|segment| self.parameters.contains(segment))
    }

    /// Whether what a rule saw in this variable (`ARGS:password`, `REQUEST_COOKIES:x`, `REQUEST_HEADERS:Authorization`) is a secret.
    pub(crate) fn secret_variable(&self, variable: &str) -> bool {
        let variable = variable.trim_start_matches(['&', '!']);
        if self.json_paths.iter().any(|path| path.holds(variable)) {
            return true;
        }
        let (collection, member) = variable.split_once(':').unwrap_or((variable, ""));
        if collection.len() > 6 && collection.to_ascii_uppercase().ends_with("_NAMES") {
            return false;
        }
        if collection.get(..15).is_some_and(|c| c.eq_ignore_ascii_case("REQUEST_COOKIES")) {
            return true;
        }
        if ["AUTH_PASSWD", "REMOTE_PASSWORD"].iter().any(|name| collection.eq_ignore_ascii_case(name)) {
            return true;
        }
        !member.is_empty() && (self.secret_header(member) || self.secret_name(member.as_bytes()))
    }

    /// Adds to `found` the parts of `text` that are secret, in order.
    pub(crate) fn scan(&self, text: &[u8], shape: Shape, learned: &Learned, found: &mut Vec<Range<usize>>) {
        found.clear();
        self.scan_plain(text, shape, found);
        if text.contains(&b'%') {
            self.scan_encoded(text, shape, found);
        }
        self.scan_json(text, found);
        learned.sanitised.scan(text, shape, found);
        learned.scan(text, found);
        found.sort_unstable_by_key(|range| range.start);
    }

    /// Adds to `found` the values at the configured paths where the text holds JSON.
    pub(crate) fn scan_json(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        if !self.json_paths.is_empty() && text.iter().any(|b| matches!(b, b'{' | b'[')) {
            json_paths::scan(text, &self.json_paths, found);
        }
    }

    fn scan_plain(&self, text: &[u8], shape: Shape, found: &mut Vec<Range<usize>>) {
        let mut at = 0;
        let digits = text.iter().filter(|b| b.is_ascii_digit()).count();
        let begins = if digits < CARD_DIGITS_MIN { &BEGINS_NO_CARD } else { &BEGINS };
        // Most bytes begin nothing: they are passed over by one table look-up each.
        while let Some(skip) = text.get(at..).and_then(|rest| rest.iter().position(|b| begins[usize::from(*b)])) {
            at += skip;
            let byte = text[at];
            let range = match byte {
                b'=' | b':' => self.after_name(text, at, shape),
                b'>' => self.after_tag(text, at),
                b'@' => user_information(text, at),
                b'0'..=b'9' if at == 0 || !text[at - 1].is_ascii_digit() => card(text, at),
                b' ' | b'+' => after_scheme(text, at),
                b'J' => web_token(text, at),
                _ => None,
            };
            at = match range {
                Some(range) if range.end > at => {
                    let end = range.end;
                    found.push(range);
                    end
                }
                Some(range) => {
                    found.push(range);
                    at + 1
                }
                None => at + 1,
            };
        }
    }

    /// The value after `name=` or `name:`, where the name is a secret's.
    fn after_name(&self, text: &[u8], at: usize, shape: Shape) -> Option<Range<usize>> {
        let filler = |b: &u8| matches!(b, b' ' | b'\t' | b'"' | b'\'' | b'\\');
        let end = text[..at].iter().rposition(|b| !filler(b))? + 1;
        let in_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'%' | b'[' | b']' | b'$') || *b >= 0x80;
        let start = text[..end].iter().rposition(|b| !in_name(b)).map_or(0, |i| i + 1);
        let name = &text[start..end];
        if name.is_empty() {
            return None;
        }
        let value_end = |from: usize| match shape {
            Shape::Url => text[from..].iter().position(|b| matches!(b, b'&' | b'#')).map_or(text.len(), |i| from + i),
            Shape::Free => text.len(),
        };
        if self.secret_name(name) {
            let from = at + 1 + text[at + 1..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            let to = value_end(from);
            return (from < to).then_some(from..to);
        }
        // name="password" of multipart, {"name":"password","value":...}
        if name.eq_ignore_ascii_case(b"name") {
            let rest = &text[at + 1..];
            let skip = rest.iter().take_while(|b| filler(b)).count();
            let length = rest[skip..].iter().take_while(|b| in_name(b)).count();
            let from = at + 1 + skip + length;
            if self.secret_name(&text[at + 1 + skip..from]) && from < value_end(from) {
                return Some(from..value_end(from));
            }
        }
        None
    }

    /// Everything after `<password>` or `<x:Password Type="...">`.
    fn after_tag(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let from = at.saturating_sub(4 * NAME_BYTES_MAX);
        let open = text[from..at].iter().rposition(|b| matches!(b, b'<' | b'>')).map(|i| from + i).filter(|i| text[*i] == b'<')? + 1;
        let name = text[open..at].split(u8::is_ascii_whitespace).next()?;
        (at + 1 < text.len() && !name.starts_with(b"/") && self.secret_name(name)).then_some(at + 1..text.len())
    }

    /// Tokens that hide a secret behind percent-encoding: from the token's start to the end of its value.
    fn scan_encoded(&self, text: &[u8], shape: Shape, found: &mut Vec<Range<usize>>) {
        let plain = found.len();
        let stop = |b: u8| b.is_ascii_whitespace() || matches!(b, b'&' | b'?' | b'/' | b';' | b'"' | b'\'' | b'<' | b'>' | b'=' | b'#');
        let mut inner = Vec::new();
        let mut start = 0;
        while start < text.len() {
            let end = text[start..].iter().position(|b| stop(*b)).map_or(text.len(), |i| start + i);
            let token = &text[start..end];
            let covered = found[..plain].iter().any(|r| r.start <= start && end <= r.end);
            if !covered && token.contains(&b'%') {
                let mut seen = decode(token);
                for _ in 0..3 {
                    inner.clear();
                    self.scan_plain(&seen, Shape::Free, &mut inner);
                    if !inner.is_empty() || !seen.contains(&b'%') {
                        break;
                    }
                    seen = decode(&seen);
                }
                if !inner.is_empty() {
                    let to = match shape {
                        Shape::Url => text[end..].iter().position(|b| matches!(b, b'&' | b'#')).map_or(text.len(), |i| end + i),
                        Shape::Free => text.len(),
                    };
                    found.push(start..to);
                    start = to;
                    continue;
                }
            }
            start = end + 1;
        }
    }
}

/// One round of percent-decoding, `+` as a space; malformed escapes stay.
fn decode(text: &[u8]) -> Vec<u8> {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).map(|d| d as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, hex(text.get(at + 1)), hex(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (b'+', ..) => {
                out.push(b' ');
                at += 1;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// The longest run of 13 to 19 digits from `at`, in groups apart by one or two separators, that passes the Luhn check.
fn card(text: &[u8], at: usize) -> Option<Range<usize>> {
    if text[at] == b'0' {
        return None;
    }
    let mut digits = [0u8; 19];
    let (mut count, mut best, mut i) = (0, None, at);
    loop {
        while let Some(digit) = text.get(i).filter(|b| b.is_ascii_digit()) {
            *digits.get_mut(count).filter(|_| count < 19).map_or(&mut 0, |d| d) = digit - b'0';
            count += 1;
            i += 1;
            if count > 19 {
                return best;
            }
        }
        if count >= CARD_DIGITS_MIN && luhn(&digits[..count]) {
            best = Some(at..i);
        }
        let mut gap = 0;
        while gap < 2 {
            match text.get(i) {
                Some(b' ' | b'-' | b'.' | b'_' | b'+' | b'/') => i += 1,
                Some(b'%') if matches!(text.get(i + 1..i + 3), Some(b"20" | b"2D" | b"2d" | b"2B" | b"2b")) => i += 3,
                _ => break,
            }
            gap += 1;
        }
        if gap == 0 || !text.get(i).is_some_and(u8::is_ascii_digit) {
            return best;
        }
    }
}

/// The check digit of ISO/IEC 7812-1.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let doubled = u32::from(*digit) * if place % 2 == 1 { 2 } else { 1 };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// `user:password` before the last `@` of a URL's authority.
fn user_information(text: &[u8], at: usize) -> Option<Range<usize>> {
    let stop = |b: &u8| matches!(b, b'/' | b' ' | b'"' | b'\'' | b'<' | b'>' | b'?' | b'&' | b'=' | b'#');
    let from = at.saturating_sub(USER_INFORMATION_BYTES_MAX);
    let start = text[from..at].iter().rposition(stop).map_or(from, |i| from + i + 1);
    let in_url = start >= 2 && text.get(start - 2..start) == Some(b"//");
    if start == at || !(in_url || text[start..at].contains(&b':')) {
        return None;
    }
    let authority = text[at..].iter().position(stop).map_or(text.len(), |i| at + i);
    let end = text[at..authority].iter().rposition(|b| *b == b'@').map_or(at, |i| at + i);
    Some(start..end)
}

/// What follows `Basic `, `Bearer ` and their like.
fn after_scheme(text: &[u8], at: usize) -> Option<Range<usize>> {
    // The last letters of the five schemes; most words before a space end in another.
    if !matches!(text[..at].last()?.to_ascii_lowercase(), b'c' | b'r' | b'm' | b'e' | b't') {
        return None;
    }
    let start = text[..at].iter().rposition(|b| !b.is_ascii_alphabetic()).map_or(0, |i| i + 1);
    let word = &text[start..at];
    if word.len() < 4 || word.len() > 9 {
        return None;
    }
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let from = at + text[at..].iter().take_while(|b| matches!(b, b' ' | b'+')).count();
    if is("digest") && text[from..].contains(&b'=') {
        return Some(from..text.len());
    }
    if !["basic", "bearer", "ntlm", "negotiate"].iter().any(|name| is(name)) {
        return None;
    }
    let token = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'%');
    let length = text[from..].iter().take_while(token).count();
    (length >= 4).then_some(from..from + length)
}

/// A JSON Web Token: `eyJ` (its `J` stands at `at`), then base64url with dots.
fn web_token(text: &[u8], at: usize) -> Option<Range<usize>> {
    let in_token = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'=');
    let start = at.checked_sub(2)?;
    if &text[start..at] != b"ey" || (start > 0 && text[start - 1].is_ascii_alphanumeric()) {
        return None;
    }
    let length = text[start..].iter().take_while(|b| in_token(b)).count();
    text[start..start + length].contains(&b'.').then_some(start..start + length)
}

/// Secrets that one part of a record showed, to be found in its other parts: the text a rule captured elsewhere, say. Paths and
/// names that decide are not searched for them: a stranger could blank out his own tracks by sending them as a password.
pub(crate) struct Learned {
    values: Vec<Vec<u8>>,
    /// The lower-case first bytes of the values, a bit each.
    first: [u64; 4],
    overflow: bool,
    /// What rules said must not be shown.
    pub(crate) sanitised: Sanitised,
}

impl Learned {
    /// Nothing learned.
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), first: [0; 4], overflow: false, sanitised: Sanitised::default() }
    }

    /// Remembers a value, as sent and percent-decoded.
    pub(crate) fn add(&mut self, value: &[u8]) {
        let value = value.trim_ascii();
        if value.len() < LEARNED_BYTES_MIN {
            return;
        }
        if self.values.len() >= LEARNED_MAX {
            self.overflow = true;
            return;
        }
        let decoded = decode(value);
        if decoded != value && decoded.len() >= LEARNED_BYTES_MIN {
            self.push(decoded.to_ascii_lowercase());
        }
        self.push(value.to_ascii_lowercase());
    }

    fn push(&mut self, value: Vec<u8>) {
        if let Some(first) = value.first() {
            self.first[usize::from(first >> 6)] |= 1 << (first & 63);
            self.values.push(value);
        }
    }

    fn begins(&self, lower: u8) -> bool {
        self.first[usize::from(lower >> 6)] & (1 << (lower & 63)) != 0
    }

    /// Whether nothing was learned.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.sanitised.is_empty()
    }

    fn scan(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        if self.overflow {
            found.push(0..text.len());
            return;
        }
        if self.values.is_empty() {
            return;
        }
        let mut at = 0;
        while let Some(&first) = text.get(at) {
            let hit = |value: &&Vec<u8>| text.get(at..at + value.len()).is_some_and(|window| window.eq_ignore_ascii_case(value));
            let longest = if self.begins(first.to_ascii_lowercase()) { self.values.iter().filter(hit).map(Vec::len).max() } else { None };
            if let Some(length) = longest {
                found.push(at..at + length);
            }
            at += longest.unwrap_or(1);
        }
    }
}
