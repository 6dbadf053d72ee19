//! Form bodies and query strings: `application/x-www-form-urlencoded`.

use super::Argument;
use crate::transform::url_decode::decode_into;

/// What a form holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlEncoded {
    /// Names and values, decoded, in their order; a name that comes twice is here twice.
    pub arguments: Vec<Argument>,
    /// Whether a percent sign stood without two hexadecimal digits behind it (`URLENCODED_ERROR`).
    pub invalid_encoding: bool,
    /// Whether there were more than `max` arguments; the rest was not looked at.
    pub truncated: bool,
}

/// Splits at `separator` and at the first `=` of each piece, then decodes. A piece without `=` is a name with an empty
/// value; an empty piece between two separators is an argument without a name, as in ModSecurity 2.
pub fn url_encoded(input: &[u8], separator: u8, max: usize) -> UrlEncoded {
    let mut form = UrlEncoded::default();
    let mut rest = input;
    while !rest.is_empty() {
        if form.arguments.len() == max {
            form.truncated = true;
            break;
        }
        let (piece, behind) = split(rest, separator);
        let (name, value) = split(piece, b'=');
        let mut argument = Argument { name: Vec::with_capacity(name.len()), value: Vec::with_capacity(value.len()) };
        form.invalid_encoding |= decode_into(name, &mut argument.name);
        form.invalid_encoding |= decode_into(value, &mut argument.value);
        form.arguments.push(argument);
        rest = behind;
    }
    form
}

/// The bytes before and behind the first `separator`.
fn split(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(separator, bytes).and_then(|at| bytes.split_at_checked(at)) {
        Some((before, [_, behind @ ..])) => (before, behind),
        _ => (bytes, &[]),
    }
}
