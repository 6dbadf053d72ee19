//! Feeding the request's line and headers, and the response's.

use bytes::Bytes;

use super::{Mode, Transaction, cookies};
use crate::body::url_encoded;
use crate::value::Entry;
use crate::verdict::Cause;

/// Headers that there is room for at once.
const HEADERS: usize = 16;

impl Transaction {
    /// The request line as it arrived, and its three parts.
    pub fn request_line(&mut self, raw_line: &[u8], method: &[u8], uri: &[u8], protocol: &[u8]) {
        let [line, method, uri, protocol] = [raw_line, method, uri, protocol].map(|part| self.state.arena.keep(part));
        self.request_line_bytes(line, method, uri, protocol);
    }

    /// The same from buffers that the transaction may share.
    pub fn request_line_bytes(&mut self, line: Bytes, method: Bytes, uri: Bytes, protocol: Bytes) {
        self.head += 1;
        let request = &mut self.request;
        (request.line, request.method, request.uri_raw, request.protocol) = (line, method, uri, protocol);
        request.uri = without_authority(&request.uri_raw);
        let whole = request.uri.clone();
        let fragment = whole.iter().position(|byte| *byte == b'#').unwrap_or(whole.len());
        let question = whole.iter().take(fragment).position(|byte| *byte == b'?');
        request.filename = decoded(whole.slice(..question.unwrap_or(fragment)));
        request.query = question.map_or_else(Bytes::new, |at| whole.slice(at + 1..fragment));
        let settings = self.rules.settings();
        let form = url_encoded(&request.query, settings.argument_separator, settings.arguments_limit);
        request.args_get = form.arguments.into_iter().map(|argument| Entry::new(argument.name, argument.value)).collect();
        request.query_error = form.invalid_encoding;
        if form.truncated {
            self.found.error = Some(Bytes::from_static(b"the query string has more arguments than SecArgumentsLimit allows"));
            self.error(Cause::Limit, None, "the query string has more arguments than SecArgumentsLimit allows");
        }
    }

    /// A header of the request, in the order they were sent, the name as it was spelled.
    pub fn request_header(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.state.arena.keep(name), self.state.arena.keep(value));
        self.request_header_bytes(name, value);
    }

    /// The same from buffers that the transaction may share.
    pub fn request_header_bytes(&mut self, name: Bytes, value: Bytes) {
        self.head += 1;
        let entry = Entry::new(name, value);
        let (name, value) = (&entry.name, &entry.value);
        if name.eq_ignore_ascii_case(b"cookie") {
            let settings = self.rules.settings();
            let (separator, version_1) = (settings.cookie_separator, settings.cookies_version_1);
            if !cookies::parse(&entry.value, separator, version_1, &mut self.request.cookies) {
                self.error(Cause::Limit, None, "the request has too many cookies");
            }
        }
        if name.eq_ignore_ascii_case(b"content-type") && self.request.processor.is_empty() {
            let starts = |with: &[u8]| value.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
            if starts(b"application/x-www-form-urlencoded") {
                self.request.processor = "URLENCODED";
            } else if starts(b"multipart/form-data") {
                self.request.processor = "MULTIPART";
            }
        }
        if self.request.headers.is_empty() {
            self.request.headers.reserve(HEADERS);
        }
        self.request.headers.push(entry);
    }

    /// The response's status line.
    pub fn response_line(&mut self, status: u16, protocol: &[u8]) {
        self.response.status = status;
        self.response.protocol = self.state.arena.keep(protocol);
    }

    /// A header of the response, in the order they were sent.
    pub fn response_header(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.state.arena.keep(name), self.state.arena.keep(value));
        if self.response.headers.is_empty() {
            self.response.headers.reserve(HEADERS);
        }
        self.response.headers.push(Entry::new(name, value));
    }

    /// Whether the response's body should be handed in: the mode, `SecResponseBodyAccess` and the media type say yes.
    pub fn wants_response_body(&self) -> bool {
        if self.mode == Mode::Off || !self.response.body_access {
            return false;
        }
        let content_type = first(&self.response.headers, b"content-type");
        let kind = content_type.map(|value| value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii());
        let wanted = &self.rules.settings().response_mime_types;
        match kind {
            Some(kind) => wanted.iter().any(|mime| mime.as_bytes().eq_ignore_ascii_case(kind)),
            None => wanted.iter().any(|mime| mime == "(null)"),
        }
    }
}

/// The first header of that name, given in lower case.
pub(super) fn first<'a>(headers: &'a [Entry], name: &[u8]) -> Option<&'a Bytes> {
    headers.iter().find(|entry| entry.name.eq_ignore_ascii_case(name)).map(|entry| &entry.value)
}

/// A path with its percent signs decoded once, as every engine shows `REQUEST_FILENAME` in phase 2; a plus stays a plus.
fn decoded(path: Bytes) -> Bytes {
    if memchr::memchr(b'%', &path).is_none() {
        return path;
    }
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        match (byte, digit(path.get(at + 1)), digit(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out.into()
}

/// The target without `scheme://authority`, as `REQUEST_URI` shows it.
fn without_authority(uri: &Bytes) -> Bytes {
    let scheme = uri.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')).count();
    if scheme == 0 || uri.get(scheme..scheme + 3) != Some(b"://") {
        return uri.clone();
    }
    let rest = uri.slice(scheme + 3..);
    let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let path = rest.slice(path..);
    if path.is_empty() { Bytes::from_static(b"/") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_target_loses_its_authority() {
        let cut = |uri: &'static str| without_authority(&Bytes::from_static(uri.as_bytes()));
        assert_eq!(cut("http://h:1/a?b"), "/a?b");
        assert_eq!(cut("http://h"), "/");
        assert_eq!(cut("/a://b"), "/a://b");
        assert_eq!(cut("*"), "*");
    }
}
