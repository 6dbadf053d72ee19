//! The chunked coding (RFC 9112 section 7.1), byte by byte.
//!
//! Extensions and trailers are checked, then dropped, as the RFC allows a recipient: no layer above inspects them, so they must
//! not reach a backend.

use super::Limits;
use super::table::{is_token, is_value};
use crate::refusal::Refusal;

/// Hex digits of a chunk size: the most that cannot overflow 64 bits.
const SIZE_DIGITS_MAX: u32 = 16;
/// Longest name among the fields that no trailer may carry, and one byte more to tell longer names apart.
const NAME_KEPT: usize = 18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    ExtensionStart,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

/// Where the machine stands in a body.
#[derive(Debug)]
pub(super) struct Chunked {
    at: At,
    /// Of the size line: the value so far; of data: bytes to come.
    size: u64,
    digits: u32,
    line_bytes: usize,
    trailer_bytes: usize,
    trailers: usize,
    name: [u8; NAME_KEPT],
    name_bytes: usize,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self { at: At::Size, size: 0, digits: 0, line_bytes: 0, trailer_bytes: 0, trailers: 0, name: [0; NAME_KEPT], name_bytes: 0 }
    }

    /// Whether the body has ended, its last CRLF included.
    pub(super) fn ended(&self) -> bool {
        self.at == At::End
    }

    /// Bytes of the present chunk still to come; these may pass by without the machine.
    pub(super) fn data_left(&self) -> u64 {
        if self.at == At::Data { self.size } else { 0 }
    }

    /// Takes note of chunk data that has passed by.
    pub(super) fn data_passed(&mut self, bytes: u64) {
        self.size = self.size.saturating_sub(bytes);
        if self.size == 0 && self.at == At::Data {
            self.at = At::DataCr;
        }
    }

    /// Takes one byte of anything but data.
    ///
    /// # Errors
    /// [`Refusal::BadChunk`] at the first byte that the grammar or a limit does not allow.
    pub(super) fn byte(&mut self, byte: u8, limits: &Limits) -> Result<(), Refusal> {
        match self.at {
            At::Size | At::ExtensionStart | At::Extension | At::SizeLf => self.size_line(byte, limits),
            At::DataCr if byte == b'\r' => self.to(At::DataLf),
            At::DataLf if byte == b'\n' => {
                (self.size, self.digits, self.line_bytes) = (0, 0, 0);
                self.to(At::Size)
            }
            At::TrailerStart | At::TrailerName | At::TrailerValue | At::TrailerLf | At::EndLf => self.trailer(byte, limits),
            At::DataCr | At::DataLf | At::Data | At::End => Err(Refusal::BadChunk),
        }
    }

    fn to(&mut self, at: At) -> Result<(), Refusal> {
        self.at = at;
        Ok(())
    }

    fn size_line(&mut self, byte: u8, limits: &Limits) -> Result<(), Refusal> {
        self.line_bytes += 1;
        if self.line_bytes > limits.chunk_line_bytes_max {
            return Err(Refusal::BadChunk);
        }
        match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() && self.digits < SIZE_DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.size = (self.size << 4) | u64::from(digit);
                self.digits += 1;
                Ok(())
            }
            (At::Size, b';') if self.digits > 0 => self.to(At::ExtensionStart),
            (At::Size, b'\r') if self.digits > 0 => self.to(At::SizeLf),
            (At::ExtensionStart, b' ' | b'\t') => Ok(()),
            (At::ExtensionStart, _) if is_token(byte) => self.to(At::Extension),
            (At::Extension, b'\r') => self.to(At::SizeLf),
            (At::Extension, _) if is_value(byte) => Ok(()),
            (At::SizeLf, b'\n') if self.size > 0 => self.to(At::Data),
            (At::SizeLf, b'\n') => self.to(At::TrailerStart),
            _ => Err(Refusal::BadChunk),
        }
    }

    fn trailer(&mut self, byte: u8, limits: &Limits) -> Result<(), Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > limits.trailer_bytes_max.saturating_add(2) {
            return Err(Refusal::BadChunk);
        }
        match (self.at, byte) {
            (At::TrailerStart, b'\r') => self.to(At::EndLf),
            (At::EndLf, b'\n') => self.to(At::End),
            (At::TrailerStart, _) if is_token(byte) && self.trailers < limits.headers_max => {
                self.trailers += 1;
                self.name_bytes = 0;
                self.keep(byte);
                self.to(At::TrailerName)
            }
            (At::TrailerName, b':') if !self.is_framing_name() => self.to(At::TrailerValue),
            (At::TrailerName, _) if is_token(byte) => {
                self.keep(byte);
                Ok(())
            }
            (At::TrailerValue, b'\r') => self.to(At::TrailerLf),
            (At::TrailerValue, _) if is_value(byte) => Ok(()),
            (At::TrailerLf, b'\n') => self.to(At::TrailerStart),
            _ => Err(Refusal::BadChunk),
        }
    }

    fn keep(&mut self, byte: u8) {
        if let Some(place) = self.name.get_mut(self.name_bytes) {
            *place = byte;
            self.name_bytes += 1;
        }
    }

    /// Fields that must not come as trailers (RFC 9110 section 6.5.1): merged into the head by a careless reader, they would frame
    /// or route another request.
    fn is_framing_name(&self) -> bool {
        let name = self.name.get(..self.name_bytes).unwrap_or_default();
        [&b"content-length"[..], b"transfer-encoding", b"host", b"connection", b"authorization", b"cookie"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    }
}
