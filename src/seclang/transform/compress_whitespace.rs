//! `compressWhitespace`: a run of blanks is one space.

use super::digits::is_blank;

/// Turns every run of white space and no-break spaces (byte A0) into a single space.
///
/// `SecRule ARGS "@contains union select" "id:1,phase:2,deny,t:lowercase,t:compressWhitespace"`
///
/// Manual: Transformation functions, compressWhitespace.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = input.iter().position(|&byte| is_blank(byte))?;
    let mut out = Vec::with_capacity(input.len());
    out.extend_from_slice(&input[..first]);
    let mut blank = false;
    for &byte in &input[first..] {
        if is_blank(byte) {
            if !blank {
                out.push(b' ');
            }
            blank = true;
        } else {
            out.push(byte);
            blank = false;
        }
    }
    Some(out)
}
