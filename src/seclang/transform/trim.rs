//! `trim`: no white space at both ends.

use super::digits::is_space;

/// Removes white space from both ends.
///
/// `SecRule ARGS:user "@streq admin" "id:1,phase:2,deny,t:trim"`
///
/// Manual: Transformation functions, trim.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let mut rest = input;
    while let [first, tail @ ..] = rest
        && is_space(*first)
    {
        rest = tail;
    }
    while let [head @ .., last] = rest
        && is_space(*last)
    {
        rest = head;
    }
    (rest.len() != input.len()).then(|| rest.to_vec())
}
