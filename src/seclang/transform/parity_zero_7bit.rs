//! `parityZero7bit`: clears the eighth bit.

/// Clears the top bit of every byte.
///
/// `SecRule ARGS "@contains attack" "id:1,phase:2,deny,t:parityZero7bit"`
///
/// Manual: Transformation functions, parityZero7bit.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    Some(input.iter().map(|byte| byte & 0x7F).collect())
}
