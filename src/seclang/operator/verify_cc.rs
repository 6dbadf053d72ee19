//! `@verifyCC`: a number with a valid check digit, as payment cards have.

use super::verify::digits;

/// Checks each candidate of the pattern with the Luhn algorithm (ISO/IEC 7812-1); `TX:0` is the number.
///
/// `SecRule RESPONSE_BODY "@verifyCC \\d{13,16}" "id:1,phase:4,deny"`
///
/// Manual: Operators, verifyCC.
pub(super) fn check(candidate: &[u8]) -> bool {
    let digits = digits(candidate);
    if digits.is_empty() {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, &digit)| if index % 2 == 1 { digit * 2 - if digit > 4 { 9 } else { 0 } } else { digit })
        .sum();
    sum.is_multiple_of(10)
}
