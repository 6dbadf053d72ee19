//! The head of a backend's answer: what it says, how its body is framed, whether the connection lives on.

use crate::head::{CONNECTION, CONTENT_LENGTH, Headers, OwnValue, TRANSFER_ENCODING, are_values, plain_lines};
use crate::limits::{BACKEND_HEAD_BYTES_MAX, BACKEND_HEADERS_MAX};
use bytes::Bytes;
use http::{StatusCode, Version};
use std::fmt;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;

/// How the body of an answer is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// No body.
    None,
    /// Content-Length, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Up to the end of the connection.
    Close,
}

/// A final answer's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: Headers,
    pub(super) framing: Framing,
    /// The connection may take another request when this answer has ended.
    pub(super) keep_alive: bool,
}

/// Why an answer cannot be had from a connection.
#[derive(Debug)]
pub(super) enum Fault {
    /// The head is over a limit.
    TooLarge,
    /// What came is not an answer as HTTP/1 knows it; which part, in our words.
    NotHttp(&'static str),
    /// The backend closed before the end.
    Closed,
    /// The connection failed.
    Io(io::Error),
}

impl Fault {
    /// In our words, without a byte of what the backend sent.
    pub(super) fn words(&self) -> &'static str {
        match self {
            Self::TooLarge => "the response head is too large",
            Self::NotHttp(why) => why,
            Self::Closed => "the backend closed the connection too early",
            Self::Io(error) => match error.kind() {
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the backend reset the connection",
                ErrorKind::UnexpectedEof => "the backend closed the connection too early",
                _ => "the connection to the backend failed",
            },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

const NOT_HTTP: Fault = Fault::NotHttp("the response is not HTTP");

/// The bytes of a head with its empty line at the beginning of `buffer`, if it is there; only lines that begin at or after `from`
/// are looked at.
pub(super) fn end(buffer: &[u8], from: usize) -> Option<usize> {
    let rest = buffer.get(from..)?;
    memchr::memchr_iter(b'\n', rest).find_map(|lf| match rest.get(lf + 1..)? {
        [b'\r', b'\n', ..] => Some(from + lf + 3),
        [b'\n', ..] => Some(from + lf + 2),
        _ => None,
    })
}

/// Whether what has come so far can still become a head.
///
/// # Errors
/// The fault, where it cannot.
pub(super) fn may_begin(buffer: &[u8]) -> Result<(), Fault> {
    let mut lines = [const { MaybeUninit::uninit() }; BACKEND_HEADERS_MAX];
    parse_lines(buffer, &mut lines).map(drop)
}

type Lines<'b> = [MaybeUninit<httparse::Header<'b>>];

fn parse_lines<'l, 'b>(buffer: &'b [u8], lines: &'l mut Lines<'b>) -> Result<Option<httparse::Response<'l, 'b>>, Fault> {
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, buffer, lines) {
        Ok(httparse::Status::Complete(_)) => Ok(Some(parsed)),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(Fault::TooLarge),
        Err(_) => Err(NOT_HTTP),
    }
}

/// Reads a whole head about which nothing is unusual from the beginning of `buffer`, and says how long it is; `None` where that
/// takes a closer look.
pub(super) fn plain(buffer: &[u8], bodiless: bool) -> Option<(usize, Result<Option<Head>, Fault>)> {
    let version = match buffer.first_chunk::<9>()? {
        b"HTTP/1.1 " => Version::HTTP_11,
        b"HTTP/1.0 " => Version::HTTP_10,
        _ => return None,
    };
    let first = memchr::memchr(b'\n', buffer)?;
    let line = buffer.get(9..first)?.strip_suffix(b"\r")?;
    let (code, reason) = line.split_at_checked(3)?;
    let status = StatusCode::from_bytes(code).ok()?;
    if !matches!(reason, [] | [b' ', ..]) || !are_values(reason) {
        return None;
    }
    let mut headers = Headers::of_bytes(Bytes::new(), 8);
    let end = plain_lines(buffer, first + 1, BACKEND_HEAD_BYTES_MAX, |line, name, _| {
        headers.plain(&line, name);
        headers.len() <= BACKEND_HEADERS_MAX
    })?;
    let headers = headers.with_bytes(Bytes::copy_from_slice(buffer.get(..end)?));
    Some((end, judged(headers, status, version, bodiless)))
}

/// Reads a whole head; `None` for an interim answer (1xx but 101), which is passed over. `bodiless` says that the request was HEAD.
///
/// # Errors
/// `TooLarge` and `NotHttp`, also for framing that two readers could understand differently.
pub(super) fn read(raw: &Bytes, bodiless: bool) -> Result<Option<Head>, Fault> {
    let mut lines = [const { MaybeUninit::uninit() }; BACKEND_HEADERS_MAX];
    let parsed = parse_lines(raw, &mut lines)?.ok_or(NOT_HTTP)?;
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(NOT_HTTP)?;
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut headers = Headers::of_bytes(raw.clone(), parsed.headers.len());
    // The parser's parts lie in `raw`: their places are the distances of their beginnings.
    let place = |part: &[u8]| {
        let start = (part.as_ptr() as usize).wrapping_sub(raw.as_ptr() as usize) as u32;
        start..start.saturating_add(part.len() as u32)
    };
    for line in parsed.headers.iter() {
        if !headers.came(&place(line.name.as_bytes()), &place(line.value)) {
            return Err(NOT_HTTP);
        }
    }
    judged(headers, status, version, bodiless)
}

fn judged(mut headers: Headers, status: StatusCode, version: Version, bodiless: bool) -> Result<Option<Head>, Fault> {
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    let mut connection = Connection::default();
    headers.get_all(&CONNECTION).for_each(|value| connection.note(value.as_bytes()));
    let framing = framing(&mut headers, status, version, bodiless)?;
    let keep_alive = match version {
        _ if connection.close || framing == Framing::Close => false,
        Version::HTTP_11 => true,
        _ => connection.keep_alive,
    };
    Ok(Some(Head { status, version, headers, framing, keep_alive }))
}

/// The options of `Connection` that decide about its life.
#[derive(Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
}

impl Connection {
    fn note(&mut self, value: &[u8]) {
        for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

/// Refuses what two readers could cut differently (RFC 9112 section 6.3): Transfer-Encoding with Content-Length, on HTTP/1.0 or of
/// another coding than `chunked`; lengths that differ or are no numbers. Equal lengths sent twice become one.
fn framing(headers: &mut Headers, status: StatusCode, version: Version, bodiless: bool) -> Result<Framing, Fault> {
    let chunked = match headers.get(&TRANSFER_ENCODING) {
        None => false,
        Some(first) => {
            if headers.get_all(&TRANSFER_ENCODING).nth(1).is_some() || !first.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::NotHttp("a transfer coding other than chunked"));
            }
            if headers.contains(&CONTENT_LENGTH) {
                return Err(Fault::NotHttp("Content-Length with Transfer-Encoding"));
            }
            if version == Version::HTTP_10 {
                return Err(Fault::NotHttp("Transfer-Encoding on HTTP/1.0"));
            }
            true
        }
    };
    let length = length(headers)?;
    let none = bodiless || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(match length {
        _ if none => Framing::None,
        _ if chunked => Framing::Chunked,
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::Close,
    })
}

fn length(headers: &mut Headers) -> Result<Option<u64>, Fault> {
    const WRONG: Fault = Fault::NotHttp("a Content-Length that is no one number");
    let mut found = None;
    let mut count = 0;
    for text in headers.get_all(&CONTENT_LENGTH).flat_map(|value| value.as_bytes().split(|b| *b == b',')) {
        let text = text.trim_ascii();
        let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(text).ok().filter(|_| plain).and_then(|text| text.parse::<u64>().ok()).ok_or(WRONG)?;
        if found.is_some_and(|found| found != number) {
            return Err(WRONG);
        }
        found = Some(number);
        count += 1;
    }
    if let (Some(number), true) = (found, count > 1) {
        headers.insert(&CONTENT_LENGTH, OwnValue::new(number.to_string()).unwrap_or_default().get());
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Told = (StatusCode, Version, Framing, bool, Vec<(String, Vec<u8>)>);

    fn told(head: Result<Option<Head>, Fault>) -> Result<Option<Told>, String> {
        let lines = |headers: &Headers| headers.iter().map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec())).collect();
        let head = head.map_err(|fault| fault.to_string())?;
        Ok(head.map(|head| (head.status, head.version, head.framing, head.keep_alive, lines(&head.headers))))
    }

    proptest! {
        #[test]
        fn a_plain_head_is_read_as_the_careful_reader_reads_it(
            version in "HTTP/1\\.[01]",
            code in "[1-5][0-9]{2}|99|[x6-9]00",
            reason in "| OK| Not \u{e9}|OK|  | \tx",
            lines in proptest::collection::vec("(content-length|transfer-encoding|connection|X-[A-Z]|x y|)(:|: |:  |=)(5|chunked|close|keep-alive|\t| |a\u{e9}|)", 0..5),
            end in "(\r\n)?",
            bodiless: bool,
        ) {
            let head = format!("{version} {code}{reason}\r\n{}\r\n{end}", lines.iter().map(|l| format!("{l}\r\n")).collect::<String>());
            if let Some((end, plain)) = plain(head.as_bytes(), bodiless) {
                prop_assert_eq!(end, super::end(head.as_bytes(), 0).unwrap());
                let raw = Bytes::copy_from_slice(&head.as_bytes()[..end]);
                prop_assert_eq!(told(plain), told(read(&raw, bodiless)));
            }
        }
    }

    #[test]
    fn ordinary_heads_are_plain() {
        let head = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 2\r\n\r\nok";
        let (end, read) = plain(head, false).unwrap();
        let read = read.unwrap().unwrap();
        assert_eq!((end, read.framing, read.keep_alive), (head.len() - 2, Framing::Length(2), true));
    }
}
