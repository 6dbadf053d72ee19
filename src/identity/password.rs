//! Passwords against hashes, in time that does not tell how much of a hash fits; new hashes.

use super::apr1;
use super::hash::{Hash, Kind};
use crate::limits::{ARGON2_MEMORY_KIB_NEW, ARGON2_PASSES_NEW, BCRYPT_COST_NEW, PASSWORD_BYTES_MAX, SHA_CRYPT_ROUNDS_NEW};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha_crypt::{PasswordVerifier, ShaCrypt};
use sha1::{Digest, Sha1};
use std::borrow::Cow;
use std::fmt;
use subtle::ConstantTimeEq;

/// The longest password that htpasswd-verify's MD5 takes without a misaligned read: one MD5 block.
const HTPASSWD_VERIFY_BYTES_MAX: usize = 64;
/// What bcrypt reads of a password.
const BCRYPT_BYTES_MAX: usize = 72;

/// The schemes of new hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewScheme {
    /// bcrypt as Apache writes it (`$2y$`), cost [`BCRYPT_COST_NEW`].
    Bcrypt,
    /// SHA-512-crypt (`$6$`) with [`SHA_CRYPT_ROUNDS_NEW`] rounds.
    Sha512,
    /// argon2id; Apache cannot verify it.
    Argon2id,
}

/// Why a password cannot be hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashError {
    /// An empty password.
    Empty,
    /// Longer than the scheme reads, in bytes.
    TooLong(usize),
    /// Control characters, which RFC 7617 section 2 keeps out of credentials.
    Control,
    /// No randomness, or a fault of the hashing library.
    Failed,
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the password is empty"),
            Self::TooLong(max) => write!(f, "the password is longer than the {max} bytes that this scheme reads"),
            Self::Control => f.write_str("the password holds control characters, which Basic authentication cannot carry"),
            Self::Failed => f.write_str("the password could not be hashed"),
        }
    }
}

impl std::error::Error for HashError {}

/// Whether `password` is what `hash` was made of. Takes the time of the hash's scheme: never call it on a runtime thread.
/// Passwords with a NUL or beyond [`PASSWORD_BYTES_MAX`] never fit.
pub fn verify(password: &[u8], hash: &Hash) -> bool {
    if password.len() > PASSWORD_BYTES_MAX || password.contains(&0) {
        return false;
    }
    match &hash.0 {
        Kind::Bcrypt { text, .. } => bcrypt::verify(password, text).unwrap_or(false),
        Kind::Apr1 { salt, digest } => {
            let ours = match std::str::from_utf8(password) {
                Ok(text) if text.len() <= HTPASSWD_VERIFY_BYTES_MAX => htpasswd_verify::md5::md5_apr1_encode(text, salt),
                _ => apr1::encode(password, salt.as_bytes()),
            };
            ours.as_bytes().ct_eq(digest.as_bytes()).into()
        }
        // htpasswd-verify compares this one byte by byte, and there is no salt: timing would say something.
        Kind::Sha1(digest) => Sha1::digest(password).ct_eq(digest).into(),
        Kind::ShaCrypt { text, .. } => ShaCrypt::default().verify_password(password, &**text).is_ok(),
        Kind::Argon2id { params, salt, digest } => {
            let mut ours = vec![0; digest.len()];
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
            argon2.hash_password_into(password, salt, &mut ours).is_ok() && bool::from(ours.ct_eq(digest))
        }
        Kind::Des { text } => {
            // DES crypt reads seven bits of each byte, so the eighth may be cleared to make text of any bytes.
            let seven_bits: String = password.iter().map(|b| char::from(b & 0x7f)).collect();
            // A byte 0x80 has become the NUL at which crypt(3) stops.
            let read = seven_bits.split('\0').next().unwrap_or_default();
            htpasswd_verify::Hash::Crypt(Cow::Borrowed(text)).check(read)
        }
    }
}

/// A new hash of `password`, as it stands in a users file.
///
/// # Errors
/// A password that is empty, too long for the scheme or holds control characters; no randomness.
pub fn hash(password: &[u8], scheme: NewScheme) -> Result<String, HashError> {
    if password.is_empty() {
        return Err(HashError::Empty);
    }
    if password.iter().any(u8::is_ascii_control) {
        return Err(HashError::Control);
    }
    let max = if scheme == NewScheme::Bcrypt { BCRYPT_BYTES_MAX } else { PASSWORD_BYTES_MAX };
    if password.len() > max {
        return Err(HashError::TooLong(max));
    }
    match scheme {
        NewScheme::Bcrypt => {
            let parts = bcrypt::hash_with_result(password, BCRYPT_COST_NEW).map_err(|_| HashError::Failed)?;
            Ok(parts.format_for_version(bcrypt::Version::TwoY))
        }
        NewScheme::Sha512 => {
            let mut salt = [0; 12];
            getrandom::fill(&mut salt).map_err(|_| HashError::Failed)?;
            let params = sha_crypt::Params::new(SHA_CRYPT_ROUNDS_NEW).map_err(|_| HashError::Failed)?;
            let sha_crypt = ShaCrypt::new(sha_crypt::Algorithm::Sha512Crypt, params);
            let text = sha_crypt::PasswordHasher::hash_password_with_salt(&sha_crypt, password, &salt).map_err(|_| HashError::Failed)?;
            Ok(text.to_string())
        }
        NewScheme::Argon2id => {
            let (mut salt, mut digest) = ([0; 16], [0; 32]);
            getrandom::fill(&mut salt).map_err(|_| HashError::Failed)?;
            let (memory, passes) = (ARGON2_MEMORY_KIB_NEW, ARGON2_PASSES_NEW);
            let params = Params::new(memory, passes, 1, Some(digest.len())).map_err(|_| HashError::Failed)?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password_into(password, &salt, &mut digest).map_err(|_| HashError::Failed)?;
            let (salt, digest) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest));
            Ok(format!("$argon2id$v=19$m={memory},t={passes},p=1${salt}${digest}"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_new_hash_verifies_its_password_and_no_other() {
        for scheme in [NewScheme::Bcrypt, NewScheme::Sha512, NewScheme::Argon2id] {
            let text = hash("grüße".as_bytes(), scheme).unwrap();
            let parsed = Hash::parse(&text).unwrap();
            assert!(verify("grüße".as_bytes(), &parsed), "{scheme:?}");
            assert!(!verify(b"gruesse", &parsed), "{scheme:?}");
        }
    }

    #[test]
    fn passwords_that_a_scheme_cannot_hold_are_refused() {
        assert_eq!(hash(b"", NewScheme::Sha512), Err(HashError::Empty));
        assert_eq!(hash(&[b'a'; 73], NewScheme::Bcrypt), Err(HashError::TooLong(72)));
        assert_eq!(hash(&[b'a'; 1025], NewScheme::Sha512), Err(HashError::TooLong(1024)));
        assert_eq!(hash(b"a\tb", NewScheme::Argon2id), Err(HashError::Control));
    }

    /// Long and non-text passwords would be undefined behaviour or a panic in htpasswd-verify.
    #[test]
    fn apr1_takes_passwords_of_any_length_and_any_bytes() {
        for password in [&[0xfc; 8][..], &[b'a'; 64], &[b'a'; 65], &[b'a'; 200], &[0xfe; 1024]] {
            let text = format!("$apr1$abcdefgh${}", apr1::encode(password, b"abcdefgh"));
            assert!(verify(password, &Hash::parse(&text).unwrap()));
        }
    }

    #[test]
    fn a_nul_or_an_endless_password_never_fits() {
        let parsed = Hash::parse("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=").unwrap();
        assert!(verify(b"password", &parsed));
        assert!(!verify(b"password\0", &parsed));
        assert!(!verify(&vec![b'a'; PASSWORD_BYTES_MAX + 1], &parsed));
    }

    #[test]
    fn des_reads_seven_bits_of_eight_bytes_as_crypt_does() {
        let parsed = Hash::parse("bGVh02xkuGli2").unwrap();
        assert!(verify(b"password", &parsed));
        assert!(verify(b"password and more", &parsed));
        assert!(verify(&[b'p' | 0x80, b'a', b's', b's', b'w', b'o', b'r', b'd'], &parsed));
        assert!(!verify(b"passwor", &parsed));
    }
}
