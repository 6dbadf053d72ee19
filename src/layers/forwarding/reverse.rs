//! Reverse mapping (ProxyPassReverse): a backend's own names and paths in its answer become the ones the client knows.

use crate::evidence::Mapped;
use crate::head::{CONTENT_LOCATION, Headers, LINK, LOCATION, NameSet, OwnValue, REFRESH, SET_COOKIE, URI, Value};
use crate::policy::{Backend, Map};
use std::sync::LazyLock;

static PLACES: LazyLock<NameSet> = LazyLock::new(|| NameSet::new(names_place));

fn names_place(name: &str) -> bool {
    matches!(name, "location" | "content-location" | "uri" | "refresh" | "link" | "set-cookie")
}

/// Rewrites `Location`, `Content-Location`, `URI`, `Refresh`, `Link` and `Set-Cookie`.
pub(super) fn rewrite(headers: &mut Headers, mapped: &Mapped) {
    if !headers.contains_any(&PLACES) {
        return;
    }
    for (name, how) in [
        (LOCATION, url as fn(&str, &Mapped) -> Option<String>),
        (CONTENT_LOCATION, url),
        (URI, bracketed_or_plain),
        (REFRESH, refresh),
        (LINK, bracketed),
        (SET_COOKIE, cookie),
    ] {
        if headers.get_all(&name).any(|value| changed(value, how, mapped).is_some()) {
            let values = headers.get_all(&name).map(|value| changed(value, how, mapped).or_else(|| OwnValue::new(value.as_bytes())));
            let values: Vec<OwnValue> = values.flatten().collect();
            headers.remove(&name);
            for value in values {
                headers.append(&name, value.get());
            }
        }
    }
}

/// The value as the client may know it; `None` where it stays as it is.
fn changed(value: Value<'_>, how: fn(&str, &Mapped) -> Option<String>, mapped: &Mapped) -> Option<OwnValue> {
    OwnValue::new(how(std::str::from_utf8(value.as_bytes()).ok()?, mapped)?)
}

/// One URL; `None` leaves it as it is.
fn url(text: &str, mapped: &Mapped) -> Option<String> {
    let text = text.trim();
    let (authority, path) = split(text)?;
    let Some((scheme, authority)) = authority else { return own_path(path, mapped) };
    if is_backend(scheme, authority, mapped) {
        let path = own_path(path, mapped).unwrap_or_else(|| rooted(path));
        return Some(format!("{}://{}{path}", mapped.scheme(), mapped.authority));
    }
    if authority.eq_ignore_ascii_case(&mapped.authority) || host_of(authority).eq_ignore_ascii_case(&mapped.host) {
        let scheme_differs = scheme.is_some_and(|s| !s.eq_ignore_ascii_case(mapped.scheme()));
        let path_now = own_path(path, mapped);
        if path_now.is_some() || scheme_differs {
            let path = path_now.unwrap_or_else(|| rooted(path));
            return Some(format!("{}://{}{path}", mapped.scheme(), mapped.authority));
        }
    }
    None
}

fn rooted(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

type Authority<'a> = (Option<&'a str>, &'a str);

/// A URL's scheme, authority and the rest; `None` for a path that is relative to where the client is.
fn split(text: &str) -> Option<(Option<Authority<'_>>, &str)> {
    let (scheme, after) = match text.split_once("://") {
        Some((scheme, after)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) => (Some(scheme), after),
        _ => match text.strip_prefix("//") {
            Some(after) => (None, after),
            None => return text.starts_with('/').then_some((None, text)),
        },
    };
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    Some((Some((scheme, after.get(..end)?)), after.get(end..)?))
}

fn host_of(authority: &str) -> &str {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.ends_with(']') { host } else { host.rsplit_once(':').map_or(host, |(host, _)| host) }
}

/// Whether an authority is one of the backend's members, the default port written or not.
fn is_backend(scheme: Option<&str>, authority: &str, mapped: &Mapped) -> bool {
    let Some(backend) = &mapped.map.backend else { return false };
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    backend.members.iter().any(|member| {
        let own_scheme = if member.tls.is_some() { "https" } else { "http" };
        let default_port = match scheme.unwrap_or(own_scheme) {
            s if s.eq_ignore_ascii_case("https") => 443,
            _ => 80,
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !authority.ends_with(']') => (host, port.parse().unwrap_or(0)),
            _ => (authority, default_port),
        };
        let same_host = host.eq_ignore_ascii_case(&member.host) || member.address.is_some_and(|a| a.to_string() == host);
        same_host && (port == member.port || port == 80 || port == 443)
    })
}

/// The client's path for a backend's: by this map, else by another map of the site to the same backend.
fn own_path(path: &str, mapped: &Mapped) -> Option<String> {
    let backend = mapped.map.backend.as_ref()?;
    if let Some(own) = through(&mapped.map, path) {
        return (own != path).then_some(own);
    }
    let same = |map: &&std::sync::Arc<Map>| map.backend.as_ref().is_some_and(|b: &std::sync::Arc<Backend>| b.index == backend.index);
    let mut others: Vec<_> = mapped.site.maps.iter().filter(same).collect();
    others.sort_by_key(|map| std::cmp::Reverse(map.target_path.len()));
    others.iter().find_map(|map| through(map, path)).filter(|own| own != path)
}

fn through(map: &Map, path: &str) -> Option<String> {
    let target = map.target_path.trim_end_matches('/');
    let rest = path.strip_prefix(target)?;
    if !(rest.is_empty() || rest.starts_with(['/', '?', '#', ';'])) {
        return None;
    }
    let own = format!("{}{rest}", map.path.trim_end_matches('/'));
    Some(if own.starts_with('/') { own } else { format!("/{own}") })
}

/// `<url>; param, <url>` as in `Link` (RFC 8288).
fn bracketed(text: &str, mapped: &Mapped) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut left = text;
    let mut any = false;
    while let Some((before, after)) = left.split_once('<') {
        let Some((inside, rest)) = after.split_once('>') else { break };
        out.push_str(before);
        out.push('<');
        match url(inside, mapped) {
            Some(new) => {
                any = true;
                out.push_str(&new);
            }
            None => out.push_str(inside),
        }
        out.push('>');
        left = rest;
    }
    out.push_str(left);
    any.then_some(out)
}

fn bracketed_or_plain(text: &str, mapped: &Mapped) -> Option<String> {
    if text.contains('<') { bracketed(text, mapped) } else { url(text, mapped) }
}

/// `5; url=...`, the URL quoted or not.
fn refresh(text: &str, mapped: &Mapped) -> Option<String> {
    let at = text.to_ascii_lowercase().find("url=")? + 4;
    let (before, value) = text.split_at_checked(at)?;
    let bare = value.trim().trim_matches(['"', '\'']);
    url(bare, mapped).map(|new| format!("{before}{new}"))
}

/// A cookie's Domain and Path (RFC 6265 section 4.1): an internal domain goes, so that the cookie is the gateway's host's.
fn cookie(text: &str, mapped: &Mapped) -> Option<String> {
    let mut any = false;
    let mut out: Vec<String> = Vec::with_capacity(8);
    for (i, part) in text.split(';').enumerate() {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "domain" if i > 0 => {
                let domain = value.trim_start_matches('.').to_ascii_lowercase();
                let ours = mapped.host == domain || mapped.host.strip_suffix(&domain).is_some_and(|h| h.ends_with('.'));
                if ours && !domain.is_empty() {
                    out.push(part.to_owned());
                } else {
                    any = true;
                }
            }
            "path" if i > 0 => match own_path(value, mapped) {
                Some(path) => {
                    any = true;
                    out.push(format!(" Path={path}"));
                }
                None => out.push(part.to_owned()),
            },
            _ => out.push(part.to_owned()),
        }
    }
    any.then(|| out.join(";"))
}
