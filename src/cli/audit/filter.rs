//! Which records `audit list` and `audit follow` show.

use clap::Args;
use ipnet::IpNet;
use serde_json::Value;
use std::net::IpAddr;

/// The options; a record must match all that are given.
#[derive(Debug, Default, Args)]
pub(crate) struct Filter {
    /// Not before: 2026-01-31, 2026-01-31T08:00 (UTC), or an age: 15m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before; the same forms
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// A user's name, or the beginning of an unknown name's hash
    #[arg(long)]
    user: Option<String>,
    /// A client's address or network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// A site's name, or a Host as sent
    #[arg(long)]
    site: Option<String>,
    /// The beginning of a path
    #[arg(id = "path_prefix", long = "path", value_name = "PATH")]
    path: Option<String>,
    /// The layer that decided: door, basic_auth, ntlm_block, rate_limit, inspection ...
    #[arg(long)]
    layer: Option<String>,
    /// What was decided: allow, deny, challenge, redirect, mask, abort
    #[arg(long)]
    action: Option<String>,
    /// The status the client got: 403, 4xx, 500-504
    #[arg(long)]
    status: Option<String>,
    /// A rule that matched, by its id
    #[arg(long, value_name = "ID")]
    rule: Option<u64>,
    /// Words that all stand somewhere in the record, in any letter case
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
}

/// A filter, understood.
pub(super) struct Question<'a> {
    filter: &'a Filter,
    since: u64,
    until: u64,
    network: Option<IpNet>,
    status: Option<(u64, u64)>,
    words: Vec<String>,
}

impl Filter {
    /// Understands the options.
    ///
    /// # Errors
    /// What is wrong with them, one sentence.
    pub(super) fn question(&self) -> Result<Question<'_>, String> {
        let now = crate::clock::Moment::now().unix_micros;
        let time = |text: &Option<String>, otherwise| text.as_deref().map_or(Ok(otherwise), |text| time(text, now));
        let network = match self.ip.as_deref() {
            Some(text) => Some(
                text.parse::<IpNet>()
                    .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| format!("`{text}` is no address or network"))?,
            ),
            None => None,
        };
        Ok(Question {
            filter: self,
            since: time(&self.since, 0)?,
            until: time(&self.until, u64::MAX)?,
            network,
            status: self.status.as_deref().map(status).transpose()?,
            words: self.text.iter().map(|word| word.to_lowercase()).collect(),
        })
    }
}

impl Question<'_> {
    /// The second before which no record matches.
    pub(super) fn since_second(&self) -> u64 {
        self.since / 1_000_000
    }

    /// A look at the line without understanding it; false only where it cannot match.
    pub(super) fn may_match(&self, line: &[u8]) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let line = String::from_utf8_lossy(line).to_lowercase();
        // A word with characters that JSON escapes is looked for in the strings themselves.
        self.words.iter().all(|word| line.contains(word) || word.contains(['"', '\\']))
    }

    pub(super) fn matches(&self, value: &Value) -> bool {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let is = |wanted: &Option<String>, pointers: &[&str]| {
            wanted.as_ref().is_none_or(|wanted| pointers.iter().any(|p| text(p).is_some_and(|t| t.eq_ignore_ascii_case(wanted))))
        };
        let begins = |wanted: &Option<String>, pointers: &[&str]| {
            wanted.as_ref().is_none_or(|wanted| pointers.iter().any(|p| text(p).is_some_and(|t| t.starts_with(wanted.as_str()))))
        };
        let filter = self.filter;
        self.in_time(text("/@timestamp").unwrap_or_default())
            && (is(&filter.user, &["/user/name"])
                || (filter.user.as_ref().is_some_and(|u| !u.is_empty()) && begins(&filter.user, &["/user/hash"])))
            && self.network.is_none_or(|network| {
                ["/source/ip", "/source/peer_ip"]
                    .iter()
                    .any(|p| text(p).and_then(|t| t.parse::<IpAddr>().ok()).is_some_and(|ip| network.contains(&ip)))
            })
            && is(&filter.site, &["/site", "/url/domain"])
            && begins(&filter.path, &["/url/canonical_path", "/url/path"])
            && is(&filter.layer, &["/decision/layer"])
            && is(&filter.action, &["/decision/action"])
            && self.status.is_none_or(|(from, to)| {
                value.pointer("/http/response/status_code").and_then(Value::as_u64).is_some_and(|status| (from..=to).contains(&status))
            })
            && filter.rule.is_none_or(|id| value["rules"].as_array().is_some_and(|rules| rules.iter().any(|rule| rule["id"] == id)))
            && self.words.iter().all(|word| holds(value, word))
    }

    fn in_time(&self, timestamp: &str) -> bool {
        if self.since == 0 && self.until == u64::MAX {
            return true;
        }
        let micros = timestamp.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_microsecond()).ok());
        micros.is_some_and(|micros| self.since <= micros && micros < self.until)
    }
}

/// Whether a word stands in a name, a string or a number of the record.
fn holds(value: &Value, word: &str) -> bool {
    match value {
        Value::String(text) => text.to_lowercase().contains(word),
        Value::Number(number) => number.to_string().contains(word),
        Value::Array(items) => items.iter().any(|item| holds(item, word)),
        Value::Object(fields) => fields.iter().any(|(name, item)| name.to_lowercase().contains(word) || holds(item, word)),
        Value::Bool(_) | Value::Null => false,
    }
}

/// A time in microseconds since the Unix epoch.
fn time(text: &str, now: u64) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no time: write 2026-01-31, 2026-01-31T08:00, or an age as 15m, 2h, 7d");
    if let Some((unit, number)) = text.char_indices().next_back().and_then(|(at, unit)| Some((unit, text[..at].parse::<u64>().ok()?))) {
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => 0,
        };
        if seconds > 0 {
            return Ok(now.saturating_sub(number.saturating_mul(seconds).saturating_mul(1_000_000)));
        }
    }
    let micros = |stamp: jiff::Timestamp| u64::try_from(stamp.as_microsecond()).map_err(|_| wrong());
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return micros(stamp);
    }
    let civil = text.parse::<jiff::civil::DateTime>().or_else(|_| text.parse::<jiff::civil::Date>().map(jiff::civil::DateTime::from));
    civil.ok().and_then(|civil| jiff::tz::Offset::UTC.to_timestamp(civil).ok()).map_or_else(|| Err(wrong()), micros)
}

fn status(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("`{text}` is no status: write 403, 4xx or 500-504");
    if let Some(class) = text.strip_suffix("xx") {
        let class: u64 = class.parse().map_err(|_| wrong())?;
        return (1..=9).contains(&class).then_some((class * 100, class * 100 + 99)).ok_or_else(wrong);
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Ok((from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?))
}
