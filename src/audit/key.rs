//! The trail's Ed25519 keys: the one that signs, kept outside the trail's folder, and the one that anybody may check with.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Bytes of a key's name: the beginning of the SHA-256 of the public key.
pub(crate) const KEY_ID_BYTES: usize = 8;
/// Bytes of a key file; a larger file is something else.
const KEY_FILE_BYTES_MAX: u64 = 16 * 1024;
const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// What precedes the 32 bytes of an Ed25519 key in SubjectPublicKeyInfo (RFC 8410 section 4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The private key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    id: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads the PKCS#8 PEM file; where there is none, makes a key and writes it with mode 0600, and its public half beside it
    /// with the ending `.pub.pem`.
    ///
    /// # Errors
    /// The file cannot be read or written, others may read it, or it holds no Ed25519 key.
    pub fn open_or_make(path: &Path) -> io::Result<Self> {
        match read(path) {
            Ok(text) => {
                if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
                    return Err(invalid(path, "others can read this signing key; give it mode 0600"));
                }
                let der = pem(&text, PRIVATE).ok_or_else(|| invalid(path, "this is no PKCS#8 private key in PEM"))?;
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| invalid(path, "this is no Ed25519 key"))?;
                Ok(Self::new(pair))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(named(path, &error)),
        }
    }

    fn make(path: &Path) -> io::Result<Self> {
        let failed = |_| invalid(path, "the system gives no randomness for a signing key");
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).map_err(failed)?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| invalid(path, "a signing key cannot be made"))?;
        let key = Self::new(pair);
        write(path, 0o600, &to_pem(document.as_ref(), PRIVATE)).map_err(|error| named(path, &error))?;
        let public = path.with_extension("pub.pem");
        write(&public, 0o644, &key.verifying_key().to_pem()).map_err(|error| named(&public, &error))?;
        Ok(key)
    }

    fn new(pair: Ed25519KeyPair) -> Self {
        let id = id_of(pair.public_key().as_ref());
        Self { pair, id }
    }

    /// The key's name in records.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { bytes: self.pair.public_key().as_ref().to_vec(), id: self.id.clone() }
    }
}

/// The public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    bytes: Vec<u8>,
    id: String,
}

impl VerifyingKey {
    /// Reads a PEM file with a public key, or with a private one.
    ///
    /// # Errors
    /// The file cannot be read, or holds no Ed25519 key.
    pub fn open(path: &Path) -> io::Result<Self> {
        let text = read(path).map_err(|error| named(path, &error))?;
        if let Some(der) = pem(&text, PUBLIC) {
            let bytes = der.strip_prefix(&SPKI_HEAD).filter(|key| key.len() == 32);
            return bytes
                .map(|bytes| Self { bytes: bytes.to_vec(), id: id_of(bytes) })
                .ok_or_else(|| invalid(path, "this is no Ed25519 key"));
        }
        let der = pem(&text, PRIVATE).ok_or_else(|| invalid(path, "this is no public key in PEM"))?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| invalid(path, "this is no Ed25519 key"))?;
        Ok(SigningKey::new(pair).verifying_key())
    }

    /// The key's name in records.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature).is_ok()
    }

    /// The key as openssl reads it.
    pub fn to_pem(&self) -> String {
        to_pem(&[&SPKI_HEAD[..], &self.bytes].concat(), PUBLIC)
    }
}

fn id_of(public: &[u8]) -> String {
    let mut out = Vec::with_capacity(2 * KEY_ID_BYTES);
    super::chain::push_hex(&mut out, digest(&SHA256, public).as_ref().get(..KEY_ID_BYTES).unwrap_or_default());
    String::from_utf8_lossy(&out).into_owned()
}

fn read(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    fs::File::open(path)?.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file whole or not at all, readable as `mode` says from the beginning.
fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&aside)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let body = text.split_once(&begin)?.1.split_once(&end)?.0;
    let digits: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(digits).ok()
}

fn to_pem(der: &[u8], label: &str) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).filter_map(|at| text.get(at..text.len().min(at + 64))).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn invalid(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing-key.pem");
        let made = SigningKey::open_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = SigningKey::open_or_make(&path).unwrap();
        let public = VerifyingKey::open(&folder.path().join("signing-key.pub.pem")).unwrap();
        assert_eq!((read.id(), &public), (made.id(), &made.verifying_key()));
        assert_eq!(VerifyingKey::open(&path).unwrap(), public);
        let signature = made.sign(b"text");
        assert!(public.verify(b"text", &signature) && !public.verify(b"texT", &signature));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(SigningKey::open_or_make(&path).unwrap_err().to_string().contains("mode 0600"));
    }

    #[test]
    fn what_is_no_key_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        for text in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            write(&path, 0o600, text).unwrap();
            assert!(SigningKey::open_or_make(&path).is_err() && VerifyingKey::open(&path).is_err(), "{text}");
        }
    }
}
