//! Layer 2, NTLM/Negotiate block: no integrated-auth handshake passes the gateway where the switches say so.

use crate::audit::Record;
use crate::evidence::NoHandshake;
use crate::head::{AUTHORIZATION, Headers, Name, OwnValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use crate::message::{Request, Response};
use crate::policy::{Map, NtlmSettings};
use crate::refusal::Refusal;
use http::Version;

/// Layer 2. It has no state: both switches stand in the map.
#[derive(Clone, Copy, Debug, Default)]
pub struct NtlmBlock;

/// The two schemes in question (RFC 4559; MS-NLMP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Ntlm,
    Negotiate,
}

impl Scheme {
    fn of(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"NTLM") {
            Some(Self::Ntlm)
        } else if name.eq_ignore_ascii_case(b"Negotiate") || name.eq_ignore_ascii_case(b"Kerberos") {
            Some(Self::Negotiate)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ntlm => "NTLM",
            Self::Negotiate => "Negotiate",
        }
    }

    fn switched_off(self, settings: NtlmSettings) -> bool {
        match self {
            Self::Ntlm => !settings.block_ntlm,
            Self::Negotiate => !settings.block_negotiate,
        }
    }

    /// Whether the scheme is kept out of this exchange. Over HTTP/2 it always is, since there no client connection can have a
    /// backend connection of its own; the record says so where the switch would have let it through.
    fn blocked(self, settings: NtlmSettings, version: Version, record: &mut Record) -> bool {
        const NEEDS_HTTP1: &str = "integrated_needs_http1";
        if !self.switched_off(settings) {
            return true;
        }
        if version == Version::HTTP_2 && !record.notes.contains(&NEEDS_HTTP1) {
            record.notes.push(NEEDS_HTTP1);
        }
        version == Version::HTTP_2
    }
}

impl NtlmBlock {
    /// Refuses requests that carry such credentials.
    ///
    /// # Errors
    /// `IntegratedAuthOffered`.
    pub fn admit(self, map: &Map, request: &Request, record: &mut Record) -> Result<NoHandshake, Refusal> {
        let mut integrated = false;
        for name in [AUTHORIZATION, PROXY_AUTHORIZATION] {
            for value in request.headers.get_all(&name) {
                let Some(scheme) = credentials_scheme(value.as_bytes()) else { continue };
                if scheme.blocked(map.ntlm, request.version, record) {
                    record.integrated_removed.push(format!("{name}: {}", scheme.name()));
                    return Err(Refusal::IntegratedAuthOffered);
                }
                integrated = true;
            }
        }
        Ok(NoHandshake { integrated })
    }

    /// A login refused because of such credentials is named so: layer 1 sees them only as not being Basic.
    pub fn explain(self, refusal: Refusal, map: &Map, request: &Request, record: &mut Record) -> Refusal {
        match refusal {
            Refusal::CredentialsMissing | Refusal::CredentialsMalformed => self.admit(map, request, record).err().unwrap_or(refusal),
            other => other,
        }
    }

    /// Removes blocked challenges from the answer to a request of this version. Returns whether one remains that needs a pinned
    /// connection.
    ///
    /// # Errors
    /// `BackendLoginConflict` when a 401 has no challenge left (RFC 9110 section 15.5.2 demands one).
    pub fn release(self, map: &Map, version: Version, response: &mut Response, record: &mut Record) -> Result<bool, Refusal> {
        let blocked = |scheme: Scheme, record: &mut Record| scheme.blocked(map.ntlm, version, record);
        let mut remains = strip(&mut response.headers, &WWW_AUTHENTICATE, blocked, record);
        remains |= strip(&mut response.headers, &PROXY_AUTHENTICATE, blocked, record);
        let unauthorized = response.status == http::StatusCode::UNAUTHORIZED;
        if unauthorized && !record.integrated_removed.is_empty() && !response.headers.contains(&WWW_AUTHENTICATE) {
            return Err(Refusal::BackendLoginConflict);
        }
        Ok(remains)
    }
}

fn credentials_scheme(value: &[u8]) -> Option<Scheme> {
    let value = value.trim_ascii();
    let end = value.iter().position(|b| b.is_ascii_whitespace()).unwrap_or(value.len());
    Scheme::of(value.get(..end)?)
}

/// Rewrites one header without the blocked challenges; true when an unblocked one of the two schemes is still there.
fn strip(headers: &mut Headers, name: &Name, blocked: impl Fn(Scheme, &mut Record) -> bool, record: &mut Record) -> bool {
    if !headers.contains(name) {
        return false;
    }
    let mut remains = false;
    let mut changed = false;
    let mut kept: Vec<OwnValue> = Vec::new();
    for value in headers.get_all(name) {
        let list = challenges(value.as_bytes());
        let mut good: Vec<&[u8]> = Vec::with_capacity(list.len());
        for challenge in &list {
            match credentials_scheme(challenge) {
                Some(scheme) if blocked(scheme, record) => {
                    changed = true;
                    record.integrated_removed.push(format!("{name}: {}", scheme.name()));
                }
                Some(_) => {
                    remains = true;
                    good.push(challenge);
                }
                None => good.push(challenge),
            }
        }
        if good.len() == list.len() {
            kept.extend(OwnValue::new(value.as_bytes()));
        } else if !good.is_empty() {
            kept.extend(OwnValue::new(good.join(&b", "[..])));
        }
    }
    if changed {
        headers.remove(name);
        for value in kept {
            headers.append(name, value.get());
        }
    }
    remains
}

/// The challenges of one header value (RFC 9110 section 11.6.1). A comma separates challenges only where what follows it
/// begins with a scheme: a token that is not followed by `=`, as parameters are.
fn challenges(value: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    let mut start = 0;
    for element in elements(value) {
        let text = value.get(element.clone()).unwrap_or_default();
        if begins_challenge(text) && element.start > start {
            out.push(trim(value.get(start..element.start).unwrap_or_default()));
            start = element.start;
        }
    }
    out.push(trim(value.get(start..).unwrap_or_default()));
    out.retain(|c| !c.is_empty());
    out
}

/// Without the white space and empty list elements around it (RFC 9110 section 5.6.1).
fn trim(text: &[u8]) -> &[u8] {
    let outside = |b: &u8| b.is_ascii_whitespace() || *b == b',';
    let start = text.iter().position(|b| !outside(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !outside(b)).map_or(start, |i| i + 1);
    text.get(start..end).unwrap_or_default()
}

/// The comma-separated elements, commas inside quoted strings not counted.
fn elements(value: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut out, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (i, &byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                out.push(start..i);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(start..value.len());
    out
}

/// A scheme begins an element: a token followed by the end, or by white space and something that is not `=`.
fn begins_challenge(element: &[u8]) -> bool {
    let element = element.trim_ascii();
    let token = element.iter().take_while(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)).count();
    let Some(rest) = element.get(token..) else { return false };
    if token == 0 {
        return false;
    }
    !rest.trim_ascii_start().starts_with(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &str) -> Vec<String> {
        challenges(value.as_bytes()).iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect()
    }

    #[test]
    fn one_header_with_several_challenges_is_taken_apart() {
        assert_eq!(list("Negotiate, NTLM, Basic realm=\"a, NTLM b\""), ["Negotiate", "NTLM", "Basic realm=\"a, NTLM b\""]);
        assert_eq!(list("Digest realm=\"x\", nonce=\"y\", qop=auth, NTLM"), ["Digest realm=\"x\", nonce=\"y\", qop=auth", "NTLM"]);
        assert_eq!(list("Negotiate oYG=,Bearer scope=\"a\" , error = \"b\""), ["Negotiate oYG=", "Bearer scope=\"a\" , error = \"b\""]);
        assert_eq!(list("NTLM TlRMTVNTUAAC=="), ["NTLM TlRMTVNTUAAC=="]);
        assert_eq!(list(" , ,Basic realm=\"q\\\",NTLM\", Negotiate"), ["Basic realm=\"q\\\",NTLM\"", "Negotiate"]);
    }

    #[test]
    fn credentials_are_known_by_their_scheme_in_any_case() {
        assert_eq!(credentials_scheme(b"ntlm TlRM"), Some(Scheme::Ntlm));
        assert_eq!(credentials_scheme(b" NEGOTIATE\tYII"), Some(Scheme::Negotiate));
        assert_eq!(credentials_scheme(b"Basic TlRM"), None);
        assert_eq!(credentials_scheme(b"NTLMx y"), None);
    }
}
