//! Every way of saying no: one enum, one sentence each, naming who is at fault.

use std::fmt;

/// The step of the stack that decided, as `decision.layer` in the audit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// HTTP/1 framing and HTTP/2 protocol checks, below the stack.
    Wire,
    /// Canonical host and path, sites, maps, https-only, redirects.
    Door,
    /// Layer 1.
    BasicAuth,
    /// Layer 2.
    NtlmBlock,
    /// Layer 3.
    RateLimit,
    /// Layer 4.
    Inspection,
    /// The page on which people ask for an account.
    AccountRequests,
    /// Layer 5.
    Forwarding,
    /// The audit trail itself.
    Audit,
    /// Listeners, drain and overload.
    Server,
}

impl Layer {
    /// The name in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Door => "door",
            Self::BasicAuth => "basic_auth",
            Self::NtlmBlock => "ntlm_block",
            Self::RateLimit => "rate_limit",
            Self::Inspection => "inspection",
            Self::AccountRequests => "account_requests",
            Self::Forwarding => "forwarding",
            Self::Audit => "audit",
            Self::Server => "server",
        }
    }
}

/// Why a request gets no answer from a backend. Status codes and pages are chosen from it in `error_mask` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    // ---- the wire: the client's message is at fault ----
    /// The request line is not `method SP target SP version` (RFC 9112 section 3).
    MalformedRequestLine,
    /// A request line without a version (HTTP/0.9): closed without an answer.
    VersionMissing,
    /// A version other than 1.0 and 1.1.
    VersionUnsupported,
    /// A request target that is none of the four forms, or holds control bytes or a fragment (RFC 9112 section 3.2).
    MalformedTarget,
    /// A header line that is not `name: value`: no colon, bad name bytes, white space before the colon, control bytes.
    MalformedHeader,
    /// A header continued on the next line (obs-fold, RFC 9112 section 5.2).
    ObsoleteFolding,
    /// A line ended by LF alone, or a CR not followed by LF.
    BareLineEnd,
    /// Content-Length with Transfer-Encoding (RFC 9112 section 6.1).
    LengthAndEncoding,
    /// More than one Content-Length, or one that is not a plain number.
    BadContentLength,
    /// A Transfer-Encoding other than exactly `chunked`, or one on HTTP/1.0.
    BadTransferEncoding,
    /// A chunk size, extension or trailer that does not follow RFC 9112 section 7.1.
    BadChunk,
    /// No Host on HTTP/1.1, two of them, an empty one, or bytes a host cannot have (RFC 9112 section 3.2).
    BadHost,
    /// The request line is longer than `request_line_bytes_max`.
    RequestLineTooLong,
    /// The head is longer than `head_bytes_max`, or has more than `headers_max` headers.
    HeadTooLarge,
    /// The head did not arrive within `header_timeout_seconds`.
    HeaderTimeout,
    /// The body stalled for `body_timeout_seconds` or came slower than `body_bytes_per_second_min`.
    BodyTimeout,
    /// The client closed before its body had ended.
    BodyIncomplete,
    /// HTTP/2 pseudo-headers or connection-specific headers that RFC 9113 section 8 forbids.
    MalformedHttp2,

    // ---- the door ----
    /// CONNECT, TRACE, or a method the map does not allow.
    MethodNotAllowed {
        /// The methods for `Allow`, comma separated.
        allow: String,
    },
    /// Host names no site here.
    UnknownHost,
    /// An absolute-form target whose host is not the site's: a try at forward proxying.
    ForeignTarget,
    /// SNI and Host name sites whose TLS settings differ.
    MisdirectedTls,
    /// Plain HTTP on a map that is https-only.
    HttpsOnly,
    /// Plain HTTP on a map that redirects to https.
    HttpsRedirect {
        /// The same resource under the configured name.
        location: String,
    },
    /// No map for the path, or an exclusion.
    NotMapped,
    /// The spellings of the path could be read as different maps, requires or exclusions.
    AmbiguousPath,
    /// A path that is not valid: bad percent-encoding, a NUL, `..` above the root.
    BadPath,

    // ---- layer 1 ----
    /// No credentials.
    CredentialsMissing,
    /// Wrong user or password.
    CredentialsWrong,
    /// An Authorization header that is not Basic with valid base64.
    CredentialsMalformed,
    /// Known user, not allowed here.
    NotAllowed,
    /// Known user, not allowed here, and the map asks for Apache's 401.
    NotAllowedChallenge,
    /// Address rules (`ip`, `local`, `all denied`) refuse without a password being able to help.
    AddressNotAllowed,
    /// Too many failed logins; seconds to wait.
    LoginBackoff {
        /// For `Retry-After`.
        retry_after_seconds: u64,
    },
    /// Too many requests without credentials from one address; seconds to wait.
    UnauthenticatedFlood {
        /// For `Retry-After`.
        retry_after_seconds: u64,
    },
    /// All hashing workers are busy and the queue is full.
    HashQueueFull,
    /// A cross-site request or WebSocket where the map refuses them.
    CrossSite,

    // ---- layer 2 ----
    /// NTLM or Negotiate credentials where the switch blocks them.
    IntegratedAuthOffered,

    // ---- layer 3 ----
    /// Over the rate; seconds to wait.
    RateLimited {
        /// For `Retry-After`.
        retry_after_seconds: u64,
    },
    /// Too many requests in flight for this key.
    TooManyInFlight,

    // ---- layer 4 ----
    /// A rule denied.
    RuleDenied {
        /// The rule's `status:`, 403 by default.
        status: u16,
        /// The id of the rule, for the record only.
        rule: u64,
    },
    /// A rule said `drop`: the connection is closed without an answer.
    RuleDropped {
        /// The id of the rule, for the record only.
        rule: u64,
    },
    /// A rule answered with a redirect.
    RuleRedirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The expanded target.
        location: String,
        /// The id of the rule, for the record only.
        rule: u64,
    },
    /// The body is over the inspection limit and the policy says refuse.
    BodyTooLarge,
    /// The body's content coding is not known, or it is not what the coding says, and `on_error` is `closed`.
    BodyUndecodable,
    /// The backend's body is over the inspection limit and the policy says refuse.
    ResponseTooLarge,
    /// The engine could not decide and `on_error` is `closed`.
    EngineError,

    // ---- account requests ----
    /// The form was sent by another site.
    FormFromElsewhere,
    /// The form is longer than any of ours.
    FormTooLarge,
    /// Too many looks at the page, or requests, from one address or in all; seconds to wait.
    AccountRequestFlood {
        /// For `Retry-After`.
        retry_after_seconds: u64,
    },
    /// As many people wait as may.
    AccountQueueFull,
    /// The queue cannot be written.
    AccountQueueFailed,

    // ---- layer 5 ----
    /// No connection to the backend.
    BackendUnreachable,
    /// The backend's certificate or handshake failed verification.
    BackendTls,
    /// The backend did not connect, answer or go on within its limit.
    BackendTimeout,
    /// The backend answered something that is not HTTP, or broke off in its head.
    BackendGarbage,
    /// The backend's caps are reached and the wait for a connection is over.
    BackendBusy,
    /// A backend's own 401 that has no challenge left, or a Basic challenge behind a consumed login.
    BackendLoginConflict,
    /// Our own pseudonym is in Via, or too many hops.
    Loop,

    // ---- the gateway itself ----
    /// More connections or memory than the limits allow.
    Overloaded,
    /// Told to stop; existing requests drain.
    Draining,
    /// The audit trail cannot write and `on_audit_failure` is `refuse`.
    AuditUnavailable,
    /// A fault of ours.
    Internal,
}

impl Refusal {
    /// The step that decided.
    pub fn layer(&self) -> Layer {
        use Refusal as R;
        match self {
            R::MalformedRequestLine
            | R::VersionMissing
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
            | R::RequestLineTooLong
            | R::HeadTooLarge
            | R::HeaderTimeout
            | R::BodyTimeout
            | R::BodyIncomplete
            | R::MalformedHttp2 => Layer::Wire,
            R::MethodNotAllowed { .. }
            | R::UnknownHost
            | R::ForeignTarget
            | R::MisdirectedTls
            | R::HttpsOnly
            | R::HttpsRedirect { .. }
            | R::NotMapped
            | R::AmbiguousPath
            | R::BadPath => Layer::Door,
            R::CredentialsMissing
            | R::CredentialsWrong
            | R::CredentialsMalformed
            | R::NotAllowed
            | R::NotAllowedChallenge
            | R::AddressNotAllowed
            | R::LoginBackoff { .. }
            | R::UnauthenticatedFlood { .. }
            | R::HashQueueFull
            | R::CrossSite => Layer::BasicAuth,
            R::IntegratedAuthOffered => Layer::NtlmBlock,
            R::RateLimited { .. } | R::TooManyInFlight => Layer::RateLimit,
            R::RuleDenied { .. }
            | R::RuleDropped { .. }
            | R::RuleRedirect { .. }
            | R::BodyTooLarge
            | R::BodyUndecodable
            | R::ResponseTooLarge
            | R::EngineError => Layer::Inspection,
            R::FormFromElsewhere | R::FormTooLarge | R::AccountRequestFlood { .. } | R::AccountQueueFull | R::AccountQueueFailed => {
                Layer::AccountRequests
            }
            R::BackendUnreachable
            | R::BackendTls
            | R::BackendTimeout
            | R::BackendGarbage
            | R::BackendBusy
            | R::BackendLoginConflict
            | R::Loop => Layer::Forwarding,
            R::Overloaded | R::Draining | R::Internal => Layer::Server,
            R::AuditUnavailable => Layer::Audit,
        }
    }

    /// The word in `decision.reason`: stable, lower case, no detail a stranger chose.
    pub fn reason(&self) -> &'static str {
        use Refusal as R;
        match self {
            R::MalformedRequestLine => "malformed_request_line",
            R::VersionMissing => "version_missing",
            R::VersionUnsupported => "version_unsupported",
            R::MalformedTarget => "malformed_target",
            R::MalformedHeader => "malformed_header",
            R::ObsoleteFolding => "obsolete_folding",
            R::BareLineEnd => "bare_line_end",
            R::LengthAndEncoding => "length_and_encoding",
            R::BadContentLength => "bad_content_length",
            R::BadTransferEncoding => "bad_transfer_encoding",
            R::BadChunk => "bad_chunk",
            R::BadHost => "bad_host",
            R::RequestLineTooLong => "request_line_too_long",
            R::HeadTooLarge => "head_too_large",
            R::HeaderTimeout => "header_timeout",
            R::BodyTimeout => "body_timeout",
            R::BodyIncomplete => "body_incomplete",
            R::MalformedHttp2 => "malformed_http2",
            R::MethodNotAllowed { .. } => "method_not_allowed",
            R::UnknownHost => "unknown_host",
            R::ForeignTarget => "foreign_target",
            R::MisdirectedTls => "misdirected_tls",
            R::HttpsOnly => "https_only",
            R::HttpsRedirect { .. } => "https_redirect",
            R::NotMapped => "not_mapped",
            R::AmbiguousPath => "ambiguous_path",
            R::BadPath => "bad_path",
            R::CredentialsMissing => "credentials_missing",
            R::CredentialsWrong => "credentials_wrong",
            R::CredentialsMalformed => "credentials_malformed",
            R::NotAllowed | R::NotAllowedChallenge => "not_allowed",
            R::AddressNotAllowed => "address_not_allowed",
            R::LoginBackoff { .. } => "login_backoff",
            R::UnauthenticatedFlood { .. } => "unauthenticated_flood",
            R::HashQueueFull => "hash_queue_full",
            R::CrossSite => "cross_site",
            R::IntegratedAuthOffered => "integrated_auth_offered",
            R::RateLimited { .. } => "rate_limited",
            R::TooManyInFlight => "too_many_in_flight",
            R::RuleDenied { .. } => "rule_denied",
            R::RuleDropped { .. } => "rule_dropped",
            R::RuleRedirect { .. } => "rule_redirect",
            R::BodyTooLarge => "body_too_large",
            R::BodyUndecodable => "body_undecodable",
            R::ResponseTooLarge => "response_too_large",
            R::EngineError => "engine_error",
            R::FormFromElsewhere => "form_from_elsewhere",
            R::FormTooLarge => "form_too_large",
            R::AccountRequestFlood { .. } => "account_request_flood",
            R::AccountQueueFull => "account_queue_full",
            R::AccountQueueFailed => "account_queue_failed",
            R::BackendUnreachable => "backend_unreachable",
            R::BackendTls => "backend_tls",
            R::BackendTimeout => "backend_timeout",
            R::BackendGarbage => "backend_garbage",
            R::BackendBusy => "backend_busy",
            R::BackendLoginConflict => "backend_login_conflict",
            R::Loop => "loop",
            R::Overloaded => "overloaded",
            R::Draining => "draining",
            R::AuditUnavailable => "audit_unavailable",
            R::Internal => "internal",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Refusal {}
