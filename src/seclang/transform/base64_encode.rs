//! `base64Encode`: Base64 with padding.

use base64::Engine as _;

/// Encodes with the standard alphabet and padding.
///
/// `SecRule REQUEST_BODY "@streq Zm9v" "id:1,phase:2,pass,t:base64Encode"`
///
/// Manual: Transformation functions, base64Encode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    Some(base64::engine::general_purpose::STANDARD.encode(input).into_bytes())
}
