//! A request on its way to a backend: its head, then its body as framed, watched for whether it moves, has ended or broken off.

use super::connect::Line;
use super::head::Framing;
use crate::head::{CONTENT_LENGTH, HOST, Headers, Value};
use crate::message::{Body, BodyError};
use crate::refusal::Refusal;
use bytes::{Buf, Bytes};
use http::Method;
use http_body::Body as _;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

/// Body bytes up to which they are copied behind the head, so that both go out as one piece.
const JOINED_BYTES_MAX: usize = 4 * 1024;

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The backend takes no more bytes since this moment.
    Sending(Instant),
    /// The client owes the next bytes.
    Source,
    /// All was handed over at this moment.
    Ended(Instant),
}

/// Why a request could not be sent.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The client's side broke off.
    Client(Refusal),
    /// The connection did.
    Line(io::Error),
}

/// What a request line and its headers are made of.
pub(super) struct Lines<'a> {
    pub(super) method: &'a Method,
    pub(super) target: &'a [u8],
    pub(super) headers: &'a Headers,
    /// Takes the place of the `Host` among the headers.
    pub(super) host: Option<Value<'a>>,
}

impl Lines<'_> {
    /// As bytes, with the framing that the headers do not name; the types of the parts allow nothing in them that could end a line.
    fn write(&self, framing: Framing, out: &mut Vec<u8>) {
        fn line(out: &mut Vec<u8>, parts: [&[u8]; 4]) {
            parts.into_iter().for_each(|part| out.extend_from_slice(part));
        }
        line(out, [self.method.as_str().as_bytes(), b" ", self.target, b" HTTP/1.1\r\n"]);
        match self.host {
            None => self.headers.write(out),
            Some(host) => {
                let mut headers = self.headers.clone();
                headers.insert(&HOST, host);
                headers.write(out);
            }
        }
        match framing {
            Framing::Chunked => line(out, [b"transfer-encoding", b": ", b"chunked", b"\r\n"]),
            Framing::Length(length) if !self.headers.contains(&CONTENT_LENGTH) => {
                line(out, [b"content-length", b": ", length.to_string().as_bytes(), b"\r\n"]);
            }
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// See the module.
pub(super) struct Sending {
    /// The head and the framing of the body, up to `chunk`.
    out: Vec<u8>,
    /// Bytes of `out` that are the head.
    head: usize,
    /// Bytes of `out` that are written.
    at: usize,
    /// Content that follows `out`.
    chunk: Bytes,
    body: Body,
    /// `None`, `Length` of what the body still owes, or `Chunked`; and what it was in the head.
    framing: Framing,
    declared: Framing,
    /// The body has more to say.
    open: bool,
    /// It had a body from the start.
    with_body: bool,
    /// A chunk was begun whose line end is not yet in `out`.
    in_chunk: bool,
    /// The connection has taken bytes of it.
    touched: bool,
    stage: Stage,
}

impl Sending {
    /// A request ready to be sent; `length` is the body's, `None` for one that tells its end itself.
    pub(super) fn new(lines: &Lines<'_>, body: Body, length: Option<u64>, now: Instant) -> Self {
        let open = !body.is_empty();
        let framing = match length {
            _ if !open => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        let mut out = Vec::with_capacity(1024);
        lines.write(framing, &mut out);
        let head = out.len();
        let stage = if open { Stage::Sending(now) } else { Stage::Ended(now) };
        Self {
            out,
            head,
            at: 0,
            chunk: Bytes::new(),
            body,
            framing,
            declared: framing,
            open,
            with_body: open,
            in_chunk: false,
            touched: false,
            stage,
        }
    }

    /// How far it is.
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// All was handed over.
    pub(super) fn ended(&self) -> bool {
        !self.open && self.unwritten() == 0
    }

    /// Whether it can be sent on another connection as if it had never been sent: nothing of it was taken, or it is all still here.
    pub(super) fn untouched(&self) -> bool {
        !self.touched
    }

    /// Begins anew, for another connection; with another `Host` where `lines` are given.
    pub(super) fn restart(&mut self, lines: Option<&Lines<'_>>) {
        (self.at, self.touched) = (0, false);
        if let Some(lines) = lines {
            let mut head = Vec::with_capacity(1024);
            lines.write(self.declared, &mut head);
            let length = head.len();
            self.out.splice(..self.head, head);
            self.head = length;
        }
    }

    /// Ready when all has been handed to the connection.
    ///
    /// # Errors
    /// Who broke off.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, line: &mut Line) -> Poll<Result<(), Stopped>> {
        loop {
            // What the body has ready goes out with the head, in one write.
            let waits = self.open && self.chunk.is_empty() && self.pull(cx)?.is_pending();
            while self.unwritten() > 0 {
                match self.poll_write(cx, line) {
                    Poll::Ready(written) => written.map_err(Stopped::Line)?,
                    Poll::Pending => return Poll::Pending,
                }
            }
            if self.open && !waits {
                continue;
            }
            let flushed = Pin::new(&mut *line).poll_flush(cx).map_err(Stopped::Line)?;
            if waits {
                self.stage = Stage::Source;
                return Poll::Pending;
            }
            if self.with_body && !matches!(self.stage, Stage::Ended(_)) {
                self.stage = Stage::Ended(Instant::now());
            }
            return flushed.map(Ok);
        }
    }

    fn unwritten(&self) -> usize {
        self.out.len() - self.at + self.chunk.len()
    }

    /// Takes what the body says next.
    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            let data = match frame {
                None => {
                    self.end()?;
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(Stopped::Client(refusal(error)))),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            // Trailers are dropped, as RFC 9110 section 6.5.1 allows.
            if !data.is_empty() {
                self.append(data)?;
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn append(&mut self, data: Bytes) -> Result<(), Stopped> {
        if self.at == self.out.len() {
            self.out.clear();
            self.at = 0;
        }
        match &mut self.framing {
            Framing::Length(left) => {
                // More than was declared is a fault of a layer: no byte of it may reach the backend as another request.
                *left = left.checked_sub(data.len() as u64).ok_or(Stopped::Client(Refusal::Internal))?;
                // Nobody asks further once all is there.
                self.open = *left > 0;
            }
            _ => {
                if self.in_chunk {
                    self.out.extend_from_slice(b"\r\n");
                }
                self.in_chunk = true;
                hex(data.len(), &mut self.out);
                self.out.extend_from_slice(b"\r\n");
            }
        }
        if data.len() <= JOINED_BYTES_MAX {
            self.out.extend_from_slice(&data);
        } else {
            self.chunk = data;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stopped> {
        self.open = false;
        match self.framing {
            Framing::Length(left) if left > 0 => return Err(Stopped::Client(Refusal::BodyIncomplete)),
            Framing::Chunked => {
                if self.in_chunk {
                    self.out.extend_from_slice(b"\r\n");
                }
                self.out.extend_from_slice(b"0\r\n\r\n");
            }
            _ => {}
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, line: &mut Line) -> Poll<io::Result<()>> {
        let head = self.out.get(self.at..).unwrap_or_default();
        let outcome = match (head, &self.chunk[..]) {
            (head, []) => Pin::new(line).poll_write(cx, head),
            ([], chunk) => Pin::new(line).poll_write(cx, chunk),
            (head, chunk) => Pin::new(line).poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(chunk)]),
        };
        match outcome {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(written)) => {
                self.touched = true;
                let of_out = written.min(head.len());
                self.at += of_out;
                self.chunk.advance((written - of_out).min(self.chunk.len()));
                if self.with_body {
                    self.stage = Stage::Sending(Instant::now());
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn refusal(error: BodyError) -> Refusal {
    match error {
        BodyError::Refused(refusal) => refusal,
        BodyError::Broken(_) => Refusal::BodyIncomplete,
    }
}

fn hex(number: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|place| DIGITS[number >> (4 * place) & 15]));
}
