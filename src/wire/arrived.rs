//! A request head as the wire hands it on.

use crate::clock::Moment;
use crate::head::RawHead;
use crate::refusal::Refusal;
use bytes::Bytes;

/// The two versions this wire speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1; also stands where a refused head names no version.
    #[default]
    Http11,
}

/// How the body of a request is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// Content-Length, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A request head as the wire understood it.
#[derive(Debug)]
pub struct Arrived {
    /// The bytes as sent. Of a refused head as much as still splits into a line and headers, perhaps nothing.
    pub head: RawHead,
    /// When the head was complete or refused.
    pub at: Moment,
    /// Why it was refused. The connection ends after the answer.
    pub refusal: Option<Refusal>,
    /// The version of the request line.
    pub version: Version,
    /// The value of Host; of a refused head perhaps one that is not a host.
    pub host: Option<Bytes>,
    /// `Expect: 100-continue` on HTTP/1.1. The wire says 100 itself, when the body is first asked for.
    pub expects_continue: bool,
    /// The value of Upgrade, where an upgrade may be granted: named by Connection, HTTP/1.1, no body.
    pub upgrade: Option<Bytes>,
    /// How the body is framed.
    pub body: Framing,
}
