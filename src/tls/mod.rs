//! Certificates and TLS: files loaded with every mistake named, one configuration towards clients, one per backend trust, one per receiver.

pub mod client;
pub mod load;
mod pem;
pub mod receiver;
mod self_signed;
pub mod server;
pub mod status;

pub use self_signed::{SelfSignedError, self_signed};
pub use server::{HandshakeError, Prepared, ServerTls, TlsStream, prepare, session};
pub use status::{CertificateStatus, certificate_status};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::sync::{Arc, OnceLock};

/// The one provider, named explicitly so that no other crate's default can take its place: aws-lc-rs, its TLS 1.3 and
/// 1.2 suites, and the post-quantum hybrid group before the classical ones.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
        Arc::new(CryptoProvider { kx_groups: vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1], ..aws_lc_rs::default_provider() })
    };
    PROVIDER.get_or_init(make).clone()
}
