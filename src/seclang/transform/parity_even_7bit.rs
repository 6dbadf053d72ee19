//! `parityEven7bit`: the eighth bit says that the number of ones is even.

/// Sets or clears the top bit of every byte, so that a seven-bit byte has an even number of ones. As in
/// ModSecurity 2 a top bit that is already set counts among the ones.
///
/// `SecRule ARGS "@contains attack" "id:1,phase:2,deny,t:parityEven7bit"`
///
/// Manual: Transformation functions, parityEven7bit.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    Some(input.iter().map(|&byte| if byte.count_ones() % 2 == 1 { byte | 0x80 } else { byte & 0x7F }).collect())
}
