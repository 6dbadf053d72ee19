//! Layer 0, the door: which site and map a request is for, by one canonical host and path that decide for everybody after.

mod host;
mod path;

use crate::audit::Record;
use crate::evidence::Mapped;
use crate::head::{Headers, OwnValue, STRICT_TRANSPORT_SECURITY, X_FORWARDED_FOR};
use crate::message::{Request, Response};
use crate::policy::{Https, Map, Policy, Site};
use crate::refusal::Refusal;
use bytes::Bytes;
use host::{Found, Sites};
use http::Method;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// What `Allow` says where a map restricts nothing.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The door.
#[derive(Debug)]
pub struct Door {
    sites: Sites,
    /// Settings of the first site.
    first: Option<Arc<Map>>,
    trusted_proxies: Vec<IpNet>,
}

/// The parts of a request target that name a resource.
struct Target {
    authority: Option<Bytes>,
    path: Bytes,
    query: Option<Bytes>,
    /// No resource of the server but the server itself, where the method is OPTIONS.
    whole: bool,
}

impl Door {
    /// The door of a policy.
    pub fn new(policy: &Policy) -> Self {
        let first = policy.sites.first().map(|site| Arc::clone(&site.unmapped));
        Self { sites: Sites::new(&policy.sites), first, trusted_proxies: policy.trusted_proxies.clone() }
    }

    /// Finds site and map.
    ///
    /// # Errors
    /// What the wire refused; 405, 421, 400, 403 and the redirect to https as `conventions` says.
    pub fn admit(&self, request: &Request, record: &mut Record) -> Result<Mapped, Refusal> {
        if let Some(refusal) = &request.refusal {
            return Err(refusal.clone());
        }
        if request.method == Method::CONNECT || request.method == Method::TRACE {
            return Err(Refusal::MethodNotAllowed { allow: METHODS.into() });
        }
        let target = split_target(&request.target)?;
        let (found, host) = self.site(request, target.authority.as_ref())?;
        let authority = target.authority.as_ref().or(request.authority.as_ref());
        let authority = authority.map(|a| String::from_utf8_lossy(a).into_owned()).unwrap_or_default();
        record.site = Some(Arc::clone(&found.site.name));
        let plain = path::is_plain(&target.path);
        let path = if plain { target.path.to_vec() } else { path::canonical(&target.path)? };
        if path != target.path {
            record.canonical_path = Some(String::from_utf8_lossy(&path).into_owned());
        }
        let choice = choose(&found.site, &path);
        for other in if plain { Vec::new() } else { path::other_readings(&target.path)? } {
            if !choose(&found.site, &other).same_decision(&choice) {
                return Err(Refusal::AmbiguousPath);
            }
        }
        let map = Arc::clone(choice.map);
        if choice.exists {
            record.map = Some(Arc::clone(&map.path));
        }
        let (address, trusted_peer) = self.client_address(request);
        record.source = address;
        let mapped = Mapped {
            site: Arc::clone(&found.site),
            map,
            exists: choice.exists,
            path,
            raw_path: target.path,
            query: target.query,
            whole_server: target.whole && request.method == Method::OPTIONS,
            host,
            authority,
            address,
            trusted_peer,
            tls: request.peer.tls.is_some(),
        };
        transport(&mapped, &found)?;
        allowed_method(&mapped.map, &request.method)?;
        Ok(mapped)
    }

    /// The map whose rules report on a request that is refused here or before: by host and path as far as they can be read, else
    /// the first site's own settings, as Apache takes its first virtual host.
    pub fn nearest(&self, request: &Request) -> Option<Arc<Map>> {
        let found = request.authority.as_ref().and_then(|a| host::canonical(a)).and_then(|host| self.sites.find(&host));
        let Some(found) = found else { return self.first.clone() };
        let path = split_target(&request.target).and_then(|target| path::canonical(&target.path)).ok();
        Some(path.map_or_else(|| Arc::clone(&found.site.unmapped), |path| Arc::clone(choose(&found.site, &path).map)))
    }

    /// Adds what the door says on the way out.
    pub fn release(&self, mapped: &Mapped, response: &mut Response) {
        if let (true, Some(seconds)) = (mapped.tls, mapped.site.hsts_seconds)
            && let Some(value) = OwnValue::new(format!("max-age={seconds}"))
        {
            response.headers.insert(&STRICT_TRANSPORT_SECURITY, value.get());
        }
    }

    /// The map of a canonical host and path, for what began under an earlier policy.
    pub fn map_of(&self, host: &str, path: &[u8]) -> Option<Arc<Map>> {
        let found = self.sites.find(host)?;
        let choice = choose(&found.site, path);
        choice.exists.then(|| Arc::clone(choice.map))
    }

    /// The map that a path on a host leads to, for questions asked without a request (`auth whocan`).
    pub fn lookup(&self, host: &str, path: &str) -> Option<Arc<Map>> {
        let found = self.sites.find(&host::canonical(host.as_bytes())?)?;
        let path = path::canonical(path.as_bytes()).ok()?;
        let choice = choose(&found.site, &path);
        choice.exists.then(|| Arc::clone(choice.map))
    }

    /// The site, and the canonical host that decided.
    fn site(&self, request: &Request, absolute: Option<&Bytes>) -> Result<(Found, String), Refusal> {
        let named = request.authority.as_ref().and_then(|a| host::canonical(a));
        let host = match absolute {
            None => named.ok_or(Refusal::UnknownHost)?,
            Some(authority) => {
                let host = host::canonical(authority).ok_or(Refusal::MalformedTarget)?;
                let known = self.sites.find(&host).is_some_and(|f| f.name.is_some());
                if !known || named.is_some_and(|n| n != host) {
                    return Err(Refusal::ForeignTarget);
                }
                host
            }
        };
        let found = self.sites.find(&host).ok_or(Refusal::UnknownHost)?;
        let server_name = request.peer.tls.as_ref().and_then(|t| t.server_name.as_deref());
        if let Some(by_name) = server_name.and_then(|n| self.sites.find(n))
            && by_name.site.index != found.site.index
            && (by_name.site.certificate != found.site.certificate
                // A browser may send one site's requests on another's connection (RFC 9113 section 9.1.1); with 421 it tries anew.
                || (request.version == http::Version::HTTP_2 && found.site.http1_only()))
        {
            return Err(Refusal::MisdirectedTls);
        }
        Ok((found, host))
    }

    /// The rightmost address that no trusted proxy vouches away.
    fn client_address(&self, request: &Request) -> (IpAddr, bool) {
        let trusted = |ip: &IpAddr| self.trusted_proxies.iter().any(|n| n.contains(ip));
        let peer = request.peer.remote.ip().to_canonical();
        if !trusted(&peer) {
            return (peer, false);
        }
        let mut client = peer;
        for entry in forwarded_for(&request.headers).rev() {
            let Some(ip) = parse_address(entry) else { break };
            client = ip;
            if !trusted(&ip) {
                break;
            }
        }
        (client, true)
    }
}

fn forwarded_for(headers: &Headers) -> impl DoubleEndedIterator<Item = &str> {
    let lines: Vec<&str> = headers.get_all(&X_FORWARDED_FOR).filter_map(|v| v.text()).collect();
    lines.into_iter().flat_map(|line| line.split(',')).map(str::trim).collect::<Vec<_>>().into_iter()
}

/// An address as `X-Forwarded-For` carries it: bare, or with a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.split(']').next()).unwrap_or(text);
    let ip: Option<IpAddr> = bare.parse().ok();
    ip.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|a| a.ip())).map(|ip| ip.to_canonical())
}

/// The parts of the four target forms (RFC 9112 section 3.2); what `*` asks is decided as a request for `/` is.
fn split_target(target: &Bytes) -> Result<Target, Refusal> {
    let (authority, rest) = if target.starts_with(b"/") || target.as_ref() == b"*" {
        (None, target.clone())
    } else {
        let start = scheme_end(target).ok_or(Refusal::MalformedTarget)?;
        let after = target.slice(start..);
        let end = after.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(after.len());
        let authority = after.slice(..end);
        if authority.is_empty() || authority.contains(&b'@') || authority.contains(&b'%') {
            return Err(Refusal::MalformedTarget);
        }
        (Some(authority), after.slice(end..))
    };
    let (path, query) = match rest.iter().position(|&b| b == b'?') {
        Some(at) => (rest.slice(..at), Some(rest.slice(at + 1..))),
        None => (rest, None),
    };
    let whole = path.as_ref() == b"*" || (path.is_empty() && query.is_none());
    let path = if path.is_empty() || whole { Bytes::from_static(b"/") } else { path };
    Ok(Target { authority, path, query, whole })
}

fn scheme_end(target: &[u8]) -> Option<usize> {
    ["http://", "https://"].iter().find(|s| target.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s.as_bytes()))).map(|s| s.len())
}

/// The map for a path, or the site's settings for paths that have none.
struct Choice<'a> {
    map: &'a Arc<Map>,
    exists: bool,
    path: &'a [u8],
}

impl Choice<'_> {
    fn same_decision(&self, other: &Self) -> bool {
        self.exists == other.exists && Arc::ptr_eq(self.map, other.map) && self.same_rules(other)
    }

    /// An exclusion from the rules counts as well: a spelling must not carry an attack past a rule into another path.
    fn same_rules(&self, other: &Self) -> bool {
        let fold_case = self.map.fold_case;
        self.map.inspection.exclusions.iter().all(|e| e.covers(self.path, fold_case) == e.covers(other.path, fold_case))
    }
}

fn choose<'a>(site: &'a Site, path: &'a [u8]) -> Choice<'a> {
    if let Some(map) = site.account_page.as_ref().filter(|page| page.path.as_bytes() == path) {
        return Choice { map, exists: true, path };
    }
    let excluded = site.maps.iter().any(|map| map.exclude.iter().any(|e| path::covers(e.as_bytes(), path, map.fold_case)));
    let map = if excluded { None } else { site.maps.iter().find(|map| path::covers(map.path.as_bytes(), path, map.fold_case)) };
    match map {
        Some(map) => Choice { map, exists: true, path },
        None => Choice { map: &site.unmapped, exists: false, path },
    }
}

/// https-only and redirects, before any challenge, so that no password is asked for over plain HTTP.
fn transport(mapped: &Mapped, found: &Found) -> Result<(), Refusal> {
    if mapped.tls {
        return Ok(());
    }
    match (mapped.map.https, &found.name) {
        (Https::Either, _) => Ok(()),
        (Https::Only, _) | (Https::Redirect, None) => Err(Refusal::HttpsOnly),
        (Https::Redirect, Some(name)) => {
            let port = if mapped.site.https_port == 443 { String::new() } else { format!(":{}", mapped.site.https_port) };
            let query = mapped.query.as_ref().map(|q| format!("?{}", visible(q))).unwrap_or_default();
            Err(Refusal::HttpsRedirect { location: format!("https://{name}{port}{}{query}", visible(&mapped.raw_path)) })
        }
    }
}

/// Bytes that a Location header may not carry as they are, percent-encoded.
fn visible(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn allowed_method(map: &Map, method: &Method) -> Result<(), Refusal> {
    match &map.methods {
        Some(methods) if !methods.contains(method) => {
            let allow = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            Err(Refusal::MethodNotAllowed { allow })
        }
        _ => Ok(()),
    }
}
