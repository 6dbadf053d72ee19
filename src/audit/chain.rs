//! The hash chain: every line names the hash of the line before it and its own, and some lines are signed.
//!
//! A line ends with `,"chain":{"previous":"P","hash":"H"}}`, or, signed, with
//! `,"chain":{"previous":"P","key":"K","signature":"S","hash":"H"}}`. H is the SHA-256 of the line's bytes before `,"hash":`; S is the
//! Ed25519 signature over [`SIGNED_PREFIX`] and the line's bytes before `,"signature":`. All are lower-case hexadecimal. The
//! first line of a trail names [`GENESIS`] as the line before.

use super::key::{KEY_ID_BYTES, SigningKey, VerifyingKey};
use aws_lc_rs::digest::{SHA256, digest};

/// The line before the first.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Said before what is signed, so that a signature of ours means nothing elsewhere.
pub const SIGNED_PREFIX: &[u8] = b"portcullis audit record 1\n";
/// Hexadecimal digits of a hash.
pub const HASH_DIGITS: usize = 64;

/// A hash as it stands in a line.
pub type Hash = [u8; HASH_DIGITS];

const CHAIN: &[u8] = b",\"chain\":{\"previous\":\"";
const KEY: &[u8] = b",\"key\":\"";
const SIGNATURE: &[u8] = b",\"signature\":\"";
const HASH: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}}";
const SIGNATURE_DIGITS: usize = 128;

/// The hash of the first line's predecessor.
pub fn genesis() -> Hash {
    [b'0'; HASH_DIGITS]
}

/// The end of the chain, to which lines are added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    /// The hash of the last line.
    pub(crate) head: Hash,
}

impl Chain {
    /// Ends the line that begins at `start` of `out` and has everything but its chain and its line end.
    pub(crate) fn seal(&mut self, start: usize, signer: Option<&SigningKey>, out: &mut Vec<u8>) {
        out.extend_from_slice(CHAIN);
        out.extend_from_slice(&self.head);
        out.push(b'"');
        if let Some(signer) = signer {
            out.extend_from_slice(KEY);
            out.extend_from_slice(signer.id().as_bytes());
            out.push(b'"');
            let signature = signer.sign(&[SIGNED_PREFIX, &out[start..]].concat());
            out.extend_from_slice(SIGNATURE);
            push_hex(out, &signature);
            out.push(b'"');
        }
        let hash = digest(&SHA256, &out[start..]);
        out.extend_from_slice(HASH);
        let at = out.len();
        push_hex(out, hash.as_ref());
        self.head.copy_from_slice(&out[at..]);
        out.extend_from_slice(END);
        out.push(b'\n');
    }
}

/// A line taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a> {
    /// The hash of the line before, as the line has it.
    pub previous: &'a [u8],
    /// The hash of the line itself, as the line has it.
    pub hash: &'a [u8],
    /// Key and signature, where it is signed.
    pub signed: Option<(&'a [u8], &'a [u8])>,
    hashed: &'a [u8],
}

impl<'a> Links<'a> {
    /// The chain's part of a line without its line end; `None` where it has none.
    pub fn of(line: &'a [u8]) -> Option<Self> {
        let (hashed, hash) = field(line.strip_suffix(END)?, HASH, HASH_DIGITS)?;
        let rest = hashed.strip_suffix(b"\"")?;
        let (rest, signed) = match field(rest, SIGNATURE, SIGNATURE_DIGITS) {
            Some((rest, signature)) => {
                let (rest, key) = field(rest.strip_suffix(b"\"")?, KEY, 2 * KEY_ID_BYTES)?;
                (rest.strip_suffix(b"\"")?, Some((key, signature)))
            }
            None => (rest, None),
        };
        let (_, previous) = field(rest, CHAIN, HASH_DIGITS)?;
        Some(Self { previous, hash, signed, hashed })
    }

    /// Whether the hash is that of the line.
    pub fn hash_is_right(&self) -> bool {
        let mut right = Vec::with_capacity(HASH_DIGITS);
        push_hex(&mut right, digest(&SHA256, self.hashed).as_ref());
        right == self.hash
    }

    /// Whether the signature is that of `key` over the line.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        let Some((id, signature)) = self.signed else { return false };
        let Some(bytes) = unhex(signature) else { return false };
        let before = self.hashed.len() - SIGNATURE.len() - SIGNATURE_DIGITS - 1;
        id == key.id().as_bytes() && key.verify(&[SIGNED_PREFIX, &self.hashed[..before]].concat(), &bytes)
    }
}

/// `name` and so many hexadecimal digits at the end of `text`: what stands before, and the digits.
fn field<'a>(text: &'a [u8], name: &[u8], digits: usize) -> Option<(&'a [u8], &'a [u8])> {
    let (before, value) = text.split_at_checked(text.len().checked_sub(digits)?)?;
    let plain = value.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
    plain.then_some((before.strip_suffix(name)?, value))
}

/// Appends bytes as lower-case hexadecimal digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    digits.chunks(2).map(|pair| Some(value(*pair.first()?)? << 4 | value(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn sealed(body: &str, chain: &mut Chain, key: Option<&SigningKey>) -> Vec<u8> {
        let mut out = body.as_bytes().to_vec();
        chain.seal(0, key, &mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        out
    }

    #[test]
    fn a_line_proves_itself_and_the_line_before() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::open_or_make(&folder.path().join("key.pem")).unwrap();
        let mut chain = Chain { head: genesis() };
        let first = sealed("{\"a\":1", &mut chain, None);
        let second = sealed("{\"a\":2", &mut chain, Some(&key));
        let (one, two) = (Links::of(&first).unwrap(), Links::of(&second).unwrap());
        assert_eq!(one.previous, GENESIS.as_bytes());
        assert_eq!(two.previous, one.hash);
        assert!(one.hash_is_right() && two.hash_is_right() && two.is_signed_by(&key.verifying_key()));
        assert!(one.signed.is_none() && !one.is_signed_by(&key.verifying_key()));
        let other = SigningKey::open_or_make(&folder.path().join("other.pem")).unwrap();
        assert!(!two.is_signed_by(&other.verifying_key()));
        serde_json::from_slice::<serde_json::Value>(&second).unwrap();
    }

    #[test]
    fn the_hash_is_what_the_description_says() {
        let mut chain = Chain { head: genesis() };
        let line = sealed("{", &mut chain, None);
        let text = String::from_utf8(line).unwrap();
        let before = text.split(",\"hash\":").next().unwrap();
        let mut hex = Vec::new();
        push_hex(&mut hex, digest(&SHA256, before.as_bytes()).as_ref());
        assert!(text.ends_with(&format!(",\"hash\":\"{}\"}}}}", String::from_utf8(hex).unwrap())));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::open_or_make(&folder.path().join("key.pem")).unwrap();
        let line = sealed("{\"a\":1", &mut Chain { head: genesis() }, Some(&key));
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut changed = line.clone();
                changed[at] ^= 1 << bit;
                assert!(!Links::of(&changed).is_some_and(|links| links.hash_is_right()), "byte {at}, bit {bit}");
            }
        }
    }
}
