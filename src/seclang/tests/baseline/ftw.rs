//! Regression tests in go-ftw's YAML (schema 2), as far as the baseline's own use it.

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
    pub(crate) test_id: u64,
    pub(crate) desc: String,
    pub(crate) stages: Vec<Stage>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Stage {
    pub(crate) input: Input,
    pub(crate) output: Output,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) data: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Output {
    pub(crate) status: u16,
    pub(crate) log: Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) expect_ids: Vec<u64>,
    pub(crate) no_expect_ids: Vec<u64>,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> File {
    let text = std::fs::read_to_string(path).expect("a readable file");
    serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Input {
    /// The headers in the order and with the completions that go-ftw sends, and the body.
    pub(crate) fn complete(&self) -> (Vec<(String, String)>, Vec<u8>) {
        let mut headers: Vec<(String, String)> = self.headers.clone().into_iter().collect();
        let mut body = self.data.clone().unwrap_or_default();
        let kind = self.headers.get("Content-Type").cloned().unwrap_or_default().to_ascii_lowercase();
        if kind == "application/x-www-form-urlencoded" && !body.contains(['%', '+']) {
            body = encode_form(&body);
        }
        if kind.contains("multipart/form-data;") {
            body = body.replace('\n', "\r\n");
        }
        headers.push(("Connection".to_owned(), "close".to_owned()));
        if !body.is_empty() || self.method == "POST" {
            headers.push(("Content-Length".to_owned(), body.len().to_string()));
        }
        (headers, body.into_bytes())
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
