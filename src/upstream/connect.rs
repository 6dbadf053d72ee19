//! A new connection to a backend member: addresses tried in order, TLS where the policy says so, one time limit over all.

use super::conn::Conn;
use super::pool::Server;
use super::resolve::Names;
use crate::limits::BACKEND_ADDRESS_TIMEOUT_MIN;
use crate::refusal::Refusal;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

/// Why there is no connection: the refusal, and the reason in our words for the record.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) refusal: Refusal,
    pub(super) why: String,
}

impl Trouble {
    pub(super) fn new(refusal: Refusal, why: impl Into<String>) -> Self {
        Self { refusal, why: why.into() }
    }
}

/// Opens a connection. `permit` is given back when the socket closes, also after an
/// upgrade.
pub(super) async fn open(server: &Server, names: &Names, limit: Duration, permit: OwnedSemaphorePermit) -> Result<Conn, Trouble> {
    match timeout(limit, open_unlimited(server, names, limit, permit)).await {
        Ok(opened) => opened,
        Err(_) => Err(Trouble::new(Refusal::BackendTimeout, format!("no connection within {} ms", limit.as_millis()))),
    }
}

async fn open_unlimited(server: &Server, names: &Names, limit: Duration, permit: OwnedSemaphorePermit) -> Result<Conn, Trouble> {
    let (tcp, address) = reach(server, names, limit).await?;
    let transport = match &server.tls {
        None => Transport::Plain(tcp),
        Some((connector, name)) => {
            let stream = connector.connect(name.clone(), tcp).await;
            Transport::Tls(Box::new(stream.map_err(|e| Trouble::new(Refusal::BackendTls, format!("TLS failed: {e}")))?))
        }
    };
    Ok(Conn::new(Line { transport, _permit: permit }, address))
}

/// Tries the addresses in order; each but the last gets its share of the time.
async fn reach(server: &Server, names: &Names, limit: Duration) -> Result<(TcpStream, SocketAddr), Trouble> {
    let unreachable = |why: String| Trouble::new(Refusal::BackendUnreachable, why);
    let end = Instant::now() + limit;
    let addresses = server.target.addresses(names).await.map_err(unreachable)?;
    let mut why = String::new();
    for (i, ip) in addresses.iter().enumerate() {
        let address = SocketAddr::new(*ip, server.port);
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - i).unwrap_or(1);
        let until = Instant::now() + share.max(BACKEND_ADDRESS_TIMEOUT_MIN);
        match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Requests are written whole; waiting for more to send only delays them.
                let _ = tcp.set_nodelay(true);
                return Ok((tcp, address));
            }
            Ok(Err(e)) => why = format!("{address}: {}", in_words(&e)),
            Err(_) => why = format!("{address}: no answer"),
        }
    }
    Err(unreachable(why))
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route".into(),
        _ => error.to_string(),
    }
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The bytes of one backend connection.
pub(super) struct Line {
    transport: Transport,
    /// The connection's place under the member's cap.
    _permit: OwnedSemaphorePermit,
}

impl Line {
    /// Whether there is nothing to read, not even the end.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match &mut self.transport {
            Transport::Plain(tcp) => matches!(tcp.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock),
            Transport::Tls(tls) => {
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(tls).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Transport::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Transport::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
