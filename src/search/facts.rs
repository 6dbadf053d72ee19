//! What one record says, in the fields that questions are asked about.

use super::cause;
use super::template::template;
use serde::Deserialize;
use std::borrow::Cow;

/// Bytes of one run of letters and digits in the searched text; longer runs are searched in pieces of this length, since no
/// index keeps words without a bound.
const RUN_BYTES_MAX: usize = 200;

/// Something a record can be filtered, counted and grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The proven user, or `#` and the keyed hash of an unknown name.
    User,
    /// The client's address.
    Address,
    /// The site's first name.
    Site,
    /// The Host as sent.
    Host,
    /// The map's path.
    Map,
    /// The method.
    Method,
    /// The path that decided.
    Path,
    /// The path with numbers and identifiers taken out.
    Template,
    /// The status the client got.
    Status,
    /// The layer that decided.
    Layer,
    /// What was decided.
    Action,
    /// Why.
    Reason,
    /// The layer with what it decided, as `inspection deny`; what was decided alone, where no layer did.
    Decision,
    /// A rule that matched, by its id.
    Rule,
    /// A variable that a rule matched.
    Target,
    /// The backend's name.
    Backend,
    /// The client's `User-Agent`.
    Agent,
    /// The kind of the record.
    Kind,
    /// The group of one cause (see `cause`).
    Cause,
    /// The address the connection came from, where a proxy named another client.
    Peer,
}

impl Field {
    /// All of them; a field's place here is its column in the index.
    pub const ALL: [Self; 20] = [
        Self::User,
        Self::Address,
        Self::Site,
        Self::Host,
        Self::Map,
        Self::Method,
        Self::Path,
        Self::Template,
        Self::Status,
        Self::Layer,
        Self::Action,
        Self::Reason,
        Self::Decision,
        Self::Rule,
        Self::Target,
        Self::Backend,
        Self::Agent,
        Self::Kind,
        Self::Cause,
        Self::Peer,
    ];

    /// The word on the command line, in addresses of the console and in the index.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Address => "address",
            Self::Site => "site",
            Self::Host => "host",
            Self::Map => "map",
            Self::Method => "method",
            Self::Path => "path",
            Self::Template => "template",
            Self::Status => "status",
            Self::Layer => "layer",
            Self::Action => "action",
            Self::Reason => "reason",
            Self::Decision => "decision",
            Self::Rule => "rule",
            Self::Target => "target",
            Self::Backend => "backend",
            Self::Agent => "agent",
            Self::Kind => "kind",
            Self::Cause => "cause",
            Self::Peer => "peer",
        }
    }

    /// The field of a word.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// A string that is borrowed from its line where it holds no escape.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    sequence: u64,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Source<'a> {
    #[serde(borrow)]
    ip: Cow<'a, str>,
    #[serde(borrow)]
    peer_ip: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
    #[serde(borrow)]
    groups: Vec<Text<'a>>,
}

/// Header values by name, in order; a list of pairs costs less than a map.
#[derive(Debug, Default)]
struct Headers<'a>(Vec<(Cow<'a, str>, Vec<Text<'a>>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Headers<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> serde::de::Visitor<'de> for Pairs<'a> {
            type Value = Headers<'a>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("headers")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::with_capacity(8);
                while let Some((name, values)) = map.next_entry::<Text<'a>, Vec<Text<'a>>>()? {
                    list.push((name.0, values));
                }
                Ok(Headers(list))
            }
        }
        deserializer.deserialize_map(Pairs(std::marker::PhantomData))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    headers: Headers<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    status_code: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Http<'a> {
    #[serde(borrow)]
    request: Request<'a>,
    response: Response,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Url<'a> {
    #[serde(borrow)]
    domain: Cow<'a, str>,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    canonical_path: Cow<'a, str>,
    #[serde(borrow)]
    query: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Decision<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    layer: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rule<'a> {
    pub(super) id: u64,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    tags: Vec<Text<'a>>,
    #[serde(borrow)]
    severity: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) variable: Cow<'a, str>,
    #[serde(borrow)]
    matched: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Upstream<'a> {
    #[serde(borrow)]
    backend: Cow<'a, str>,
    #[serde(borrow)]
    address: Cow<'a, str>,
    #[serde(borrow)]
    error: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Timing {
    total_us: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Account<'a> {
    #[serde(borrow)]
    answer: Cow<'a, str>,
    #[serde(borrow)]
    by: Cow<'a, str>,
}

/// The facts of one record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Facts<'a> {
    #[serde(borrow, rename = "@timestamp")]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    event: Event<'a>,
    #[serde(borrow)]
    source: Source<'a>,
    #[serde(borrow)]
    user: User<'a>,
    #[serde(borrow)]
    http: Http<'a>,
    #[serde(borrow)]
    url: Url<'a>,
    #[serde(borrow)]
    decision: Decision<'a>,
    #[serde(borrow)]
    rules: Vec<Rule<'a>>,
    #[serde(borrow)]
    upstream: Upstream<'a>,
    timing: Timing,
    #[serde(borrow)]
    account: Account<'a>,
    #[serde(borrow)]
    site: Cow<'a, str>,
    #[serde(borrow)]
    map: Cow<'a, str>,
    #[serde(borrow)]
    notes: Vec<Text<'a>>,
    #[serde(borrow)]
    integrated_auth_removed: Vec<Text<'a>>,
    #[serde(skip)]
    micros: u64,
}

impl<'a> Facts<'a> {
    /// Reads a line; `None` where it is no record.
    pub fn read(line: &'a [u8]) -> Option<Self> {
        let mut facts: Self = serde_json::from_slice(line).ok()?;
        let time: jiff::Timestamp = facts.timestamp.parse().ok()?;
        facts.micros = u64::try_from(time.as_microsecond()).ok()?;
        Some(facts)
    }

    /// When, in microseconds since the Unix epoch.
    pub fn micros(&self) -> u64 {
        self.micros
    }

    /// The record's number in the trail.
    pub fn sequence(&self) -> u64 {
        self.event.sequence
    }

    /// The event's id; empty where the record is about the trail itself.
    pub fn id(&self) -> &str {
        &self.event.id
    }

    /// From the head's arrival to the end of the response.
    pub fn took_micros(&self) -> Option<u64> {
        self.timing.total_us
    }

    pub(super) fn status(&self) -> u16 {
        self.http.response.status_code
    }

    pub(super) fn rules(&self) -> &[Rule<'a>] {
        &self.rules
    }

    fn path(&self) -> &str {
        if self.url.canonical_path.is_empty() { &self.url.path } else { &self.url.canonical_path }
    }

    /// The values of a field, none where the record has none.
    pub fn each(&self, field: Field, mut take: impl FnMut(&str)) {
        let mut some = |text: &str| {
            if !text.is_empty() {
                take(text);
            }
        };
        match field {
            Field::User if self.user.name.is_empty() && !self.user.hash.is_empty() => some(&format!("#{}", self.user.hash)),
            Field::User => some(&self.user.name),
            Field::Address => some(&self.source.ip),
            Field::Peer if self.source.peer_ip == self.source.ip => {}
            Field::Peer => some(&self.source.peer_ip),
            Field::Site => some(&self.site),
            Field::Host => some(&self.url.domain),
            Field::Map => some(&self.map),
            Field::Method => some(&self.http.request.method),
            Field::Path => some(self.path()),
            Field::Template => some(&template(self.path())),
            Field::Status if self.status() == 0 => {}
            Field::Status => some(&self.status().to_string()),
            Field::Layer => some(&self.decision.layer),
            Field::Action => some(&self.decision.action),
            Field::Reason if self.decision.reason.is_empty() => some(&self.account.answer),
            Field::Reason => some(&self.decision.reason),
            Field::Decision if self.decision.layer.is_empty() => some(&self.decision.action),
            Field::Decision => some(&format!("{} {}", self.decision.layer, self.decision.action)),
            Field::Rule => self.distinct(|rule| rule.id.to_string().into(), some),
            Field::Target => self.distinct(|rule| Cow::Borrowed(&*rule.variable), some),
            Field::Backend => some(&self.upstream.backend),
            Field::Agent => {
                let agent = self.http.request.headers.0.iter().find(|(name, _)| name == "user-agent");
                some(agent.and_then(|(_, values)| values.first()).map_or("", |value| &value.0));
            }
            Field::Kind => some(&self.event.kind),
            Field::Cause => some(&cause::of(self)),
        }
    }

    fn distinct<'s>(&'s self, what: impl Fn(&'s Rule<'a>) -> Cow<'s, str>, mut take: impl FnMut(&str)) {
        let mut values: Vec<_> = self.rules.iter().map(what).collect();
        values.sort_unstable();
        values.dedup();
        values.iter().for_each(|value| take(value));
    }

    /// The first value of a field.
    pub fn first(&self, field: Field) -> String {
        let mut first = String::new();
        self.each(field, |value| {
            if first.is_empty() {
                first.push_str(value);
            }
        });
        first
    }

    /// What was asked for: method, host, path and query.
    pub fn request(&self) -> String {
        let mark = if self.url.query.is_empty() { "" } else { "?" };
        format!("{} {}{}{mark}{}", self.http.request.method, self.url.domain, self.url.path, self.url.query)
    }

    /// All that free text is looked for in, one piece per line: who, what and why, not the numbers of times and connections.
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(512);
        let mut push = |text: &str| {
            if !text.is_empty() {
                push_cut(&mut out, text);
                out.push('\n');
            }
        };
        for one in [
            &self.event.kind,
            &self.source.ip,
            &self.user.name,
            &self.user.hash,
            &self.http.request.method,
            &self.url.domain,
            &self.url.path,
            &self.url.canonical_path,
            &self.url.query,
            &self.decision.action,
            &self.decision.layer,
            &self.decision.reason,
            &self.site,
            &self.map,
            &self.upstream.backend,
            &self.upstream.address,
            &self.upstream.error,
            &self.account.answer,
            &self.account.by,
        ] {
            push(one);
        }
        if self.source.peer_ip != self.source.ip {
            push(&self.source.peer_ip);
        }
        for one in self.user.groups.iter().chain(&self.notes).chain(&self.integrated_auth_removed) {
            push(&one.0);
        }
        for (name, values) in &self.http.request.headers.0 {
            push(name);
            values.iter().for_each(|value| push(&value.0));
        }
        for rule in &self.rules {
            push(&rule.id.to_string());
            for one in [&rule.message, &rule.severity, &rule.variable, &rule.matched, &rule.data, &rule.source] {
                push(one);
            }
            rule.tags.iter().for_each(|tag| push(&tag.0));
        }
        out
    }
}

/// Appends text, with runs of letters and digits cut to pieces that a word of the index can hold.
fn push_cut(out: &mut String, text: &str) {
    if text.len() <= RUN_BYTES_MAX {
        return out.push_str(text);
    }
    let mut run = 0;
    for c in text.chars() {
        run = if c.is_alphanumeric() { run + c.len_utf8() } else { 0 };
        if run > RUN_BYTES_MAX {
            out.push(' ');
            run = c.len_utf8();
        }
        out.push(c);
    }
}
