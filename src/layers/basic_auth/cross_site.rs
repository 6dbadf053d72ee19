//! Requests that another site caused, told by what browsers say of them.

use crate::head::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN, SEC_FETCH_SITE, UPGRADE};
use crate::message::Request;
use http::Method;

/// Whether this is a CORS preflight as browsers send it: never with credentials (Fetch standard, section 4.8).
pub(super) fn is_preflight(request: &Request) -> bool {
    let headers = &request.headers;
    request.method == Method::OPTIONS
        && headers.contains(&ORIGIN)
        && headers.contains(&ACCESS_CONTROL_REQUEST_METHOD)
        && !headers.contains(&AUTHORIZATION)
}

/// Whether another site caused the request: `Sec-Fetch-Site: cross-site`, or on unsafe methods and upgrades an `Origin`
/// that is not the site's own. `allow` names origins that may nevertheless.
pub(super) fn is_foreign(request: &Request, allow: &[String]) -> bool {
    let headers = &request.headers;
    let mut origins = headers.get_all(&ORIGIN);
    let origin = origins.next().map(|o| o.as_bytes());
    if origins.next().is_some() {
        return true;
    }
    if origin.is_some_and(|origin| allow.iter().any(|a| a.as_bytes().eq_ignore_ascii_case(origin))) {
        return false;
    }
    if headers.get_all(&SEC_FETCH_SITE).any(|value| value.as_bytes().eq_ignore_ascii_case(b"cross-site")) {
        return true;
    }
    let acts = !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) || headers.contains(&UPGRADE);
    acts && origin.is_some_and(|origin| !is_own(request, origin))
}

/// Whether an origin is the scheme and host that the request came to (RFC 6454 section 7: lower case, default port left out).
fn is_own(request: &Request, origin: &[u8]) -> bool {
    let (scheme, port): (&[u8], &[u8]) = if request.peer.tls.is_some() { (b"https://", b":443") } else { (b"http://", b":80") };
    let Some(host) = origin.strip_prefix(scheme) else { return false };
    let plain = |host: &[u8]| {
        let host = host.strip_suffix(port).unwrap_or(host);
        host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase()
    };
    request.authority.as_ref().is_some_and(|ours| plain(ours) == plain(host))
}
