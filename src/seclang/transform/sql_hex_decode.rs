//! `sqlHexDecode`: SQL's hexadecimal literals.

use super::digits::hex_byte;

/// Decodes `0x` and the pairs of digits behind it; text without that prefix stays.
///
/// `SecRule ARGS "@contains admin" "id:1,phase:2,deny,t:sqlHexDecode"`
///
/// Manual: Transformation functions, sqlHexDecode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(input.len());
    let mut rest = input;
    loop {
        match rest {
            [] => return Some(out),
            [b'0', b'x' | b'X', high, low, ..] if hex_byte(*high, *low).is_some() => {
                rest = &rest[2..];
                while let [high, low, tail @ ..] = rest
                    && let Some(byte) = hex_byte(*high, *low)
                {
                    out.push(byte);
                    rest = tail;
                }
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}
