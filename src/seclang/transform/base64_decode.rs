//! `base64Decode`: Base64 up to the first byte that is not part of it.

use super::digits::base64_value;

/// Decodes the standard alphabet and stops at the first other byte, padding included; what was
/// decoded until there is the result. Up to three leftover digits give the bytes they fill.
///
/// `SecRule ARGS:token "@contains admin" "id:1,phase:2,deny,t:base64Decode"`
///
/// Manual: Transformation functions, base64Decode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    Some(decode(input.iter().map_while(|&byte| base64_value(byte))))
}

/// The bytes that a run of six-bit digits fills; bits of an unfinished byte are dropped.
pub(super) fn decode(digits: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in digits {
        bits = (bits << 6) | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    out
}
