//! `cssDecode`: CSS 2 escapes.

use super::digits::{full_width, hex_byte, hex_digit, is_space};

/// Decodes a backslash with up to six hexadecimal digits, of which the last two count (and the
/// full-width forms FF01-FF5E become ASCII); one white space behind them belongs to the escape. A
/// backslash before a newline vanishes with it, before anything else alone.
///
/// `SecRule ARGS "@contains javascript" "id:1,phase:2,deny,t:cssDecode"`
///
/// Manual: Transformation functions, cssDecode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr(b'\\', input)?;
    let mut out = Vec::with_capacity(input.len());
    out.extend_from_slice(&input[..first]);
    let mut rest = &input[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let digits = rest.iter().take(6).take_while(|&&byte| hex_digit(byte).is_some()).count();
        if digits > 0 {
            out.push(escape(&rest[..digits]));
            rest = &rest[digits..];
            if rest.first().is_some_and(|&byte| is_space(byte)) {
                rest = &rest[1..];
            }
        } else if let Some((&escaped, tail)) = rest.split_first() {
            if escaped != b'\n' {
                out.push(escaped);
            }
            rest = tail;
        }
    }
    Some(out)
}

/// The byte that one to six hexadecimal digits stand for.
fn escape(digits: &[u8]) -> u8 {
    let (lead, value) = match digits {
        [single] => return hex_digit(*single).unwrap_or(0),
        [lead @ .., high, low] => (lead, hex_byte(*high, *low).unwrap_or(0)),
        [] => return 0,
    };
    match lead {
        [b'0', a, b] | [b'0', b'0', a, b] | [a, b] => full_width(*a, *b, value),
        _ => value,
    }
}
