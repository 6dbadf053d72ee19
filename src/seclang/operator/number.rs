//! `@eq` `@ge` `@gt` `@le` `@lt`: comparison of whole numbers.

use std::cmp::Ordering;

/// Compares value and argument (macros expanded) as whole numbers. What is no number is 0, and digits
/// count up to the first other byte, as C's `atoi` has it; numbers past 64 bits are the largest there is.
///
/// `SecRule &ARGS "@gt 255" "id:1,phase:2,deny"`
///
/// Manual: Operators, eq, ge, gt, le, lt.
pub(super) fn compare(value: &[u8], argument: &[u8]) -> Ordering {
    number(value).cmp(&number(argument))
}

/// The number at the start of the text.
fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, text),
    };
    let magnitude = digits
        .iter()
        .map_while(|byte| byte.is_ascii_digit().then(|| i64::from(byte - b'0')))
        .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(digit));
    if negative { -magnitude } else { magnitude }
}
