//! `cmdLine`: undoes how command lines are disguised for a shell.

/// Deletes `\\`, `"`, `'` and `^`; deletes blanks before `/` and `(`; turns `,`, `;` and every run of
/// blanks into one space; and lower-cases.
///
/// `SecRule ARGS "@contains command.com" "id:1,phase:2,deny,t:cmdLine"`
///
/// Manual: Transformation functions, cmdLine.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(input.len());
    let mut blank = false;
    for &byte in input {
        match byte {
            b'\\' | b'"' | b'\'' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !blank {
                    out.push(b' ');
                    blank = true;
                }
            }
            b'/' | b'(' => {
                if blank {
                    out.pop();
                    blank = false;
                }
                out.push(byte);
            }
            _ => {
                blank = false;
                out.push(byte.to_ascii_lowercase());
            }
        }
    }
    Some(out)
}
