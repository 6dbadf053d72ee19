//! The head of a backend's answer: what it says, how its body is framed, whether the connection lives on.

use crate::limits::BACKEND_HEADERS_MAX;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
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
    pub(super) headers: HeaderMap,
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

/// Reads a whole head; `None` for an interim answer (1xx but 101), which is passed over. `bodiless` says that the request was HEAD.
///
/// # Errors
/// `TooLarge` and `NotHttp`, also for framing that two readers could understand differently.
pub(super) fn read(raw: &Bytes, bodiless: bool) -> Result<Option<Head>, Fault> {
    let mut lines = [const { MaybeUninit::uninit() }; BACKEND_HEADERS_MAX];
    let parsed = parse_lines(raw, &mut lines)?.ok_or(NOT_HTTP)?;
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(NOT_HTTP)?;
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    let mut headers = HeaderMap::with_capacity(parsed.headers.len() + 4);
    let mut connection = Connection::default();
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| NOT_HTTP)?;
        let value = HeaderValue::from_maybe_shared(raw.slice_ref(line.value)).map_err(|_| NOT_HTTP)?;
        if name == header::CONNECTION {
            connection.note(line.value);
        }
        headers.append(name, value);
    }
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
fn framing(headers: &mut HeaderMap, status: StatusCode, version: Version, bodiless: bool) -> Result<Framing, Fault> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = match codings.next() {
        None => false,
        Some(first) => {
            if codings.next().is_some() || !first.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::NotHttp("a transfer coding other than chunked"));
            }
            if headers.contains_key(header::CONTENT_LENGTH) {
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

fn length(headers: &mut HeaderMap) -> Result<Option<u64>, Fault> {
    const WRONG: Fault = Fault::NotHttp("a Content-Length that is no one number");
    let mut found = None;
    let mut count = 0;
    for text in headers.get_all(header::CONTENT_LENGTH).iter().flat_map(|value| value.as_bytes().split(|b| *b == b',')) {
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
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(number));
    }
    Ok(found)
}
