//! The bytes that a test sends, built as go-ftw builds them.

use super::text::Input;
use std::borrow::Cow;
use std::fmt::Write as _;

const FORM: &str = "application/x-www-form-urlencoded";

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether over TLS.
    pub secure: bool,
    /// Host, with its port where that is written.
    pub authority: String,
    /// Path and query.
    pub uri: String,
}

/// The request of a stage, byte for byte.
pub fn bytes(input: &Input) -> Vec<u8> {
    if let Some(raw) = &input.encoded_request {
        return raw.clone();
    }
    let mut headers: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        input.headers.iter().map(|(n, v)| (Cow::Borrowed(n.as_str()), Cow::Borrowed(v.as_str()))).collect();
    let has = |headers: &[(Cow<'_, str>, Cow<'_, str>)], name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut body = Cow::Borrowed(input.data.as_slice());
    if !body.is_empty() && input.autocomplete {
        if !has(&headers, "content-type") {
            headers.push(("Content-Type".into(), FORM.into()));
        }
        if headers.iter().any(|(n, v)| n.eq_ignore_ascii_case("content-type") && v.eq_ignore_ascii_case(FORM)) {
            body = form(body);
        }
    }
    let multipart = |(n, v): &(Cow<'_, str>, Cow<'_, str>)| {
        n.eq_ignore_ascii_case("content-type") && v.to_ascii_lowercase().contains("multipart/form-data;")
    };
    if headers.iter().any(multipart) {
        body = body.iter().flat_map(|b| if *b == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(b) }).copied().collect();
    }
    if input.autocomplete {
        if !has(&headers, "connection") {
            headers.push(("Connection".into(), "close".into()));
        }
        if !has(&headers, "content-length") && (!body.is_empty() || has_body(&input.method)) {
            headers.push(("Content-Length".into(), body.len().to_string().into()));
        }
    }
    let mut head = format!("{} {} {}\r\n", input.method, input.uri, input.version);
    for (name, value) in &headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    let mut out = head.into_bytes();
    out.extend_from_slice(&body);
    out
}

/// go-ftw's `^POST|PUT|PATCH|DELETE$`, which binds as it is written.
fn has_body(method: &str) -> bool {
    method.starts_with("POST") || method.contains("PUT") || method.contains("PATCH") || method.ends_with("DELETE")
}

/// A body that is not encoded yet, as a form encodes it.
fn form(body: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if body.contains(&b'+') || body.contains(&b'%') {
        return body;
    }
    let body = body.strip_suffix(b"&").unwrap_or(&body);
    let tokens = body.split(|b| *b == b'&').map(|token| match token.iter().position(|b| *b == b'=') {
        Some(at) => format!("{}={}", escape(&token[..at]), escape(&token[at + 1..])),
        None => escape(token),
    });
    tokens.collect::<Vec<_>>().join("&").into_bytes().into()
}

fn escape(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            b' ' => out.push('+'),
            other => drop(write!(out, "%{other:02X}")),
        }
    }
    out
}

/// The next stage's request where it follows the redirect of the stage before.
pub fn follow(input: &Input, target: &Target) -> Input {
    let mut input = input.clone();
    input.uri.clone_from(&target.uri);
    input.secure = target.secure;
    input.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
    input.headers.push(("Host".into(), target.authority.clone()));
    input
}

impl Target {
    /// Reads a `Location` header; a path alone stays with the server of `before`.
    pub fn parse(location: &str, before: &Input) -> Option<Self> {
        let (secure, rest) = match (location.strip_prefix("http://"), location.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ if location.starts_with('/') => {
                let host = before.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
                let authority = host.map_or_else(|| before.dest_addr.clone(), |(_, value)| value.clone());
                return Some(Self { secure: before.secure, authority, uri: location.to_owned() });
            }
            _ => return None,
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, uri) = rest.split_at(at);
        let uri = if uri.starts_with('/') { uri.to_owned() } else { format!("/{uri}") };
        (!authority.is_empty()).then(|| Self { secure, authority: authority.to_owned(), uri })
    }
}
