//! `trimLeft`: no white space at the start.

use super::digits::is_space;

/// Removes white space from the start.
///
/// `SecRule ARGS:user "@streq admin" "id:1,phase:2,deny,t:trimLeft"`
///
/// Manual: Transformation functions, trimLeft.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let mut rest = input;
    while let [first, tail @ ..] = rest
        && is_space(*first)
    {
        rest = tail;
    }
    (rest.len() != input.len()).then(|| rest.to_vec())
}
