//! The headers that go to a backend, and those of its answer that may go on: hop-by-hop ones removed, our own added.

use crate::evidence::Mapped;
use crate::limits::VIA_HOPS_MAX;
use crate::message::Request;
use crate::policy::Via;
use crate::refusal::Refusal;
use http::header::{CONNECTION, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE, VIA};
use http::{Method, Version};
use std::fmt::Write as _;
use std::net::IpAddr;

/// Belongs to one connection only (RFC 9110 section 7.6.1, RFC 9113 section 3.1).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Removes the headers that a test on their names picks: one pass over the few that are there, instead of a look-up for each
/// of the many that are not.
fn remove_where(headers: &mut HeaderMap, picks: impl Fn(&str) -> bool) {
    if headers.keys().any(|name| picks(name.as_str())) {
        let names: Vec<HeaderName> = headers.keys().filter(|name| picks(name.as_str())).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_SERVER: HeaderName = HeaderName::from_static("x-forwarded-server");
/// Headers by which applications let a proxy speak for the client, its login or the address: never the client's own. All of
/// `X-Forwarded-*`, since `-User`, `-Email` or `-Client-Cert` name whoever logged in at other proxies. Any mark counts as a
/// hyphen, since CGI and its heirs make them the same; `Proxy` becomes their HTTP_PROXY (CVE-2016-5385).
fn is_spoken_for(name: &str) -> bool {
    const PREFIX: &str = "x-forwarded-";
    const NAMES: [&str; 15] = [
        "forwarded",
        "front-end-https",
        "proxy",
        "remote-user",
        "true-client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-host",
        "x-http-host-override",
        "x-original-host",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
        "x-url-scheme",
        "x-webauth-user",
    ];
    let same =
        |a: &str, b: &str| a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| a == b || (b == b'-' && !a.is_ascii_alphanumeric()));
    matches!(name.as_bytes().first(), Some(b'x' | b'f' | b't' | b'p' | b'r'))
        && (name.get(..PREFIX.len()).is_some_and(|start| same(start, PREFIX)) || NAMES.iter().any(|known| same(name, known)))
}

/// The kind of upgrade a client asks for, where both headers say so (RFC 9110 section 7.8). Never to another HTTP or to TLS: behind
/// such a 101 would come requests that no layer sees.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = connection_names(headers).any(|name| name.eq_ignore_ascii_case("upgrade"));
    let mut all = headers.get_all(UPGRADE).iter();
    let only = all.next().filter(|_| asked && all.next().is_none())?;
    let carries_requests = |protocol: &str| {
        let name = protocol.split('/').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(name.as_str(), "h2c" | "h2" | "h3" | "http" | "tls" | "")
    };
    (!only.to_str().ok()?.split(',').any(carries_requests)).then(|| only.clone())
}

fn connection_names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim)
}

/// Removes what belongs to one connection (RFC 9110 section 7.6.1): the fixed names and those `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| is_hop_by_hop(name.as_str())) {
        return;
    }
    if headers.contains_key(CONNECTION) {
        let named: Vec<String> = connection_names(headers).map(str::to_ascii_lowercase).collect();
        for name in named {
            // What decides identity or framing cannot be talked away.
            if !matches!(name.as_str(), "host" | "content-length" | "authorization" | "x-remote-user" | "x-remote-groups") {
                headers.remove(name.as_str());
            }
        }
    }
    remove_where(headers, is_hop_by_hop);
}

/// What the gateway calls itself, ready as header values.
#[derive(Debug)]
pub(super) struct OwnName {
    pseudonym: String,
    server: HeaderValue,
    via: [HeaderValue; 3],
}

impl OwnName {
    /// `pseudonym` is a token, as the policy has checked.
    pub(super) fn new(pseudonym: &str) -> Self {
        let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("portcullis"));
        let via = ["1.0", "1.1", "2.0"].map(|version| value(format!("{version} {pseudonym}")));
        Self { pseudonym: pseudonym.to_owned(), server: value(pseudonym.to_owned()), via }
    }

    fn via(&self, received: Version) -> HeaderValue {
        let [first, second, third] = &self.via;
        match received {
            Version::HTTP_10 => first.clone(),
            Version::HTTP_2 => third.clone(),
            _ => second.clone(),
        }
    }
}

/// Makes a client's headers a backend's. `host` is the Host that the client sent.
///
/// # Errors
/// `Loop` when our pseudonym stands in `Via`, or too many others do.
pub(super) fn to_backend(request: &mut Request, mapped: &Mapped, own: &OwnName, host: HeaderValue) -> Result<(), Refusal> {
    check_loop(&request.headers, &own.pseudonym)?;
    // The wire holds the connection ready only where an upgrade may be granted at all: HTTP/1.1, no body.
    let upgrade = if mapped.map.upgrades && request.upgrade.is_some() { upgrade(&request.headers) } else { None };
    let headers = &mut request.headers;
    remove_hop_by_hop(headers);
    headers.remove(EXPECT);
    if mapped.map.methods.is_some() {
        // A backend that believes these would run a method that the map does not allow.
        remove_where(headers, |name| matches!(name, "x-http-method-override" | "x-http-method" | "x-method-override"));
    }
    let before = if mapped.trusted_peer { vouched(headers) } else { None };
    remove_where(headers, is_spoken_for);
    let peer = &request.peer.remote_text;
    match before {
        None => drop(headers.insert(X_FORWARDED_FOR, peer.clone())),
        Some(list) => set(headers, X_FORWARDED_FOR, &format!("{list}, {}", peer.to_str().unwrap_or("unknown"))),
    }
    headers.insert(X_FORWARDED_HOST, host.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(mapped.scheme()));
    headers.insert(X_FORWARDED_SERVER, own.server.clone());
    set(headers, FORWARDED, &forwarded(mapped, peer));
    headers.append(VIA, own.via(request.version));
    headers.insert(HOST, host);
    if let Some(protocol) = upgrade {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if request.method == Method::GET || request.method == Method::HEAD {
        // A length of nothing says nothing, and some backends refuse it on GET.
        if headers.get(http::header::CONTENT_LENGTH).is_some_and(|v| v == "0") {
            headers.remove(http::header::CONTENT_LENGTH);
        }
    }
    Ok(())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
}

fn check_loop(headers: &HeaderMap, pseudonym: &str) -> Result<(), Refusal> {
    let mut hops = 0;
    for value in headers.get_all(VIA) {
        for hop in value.as_bytes().split(|&b| b == b',') {
            hops += 1;
            let mut words = hop.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty());
            if words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(pseudonym.as_bytes())) {
                return Err(Refusal::Loop);
            }
        }
    }
    if hops > VIA_HOPS_MAX { Err(Refusal::Loop) } else { Ok(()) }
}

/// The addresses a trusted proxy vouches for.
fn vouched(headers: &HeaderMap) -> Option<String> {
    let list: Vec<&str> = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok()).collect();
    if list.is_empty() { None } else { Some(list.join(", ")) }
}

/// Our element of `Forwarded` (RFC 7239); earlier ones are not repeated, since their syntax is not checked.
fn forwarded(mapped: &Mapped, peer: &HeaderValue) -> String {
    let mut out = String::with_capacity(96);
    match (mapped.trusted_peer, mapped.address) {
        (false, IpAddr::V4(_)) => {
            out.push_str("for=");
            out.push_str(peer.to_str().unwrap_or("unknown"));
        }
        // Writing to a String does not fail.
        (_, IpAddr::V4(ip)) => drop(write!(out, "for={ip}")),
        (_, IpAddr::V6(ip)) => drop(write!(out, "for=\"[{ip}]\"")),
    }
    out.push_str(";host=\"");
    out.push_str(&mapped.authority);
    out.push_str("\";proto=");
    out.push_str(mapped.scheme());
    out
}

/// Makes a backend's headers a client's: hop-by-hop ones removed, `Via` as the map says.
pub(super) fn to_client(headers: &mut HeaderMap, via: Via, answered: Version, own: &OwnName) {
    remove_hop_by_hop(headers);
    match via {
        Via::Off => {}
        Via::Block => drop(headers.remove(VIA)),
        Via::On => drop(headers.append(VIA, own.via(answered))),
        Via::Full => {
            let short = own.via(answered);
            let full = format!("{} (Portcullis/{})", short.to_str().unwrap_or_default(), env!("CARGO_PKG_VERSION"));
            headers.append(VIA, HeaderValue::try_from(full).unwrap_or(short));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_name_in_via_is_a_loop_and_so_are_too_many_hops() {
        let via = |text: &str| HeaderMap::from_iter([(VIA, HeaderValue::from_str(text).unwrap())]);
        assert_eq!(check_loop(&via("1.1 other, 1.1 pc-1 (x)"), "pc-1"), Err(Refusal::Loop));
        assert_eq!(check_loop(&via("1.1 other"), "pc-1"), Ok(()));
        assert_eq!(check_loop(&via(&["1.1 a"; 11].join(",")), "pc-1"), Err(Refusal::Loop));
    }

    #[test]
    fn connection_cannot_name_identity_away() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("close, X-Remote-User, x-gone"));
        headers.insert("x-remote-user", HeaderValue::from_static("carol"));
        headers.insert("x-gone", HeaderValue::from_static("1"));
        remove_hop_by_hop(&mut headers);
        assert!(headers.contains_key("x-remote-user"));
        assert!(!headers.contains_key("x-gone") && !headers.contains_key(CONNECTION));
    }

    #[test]
    fn underscore_twins_of_forwarding_headers_go_too() {
        let mut headers = HeaderMap::new();
        for name in ["x_forwarded_for", "x-forwarded.user", "x-real-ip", "forwarded", "proxy", "x-kept"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        remove_where(&mut headers, is_spoken_for);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
