//! A reader of the wire that tells what it saw in the words of the case files.

use super::cases::shown;
use portcullis::refusal::Refusal;
use portcullis::wire::{Arrived, Framing, Limits, Version, Wire, wire};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client that sends pieces, ends, and reads everything.
pub(super) struct Script {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes given at once, at most.
    read: usize,
}

impl Script {
    pub(super) fn new(pieces: Vec<Vec<u8>>) -> Self {
        Self { pieces: pieces.into(), read: usize::MAX }
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = self.read.min(to.remaining());
        if let Some(piece) = self.pieces.front_mut() {
            let rest = piece.split_off(piece.len().min(room));
            to.put_slice(piece);
            if rest.is_empty() {
                self.pieces.pop_front();
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

/// The next head.
pub(super) async fn head<S: AsyncRead + Unpin>(wire: &mut Wire<S>) -> Option<Arrived> {
    poll_fn(|cx| wire.poll_head(cx)).await
}

/// The next bytes of a body.
pub(super) async fn body<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>) -> Option<Result<bytes::Bytes, Refusal>> {
    poll_fn(|cx| wire.poll_body(cx)).await
}

/// What a reader sees to whom `read` bytes are given at a time.
pub(super) async fn outcomes(script: Script, read: usize) -> Vec<String> {
    outcomes_of(script, read, |_| true).await
}

/// The same for a reader that reads only the bodies it likes; what has come of the others is discarded.
pub(super) async fn outcomes_of(mut script: Script, read: usize, likes: impl Fn(&Arrived) -> bool) -> Vec<String> {
    script.read = read;
    let mut wire = wire(script, limits());
    let mut lines = Vec::new();
    while let Some(arrived) = head(&mut wire).await {
        lines.push(head_line(&arrived));
        if !likes(&arrived) {
            wire.discard();
            wire.served();
            continue;
        }
        let (mut bytes, mut broken) = (Vec::new(), None);
        while let Some(piece) = body(&mut wire).await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(refusal) => broken = Some(refusal),
            }
        }
        body_lines(&mut lines, &bytes, broken.as_ref());
        wire.served();
        if arrived.refusal.is_some() || broken.is_some() {
            assert!(head(&mut wire).await.is_none(), "after a refusal the end follows");
        }
    }
    lines
}
