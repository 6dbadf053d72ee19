//! Regression tests in go-ftw's YAML (schema 2), as far as the baseline's own and those of the Core Rule Set say what is sent and expected.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// A file of tests.
#[derive(Debug, Deserialize)]
pub(crate) struct File {
    pub(crate) rule_id: u64,
    pub(crate) tests: Vec<Test>,
}

/// One test; each stage is a request of its own.
#[derive(Debug, Deserialize)]
pub(crate) struct Test {
    #[serde(default)]
    pub(crate) test_id: u64,
    #[serde(default)]
    pub(crate) desc: String,
    pub(crate) stages: Vec<Stage>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Stage {
    pub(crate) input: Input,
    pub(crate) output: Output,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Input {
    pub(crate) method: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) data: Option<String>,
    /// A whole request in base64, in place of the rest.
    pub(crate) encoded_request: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Output {
    pub(crate) status: Option<u16>,
    pub(crate) log: Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Log {
    pub(crate) expect_ids: Vec<u64>,
    pub(crate) no_expect_ids: Vec<u64>,
}

/// A request as it is sent: line, headers, body.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Method, target and protocol of the line.
    pub(crate) fn parts(&self) -> (&str, &str, &str) {
        let (method, rest) = self.line.split_once(' ').unwrap_or((&self.line, ""));
        let (target, protocol) = rest.rsplit_once(' ').unwrap_or((rest, ""));
        (method, target, protocol)
    }
}

/// Reads a file; none where it has no tests.
pub(crate) fn read(path: &Path) -> Option<File> {
    let text = std::fs::read_to_string(path).expect("a readable file");
    if text.lines().all(|line| line.trim().is_empty() || line.starts_with(['#', '-'])) {
        return None;
    }
    Some(serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

impl Input {
    /// The request with the headers in the order and with the completions that go-ftw sends. None for one that is written whole.
    pub(crate) fn complete(&self) -> Option<Request> {
        if self.encoded_request.is_some() {
            return None;
        }
        let mut headers: Vec<(String, String)> = self.headers.clone().into_iter().collect();
        let mut body = self.data.clone().unwrap_or_default();
        let value = |headers: &[(String, String)], name: &str| {
            headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_ascii_lowercase())
        };
        if !body.is_empty() && value(&headers, "Content-Type").is_none() {
            headers.push(("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        }
        let kind = value(&headers, "Content-Type").unwrap_or_default();
        if kind == "application/x-www-form-urlencoded" && !body.contains(['%', '+']) {
            body = encode_form(&body);
        }
        if kind.contains("multipart/form-data;") {
            body = body.replace('\n', "\r\n");
        }
        let method = self.method.as_deref().unwrap_or("GET");
        if value(&headers, "Connection").is_none() {
            headers.push(("Connection".to_owned(), "close".to_owned()));
        }
        if value(&headers, "Content-Length").is_none() && (!body.is_empty() || method == "POST") {
            headers.push(("Content-Length".to_owned(), body.len().to_string()));
        }
        let line = format!("{method} {} {}", self.uri.as_deref().unwrap_or("/"), self.version.as_deref().unwrap_or("HTTP/1.1"));
        Some(Request { line, headers, body: body.into_bytes() })
    }
}

/// A form that is not encoded yet, encoded as go-ftw does it.
fn encode_form(body: &str) -> String {
    let encode = |text: &str| -> String {
        let mut out = String::new();
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
                b' ' => out.push('+'),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    };
    let pairs = body.strip_suffix('&').unwrap_or(body).split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", encode(name), encode(value)),
        None => encode(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}
