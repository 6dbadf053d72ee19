//! `urlDecodeUni`: percent-encoding with Microsoft's `%uHHHH`.

use super::digits::{full_width, hex_byte};

/// Decodes as `urlDecode` does, and `%uHHHH` to its lower byte, where the full-width forms FF01-FF5E
/// become the ASCII they look like. What is not valid stays as it is.
///
/// `SecRule ARGS "@contains <script" "id:1,phase:2,deny,t:urlDecodeUni"`
///
/// Manual: Transformation functions, urlDecodeUni (without a SecUnicodeMapFile).
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr2(b'%', b'+', input)?;
    let mut out = Vec::with_capacity(input.len());
    out.extend_from_slice(&input[..first]);
    let mut rest = &input[first..];
    loop {
        match rest {
            [] => return Some(out),
            [b'%', b'u' | b'U', a, b, high, low, tail @ ..] if hex_byte(*a, *b).is_some() && hex_byte(*high, *low).is_some() => {
                out.push(full_width(*a, *b, hex_byte(*high, *low).unwrap_or(0)));
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
