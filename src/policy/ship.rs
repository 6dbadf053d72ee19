//! Receivers of the audit trail's records: who gets what, in which form and over which way.

use super::CertificateFiles;
use crate::audit::export::Form;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// One `[[audit.ship]]`.
#[derive(Clone, Debug)]
pub struct Ship {
    /// Its name, in metrics and of its cursor.
    pub name: Arc<str>,
    /// What it gets.
    pub what: Shipped,
    /// In which form.
    pub form: Form,
    /// Where it is and how it is spoken to.
    pub to: Destination,
    /// Where it begins that has no cursor yet.
    pub begin: Begin,
    /// The file that says how far it is.
    pub cursor: PathBuf,
}

/// What of the trail a receiver gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shipped {
    /// Every record.
    All,
    /// The signed records, as they stand.
    Heads,
}

/// Where a receiver begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the oldest record there is.
    Oldest,
    /// With the file that is written at its first start.
    Now,
}

/// Where a receiver is.
#[derive(Clone, Debug)]
pub enum Destination {
    /// RFC 5424.
    Syslog(SyslogTo),
    /// A POST over HTTP.
    Http(HttpTo),
}

/// A syslog receiver.
#[derive(Clone, Debug)]
pub struct SyslogTo {
    /// Its host and port.
    pub place: Place,
    /// How it is reached.
    pub transport: Transport,
    /// The facility's number (RFC 5424 section 6.2.1).
    pub facility: u8,
    /// Bytes of one message; longer ones are cut.
    pub message_bytes_max: usize,
}

/// How syslog is carried.
#[derive(Clone, Debug)]
pub enum Transport {
    /// RFC 5426.
    Udp,
    /// RFC 6587, with octet counting.
    Tcp,
    /// RFC 5425.
    Tls(ShipTls),
}

/// What is in the body of a POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// OpenTelemetry's logs, OTLP/HTTP in its JSON encoding.
    Otlp,
    /// One record a line.
    Lines,
}

/// A receiver over HTTP.
#[derive(Clone, Debug)]
pub struct HttpTo {
    /// What it takes.
    pub payload: Payload,
    /// Its host and port.
    pub place: Place,
    /// TLS; `None` for plain HTTP.
    pub tls: Option<ShipTls>,
    /// `Host`, with the port where it is not the scheme's.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// Bodies are compressed.
    pub gzip: bool,
    /// Headers beside our own.
    pub headers: SecretHeaders,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A name or an address; IPv6 in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// TLS to a receiver, which is always verified.
#[derive(Clone, Debug)]
pub struct ShipTls {
    /// The name its certificate must carry.
    pub name: String,
    /// A PEM file of the only authorities to trust; the system's by default.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate, where the receiver asks for one.
    pub identity: Option<CertificateFiles>,
}

/// Headers whose values nothing ever shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretHeaders(pub Vec<(String, String)>);

impl fmt::Debug for SecretHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
