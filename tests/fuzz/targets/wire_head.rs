//! Fuzz target: whatever a client sends, the wire neither panics nor hangs, and how the bytes are cut changes nothing.
//!
//! The first byte says where to cut. Seeds are the `send:` lines of `tests/wire/*.http`:
//! `tests/fuzz/seed.sh && cargo fuzz run --fuzz-dir tests/fuzz wire_head`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::wire::{Limits, wire};
use std::future::poll_fn;
use std::io::Cursor;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A client that sends at most `step` bytes at a time, then ends.
struct Client<'a> {
    bytes: Cursor<&'a [u8]>,
    step: usize,
}

impl AsyncRead for Client<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let step = self.step as u64;
        Pin::new(&mut (&mut self.bytes).take(step)).poll_read(cx, to)
    }
}

impl AsyncWrite for Client<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What comes out of the wire: the heads, and of each the body and its refusal.
type Outcome = Vec<(Vec<u8>, String, Vec<u8>, Option<String>)>;

async fn outcome(bytes: &[u8], step: usize) -> Outcome {
    let mut wire = wire(Client { bytes: Cursor::new(bytes), step }, Arc::new(Limits::default()));
    let mut out = Vec::new();
    while let Some(arrived) = poll_fn(|cx| wire.poll_head(cx)).await {
        let (mut body, mut broken) = (Vec::new(), None);
        while let Some(piece) = poll_fn(|cx| wire.poll_body(cx)).await {
            match piece {
                Ok(piece) => body.extend_from_slice(&piece),
                Err(refusal) => broken = Some(refusal.to_string()),
            }
        }
        let told = format!("{:?}", (&arrived.refusal, &arrived.head.headers, &arrived.body));
        out.push((arrived.head.bytes.to_vec(), told, body, broken));
        wire.served();
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    let whole = runtime.block_on(outcome(bytes, bytes.len().max(1)));
    let pieces = runtime.block_on(outcome(bytes, usize::from(*cut).max(1)));
    assert_eq!(whole, pieces);
});
