//! Two readers of the wire's output, a plain one and hyper, that tell what they saw in the words of the case files.

use super::cases::shown;
use http_body_util::{BodyExt, Empty};
use portcullis::message::{Body, BodyError};
use portcullis::refusal::Refusal;
use portcullis::wire::{Arrived, Framing, Handle, Limits, Turn, Version, Wire, wire};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A client that sends pieces, ends, and reads everything.
pub(super) struct Script(VecDeque<Vec<u8>>);

impl Script {
    pub(super) fn new(pieces: Vec<Vec<u8>>) -> Self {
        Self(pieces.into())
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.0.front_mut() {
            let rest = piece.split_off(piece.len().min(to.remaining()));
            to.put_slice(piece);
            if rest.is_empty() {
                self.0.pop_front();
            } else {
                *piece = rest;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Small enough for cases to reach.
pub(super) fn limits() -> Arc<Limits> {
    Arc::new(Limits {
        request_line_bytes_max: 200,
        head_bytes_max: 1000,
        headers_max: 10,
        trailer_bytes_max: 100,
        chunk_line_bytes_max: 40,
        ..Limits::default()
    })
}

fn head_line(arrived: &Arrived) -> String {
    if let Some(refusal) = &arrived.refusal {
        return format!("refuse: {refusal}");
    }
    let mut words = [arrived.head.method(), b" ", arrived.head.target()].concat();
    words.extend_from_slice(match arrived.body {
        Framing::None => b" none",
        Framing::Chunked => b" chunked",
        Framing::Length(_) => b" length:",
    });
    if let Framing::Length(length) = arrived.body {
        words.extend_from_slice(length.to_string().as_bytes());
    }
    if arrived.version == Version::Http10 {
        words.extend_from_slice(b" 1.0");
    }
    if arrived.expects_continue {
        words.extend_from_slice(b" continue");
    }
    for (name, value) in [("upgrade", &arrived.upgrade), ("host", &arrived.host)] {
        if let Some(value) = value {
            words.extend_from_slice(format!(" {name}=").as_bytes());
            words.extend_from_slice(value);
        }
    }
    shown("accept", &words)
}

fn body_lines(lines: &mut Vec<String>, body: &[u8], broken: Option<&Refusal>) {
    if !body.is_empty() {
        lines.push(shown("body", body));
    }
    if let Some(refusal) = broken {
        lines.push(format!("broken: {refusal}"));
    }
}

struct Plain {
    wire: Wire<Script>,
    read: usize,
    given: Vec<u8>,
}

impl Plain {
    async fn more(&mut self) -> io::Result<usize> {
        let mut space = vec![0; self.read];
        let n = self.wire.read(&mut space).await?;
        self.given.extend_from_slice(&space[..n]);
        Ok(n)
    }

    async fn until(&mut self, enough: impl Fn(&[u8]) -> Option<usize>) -> io::Result<Vec<u8>> {
        loop {
            if let Some(n) = enough(&self.given) {
                return Ok(self.given.drain(..n).collect());
            }
            if self.more().await? == 0 {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
    }

    async fn data(&mut self, mut left: u64, into: &mut Vec<u8>) -> io::Result<()> {
        while left > 0 {
            let part = self.until(|g| (!g.is_empty()).then(|| g.len().min(usize::try_from(left).unwrap_or(usize::MAX)))).await?;
            left -= part.len() as u64;
            into.extend(part);
        }
        Ok(())
    }

    async fn body(&mut self, framing: Framing, into: &mut Vec<u8>) -> io::Result<()> {
        match framing {
            Framing::None => return Ok(()),
            Framing::Length(length) => return self.data(length, into).await,
            Framing::Chunked => {}
        }
        loop {
            let line = self.until(line_end).await?;
            let size = u64::from_str_radix(std::str::from_utf8(&line[..line.len() - 2]).unwrap(), 16).unwrap();
            self.data(size, into).await?;
            assert_eq!(self.until(|g| (g.len() >= 2).then_some(2)).await?, b"\r\n");
            if size == 0 {
                return Ok(());
            }
        }
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|w| w == b"\r\n").map(|at| at + 2)
}

/// What a plain reader sees that asks for `read` bytes at a time.
pub(super) async fn outcomes(script: Script, read: usize) -> Vec<String> {
    let (wire, handle) = wire(script, limits());
    let mut plain = Plain { wire, read, given: Vec::new() };
    let mut lines = Vec::new();
    loop {
        let head = plain.until(|g| g.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)).await;
        let Ok(_) = head else {
            assert!(plain.given.is_empty() && handle.next().is_none(), "the end came inside a head");
            return lines;
        };
        let arrived = handle.next().expect("a head for each neutral head");
        lines.push(head_line(&arrived));
        if arrived.refusal.is_some() {
            return lines;
        }
        let mut body = Vec::new();
        let outcome = plain.body(arrived.body, &mut body).await;
        let refusal = outcome.err().map(|e| e.get_ref().and_then(|e| e.downcast_ref::<Refusal>()).expect("a refusal").clone());
        body_lines(&mut lines, &body, refusal.as_ref());
        if refusal.is_some() {
            assert_eq!(plain.more().await.unwrap(), 0, "after a broken body the end follows");
            return lines;
        }
        handle.upgraded(false);
    }
}

/// What a service behind hyper's server sees.
pub(super) async fn outcomes_of_hyper(script: Script) -> Vec<String> {
    let (wire, handle) = wire(script, limits());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (handle, seen) = (handle.clone(), Arc::clone(&seen));
        async move { Ok::<_, Infallible>(serve(request, &handle, &seen).await) }
    });
    let outcome = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .max_header_size(64 * 1024)
        .serve_connection(Bridge(wire), service)
        .with_upgrades()
        .await;
    if let Err(error) = outcome {
        assert!(!error.is_parse(), "hyper could not read a neutral head: {error}");
    }
    let lines = lines.lock().unwrap();
    lines.clone()
}

/// An empty body that keeps the turn until it is dropped.
pub(super) struct WithTurn(pub Empty<bytes::Bytes>, #[allow(dead_code, reason = "held for its drop")] pub Turn);

impl http_body::Body for WithTurn {
    type Data = bytes::Bytes;
    type Error = Infallible;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        true
    }
    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(0)
    }
}

async fn serve(request: hyper::Request<hyper::body::Incoming>, handle: &Handle, seen: &Mutex<Vec<String>>) -> hyper::Response<WithTurn> {
    let arrived = handle.next().expect("one head for each request");
    seen.lock().unwrap().push(head_line(&arrived));
    let mut body = Body::incoming(request.into_body());
    let (mut bytes, mut broken) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().expect("trailers are dropped")),
            Err(BodyError::Refused(refusal)) => broken = Some(refusal),
            Err(error) => panic!("hyper found a fault that the wire let pass: {error}"),
        }
        if broken.is_some() {
            break;
        }
    }
    body_lines(&mut seen.lock().unwrap(), &bytes, broken.as_ref());
    handle.upgraded(false);
    hyper::Response::new(WithTurn(Empty::new(), arrived.turn))
}

/// Tokio's stream traits as hyper's.
pub(super) struct Bridge<T>(pub T);

impl<T: AsyncRead + Unpin> hyper::rt::Read for Bridge<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut to: hyper::rt::ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut space = vec![0; to.remaining()];
        let mut buffer = ReadBuf::new(&mut space);
        let outcome = Pin::new(&mut self.0).poll_read(cx, &mut buffer);
        if outcome.is_ready() {
            to.put_slice(buffer.filled());
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> hyper::rt::Write for Bridge<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
