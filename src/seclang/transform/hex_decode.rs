//! `hexDecode`: pairs of hexadecimal digits to bytes.

/// Decodes pair by pair; an odd digit at the end is dropped. Digits are not checked: as in
/// ModSecurity 2 other bytes give a value of no meaning, so a rule sees that something was there.
///
/// `SecRule ARGS:blob "@contains <?php" "id:1,phase:2,deny,t:hexDecode"`
///
/// Manual: Transformation functions, hexDecode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let pairs = input.chunks_exact(2);
    Some(pairs.map(|pair| digit(pair[0]).wrapping_mul(16).wrapping_add(digit(pair[1]))).collect())
}

/// A digit's value by the arithmetic that C programs use without checking.
fn digit(byte: u8) -> u8 {
    if byte >= b'A' { (byte & 0xDF).wrapping_sub(b'A').wrapping_add(10) } else { byte.wrapping_sub(b'0') }
}
