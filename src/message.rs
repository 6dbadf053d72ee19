//! The one request, the one response and the one body type that walk through the stack.

use crate::clock::Moment;
use crate::head::{Headers, OwnValue, RawHead};
use crate::refusal::Refusal;
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use http_body::{Frame, SizeHint};
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

/// The id of one request, on the error page and in the audit record: 48 bits of milliseconds and 80 random bits,
/// 26 characters of Crockford's base 32, so that ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId([u8; 26]);

impl EventId {
    /// A new id for a request received at `moment`; `random` supplies 80 bits and need not be secret.
    pub fn new(moment: Moment, random: u128) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let value = (u128::from(moment.unix_micros / 1000) << 80) | (random & ((1 << 80) - 1));
        let mut out = [b'0'; 26];
        // Sixty bits at a time, which one register holds.
        for (part, digits) in out.rchunks_mut(12).enumerate() {
            let mut value = (value >> (60 * part)) as u64;
            for place in digits.iter_mut().rev() {
                *place = ALPHABET[(value & 31) as usize];
                value >>= 5;
            }
        }
        Self(out)
    }

    /// The 26 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the TLS handshake agreed on.
#[derive(Clone, Debug, Default)]
pub struct TlsSession {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The cipher suite by its IANA name.
    pub cipher: String,
    /// The key exchange group by its IANA name.
    pub group: String,
    /// The server name the client asked for, lower case.
    pub server_name: Option<String>,
    /// The protocol by ALPN, `h2` or `http/1.1`.
    pub protocol: Option<&'static str>,
}

/// The two ends of a client's connection; one value is shared by all its requests.
#[derive(Debug)]
pub struct Peer {
    /// The address the connection came from.
    pub remote: SocketAddr,
    /// The address it arrived at.
    pub local: SocketAddr,
    /// A number for this connection, unique in the process.
    pub connection: u64,
    /// What TLS agreed on; `None` on a plain listener.
    pub tls: Option<TlsSession>,
    /// The remote address alone, as `X-Forwarded-For` carries it: written once per connection.
    pub remote_text: OwnValue,
    /// The local address alone, as records carry it.
    pub local_text: OwnValue,
    /// What layers keep for as long as the client's connection lasts (a pinned backend connection).
    pub attachments: Mutex<http::Extensions>,
}

/// A connection that has become a plain stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

impl fmt::Debug for dyn Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Duplex")
    }
}

/// A client's connection after a 101.
pub type Upgraded = Pin<Box<dyn Duplex>>;

/// The hold on a connection whose next answer may be a 101 (RFC 9110 section 7.8): gives the connection when that has been written,
/// and nothing when it was another.
#[derive(Debug)]
pub struct Upgrade(oneshot::Receiver<Upgraded>);

/// The other end of an [`Upgrade`].
#[derive(Debug)]
pub struct Grant(oneshot::Sender<Upgraded>);

impl Upgrade {
    /// A hold, and what to hand the connection over with.
    pub fn new() -> (Grant, Self) {
        let (sender, receiver) = oneshot::channel();
        (Grant(sender), Self(receiver))
    }
}

impl Grant {
    /// Hands the connection over; nobody may be there any more to take it.
    pub fn give(self, connection: Upgraded) {
        let _ = self.0.send(connection);
    }
}

impl Future for Upgrade {
    type Output = Option<Upgraded>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Upgraded>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

impl Peer {
    /// A plain connection; the handshake adds `tls`.
    pub fn new(remote: SocketAddr, local: SocketAddr, connection: u64) -> Self {
        // An address is made of characters that a header may have.
        let text = |address: SocketAddr| OwnValue::new(address.ip().to_canonical().to_string()).unwrap_or_default();
        let (remote_text, local_text) = (text(remote), text(local));
        Self { remote, local, connection, tls: None, remote_text, local_text, attachments: Mutex::default() }
    }
}

/// A request on its way down the stack.
#[derive(Debug)]
pub struct Request {
    /// The event's id.
    pub id: EventId,
    /// When its head was complete.
    pub received: Moment,
    /// Whose connection it came on.
    pub peer: Arc<Peer>,
    /// The protocol version.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// The head as it arrived; what inspection sees.
    pub raw: Arc<RawHead>,
    /// The request target as sent (HTTP/1), or `:path` (HTTP/2).
    pub target: Bytes,
    /// The `Host` header's value (HTTP/1) or `:authority` (HTTP/2), as sent.
    pub authority: Option<Bytes>,
    /// The headers the layers read and alter, names in lower case.
    pub headers: Headers,
    /// The body.
    pub body: Body,
    /// What the wire refused it for; such a request is masked and audited, and goes no further.
    pub refusal: Option<Refusal>,
    /// The hold on the client's connection, where the client asked for an upgrade (RFC 9110 section 7.8).
    pub upgrade: Option<Upgrade>,
}

/// A response on its way up the stack.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: Headers,
    /// The body.
    pub body: Body,
    /// Close the client's connection without an answer (an HTTP/0.9 request line, a rule's `drop`).
    pub abort: bool,
}

impl Response {
    /// A response with nothing but a status.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: Headers::new(), body: Body::empty(), abort: false }
    }
}

/// Why a body ended early.
#[derive(Debug)]
pub enum BodyError {
    /// We ended it: a limit, a rule, bad framing from the client.
    Refused(Refusal),
    /// The other side broke off, or sent what is not HTTP.
    Broken(String),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for BodyError {}

/// A body that some layer made: wrapped, watched or copied on its way.
pub type BoxedBody = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>;

enum Inner {
    Empty,
    Full(Bytes),
    Incoming(hyper::body::Incoming),
    Boxed(BoxedBody),
}

/// The one body type. Polled after the handler has returned; whoever must see its end wraps it.
pub struct Body(Inner);

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// A body in memory.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self(if bytes.is_empty() { Inner::Empty } else { Inner::Full(bytes) })
    }

    /// A body as hyper reads it from a connection.
    pub fn incoming(incoming: hyper::body::Incoming) -> Self {
        if http_body::Body::is_end_stream(&incoming) { Self::empty() } else { Self(Inner::Incoming(incoming)) }
    }

    /// A body of a layer's own making.
    pub fn boxed(body: impl http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self(Inner::Boxed(Box::pin(body)))
    }

    /// Whether it is known to be empty.
    pub fn is_empty(&self) -> bool {
        http_body::Body::is_end_stream(self)
    }

    /// Whether all of it is here: nothing is waited for.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.0, Inner::Empty | Inner::Full(_))
    }

    /// Takes the body, leaving an empty one.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::empty())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Inner::Empty => "Body::Empty",
            Inner::Full(_) => "Body::Full",
            Inner::Incoming(_) => "Body::Incoming",
            Inner::Boxed(_) => "Body::Boxed",
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Inner::Incoming(incoming) => Pin::new(incoming).poll_frame(cx).map_err(|e| body_error(&e)),
            Inner::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Full(_) => false,
            Inner::Incoming(incoming) => incoming.is_end_stream(),
            Inner::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Incoming(incoming) => incoming.size_hint(),
            Inner::Boxed(body) => body.size_hint(),
        }
    }
}

fn body_error(error: &hyper::Error) -> BodyError {
    if error.is_incomplete_message() { BodyError::Refused(Refusal::BodyIncomplete) } else { BodyError::Broken(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_sort_by_time() {
        let early = Moment { unix_micros: 1_000_000, instant: std::time::Instant::now() };
        let late = Moment { unix_micros: 2_000_000, ..early };
        let (a, b) = (EventId::new(early, u128::MAX), EventId::new(late, 0));
        assert_eq!(a.as_str().len(), 26);
        assert!(a.as_str() < b.as_str());
    }
}
