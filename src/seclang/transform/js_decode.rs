//! `jsDecode`: JavaScript escape sequences.

use super::digits::{full_width, hex_byte, octal_run};

/// Decodes `\\uHHHH` (the lower byte counts, and full-width forms become ASCII), `\\xHH`, octal up to
/// `\\377`, and single-letter escapes; of any other escape the backslash is dropped.
///
/// `SecRule ARGS "@contains alert(" "id:1,phase:2,deny,t:jsDecode"`
///
/// Manual: Transformation functions, jsDecode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr(b'\\', input)?;
    let mut out = Vec::with_capacity(input.len());
    out.extend_from_slice(&input[..first]);
    let mut rest = &input[first..];
    loop {
        match rest {
            [] => break,
            [b'\\', b'u', a, b, high, low, tail @ ..] if hex_byte(*a, *b).is_some() && hex_byte(*high, *low).is_some() => {
                out.push(full_width(*a, *b, hex_byte(*high, *low).unwrap_or(0)));
                rest = tail;
            }
            [b'\\', b'x', high, low, tail @ ..] if hex_byte(*high, *low).is_some() => {
                out.extend(hex_byte(*high, *low));
                rest = tail;
            }
            [b'\\', lead @ b'0'..=b'7', ..] => {
                // Three digits above \\377 would not fit a byte: JavaScript reads two of them.
                let (value, digits) = octal_run(&rest[1..], if *lead > b'3' { 2 } else { 3 });
                out.push(value);
                rest = &rest[1 + digits..];
            }
            [b'\\', escaped, tail @ ..] => {
                out.push(match escaped {
                    b'a' => 0x07,
                    b'b' => 0x08,
                    b'f' => 0x0C,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0B,
                    other => *other,
                });
                rest = tail;
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    Some(out)
}
