//! Settings: `Policy` is what is meant, resolved and checked; `file` is what an administrator may write.

pub mod file;
pub mod require;
mod rules;
pub mod ship;

pub use file::{Loaded, load, parse};
pub use require::Require;
pub use rules::{CrsFiles, Exclusion, Expiry, Marked, RuleChoice};

use crate::audit::JsonPath;
use crate::head::Name;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The whole configuration, immutable; a reload makes a new one.
#[derive(Debug)]
pub struct Policy {
    /// The file it came from.
    pub path: PathBuf,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Health, metrics and console; `None` where `[admin]` is absent.
    pub admin: Option<Admin>,
    /// The operational log.
    pub log: Log,
    /// The audit trail.
    pub audit: Audit,
    /// Time and size limits of clients' connections.
    pub limits: ClientLimits,
    /// What inspection may hold.
    pub inspection: InspectionLimits,
    /// Every host a request can ever be forwarded to.
    pub backends: Vec<Arc<Backend>>,
    /// The sites, each with its maps.
    pub sites: Vec<Arc<Site>>,
    /// The error pages' folder; `None` for the built-in pages.
    pub pages: Option<PathBuf>,
    /// Proxies in front of us whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Our name in `Via`, and how loops are noticed.
    pub pseudonym: String,
    /// Rule sets named by maps, in the order of first use: roots to load.
    pub rule_sets: Vec<RuleSetSource>,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Networks of the load balancers that must begin every connection with a PROXY protocol header; empty where none is expected.
    pub proxy_protocol_from: Vec<IpNet>,
}

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Loopback by default.
    pub address: SocketAddr,
    /// The console; `None` where nobody is named who may use it.
    pub console: Option<ConsoleSettings>,
}

/// Who may use the console.
#[derive(Clone, Debug)]
pub struct ConsoleSettings {
    /// The password file.
    pub users: PathBuf,
    /// The group file.
    pub groups: Option<PathBuf>,
    /// Which of them: people only.
    pub require: Require,
    /// DES crypt hashes are accepted.
    pub dangerously_allow_des: bool,
}

/// The operational log: start, reload, certificates, backends.
#[derive(Clone, Debug)]
pub struct Log {
    /// A `tracing` filter directive: `info`, `debug`, ...
    pub level: String,
    /// Its folder; `None` is standard error.
    pub directory: Option<PathBuf>,
    /// JSON instead of text.
    pub json: bool,
}

/// The audit trail's settings.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The folder of the `*.jsonl` files.
    pub directory: PathBuf,
    /// The folder of what must not lie beside them: the signing key, the position, the heads.
    pub state_directory: PathBuf,
    /// The signing key, where it is not in the state folder.
    pub signing_key: Option<PathBuf>,
    /// The copies of signed lines, where they are not in the state folder.
    pub heads_file: Option<PathBuf>,
    /// Where records go while the folder refuses them.
    pub spill_directory: Option<PathBuf>,
    /// The folder of the index over them.
    pub index_directory: PathBuf,
    /// The gateway keeps the index up to date.
    pub index: bool,
    /// Bytes of a file before the next is begun.
    pub file_bytes_max: u64,
    /// Days that closed files are kept; `None` for ever.
    pub retention_days: Option<u32>,
    /// Age of a closed file at which it is compressed; `None` for never.
    pub compress_after: Option<Duration>,
    /// When records are forced to the disk.
    pub sync: AuditSync,
    /// Time between forced writes with [`AuditSync::Interval`].
    pub sync_interval: Duration,
    /// Time between signed checkpoints.
    pub checkpoint_interval: Duration,
    /// Refusals before auth written one by one, per second and address; `None` for all.
    pub flood_records_per_second: Option<u32>,
    /// Refuse requests when the trail cannot write (the default), or serve and count the gap.
    pub on_failure: OnAuditFailure,
    /// Names of parameters whose values are redacted beside the built-in ones, lower case.
    pub redact_parameters: Vec<String>,
    /// Names of headers whose values are redacted beside the built-in ones, lower case.
    pub redact_headers: Vec<String>,
    /// Paths in JSON texts whose values are redacted.
    pub redact_json_paths: Vec<JsonPath>,
    /// Names of the built-in list whose values are written after all, lower case.
    pub dangerously_record_parameters: Vec<String>,
    /// Write unknown user names plain instead of as a keyed hash.
    pub dangerously_record_unknown_users: bool,
    /// Who gets the records as they are written.
    pub ship: Vec<ship::Ship>,
}

/// When audit records are forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditSync {
    /// At an interval, beside the writing.
    Interval,
    /// With every commit.
    Commit,
    /// When the system likes.
    Never,
}

/// `on_audit_failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAuditFailure {
    /// New requests get 503 until the trail writes again.
    Refuse,
    /// Requests go on; the trail says how many it lost.
    Serve,
}

/// Limits of clients' connections, each with the default of the same name in `limits`.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// Longer request lines are 414.
    pub request_line_bytes_max: usize,
    /// Longer heads are 431.
    pub head_bytes_max: usize,
    /// More headers are 431.
    pub headers_max: usize,
    /// A head that takes longer is 408.
    pub header_timeout: Duration,
    /// Silence between requests.
    pub idle_timeout: Duration,
    /// Silence inside a body is 408.
    pub body_timeout: Duration,
    /// Slower bodies are 408.
    pub body_bytes_per_second_min: u64,
    /// A client that does not read on is cut off.
    pub write_timeout: Duration,
    /// The TLS handshake.
    pub handshake_timeout: Duration,
    /// Connections in all.
    pub connections_max: usize,
    /// Connections per address or IPv6 /64.
    pub connections_per_address_max: usize,
    /// How long a stop waits for requests in flight.
    pub drain_timeout: Duration,
}

/// A named backend: the only thing a request can be forwarded to.
#[derive(Debug)]
pub struct Backend {
    /// Its place in `Policy::backends`.
    pub index: usize,
    /// Its name in the policy.
    pub name: String,
    /// Its servers; at least one.
    pub members: Vec<Member>,
    /// Connect, TLS included.
    pub connect_timeout: Duration,
    /// The response head, after the request's end.
    pub header_timeout: Duration,
    /// Silence between bytes (ProxyTimeout).
    pub between_bytes_timeout: Duration,
    /// The whole exchange; `None` for no limit (streams, downloads).
    pub total_timeout: Option<Duration>,
    /// Connections to one member.
    pub connections_max: usize,
    /// Idle connections kept per member and thread.
    pub idle_connections_max: usize,
    /// How long an idle one is kept.
    pub idle_timeout: Duration,
}

/// One server of a backend.
#[derive(Clone, Debug)]
pub struct Member {
    /// Whether TLS is spoken.
    pub tls: Option<MemberTls>,
    /// The host as written, for the name lookup and for `Host` where the map says so.
    pub host: String,
    /// The port.
    pub port: u16,
    /// A fixed address, where the name must not be looked up.
    pub address: Option<IpAddr>,
}

/// TLS to a backend.
#[derive(Clone, Debug)]
pub struct MemberTls {
    /// The name its certificate must carry; the host by default.
    pub name: String,
    /// A PEM file of the only authorities to trust; the system's by default.
    pub ca: Option<PathBuf>,
    /// `dangerously_skip_verification`.
    pub dangerously_skip_verification: bool,
}

/// One name of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteName {
    /// An exact host name, canonical: lower case, IDNA, no trailing dot.
    Exact(String),
    /// `*.example.com`: one label more than the suffix kept here (`example.com`).
    Wildcard(String),
    /// `*`, the only catch-all.
    Any,
}

/// Certificate files as Apache names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, or certificate, chain and key in one.
    pub certificate: PathBuf,
    /// The key, where it is apart.
    pub key: Option<PathBuf>,
    /// The chain, where it is apart.
    pub chain: Option<PathBuf>,
}

/// One site: names, certificate, maps.
#[derive(Debug)]
pub struct Site {
    /// Its place in `Policy::sites`.
    pub index: usize,
    /// The first name, for records and redirects.
    pub name: Arc<str>,
    /// All names.
    pub names: Vec<SiteName>,
    /// Its certificate; `None` where no TLS listener is configured.
    pub certificate: Option<CertificateFiles>,
    /// `Strict-Transport-Security` with this max-age in seconds on TLS responses.
    pub hsts_seconds: Option<u64>,
    /// The port in redirects to https; 443 is left out.
    pub https_port: u16,
    /// Its maps, longest path first.
    pub maps: Vec<Arc<Map>>,
    /// What holds for paths outside all maps: require (401 before 404), realm.
    pub unmapped: Arc<Map>,
    /// The one path on which people without an account may ask for one; `None` where the policy does not say so.
    pub account_page: Option<Arc<Map>>,
}

impl Site {
    /// Everything that a request of the site can be decided by.
    pub fn every_map(&self) -> impl Iterator<Item = &Arc<Map>> {
        self.maps.iter().chain([&self.unmapped]).chain(&self.account_page)
    }

    /// Whether clients are offered HTTP/1.1 only: a map lets NTLM or Negotiate through, which belong to a connection whose
    /// requests follow one another.
    pub fn http1_only(&self) -> bool {
        self.maps.iter().any(|map| !map.ntlm.block_ntlm || !map.ntlm.block_negotiate)
    }
}

/// `https` of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Https {
    /// Plain HTTP is 403.
    Only,
    /// Plain HTTP is 308 to https.
    Redirect,
    /// Both are served.
    Either,
}

/// `host` of a map: what the backend gets as Host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's.
    Pass,
    /// The member's own name.
    Backend,
}

/// `via`, for what clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Leave Via headers alone.
    Off,
    /// Add ours.
    On,
    /// Add ours with the version.
    Full,
    /// Remove all.
    Block,
}

/// One map: a path prefix of a site, where it leads, and every layer's settings for it.
#[derive(Debug)]
pub struct Map {
    /// Its place in its site's file order.
    pub index: usize,
    /// `gateway.toml:line` of it.
    pub source: String,
    /// The canonical prefix: `/`, `/exchange`, `/a/`; ends at segment boundaries.
    pub path: Arc<str>,
    /// The backend; `None` on the `unmapped` map of a site.
    pub backend: Option<Arc<Backend>>,
    /// The path at the backend that replaces the prefix.
    pub target_path: String,
    /// Canonical prefixes below it that do not exist.
    pub exclude: Vec<String>,
    /// Letter case does not matter in this map's paths.
    pub fold_case: bool,
    /// Transport.
    pub https: Https,
    /// Host towards the backend.
    pub host: HostHeader,
    /// Via towards clients.
    pub via: Via,
    /// The methods allowed; `None` for all but CONNECT and TRACE.
    pub methods: Option<Vec<http::Method>>,
    /// Layer 1.
    pub auth: AuthSettings,
    /// Layer 2.
    pub ntlm: NtlmSettings,
    /// Layer 3; `None` for no limit.
    pub rate: Option<Arc<RateSettings>>,
    /// Requests in flight per key; `None` for no cap.
    pub in_flight_max: Option<u32>,
    /// Layer 4.
    pub inspection: InspectionSettings,
    /// Error masking.
    pub mask: MaskSettings,
    /// WebSocket and other upgrades pass.
    pub upgrades: bool,
    /// Whole time limit of an exchange on this map; overrides the backend's.
    pub total_timeout: Option<Duration>,
    /// Silence between bytes on this map; overrides the backend's.
    pub between_bytes_timeout: Option<Duration>,
    /// On a site's `account_page`: what is asked there. It has no backend.
    pub account_requests: Option<Arc<AccountSettings>>,
}

/// `[site.account_requests]`: who may ask for an account, how often, and who waits how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    /// The password file that approved people go into.
    pub users: PathBuf,
    /// The group file.
    pub groups: Option<PathBuf>,
    /// Fewest characters of a password.
    pub password_characters_min: usize,
    /// Requests from one address in an hour.
    pub requests_per_address_per_hour: u32,
    /// Requests of the site in an hour.
    pub requests_per_hour: u32,
    /// Requests that wait.
    pub waiting_max: usize,
    /// Age at which a request that nobody answered is forgotten.
    pub expires: Duration,
}

/// Layer 1 of a map.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// Who may come in.
    pub require: Require,
    /// The realm of the challenge.
    pub realm: String,
    /// The htpasswd file; `None` where nothing needs a password.
    pub users: Option<PathBuf>,
    /// The group file.
    pub groups: Option<PathBuf>,
    /// DES crypt hashes are accepted.
    pub dangerously_allow_des: bool,
    /// What becomes of `Authorization`.
    pub authorization: Authorization,
    /// Apache's 401 instead of 403 for a known user who is not allowed.
    pub challenge_forbidden: bool,
    /// Refuse requests that another site caused (`Sec-Fetch-Site`, `Origin`).
    pub refuse_cross_site: bool,
    /// Origins allowed nevertheless, as `https://a.example`.
    pub cross_site_allow: Vec<String>,
    /// CORS preflights (OPTIONS with `Origin` and `Access-Control-Request-Method`) need no login.
    pub allow_preflight: bool,
    /// Requests without credentials per minute and address before 429.
    pub unauthenticated_per_minute: u32,
    /// Failed logins per (user, address) before back-off begins.
    pub failures_before_backoff: u32,
    /// The longest back-off.
    pub backoff_max: Duration,
}

/// What the backend gets as `Authorization`.
#[derive(Clone)]
pub enum Authorization {
    /// Removed where layer 1 consumed it.
    Strip,
    /// As the client sent it.
    Pass,
    /// Own credentials, ready as `Basic ...`.
    Replace(Arc<str>),
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Strip => "Strip",
            Self::Pass => "Pass",
            Self::Replace(_) => "Replace(...)",
        })
    }
}

/// Layer 2 of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtlmSettings {
    /// NTLM is blocked.
    pub block_ntlm: bool,
    /// Negotiate (Kerberos, SPNEGO) is blocked.
    pub block_negotiate: bool,
}

/// Layer 3: one bucket family. Maps that share the value share the buckets.
#[derive(Debug)]
pub struct RateSettings {
    /// A number unique in the policy.
    pub index: usize,
    /// Requests that may come at once.
    pub burst: u32,
    /// Requests per `period` after that.
    pub requests: u32,
    /// The period.
    pub period: Duration,
    /// Only record what would have been refused.
    pub log_only: bool,
}

/// `mode` of inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectionMode {
    /// Rules refuse.
    Block,
    /// Rules only write the record; nothing is altered or held.
    Detect,
    /// Nothing is inspected.
    Off,
}

/// Where rules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSetSource {
    /// Our own rules, from the policy's `rules/` folder, or built in where that is absent.
    Baseline {
        /// The folder; `None` for the built-in copy.
        directory: Option<PathBuf>,
    },
    /// The Core Rule Set, behind the engine's base rules.
    Crs(CrsFiles),
    /// The administrator's files, in order.
    Files(Vec<PathBuf>),
}

/// What the names of TX variables begin with that a policy sets for the Core Rule Set.
pub const POLICY_VARIABLE: &str = "policy.";

/// Layer 4 of a map.
#[derive(Clone, Debug)]
pub struct InspectionSettings {
    /// Block, detect or off.
    pub mode: InspectionMode,
    /// The rule sets, as places in `Policy::rule_sets`.
    pub rule_sets: Vec<usize>,
    /// Variables of TX set before the first phase: paranoia levels, thresholds and further settings of the rule sets. Those for
    /// the Core Rule Set are called [`POLICY_VARIABLE`] and their name, and take effect behind its setup file.
    pub variables: Vec<(String, String)>,
    /// Exclusions, the widest level's first.
    pub exclusions: Vec<Arc<Exclusion>>,
    /// Bytes of a request body that are inspected; where nothing is written here or below, the rule files' directives hold.
    pub request_body_bytes_max: Option<usize>,
    /// The same for everything but uploaded files.
    pub request_body_no_files_bytes_max: Option<usize>,
    /// What happens to a longer one.
    pub over_limit: Option<OverLimit>,
    /// Whether response bodies are inspected.
    pub response_bodies: Option<bool>,
    /// Bytes of a response body that are inspected.
    pub response_body_bytes_max: Option<usize>,
    /// What happens to a longer one.
    pub response_over_limit: Option<OverLimit>,
    /// Requests fail (500) when the engine cannot decide; `false` lets them go on, recorded.
    pub on_error_closed: bool,
}

/// What inspection may hold over all requests, and whom it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectionLimits {
    /// Bytes in memory.
    pub memory_bytes_max: usize,
    /// Bytes in unlinked files.
    pub disk_bytes_max: u64,
    /// Where these files are made; `None` for the system's folder of temporary files.
    pub spill_directory: Option<PathBuf>,
    /// Name servers for `@rbl`; empty for the system's.
    pub rbl_name_servers: Vec<SocketAddr>,
}

/// `over_limit` and `response_over_limit` of inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// 413; 502 for a response.
    Refuse,
    /// Inspect the first part; the record says `partial`.
    Partial,
}

/// Error masking of a map.
#[derive(Clone, Debug)]
pub struct MaskSettings {
    /// Backend statuses replaced by our page: true at `status - 400`.
    pub statuses: Box<[bool; 200]>,
    /// Further response headers removed, beside the built-in list.
    pub remove_headers: Vec<Name>,
}

impl MaskSettings {
    /// The default: 5xx, 400 and 405.
    pub fn default_statuses() -> Box<[bool; 200]> {
        let mut statuses = Box::new([false; 200]);
        statuses[0] = true;
        statuses[5] = true;
        statuses[100..].fill(true);
        statuses
    }

    /// Whether a backend's status is replaced.
    pub fn masks(&self, status: u16) -> bool {
        status.checked_sub(400).and_then(|i| self.statuses.get(usize::from(i))).copied().unwrap_or(false)
    }
}
