//! What a test file may say about one stage: the request to send and what is expected of it.

use super::template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::bytes::Regex;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// One stage of a test.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// For people.
    #[serde(default)]
    pub description: String,
    /// The request.
    pub input: Input,
    /// What is expected.
    pub output: Output,
}

/// A request as a test describes it; what is absent has the format's default.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "InputText")]
pub struct Input {
    /// The server's name or address; a runner's own target comes before it.
    pub dest_addr: String,
    /// The server's port, likewise.
    pub port: u16,
    /// `http` or `https`.
    pub secure: bool,
    /// Sent as it is.
    pub method: String,
    /// Sent as it is.
    pub uri: String,
    /// Sent as it is; may be empty.
    pub version: String,
    /// In the order in which they are sent.
    pub headers: Vec<(String, String)>,
    /// The body, templates filled in.
    pub data: Vec<u8>,
    /// Add `Content-Type`, `Connection` and `Content-Length` where the test has none.
    pub autocomplete: bool,
    /// A whole request, sent instead of all the above.
    pub encoded_request: Option<Vec<u8>>,
    /// Go where the stage before was redirected to.
    pub follow_redirect: bool,
}

/// What is expected of the answer and of the rules.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "OutputText")]
pub struct Output {
    /// The status, where it matters.
    pub status: Option<u16>,
    /// Tried on the answer's head and the beginning of its body.
    pub response_contains: Option<Regex>,
    /// The rules.
    pub log: Log,
    /// `Some(true)`: no valid answer is what is expected.
    pub expect_error: Option<bool>,
    /// A failure is tried once more.
    pub retry_once: bool,
    /// The one expected rule is the only one that may match.
    pub isolated: bool,
}

/// What is expected of the rules.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// All of these match.
    pub expect_ids: Vec<u64>,
    /// None of these does.
    pub no_expect_ids: Vec<u64>,
    /// Tried on each log line; one must match.
    pub match_regex: Option<Regex>,
    /// Tried on each log line; none may match.
    pub no_match_regex: Option<Regex>,
}

impl Output {
    /// Whether it expects anything at all.
    pub fn is_empty(&self) -> bool {
        self.status.is_none() && self.response_contains.is_none() && self.expect_error.is_none() && self.log.is_empty()
    }
}

impl Log {
    fn is_empty(&self) -> bool {
        self.expect_ids.is_empty() && self.no_expect_ids.is_empty() && self.match_regex.is_none() && self.no_match_regex.is_none()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputText {
    #[serde(default)]
    dest_addr: Option<String>,
    port: Option<u16>,
    protocol: Option<String>,
    method: Option<String>,
    uri: Option<String>,
    version: Option<String>,
    headers: Option<Headers>,
    ordered_headers: Option<Vec<HeaderText>>,
    data: Option<String>,
    encoded_data: Option<String>,
    autocomplete_headers: Option<bool>,
    stop_magic: Option<bool>,
    encoded_request: Option<String>,
    #[serde(default)]
    follow_redirect: bool,
    save_cookie: Option<bool>,
    #[serde(default, rename = "virtual_host_mode")]
    _virtual_host_mode: Option<bool>,
    response: Option<serde::de::IgnoredAny>,
}

/// One line of `ordered_headers`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderText {
    name: String,
    value: String,
}

/// A map of headers, by name in byte order.
struct Headers(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of header names to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if headers.contains_key(&name) {
                        return Err(A::Error::custom(format!("the header {name} is here twice; ordered_headers can send it twice")));
                    }
                    headers.insert(name, value);
                }
                Ok(Headers(headers))
            }

            fn visit_unit<E>(self) -> Result<Headers, E> {
                Ok(Headers(BTreeMap::new()))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, String> {
    let joined: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(joined).map_err(|e| format!("{what} is not base64: {e}"))
}

impl TryFrom<InputText> for Input {
    type Error = String;

    fn try_from(text: InputText) -> Result<Self, String> {
        if text.save_cookie == Some(true) {
            return Err("save_cookie does nothing in go-ftw either; write the cookie into the headers".into());
        }
        if text.response.is_some() {
            return Err("input.response is not sent by go-ftw either; POST the response as JSON to /reflect".into());
        }
        let encoded_request = text.encoded_request.filter(|t| !t.is_empty());
        if encoded_request.is_some() && text.data.is_some() {
            return Err("encoded_request is a whole request: data beside it would not be sent".into());
        }
        let data = match (&text.data, &text.encoded_data) {
            (Some(data), _) => template::fill(data)?.into_bytes(),
            (None, Some(encoded)) => decode("encoded_data", encoded)?,
            (None, None) => Vec::new(),
        };
        let secure = match text.protocol.as_deref() {
            None | Some("http" | "") => false,
            Some("https") => true,
            Some(other) => return Err(format!("protocol is http or https, not {other}")),
        };
        let headers = match (text.ordered_headers, text.headers) {
            (Some(list), _) => pairs(list),
            (None, Some(map)) => map.0.into_iter().collect(),
            (None, None) => Vec::new(),
        };
        Ok(Self {
            dest_addr: text.dest_addr.unwrap_or_else(|| "localhost".into()),
            port: text.port.unwrap_or(80),
            secure,
            method: text.method.unwrap_or_else(|| "GET".into()),
            uri: text.uri.unwrap_or_else(|| "/".into()),
            version: text.version.unwrap_or_else(|| "HTTP/1.1".into()),
            headers,
            data,
            autocomplete: text.autocomplete_headers.unwrap_or(!text.stop_magic.unwrap_or(false)),
            encoded_request: encoded_request.map(|t| decode("encoded_request", &t)).transpose()?,
            follow_redirect: text.follow_redirect,
        })
    }
}

/// Headers in the order of a list.
pub(super) fn pairs(list: Vec<HeaderText>) -> Vec<(String, String)> {
    list.into_iter().map(|h| (h.name, h.value)).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputText {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    response_contains: String,
    #[serde(default)]
    log_contains: String,
    #[serde(default)]
    no_log_contains: String,
    #[serde(default)]
    log: LogText,
    expect_error: Option<bool>,
    #[serde(default)]
    retry_once: bool,
    #[serde(default)]
    isolated: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogText {
    expect_ids: Vec<u64>,
    no_expect_ids: Vec<u64>,
    match_regex: String,
    no_match_regex: String,
}

/// A regular expression over bytes, as go-ftw's: RE2 without flags. `None` for an empty one.
fn regex(what: &str, text: &str) -> Result<Option<Regex>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    Regex::new(text).map(Some).map_err(|e| {
        let last = e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("{what} is no regular expression: {last}")
    })
}

impl TryFrom<OutputText> for Output {
    type Error = String;

    fn try_from(text: OutputText) -> Result<Self, String> {
        let mut log = Log {
            match_regex: regex("match_regex", &text.log.match_regex)?,
            no_match_regex: regex("no_match_regex", &text.log.no_match_regex)?,
            expect_ids: text.log.expect_ids,
            no_expect_ids: text.log.no_expect_ids,
        };
        // The deprecated names count only where the new ones say nothing.
        if log.match_regex.is_none() && log.expect_ids.is_empty() {
            log.match_regex = regex("log_contains", &text.log_contains)?;
        }
        if log.no_match_regex.is_none() && log.no_expect_ids.is_empty() {
            log.no_match_regex = regex("no_log_contains", &text.no_log_contains)?;
        }
        if text.isolated && log.expect_ids.len() != 1 {
            return Err("isolated needs exactly one id in log.expect_ids".into());
        }
        if let Some(id) = log.expect_ids.iter().find(|id| log.no_expect_ids.contains(id)) {
            return Err(format!("{id} is expected and not expected"));
        }
        Ok(Self {
            status: (text.status != 0).then_some(text.status),
            response_contains: regex("response_contains", &text.response_contains)?,
            log,
            expect_error: text.expect_error,
            retry_once: text.retry_once,
            isolated: text.isolated,
        })
    }
}

/// A request with `{{.Payload}}` in it (schema version 3).
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RequestTemplateText")]
pub(super) struct RequestTemplate {
    input: Input,
    data: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestTemplateText {
    dest_addr: Option<String>,
    port: Option<u16>,
    protocol: Option<String>,
    uri: Option<String>,
    version: Option<String>,
    method: Option<String>,
    #[serde(default)]
    headers: Vec<HeaderText>,
    #[serde(default)]
    data: String,
    autocomplete_headers: Option<bool>,
    stop_magic: Option<bool>,
    save_cookie: Option<bool>,
}

impl TryFrom<RequestTemplateText> for RequestTemplate {
    type Error = String;

    fn try_from(text: RequestTemplateText) -> Result<Self, String> {
        let input = Input::try_from(InputText {
            dest_addr: text.dest_addr,
            port: text.port,
            protocol: text.protocol,
            method: text.method,
            uri: text.uri,
            version: text.version,
            headers: None,
            ordered_headers: Some(text.headers),
            data: None,
            encoded_data: None,
            autocomplete_headers: text.autocomplete_headers,
            stop_magic: text.stop_magic,
            encoded_request: None,
            follow_redirect: false,
            save_cookie: text.save_cookie,
            _virtual_host_mode: None,
            response: None,
        })?;
        Ok(Self { input, data: text.data })
    }
}

impl RequestTemplate {
    /// The request with the payload in its places.
    pub(super) fn with(&self, payload: &str) -> Result<Input, String> {
        let put = |text: &str| template::fill_with(text, Some(payload));
        let mut input = self.input.clone();
        input.uri = put(&input.uri)?;
        for (_, value) in &mut input.headers {
            *value = put(value)?;
        }
        input.data = put(&self.data)?.into_bytes();
        Ok(input)
    }
}
