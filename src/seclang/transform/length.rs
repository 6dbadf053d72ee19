//! `length`: how many bytes there are.

/// Replaces the value with its length in bytes, written in decimal.
///
/// `SecRule ARGS:name "@gt 100" "id:1,phase:2,deny,t:length"`
///
/// Manual: Transformation functions, length.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    Some(input.len().to_string().into_bytes())
}
