//! A password hash as a users file holds it, parsed strictly ahead of its use.

use crate::limits::{
    ARGON2_LANES_MAX, ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX, BCRYPT_COST_MAX, BCRYPT_COST_MIN, SHA_CRYPT_ROUNDS_MAX,
    SHA_CRYPT_ROUNDS_MIN,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use std::fmt;
use std::str::FromStr;

/// The alphabet of crypt(3), in the order of its values.
pub(crate) const CRYPT64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Rounds of `$5$` and `$6$` where none are written.
const SHA_CRYPT_ROUNDS_DEFAULT: u32 = 5000;

/// The schemes a users file may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `$2y$`, `$2a$`, `$2b$`.
    Bcrypt,
    /// `$apr1$`, Apache's MD5.
    Apr1,
    /// `{SHA}`, unsalted SHA-1.
    Sha1,
    /// `$5$`, SHA-256-crypt.
    Sha256Crypt,
    /// `$6$`, SHA-512-crypt.
    Sha512Crypt,
    /// `$argon2id$`.
    Argon2id,
    /// The traditional 13 characters; eight characters of password count.
    Des,
}

impl Scheme {
    /// Its name in lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bcrypt => "bcrypt",
            Self::Apr1 => "apr1",
            Self::Sha1 => "sha1",
            Self::Sha256Crypt => "sha256-crypt",
            Self::Sha512Crypt => "sha512-crypt",
            Self::Argon2id => "argon2id",
            Self::Des => "des-crypt",
        }
    }
}

/// One parsed hash. A secret: its `Debug` names the scheme alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash(pub(super) Kind);

/// The parts that verification needs.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Bcrypt { cost: u32, text: Box<str> },
    Apr1 { salt: Box<str>, digest: Box<str> },
    Sha1([u8; 20]),
    ShaCrypt { wide: bool, rounds: u32, text: Box<str> },
    Argon2id { params: argon2::Params, salt: Box<[u8]>, digest: Box<[u8]> },
    Des { text: Box<str> },
}

/// Why a text is not a usable hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadHash {
    /// Nothing after the colon.
    Empty,
    /// A scheme that is never accepted, by its marker.
    UnknownScheme(&'static str),
    /// No scheme's marker and not DES: a password in clear, or nonsense.
    PlainText,
    /// The scheme is known, what follows its marker is not what it must be.
    Malformed(Scheme, &'static str),
    /// A parameter that would cost too much, or too little, to verify.
    OutOfBounds(Scheme, &'static str, u32, u32),
}

impl fmt::Display for BadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the password hash is missing"),
            Self::UnknownScheme(marker) => write!(f, "hashes of the scheme {marker} are not accepted"),
            Self::PlainText => f.write_str("this is no password hash of a known scheme; plain text is never accepted"),
            Self::Malformed(scheme, what) => write!(f, "a malformed {} hash: {what}", scheme.name()),
            Self::OutOfBounds(scheme, what, low, high) => {
                write!(f, "the {what} of this {} hash must lie between {low} and {high}", scheme.name())
            }
        }
    }
}

impl Hash {
    /// Parses one hash, DES included: whether DES is allowed is the file parser's question.
    ///
    /// # Errors
    /// What is wrong with it; never its text.
    pub fn parse(text: &str) -> Result<Self, BadHash> {
        let kind = if text.is_empty() {
            return Err(BadHash::Empty);
        } else if ["$2y$", "$2a$", "$2b$"].iter().any(|m| text.starts_with(m)) {
            bcrypt_hash(text)?
        } else if let Some(rest) = text.strip_prefix("$apr1$") {
            apr1_hash(rest)?
        } else if let Some(rest) = text.strip_prefix("{SHA}") {
            sha1_hash(rest)?
        } else if let Some(rest) = text.strip_prefix("$5$") {
            sha_crypt_hash(text, rest, false)?
        } else if let Some(rest) = text.strip_prefix("$6$") {
            sha_crypt_hash(text, rest, true)?
        } else if let Some(rest) = text.strip_prefix("$argon2id$") {
            argon2id_hash(rest)?
        } else if text.len() == 13 && text.bytes().all(is_crypt64) {
            Kind::Des { text: text.into() }
        } else {
            return Err(unknown(text));
        };
        Ok(Self(kind))
    }

    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        match &self.0 {
            Kind::Bcrypt { .. } => Scheme::Bcrypt,
            Kind::Apr1 { .. } => Scheme::Apr1,
            Kind::Sha1(_) => Scheme::Sha1,
            Kind::ShaCrypt { wide: false, .. } => Scheme::Sha256Crypt,
            Kind::ShaCrypt { wide: true, .. } => Scheme::Sha512Crypt,
            Kind::Argon2id { .. } => Scheme::Argon2id,
            Kind::Des { .. } => Scheme::Des,
        }
    }

    /// About how long a verification takes, in microseconds of a common server core: for comparing hashes with each other.
    pub fn cost_micros(&self) -> u64 {
        match &self.0 {
            Kind::Bcrypt { cost, .. } => 50 << cost,
            Kind::Apr1 { .. } => 400,
            Kind::Sha1(_) => 1,
            Kind::ShaCrypt { rounds, .. } => u64::from(*rounds),
            Kind::Argon2id { params, .. } => u64::from(params.m_cost()) * u64::from(params.t_cost()),
            Kind::Des { .. } => 100,
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({})", self.scheme().name())
    }
}

fn is_crypt64(byte: u8) -> bool {
    CRYPT64.contains(&byte)
}

/// Whether the last character carries no bits beyond the digest's: a hash function never writes any others.
fn last_fits(text: &str, below: usize) -> bool {
    text.bytes().last().and_then(|b| CRYPT64.iter().position(|&c| c == b)).is_some_and(|value| value < below)
}

fn bcrypt_hash(text: &str) -> Result<Kind, BadHash> {
    let bad = |what| BadHash::Malformed(Scheme::Bcrypt, what);
    if text.len() != 60 {
        return Err(bad("it must be 60 characters long"));
    }
    let digits = text.get(4..6).filter(|d| d.bytes().all(|b| b.is_ascii_digit())).ok_or(bad("its cost is not two digits"))?;
    let cost = digits.parse().map_err(|_| bad("its cost is not two digits"))?;
    if !(BCRYPT_COST_MIN..=BCRYPT_COST_MAX).contains(&cost) {
        return Err(BadHash::OutOfBounds(Scheme::Bcrypt, "cost", BCRYPT_COST_MIN, BCRYPT_COST_MAX));
    }
    bcrypt::HashParts::from_str(text).map_err(|_| bad("its salt or digest is not bcrypt's base 64"))?;
    Ok(Kind::Bcrypt { cost, text: text.into() })
}

fn apr1_hash(rest: &str) -> Result<Kind, BadHash> {
    let bad = |what| BadHash::Malformed(Scheme::Apr1, what);
    let (salt, digest) = rest.split_once('$').ok_or(bad("it ends within its salt"))?;
    if salt.is_empty() || salt.len() > 8 || !salt.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(bad("its salt must be 1 to 8 characters"));
    }
    if digest.len() != 22 || !digest.bytes().all(is_crypt64) || !last_fits(digest, 4) {
        return Err(bad("its digest must be 22 characters of crypt's base 64"));
    }
    Ok(Kind::Apr1 { salt: salt.into(), digest: digest.into() })
}

fn sha1_hash(rest: &str) -> Result<Kind, BadHash> {
    let digest = STANDARD.decode(rest).ok().and_then(|bytes| bytes.try_into().ok());
    digest.map(Kind::Sha1).ok_or(BadHash::Malformed(Scheme::Sha1, "it must be 20 bytes in base 64, 28 characters"))
}

fn sha_crypt_hash(text: &str, rest: &str, wide: bool) -> Result<Kind, BadHash> {
    let scheme = if wide { Scheme::Sha512Crypt } else { Scheme::Sha256Crypt };
    let bad = |what| BadHash::Malformed(scheme, what);
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        None => (SHA_CRYPT_ROUNDS_DEFAULT, rest),
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$').ok_or(bad("it ends within its rounds"))?;
            if rounds.is_empty() || rounds.starts_with('0') || !rounds.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad("its rounds are not a number"));
            }
            let rounds = rounds.parse().ok().filter(|r| (SHA_CRYPT_ROUNDS_MIN..=SHA_CRYPT_ROUNDS_MAX).contains(r));
            (rounds.ok_or(BadHash::OutOfBounds(scheme, "rounds", SHA_CRYPT_ROUNDS_MIN, SHA_CRYPT_ROUNDS_MAX))?, rest)
        }
    };
    let (salt, digest) = rest.split_once('$').ok_or(bad("it ends within its salt"))?;
    if salt.is_empty() || salt.len() > 16 || !salt.bytes().all(is_crypt64) {
        return Err(bad("its salt must be 1 to 16 characters of crypt's base 64"));
    }
    let (length, below) = if wide { (86, 4) } else { (43, 16) };
    if digest.len() != length || !digest.bytes().all(is_crypt64) || !last_fits(digest, below) {
        return Err(bad(if wide { "its digest must be 86 characters" } else { "its digest must be 43 characters" }));
    }
    Ok(Kind::ShaCrypt { wide, rounds, text: text.into() })
}

fn argon2id_hash(rest: &str) -> Result<Kind, BadHash> {
    let bad = |what| BadHash::Malformed(Scheme::Argon2id, what);
    let mut fields = rest.split('$');
    let mut next = || fields.next().unwrap_or_default();
    let (version, params, salt, digest) = (next(), next(), next(), next());
    if fields.next().is_some() {
        return Err(bad("it has too many parts"));
    }
    if version != "v=19" {
        return Err(bad("its version must be v=19"));
    }
    let mut params = params.split(',');
    let mut number = |name: &str| {
        let value = params.next()?.strip_prefix(name)?.strip_prefix('=')?;
        value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse::<u32>().unwrap_or(u32::MAX))
    };
    let (Some(memory), Some(passes), Some(lanes)) = (number("m"), number("t"), number("p")) else {
        return Err(bad("its parameters must be m=...,t=...,p=..."));
    };
    if params.next().is_some() {
        return Err(bad("its parameters must be m=...,t=...,p=..."));
    }
    let bounds = [
        ("lanes (p)", lanes, 1, ARGON2_LANES_MAX),
        ("passes (t)", passes, 1, ARGON2_PASSES_MAX),
        ("memory (m, KiB)", memory, 8 * lanes.min(ARGON2_LANES_MAX), ARGON2_MEMORY_KIB_MAX),
    ];
    for (what, value, low, high) in bounds {
        if !(low..=high).contains(&value) {
            return Err(BadHash::OutOfBounds(Scheme::Argon2id, what, low, high));
        }
    }
    let decoded = |text: &str, low, high| {
        STANDARD_NO_PAD.decode(text).ok().filter(|bytes: &Vec<u8>| (low..=high).contains(&bytes.len())).map(Vec::into_boxed_slice)
    };
    let salt = decoded(salt, 8, 48).ok_or(bad("its salt must be 8 to 48 bytes in base 64 without padding"))?;
    let digest = decoded(digest, 12, 64).ok_or(bad("its digest must be 12 to 64 bytes in base 64 without padding"))?;
    let params = argon2::Params::new(memory, passes, lanes, Some(digest.len())).map_err(|_| bad("its parameters do not fit together"))?;
    Ok(Kind::Argon2id { params, salt, digest })
}

/// Names a marker we know but do not accept; the marker only, never what follows it.
fn unknown(text: &str) -> BadHash {
    const MARKERS: [&str; 16] = [
        "$2x$",
        "$2$",
        "$1$",
        "$3$",
        "$7$",
        "$y$",
        "$gy$",
        "$md5",
        "$argon2i$",
        "$argon2d$",
        "$scrypt$",
        "$pbkdf2",
        "{SSHA",
        "{MD5}",
        "{CRYPT}",
        "{PLAIN}",
    ];
    MARKERS.iter().find(|m| text.starts_with(*m)).map_or(BadHash::PlainText, |m| BadHash::UnknownScheme(m))
}
