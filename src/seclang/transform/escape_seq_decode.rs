//! `escapeSeqDecode`: ANSI C escape sequences.

use super::digits::{hex_byte, octal_run};

/// Decodes `\\a` `\\b` `\\f` `\\n` `\\r` `\\t` `\\v` `\\\\` `\\?` `\\'` `\\"`, `\\xHH` and up to three octal digits. Of an
/// escape it does not know it drops the backslash.
///
/// `SecRule ARGS "@contains /bin/sh" "id:1,phase:2,deny,t:escapeSeqDecode"`
///
/// Manual: Transformation functions, escapeSeqDecode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr(b'\\', input)?;
    let mut out = Vec::with_capacity(input.len());
    out.extend_from_slice(&input[..first]);
    let mut rest = &input[first..];
    loop {
        match rest {
            [] => break,
            [b'\\', b'x' | b'X', high, low, tail @ ..] if hex_byte(*high, *low).is_some() => {
                out.extend(hex_byte(*high, *low));
                rest = tail;
            }
            [b'\\', b'0'..=b'7', ..] => {
                let (value, digits) = octal_run(&rest[1..], 3);
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
