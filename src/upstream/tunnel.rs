//! Two upgraded connections joined: bytes copied both ways until one side ends it, nothing moves, or it may not go on.

use super::conn::Switched;
use crate::limits::{TUNNEL_BUFFER_BYTES, TUNNEL_CHECK_INTERVAL};
use crate::message::Upgraded;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides had sent their end.
    Closed,
    /// The client's side broke.
    ClientBroken,
    /// The backend's side broke.
    BackendBroken,
    /// Nothing moved for the idle time.
    Idle,
    /// `still_allowed` said no.
    NotAllowed,
}

impl TunnelEnd {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ClientBroken => "client_broken",
            Self::BackendBroken => "backend_broken",
            Self::Idle => "idle",
            Self::NotAllowed => "not_allowed",
        }
    }
}

/// What a tunnel has moved, and why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelReport {
    /// Bytes from the client to the backend.
    pub bytes_up: u64,
    /// Bytes from the backend to the client.
    pub bytes_down: u64,
    /// Why it is over.
    pub end: TunnelEnd,
}

/// Copies both ways until both sides have ended (one may end before the other), a side breaks, nothing moves for `idle`, or
/// `still_allowed`, asked every second, says no. Both connections are closed then.
pub async fn splice(client: Upgraded, backend: Switched, idle: Duration, still_allowed: impl Fn() -> bool + Send) -> TunnelReport {
    join(client, backend, idle, still_allowed).await
}

/// One direction.
struct Half {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    read_over: bool,
    flushed: bool,
    shut: bool,
    bytes: u64,
}

/// Which side of a [`Half`] failed.
enum Broken {
    Reader,
    Writer,
}

impl Half {
    fn new() -> Self {
        let buffer = vec![0; TUNNEL_BUFFER_BYTES].into_boxed_slice();
        Self { buffer, start: 0, end: 0, read_over: false, flushed: true, shut: false, bytes: 0 }
    }

    /// Ready when the reader has ended, all was written and the writer's end is said.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, mut reader: Pin<&mut R>, mut writer: Pin<&mut W>) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        loop {
            while self.start < self.end {
                let written = ready!(writer.as_mut().poll_write(cx, &self.buffer[self.start..self.end]));
                match written {
                    Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Writer)),
                    Ok(n) => self.start += n,
                }
                self.flushed = false;
            }
            if self.read_over {
                if !self.shut {
                    ready!(writer.as_mut().poll_shutdown(cx)).map_err(|_| Broken::Writer)?;
                    self.shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match reader.as_mut().poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => {
                    (self.start, self.end) = (0, buffer.filled().len());
                    self.read_over = self.end == 0;
                    self.bytes += self.end as u64;
                }
                Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => self.read_over = true,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Reader)),
                Poll::Pending => {
                    if !self.flushed {
                        ready!(writer.as_mut().poll_flush(cx)).map_err(|_| Broken::Writer)?;
                        self.flushed = true;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Notices silence and lost permission once a second.
struct Guard<F> {
    tick: Interval,
    idle: Duration,
    moved: u64,
    moved_at: Instant,
    still_allowed: F,
}

impl<F: Fn() -> bool> Guard<F> {
    fn new(idle: Duration, still_allowed: F) -> Self {
        let mut tick = interval(TUNNEL_CHECK_INTERVAL.min(idle));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { tick, idle, moved: 0, moved_at: Instant::now(), still_allowed }
    }

    fn poll(&mut self, cx: &mut Context<'_>, bytes: u64) -> Poll<TunnelEnd> {
        if bytes != self.moved {
            self.moved = bytes;
            self.moved_at = Instant::now();
        }
        loop {
            ready!(self.tick.poll_tick(cx));
            if !(self.still_allowed)() {
                return Poll::Ready(TunnelEnd::NotAllowed);
            }
            if self.moved_at.elapsed() >= self.idle {
                return Poll::Ready(TunnelEnd::Idle);
            }
        }
    }
}

async fn join<A, B>(mut client: A, mut backend: B, idle: Duration, still_allowed: impl Fn() -> bool) -> TunnelReport
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Half::new(), Half::new());
    let (mut up_over, mut down_over) = (false, false);
    let mut guard = Guard::new(idle, still_allowed);
    let end = poll_fn(|cx| {
        if !up_over {
            match up.poll(cx, Pin::new(&mut client), Pin::new(&mut backend)) {
                Poll::Ready(Ok(())) => up_over = true,
                Poll::Ready(Err(Broken::Reader)) => return Poll::Ready(TunnelEnd::ClientBroken),
                Poll::Ready(Err(Broken::Writer)) => return Poll::Ready(TunnelEnd::BackendBroken),
                Poll::Pending => {}
            }
        }
        if !down_over {
            match down.poll(cx, Pin::new(&mut backend), Pin::new(&mut client)) {
                Poll::Ready(Ok(())) => down_over = true,
                Poll::Ready(Err(Broken::Reader)) => return Poll::Ready(TunnelEnd::BackendBroken),
                Poll::Ready(Err(Broken::Writer)) => return Poll::Ready(TunnelEnd::ClientBroken),
                Poll::Pending => {}
            }
        }
        if up_over && down_over {
            return Poll::Ready(TunnelEnd::Closed);
        }
        guard.poll(cx, up.bytes + down.bytes)
    })
    .await;
    TunnelReport { bytes_up: up.bytes, bytes_down: down.bytes, end }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn one_side_may_end_before_the_other_and_every_byte_is_counted() {
        let (mut user, client) = duplex(64);
        let (mut app, backend) = duplex(64);
        let tunnel = tokio::spawn(join(client, backend, Duration::from_secs(30), || true));
        user.write_all(b"question").await.unwrap();
        user.shutdown().await.unwrap();
        let mut asked = Vec::new();
        app.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, b"question");
        let mut answer = Vec::new();
        let answering = async {
            app.write_all(&[7; 1000]).await.unwrap();
            app.shutdown().await.unwrap();
        };
        tokio::join!(answering, async { user.read_to_end(&mut answer).await.unwrap() });
        assert_eq!(answer, [7; 1000]);
        let report = tunnel.await.unwrap();
        assert_eq!(report, TunnelReport { bytes_up: 8, bytes_down: 1000, end: TunnelEnd::Closed });
    }

    #[tokio::test]
    async fn a_tunnel_of_a_removed_user_ends_within_the_stated_time() {
        static ALLOWED: AtomicBool = AtomicBool::new(true);
        let (mut user, client) = duplex(64);
        let (_app, backend) = duplex(64);
        let tunnel = tokio::spawn(join(client, backend, Duration::from_secs(60), || ALLOWED.load(Ordering::Relaxed)));
        user.write_all(b"x").await.unwrap();
        ALLOWED.store(false, Ordering::Relaxed);
        let report = tokio::time::timeout(crate::limits::REMOVED_USER_TUNNEL_TIMEOUT, tunnel).await.unwrap().unwrap();
        assert_eq!(report.end, TunnelEnd::NotAllowed);
    }

    #[tokio::test]
    async fn a_silent_tunnel_ends_after_its_idle_time() {
        let (_user, client) = duplex(64);
        let (_app, backend) = duplex(64);
        let report = join(client, backend, Duration::from_millis(50), || true).await;
        assert_eq!(report, TunnelReport { bytes_up: 0, bytes_down: 0, end: TunnelEnd::Idle });
    }
}
