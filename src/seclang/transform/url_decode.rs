//! `urlDecode`: percent-encoding of forms.

use super::digits::hex_byte;

/// Decodes `%HH` and turns `+` into a space. A percent sign without two digits behind it stays.
///
/// `SecRule REQUEST_BODY "@contains <script" "id:1,phase:2,deny,t:urlDecode"`
///
/// Manual: Transformation functions, urlDecode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr2(b'%', b'+', input)?;
    let mut out = Vec::with_capacity(input.len());
    out.extend_from_slice(&input[..first]);
    decode_into(&input[first..], &mut out);
    Some(out)
}

/// Appends the decoded form; says whether a percent sign stood without two digits behind it.
pub(crate) fn decode_into(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut invalid = false;
    let mut rest = input;
    loop {
        match rest {
            [] => return invalid,
            [b'%', high, low, tail @ ..] if hex_byte(*high, *low).is_some() => {
                out.extend(hex_byte(*high, *low));
                rest = tail;
            }
            [byte, tail @ ..] => {
                invalid |= *byte == b'%';
                out.push(if *byte == b'+' { b' ' } else { *byte });
                rest = tail;
            }
        }
    }
}
