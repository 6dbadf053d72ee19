//! `hexEncode`: two lower-case hexadecimal digits for every byte.

use super::digits::hex_of;

/// Encodes every byte as two digits.
///
/// `SecRule REQUEST_BODY "@beginsWith 1f8b" "id:1,phase:2,deny,t:hexEncode"`
///
/// Manual: Transformation functions, hexEncode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    Some(input.iter().flat_map(|&byte| hex_of(byte)).collect())
}
