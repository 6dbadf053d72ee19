//! `removeComments`: comments of C, SQL, HTML and shells, with what is in them.

/// Removes `/* ... */` and `<!-- ... -->`; everything from `--` or `#` on; and puts a space for a
/// comment that does not end. As in ModSecurity 2 either ending closes either comment, the byte
/// behind a comment is kept without a look, and a comment at the very end leaves a zero byte.
///
/// `SecRule ARGS "@rx union.*select" "id:1,phase:2,deny,t:removeComments"`
///
/// Manual: Transformation functions, removeComments.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(input.len());
    let mut rest = input;
    loop {
        match rest {
            [] | [b'#', ..] | [b'-', b'-', ..] => return Some(out),
            [b'/', b'*', inside @ ..] | [b'<', b'!', b'-', b'-', inside @ ..] => match behind(inside) {
                None => {
                    out.push(b' ');
                    return Some(out);
                }
                Some(behind) => {
                    out.push(behind.first().copied().unwrap_or(0));
                    rest = behind.get(1..).unwrap_or_default();
                }
            },
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}

/// What stands behind the end of the comment that `inside` begins in.
fn behind(mut inside: &[u8]) -> Option<&[u8]> {
    loop {
        match inside {
            [] => return None,
            [b'*', b'/', behind @ ..] | [b'-', b'-', b'>', behind @ ..] => return Some(behind),
            [_, tail @ ..] => inside = tail,
        }
    }
}
