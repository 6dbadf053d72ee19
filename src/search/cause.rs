//! What made the gateway act: records of one cause read as one alert.
//!
//! A cause is the rules that matched (or, where none did, the layer and its reason), the variables they matched, the site and the
//! path's template, and the user. A plain allow has none.

use super::facts::{Facts, Field};
use sha2::{Digest as _, Sha256};

/// Rules and variables that a cause names; more only change its id.
const NAMED_MAX: usize = 8;

/// Between the parts of a cause. Parts hold none: it is replaced there.
const BETWEEN: char = '\t';

/// A cause, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Sixteen hexadecimal digits: the same for the same cause, everywhere and always.
    pub id: String,
    /// The rules by their ids, or `layer: reason`.
    pub what: String,
    /// The variables that matched; empty where no rule did.
    pub target: String,
    /// The site; empty where none was found.
    pub site: String,
    /// The path's template.
    pub template: String,
    /// Who; empty for nobody known.
    pub user: String,
}

impl Cause {
    /// Takes apart what `of` wrote.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(BETWEEN).map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Self { id: next(), what: next(), target: next(), site: next(), template: next(), user: next() }
    }
}

/// The cause of a record in one string that begins with its id; empty where it has none.
pub(super) fn of(facts: &Facts) -> String {
    let layer = facts.first(Field::Layer);
    if facts.rules().is_empty() && layer.is_empty() {
        return String::new();
    }
    let named = |field| {
        let mut values = Vec::new();
        facts.each(field, |value| values.push(value.replace(|c: char| c.is_control(), " ")));
        values
    };
    let joined = |values: &[String]| {
        let more = if values.len() > NAMED_MAX { format!(" +{}", values.len() - NAMED_MAX) } else { String::new() };
        format!("{}{more}", values[..values.len().min(NAMED_MAX)].join(" "))
    };
    let one = |field| named(field).pop().unwrap_or_default();
    let (rules, targets) = (named(Field::Rule), named(Field::Target));
    let what = if rules.is_empty() { format!("{layer}: {}", one(Field::Reason)) } else { joined(&rules) };
    let site = one(Field::Site);
    // A stranger's Host would make a cause of its own of each request.
    let parts = [what, joined(&targets), site, one(Field::Template), one(Field::User)];
    let mut hash = Sha256::new();
    for part in rules.iter().chain(&targets).chain(&parts[if rules.is_empty() { 0 } else { 2 }..]) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let id: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{id}{BETWEEN}{}", parts.join(&BETWEEN.to_string()))
}
