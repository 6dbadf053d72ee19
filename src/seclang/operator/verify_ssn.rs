//! `@verifySSN`: a number that can be a social security number of the United States.

use super::verify::digits;

/// Areas from here on were never given out before numbers became random in 2011; the manual still rejects them.
const FIRST_UNUSED_AREA: u32 = 740;

/// Checks each candidate of the pattern: nine digits, area, group and serial number in their ranges, and neither a
/// run (123456789) nor one digit throughout; `TX:0` is the number.
///
/// `SecRule RESPONSE_BODY "@verifySSN \\d{3}-?\\d{2}-?\\d{4}" "id:1,phase:4,deny"`
///
/// Manual: Operators, verifySSN.
pub(super) fn check(candidate: &[u8]) -> bool {
    let digits = digits(candidate);
    if digits.len() != 9 {
        return false;
    }
    let number = |range: &[u32]| range.iter().fold(0, |sum, digit| sum * 10 + digit);
    let (area, rest) = digits.split_at(3);
    let (group, serial) = rest.split_at(2);
    let area = number(area);
    let pairs = || digits.iter().zip(digits.iter().skip(1));
    let sequence = pairs().all(|(left, right)| left + 1 == *right) || pairs().all(|(left, right)| left == right);
    area != 0 && area != 666 && area < FIRST_UNUSED_AREA && number(group) != 0 && number(serial) != 0 && !sequence
}
