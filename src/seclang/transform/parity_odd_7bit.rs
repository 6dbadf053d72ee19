//! `parityOdd7bit`: the eighth bit says that the number of ones is odd.

/// Sets or clears the top bit of every byte, so that a seven-bit byte has an odd number of ones. As in
/// ModSecurity 2 a top bit that is already set counts among the ones.
///
/// `SecRule ARGS "@contains attack" "id:1,phase:2,deny,t:parityOdd7bit"`
///
/// Manual: Transformation functions, parityOdd7bit.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    Some(input.iter().map(|&byte| if byte.count_ones() % 2 == 0 { byte | 0x80 } else { byte & 0x7F }).collect())
}
