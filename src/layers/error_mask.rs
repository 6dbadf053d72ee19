//! Error masking: the one place where refusals and backend errors become the page a stranger may see.

use crate::audit::{Action, Decision, Record};
use crate::diagnostic::Diagnostic;
use crate::head::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, Name, NameSet, OwnValue, RETRY_AFTER, RawHead, Value,
    WWW_AUTHENTICATE,
};
use crate::message::{Body, EventId, Response};
use crate::policy::{Map, Policy};
use crate::refusal::Refusal;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::path::Path;
use std::sync::{Arc, LazyLock};

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

static TALE_TELLERS: LazyLock<NameSet> = LazyLock::new(|| NameSet::new(tells_tales));

/// Turns every way of saying no into a page with our face.
#[derive(Debug)]
pub struct ErrorMask {
    page: String,
}

/// What a refusal looks like from outside.
struct Face {
    status: StatusCode,
    header: Option<(Name, OwnValue)>,
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
            response.headers.insert(&name, value.get());
        }
        if face.close {
            response.headers.insert(&CONNECTION, const { Value::from_static("close") });
        }
        response.abort = face.abort;
        response
    }

    /// What a stranger may see of a backend's response: our page for the masked statuses, no tell-tale headers.
    pub fn release(&self, response: Response, asked: &Asked, map: &Map, record: &mut Record) -> Response {
        let mut response = response;
        response.headers.remove_any(&TALE_TELLERS);
        for name in &map.mask.remove_headers {
            response.headers.remove(name);
        }
        if !map.mask.masks(response.status.as_u16()) {
            return response;
        }
        record.decision.action = Action::Mask;
        record.decision.reason = "backend_status";
        let mut page = self.page_response(response.status, asked);
        for name in [WWW_AUTHENTICATE, ALLOW, RETRY_AFTER] {
            for value in response.headers.get_all(&name) {
                page.headers.append(&name, value);
            }
        }
        page
    }

    fn page_response(&self, status: StatusCode, asked: &Asked) -> Response {
        let mut response = Response::new(status);
        let phrase = status.canonical_reason().unwrap_or("Error");
        let (kind, text) = if asked.prefers_json() {
            (const { Value::from_static("application/problem+json") }, problem(status, phrase, asked.id))
        } else {
            (const { Value::from_static("text/html; charset=utf-8") }, self.fill(status, phrase, asked.id))
        };
        response.headers.insert(&CONTENT_TYPE, kind);
        response.headers.insert(&CACHE_CONTROL, const { Value::from_static("no-store") });
        if asked.head {
            response.headers.insert(&CONTENT_LENGTH, number(text.len() as u64).get());
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
    /// A HEAD request: no body.
    pub head: bool,
    /// Looked into only where a page is made.
    raw: Arc<RawHead>,
}

impl Asked {
    /// Read off a request.
    pub fn new(id: EventId, method: &Method, raw: &Arc<RawHead>) -> Self {
        Self { id, head: *method == Method::HEAD, raw: Arc::clone(raw) }
    }

    /// JSON where a JSON type is named and not HTML (RFC 9110 section 12.5.1, without weights between the two).
    fn prefers_json(&self) -> bool {
        let lines: Vec<Vec<u8>> = self
            .raw
            .headers()
            .filter(|(name, _)| name.eq_ignore_ascii_case(ACCEPT.as_str().as_bytes()))
            .map(|(_, value)| value.to_ascii_lowercase())
            .collect();
        let names = |word: &[u8]| lines.iter().any(|line| line.windows(word.len()).any(|part| part == word));
        names(b"json") && !names(b"text/html")
    }
}

/// A number as a value.
fn number(number: u64) -> OwnValue {
    OwnValue::new(number.to_string()).unwrap_or_default()
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
pub fn basic_challenge(realm: &str) -> OwnValue {
    let quoted: String =
        realm.chars().filter(|c| !c.is_control()).flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect();
    OwnValue::new(format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"")).unwrap_or_default()
}

/// The whole table of status codes. No wildcard arm: a new refusal must be given its face here.
fn face(refusal: &Refusal, map: Option<&Map>) -> Face {
    use Refusal as R;
    let plain = |status: StatusCode| Face { status, header: None, action: Action::Deny, abort: false, close: false };
    let closing = |status: StatusCode| Face { close: true, ..plain(status) };
    let later = |status: StatusCode, seconds: u64| Face { header: Some((RETRY_AFTER, number(seconds.max(1)))), ..plain(status) };
    let challenge = || Face {
        header: Some((WWW_AUTHENTICATE, basic_challenge(map.map_or("", |m| &m.auth.realm)))),
        action: Action::Challenge,
        ..plain(StatusCode::UNAUTHORIZED)
    };
    let redirect = |status: StatusCode, to: &str| match OwnValue::new(to) {
        Some(value) => Face { header: Some((LOCATION, value)), action: Action::Redirect, ..plain(status) },
        None => plain(StatusCode::FORBIDDEN),
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
            Face { header: OwnValue::new(allow.as_str()).map(|v| (ALLOW, v)), ..plain(StatusCode::METHOD_NOT_ALLOWED) }
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
        assert_eq!(basic_challenge("a\"b\\c\r\n").get(), "Basic realm=\"a\\\"b\\\\c\", charset=\"UTF-8\"");
    }

    #[test]
    fn json_clients_get_problem_json_and_browsers_html() {
        let prefers_json = |lines: &[&str]| {
            let raw = RawHead::from_parts(b"GET", b"/", b"HTTP/1.1", lines.iter().map(|line| (&b"Accept"[..], line.as_bytes())));
            let id = EventId::new(crate::clock::Moment::now(), 1);
            Asked::new(id, &Method::GET, &Arc::new(raw)).prefers_json()
        };
        assert!(prefers_json(&["application/json"]));
        assert!(!prefers_json(&["text/html,application/json;q=0.9"]));
        assert!(!prefers_json(&[]));
        assert!(prefers_json(&["image/png", "application/problem+JSON"]));
    }
}
