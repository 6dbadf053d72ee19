//! A site's certificate, chain and key from PEM files; every mistake in them is a diagnostic that names the file.

use super::pem::{Block, PemFile};
use super::status::{Facts, KeyKind, date, no_certificate};
use crate::diagnostic::Diagnostic;
use crate::limits::{CERTIFICATE_EXPIRY_WARNING, RSA_KEY_BITS_MIN};
use crate::policy::{CertificateFiles, SiteName};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use std::path::Path;
use std::sync::Arc;

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Chain and key, the server's certificate first.
    pub key: Arc<CertifiedKey>,
    /// Names and addresses the certificate is valid for, lower case.
    pub names: Vec<String>,
    /// End of validity, seconds since the Unix epoch.
    pub not_after: i64,
}

/// One certificate of a file, with where it stands.
struct Held<'a> {
    path: &'a Path,
    file: &'a PemFile,
    block: &'a Block,
    facts: Facts,
}

impl Held<'_> {
    fn says(&self, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.path, &self.file.text, self.block.span.clone(), message, help)
    }
}

/// Loads a site's certificate in Apache's three-file form, or from one file with certificate, chain and key in any order
/// (PKCS#8, PKCS#1 and SEC1 keys), and checks it against the site's `names` at `now` (seconds since the Unix epoch).
/// The certificate is `None` where at least one diagnostic is an error.
pub fn load(files: &CertificateFiles, names: &[SiteName], now: i64) -> (Option<Loaded>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let loaded = assemble(files, names, now, &mut found);
    let usable = !found.iter().any(Diagnostic::is_error);
    (loaded.filter(|_| usable), found)
}

fn assemble(files: &CertificateFiles, names: &[SiteName], now: i64, found: &mut Vec<Diagnostic>) -> Option<Loaded> {
    let paths = [Some(&files.certificate), files.key.as_ref(), files.chain.as_ref()];
    // All files are read before any is judged, so that every unreadable one is named.
    let mut read = paths.map(|path| path.map(|path| (path.as_path(), PemFile::read(path))));
    for slot in &mut read {
        if let Some((_, Err(diagnostic))) = slot {
            found.push(diagnostic.clone());
        }
    }
    let file = |slot: &'_ Option<(&'_ Path, Result<PemFile, Diagnostic>)>| slot.as_ref().is_some_and(|(_, r)| r.is_ok());
    let [certificate, key, chain] = &read;
    let mut held = Vec::new();
    let mut complete = true;
    for slot in [certificate, chain] {
        let Some((path, Ok(file))) = slot else { continue };
        let before = held.len();
        complete &= certificates(path, file, &mut held, found);
        if held.len() == before && complete {
            found.push(no_certificate(path));
        }
    }
    let key_slot = if key.is_some() { key } else { certificate };
    let signing = match key_slot {
        Some((path, Ok(file))) => private_key(path, file, key.is_some(), found),
        _ => None,
    };
    if !complete || !file(certificate) || held.is_empty() {
        return None;
    }
    let key_path = key_slot.as_ref().map(|(path, _)| *path)?;
    let leaf = signing.as_ref().and_then(|signing| find_leaf(&held, &**signing, key_path, found));
    let (Some(signing), Some(leaf)) = (signing, leaf) else {
        // What is wrong with the certificate itself is said in the same run.
        judge_leaf(held.iter().find(|h| !h.facts.authority).unwrap_or(&held[0]), names, now, found);
        return None;
    };
    judge_leaf(&held[leaf], names, now, found);
    let order = order_chain(&held, leaf, found);
    for &i in &order[1..] {
        judge_authority(&held[i], now, found);
    }
    let chain = order.iter().map(|&i| CertificateDer::from(held[i].block.der.clone())).collect();
    let facts = &held[leaf].facts;
    let key = Arc::new(CertifiedKey::new(chain, signing));
    Some(Loaded { key, names: facts.names.clone(), not_after: facts.not_after })
}

/// Takes the certificates of a file apart; false where one of them does not parse.
fn certificates<'a>(path: &'a Path, file: &'a PemFile, held: &mut Vec<Held<'a>>, found: &mut Vec<Diagnostic>) -> bool {
    let mut complete = true;
    for block in file.blocks.iter().filter(|b| b.is_certificate()) {
        match Facts::read(&block.der) {
            // Apache's chain file may repeat the certificate.
            Ok(_) if held.iter().any(|h| h.block.der == block.der) => {}
            Ok(facts) => held.push(Held { path, file, block, facts }),
            Err(why) => {
                found.push(Diagnostic::at(path, &file.text, block.span.clone(), why, "copy the certificate anew"));
                complete = false;
            }
        }
    }
    complete
}

/// The one private key of a file; `apart` says that the file is named by `key`.
fn private_key(path: &Path, file: &PemFile, apart: bool, found: &mut Vec<Diagnostic>) -> Option<Arc<dyn SigningKey>> {
    let mut keys = file.blocks.iter().filter(|b| b.is_key());
    let Some(block) = keys.next() else {
        let help = if apart {
            "name the file with the -----BEGIN PRIVATE KEY----- block"
        } else {
            "add key = \"...\", or append the key to this file"
        };
        found.push(Diagnostic::file(path, "holds no private key", help));
        return None;
    };
    if let Some(second) = keys.next() {
        let help = "leave only the key of this site's certificate";
        found.push(Diagnostic::at(path, &file.text, second.span.clone(), "holds more than one private key", help));
        return None;
    }
    warn_if_public(path, found);
    let says = |message: String, help: String| Diagnostic::at(path, &file.text, block.span.clone(), message, help);
    if block.encrypted {
        let help = format!("decrypt it: openssl pkey -in {0} -out {0}.plain; then chmod 0600", path.display());
        found.push(says("the private key is encrypted with a passphrase, which nobody could type at a start".into(), help));
        return None;
    }
    let der = match block.label.as_str() {
        "PRIVATE KEY" => PrivateKeyDer::from(PrivatePkcs8KeyDer::from(block.der.clone())),
        "RSA PRIVATE KEY" => PrivateKeyDer::from(PrivatePkcs1KeyDer::from(block.der.clone())),
        "EC PRIVATE KEY" => PrivateKeyDer::from(PrivateSec1KeyDer::from(block.der.clone())),
        other => {
            found.push(says(
                format!("a key of the kind {other} cannot be used"),
                "use RSA of 2048 bits or more, P-256, P-384 or Ed25519".into(),
            ));
            return None;
        }
    };
    match super::provider().key_provider.load_private_key(der) {
        Ok(key) => Some(key),
        Err(_) => {
            let help = format!("use RSA of {RSA_KEY_BITS_MIN} bits or more, P-256, P-384 or Ed25519, and copy the key whole");
            found.push(says("this private key cannot be used: it is damaged, weak, or of a kind that TLS does not know".into(), help));
            None
        }
    }
}

#[cfg(unix)]
fn warn_if_public(path: &Path, found: &mut Vec<Diagnostic>) {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o004 != 0) {
        let help = format!("chmod 0600 {}", path.display());
        found.push(Diagnostic::file(path, "holds a private key and can be read by everybody on this machine", help).warning());
    }
}

#[cfg(not(unix))]
fn warn_if_public(_: &Path, _: &mut Vec<Diagnostic>) {}

/// The certificate whose public key is the key's.
fn find_leaf(held: &[Held<'_>], key: &dyn SigningKey, key_path: &Path, found: &mut Vec<Diagnostic>) -> Option<usize> {
    let Some(spki) = key.public_key() else { return Some(0) };
    let leaf = held.iter().position(|h| h.facts.spki == spki.as_ref());
    if leaf.is_none() {
        let first = &held[0];
        let message = match first.path == key_path {
            true => "the private key of this file does not belong to its certificate".to_owned(),
            false => format!("this certificate does not belong to the private key in {}", key_path.display()),
        };
        found.push(first.says(message, "compare: openssl x509 -pubkey -noout -in CERTIFICATE and openssl pkey -pubout -in KEY"));
    }
    leaf
}

fn judge_leaf(leaf: &Held<'_>, names: &[SiteName], now: i64, found: &mut Vec<Diagnostic>) {
    let facts = &leaf.facts;
    if now >= facts.not_after {
        found.push(leaf.says(format!("this certificate expired on {}", date(facts.not_after)), "renew it"));
    } else if now < facts.not_before {
        let help = "check the clock of this machine, or use the certificate that is valid now";
        found.push(leaf.says(format!("this certificate is not valid before {}", date(facts.not_before)), help));
    } else if facts.not_after - now < i64::try_from(CERTIFICATE_EXPIRY_WARNING.as_secs()).unwrap_or(i64::MAX) {
        let days = (facts.not_after - now) / 86_400;
        found.push(leaf.says(format!("this certificate expires on {}, in {days} days", date(facts.not_after)), "renew it").warning());
    }
    judge_strength(leaf, found);
    if names.is_empty() {
        // A client's own certificate: who it is stands where the server looks for it.
        return;
    }
    if facts.names.is_empty() {
        let help = "browsers ignore the common name: issue a certificate with subjectAltName";
        found.push(leaf.says("this certificate has no subject alternative name", help).warning());
        return;
    }
    let missing: Vec<String> = names.iter().filter_map(|name| uncovered(name, &facts.names)).collect();
    if !missing.is_empty() {
        let word = if missing.len() == 1 { "name" } else { "names" };
        let message = format!("this certificate does not cover the site's {word} {}", missing.join(", "));
        found.push(leaf.says(message, format!("it covers {}", facts.names.join(", "))).warning());
    }
}

fn judge_strength(held: &Held<'_>, found: &mut Vec<Diagnostic>) {
    if let KeyKind::Rsa(bits) = held.facts.key
        && bits < RSA_KEY_BITS_MIN
    {
        let help = format!("use RSA of {RSA_KEY_BITS_MIN} bits or more, or P-256");
        found.push(held.says(format!("this certificate's RSA key has {bits} bits, which is too weak"), help));
    }
    if held.facts.sha1 {
        found.push(held.says("this certificate is signed with SHA-1, which browsers refuse", "have it issued anew with SHA-256").warning());
    }
}

/// An authority's certificate breaks only the clients that need it: warnings.
fn judge_authority(held: &Held<'_>, now: i64, found: &mut Vec<Diagnostic>) {
    if now >= held.facts.not_after {
        let message = format!("this authority's certificate expired on {}", date(held.facts.not_after));
        found.push(held.says(message, "get the present chain from the authority").warning());
    }
    if held.facts.sha1 {
        found.push(held.says("this authority's certificate is signed with SHA-1", "get the present chain from the authority").warning());
    }
}

/// The name in words where no name of the certificate covers it.
fn uncovered(name: &SiteName, certified: &[String]) -> Option<String> {
    match name {
        SiteName::Any => None,
        SiteName::Exact(host) => {
            let parent = host.split_once('.').map(|(_, parent)| parent);
            let covers = |c: &String| c == host || c.strip_prefix("*.").is_some_and(|suffix| Some(suffix) == parent);
            (!certified.iter().any(covers)).then(|| host.clone())
        }
        SiteName::Wildcard(suffix) => {
            let covers = |c: &String| c.strip_prefix("*.") == Some(suffix.as_str());
            (!certified.iter().any(covers)).then(|| format!("*.{suffix}"))
        }
    }
}

/// The chain from the server's certificate upwards; what does not link is left out with a warning.
fn order_chain(held: &[Held<'_>], leaf: usize, found: &mut Vec<Diagnostic>) -> Vec<usize> {
    let mut order = vec![leaf];
    let mut last = leaf;
    while held[last].facts.issuer != held[last].facts.subject {
        let next = (0..held.len()).find(|i| !order.contains(i) && held[*i].facts.subject == held[last].facts.issuer);
        let Some(next) = next else { break };
        order.push(next);
        last = next;
    }
    for (i, stray) in held.iter().enumerate().filter(|(i, _)| !order.contains(i)) {
        // A second server certificate is likelier than a stray authority; either way clients could not use it.
        let what = if i == 0 { "does not belong to the private key" } else { "is no part of the certificate's chain" };
        let help = format!("its subject is {}", stray.facts.subject_text);
        found.push(stray.says(format!("this certificate {what} and is not sent"), help).warning());
    }
    if !order.is_sorted() {
        let at = order.windows(2).find(|w| w[0] > w[1]).map_or(leaf, |w| w[1]);
        let message = "the chain is out of order; it is sent in the right order";
        found.push(held[at].says(message, "put the server's certificate first, then each one's issuer").warning());
    }
    order
}
