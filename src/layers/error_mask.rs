//! Error masking: the one place where refusals and backend errors become the page a stranger may see.

use crate::audit::{Action, Decision, Record};
use crate::diagnostic::Diagnostic;
use crate::message::{Body, EventId, Response};
use crate::policy::{Map, Policy};
use crate::refusal::Refusal;
use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{Method, StatusCode};
use std::path::Path;

/// The page that is shipped; `pages` in the policy replaces it.
const BUILT_IN_PAGE: &str = include_str!("../../policies/pages/error.html");
/// The page's name in the folder that `pages` names.
const PAGE_NAME: &str = "error.html";
/// Bytes of an administrator's page.
const PAGE_BYTES_MAX: u64 = 256 * 1024;
/// Seconds in `Retry-After` where nothing better is known.
const RETRY_AFTER_SECONDS: u64 = 5;
/// The same where a person has to make room.
const ACCOUNT_RETRY_AFTER_SECONDS: u64 = 3_600;
/// Response headers that tell what software and versions stand behind us.
fn tells_tales(name: &str) -> bool {
    matches!(
        name,
        "server"
            | "x-powered-by"
            | "x-aspnet-version"
            | "x-aspnetmvc-version"
            | "x-generator"
            | "x-runtime"
            | "x-version"
            | "x-backend-server"
            | "x-served-by"
            | "x-owa-version"
            | "x-feserver"
            | "x-beserver"
            | "x-calculatedbetarget"
            | "x-diaginfo"
    )
}

/// Turns every way of saying no into a page with our face.
#[derive(Debug)]
pub struct ErrorMask {
    page: String,
}

/// What a refusal looks like from outside.
struct Face {
    status: StatusCode,
    header: Option<(HeaderName, HeaderValue)>,
    action: Action,
    /// Close the connection without an answer.
    abort: bool,
    /// Close the connection after the answer, since what follows cannot be trusted.
    close: bool,
}

impl ErrorMask {
    /// The mask of a policy, with its page or the built-in one.
    ///
    /// # Errors
    /// A sentence, when the page cannot be read.
    pub fn new(policy: &Policy) -> Result<Self, String> {
        let page = match &policy.pages {
            None => BUILT_IN_PAGE.to_owned(),
            Some(folder) => read_page(&folder.join(PAGE_NAME)).map_err(|mistake| mistake.to_string())?,
        };
        Ok(Self { page })
    }

    /// The response for a refusal; writes the decision into the record.
    pub fn refuse(&self, refusal: &Refusal, asked: &Asked, map: Option<&Map>, record: &mut Record) -> Response {
        let face = face(refusal, map);
        record.decision = Decision { layer: Some(refusal.layer()), action: face.action, reason: refusal.reason() };
        let mut response = self.page_response(face.status, asked);
        if let Some((name, value)) = face.header {
            response.headers.insert(name, value);
        }
        if face.close {
            response.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.abort = face.abort;
        response
    }

    /// What a stranger may see of a backend's response: our page for the masked statuses, no tell-tale headers.
    pub fn release(&self, response: Response, asked: &Asked, map: &Map, record: &mut Record) -> Response {
        let mut response = response;
        if response.headers.keys().any(|name| tells_tales(name.as_str())) {
            let names: Vec<HeaderName> = response.headers.keys().filter(|name| tells_tales(name.as_str())).cloned().collect();
            for name in names {
                response.headers.remove(name);
            }
        }
        for name in &map.mask.remove_headers {
            response.headers.remove(name.as_str());
        }
        if !map.mask.masks(response.status.as_u16()) {
            return response;
        }
        record.decision.action = Action::Mask;
        record.decision.reason = "backend_status";
        let mut page = self.page_response(response.status, asked);
        for name in [WWW_AUTHENTICATE, ALLOW, RETRY_AFTER] {
            for value in response.headers.get_all(&name) {
                page.headers.append(name.clone(), value.clone());
            }
        }
        page
    }

    fn page_response(&self, status: StatusCode, asked: &Asked) -> Response {
        let mut response = Response::new(status);
        let phrase = status.canonical_reason().unwrap_or("Error");
        let (kind, text) = if asked.accept.prefers_json() {
            ("application/problem+json", problem(status, phrase, asked.id))
        } else {
            ("text/html; charset=utf-8", self.fill(status, phrase, asked.id))
        };
        response.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if asked.head {
            response.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        } else {
            response.body = Body::full(Bytes::from(text));
        }
        response
    }

    fn fill(&self, status: StatusCode, phrase: &str, id: EventId) -> String {
        self.page.replace("{{status}}", status.as_str()).replace("{{reason}}", phrase).replace("{{event_id}}", id.as_str())
    }
}

/// What of the request decides the form of a page.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The event's id.
    pub id: EventId,
    /// What `Accept` said, line by line; looked into only where a page is made.
    accept: Accept,
    /// A HEAD request: no body.
    pub head: bool,
}

/// The lines of `Accept`; nearly always one.
#[derive(Clone, Debug)]
enum Accept {
    One(Option<HeaderValue>),
    Many(Vec<HeaderValue>),
}

impl Accept {
    fn of(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(ACCEPT).iter();
        match (lines.next(), lines.next()) {
            (first, None) => Self::One(first.cloned()),
            _ => Self::Many(headers.get_all(ACCEPT).iter().cloned().collect()),
        }
    }

    /// JSON where a JSON type is named and not HTML (RFC 9110 section 12.5.1, without weights between the two).
    fn prefers_json(&self) -> bool {
        let lines = match self {
            Self::One(line) => line.as_slice(),
            Self::Many(lines) => lines,
        };
        let names = |word: &str| lines.iter().any(|v| v.to_str().is_ok_and(|v| v.to_ascii_lowercase().contains(word)));
        names("json") && !names("text/html")
    }
}

impl Asked {
    /// Read off a request.
    pub fn new(id: EventId, method: &Method, headers: &HeaderMap) -> Self {
        Self { id, accept: Accept::of(headers), head: *method == Method::HEAD }
    }
}

fn problem(status: StatusCode, phrase: &str, id: EventId) -> String {
    format!("{{\"type\":\"about:blank\",\"title\":\"{phrase}\",\"status\":{},\"event_id\":\"{id}\"}}\n", status.as_u16())
}

/// What is wrong with the page in a folder that `pages` names.
pub fn page_mistake(folder: &Path) -> Option<Diagnostic> {
    read_page(&folder.join(PAGE_NAME)).err()
}

fn read_page(path: &Path) -> Result<String, Diagnostic> {
    let wrong = |why: &str| Diagnostic::file(path, why, "make the page readable, or leave out `pages`: a page is built in");
    let broken = |e: &std::io::Error| match e.kind() {
        std::io::ErrorKind::InvalidData => wrong("the page is not UTF-8 text"),
        _ => wrong(&format!("the page cannot be read: {e}")),
    };
    let length = std::fs::metadata(path).map_err(|e| broken(&e))?.len();
    if length > PAGE_BYTES_MAX {
        return Err(wrong(&format!("{length} bytes are more than a page may have ({PAGE_BYTES_MAX})")));
    }
    std::fs::read_to_string(path).map_err(|e| broken(&e))
}

/// The challenge of a realm (RFC 7617).
pub fn basic_challenge(realm: &str) -> HeaderValue {
    let quoted: String =
        realm.chars().filter(|c| !c.is_control()).flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect();
    HeaderValue::try_from(format!("Basic realm=\"{quoted}\", charset=\"UTF-8\""))
        .unwrap_or(HeaderValue::from_static("Basic realm=\"\", charset=\"UTF-8\""))
}

/// The whole table of status codes. No wildcard arm: a new refusal must be given its face here.
fn face(refusal: &Refusal, map: Option<&Map>) -> Face {
    use Refusal as R;
    let plain = |status: StatusCode| Face { status, header: None, action: Action::Deny, abort: false, close: false };
    let closing = |status: StatusCode| Face { close: true, ..plain(status) };
    let later = |status: StatusCode, seconds: u64| Face { header: Some((RETRY_AFTER, HeaderValue::from(seconds.max(1)))), ..plain(status) };
    let challenge = || Face {
        header: Some((WWW_AUTHENTICATE, basic_challenge(map.map_or("", |m| &m.auth.realm)))),
        action: Action::Challenge,
        ..plain(StatusCode::UNAUTHORIZED)
    };
    let redirect = |status: StatusCode, to: &str| match HeaderValue::from_str(to) {
        Ok(value) => Face { header: Some((LOCATION, value)), action: Action::Redirect, ..plain(status) },
        Err(_) => plain(StatusCode::FORBIDDEN),
    };
    match refusal {
        R::MalformedRequestLine
        | R::VersionUnsupported
        | R::MalformedTarget
        | R::MalformedHeader
        | R::ObsoleteFolding
        | R::BareLineEnd
        | R::LengthAndEncoding
        | R::BadContentLength
        | R::BadTransferEncoding
        | R::BadChunk
        | R::BadHost
        | R::BodyIncomplete
        | R::MalformedHttp2 => closing(StatusCode::BAD_REQUEST),
        R::VersionMissing => Face { abort: true, ..closing(StatusCode::BAD_REQUEST) },
        R::RequestLineTooLong => closing(StatusCode::URI_TOO_LONG),
        R::HeadTooLarge => closing(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        R::HeaderTimeout | R::BodyTimeout => closing(StatusCode::REQUEST_TIMEOUT),
        R::AmbiguousPath | R::BadPath => plain(StatusCode::BAD_REQUEST),
        R::MethodNotAllowed { allow } => {
            Face { header: HeaderValue::from_str(allow).ok().map(|v| (ALLOW, v)), ..plain(StatusCode::METHOD_NOT_ALLOWED) }
        }
        R::UnknownHost | R::ForeignTarget | R::MisdirectedTls => plain(StatusCode::MISDIRECTED_REQUEST),
        R::HttpsOnly | R::NotAllowed | R::AddressNotAllowed | R::CrossSite | R::FormFromElsewhere => plain(StatusCode::FORBIDDEN),
        R::HttpsRedirect { location } => redirect(StatusCode::PERMANENT_REDIRECT, location),
        R::NotMapped => plain(StatusCode::NOT_FOUND),
        R::CredentialsMissing | R::CredentialsWrong | R::CredentialsMalformed | R::NotAllowedChallenge => challenge(),
        R::LoginBackoff { retry_after_seconds }
        | R::UnauthenticatedFlood { retry_after_seconds }
        | R::AccountRequestFlood { retry_after_seconds }
        | R::RateLimited { retry_after_seconds } => later(StatusCode::TOO_MANY_REQUESTS, *retry_after_seconds),
        R::AccountQueueFull => later(StatusCode::SERVICE_UNAVAILABLE, ACCOUNT_RETRY_AFTER_SECONDS),
        R::HashQueueFull | R::Overloaded | R::AuditUnavailable | R::BackendBusy => {
            later(StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER_SECONDS)
        }
        R::Draining => Face { close: true, ..later(StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER_SECONDS) },
        R::TooManyInFlight => later(StatusCode::TOO_MANY_REQUESTS, 1),
        R::IntegratedAuthOffered => {
            if map.is_some_and(|m| m.auth.require.names_users()) {
                Face { action: Action::Deny, ..challenge() }
            } else {
                plain(StatusCode::FORBIDDEN)
            }
        }
        R::RuleDenied { status, rule: _ } => {
            plain(StatusCode::from_u16(*status).ok().filter(|s| s.as_u16() >= 400).unwrap_or(StatusCode::FORBIDDEN))
        }
        R::RuleDropped { rule: _ } => Face { abort: true, ..closing(StatusCode::FORBIDDEN) },
        R::RuleRedirect { status, location, rule: _ } => redirect(StatusCode::from_u16(*status).unwrap_or(StatusCode::FOUND), location),
        R::BodyUndecodable => closing(StatusCode::BAD_REQUEST),
        R::ResponseTooLarge => plain(StatusCode::BAD_GATEWAY),
        R::BodyTooLarge | R::FormTooLarge => closing(StatusCode::PAYLOAD_TOO_LARGE),
        R::EngineError | R::Internal | R::AccountQueueFailed => plain(StatusCode::INTERNAL_SERVER_ERROR),
        R::BackendUnreachable | R::BackendTls | R::BackendGarbage | R::BackendLoginConflict => plain(StatusCode::BAD_GATEWAY),
        R::BackendTimeout => plain(StatusCode::GATEWAY_TIMEOUT),
        R::Loop => plain(StatusCode::LOOP_DETECTED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_cannot_break_out_of_its_quotes() {
        assert_eq!(basic_challenge("a\"b\\c\r\n").to_str().unwrap(), "Basic realm=\"a\\\"b\\\\c\", charset=\"UTF-8\"");
    }

    #[test]
    fn json_clients_get_problem_json_and_browsers_html() {
        let headers = |v: &'static str| HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(v))]);
        let prefers_json = |headers: HeaderMap| Accept::of(&headers).prefers_json();
        assert!(prefers_json(headers("application/json")));
        assert!(!prefers_json(headers("text/html,application/json;q=0.9")));
        assert!(!prefers_json(HeaderMap::new()));
        let mut two = headers("image/png");
        two.append(ACCEPT, HeaderValue::from_static("application/problem+JSON"));
        assert!(prefers_json(two));
    }
}
