//! `removeCommentsChar`: the marks of comments, not what is in them.

/// Removes every `/*`, `*/`, `--`, `#`, `<!--` and `-->`.
///
/// `SecRule ARGS "@contains union select" "id:1,phase:2,deny,t:removeCommentsChar"`
///
/// Manual: Transformation functions, removeCommentsChar.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(input.len());
    let mut rest = input;
    loop {
        rest = match rest {
            [] => return Some(out),
            [b'<', b'!', b'-', b'-', tail @ ..] => tail,
            [b'-', b'-', b'>', tail @ ..] => tail,
            [b'/', b'*', tail @ ..] | [b'*', b'/', tail @ ..] | [b'-', b'-', tail @ ..] => tail,
            [b'#', tail @ ..] => tail,
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}
