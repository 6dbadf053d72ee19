//! Records as an office's applications on the internet make them, the same at every run.

use portcullis::audit::{Action, AuthOutcome, Decision, Ended, Extent, Record, RuleMatch, UpstreamOutcome};
use portcullis::clock::Moment;
use portcullis::message::{EventId, Peer};
use portcullis::refusal::Layer;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// A small generator of numbers, the same at every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// Small numbers far oftener than large ones.
    fn skewed(&mut self, end: u64) -> u64 {
        let (a, b, c) = (self.below(end), self.below(end), self.below(end));
        a.min(b).min(c)
    }
}

const SITES: [&str; 5] = ["mail.example.com", "wiki.example.com", "shop.example.com", "files.example.com", "crm.example.com"];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:#.0) Gecko/20100101 Firefox/#.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/#.1 Safari/605.1.15",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.#; Pro)",
];
const ATTACKS: [(u64, &str, &str, &str); 7] = [
    (942_100, "SQL injection attack detected", "ARGS:id", "1' union select password from users--"),
    (941_110, "XSS filter: script tag", "ARGS:q", "<script>alert(document.cookie)</script>"),
    (930_120, "OS file access attempt", "ARGS:file", "../../../../etc/passwd"),
    (932_160, "Remote command execution", "ARGS:cmd", "; cat /etc/shadow"),
    (942_160, "Blind SQL injection with sleep", "ARGS:user", "x' and sleep(5)#"),
    (920_350, "Host header is a numeric address", "REQUEST_HEADERS:host", "192.0.2.2"),
    (913_100, "Found user agent of a scanner", "REQUEST_HEADERS:user-agent", "sqlmap/1.8"),
];

/// A request received at `now`, in microseconds since the Unix epoch; `n` is its number.
pub(crate) fn record(now: u64, n: u64, dice: &mut Dice) -> Record {
    let moment = Moment { unix_micros: now, ..Moment::now() };
    let kind = dice.below(1000);
    let hostile = (960..990).contains(&kind);
    let client = if hostile { 1_000_000 + dice.skewed(500) } else { dice.skewed(20_000) };
    let address = if hostile { Ipv4Addr::new(198, 51, 100, (client % 250) as u8) } else { Ipv4Addr::from(0x0a01_0000 + client as u32) };
    let remote = SocketAddr::new(IpAddr::V4(address), 1024 + (client % 60_000) as u16);
    let peer = Peer::new(remote, "192.0.2.2:443".parse().unwrap(), n / 8);
    let mut record = Record::new(EventId::new(moment, u128::from(dice.roll()) << 16 | u128::from(n & 0xffff)), moment, Arc::new(peer));
    let site = SITES[dice.skewed(5) as usize];
    record.scheme = "https";
    record.method = if dice.below(5) == 0 { "POST".into() } else { "GET".into() };
    record.host = site.into();
    record.path = path(dice);
    record.query = (dice.below(3) == 0).then(|| format!("id={}&page={}", dice.below(1_000_000), dice.below(50)));
    let agent = AGENTS[dice.skewed(4) as usize].replace('#', &(100 + dice.below(40)).to_string());
    record.headers = vec![("user-agent".into(), agent.into()), ("accept".into(), "text/html,application/json;q=0.9,*/*;q=0.8".into())];
    if dice.below(2) == 0 {
        record.headers.push(("referer".into(), format!("https://{site}{}", path(dice)).into()));
    }
    record.site = Some(site.into());
    record.map = Some("/".into());
    let user = dice.skewed(2_000);
    record.auth = AuthOutcome {
        result: "cached",
        user: Some(format!("user{user}")),
        known: true,
        groups: vec!["employees".into()],
        ..AuthOutcome::default()
    };
    record.extent = Extent::Full;
    record.extent_reason = "";
    record.inspection_mode = "block";
    record.score = Some(0);
    record.request_bytes = dice.below(2000);
    record.response_bytes = dice.skewed(100_000);
    record.ended = Ended::Complete;
    record.timing.door = Some(3 + dice.below(5));
    record.timing.inspection = Some(60 + dice.below(200));
    record.timing.forwarding = Some(500 + dice.skewed(200_000));
    record.timing.total = Some(700 + dice.skewed(400_000));
    let backend = |status| UpstreamOutcome {
        backend: site.split('.').next().unwrap_or_default().into(),
        address: "10.0.0.5:8080".into(),
        reused: true,
        status: Some(status),
        tries: 1,
        error: None,
    };
    let (status, layer, action, reason) = match kind {
        0..=899 => (*[200, 200, 200, 304, 302, 404].get(dice.below(6) as usize).unwrap_or(&200), None, Action::Allow, ""),
        900..=939 => (401, Some(Layer::BasicAuth), Action::Challenge, "credentials_missing"),
        940..=949 => (429, Some(Layer::RateLimit), Action::Deny, "rate_limited"),
        950..=959 => (502, Some(Layer::Forwarding), Action::Mask, "backend_unreachable"),
        960..=979 => (403, Some(Layer::Inspection), Action::Deny, "rule_denied"),
        _ => (404, Some(Layer::Door), Action::Deny, "not_mapped"),
    };
    record.status = Some(status);
    record.decision = Decision { layer, action, reason };
    match layer {
        None => record.upstream = Some(backend(status)),
        Some(Layer::Forwarding) => record.upstream = Some(UpstreamOutcome { error: Some("connection refused".into()), ..backend(502) }),
        Some(Layer::Inspection) => attack(&mut record, dice),
        Some(_) => record.auth = AuthOutcome { result: "none", ..AuthOutcome::default() },
    }
    record
}

fn attack(record: &mut Record, dice: &mut Dice) {
    let (id, message, variable, matched) = ATTACKS[dice.skewed(7) as usize];
    record.path = ["/search", "/shop/item", "/wiki/index.php"][dice.skewed(3) as usize].into();
    record.query = Some(format!("{}={matched}{}", variable.rsplit(':').next().unwrap_or_default(), dice.below(100_000)));
    record.score = Some(5);
    let rule = |id, phase, message: &str, variable: &str, matched: &str, score| RuleMatch {
        id,
        phase,
        message: message.into(),
        tags: vec!["application-multi".into(), "paranoia-level/1".into(), "OWASP_CRS".into()],
        severity: "critical".into(),
        variable: variable.into(),
        matched: matched.as_bytes().to_vec(),
        data: format!("Matched Data: {matched} found within {variable}"),
        score,
        source: "rules/crs/REQUEST.conf:100".into(),
    };
    record.rules = vec![
        rule(id, 2, message, variable, matched, 5),
        rule(949_110, 2, "Inbound anomaly score exceeded", "TX:BLOCKING_INBOUND_ANOMALY_SCORE", "5", 0),
    ];
}

fn path(dice: &mut Dice) -> String {
    match dice.skewed(8) {
        0 => format!("/owa/service.svc/s/{}", ["GetItem", "FindItem", "Subscribe"][dice.below(3) as usize]),
        1 => format!("/wiki/page/{}", dice.skewed(20_000)),
        2 => format!("/static/app.{:08x}.js", dice.skewed(60)),
        3 => format!("/api/v2/orders/{}/items/{}", dice.skewed(300_000), dice.below(12)),
        4 => format!("/files/{:016x}/download", dice.skewed(100_000)),
        5 => "/".into(),
        6 => format!("/images/{}.png", dice.skewed(5_000)),
        _ => format!("/crm/contact/{}", dice.skewed(80_000)),
    }
}
