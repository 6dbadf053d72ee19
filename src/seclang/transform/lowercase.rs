//! `lowercase`: ASCII letters to lower case.

/// Turns `A`-`Z` into `a`-`z`; every other byte stays, whatever the encoding.
///
/// `SecRule ARGS "@contains <script" "id:1,phase:2,deny,t:lowercase"`
///
/// Manual: Transformation functions, lowercase.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = input.iter().position(u8::is_ascii_uppercase)?;
    let mut out = input.to_vec();
    out[first..].make_ascii_lowercase();
    Some(out)
}
