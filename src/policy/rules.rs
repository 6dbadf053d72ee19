//! Which rules a map is inspected with: the Core Rule Set's files, and exclusions from them.

use crate::diagnostic::Diagnostic;
use std::path::PathBuf;

/// The Core Rule Set's files in the order they load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrsFiles {
    /// The engine's settings and base rules (Apache's `modsecurity.conf`); `None` for the built-in ones.
    pub engine: Option<PathBuf>,
    /// `crs-setup.conf`, or its example.
    pub setup: PathBuf,
    /// `REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf` beside the setup file, as Debian has it.
    pub before: Option<PathBuf>,
    /// The folder of the rules.
    pub rules: PathBuf,
    /// `RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf` beside the setup file.
    pub after: Option<PathBuf>,
    /// Folders with plugins.
    pub plugins: Vec<PathBuf>,
}

/// Something of the policy whose meaning shows only later, with its place for what is said about it then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked<T> {
    /// It.
    pub value: T,
    place: Box<Diagnostic>,
}

impl<T> Marked<T> {
    /// `place` is a diagnostic without a message.
    pub(super) fn new(value: T, place: Diagnostic) -> Self {
        Self { value, place: Box::new(place) }
    }

    /// An error at its place.
    pub fn error(&self, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic { message: message.into(), help: help.into(), ..(*self.place).clone() }
    }

    /// A warning at its place.
    pub fn warning(&self, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        self.error(message, help).warning()
    }
}

/// `[[exclusion]]`: rules, or variables of rules, that are left out where it holds.
#[derive(Debug)]
pub struct Exclusion {
    /// A number unique in the policy.
    pub index: usize,
    /// `gateway.toml:line` of it, by which records name it.
    pub source: std::sync::Arc<str>,
    /// The rules.
    pub rules: Vec<Marked<RuleChoice>>,
    /// The variables, as rules write them; none takes out the rules as a whole.
    pub targets: Vec<Marked<String>>,
    /// The canonical prefix it holds for; `None` for every path of its site or map.
    pub path: Option<Marked<String>>,
    /// Why it is needed.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The day after which it no longer holds.
    pub expires: Option<Marked<Expiry>>,
}

impl Exclusion {
    /// Whether it still holds at a time in microseconds since 1970.
    pub fn holds_at(&self, unix_micros: u64) -> bool {
        self.expires.as_ref().is_none_or(|expiry| unix_micros < expiry.value.end_micros)
    }

    /// Whether it covers a canonical path, at segment boundaries.
    pub fn covers(&self, path: &[u8], fold_case: bool) -> bool {
        let Some(prefix) = &self.path else { return true };
        let prefix = prefix.value.as_bytes();
        let Some((front, rest)) = path.split_at_checked(prefix.len()) else { return false };
        // ASCII only: where letters of other scripts differ in case the rule applies, which is the safe side.
        let same = if fold_case { front.eq_ignore_ascii_case(prefix) } else { front == prefix };
        same && (rest.is_empty() || prefix.ends_with(b"/") || rest.starts_with(b"/"))
    }
}

/// Which rules an exclusion is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleChoice {
    /// Ids from the first to the second, both included.
    Ids(u64, u64),
    /// The rules with exactly this tag.
    Tag(String),
}

/// The last day of an exclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// As written, `2027-03-31`.
    pub day: String,
    /// Microseconds since 1970 at the end of that day, UTC.
    pub end_micros: u64,
}
