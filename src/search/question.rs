//! A question about the trail: which records are meant. The command line and the console ask in the same words.

use super::facts::{Facts, Field};
use ipnet::IpNet;
use std::net::IpAddr;

/// Bytes of one answer to "which?": longer is no question.
const VALUE_BYTES_MAX: usize = 1024;
/// Words of free text; each costs a pass over the index's words.
const WORDS_MAX: usize = 16;

/// A question as it is written: texts, empty where nothing is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Not before: a date, a time or an age.
    pub since: String,
    /// Before.
    pub until: String,
    /// A user's name, or the beginning of an unknown name's hash.
    pub user: String,
    /// A client's address or network.
    pub ip: String,
    /// A site's name, or a Host as sent.
    pub site: String,
    /// The beginning of a path.
    pub path: String,
    /// A status, a class (`4xx`) or a range (`500-504`).
    pub status: String,
    /// Further fields, each with the value it must have.
    pub fields: Vec<(Field, String)>,
    /// Words that all stand somewhere in the record.
    pub text: String,
}

/// A question, understood.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Microseconds since the Unix epoch: not before.
    pub since: u64,
    /// Microseconds since the Unix epoch: before. `u64::MAX` for no end.
    pub until: u64,
    /// What the fields must be.
    pub(super) tests: Vec<Test>,
    /// Words in lower case.
    pub(super) words: Vec<String>,
}

/// What values a field may have, of several fields any.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) fields: Vec<Field>,
    pub(super) wanted: Wanted,
}

/// What a value must be.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// This, in any letter case.
    Is(String),
    /// One that begins so.
    Begins(String),
    /// This name in any letter case, or `#` and a hash that begins so.
    Who(String),
    /// An address inside.
    Within(IpNet),
    /// A number in this range.
    Between(u16, u16),
}

impl Wanted {
    pub(super) fn accepts(&self, value: &str) -> bool {
        match self {
            Self::Is(wanted) => value.eq_ignore_ascii_case(wanted),
            Self::Begins(wanted) => value.starts_with(wanted.as_str()),
            Self::Who(wanted) => {
                value.eq_ignore_ascii_case(wanted)
                    || value.strip_prefix('#').is_some_and(|hash| hash.starts_with(wanted.trim_start_matches('#')))
            }
            Self::Within(network) => value.parse::<IpAddr>().is_ok_and(|address| network.contains(&address)),
            Self::Between(from, to) => value.parse::<u16>().is_ok_and(|value| (*from..=*to).contains(&value)),
        }
    }
}

impl Asked {
    /// Understands the question at `now` (microseconds since the Unix epoch).
    ///
    /// # Errors
    /// What is wrong with it, one sentence.
    pub fn question(&self, now: u64) -> Result<Question, String> {
        let long = [&self.user, &self.site, &self.path, &self.text].into_iter().chain(self.fields.iter().map(|(_, value)| value));
        if long.into_iter().any(|value| value.len() > VALUE_BYTES_MAX) {
            return Err(format!("a value in the question has more than {VALUE_BYTES_MAX} bytes"));
        }
        let at = |text: &str, otherwise| if text.trim().is_empty() { Ok(otherwise) } else { time(text.trim(), now) };
        let mut tests = Vec::new();
        let mut test = |fields: &[Field], wanted| tests.push(Test { fields: fields.to_vec(), wanted });
        if !self.user.is_empty() {
            test(&[Field::User], Wanted::Who(self.user.clone()));
        }
        if !self.ip.trim().is_empty() {
            let text = self.ip.trim();
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            test(&[Field::Address, Field::Peer], Wanted::Within(network.map_err(|_| format!("`{text}` is no address or network"))?));
        }
        if !self.site.is_empty() {
            test(&[Field::Site, Field::Host], Wanted::Is(self.site.clone()));
        }
        if !self.path.is_empty() {
            test(&[Field::Path], Wanted::Begins(self.path.clone()));
        }
        if !self.status.trim().is_empty() {
            let (from, to) = status(self.status.trim())?;
            test(&[Field::Status], Wanted::Between(from, to));
        }
        for (field, value) in self.fields.iter().filter(|(_, value)| !value.is_empty()) {
            let wanted = match field {
                Field::Cause => Wanted::Begins(value.clone()),
                _ => Wanted::Is(value.clone()),
            };
            test(&[*field], wanted);
        }
        let words: Vec<_> = self.text.split_whitespace().map(str::to_lowercase).collect();
        if words.len() > WORDS_MAX {
            return Err(format!("more than {WORDS_MAX} words are asked for"));
        }
        Ok(Question { since: at(&self.since, 0)?, until: at(&self.until, u64::MAX)?, tests, words })
    }
}

impl Question {
    /// Every record.
    pub fn all() -> Self {
        Self { until: u64::MAX, ..Self::default() }
    }

    /// Whether a record is meant.
    pub fn matches(&self, facts: &Facts) -> bool {
        let holds = |test: &Test| {
            let mut holds = false;
            for field in &test.fields {
                facts.each(*field, |value| holds |= test.wanted.accepts(value));
            }
            holds
        };
        (self.since..self.until).contains(&facts.micros()) && self.tests.iter().all(holds) && self.words_match(facts)
    }

    /// Whether all words stand in the record.
    pub(super) fn words_match(&self, facts: &Facts) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let text = facts.text().to_lowercase();
        self.words.iter().all(|word| text.contains(word))
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

fn status(text: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("`{text}` is no status: write 403, 4xx or 500-504");
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().map_err(|_| wrong())?;
        return (1..=9).contains(&class).then_some((class * 100, class * 100 + 99)).ok_or_else(wrong);
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Ok((from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?))
}
