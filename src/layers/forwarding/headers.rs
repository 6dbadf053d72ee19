//! The headers that go to a backend, and those of its answer that may go on: hop-by-hop ones removed, our own added.

use crate::evidence::Mapped;
use crate::head::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, Headers, Name, NameSet, OwnValue, UPGRADE, VIA, Value, X_FORWARDED_FOR,
    X_FORWARDED_HOST, X_FORWARDED_PROTO, X_FORWARDED_SERVER,
};
use crate::limits::VIA_HOPS_MAX;
use crate::message::Request;
use crate::policy::Via;
use crate::refusal::Refusal;
use http::{Method, Version};
use std::net::IpAddr;
use std::sync::LazyLock;

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

static HOP_BY_HOP: LazyLock<NameSet> = LazyLock::new(|| NameSet::new(is_hop_by_hop));
static SPOKEN_FOR: LazyLock<NameSet> = LazyLock::new(|| NameSet::new(is_spoken_for));
static METHOD_OVERRIDES: LazyLock<NameSet> =
    LazyLock::new(|| NameSet::new(|name| matches!(name, "x-http-method-override" | "x-http-method" | "x-method-override")));

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
pub(super) fn upgrade(headers: &Headers) -> Option<OwnValue> {
    let asked = connection_names(headers).any(|name| name.eq_ignore_ascii_case("upgrade"));
    let mut all = headers.get_all(&UPGRADE);
    let only = all.next().filter(|_| asked && all.next().is_none())?;
    let carries_requests = |protocol: &str| {
        let name = protocol.split('/').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(name.as_str(), "h2c" | "h2" | "h3" | "http" | "tls" | "")
    };
    if only.text()?.split(',').any(carries_requests) { None } else { OwnValue::new(only.as_bytes()) }
}

fn connection_names(headers: &Headers) -> impl Iterator<Item = &str> {
    headers.get_all(&CONNECTION).filter_map(Value::text).flat_map(|v| v.split(',')).map(str::trim)
}

/// Removes what belongs to one connection (RFC 9110 section 7.6.1): the fixed names and those `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut Headers) {
    if !headers.contains_any(&HOP_BY_HOP) {
        return;
    }
    // What decides identity or framing cannot be talked away.
    let stays = |name: &&str| {
        let stays = ["host", "content-length", "authorization", "x-remote-user", "x-remote-groups"];
        !is_hop_by_hop(name) && !stays.iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    let named: Vec<Name> = connection_names(headers).filter(stays).filter_map(|name| Name::new(name.as_bytes())).collect();
    for name in named {
        headers.remove(&name);
    }
    headers.remove_any(&HOP_BY_HOP);
}

/// What the gateway calls itself, ready as header values.
#[derive(Debug)]
pub(super) struct OwnName {
    pseudonym: String,
    server: OwnValue,
    via: [OwnValue; 3],
}

impl OwnName {
    /// `pseudonym` is a token, as the policy has checked.
    pub(super) fn new(pseudonym: &str) -> Self {
        let value = |text: String| OwnValue::new(text).unwrap_or_default();
        let via = ["1.0", "1.1", "2.0"].map(|version| value(format!("{version} {pseudonym}")));
        Self { pseudonym: pseudonym.to_owned(), server: value(pseudonym.to_owned()), via }
    }

    fn via(&self, received: Version) -> Value<'_> {
        let [first, second, third] = &self.via;
        match received {
            Version::HTTP_10 => first.get(),
            Version::HTTP_2 => third.get(),
            _ => second.get(),
        }
    }
}

/// Makes a client's headers a backend's.
///
/// # Errors
/// `Loop` when our pseudonym stands in `Via`, or too many others do; `BadHost` for a Host that cannot be one.
pub(super) fn to_backend(request: &mut Request, mapped: &Mapped, own: &OwnName) -> Result<(), Refusal> {
    check_loop(&request.headers, &own.pseudonym)?;
    // The wire holds the connection ready only where an upgrade may be granted at all: HTTP/1.1, no body.
    let upgrade = if mapped.map.upgrades && request.upgrade.is_some() { upgrade(&request.headers) } else { None };
    let headers = &mut request.headers;
    remove_hop_by_hop(headers);
    headers.remove(&EXPECT);
    if mapped.map.methods.is_some() {
        // A backend that believes these would run a method that the map does not allow.
        headers.remove_any(&METHOD_OVERRIDES);
    }
    let before = if mapped.trusted_peer { vouched(headers) } else { None };
    headers.remove_any(&SPOKEN_FOR);
    let authority = Value::new(mapped.authority.as_bytes()).ok_or(Refusal::BadHost)?;
    // In origin form the Host as it came; a target in absolute form replaces it (RFC 9112 section 3.2.2).
    if !headers.contains(&HOST) || !(request.target.starts_with(b"/") || &request.target[..] == b"*") {
        headers.insert(&HOST, authority);
    }
    let peer = request.peer.remote_text.get();
    match before.as_ref().map(OwnValue::get) {
        None => headers.append(&X_FORWARDED_FOR, peer),
        Some(list) => headers.append_parts(&X_FORWARDED_FOR, [list, const { Value::from_static(", ") }, peer]),
    }
    headers.repeat(&HOST, &X_FORWARDED_HOST);
    headers.append(&X_FORWARDED_PROTO, mapped.scheme_value());
    headers.append(&X_FORWARDED_SERVER, own.server.get());
    forwarded(headers, mapped, peer, authority);
    headers.append(&VIA, own.via(request.version));
    if let Some(protocol) = upgrade {
        headers.append(&UPGRADE, protocol.get());
        headers.append(&CONNECTION, const { Value::from_static("upgrade") });
    }
    if request.method == Method::GET || request.method == Method::HEAD {
        // A length of nothing says nothing, and some backends refuse it on GET.
        if headers.get(&CONTENT_LENGTH).is_some_and(|v| v == "0") {
            headers.remove(&CONTENT_LENGTH);
        }
    }
    Ok(())
}

fn check_loop(headers: &Headers, pseudonym: &str) -> Result<(), Refusal> {
    let mut hops = 0;
    for value in headers.get_all(&VIA) {
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
fn vouched(headers: &Headers) -> Option<OwnValue> {
    let list: Vec<&str> = headers.get_all(&X_FORWARDED_FOR).filter_map(Value::text).collect();
    if list.is_empty() { None } else { OwnValue::new(list.join(", ")) }
}

/// Our element of `Forwarded` (RFC 7239); earlier ones are not repeated, since their syntax is not checked.
fn forwarded(headers: &mut Headers, mapped: &Mapped, peer: Value<'_>, authority: Value<'_>) {
    const FOR: Value<'_> = Value::from_static("for=");
    const HOST: Value<'_> = Value::from_static(";host=\"");
    const PROTO: Value<'_> = Value::from_static("\";proto=");
    let text;
    let address = match (mapped.trusted_peer, mapped.address) {
        (false, IpAddr::V4(_)) => peer,
        (_, IpAddr::V4(ip)) => {
            text = OwnValue::new(ip.to_string()).unwrap_or_default();
            text.get()
        }
        (_, IpAddr::V6(ip)) => {
            text = OwnValue::new(format!("\"[{ip}]\"")).unwrap_or_default();
            text.get()
        }
    };
    headers.append_parts(&FORWARDED, [FOR, address, HOST, authority, PROTO, mapped.scheme_value()]);
}

/// Makes a backend's headers a client's: hop-by-hop ones removed, `Via` as the map says.
pub(super) fn to_client(headers: &mut Headers, via: Via, answered: Version, own: &OwnName) {
    const FULL: Value<'_> = Value::from_static(concat!(" (Portcullis/", env!("CARGO_PKG_VERSION"), ")"));
    remove_hop_by_hop(headers);
    match via {
        Via::Off => {}
        Via::Block => headers.remove(&VIA),
        Via::On => headers.append(&VIA, own.via(answered)),
        Via::Full => headers.append_parts(&VIA, [own.via(answered), FULL]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn our_own_name_in_via_is_a_loop_and_so_are_too_many_hops() {
        let via = |text: &str| Headers::from_iter([(VIA, Value::new(text.as_bytes()).unwrap())]);
        assert_eq!(check_loop(&via("1.1 other, 1.1 pc-1 (x)"), "pc-1"), Err(Refusal::Loop));
        assert_eq!(check_loop(&via("1.1 other"), "pc-1"), Ok(()));
        assert_eq!(check_loop(&via(&["1.1 a"; 11].join(",")), "pc-1"), Err(Refusal::Loop));
    }

    #[test]
    fn connection_cannot_name_identity_away() {
        let mut headers = Headers::new();
        headers.append(&CONNECTION, Value::from_static("close, X-Remote-User, x-gone"));
        headers.append(&name("x-remote-user"), Value::from_static("carol"));
        headers.append(&name("x-gone"), Value::from_static("1"));
        remove_hop_by_hop(&mut headers);
        assert!(headers.contains(&name("x-remote-user")));
        assert!(!headers.contains(&name("x-gone")) && !headers.contains(&CONNECTION));
    }

    #[test]
    fn underscore_twins_of_forwarding_headers_go_too() {
        let mut headers = Headers::new();
        for twin in ["x_forwarded_for", "x-forwarded.user", "x-real-ip", "forwarded", "proxy", "x-kept"] {
            headers.append(&name(twin), Value::from_static("1"));
        }
        headers.remove_any(&SPOKEN_FOR);
        assert_eq!(headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["x-kept"]);
    }
}
