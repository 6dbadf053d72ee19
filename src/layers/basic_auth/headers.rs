//! The headers that carry identity: what strangers send is removed, what we know is set.

use crate::evidence::Caller;
use crate::policy::Authorization;
use http::header::{AUTHORIZATION, CONNECTION};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The proven user, for backends.
pub(super) const X_REMOTE_USER: HeaderName = HeaderName::from_static("x-remote-user");
/// The user's groups, comma separated, for backends.
pub(super) const X_REMOTE_GROUPS: HeaderName = HeaderName::from_static("x-remote-groups");

/// Whether a backend could take this name for one of ours: CGI and its heirs turn every mark into an underscore.
fn is_twin(name: &[u8], of: &[u8]) -> bool {
    name.len() == of.len() && name.iter().zip(of).all(|(a, b)| a.eq_ignore_ascii_case(b) || (*b == b'-' && !a.is_ascii_alphanumeric()))
}

fn is_identity(name: &[u8]) -> bool {
    is_twin(name, X_REMOTE_USER.as_str().as_bytes()) || is_twin(name, X_REMOTE_GROUPS.as_str().as_bytes())
}

/// Removes every incoming copy of the identity headers, in every spelling, and their names from `Connection`, by which a
/// client could have ours removed again further on.
pub(super) fn remove_incoming(headers: &mut HeaderMap) {
    if headers.keys().any(|name| is_identity(name.as_str().as_bytes())) {
        let names: Vec<HeaderName> = headers.keys().filter(|name| is_identity(name.as_str().as_bytes())).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
    let ours = |token: &[u8]| is_identity(token) || token.eq_ignore_ascii_case(AUTHORIZATION.as_str().as_bytes());
    for value in headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes) {
        if value.split(|&b| b == b',').any(|token| ours(token.trim_ascii())) {
            return keep_connection_tokens(headers, |token| !ours(token));
        }
    }
}

fn keep_connection_tokens(headers: &mut HeaderMap, keep: impl Fn(&[u8]) -> bool) {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for value in headers.get_all(CONNECTION) {
        kept.extend(
            value.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty() && keep(t)).map(<[u8]>::to_vec),
        );
    }
    headers.remove(CONNECTION);
    if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_bytes(&kept.join(&b", "[..]))) {
        headers.insert(CONNECTION, value);
    }
}

/// Sets what the backend gets: who it is, and `Authorization` as the map says.
pub(super) fn set_outgoing(headers: &mut HeaderMap, caller: &Caller, authorization: &Authorization) {
    match authorization {
        Authorization::Strip if caller.consumed => {
            headers.remove(AUTHORIZATION);
        }
        Authorization::Strip | Authorization::Pass => {}
        Authorization::Replace(own) => {
            headers.remove(AUTHORIZATION);
            if let Ok(mut value) = HeaderValue::from_str(own) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
    }
    if let Some(user) = &caller.user {
        // Names of a users file hold no control characters, so this cannot fail; if it did, the backend would see nobody.
        if let Ok(value) = HeaderValue::from_bytes(user.as_bytes()) {
            headers.insert(X_REMOTE_USER, value);
        }
        if let (false, Ok(value)) = (caller.groups.is_empty(), HeaderValue::from_bytes(caller.groups.join(",").as_bytes())) {
            headers.insert(X_REMOTE_GROUPS, value);
        }
    }
}

/// Whether one of these `WWW-Authenticate` values holds a Basic challenge (RFC 9110 section 11.6.1: several may share a
/// header, commas also separate parameters, and quotation marks hide commas).
pub(super) fn has_basic_challenge<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> bool {
    values.into_iter().any(|value| {
        let (mut quoted, mut escaped) = (false, false);
        value
            .as_bytes()
            .split(|&byte| {
                let was_quoted = quoted;
                (quoted, escaped) = match byte {
                    _ if escaped => (quoted, false),
                    b'\\' if quoted => (true, true),
                    b'"' => (!quoted, false),
                    _ => (quoted, false),
                };
                byte == b',' && !was_quoted
            })
            .any(|piece| {
                let piece = piece.trim_ascii();
                let end = piece.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(piece.len());
                piece[..end].eq_ignore_ascii_case(b"basic")
            })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_an_identity_header_gets_through() {
        let mut headers = HeaderMap::new();
        for name in [
            "X-Remote-User",
            "x_remote_user",
            "X-REMOTE_USER",
            "x_remote-user",
            "x.remote.user",
            "X-Remote-Groups",
            "X_Remote_Groups",
            "x~remote!groups",
        ] {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("root"));
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("root2"));
        }
        headers.insert("x-remote-users", HeaderValue::from_static("kept"));
        headers.insert("xxremote-user", HeaderValue::from_static("kept"));
        remove_incoming(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-remote-users", "xxremote-user"]);
    }

    #[test]
    fn connection_cannot_name_our_headers_away() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive, X_Remote-User"));
        headers.append(CONNECTION, HeaderValue::from_static("x-remote-groups , AUTHORIZATION,x-own"));
        remove_incoming(&mut headers);
        assert_eq!(headers.get_all(CONNECTION).iter().collect::<Vec<_>>(), ["keep-alive, x-own"]);
        let mut only = HeaderMap::new();
        only.append(CONNECTION, HeaderValue::from_static("x-remote-user"));
        remove_incoming(&mut only);
        assert!(only.is_empty());
    }

    #[test]
    fn a_basic_challenge_is_seen_among_others_and_not_in_quotes() {
        let has = |value: &'static str| has_basic_challenge([HeaderValue::from_static(value)].iter());
        assert!(has("Basic realm=\"x\""));
        assert!(has("basic"));
        assert!(has("Digest realm=\"a, b\", nonce=\"c\", BASIC realm=\"y\""));
        assert!(has("Bearer,Basic realm=y"));
        assert!(!has("Bearer realm=\"x, Basic realm\""));
        assert!(!has("Bearer realm=\"x\\\", Basic\""));
        assert!(!has("Basically realm=x"));
    }
}
