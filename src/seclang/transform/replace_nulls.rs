//! `replaceNulls`: a space for every zero byte.

/// Turns every zero byte into a space.
///
/// `SecRule ARGS "@rx union\\s+select" "id:1,phase:2,deny,t:replaceNulls"`
///
/// Manual: Transformation functions, replaceNulls.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(0, input)?;
    Some(input.iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect())
}
