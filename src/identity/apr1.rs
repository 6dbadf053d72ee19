//! Apache's MD5 scheme `$apr1$` over bytes, for the passwords that htpasswd-verify cannot take.
//!
//! htpasswd-verify takes text only, and for passwords longer than one MD5 block it reads memory through a misaligned
//! pointer. Apache hashes whatever bytes arrive, so those passwords are hashed here.

use md5::{Digest, Md5};

/// The magic at the start of the scheme.
const MAGIC: &[u8] = b"$apr1$";
/// Rounds, fixed by the scheme.
const ROUNDS: u32 = 1000;
/// The order in which the digest's bytes are written out, three to a group of four characters.
const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];

/// The 22 characters after the salt, for a password and a salt of at most eight bytes (`apr_md5_encode`).
pub fn encode(password: &[u8], salt: &[u8]) -> String {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(MAGIC).chain_update(salt);
    for start in (0..password.len()).step_by(inner.len()) {
        outer.update(&inner[..inner.len().min(password.len() - start)]);
    }
    let mut bits = password.len();
    while bits != 0 {
        // The scheme's quirk: a NUL for each one bit of the length, else the password's first byte.
        outer.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..ROUNDS {
        let odd = round % 2 == 1;
        let mut hash = Md5::new();
        hash.update(if odd { password } else { &digest[..] });
        if round % 3 != 0 {
            hash.update(salt);
        }
        if round % 7 != 0 {
            hash.update(password);
        }
        hash.update(if odd { &digest[..] } else { password });
        digest = hash.finalize();
    }
    let mut out = String::with_capacity(22);
    for group in ORDER {
        let value = group.iter().fold(0, |value, &i| value << 8 | u32::from(digest[i]));
        push64(&mut out, value, 4);
    }
    push64(&mut out, u32::from(digest[11]), 2);
    out
}

/// `count` characters of crypt's alphabet, least significant first.
fn push64(out: &mut String, mut value: u32, count: usize) {
    for _ in 0..count {
        out.push(char::from(super::hash::CRYPT64[(value & 63) as usize]));
        value >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The two implementations agree wherever both can be asked.
        #[test]
        fn agrees_with_htpasswd_verify(password in "\\PC{0,16}", salt in "[./0-9A-Za-z]{1,8}") {
            prop_assert_eq!(encode(password.as_bytes(), salt.as_bytes()), htpasswd_verify::md5::md5_apr1_encode(&password, &salt));
        }
    }
}
