//! `@rx` and `@rxGlobal`: regular expressions as ModSecurity writes them.

mod class;
mod reader;
mod translate;

use std::ops::Range;

use super::{Captures, Matched};

/// Largest compiled pattern, in bytes. The largest of the Core Rule Set's takes under 1 MB; ten times that is
/// room for others and still bounds what one line of a rule file may cost.
const PROGRAM_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Most memory for the states that a pattern builds while matching, in bytes, per thread. Left at the default
/// of 2 MB, three hundred patterns on eight threads could hold 5 GB.
const LAZY_STATES_BYTES_MAX: usize = 512 * 1024;

/// Most steps back in a pattern that needs backtracking, per value.
const BACKTRACK_STEPS_MAX: usize = 200_000;

/// Longest value for a pattern that needs backtracking, in bytes. One step may look at the rest of the value, so
/// the time is bounded by the square of this: a tenth of a second at the worst.
const BACKTRACK_VALUE_BYTES_MAX: usize = 8 * 1024;

/// Most captures that a rule sees: the whole and nine groups.
const GROUPS_MAX: usize = 10;

/// Where the groups of a match are.
type Groups = [Option<Range<usize>>; GROUPS_MAX];

/// Takes a pattern in PCRE's syntax, as ModSecurity 2 compiles it: over bytes, `.` matches newlines too, `^` and `$`
/// are the ends of the value. `TX:0` to `TX:9` are the whole match and the first nine groups. Matching is linear
/// in the value; a pattern with look-around, back-references, atomic groups or possessive quantifiers
/// runs in a bounded backtracking engine and reports an error where the bound is hit. Branch reset, recursion,
/// conditionals, callouts and verbs are refused.
///
/// `SecRule ARGS "@rx (?i)union\s+select" "id:1,phase:2,deny,capture,logdata:'%{TX.0}'"`
///
/// Manual: Operators, rx; rxGlobal (ModSecurity 3) keeps the groups of every match, up to ten in all.
#[derive(Debug)]
pub struct Rx {
    engine: Engine,
    /// A shorter value cannot match: bytes.
    shortest: usize,
    translated: String,
}

#[derive(Debug)]
enum Engine {
    /// `^$`
    Empty,
    /// `^.*$`
    Anything,
    /// `^name`, and whether letters count in any case
    Prefix(Box<[u8]>, bool),
    Linear(regex::bytes::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

impl Rx {
    /// Builds a pattern from PCRE's syntax.
    ///
    /// # Errors
    ///
    /// A sentence saying what is wrong with it.
    pub fn compile(argument: &str) -> Result<Self, String> {
        let translated = translate::translate(argument)?;
        let engine = match translated.needs_backtracking {
            None if translated.pattern == "^$" => Engine::Empty,
            None if translated.pattern == "^.*$" => Engine::Anything,
            None if let Some((text, any_case)) = prefix(&translated.pattern) => Engine::Prefix(text.as_bytes().into(), any_case),
            None => regex::bytes::RegexBuilder::new(&translated.pattern)
                .unicode(false)
                .dot_matches_new_line(true)
                .size_limit(PROGRAM_BYTES_MAX)
                .dfa_size_limit(LAZY_STATES_BYTES_MAX)
                .build()
                .map(Engine::Linear)
                .map_err(|error| format!("the pattern does not compile: {error}"))?,
            Some(feature) if has_high_byte(&translated.pattern) => {
                return Err(format!(
                    "the pattern has {feature}, which is not supported together with bytes above 7F (or `\\h`, `\\v`, `\\R`)"
                ));
            }
            Some(feature) => fancy_regex::RegexBuilder::new(&translated.pattern)
                .bytes_mode(fancy_regex::BytesMode::Ascii)
                .dot_matches_new_line(true)
                .backtrack_limit(BACKTRACK_STEPS_MAX)
                .delegate_size_limit(PROGRAM_BYTES_MAX)
                .delegate_dfa_size_limit(LAZY_STATES_BYTES_MAX)
                .build()
                .map(|regex| Engine::Backtracking(Box::new(regex)))
                .map_err(|error| format!("the pattern, which has {feature}, does not compile: {error}"))?,
        };
        let shortest = match &engine {
            Engine::Linear(_) => shortest(&translated.pattern),
            Engine::Empty | Engine::Anything | Engine::Prefix(..) | Engine::Backtracking(_) => 0,
        };
        Ok(Self { engine, shortest, translated: translated.pattern })
    }

    /// The pattern as the engine reads it.
    pub fn as_str(&self) -> &str {
        &self.translated
    }

    /// The pattern in the regex crate's syntax, where matching is linear.
    pub(crate) fn linear(&self) -> Option<&str> {
        self.is_linear().then_some(&self.translated)
    }

    /// Whether matching is linear in the value. A pattern for which it is not deserves a word at check time.
    pub fn is_linear(&self) -> bool {
        !matches!(self.engine, Engine::Backtracking(_))
    }

    /// Looks for the pattern in a value; groups go to `captures`.
    pub fn matches(&self, value: &[u8], captures: Option<&mut Captures>) -> Matched {
        if value.len() < self.shortest {
            return Matched::No;
        }
        let Some(captures) = captures else {
            return match &self.engine {
                Engine::Empty => Matched::from(value.is_empty()),
                Engine::Anything => Matched::Yes,
                Engine::Prefix(text, any_case) => Matched::from(begins(value, text, *any_case)),
                Engine::Linear(regex) => Matched::from(regex.is_match(value)),
                Engine::Backtracking(_) => self.find_at(value, 0).map_or_else(Matched::Error, |found| Matched::from(found.is_some())),
            };
        };
        let groups = match self.groups_at(value, 0) {
            Ok(None) => return Matched::No,
            Ok(Some(groups)) => groups,
            Err(reason) => return Matched::Error(reason),
        };
        captures.clear();
        for (index, group) in groups.into_iter().enumerate().filter_map(|(index, group)| Some((index, group?))) {
            captures.set(index, value.get(group).unwrap_or_default());
        }
        Matched::Yes
    }

    /// `@rxGlobal`: goes on behind each match and keeps the groups of them all.
    pub(super) fn matches_all(&self, value: &[u8], captures: Option<&mut Captures>) -> Matched {
        let Some(captures) = captures else { return self.matches(value, None) };
        let mut from = 0;
        let mut matched = false;
        while from <= value.len() {
            let groups = match self.groups_at(value, from) {
                Ok(Some(groups)) => groups,
                Ok(None) => break,
                Err(reason) => return Matched::Error(reason),
            };
            if !matched {
                captures.clear();
                matched = true;
            }
            let whole = groups.first().cloned().flatten().unwrap_or(from..from);
            for group in groups.into_iter().flatten() {
                captures.push(value.get(group).unwrap_or_default());
            }
            if captures.full() {
                break;
            }
            from = if whole.is_empty() { whole.end + 1 } else { whole.end };
        }
        Matched::from(matched)
    }

    /// Where the pattern first matches at or behind `from`.
    pub(super) fn find_at(&self, value: &[u8], from: usize) -> Result<Option<Range<usize>>, String> {
        if from > value.len() {
            return Ok(None);
        }
        match &self.engine {
            Engine::Empty => Ok(value.is_empty().then_some(0..0)),
            Engine::Anything => Ok((from == 0).then_some(0..value.len())),
            Engine::Prefix(text, any_case) => Ok((from == 0 && begins(value, text, *any_case)).then_some(0..text.len())),
            Engine::Linear(regex) => Ok(regex.find_at(value, from).map(|found| found.range())),
            Engine::Backtracking(regex) => {
                bounded(value)?;
                let found = regex.find_from_pos(value, from).map_err(|error| exceeded(&error))?;
                Ok(found.map(|found| found.start()..found.end()))
            }
        }
    }

    /// The first match at or behind `from`, as the places of its first ten groups.
    fn groups_at(&self, value: &[u8], from: usize) -> Result<Option<Groups>, String> {
        let mut groups = Groups::default();
        match &self.engine {
            Engine::Linear(regex) if regex.captures_len() > 1 => {
                // Most values do not match, and finding that out needs no places of groups.
                if !regex.is_match_at(value, from) {
                    return Ok(None);
                }
                let Some(found) = regex.captures_at(value, from) else { return Ok(None) };
                groups.iter_mut().zip(found.iter()).for_each(|(own, group)| *own = group.map(|group| group.range()));
            }
            Engine::Backtracking(regex) => {
                bounded(value)?;
                let Some(found) = regex.captures_from_pos(value, from).map_err(|error| exceeded(&error))? else { return Ok(None) };
                groups.iter_mut().zip(found.iter()).for_each(|(own, group)| *own = group.map(|group| group.start()..group.end()));
            }
            // Without groups the whole match is all there is.
            _ => {
                let Some(whole) = self.find_at(value, from)? else { return Ok(None) };
                groups[0] = Some(whole);
            }
        }
        Ok(Some(groups))
    }
}

/// The least bytes that a pattern matches, as far as its parser knows.
fn shortest(pattern: &str) -> usize {
    let parsed = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).dot_matches_new_line(true).build().parse(pattern);
    parsed.ok().and_then(|pattern| pattern.properties().minimum_len()).unwrap_or(0)
}

/// The text of a pattern that says only how values begin, and whether letters count in any case.
fn prefix(pattern: &str) -> Option<(&str, bool)> {
    let (rest, any_case) = pattern.strip_prefix("(?i)").map_or((pattern, false), |rest| (rest, true));
    let text = rest.strip_prefix('^').filter(|text| !text.is_empty())?;
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some((text, any_case))
}

fn begins(value: &[u8], text: &[u8], any_case: bool) -> bool {
    value.get(..text.len()).is_some_and(|start| if any_case { start.eq_ignore_ascii_case(text) } else { start == text })
}

/// Whether a translated pattern names a byte above 7F. The backtracking engine would take it for a character, which
/// is two bytes in the value. (In a translation a backslash before `x` always begins `\xHH`.)
fn has_high_byte(pattern: &str) -> bool {
    pattern.split("\\x").skip(1).any(|rest| rest.starts_with(|digit: char| matches!(digit, '8'..='9' | 'a'..='f')))
}

fn bounded(value: &[u8]) -> Result<(), String> {
    if value.len() <= BACKTRACK_VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(format!(
        "the pattern needs backtracking, which runs on values up to {BACKTRACK_VALUE_BYTES_MAX} bytes; this one has {}",
        value.len()
    ))
}

fn exceeded(error: &fancy_regex::Error) -> String {
    format!("the pattern needs backtracking and gave up: {error}")
}
