//! `@verifySVNR`: a number with the check digit of an Austrian social insurance number.

use super::verify::digits;

/// Weights of the ten digits; the check digit itself has none.
const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];

/// Checks each candidate of the pattern: ten digits, not starting with 0, the fourth computed from the others;
/// `TX:0` is the number.
///
/// `SecRule RESPONSE_BODY "@verifySVNR \\d{4} ?\\d{6}" "id:1,phase:4,deny"`
///
/// Manual (ModSecurity 3): Operators, verifySVNR.
pub(super) fn check(candidate: &[u8]) -> bool {
    let digits = digits(candidate);
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    digits.len() == WEIGHTS.len() && digits.first() != Some(&0) && digits.get(3) == Some(&(sum % 11))
}
