//! The chunked coding of a backend's answer (RFC 9112 section 7.1), taken off piece by piece.

use super::head::Fault;
use crate::limits::{BACKEND_HEADERS_MAX, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Hex digits of a chunk size: the most that cannot overflow 64 bits.
const SIZE_DIGITS_MAX: usize = 16;

const BAD_CHUNK: Fault = Fault::NotHttp("a malformed chunk");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    /// Bytes of data to come.
    Data(u64),
    DataEnd,
    Trailers,
}

/// Where the reader stands in a body.
#[derive(Debug)]
pub(super) struct Chunks(At);

/// What the buffer gave.
#[derive(Debug)]
pub(super) enum Piece {
    /// Data of the body.
    Data(Bytes),
    /// The end, with what came after the last chunk.
    End(Option<HeaderMap>),
    /// Nothing yet: more bytes are needed.
    More,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self(At::Size)
    }

    /// Bytes of the present chunk still to come.
    pub(super) fn left(&self) -> u64 {
        if let At::Data(left) = self.0 { left } else { 0 }
    }

    /// Whether `buffer` holds the end and nothing more, which is taken off then.
    pub(super) fn ends_plainly(&mut self, buffer: &mut BytesMut) -> bool {
        let plainly = matches!((self.0, buffer.as_ref()), (At::DataEnd, b"\r\n0\r\n\r\n") | (At::Size, b"0\r\n\r\n"));
        if plainly {
            buffer.clear();
        }
        plainly
    }

    /// Takes the next piece off `buffer`.
    ///
    /// # Errors
    /// `NotHttp` at what the grammar or a limit does not allow.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Piece, Fault> {
        loop {
            match self.0 {
                At::Size => {
                    let Some(line) = line(buffer, CHUNK_LINE_BYTES_MAX)? else { return Ok(Piece::More) };
                    let size = size(&line)?;
                    self.0 = if size == 0 { At::Trailers } else { At::Data(size) };
                }
                At::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(Piece::More);
                    }
                    let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let left = left - bytes as u64;
                    self.0 = if left == 0 { At::DataEnd } else { At::Data(left) };
                    return Ok(Piece::Data(buffer.split_to(bytes).freeze()));
                }
                At::DataEnd => match buffer.as_ref() {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        self.0 = At::Size;
                    }
                    [] | [b'\r'] => return Ok(Piece::More),
                    _ => return Err(BAD_CHUNK),
                },
                At::Trailers => return trailers(buffer),
            }
        }
    }
}

/// A line without its CRLF, taken off the buffer.
fn line(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, Fault> {
    match memchr::memchr(b'\n', buffer) {
        Some(lf) if lf < bytes_max => {
            let mut line = buffer.split_to(lf + 1).freeze();
            if line.get(lf.wrapping_sub(1)) != Some(&b'\r') {
                return Err(BAD_CHUNK);
            }
            line.truncate(lf - 1);
            Ok(Some(line))
        }
        None if buffer.len() < bytes_max => Ok(None),
        _ => Err(BAD_CHUNK),
    }
}

/// A chunk's size; old servers pad it with spaces, and an extension says nothing to us.
fn size(line: &[u8]) -> Result<u64, Fault> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    let rest = rest.trim_ascii_start();
    let clean = rest.is_empty() || (rest.starts_with(b";") && rest.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f)));
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX || !clean {
        return Err(BAD_CHUNK);
    }
    Ok(digits.iter().fold(0, |size, digit| (size << 4) | u64::from(char::from(*digit).to_digit(16).unwrap_or_default())))
}

fn trailers(buffer: &mut BytesMut) -> Result<Piece, Fault> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Piece::End(None));
    }
    let Some(end) = super::head::end(buffer, 0) else {
        return if buffer.len() > TRAILER_BYTES_MAX { Err(Fault::TooLarge) } else { Ok(Piece::More) };
    };
    if end > TRAILER_BYTES_MAX {
        return Err(Fault::TooLarge);
    }
    let raw = buffer.split_to(end).freeze();
    let mut lines = [httparse::EMPTY_HEADER; BACKEND_HEADERS_MAX];
    let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(&raw, &mut lines) else { return Err(BAD_CHUNK) };
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| BAD_CHUNK)?;
        let value = HeaderValue::from_maybe_shared(raw.slice_ref(line.value)).map_err(|_| BAD_CHUNK)?;
        headers.append(name, value);
    }
    Ok(Piece::End(Some(headers)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The content, and whether the end came; bytes arrive `step` at a time.
    fn read(wire: &[u8], step: usize) -> Result<(Vec<u8>, bool, usize), Fault> {
        let mut chunks = Chunks::new();
        let mut buffer = BytesMut::new();
        let mut content = Vec::new();
        for part in wire.chunks(step) {
            buffer.extend_from_slice(part);
            loop {
                match chunks.take(&mut buffer)? {
                    Piece::Data(data) => content.extend_from_slice(&data),
                    Piece::End(trailers) => return Ok((content, true, trailers.map_or(0, |t| t.len()))),
                    Piece::More => break,
                }
            }
        }
        Ok((content, false, 0))
    }

    #[test]
    fn what_is_no_chunk_is_refused_however_it_arrives() {
        for bad in [
            &b"\r\n"[..],
            b"x\r\n",
            b"-5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b"5\nhello\r\n",
            b"5\r\nhello0\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"11112222333344445\r\n",
            b"5 5\r\nhello\r\n",
            b"5;a\0\r\nhello\r\n",
            b"0\r\nno colon\r\n\r\n",
        ] {
            for step in [1, 2, 100] {
                assert!(read(bad, step).is_err(), "{:?} by {step}", String::from_utf8_lossy(bad));
            }
        }
        assert!(read(&[b'1'; 1000], 1).is_err() && read(&[b"5;".to_vec(), vec![b'a'; 1000]].concat(), 10).is_err());
        let endless: Vec<u8> = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(10_000)].concat();
        assert!(matches!(read(&endless, 100), Err(Fault::TooLarge)));
    }

    #[test]
    fn padding_extensions_and_trailers_are_taken_off() {
        for step in [1, 3, 100] {
            assert_eq!(read(b"5  \r\nhello\r\n3;a=b\r\n, w\r\n0\r\nx-sum: 1\r\n\r\n", step).unwrap(), (b"hello, w".to_vec(), true, 1));
        }
        assert_eq!(read(b"5\r\nhello\r\n0\r\n", 1).unwrap(), (b"hello".to_vec(), false, 0));
    }

    proptest! {
        #[test]
        fn any_content_in_any_chunks_is_had_back(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8), step in 1usize..80) {
            let mut wire = Vec::new();
            for part in &parts {
                wire.extend_from_slice(format!("{:X}\r\n", part.len()).as_bytes());
                wire.extend_from_slice(part);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(&wire, step).unwrap(), (parts.concat(), true, 0));
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300), step in 1usize..40) {
            let whole = read(&bytes, bytes.len().max(1)).map(|r| r.0).ok();
            let parts = read(&bytes, step).map(|r| r.0).ok();
            prop_assert_eq!(whole, parts);
        }
    }
}
