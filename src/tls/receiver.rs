//! TLS towards the receivers of the audit trail's records: always verified, with a certificate of our own where one is asked for.

use super::client::{Connector, roots};
use super::load::load;
use crate::diagnostic::Diagnostic;
use crate::limits::BACKEND_TLS_SESSIONS_MAX;
use crate::policy::ship::ShipTls;
use rustls::client::{ClientConfig, Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use std::path::Path;
use std::sync::Arc;

/// A client that trusts as `tls` says and speaks `protocols` (by ALPN; none for what is no HTTP). `policy` is the file that names the
/// receiver, for diagnostics; `now` is in seconds since the Unix epoch. What is odd but usable is told beside it.
///
/// # Errors
/// The mistakes in the authorities' file, in our own certificate, in the name.
pub fn connector(tls: &ShipTls, protocols: &[&str], policy: &Path, now: i64) -> Result<(Connector, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut found = Vec::new();
    let roots = roots(tls.ca.as_deref(), policy).map_err(|mistake| found.push(mistake)).ok();
    let identity = tls.identity.as_ref().map(|files| {
        let (loaded, mistakes) = load(files, &[], now);
        found.extend(mistakes);
        loaded
    });
    let name = ServerName::try_from(tls.name.clone()).map_err(|_| {
        let message = format!("{:?} cannot be the name in a receiver's certificate", tls.name);
        found.push(Diagnostic::file(policy, message, "set tls_name to a host name or an IP address"));
    });
    let is_usable = !found.iter().any(Diagnostic::is_error);
    let (Some(roots), Ok(name), true) = (roots, name, is_usable) else { return Err(found) };
    let builder = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|e| vec![Diagnostic::file(policy, format!("TLS to receivers cannot be set up: {e}"), "")])?
        .with_root_certificates(roots);
    let mut config = match identity.flatten() {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.key))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(BACKEND_TLS_SESSIONS_MAX);
    Ok((Connector::of(Arc::new(config), name), found))
}
