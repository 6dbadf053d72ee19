//! `urlDecodeUni`: percent-encoding with Microsoft's `%uHHHH`.

use super::digits::hex_byte;
use super::nearest_ascii::nearest_ascii;

/// Decodes as `urlDecode` does, and `%uHHHH` to the ASCII that looks most like it (a typographic quote to `'`, `é` to `e`), as back
/// ends with code page 20127 do; to its lower byte where there is none. What is not valid stays as it is.
///
/// `SecRule ARGS "@contains <script" "id:1,phase:2,deny,t:urlDecodeUni"`
///
/// Manual: Transformation functions, urlDecodeUni; SecUnicodeMapFile with code page 20127, which ModSecurity's recommended
/// configuration sets.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr2(b'%', b'+', input)?;
    let mut out = Vec::with_capacity(input.len());
    out.extend_from_slice(&input[..first]);
    let mut rest = &input[first..];
    loop {
        match rest {
            [] => return Some(out),
            [b'%', b'u' | b'U', a, b, c, d, tail @ ..] if hex_byte(*a, *b).is_some() && hex_byte(*c, *d).is_some() => {
                let (high, low) = (hex_byte(*a, *b).unwrap_or(0), hex_byte(*c, *d).unwrap_or(0));
                out.push(nearest_ascii(u16::from_be_bytes([high, low])).unwrap_or(low));
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
