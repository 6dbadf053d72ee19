//! `@verifyCPF`: a number with the check digits of a Brazilian taxpayer.

use super::verify::digits;

/// Checks each candidate of the pattern: eleven digits, not all the same, the last two computed from those before;
/// `TX:0` is the number.
///
/// `SecRule RESPONSE_BODY "@verifyCPF \\d{3}\\.?\\d{3}\\.?\\d{3}-?\\d{2}" "id:1,phase:4,deny"`
///
/// Manual: Operators, verifyCPF.
pub(super) fn check(candidate: &[u8]) -> bool {
    let digits = digits(candidate);
    let [body @ .., first, second] = digits.as_slice() else { return false };
    if digits.len() != 11 || digits.iter().all(|digit| digit == first) {
        return false;
    }
    let check = |known: &[u32]| match known.iter().rev().zip(2..).map(|(digit, weight)| digit * weight).sum::<u32>() % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    check(body) == *first && digits.get(..10).map(check) == Some(*second)
}
