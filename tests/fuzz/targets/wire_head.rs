//! Fuzz target: whatever a client sends, the wire neither panics nor hangs, and how the bytes are cut changes nothing.
//!
//! The first byte says where to cut. Seeds are the `send:` lines of `tests/wire/*.http`:
//! `tests/fuzz/seed.sh && cargo fuzz run --fuzz-dir tests/fuzz wire_head`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::wire::{Limits, wire};
use std::io::Cursor;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

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

/// What comes out of the wire: its bytes, the heads, the refusal of a body.
type Outcome = (Vec<u8>, Vec<(Vec<u8>, String)>, Option<String>);

async fn outcome(bytes: &[u8], step: usize) -> Outcome {
    let (mut wire, handle) = wire(Client { bytes: Cursor::new(bytes), step }, Arc::new(Limits::default()));
    let (mut out, mut heads) = (Vec::new(), Vec::new());
    let mut space = vec![0; 8192];
    loop {
        match wire.read(&mut space).await {
            Ok(0) => return (out, heads, None),
            Ok(n) => out.extend_from_slice(space.get(..n).unwrap_or_default()),
            Err(error) => return (out, heads, Some(error.to_string())),
        }
        if let Some(arrived) = handle.next() {
            heads.push((arrived.head.bytes.to_vec(), format!("{:?}", (&arrived.refusal, &arrived.head.headers, &arrived.body))));
            if arrived.refusal.is_some() {
                return (out, heads, None);
            }
            handle.upgraded(false);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    let whole = runtime.block_on(outcome(bytes, bytes.len().max(1)));
    let pieces = runtime.block_on(outcome(bytes, usize::from(*cut).max(1)));
    assert_eq!(whole, pieces);
});
