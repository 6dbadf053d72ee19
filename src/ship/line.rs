//! A connection to a receiver: addresses tried in order, TLS where it is asked for, one time limit over all.

use super::worker::Trouble;
use crate::limits::{AUDIT_SHIP_CONNECT_TIMEOUT, RESOLVE_ADDRESSES_MAX};
use crate::policy::ship::Place;
use crate::tls::client::Connector;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// The bytes of a connection, whatever is below them.
pub(super) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A connection.
pub(super) type Line = Box<dyn Bytes>;

/// Connects.
pub(super) async fn connect(place: &Place, tls: Option<&Connector>) -> Result<Line, Trouble> {
    match timeout(AUDIT_SHIP_CONNECT_TIMEOUT, reach(place, tls)).await {
        Ok(line) => line,
        Err(_) => Err(Trouble::new(format!("no connection within {} s", AUDIT_SHIP_CONNECT_TIMEOUT.as_secs()))),
    }
}

async fn reach(place: &Place, tls: Option<&Connector>) -> Result<Line, Trouble> {
    let mut why = String::new();
    for address in addresses(place).await? {
        let tcp = match TcpStream::connect(address).await {
            Ok(tcp) => tcp,
            Err(error) => {
                why = format!("{address}: {}", in_words(&error));
                continue;
            }
        };
        // Batches are written whole.
        let _ = tcp.set_nodelay(true);
        return match tls {
            None => Ok(Box::new(tcp)),
            Some(tls) => match tls.connect(tcp).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(Trouble::new(format!("TLS failed: {error}"))),
            },
        };
    }
    Err(Trouble::new(why))
}

/// Where a receiver is; never empty.
pub(super) async fn addresses(place: &Place) -> Result<Vec<SocketAddr>, Trouble> {
    let host = place.host.trim_start_matches('[').trim_end_matches(']');
    let found = lookup_host((host, place.port)).await.map_err(|error| Trouble::new(format!("the lookup of {host} failed: {error}")))?;
    let found: Vec<_> = found.take(RESOLVE_ADDRESSES_MAX).collect();
    if found.is_empty() { Err(Trouble::new(format!("{host} has no address"))) } else { Ok(found) }
}

pub(super) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route".into(),
        _ => error.to_string(),
    }
}

/// Why the connection is gone, as far as is known here and now. What the other side sends is read and dropped.
pub(super) async fn end(line: &mut Line) -> Option<String> {
    // The runtime must have heard from the system since the last look.
    tokio::task::yield_now().await;
    let mut space = [0; 1024];
    poll_fn(|cx| {
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut *line).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Ready(None),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(Ok(())) => return Poll::Ready(Some("the receiver closed the connection".into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(format!("the connection broke: {}", in_words(&error)))),
            }
        }
    })
    .await
}
