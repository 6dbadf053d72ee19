//! What each step of the walk hands to the next as proof that it took place; made by its layer alone (a test reads the sources).

use crate::head::Value;
use crate::policy::{Map, Site};
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;

/// Proof of the door: a request has a site and a map, on which everybody after decides.
#[derive(Debug)]
pub struct Mapped {
    /// The site.
    pub site: Arc<Site>,
    /// The map, or the site's `unmapped` settings where no map exists for the path.
    pub map: Arc<Map>,
    /// Whether a map exists for the path and no exclusion covers it.
    pub exists: bool,
    /// The canonical path.
    pub path: Vec<u8>,
    /// The client's spelling of the path.
    pub raw_path: Bytes,
    /// The query as sent, without its question mark.
    pub query: Option<Bytes>,
    /// The target is `*`: the server as a whole is asked, which the map of `/` stands for (RFC 9110 section 9.3.7).
    pub whole_server: bool,
    /// The canonical host, without a port.
    pub host: String,
    /// The host with its port as the client sent it.
    pub authority: String,
    /// The client's address: the peer's, or what a trusted proxy says.
    pub address: IpAddr,
    /// Whether the peer is a trusted proxy, whose forwarding headers are kept.
    pub trusted_peer: bool,
    /// Whether the client speaks TLS to us.
    pub tls: bool,
}

impl Mapped {
    /// `http` or `https`, as the client sees it.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The same for a header.
    pub fn scheme_value(&self) -> Value<'static> {
        if self.tls { const { Value::from_static("https") } } else { const { Value::from_static("http") } }
    }
}

/// Proof of layer 1: who it is, and that they may be here.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The proven user; `None` on a map that is open or asks for an address only.
    pub user: Option<Arc<str>>,
    /// The user's groups.
    pub groups: Arc<[String]>,
    /// Whether layer 1 used the `Authorization` header.
    pub consumed: bool,
    /// The client's address.
    pub address: IpAddr,
    /// The client is on this machine.
    pub local: bool,
    /// The start of the digest of the users file's line that proved the user, 0 without one: another line, another password.
    pub line: u64,
}

/// Proof of layer 2: no handshake goes through that the switches block.
#[derive(Clone, Copy, Debug)]
pub struct NoHandshake {
    /// The request carries NTLM or Negotiate credentials that the policy lets through: its backend connection is pinned.
    pub integrated: bool,
}

/// Proof of layer 4: the rules have seen the request, or the record says why not.
#[derive(Debug)]
pub struct Inspected {
    /// Layer 2's word, which the forwarding core needs.
    pub handshake: NoHandshake,
}
