//! `removeWhitespace`: deletes blanks.

use super::digits::is_blank;

/// Deletes all white space and no-break spaces (byte A0).
///
/// `SecRule ARGS "@contains <script" "id:1,phase:2,deny,t:removeWhitespace"`
///
/// Manual: Transformation functions, removeWhitespace.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    input.iter().position(|&byte| is_blank(byte))?;
    Some(input.iter().copied().filter(|&byte| !is_blank(byte)).collect())
}
