//! `base64DecodeExt`: Base64 with foreign bytes strewn in.

use super::base64_decode::decode;
use super::digits::base64_value;

/// Decodes like `base64Decode` but skips what is not Base64 instead of stopping there, because
/// forgiving decoders (PHP's among them) do so too.
///
/// `SecRule ARGS "@contains <script>" "id:1,phase:2,deny,t:base64DecodeExt"`
///
/// Manual: Transformation functions, base64DecodeExt.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    Some(decode(input.iter().filter_map(|&byte| base64_value(byte))))
}
