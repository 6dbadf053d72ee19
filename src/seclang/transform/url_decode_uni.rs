//! `urlDecodeUni`: percent-encoding with Microsoft's `%uHHHH`.

use super::code_page::nearest;
use super::digits::{full_width, hex_byte};

/// Decodes as `urlDecode` does, and `%uHHHH` to its lower byte, where the full-width forms FF01-FF5E
/// become the ASCII they look like. What is not valid stays as it is.
///
/// `SecRule ARGS "@contains <script" "id:1,phase:2,deny,t:urlDecodeUni"`
///
/// With `SecUnicodeMapFile ... 20127` a character becomes the ASCII letter nearest to it, where that code page has one.
///
/// Manual: Transformation functions, urlDecodeUni.
pub(super) fn apply(input: &[u8], mapped: bool) -> Option<Vec<u8>> {
    let first = memchr::memchr2(b'%', b'+', input)?;
    let mut out = Vec::with_capacity(input.len());
    out.extend_from_slice(&input[..first]);
    let mut rest = &input[first..];
    loop {
        match rest {
            [] => return Some(out),
            [b'%', b'u' | b'U', a, b, high, low, tail @ ..] if hex_byte(*a, *b).is_some() && hex_byte(*high, *low).is_some() => {
                let (above, below) = (hex_byte(*a, *b).unwrap_or(0), hex_byte(*high, *low).unwrap_or(0));
                let letter = if mapped { nearest(u16::from_be_bytes([above, below])) } else { None };
                out.push(letter.unwrap_or_else(|| full_width(*a, *b, below)));
                rest = tail;
            }
            [b'%', high, low, tail @ ..] if hex_byte(*high, *low).is_some() => {
                out.extend(hex_byte(*high, *low));
                rest = tail;
            }
            [byte, tail @ ..] => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                rest = tail;
            }
        }
    }
}
