//! An answer on its way to an HTTP/1 client: its head, then its body as framed, in as few writes as what is ready allows.

use super::client::Client;
use crate::head::{CONNECTION, CONTENT_LENGTH, DATE, Headers};
use crate::limits::{ANSWER_JOINED_BYTES_MAX, ANSWER_QUEUED_BYTES_MAX, ANSWER_QUEUED_PIECES_MAX};
use crate::message::{Body, Response};
use bytes::{Buf, Bytes};
use http::{StatusCode, Version};
use http_body::Body as _;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite};

/// How the body is framed (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// No body.
    None,
    /// Bytes to come.
    Length(u64),
    Chunked,
    /// Up to the end of the connection.
    Close,
}

/// The answer cannot be brought to its end: the connection must end without one, so that nobody takes a part for the whole.
#[derive(Debug)]
pub(super) struct Broken;

/// See the module.
pub(super) struct Answer {
    /// Written first: the head, and small pieces of the body behind it.
    out: Vec<u8>,
    /// Bytes of `out` that are written.
    at: usize,
    /// Written next.
    queue: VecDeque<Bytes>,
    /// Bytes in `queue`.
    queued: usize,
    body: Body,
    framing: Framing,
    /// The body has more to say.
    open: bool,
    broken: bool,
}

impl Answer {
    /// The answer to a request of this version; `head` says that it was HEAD. What it says of the connection is done.
    pub(super) fn new<S: AsyncRead + Unpin>(response: Response, head: bool, version: Version, client: &Client<S>) -> Self {
        let Response { status, headers, body, .. } = response;
        let framing = framing(status, &headers, &body, head, version);
        let alone = client.is_alone();
        let mut wire = client.lock();
        // Told in the head, where it is known by now; an answer may also come while the body is still being read.
        let unread = !wire.is_last() && alone && !wire.discard();
        if unread || framing == Framing::Close || says_close(&headers) {
            wire.end();
        }
        let last = wire.is_last();
        drop(wire);
        let mut out = Vec::with_capacity(2048);
        write_head(&mut out, status, &headers, framing, (version, last));
        let open = !matches!(framing, Framing::None | Framing::Length(0));
        let body = if open { body } else { Body::empty() };
        Self { out, at: 0, queue: VecDeque::new(), queued: 0, body, framing, open, broken: false }
    }

    /// Ready when all has been written; until then what the client does is watched.
    ///
    /// # Errors
    /// The client has gone, or the body broke off.
    pub(super) fn poll<S>(&mut self, cx: &mut Context<'_>, client: &Client<S>) -> Poll<Result<(), Broken>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            let waits = self.pull(cx);
            let mut wire = client.lock();
            while self.unwritten() > 0 {
                if ready!(self.poll_write(cx, Pin::new(&mut *wire))).is_err() {
                    return Poll::Ready(Err(Broken));
                }
            }
            if self.broken {
                return Poll::Ready(Err(Broken));
            }
            if self.open && !waits {
                continue;
            }
            let flushed = Pin::new(&mut *wire).poll_flush(cx);
            if let Poll::Ready(Err(_)) = flushed {
                return Poll::Ready(Err(Broken));
            }
            if waits {
                return wire.poll_gone(cx).map(|()| Err(Broken));
            }
            return flushed.map_err(|_| Broken);
        }
    }

    fn unwritten(&self) -> usize {
        self.out.len() - self.at + self.queued
    }

    /// Takes what the body has ready, up to a bound; true when it is waited for.
    fn pull(&mut self, cx: &mut Context<'_>) -> bool {
        while self.open && self.unwritten() < ANSWER_QUEUED_BYTES_MAX && self.queue.len() < ANSWER_QUEUED_PIECES_MAX {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else { return true };
            match frame {
                // Trailers are dropped, as RFC 9110 section 6.5.1 allows.
                Some(Ok(frame)) => self.append(frame.into_data().unwrap_or_default()),
                Some(Err(_)) => (self.open, self.broken) = (false, true),
                None => self.end(),
            }
        }
        false
    }

    fn append(&mut self, mut data: Bytes) {
        if data.is_empty() {
            return;
        }
        match &mut self.framing {
            Framing::Length(left) => {
                // More than the head announced would be taken for the next answer.
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                // Nobody asks further once all is there.
                self.open = *left > 0;
            }
            Framing::Chunked => {
                let mut line = [0; 18];
                let from = hex_line(data.len(), &mut line);
                self.push_text(line.get(from..).unwrap_or_default());
            }
            Framing::None | Framing::Close => {}
        }
        if self.queue.is_empty() && data.len() <= ANSWER_JOINED_BYTES_MAX {
            self.out.extend_from_slice(&data);
        } else {
            self.queued += data.len();
            self.queue.push_back(data);
        }
        if self.framing == Framing::Chunked {
            self.push_text(b"\r\n");
        }
    }

    fn end(&mut self) {
        self.open = false;
        match self.framing {
            Framing::Chunked => self.push_text(b"0\r\n\r\n"),
            Framing::Length(left) if left > 0 => self.broken = true,
            _ => {}
        }
    }

    fn push_text(&mut self, text: &[u8]) {
        if self.queue.is_empty() {
            self.out.extend_from_slice(text);
        } else {
            self.queued += text.len();
            self.queue.push_back(Bytes::copy_from_slice(text));
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, wire: Pin<&mut impl AsyncWrite>) -> Poll<io::Result<()>> {
        let first = self.out.get(self.at..).unwrap_or_default();
        let written = match self.queue.front() {
            None => ready!(wire.poll_write(cx, first))?,
            Some(only) if first.is_empty() && self.queue.len() == 1 => ready!(wire.poll_write(cx, only))?,
            Some(_) => {
                let mut slices = [IoSlice::new(&[]); ANSWER_QUEUED_PIECES_MAX + 4];
                slices[0] = IoSlice::new(first);
                let mut count = 1;
                for (slice, piece) in slices[1..].iter_mut().zip(&self.queue) {
                    *slice = IoSlice::new(piece);
                    count += 1;
                }
                ready!(wire.poll_write_vectored(cx, &slices[usize::from(first.is_empty())..count]))?
            }
        };
        if written == 0 {
            return Poll::Ready(Err(ErrorKind::WriteZero.into()));
        }
        self.wrote(written);
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, bytes: usize) {
        let of_out = bytes.min(self.out.len() - self.at);
        self.at += of_out;
        if self.at == self.out.len() {
            self.out.clear();
            self.at = 0;
        }
        let mut left = bytes - of_out;
        self.queued -= left;
        while let Some(piece) = self.queue.front_mut() {
            if left < piece.len() {
                return piece.advance(left);
            }
            left -= piece.len();
            self.queue.pop_front();
        }
    }
}

/// What an answer's body is framed by.
fn framing(status: StatusCode, headers: &Headers, body: &Body, head: bool, version: Version) -> Framing {
    if head || has_no_body(status) || status == StatusCode::NOT_MODIFIED {
        return Framing::None;
    }
    let named = headers.get(&CONTENT_LENGTH).and_then(|value| value.text()?.parse::<u64>().ok());
    match named.or_else(|| if body.is_empty() { Some(0) } else { body.size_hint().exact() }) {
        Some(length) => Framing::Length(length),
        None if version == Version::HTTP_10 => Framing::Close,
        None => Framing::Chunked,
    }
}

/// Neither a body nor a length of one (RFC 9110 section 8.6).
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT
}

fn says_close(headers: &Headers) -> bool {
    headers.get_all(&CONNECTION).any(|value| value.as_bytes().split(|b| *b == b',').any(|o| o.trim_ascii().eq_ignore_ascii_case(b"close")))
}

fn write_head(out: &mut Vec<u8>, status: StatusCode, headers: &Headers, framing: Framing, (version, last): (Version, bool)) {
    out.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let lengths = headers.contains(&CONTENT_LENGTH);
    if lengths && (has_no_body(status) || !matches!(framing, Framing::None | Framing::Length(_))) {
        let mut without = headers.clone();
        without.remove(&CONTENT_LENGTH);
        without.write(out);
    } else {
        headers.write(out);
    }
    match framing {
        Framing::Length(length) if !lengths => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(length.to_string().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    if !headers.contains(&CONNECTION) {
        match (last, version) {
            (true, _) => out.extend_from_slice(b"connection: close\r\n"),
            (false, Version::HTTP_10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (false, _) => {}
        }
    }
    if !headers.contains(&DATE) && !status.is_informational() {
        write_date(out);
    }
    out.extend_from_slice(b"\r\n");
}

/// The present second as `Date` has it (RFC 9110 section 5.6.7), made once a second.
fn write_date(out: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(u64, Vec<u8>)> = RefCell::default();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(second, line)| {
        if line.is_empty() || *second != now {
            *second = now;
            *line = format!("date: {}\r\n", crate::clock::http_date(now)).into_bytes();
        }
        out.extend_from_slice(line);
    });
}

/// Writes a chunk's size line at the end of `line`; where it begins.
fn hex_line(number: usize, line: &mut [u8; 18]) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    (line[16], line[17]) = (b'\r', b'\n');
    let (mut left, mut at) = (number, 16);
    loop {
        at -= 1;
        line[at] = DIGITS[left & 15];
        left >>= 4;
        if left == 0 {
            return at;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::head::Value;
    use crate::message::BodyError;
    use crate::wire::{Limits, wire};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use std::future::poll_fn;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// A body of pieces that does not know its length.
    fn pieces(pieces: &[&[u8]]) -> Body {
        let frames: Vec<Result<Frame<Bytes>, BodyError>> = pieces.iter().map(|p| Ok(Frame::data(Bytes::copy_from_slice(p)))).collect();
        Body::boxed(StreamBody::new(futures_util::stream::iter(frames)))
    }

    fn response(status: u16, length: Option<&'static str>, body: Body) -> Response {
        let mut response = Response::new(StatusCode::from_u16(status).unwrap());
        response.headers.append(&DATE, Value::from_static("now"));
        if let Some(length) = length {
            response.headers.append(&CONTENT_LENGTH, Value::from_static(length));
        }
        response.body = body;
        response
    }

    /// What a client is sent after this request, whether the answer was whole, and whether it is the connection's last.
    async fn sent(request: &str, response: Response) -> (String, bool, bool) {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let own = Client::new(wire(server, Arc::new(Limits::default())));
        client.write_all(request.as_bytes()).await.unwrap();
        let arrived = poll_fn(|cx| own.lock().poll_head(cx)).await.unwrap();
        let version = if arrived.version == crate::wire::Version::Http10 { Version::HTTP_10 } else { Version::HTTP_11 };
        let mut answer = Answer::new(response, arrived.head.method() == b"HEAD", version, &own);
        let whole = poll_fn(|cx| answer.poll(cx, &own)).await.is_ok();
        let last = own.lock().is_last();
        drop((answer, own));
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        (text, whole, last)
    }

    #[tokio::test]
    async fn an_answer_is_framed_as_its_request_and_its_body_allow() {
        const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
        const OLD: &str = "GET / HTTP/1.0\r\n\r\n";
        const KEPT: &str = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        const UNREAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
        let ok = "HTTP/1.1 200 OK\r\ndate: now\r\n";
        let cases: Vec<(&str, Response, String, bool)> = vec![
            (GET, response(200, None, Body::full("four")), format!("{ok}content-length: 4\r\n\r\nfour"), false),
            (GET, response(200, None, Body::empty()), format!("{ok}content-length: 0\r\n\r\n"), false),
            (GET, response(200, Some("2"), pieces(&[b"o", b"k"])), format!("{ok}content-length: 2\r\n\r\nok"), false),
            (
                GET,
                response(200, None, pieces(&[b"four", b"", b"seventeen letters"])),
                format!("{ok}transfer-encoding: chunked\r\n\r\n4\r\nfour\r\n11\r\nseventeen letters\r\n0\r\n\r\n"),
                false,
            ),
            (OLD, response(200, None, pieces(&[b"ok"])), "HTTP/1.0 200 OK\r\ndate: now\r\nconnection: close\r\n\r\nok".into(), true),
            (KEPT, response(200, None, pieces(&[b"ok"])), "HTTP/1.0 200 OK\r\ndate: now\r\nconnection: close\r\n\r\nok".into(), true),
            (
                KEPT,
                response(200, None, Body::full("ok")),
                "HTTP/1.0 200 OK\r\ndate: now\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok".into(),
                false,
            ),
            (HEAD, response(200, Some("99"), Body::empty()), format!("{ok}content-length: 99\r\n\r\n"), false),
            (GET, response(204, Some("0"), Body::empty()), "HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n".into(), false),
            (
                GET,
                response(304, Some("99"), Body::empty()),
                "HTTP/1.1 304 Not Modified\r\ndate: now\r\ncontent-length: 99\r\n\r\n".into(),
                false,
            ),
            (UNREAD, response(413, None, Body::empty()), String::new(), true),
        ];
        for (request, response, expected, ends) in cases {
            let (text, whole, last) = sent(request, response).await;
            let expected = match request {
                UNREAD => "HTTP/1.1 413 Payload Too Large\r\ndate: now\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
                _ => expected,
            };
            assert_eq!((text, whole, last), (expected, true, ends), "{request}");
        }
    }

    #[tokio::test]
    async fn no_byte_goes_out_beyond_the_length_and_less_is_no_whole_answer() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let (text, whole, _) = sent(get, response(200, Some("3"), pieces(&[b"fo", b"urteen"]))).await;
        assert!(whole && text.ends_with("\r\n\r\nfou"), "{text}");
        let (text, whole, _) = sent(get, response(200, Some("5"), pieces(&[b"four"]))).await;
        assert!(!whole && text.ends_with("\r\n\r\nfour"), "{text}");
    }

    #[tokio::test]
    async fn pieces_of_every_size_arrive_in_order() {
        let sizes = [1, 4096, 4097, 70_000, 3, 200_000, 1, 1, 100_000];
        let parts: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, size)| vec![b'a' + i as u8; *size]).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for (length, chunked) in [(None, true), (Some("378199"), false)] {
            let (text, whole, _) = sent("GET / HTTP/1.1\r\nHost: a\r\n\r\n", response(200, length, pieces(&parts))).await;
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            let mut expected = Vec::new();
            for part in &parts {
                match chunked {
                    true => expected.extend([format!("{:X}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()),
                    false => expected.extend_from_slice(part),
                }
            }
            if chunked {
                expected.extend_from_slice(b"0\r\n\r\n");
            }
            assert!(whole && body.as_bytes() == expected, "{} bytes", body.len());
        }
    }
}
