//! `urlEncode`: percent-encoding of forms.

use super::digits::hex_of;

/// Keeps letters, digits and `*`, turns a space into `+` and everything else into `%hh`.
///
/// `SecRule ARGS "@contains %3cscript" "id:1,phase:2,deny,t:urlEncode"`
///
/// Manual: Transformation functions, urlEncode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(input.len());
    for &byte in input {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => out.push(byte),
            _ => {
                out.push(b'%');
                out.extend(hex_of(byte));
            }
        }
    }
    Some(out)
}
