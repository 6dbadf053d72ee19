//! The headers that carry identity: what strangers send is removed, what we know is set.

use crate::evidence::Caller;
use crate::head::{AUTHORIZATION, CONNECTION, Headers, NameSet, Value, X_REMOTE_GROUPS, X_REMOTE_USER};
use crate::policy::Authorization;
use std::sync::LazyLock;

/// The names of our headers, in every spelling.
static IDENTITY: LazyLock<NameSet> = LazyLock::new(|| NameSet::new(|name| is_identity(name.as_bytes())));

/// Whether a backend could take this name for one of ours: CGI and its heirs turn every mark into an underscore.
fn is_twin(name: &[u8], of: &[u8]) -> bool {
    name.len() == of.len() && name.iter().zip(of).all(|(a, b)| a.eq_ignore_ascii_case(b) || (*b == b'-' && !a.is_ascii_alphanumeric()))
}

fn is_identity(name: &[u8]) -> bool {
    is_twin(name, X_REMOTE_USER.as_str().as_bytes()) || is_twin(name, X_REMOTE_GROUPS.as_str().as_bytes())
}

/// Removes every incoming copy of the identity headers, in every spelling, and their names from `Connection`, by which a
/// client could have ours removed again further on.
pub(super) fn remove_incoming(headers: &mut Headers) {
    headers.remove_any(&IDENTITY);
    let ours = |token: &[u8]| is_identity(token) || token.eq_ignore_ascii_case(AUTHORIZATION.as_str().as_bytes());
    let names_ours = |value: Value<'_>| value.as_bytes().split(|&b| b == b',').any(|token| ours(token.trim_ascii()));
    if headers.get_all(&CONNECTION).any(names_ours) {
        keep_connection_tokens(headers, |token| !ours(token));
    }
}

fn keep_connection_tokens(headers: &mut Headers, keep: impl Fn(&[u8]) -> bool) {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for value in headers.get_all(&CONNECTION) {
        kept.extend(
            value.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty() && keep(t)).map(<[u8]>::to_vec),
        );
    }
    headers.remove(&CONNECTION);
    if let (false, Some(value)) = (kept.is_empty(), Value::new(&kept.join(&b", "[..]))) {
        headers.append(&CONNECTION, value);
    }
}

/// Sets what the backend gets: who it is, and `Authorization` as the map says.
pub(super) fn set_outgoing(headers: &mut Headers, caller: &Caller, authorization: &Authorization) {
    match authorization {
        Authorization::Strip if caller.consumed => headers.remove(&AUTHORIZATION),
        Authorization::Strip | Authorization::Pass => {}
        Authorization::Replace(own) => {
            headers.remove(&AUTHORIZATION);
            if let Some(value) = Value::new(own.as_bytes()) {
                headers.append(&AUTHORIZATION, value);
            }
        }
    }
    if let Some(user) = &caller.user {
        // Names of a users file hold no control characters, so this cannot fail; if it did, the backend would see nobody.
        if let Some(value) = Value::new(user.as_bytes()) {
            headers.insert(&X_REMOTE_USER, value);
        }
        if let (false, Some(value)) = (caller.groups.is_empty(), Value::new(caller.groups.join(",").as_bytes())) {
            headers.insert(&X_REMOTE_GROUPS, value);
        }
    }
}

/// Whether one of these `WWW-Authenticate` values holds a Basic challenge (RFC 9110 section 11.6.1: several may share a
/// header, commas also separate parameters, and quotation marks hide commas).
pub(super) fn has_basic_challenge<'a>(mut values: impl Iterator<Item = Value<'a>>) -> bool {
    values.any(|value| {
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
    use crate::head::Name;

    #[test]
    fn no_spelling_of_an_identity_header_gets_through() {
        let mut headers = Headers::new();
        let value = |text: &'static str| Value::new(text.as_bytes()).unwrap();
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
            headers.append(&Name::new(name.as_bytes()).unwrap(), value("root"));
            headers.append(&Name::new(name.as_bytes()).unwrap(), value("root2"));
        }
        headers.append(&Name::new(b"x-remote-users").unwrap(), value("kept"));
        headers.append(&Name::new(b"xxremote-user").unwrap(), value("kept"));
        remove_incoming(&mut headers);
        let left: Vec<_> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["x-remote-users", "xxremote-user"]);
    }

    #[test]
    fn connection_cannot_name_our_headers_away() {
        let mut headers = Headers::new();
        headers.append(&CONNECTION, Value::from_static("keep-alive, X_Remote-User"));
        headers.append(&CONNECTION, Value::from_static("x-remote-groups , AUTHORIZATION,x-own"));
        remove_incoming(&mut headers);
        assert_eq!(headers.get_all(&CONNECTION).collect::<Vec<_>>(), ["keep-alive, x-own"]);
        let mut only = Headers::new();
        only.append(&CONNECTION, Value::from_static("x-remote-user"));
        remove_incoming(&mut only);
        assert!(only.is_empty());
    }

    #[test]
    fn a_basic_challenge_is_seen_among_others_and_not_in_quotes() {
        let has = |value: &'static str| has_basic_challenge([Value::from_static(value)].into_iter());
        assert!(has("Basic realm=\"x\""));
        assert!(has("basic"));
        assert!(has("Digest realm=\"a, b\", nonce=\"c\", BASIC realm=\"y\""));
        assert!(has("Bearer,Basic realm=y"));
        assert!(!has("Bearer realm=\"x, Basic realm\""));
        assert!(!has("Bearer realm=\"x\\\", Basic\""));
        assert!(!has("Basically realm=x"));
    }
}
