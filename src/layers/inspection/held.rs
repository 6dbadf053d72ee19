//! A body read before it may go on: held in memory, or in an unlinked file once the memory is used up.

use super::budget::{Budget, DiskShare, Share};
use crate::message::{Body, BodyError};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::collections::VecDeque;
use std::io::SeekFrom;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, ReadBuf};

/// Bytes read from a file at a time.
const READ_BYTES: usize = 64 * 1024;

/// What was read so far, in order.
pub(super) struct Held {
    /// In memory; behind the file where there is one.
    chunks: VecDeque<Bytes>,
    bytes: u64,
    share: Share,
    file: Option<Spill>,
    pub(super) trailers: Option<HeaderMap>,
}

struct Spill {
    file: File,
    bytes: u64,
    share: DiskShare,
}

/// There is room neither in memory nor on the disk.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Held {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self { chunks: VecDeque::new(), bytes: 0, share: budget.share(), file: None, trailers: None }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a chunk. Without room it is kept all the same, as the last one.
    pub(super) async fn push(&mut self, chunk: Bytes, budget: &Arc<Budget>) -> Result<(), NoRoom> {
        self.bytes += chunk.len() as u64;
        if self.file.is_none() && self.share.take(chunk.len()) {
            self.chunks.push_back(chunk);
            return Ok(());
        }
        self.chunks.push_back(chunk);
        self.spill(budget).await
    }

    /// Writes what is in memory to the file.
    async fn spill(&mut self, budget: &Arc<Budget>) -> Result<(), NoRoom> {
        let mut spill = match self.file.take() {
            Some(spill) => spill,
            None => Spill::new(budget).map_err(|error| {
                tracing::error!(%error, folder = %budget.directory().display(), "cannot hold a body for inspection on the disk");
                NoRoom
            })?,
        };
        let mut outcome = Ok(());
        while let Some(chunk) = self.chunks.front() {
            outcome = spill.write(chunk).await;
            if outcome.is_err() {
                break;
            }
            self.chunks.pop_front();
        }
        if self.chunks.is_empty() {
            self.share.give_back();
        }
        self.file = Some(spill);
        outcome
    }

    /// Hands on the memory of what is held, for somebody who holds it longer.
    pub(super) fn take_share(&mut self, unused: Share) -> Share {
        std::mem::replace(&mut self.share, unused)
    }

    /// Everything held as one piece in memory, which a file is read back into; `None` where no memory becomes free in time.
    pub(super) async fn whole(&mut self) -> Option<Bytes> {
        if let Some(spill) = &mut self.file {
            if !self.share.wait(usize::try_from(self.bytes).ok()?).await {
                return None;
            }
            let mut bytes = BytesMut::with_capacity(usize::try_from(self.bytes).ok()?);
            spill.read(&mut bytes).await?;
            self.chunks.push_front(bytes.freeze());
            self.file = None;
        }
        if self.chunks.len() > 1 {
            let joined: Bytes = self.chunks.make_contiguous().concat().into();
            self.chunks.clear();
            self.chunks.push_back(joined);
        }
        Some(self.chunks.front().cloned().unwrap_or_default())
    }

    /// The body as it came: what is held, then the rest.
    pub(super) async fn back(mut self, rest: Option<Body>) -> Body {
        let length = self.trailers.is_none().then_some(self.bytes);
        if rest.is_none() && self.file.is_none() && self.trailers.is_none() && self.chunks.len() <= 1 {
            return self.chunks.pop_front().map_or_else(Body::empty, Body::full);
        }
        let file = match self.file {
            None => None,
            Some(mut spill) => match spill.file.seek(SeekFrom::Start(0)).await {
                Ok(_) => Some(spill),
                Err(error) => return Body::boxed(Replay::broken(error.to_string())),
            },
        };
        let rest = rest.unwrap_or_else(Body::empty);
        Body::boxed(Replay { file, chunks: self.chunks, length, rest, trailers: self.trailers, failed: None, _share: Some(self.share) })
    }
}

impl Spill {
    fn new(budget: &Arc<Budget>) -> std::io::Result<Self> {
        let file = tempfile::tempfile_in(budget.directory())?;
        Ok(Self { file: File::from_std(file), bytes: 0, share: budget.disk() })
    }

    async fn write(&mut self, chunk: &Bytes) -> Result<(), NoRoom> {
        if !self.share.take(chunk.len()) {
            return Err(NoRoom);
        }
        // A write that fails halfway leaves bytes behind the ones that count.
        let written = async {
            self.file.seek(SeekFrom::Start(self.bytes)).await?;
            self.file.write_all(chunk).await?;
            self.file.flush().await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, folder = %self.share.directory().display(), "cannot hold a body for inspection on the disk");
            return Err(NoRoom);
        }
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    async fn read(&mut self, into: &mut BytesMut) -> Option<()> {
        self.file.seek(SeekFrom::Start(0)).await.ok()?;
        let mut left = usize::try_from(self.bytes).ok()?;
        while left > 0 {
            let read = (&mut self.file).take(left as u64).read_buf(into).await.ok().filter(|read| *read > 0)?;
            left -= read;
        }
        Some(())
    }
}

/// What was held, then the rest, then the trailers.
struct Replay {
    file: Option<Spill>,
    chunks: VecDeque<Bytes>,
    /// Bytes held that are still to come; `None` where trailers follow, which have no length before them.
    length: Option<u64>,
    rest: Body,
    trailers: Option<HeaderMap>,
    failed: Option<String>,
    _share: Option<Share>,
}

impl Replay {
    fn broken(why: String) -> Self {
        let (chunks, rest) = (VecDeque::new(), Body::empty());
        Self { file: None, chunks, length: None, rest, trailers: None, failed: Some(why), _share: None }
    }

    fn given(&mut self, chunk: Bytes) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.length = self.length.map(|length| length.saturating_sub(chunk.len() as u64));
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn poll_file(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(spill) = self.file.as_mut().filter(|spill| spill.bytes > 0) else {
            self.file = None;
            return Poll::Ready(None);
        };
        let mut space = vec![0; READ_BYTES.min(usize::try_from(spill.bytes).unwrap_or(READ_BYTES))];
        let mut buffer = ReadBuf::new(&mut space);
        let read = ready!(Pin::new(&mut spill.file).poll_read(cx, &mut buffer));
        let filled = buffer.filled().len();
        if read.is_err() || filled == 0 {
            return Poll::Ready(Some(Err(BodyError::Broken("a body held on the disk cannot be read back".to_owned()))));
        }
        spill.bytes -= filled as u64;
        space.truncate(filled);
        Poll::Ready(Some(Ok(space.into())))
    }
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(why) = this.failed.take() {
            return Poll::Ready(Some(Err(BodyError::Broken(why))));
        }
        match ready!(this.poll_file(cx)) {
            Some(Ok(chunk)) => return this.given(chunk),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => {}
        }
        if let Some(chunk) = this.chunks.pop_front() {
            return this.given(chunk);
        }
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut this.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        let held = self.file.as_ref().is_some_and(|spill| spill.bytes > 0) || !self.chunks.is_empty();
        !held && self.failed.is_none() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.length, self.rest.size_hint().exact()) {
            (Some(held), Some(rest)) => SizeHint::with_exact(held + rest),
            _ => SizeHint::default(),
        }
    }
}
