//! The HTTP/1 framing filter between a client's stream and the HTTP library.
//!
//! The wire reads heads and bodies by RFC 9112 alone and refuses what two readers could understand differently. The library behind
//! it gets a neutral head of ours and body bytes whose framing has been checked; the service gets the client's own words from
//! [`Handle::next`]. A refused head reaches the service like any other, as an [`Arrived`] that carries its [`Refusal`]; a body that
//! breaks its framing or its pace ends in an `io::Error` whose inner error is the [`Refusal`].
//!
//! ```text
//! Head -> Length | Chunked -> Serving -> Head ...        one request at a time; pipelined bytes wait in the buffer
//!   |                 |          '-> Transparent         an upgrade was granted
//!   '-> Refused       '-> Failed -> Closed
//! ```
//!
//! Memory per connection: the head being read (`head_bytes_max`) plus at most 16 KiB; nothing while idle.
//!
//! [`Refusal`]: crate::refusal::Refusal

mod chunked;
mod fields;
mod filter;
mod handle;
mod head;
mod host;
mod line;
mod neutral;
mod pace;
mod read;
mod table;
mod write;

pub use filter::{Wire, wire};
pub use handle::{Arrived, Framing, Handle, Turn, Version};

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
