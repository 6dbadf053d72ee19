//! `sha1`: the SHA-1 digest as raw bytes.

use sha1::{Digest as _, Sha1};

/// Replaces the value with its 20-byte digest; usually followed by `t:hexEncode`.
///
/// `SecAction "id:1,phase:1,pass,initcol:ip=%{remote_addr}_%{tx.ua_hash}"` after
/// `SecRule REQUEST_HEADERS:User-Agent "@rx ^(.*)$" "id:2,phase:1,pass,capture,t:sha1,t:hexEncode,setvar:tx.ua_hash=%{matched_var}"`
///
/// Manual: Transformation functions, sha1.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    Some(Sha1::digest(input).to_vec())
}
