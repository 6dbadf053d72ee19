//! What a certificate says of itself, for `cert status`, metrics and the checks at load.

use super::pem::PemFile;
use crate::diagnostic::Diagnostic;
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The facts of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// The file it stands in.
    pub path: PathBuf,
    /// Host names and IP addresses it is valid for, lower case.
    pub names: Vec<String>,
    /// Its subject, as `CN=a.example`.
    pub subject: String,
    /// Its issuer, as `C=..., O=..., CN=...`.
    pub issuer: String,
    /// Start of validity, seconds since the Unix epoch.
    pub not_before: i64,
    /// End of validity, seconds since the Unix epoch.
    pub not_after: i64,
    /// SHA-256 of the DER form, as `AB:CD:...`.
    pub fingerprint: String,
}

impl CertificateStatus {
    /// Whole days of validity left at `now` (seconds since the Unix epoch); negative after its end.
    pub fn days_left(&self, now: i64) -> i64 {
        (self.not_after - now).div_euclid(86_400)
    }
}

/// Reads the server certificate of a PEM file: the first that is not an authority's, else the first.
///
/// # Errors
/// A diagnostic that names the file.
pub fn certificate_status(path: &Path) -> Result<CertificateStatus, Diagnostic> {
    let file = PemFile::read(path)?;
    let mut first = None;
    for block in file.blocks.iter().filter(|b| b.is_certificate()) {
        let facts = Facts::read(&block.der)
            .map_err(|why| Diagnostic::at(path, &file.text, block.span.clone(), why, "copy the certificate anew"))?;
        let authority = facts.authority;
        let status = facts.into_status(path);
        if !authority {
            return Ok(status);
        }
        first.get_or_insert(status);
    }
    first.ok_or_else(|| no_certificate(path))
}

/// The diagnostic of a file without a certificate.
pub(super) fn no_certificate(path: &Path) -> Diagnostic {
    Diagnostic::file(path, "holds no certificate", "it must have a block that begins with -----BEGIN CERTIFICATE-----")
}

/// The public key's kind, as far as strength goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// RSA of so many bits.
    Rsa(usize),
    /// Anything else.
    Other,
}

/// A certificate taken apart.
pub(super) struct Facts {
    pub(super) names: Vec<String>,
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) subject_text: String,
    pub(super) issuer_text: String,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) spki: Vec<u8>,
    pub(super) key: KeyKind,
    pub(super) authority: bool,
    pub(super) sha1: bool,
    fingerprint: String,
}

impl Facts {
    /// Takes a DER certificate apart; the error is a sentence.
    pub(super) fn read(der: &[u8]) -> Result<Self, String> {
        let (rest, cert) = X509Certificate::from_der(der).map_err(|_| "this is not a valid certificate")?;
        if !rest.is_empty() {
            return Err("this certificate is followed by bytes that do not belong to it".into());
        }
        let key = match cert.public_key().parsed() {
            Ok(x509_parser::public_key::PublicKey::RSA(rsa)) => KeyKind::Rsa(rsa.key_size()),
            _ => KeyKind::Other,
        };
        let algorithm = cert.signature_algorithm.algorithm.to_id_string();
        let self_issued = cert.subject().as_raw() == cert.issuer().as_raw();
        Ok(Self {
            names: names(&cert),
            subject: cert.subject().as_raw().to_vec(),
            issuer: cert.issuer().as_raw().to_vec(),
            subject_text: cert.subject().to_string(),
            issuer_text: cert.issuer().to_string(),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            spki: cert.public_key().raw.to_vec(),
            key,
            authority: cert.is_ca(),
            // sha1WithRSAEncryption and ecdsa-with-SHA1; nobody checks the signature of a self-issued one.
            sha1: !self_issued && matches!(algorithm.as_str(), "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1"),
            fingerprint: fingerprint(der),
        })
    }

    fn into_status(self, path: &Path) -> CertificateStatus {
        CertificateStatus {
            path: path.to_owned(),
            names: self.names,
            subject: self.subject_text,
            issuer: self.issuer_text,
            not_before: self.not_before,
            not_after: self.not_after,
            fingerprint: self.fingerprint,
        }
    }
}

fn names(cert: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = cert.subject_alternative_name() else { return Vec::new() };
    let name = |general: &GeneralName<'_>| match general {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
        },
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn fingerprint(der: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(95);
    for (i, byte) in Sha256::digest(der).iter().enumerate() {
        let colon = if i == 0 { "" } else { ":" };
        let _ = write!(out, "{colon}{byte:02X}");
    }
    out
}

/// Seconds since the Unix epoch as a date, `2026-03-01`, in UTC.
pub fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "an unknown date".into(), |t| t.strftime("%Y-%m-%d").to_string())
}
