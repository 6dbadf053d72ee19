//! Self-signed certificates for trials and tests.

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
use std::time::{Duration, SystemTime};

/// Why no certificate was made.
#[derive(Debug)]
pub enum SelfSignedError {
    /// Not one name was given.
    NoName,
    /// A name is neither a host name nor an IP address, or the key could not be made; in words.
    Failed(String),
}

impl std::fmt::Display for SelfSignedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoName => f.write_str("a certificate needs at least one name"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for SelfSignedError {}

/// A certificate for `names` (host names, `*.` wildcards or IP addresses; the first becomes the common name), valid from
/// an hour ago for `days` days, with a new P-256 key: certificate and key as PEM.
///
/// # Errors
/// No name, or one that cannot stand in a certificate.
pub fn self_signed(names: &[String], days: u32) -> Result<(String, String), SelfSignedError> {
    let failed = |e: rcgen::Error| SelfSignedError::Failed(format!("the certificate cannot be made: {e}"));
    let first = names.first().ok_or(SelfSignedError::NoName)?;
    for name in names {
        let host = name.strip_prefix("*.").unwrap_or(name);
        let plain = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
        if !plain {
            return Err(SelfSignedError::Failed(format!("{name:?} is neither a host name nor an IP address")));
        }
    }
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, first.as_str());
    // Clocks differ: a certificate made here must be valid on the machine next door at once.
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + Duration::from_secs(u64::from(days) * 86_400)).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
