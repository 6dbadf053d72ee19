//! `removeNulls`: deletes zero bytes.

/// Deletes every zero byte.
///
/// `SecRule ARGS "@contains ../" "id:1,phase:2,deny,t:removeNulls"`
///
/// Manual: Transformation functions, removeNulls.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(0, input)?;
    Some(input.iter().copied().filter(|&byte| byte != 0).collect())
}
