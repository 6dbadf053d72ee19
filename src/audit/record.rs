//! The audit record of one request, as plain data: layers fill it in, the writer makes one JSON line of it.

use super::sanitise::SanitisedName;
use crate::clock::Moment;
use crate::message::{EventId, Peer};
use crate::refusal::Layer;
use bytes::Bytes;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// What was decided in the end (`decision.action`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// Forwarded, and the backend's answer given.
    #[default]
    Allow,
    /// Refused by us.
    Deny,
    /// Asked for credentials (401).
    Challenge,
    /// Answered with a redirect of ours.
    Redirect,
    /// Answered by a page of ours, or a backend status masked.
    Mask,
    /// Answered by a page of ours that people use: the one for account requests.
    Answer,
    /// The client went away before an answer.
    Abort,
}

impl Action {
    /// The word in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Challenge => "challenge",
            Self::Redirect => "redirect",
            Self::Mask => "mask",
            Self::Answer => "answer",
            Self::Abort => "abort",
        }
    }
}

/// How much of the messages inspection saw (`inspection.extent`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// All that the policy asks for.
    Full,
    /// The first part.
    Partial,
    /// Nothing.
    #[default]
    None,
}

impl Extent {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}

/// How the response body ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// It did not begin.
    #[default]
    NotStarted,
    /// Whole.
    Complete,
    /// The client hung up or stopped reading.
    ClientGone,
    /// The backend broke off.
    BackendBroken,
    /// We cut it: a rule, a limit, a removed user.
    Cut,
    /// Became a tunnel; a `tunnel_end` record follows.
    Tunnel,
}

impl Ended {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::BackendBroken => "backend_broken",
            Self::Cut => "cut",
            Self::Tunnel => "tunnel",
        }
    }
}

/// One rule that matched (`rules[]`).
#[derive(Clone, Debug, Default)]
pub struct RuleMatch {
    /// The rule's id.
    pub id: u64,
    /// Phase 1 to 5.
    pub phase: u8,
    /// `msg`, expanded.
    pub message: String,
    /// `tag`s.
    pub tags: Vec<String>,
    /// `severity` by its name, lower case; empty for none.
    pub severity: String,
    /// The variable that matched, as `ARGS:id`.
    pub variable: String,
    /// The matched text, as inspected.
    pub matched: Vec<u8>,
    /// `logdata`, expanded.
    pub data: String,
    /// What it added to the anomaly score.
    pub score: i64,
    /// Where the rule stands, `file:line`.
    pub source: String,
}

/// What the login layer found.
#[derive(Clone, Debug, Default)]
pub struct AuthOutcome {
    /// `none`, `proven`, `cached`, `wrong`, `unknown_user`, `malformed`, `backoff`, `queue_full`.
    pub result: &'static str,
    /// The user name as sent; written plain only when `known`.
    pub user: Option<String>,
    /// Whether the user is in the file.
    pub known: bool,
    /// The groups of a proven user.
    pub groups: Vec<String>,
    /// Wait of the hash in microseconds, if one ran.
    pub hash_micros: Option<u64>,
}

/// What happened at the backend.
#[derive(Clone, Debug, Default)]
pub struct UpstreamOutcome {
    /// The backend's name in the policy.
    pub backend: Arc<str>,
    /// The member's address.
    pub address: Arc<str>,
    /// Whether the connection came from the pool.
    pub reused: bool,
    /// The status the backend gave.
    pub status: Option<u16>,
    /// Tries made.
    pub tries: u32,
    /// What went wrong, in our words.
    pub error: Option<String>,
}

/// Microseconds spent per layer (`timing.*`); `None` where a request did not get that far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// The door.
    pub door: Option<u64>,
    /// Layer 1.
    pub basic_auth: Option<u64>,
    /// Layer 2.
    pub ntlm_block: Option<u64>,
    /// Layer 3.
    pub rate_limit: Option<u64>,
    /// Layer 4, request side.
    pub inspection: Option<u64>,
    /// Layer 5 up to the backend's response head.
    pub forwarding: Option<u64>,
    /// From the head's arrival to the response head.
    pub head: Option<u64>,
    /// From the head's arrival to the end of the response body.
    pub total: Option<u64>,
}

/// The decision that ended the walk.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// Which layer; `None` for a plain allow.
    pub layer: Option<Layer>,
    /// What.
    pub action: Action,
    /// Why, one stable word.
    pub reason: &'static str,
}

/// What the rules would have done in a mode that refuses nothing (`inspection.would`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Would {
    /// `deny`, `drop` or `redirect`.
    pub action: &'static str,
    /// The status it would have had.
    pub status: u16,
    /// The rule that would have decided.
    pub rule: u64,
    /// The phase it stands in, 1 to 4.
    pub phase: u8,
}

/// The kind of a record (`event.kind` of ours).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// One request.
    #[default]
    Request,
    /// The end of a tunnel whose opening was a request.
    TunnelEnd,
    /// A connection that failed before a request: a TLS handshake, a limit of connections.
    Connection,
}

/// Where closed records go: the trail, and whoever counts them.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(&Record) + Send + Sync>);

impl Sink {
    /// A sink that does this with each record.
    pub fn new(take: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Takes a closed record.
    pub fn take(&self, record: &Record) {
        (self.0)(record);
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

/// Facts that are known only when the record closes, long after the layer that has them was left.
pub trait Late: Send + Sync + std::fmt::Debug {
    /// Writes them into the record and gives it to the sink, exactly once: now, or when what is still under way on another
    /// thread has ended.
    fn close(self: Arc<Self>, record: Box<Record>, sink: &Sink);
}

/// All that is known of one request.
#[derive(Clone, Debug)]
pub struct Record {
    /// Request, tunnel end or failed connection.
    pub kind: Kind,
    /// The event's id.
    pub id: EventId,
    /// When its head was complete.
    pub received: Moment,
    /// The connection.
    pub peer: Arc<Peer>,
    /// The client's address after trusted proxies are believed; the peer's otherwise.
    pub source: IpAddr,
    /// The method as sent.
    pub method: Cow<'static, str>,
    /// `1.0`, `1.1`, `2`.
    pub version: &'static str,
    /// The scheme the client used.
    pub scheme: &'static str,
    /// The Host as sent.
    pub host: String,
    /// The path as sent, without the query.
    pub path: String,
    /// The canonical path that decided, where it is not the path as sent; `None` before the door.
    pub canonical_path: Option<String>,
    /// The query without its question mark.
    pub query: Option<String>,
    /// Headers worth keeping, in order, names lower case: the writer redacts them.
    pub headers: Vec<(Cow<'static, str>, Bytes)>,
    /// Bytes of the request body read from the client.
    pub request_bytes: u64,
    /// The site's first name and the map's path.
    pub site: Option<Arc<str>>,
    /// The map's path.
    pub map: Option<Arc<str>>,
    /// The login.
    pub auth: AuthOutcome,
    /// What was removed or refused by layer 2, as `www-authenticate: Negotiate`.
    pub integrated_removed: Vec<String>,
    /// The rate limiter in `log` mode would have refused.
    pub rate_would_limit: bool,
    /// How much inspection saw of the request.
    pub extent: Extent,
    /// Why not all of it; empty for all.
    pub extent_reason: &'static str,
    /// The mode inspection ran in: `block`, `detect`, `off`.
    pub inspection_mode: &'static str,
    /// The exclusions that were in force for the request, by their place in the policy (`gateway.toml:57`).
    pub exclusions: Vec<Arc<str>>,
    /// The anomaly score.
    pub score: Option<i64>,
    /// What the rules would have decided where they only report.
    pub would: Option<Would>,
    /// The rules that matched, in order.
    pub rules: Vec<RuleMatch>,
    /// What rules said must not be shown: the lower-case action, and the parameter, header or variable it names.
    pub sanitised: Vec<SanitisedName>,
    /// The backend.
    pub upstream: Option<UpstreamOutcome>,
    /// The status the client got; `None` when it got none.
    pub status: Option<u16>,
    /// Bytes of the response body given to the client.
    pub response_bytes: u64,
    /// How the response ended.
    pub ended: Ended,
    /// What was decided.
    pub decision: Decision,
    /// Where the time went.
    pub timing: Timing,
    /// Further facts worth a word each: `canonical_spelling_rewritten`, `cookie_domain_rewritten` ...
    pub notes: Vec<&'static str>,
    /// Who has more to say when the record closes.
    pub late: Option<Arc<dyn Late>>,
}

impl Record {
    /// A record of a request of which nothing is known yet but where it came from.
    pub fn new(id: EventId, received: Moment, peer: Arc<Peer>) -> Self {
        Self {
            kind: Kind::Request,
            id,
            received,
            source: peer.remote.ip().to_canonical(),
            scheme: if peer.tls.is_some() { "https" } else { "http" },
            peer,
            method: Cow::Borrowed(""),
            version: "1.1",
            host: String::new(),
            path: String::new(),
            canonical_path: None,
            query: None,
            headers: Vec::new(),
            request_bytes: 0,
            site: None,
            map: None,
            auth: AuthOutcome { result: "none", ..AuthOutcome::default() },
            integrated_removed: Vec::new(),
            rate_would_limit: false,
            extent: Extent::None,
            extent_reason: "not_reached",
            inspection_mode: "off",
            exclusions: Vec::new(),
            score: None,
            would: None,
            rules: Vec::new(),
            sanitised: Vec::new(),
            upstream: None,
            status: None,
            response_bytes: 0,
            ended: Ended::NotStarted,
            decision: Decision::default(),
            timing: Timing::default(),
            notes: Vec::new(),
            late: None,
        }
    }

    /// Takes over what names the request of another record, for the end of a tunnel.
    pub fn clone_request(&mut self, other: &Self) {
        self.source = other.source;
        self.method.clone_from(&other.method);
        self.version = other.version;
        self.scheme = other.scheme;
        self.host.clone_from(&other.host);
        self.path.clone_from(&other.path);
        self.canonical_path.clone_from(&other.canonical_path);
        self.query.clone_from(&other.query);
        self.site.clone_from(&other.site);
        self.map.clone_from(&other.map);
        self.auth.clone_from(&other.auth);
        self.upstream.clone_from(&other.upstream);
        self.status = other.status;
    }
}
