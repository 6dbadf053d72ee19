//! HTTP/1 on a client's stream: heads and bodies in, bytes out.
//!
//! The wire reads heads and bodies by RFC 9112 alone and refuses what two readers could understand differently. A refused head is
//! handed on like any other, as an [`Arrived`] that carries its [`Refusal`]; a body that breaks its framing or its pace ends in one.
//! Answers are written by whoever serves the connection, through the wire, which watches that they are taken.
//!
//! ```text
//! Head -> Length | Chunked -> Serving -> Head ...        one request at a time; pipelined bytes wait in the buffer
//!   |                 |          '-> Transparent         an upgrade was granted
//!   '-> Refused       '-> Refused                        the answer is the last
//! ```
//!
//! Memory per connection: the head being read (`head_bytes_max`) plus at most 64 KiB; nothing while idle.
//!
//! [`Refusal`]: crate::refusal::Refusal

mod arrived;
mod chunked;
mod fields;
mod filter;
mod head;
mod host;
mod line;
mod pace;
mod read;
mod table;
mod write;

pub use arrived::{Arrived, Framing, Version};
pub use filter::{Wire, wire};

use crate::limits;
use std::time::Duration;

/// The bounds of one connection's wire; the default is [`crate::limits`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request line without its line end.
    pub request_line_bytes_max: usize,
    /// Bytes of a head, request line and empty line included.
    pub head_bytes_max: usize,
    /// Header lines of a head, and fields of a trailer section.
    pub headers_max: usize,
    /// Bytes of a trailer section.
    pub trailer_bytes_max: usize,
    /// Bytes of a chunk-size line, extensions and line end included.
    pub chunk_line_bytes_max: usize,
    /// For a head, from its first byte to its end; for the first head of a connection from the connection's start.
    pub header_timeout: Duration,
    /// Silence between two requests.
    pub idle_timeout: Duration,
    /// Silence inside a body, and the grace before its average rate is judged.
    pub body_timeout: Duration,
    /// Slowest average rate of a body, in bytes of content; 0 allows any.
    pub body_bytes_per_second_min: u64,
    /// For a write that makes no progress.
    pub write_timeout: Duration,
    /// Bytes dropped after an answer given early.
    pub linger_bytes_max: usize,
    /// Time for the same.
    pub linger_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line_bytes_max: limits::REQUEST_LINE_BYTES_MAX,
            head_bytes_max: limits::HEAD_BYTES_MAX,
            headers_max: limits::HEADERS_MAX,
            trailer_bytes_max: limits::TRAILER_BYTES_MAX,
            chunk_line_bytes_max: limits::CHUNK_LINE_BYTES_MAX,
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            body_timeout: limits::BODY_TIMEOUT,
            body_bytes_per_second_min: limits::BODY_BYTES_PER_SECOND_MIN,
            write_timeout: limits::WRITE_TIMEOUT,
            linger_bytes_max: limits::LINGER_BYTES_MAX,
            linger_timeout: limits::LINGER_TIMEOUT,
        }
    }
}
