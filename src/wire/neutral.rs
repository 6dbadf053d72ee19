//! The head that goes to the HTTP library in place of the client's: framing and connection handling, nothing else.

use super::head::Parsed;
use super::{Framing, Version};
use bytes::{Bytes, BytesMut};

/// Stands for every refused head; the refusal travels beside it.
pub(super) const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n";

/// `METHOD / HTTP/1.x` with what frames the body and rules the connection. Nothing in it can make a correct library answer by
/// itself. CONNECT becomes GET: a library would treat it as an upgrade, and the stack refuses it by the raw head.
pub(super) fn head(parsed: &Parsed) -> Bytes {
    let method = match parsed.head.method() {
        b"CONNECT" => b"GET",
        method => method,
    };
    let mut out = BytesMut::with_capacity(160);
    out.extend_from_slice(method);
    out.extend_from_slice(match parsed.version {
        Version::Http11 => b" / HTTP/1.1\r\n",
        Version::Http10 => b" / HTTP/1.0\r\n",
    });
    match parsed.body {
        Framing::None => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            decimal(&mut out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if parsed.upgrade.is_some() {
        out.extend_from_slice(b"upgrade: x\r\n");
    }
    let connection: &[u8] = match (parsed.close, parsed.upgrade.is_some()) {
        (true, true) => b"connection: close, upgrade\r\n",
        (true, false) => b"connection: close\r\n",
        (false, true) => b"connection: upgrade\r\n",
        (false, false) if parsed.keep_alive && parsed.version == Version::Http10 => b"connection: keep-alive\r\n",
        (false, false) => b"",
    };
    out.extend_from_slice(connection);
    if parsed.expects_continue && parsed.body != Framing::None {
        out.extend_from_slice(b"expect: 100-continue\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.freeze()
}

fn decimal(out: &mut BytesMut, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}
