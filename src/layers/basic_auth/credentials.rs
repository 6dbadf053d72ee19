//! The `Authorization` header, read strictly (RFC 7617).

use crate::head::{AUTHORIZATION, Headers};
use crate::limits::{PASSWORD_BYTES_MAX, USER_NAME_BYTES_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The most bytes of base 64 that credentials within the limits can have.
const ENCODED_BYTES_MAX: usize = (USER_NAME_BYTES_MAX + 1 + PASSWORD_BYTES_MAX).div_ceil(3) * 4;

/// A user and a password as sent; bytes, since RFC 7617 leaves the charset to the client.
pub(super) struct Credentials {
    decoded: Vec<u8>,
    colon: usize,
}

/// What the header holds.
pub(super) enum Found {
    /// There is no header.
    Missing,
    /// Two headers, another scheme, or what is not strictly Basic.
    Malformed,
    /// Credentials.
    Basic(Credentials),
}

impl Credentials {
    /// The user name's bytes.
    pub(super) fn user(&self) -> &[u8] {
        &self.decoded[..self.colon]
    }

    /// The user name where it is text; no other can be in a users file.
    pub(super) fn name(&self) -> Option<&str> {
        std::str::from_utf8(self.user()).ok()
    }

    /// The password's bytes.
    pub(super) fn password(&self) -> &[u8] {
        &self.decoded[self.colon + 1..]
    }
}

/// Reads the credentials of a request.
pub(super) fn read(headers: &Headers) -> Found {
    let mut values = headers.get_all(&AUTHORIZATION);
    match (values.next(), values.next()) {
        (None, _) => Found::Missing,
        (Some(value), None) => basic(value.as_bytes()).map_or(Found::Malformed, Found::Basic),
        // Which of two the backend would believe is anybody's guess.
        (Some(_), Some(_)) => Found::Malformed,
    }
}

fn basic(value: &[u8]) -> Option<Credentials> {
    let (scheme, rest) = value.split_at(value.iter().position(|&b| b == b' ')?);
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let encoded = rest.trim_ascii_start();
    if encoded.len() > ENCODED_BYTES_MAX {
        return None;
    }
    let decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|&b| b == b':')?;
    let fits = colon > 0 && colon <= USER_NAME_BYTES_MAX && decoded.len() - colon - 1 <= PASSWORD_BYTES_MAX;
    // RFC 7617 section 2: no control characters in either.

    (fits && !decoded.iter().any(u8::is_ascii_control)).then_some(Credentials { decoded, colon })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::head::Value;

    type Parts = Result<Option<(Vec<u8>, Vec<u8>)>, ()>;

    fn of(values: &[&str]) -> Parts {
        let mut headers = Headers::new();
        for value in values {
            headers.append(&AUTHORIZATION, Value::new(value.as_bytes()).unwrap());
        }
        match read(&headers) {
            Found::Missing => Ok(None),
            Found::Malformed => Err(()),
            Found::Basic(c) => Ok(Some((c.user().to_vec(), c.password().to_vec()))),
        }
    }

    fn basic_of(text: &[u8]) -> Parts {
        of(&[&format!("Basic {}", STANDARD.encode(text))])
    }

    #[test]
    fn the_first_colon_splits_and_bytes_stay_as_they_are() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(basic_of(b"a:b:c"), Ok(Some((b"a".to_vec(), b"b:c".to_vec()))));
        assert_eq!(basic_of(b"j\xfcrgen:\xfc"), Ok(Some((b"j\xfcrgen".to_vec(), b"\xfc".to_vec()))));
        assert_eq!(basic_of(b"a:"), Ok(Some((b"a".to_vec(), Vec::new()))));
        assert!(of(&["bASIC   YTpi"]).unwrap().is_some());
    }

    #[test]
    fn whatever_is_not_strictly_basic_is_malformed() {
        for values in [
            &["Basic YTpi", "Basic YTpi"][..],
            &["Basic"],
            &["Basic "],
            &["BasicYTpi"],
            &["Basic YTpi,"],
            &["Basic YTpi "],
            &["Basic YTp"],
            &["Basic YTpi\u{fc}"],
            &["Basic YT pi"],
            &["Bearer YTpi"],
            &["Negotiate YTpi"],
            &["Basic YWI="],
            &[""],
        ] {
            assert_eq!(of(values), Err(()), "{values:?}");
        }
        for text in [&b":b"[..], b"a\0:b", b"a:b\n", b"a\x7f:b", b"ab"] {
            assert_eq!(basic_of(text), Err(()), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_hashed() {
        let with = |user: usize, password: usize| basic_of(format!("{}:{}", "u".repeat(user), "p".repeat(password)).as_bytes());
        assert!(with(255, 1024).is_ok());
        assert!(with(256, 1).is_err());
        assert!(with(1, 1025).is_err());
        assert!(with(1, 100_000).is_err());
    }
}
