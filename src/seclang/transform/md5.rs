//! `md5`: the MD5 digest as raw bytes.

use md5::{Digest as _, Md5};

/// Replaces the value with its 16-byte digest; usually followed by `t:hexEncode`.
///
/// `SecRule FILES_TMP_CONTENT "@pmFromFile bad.md5" "id:1,phase:2,deny,t:md5,t:hexEncode"`
///
/// Manual: Transformation functions, md5.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    Some(Md5::digest(input).to_vec())
}
