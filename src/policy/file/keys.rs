//! Every key of `gateway.toml`: where it may stand, its type, its default, an example, what it means.

use std::fmt::Write as _;

/// Where a key of an inheritable table may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Levels {
    /// Only in its own table.
    One,
    /// In the global table, and narrowed key by key in `[[site]]` and `[[site.map]]`.
    All,
}

/// The default of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// A TOML value: writing it changes nothing.
    Value(&'static str),
    /// Anything else, in words.
    Words(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its table: `auth`, `site`, ...
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Where it may stand.
    pub levels: Levels,
    /// Its type and unit, in words.
    pub kind: &'static str,
    /// What holds without it.
    pub default: Default,
    /// A TOML value as an administrator would write it.
    pub example: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// The tables, in the order of the reference, each with how it is written.
pub const SECTIONS: &[(&str, &str, &str)] = &[
    ("listener", "[[listener]]", "One socket for clients; at least one."),
    ("admin", "[admin]", "Health, metrics and the console. Without this table there is no admin listener."),
    ("log", "[log]", "The operational log: start, reload, certificates, backends. It is not the audit trail."),
    ("audit", "[audit]", "The audit trail: one JSON record for every request."),
    (
        "ship",
        "[[audit.ship]]",
        "A receiver of the audit trail's records, which the gateway sends to it as they are written. See [the audit trail](audit.md).",
    ),
    ("limits", "[limits]", "Limits of clients' connections."),
    ("backend", "[[backend]]", "A named server, or several that serve the same. Nothing else can be forwarded to."),
    ("member", "members = [{ ... }]", "One server of a backend written as a table, where it needs settings of its own."),
    (
        "site",
        "[[site]]",
        "One or several host names. Beside these keys a site takes `require`, the keys of `[forward]` and the tables of the layers.",
    ),
    (
        "map",
        "[[site.map]]",
        "A path of a site. Beside these keys a map takes `require`, the keys of `[forward]` and the tables of the layers.",
    ),
    ("forward", "[forward]", "Forwarding. Narrowed by writing the key directly in `[[site]]` or `[[site.map]]`."),
    ("auth", "[auth]", "Layer 1, Basic auth. Narrowed in `[site.auth]` or `[site.map.auth]`, also written `auth = { ... }`."),
    (
        "ntlm",
        "[ntlm]",
        "Layer 2, the NTLM and Negotiate block. Narrowed in `[site.ntlm]` or `[site.map.ntlm]`. A site with a switch off offers HTTP/1.1 only.",
    ),
    (
        "rate_limit",
        "[rate_limit]",
        "Layer 3, the rate limit. Narrowed in `[site.rate_limit]` or `[site.map.rate_limit]`. Requests are counted per user, else per client address; maps that inherit the same table share its counters.",
    ),
    ("inspection", "[inspection]", "Layer 4, the rules. Narrowed in `[site.inspection]` or `[site.map.inspection]`."),
    (
        "exclusion",
        "[[exclusion]]",
        "Rules, or variables of rules, that are left out. In `[[exclusion]]` for every site, in `[[site.exclusion]]` for a site, in `[[site.map.exclusion]]` for a map; they add up.",
    ),
    (
        "account_requests",
        "[site.account_requests]",
        "The page on which people without an account ask for one; see [account requests](account-requests.md). Without this table a site has none.",
    ),
    ("mask", "[mask]", "Error masking. Narrowed in `[site.mask]` or `[site.map.mask]`."),
];

use self::Default::{Value, Words};
use self::Levels::{All, One};

const fn key(
    section: &'static str,
    name: &'static str,
    levels: Levels,
    kind: &'static str,
    default: Default,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { section, name, levels, kind, default, example, meaning }
}

const STRING: &str = "string";
const BOOLEAN: &str = "boolean";
const STRINGS: &str = "list of strings";
const PATH: &str = "path";
const SECONDS: &str = "integer, seconds";
const BYTES: &str = "integer, bytes";
const INTEGER: &str = "integer";

/// The keys themselves.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("listener", "address", One, "address and port", Words("required"), r#""0.0.0.0:443""#, "Where to listen; `[::]:443` is IPv6."),
    key("listener", "tls", One, BOOLEAN, Value("true"), "false", "Whether this socket speaks TLS. `false` is the plain one."),
    key("listener", "proxy_protocol", One, BOOLEAN, Value("false"), "false", "Every connection begins with a PROXY protocol header, version 1 or 2, from a load balancer in `proxy_protocol_from`. Others are closed."),
    key("listener", "proxy_protocol_from", One, "list of networks", Value("[]"), "[]", "Load balancers that may name a client's address; required with `proxy_protocol = true`."),

    key("admin", "address", One, "address and port", Value(r#""127.0.0.1:9900""#), r#""127.0.0.1:9900""#, "Where to listen. Anything but the machine itself needs `dangerously_public_admin`."),
    key("admin", "dangerously_public_admin", One, BOOLEAN, Value("false"), "true", "Allows an admin address that other machines can reach."),
    key("admin", "require", One, "list of conditions", Words("nobody: no console"), r#"["group admins"]"#, "Who may use the console: people and groups, as in `require` elsewhere."),
    key("admin", "users", One, PATH, Words("that of `[auth]`"), r#""auth/htpasswd""#, "The password file of the console."),
    key("admin", "groups", One, PATH, Words("that of `[auth]`"), r#""auth/groups""#, "The group file of the console."),

    key("log", "level", One, "filter", Value(r#""info""#), r#""info,portcullis::tls=debug""#, "`error`, `warn`, `info`, `debug` or `trace`, also per module."),
    key("log", "directory", One, PATH, Words("standard error"), r#""../log""#, "A folder for daily log files."),
    key("log", "format", One, "`text` or `json`", Value(r#""text""#), r#""json""#, "How a line is written."),

    key("audit", "directory", One, PATH, Value(r#""../audit""#), r#""/var/log/portcullis""#, "The folder of the `*.jsonl` files; made when it does not exist."),
    key("audit", "state_directory", One, PATH, Words("`directory` with `-state` behind it"), r#""/var/lib/portcullis""#, "The folder of the signing key, of the position and of the heads; made with mode 0700. It must not lie inside `directory`."),
    key("audit", "signing_key", One, PATH, Words("`signing-key.pem` in `state_directory`"), r#""/etc/portcullis/audit-key.pem""#, "The Ed25519 key (PKCS#8, PEM, mode 0600) that signs checkpoints; made at the first start."),
    key("audit", "heads_file", One, PATH, Words("`heads.jsonl` in `state_directory`"), r#""/mnt/other/heads.jsonl""#, "Where every signed record is copied, so that a cut trail is noticed. Best on another machine's disk."),
    key("audit", "spill_directory", One, PATH, Words("none"), r#""/var/spool/portcullis""#, "Where records go while `directory` refuses them; they are brought home afterwards. Best on another disk."),
    key("audit", "index_directory", One, PATH, Words("`index` in the folder of the files"), r#""/var/cache/portcullis/index""#, "The folder of the index over them: it can be thrown away at any time."),
    key("audit", "index", One, BOOLEAN, Words("`true` with a console"), "true", "The gateway keeps the index up to date. Without it, `portcullis audit index` does."),
    key("audit", "file_bytes_max", One, BYTES, Value("268435456"), "104857600", "A file that would grow beyond this is closed and the next begun."),
    key("audit", "retention_days", One, "integer, days, or `\"forever\"`", Value(r#""forever""#), "365", "How long closed files are kept."),
    key("audit", "compress_after_hours", One, "integer, hours, or `\"never\"`", Value("24"), r#""never""#, "Age at which closed files are compressed with gzip."),
    key("audit", "sync", One, "`interval`, `commit` or `never`", Value(r#""interval""#), r#""commit""#, "When records are forced to the disk: at an interval, with every commit (every 10 ms under load), or when the system likes."),
    key("audit", "sync_interval_seconds", One, SECONDS, Value("1"), "5", "The interval: what a power cut can cost."),
    key("audit", "checkpoint_interval_seconds", One, SECONDS, Value("10"), "60", "Time between signed checkpoints while records come."),
    key("audit", "flood_records_per_second", One, "integer, records per second, or `\"unlimited\"`", Value("20"), "100", "Refusals before the login written one by one, per address; those beyond are counted in flood records."),
    key("audit", "on_failure", One, "`refuse` or `serve`", Value(r#""refuse""#), r#""serve""#, "When no record can be written: answer 503, or serve and count the gap."),
    key("audit", "redact_parameters", One, STRINGS, Value("[]"), r#"["iban"]"#, "Parameters whose values are blotted out, beside the built-in list (`password`, `token` and the like)."),
    key("audit", "redact_headers", One, STRINGS, Value("[]"), r#"["x-api-key"]"#, "Headers whose values are blotted out; `Authorization` and cookies always are."),
    key("audit", "redact_json_paths", One, STRINGS, Value("[]"), r#"["user.cards[*].number"]"#, "Paths in JSON bodies whose values are blotted out wherever a record would show them; `*` is any step."),
    key("audit", "dangerously_record_parameters", One, STRINGS, Value("[]"), r#"["code"]"#, "Parameters of the built-in list whose values are written, where the name means something harmless (`session`, `code`, `pin` ...)."),
    key("audit", "dangerously_record_unknown_users", One, BOOLEAN, Value("false"), "true", "Writes user names that do not exist as they were typed. They are often passwords in the wrong field."),
    key("audit", "ship", One, "receivers", Words("none"), "[[audit.ship]]", "Who gets the records."),

    key("ship", "name", One, "name", Words("required"), r#""siem""#, "What metrics call it: letters, digits, `-`, `_` and `.`. It also names the file in `state_directory` that says how far it is."),
    key("ship", "kind", One, "`syslog`, `otlp` or `http`", Words("required"), r#""syslog""#, "Syslog (RFC 5424), OpenTelemetry logs (OTLP over HTTP, JSON), or a POST with one record a line."),
    key("ship", "address", One, "host and port", Words("required with `syslog`; port 6514, 601 or 514"), r#""syslog.internal:6514""#, "Where a syslog receiver is."),
    key("ship", "transport", One, "`tls`, `tcp` or `udp`", Value(r#""tls""#), r#""tcp""#, "How syslog is carried: RFC 5425, RFC 6587 with octet counting, or RFC 5426."),
    key("ship", "url", One, "URL", Words("required with `otlp` and `http`"), r#""https://collector.internal:4318/v1/logs""#, "Where records are posted."),
    key("ship", "records", One, "`all` or `heads`", Value(r#""all""#), r#""heads""#, "Every record, or only the signed ones as they stand, for `portcullis audit verify --heads`."),
    key("ship", "format", One, "`ecs`, `json`, `ocsf`, `modsec-json` or `csv`", Words("`ecs`; `json` with `records = \"heads\"`"), r#""json""#, "The form of a record, as in `portcullis audit export`."),
    key("ship", "begin", One, "`oldest` or `now`", Value(r#""oldest""#), r#""now""#, "Where a receiver begins that is new: with the oldest record there is, or with the file that is being written."),
    key("ship", "facility", One, "facility", Value(r#""local0""#), r#""audit""#, "The facility of syslog messages. The severity follows from what the record says."),
    key("ship", "message_bytes_max", One, BYTES, Value("65536"), "8192", "The longest syslog message; what is longer is cut. Over UDP never more than 65000."),
    key("ship", "ca", One, PATH, Words("the system's"), r#""../certs/internal-ca.pem""#, "A PEM file with the only authorities to trust for its certificate."),
    key("ship", "tls_name", One, "host name", Words("the host in `address` or `url`"), r#""syslog.internal""#, "The name its certificate must carry."),
    key("ship", "certificate", One, PATH, Words("none"), r#""../certs/gateway-client.pem""#, "PEM: the gateway's own certificate, where the receiver asks for one; with its chain."),
    key("ship", "key", One, PATH, Words("inside `certificate`"), r#""../certs/gateway-client.key""#, "PEM: the private key, where it is apart."),
    key("ship", "headers_file", One, PATH, Words("none"), r#""siem-headers""#, "A file with one header a line for every POST, `Authorization` say, readable by the gateway only (mode 0600)."),
    key("ship", "gzip", One, BOOLEAN, Value("true"), "false", "Whether bodies are compressed."),
    key("ship", "dangerously_in_plain", One, BOOLEAN, Value("false"), "true", "Allows records to leave the machine without TLS: whoever is on the way reads who was where."),

    key("limits", "request_line_bytes_max", One, BYTES, Value("8192"), "16384", "A longer request line is answered 414."),
    key("limits", "head_bytes_max", One, BYTES, Value("65536"), "131072", "A longer request head is answered 431."),
    key("limits", "headers_max", One, INTEGER, Value("100"), "200", "More header lines are answered 431."),
    key("limits", "header_timeout_seconds", One, SECONDS, Value("10"), "20", "Time for a whole request head."),
    key("limits", "idle_timeout_seconds", One, SECONDS, Value("60"), "30", "Silence between two requests."),
    key("limits", "body_timeout_seconds", One, SECONDS, Value("20"), "60", "Silence inside a request body."),
    key("limits", "body_bytes_per_second_min", One, "integer, bytes per second", Value("250"), "1000", "A slower request body is answered 408."),
    key("limits", "write_timeout_seconds", One, SECONDS, Value("60"), "120", "How long a client may stop reading before it is cut off."),
    key("limits", "handshake_timeout_seconds", One, SECONDS, Value("10"), "5", "Time for a TLS handshake."),
    key("limits", "connections_max", One, INTEGER, Value("20000"), "50000", "Connections over all listeners."),
    key("limits", "connections_per_address_max", One, INTEGER, Value("512"), "2000", "Connections from one address (IPv6: one /64)."),
    key("limits", "drain_timeout_seconds", One, SECONDS, Value("30"), "60", "How long a stop waits for requests in flight."),
    key("limits", "inspection_memory_bytes_max", One, BYTES, Value("268435456"), "1073741824", "Bytes held in memory for inspection over all requests; bodies beyond that go to files without a name."),
    key("limits", "inspection_disk_bytes_max", One, BYTES, Value("1073741824"), "0", "Bytes of those files. Beyond both, `on_error` decides: 503, or the body passes and the record says so."),

    key("backend", "name", One, "name", Words("required"), r#""exchange""#, "What maps call it: letters, digits, `-`, `_` and `.`."),
    key("backend", "members", One, "list of URLs or member tables", Words("required"), r#"["http://owa.internal:8080"]"#, "Its servers: `http://` or `https://`, host and port, nothing else."),
    key("backend", "address", One, "IP address", Words("looked up"), r#""10.0.0.5""#, "Connects here and does not look the member's name up. Only for a backend with one member."),
    key("backend", "tls_name", One, "host name", Words("the member's host"), r#""owa.internal""#, "The name its certificate must carry."),
    key("backend", "ca", One, PATH, Words("the system's"), r#""../certs/internal-ca.pem""#, "A PEM file with the only authorities to trust for its certificate."),
    key("backend", "dangerously_skip_verification", One, BOOLEAN, Value("false"), "true", "Accepts any certificate from it: whoever is on the way reads everything."),
    key("backend", "connect_timeout_seconds", One, SECONDS, Value("5"), "2", "Time to connect, TLS included."),
    key("backend", "header_timeout_seconds", One, SECONDS, Value("60"), "120", "Time for the response head, from the end of the request."),
    key("backend", "between_bytes_timeout_seconds", One, SECONDS, Value("60"), "300", "Silence between bytes (Apache's `ProxyTimeout`)."),
    key("backend", "total_timeout_seconds", One, "integer, seconds, or `\"none\"`", Value(r#""none""#), "600", "The whole exchange."),
    key("backend", "connections_max", One, INTEGER, Value("1024"), "50", "Connections to one member."),
    key("backend", "idle_connections_max", One, INTEGER, Value("64"), "8", "Idle connections kept per member and thread; 0 keeps none."),
    key("backend", "idle_timeout_seconds", One, SECONDS, Value("4"), "30", "How long an idle one is kept: less than the server keeps it."),

    key("member", "url", One, "URL", Words("required"), r#""https://owa1.internal""#, "Scheme, host and port."),
    key("member", "address", One, "IP address", Words("looked up"), r#""10.0.0.6""#, "As in `[[backend]]`, for this member."),
    key("member", "tls_name", One, "host name", Words("the backend's"), r#""owa.internal""#, "As in `[[backend]]`, for this member."),
    key("member", "ca", One, PATH, Words("the backend's"), r#""../certs/internal-ca.pem""#, "As in `[[backend]]`, for this member."),
    key("member", "dangerously_skip_verification", One, BOOLEAN, Words("the backend's"), "true", "As in `[[backend]]`, for this member."),

    key("site", "names", One, "list of host names", Words("required"), r#"["mail.example.com", "mail"]"#, "Its names, the first one for redirects and records. `*.example.com` is one label before `example.com`; `\"*\"` alone is every name no other site has."),
    key("site", "certificate", One, PATH, Words("required with a TLS listener"), r#""../certs/mail.pem""#, "PEM: the certificate, or certificate, chain and key in one file."),
    key("site", "key", One, PATH, Words("inside `certificate`"), r#""../certs/mail.key""#, "PEM: the private key, where it is apart."),
    key("site", "chain", One, PATH, Words("inside `certificate`"), r#""../certs/chain.pem""#, "PEM: the intermediate certificates, where they are apart."),
    key("site", "hsts_seconds", One, SECONDS, Words("no header"), "31536000", "Sends `Strict-Transport-Security` with this `max-age` over TLS. 0 makes browsers forget it."),
    key("site", "https_port", One, "port", Words("the first TLS listener's"), "443", "The port in redirects to https, where clients see another than the listener's."),
    key("site", "require", One, "list of conditions", Words("the wider level's"), r#"["group employees"]"#, "Who may come in; see below."),
    key("site", "map", One, "maps", Words("required"), "[[site.map]]", "The paths that exist."),

    key("map", "path", One, "path prefix", Words("required"), r#""/exchange""#, "The prefix, decoded. It ends at a segment boundary: `/exchange` is not `/exchanges`."),
    key("map", "to", One, "backend and path", Words("required"), r#""exchange/exchange""#, "The backend's name, then the path there that replaces the prefix. Both end with a slash, or neither."),
    key("map", "exclude", One, "list of path prefixes", Value("[]"), r#"["/exchange/admin"]"#, "Paths inside the prefix that do not exist, whatever their order."),
    key("map", "require", One, "list of conditions", Words("the wider level's"), r#"["valid-user"]"#, "Who may come in; see below."),

    key("forward", "https", All, "`only`, `redirect` or `either`", Value(r#""only""#), r#""redirect""#, "Plain HTTP is answered 403, redirected with 308, or served as well."),
    key("forward", "host", All, "`pass` or `backend`", Value(r#""pass""#), r#""backend""#, "The `Host` that the backend gets: the client's, or the member's own name."),
    key("forward", "via", All, "`off`, `on`, `full` or `block`", Value(r#""block""#), r#""on""#, "What clients see of `Via`, in Apache's words."),
    key("forward", "methods", All, "list of methods", Words("all but CONNECT and TRACE"), r#"["GET", "HEAD", "POST"]"#, "Any other method is answered 405."),
    key("forward", "upgrades", All, BOOLEAN, Value("false"), "true", "Lets WebSocket and other upgrades pass. Nothing is inspected after the handshake."),
    key("forward", "fold_case", All, BOOLEAN, Value("false"), "true", "Letter case does not matter in paths (IIS)."),
    key("forward", "total_timeout_seconds", All, SECONDS, Words("the backend's"), "30", "The whole exchange, in place of the backend's setting."),
    key("forward", "between_bytes_timeout_seconds", All, SECONDS, Words("the backend's"), "300", "Silence between bytes, in place of the backend's setting."),
    key("forward", "trusted_proxies", One, "list of networks", Value("[]"), r#"["10.0.0.1/32"]"#, "Proxies in front of the gateway whose `X-Forwarded-For` is believed."),
    key("forward", "pseudonym", One, "token", Value(r#""portcullis""#), r#""gate1""#, "The gateway's name in `Via`, by which it notices loops. Give each gateway of a chain its own."),

    key("auth", "require", One, "list of conditions", Words("none: a map without one is a mistake"), r#"["valid-user"]"#, "Who may come in where neither the site nor the map says it; see below."),
    key("auth", "users", All, PATH, Words("needed where a `require` names people"), r#""auth/htpasswd""#, "Apache's password file."),
    key("auth", "groups", All, PATH, Words("needed where a `require` names groups"), r#""auth/groups""#, "Apache's group file."),
    key("auth", "realm", All, STRING, Value(r#""Restricted""#), r#""Example Inc.""#, "What the browser's password window says."),
    key("auth", "authorization", All, "`strip`, `pass` or `replace`", Value(r#""strip""#), r#""pass""#, "What the backend gets as `Authorization`: nothing, what the client sent, or the gateway's own credentials."),
    key("auth", "replace_credentials_file", All, PATH, Words("none"), r#""auth/backend-login""#, "A file with one line `user:password` for `authorization = \"replace\"`, readable by the gateway only (mode 0600)."),
    key("auth", "challenge_forbidden", All, BOOLEAN, Value("false"), "true", "Answers a known user who may not come in with 401 as Apache does, not 403."),
    key("auth", "refuse_cross_site", All, BOOLEAN, Value("false"), "true", "Refuses requests and WebSockets that another web site caused (`Sec-Fetch-Site`, `Origin`)."),
    key("auth", "cross_site_allow", All, "list of origins", Value("[]"), r#"["https://portal.example.com"]"#, "Origins that `refuse_cross_site` lets through."),
    key("auth", "allow_preflight", All, BOOLEAN, Value("false"), "true", "Lets CORS preflights through, which never carry a login."),
    key("auth", "unauthenticated_per_minute", All, INTEGER, Value("120"), "600", "Requests without credentials per minute and address; more are answered 429."),
    key("auth", "failures_before_backoff", All, INTEGER, Value("5"), "10", "Wrong passwords per user and address before waiting begins."),
    key("auth", "backoff_max_seconds", All, SECONDS, Value("300"), "900", "The longest wait."),
    key("auth", "dangerously_allow_des", All, BOOLEAN, Value("false"), "true", "Accepts DES crypt hashes, which only read eight characters and are guessed in hours."),
    key("auth", "dangerously_allow_basic_over_http", All, BOOLEAN, Value("false"), "true", "Allows passwords over plain HTTP, where anybody on the way reads them."),

    key("ntlm", "block_ntlm", All, BOOLEAN, Value("true"), "false", "Refuses NTLM logins and removes NTLM challenges."),
    key("ntlm", "block_negotiate", All, BOOLEAN, Value("true"), "false", "The same for Negotiate (Kerberos, SPNEGO)."),

    key("rate_limit", "requests", All, "integer, requests per period", Words("no limit"), "100", "Requests in a period, after the burst."),
    key("rate_limit", "period_seconds", All, SECONDS, Value("60"), "60", "The period."),
    key("rate_limit", "burst", All, "integer, requests", Words("the value of `requests`"), "50", "Requests that may come at once."),
    key("rate_limit", "mode", All, "`enforce`, `log` or `off`", Value(r#""enforce""#), r#""log""#, "Refuse with 429, only record what would have been refused, or no limit here."),
    key("rate_limit", "in_flight_max", All, "integer, requests, or `\"none\"`", Value(r#""none""#), "32", "Requests of one caller served at the same time; more are answered 429."),

    key("inspection", "mode", All, "`block`, `detect` or `off`", Value(r#""block""#), r#""detect""#, "Rules refuse, rules only write the record, or nothing is inspected."),
    key("inspection", "rules", All, "list of rule sets", Value(r#"["baseline"]"#), r#"["crs", "rules/own.conf"]"#, "`\"baseline\"` is our own set, `\"crs\"` the Core Rule Set; anything else is a SecLang file. They load in this order."),
    key("inspection", "paranoia_level", All, "integer, 1 to 4", Words("the rule set's, 1"), "2", "How much of the rule set counts: higher levels find more and are wrong more often."),
    key("inspection", "detection_paranoia_level", All, "integer, 1 to 4", Words("the value of `paranoia_level`"), "3", "Rules up to this level run and are recorded; those above `paranoia_level` do not count."),
    key("inspection", "inbound_threshold", All, INTEGER, Words("the rule set's, 5"), "10", "The anomaly score at which a request is refused."),
    key("inspection", "outbound_threshold", All, INTEGER, Words("the rule set's, 4"), "8", "The anomaly score at which a response is refused."),
    key("inspection", "variables", All, "table of names and values", Words("none"), r#"{ arg_length = 400, allowed_methods = "GET HEAD POST" }"#, "Further settings of the rule set, by their names in its setup file without `tx.`; narrowed name by name."),
    key("inspection", "crs_directory", One, PATH, Words("`crs/` beside this file"), r#""/usr/share/modsecurity-crs""#, "The Core Rule Set: a release as unpacked, or Debian's package."),
    key("inspection", "crs_setup_file", One, PATH, Words("found with the rules"), r#""/etc/modsecurity/crs/crs-setup.conf""#, "Its setup file: `crs-setup.conf` in `crs_directory`, else the example there, else Debian's."),
    key("inspection", "engine_file", One, PATH, Words("built in"), r#""rules/modsecurity.conf""#, "The engine's settings and base rules, loaded before the Core Rule Set."),
    key("inspection", "baseline_directory", One, PATH, Words("`rules/` beside this file, else built in"), r#""rules""#, "Where the baseline's files are."),
    key("inspection", "request_body_bytes_max", All, BYTES, Words("`SecRequestBodyLimit` of the rules, else `13107200`"), "1048576", "How much of a request body is inspected. Of an uploaded file the first 256 KiB count; the rest streams past."),
    key("inspection", "request_body_no_files_bytes_max", All, BYTES, Words("`SecRequestBodyNoFilesLimit` of the rules, else `1048576`"), "131072", "The same for everything but files: forms, JSON, XML, text."),
    key("inspection", "over_limit", All, "`refuse` or `partial`", Words("`SecRequestBodyLimitAction` of the rules, else `\"refuse\"`"), r#""partial""#, "A longer body is answered 413, or its first part is inspected and the record says so."),
    key("inspection", "response_bodies", All, "boolean", Words("`SecResponseBodyAccess` of the rules, else `false`"), "true", "Inspect response bodies of the types that `SecResponseBodyMimeType` names (`text/plain` and `text/html` by default)."),
    key("inspection", "response_body_bytes_max", All, BYTES, Words("`SecResponseBodyLimit` of the rules, else `524288`"), "1048576", "How much of a response body is inspected."),
    key("inspection", "response_over_limit", All, "`refuse` or `partial`", Words("`SecResponseBodyLimitAction` of the rules, else `\"partial\"`"), r#""refuse""#, "A longer response is answered 502, or goes on once its first part was inspected and the record says so."),
    key("inspection", "on_error", All, "`closed` or `open`", Value(r#""closed""#), r#""open""#, "When the engine cannot decide: answer 500, or let the request go on and record it."),
    key("inspection", "spill_directory", One, PATH, Words("the system's folder for temporary files"), r#""spill""#, "Where bodies that do not fit into memory are held for inspection, in files without a name."),
    key("inspection", "rbl_name_servers", One, "list of addresses with port", Value("[]"), r#"["127.0.0.1:5353"]"#, "Name servers that `@rbl` asks, by UDP; without any, the system's."),

    key("exclusion", "rule", One, "rule or list of rules", Words("required"), r#"[942100, "942110-942199", "tag attack-xss"]"#, "The rules: an id, a range of ids, or all with a tag."),
    key("exclusion", "target", One, "variable or list of variables", Words("the whole rule"), r#"["ARGS:body", "REQUEST_COOKIES:/^wiki-/"]"#, "The variables the rules do not look at. Without this they do not run at all."),
    key("exclusion", "path", One, "path prefix", Words("every path"), r#""/wiki/edit""#, "Where it holds, decoded; it ends at a segment boundary."),
    key("exclusion", "reason", One, STRING, Words("required"), r#""editors write SQL in articles""#, "Why it is needed."),
    key("exclusion", "owner", One, STRING, Words("required"), r#""wiki team""#, "Who answers for it."),
    key("exclusion", "expires", One, "date", Words("never"), r#""2027-03-31""#, "The last day it holds, UTC. From then on `check` warns and the rules apply again."),

    key("account_requests", "path", One, "path", Value(r#""/.portcullis/account""#), r#""/join""#, "Where the page is: this path and no other, over https as the site is, without a login. It is answered by the gateway; no map may have the same path."),
    key("account_requests", "password_characters_min", One, INTEGER, Value("12"), "15", "Fewest characters of a password, 8 to 64."),
    key("account_requests", "requests_per_address_per_hour", One, INTEGER, Value("5"), "20", "Account requests from one address (IPv6: one /64) in an hour; more are answered 429."),
    key("account_requests", "requests_per_hour", One, INTEGER, Value("60"), "200", "Account requests of the site in an hour; more are answered 429."),
    key("account_requests", "waiting_max", One, INTEGER, Value("100"), "50", "Account requests that wait for an answer, 1000 at most; further ones are answered 503."),
    key("account_requests", "expire_days", One, INTEGER, Value("30"), "14", "Days after which a request that nobody answered is forgotten."),

    key("mask", "error_override", All, "boolean or list of statuses", Words("5xx, 400 and 405"), "[500, 502, 503]", "Backend statuses replaced by our page: `true` is 400 to 599, `false` none."),
    key("mask", "remove_headers", All, STRINGS, Value("[]"), r#"["x-internal-host"]"#, "Response headers removed beside the built-in list (`Server`, `X-Powered-By` and the like)."),
    key("mask", "pages", One, PATH, Words("built-in pages"), r#""pages""#, "The folder with `error.html`."),
];

/// Whether and how a table may hold a key.
pub fn known(section: &str, narrow: bool) -> impl Iterator<Item = &'static Key> + Clone {
    let direct = matches!(section, "site" | "map");
    let section = section.to_owned();
    KEYS.iter()
        .filter(move |k| (k.section == section && (!narrow || k.levels == All)) || (direct && k.section == "forward" && k.levels == All))
}

/// The reference table of one section, as it stands in `docs/configuration.md`.
pub fn reference(section: &str) -> String {
    let mut out = String::from("| key | type | default | example | meaning |\n|---|---|---|---|---|\n");
    for k in KEYS.iter().filter(|k| k.section == section) {
        let default = match k.default {
            Value(v) => format!("`{v}`"),
            Words(w) => w.to_owned(),
        };
        let _ = writeln!(out, "| `{}` | {} | {default} | `{}` | {} |", k.name, k.kind, k.example, k.meaning);
    }
    out
}

/// How a section's header is written.
pub fn written(section: &str) -> &'static str {
    SECTIONS.iter().find(|s| s.0 == section).map_or("", |s| s.1)
}
