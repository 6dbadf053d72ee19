//! `uppercase`: ASCII letters to upper case.

/// Turns `a`-`z` into `A`-`Z`; every other byte stays, whatever the encoding.
///
/// `SecRule REQUEST_METHOD "@within GET HEAD POST" "id:1,phase:1,pass,t:uppercase"`
///
/// Manual: Transformation functions, uppercase (ModSecurity 3 spells it so too).
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = input.iter().position(u8::is_ascii_lowercase)?;
    let mut out = input.to_vec();
    out[first..].make_ascii_uppercase();
    Some(out)
}
