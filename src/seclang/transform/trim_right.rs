//! `trimRight`: no white space at the end.

use super::digits::is_space;

/// Removes white space from the end.
///
/// `SecRule ARGS:user "@streq admin" "id:1,phase:2,deny,t:trimRight"`
///
/// Manual: Transformation functions, trimRight.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let mut rest = input;
    while let [head @ .., last] = rest
        && is_space(*last)
    {
        rest = head;
    }
    (rest.len() != input.len()).then(|| rest.to_vec())
}
