//! `replaceComments`: a space for every C comment.

use memchr::memmem;

/// Turns every `/* ... */`, also one that does not end, into one space; a lone `*/` stays.
///
/// `SecRule ARGS "@rx union\\s+select" "id:1,phase:2,deny,t:replaceComments"`
///
/// Manual: Transformation functions, replaceComments.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let mut start = memmem::find(input, b"/*")?;
    let mut out = Vec::with_capacity(input.len());
    let mut rest = input;
    loop {
        out.extend_from_slice(&rest[..start]);
        out.push(b' ');
        let inside = &rest[start + 2..];
        let Some(end) = memmem::find(inside, b"*/") else { return Some(out) };
        rest = &inside[end + 2..];
        match memmem::find(rest, b"/*") {
            Some(next) => start = next,
            None => {
                out.extend_from_slice(rest);
                return Some(out);
            }
        }
    }
}
