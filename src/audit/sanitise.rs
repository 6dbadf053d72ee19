//! What rules said must not be shown (`sanitiseArg` and its kin), for one record.

use super::record::Record;
use super::redact::Shape;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Names of parameters, headers and variables whose values are secret in one record, lower case.
#[derive(Debug, Default)]
pub(crate) struct Sanitised {
    parameters: Vec<Vec<u8>>,
    headers: Vec<Vec<u8>>,
    /// Variables, as `ARGS:note`.
    variables: Vec<Vec<u8>>,
}

impl Sanitised {
    /// The names in a record's actions. `sanitiseMatched` names the variable that matched.
    pub(crate) fn of(record: &Record) -> Self {
        let mut own = Self::default();
        for (kind, name) in &record.sanitised {
            let lower = || name.to_ascii_lowercase();
            match &**kind {
                "sanitisearg" => own.parameters.push(lower()),
                "sanitiserequestheader" | "sanitiseresponseheader" => own.headers.push(lower()),
                _ => {
                    let variable = lower();
                    if let Some(colon) = variable.iter().position(|b| *b == b':') {
                        let member = variable[colon + 1..].to_vec();
                        match &variable[..colon] {
                            collection if collection.starts_with(b"args") => own.parameters.push(member),
                            b"request_headers" | b"response_headers" => own.headers.push(member),
                            _ => {}
                        }
                    }
                    own.variables.push(variable);
                }
            }
        }
        own
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.headers.is_empty() && self.variables.is_empty()
    }

    /// Whether a header's value is secret.
    pub(crate) fn header(&self, name: &str) -> bool {
        self.headers.iter().any(|secret| secret.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Whether what a rule saw in this variable is secret.
    pub(crate) fn variable(&self, variable: &str) -> bool {
        if self.variables.iter().any(|secret| secret.eq_ignore_ascii_case(variable.as_bytes())) {
            return true;
        }
        let Some((_, member)) = variable.split_once(':') else { return false };
        self.header(member) || self.parameters.iter().any(|secret| secret.eq_ignore_ascii_case(member.as_bytes()))
    }

    /// Adds to `found` the values behind the names, as `name=value` or `"name": value`.
    pub(crate) fn scan(&self, text: &[u8], shape: Shape, found: &mut Vec<Range<usize>>) {
        for name in self.parameters.iter().chain(&self.headers).filter(|name| !name.is_empty()) {
            let mut at = 0;
            while let Some(start) = position(text, at, name) {
                at = start + name.len();
                let in_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
                if start > 0 && in_name(&text[start - 1]) {
                    continue;
                }
                let filler = text[at..].iter().take_while(|b| matches!(b, b' ' | b'"' | b'\'' | b'\\')).count();
                if !matches!(text.get(at + filler), Some(b'=' | b':')) {
                    continue;
                }
                let from = at + filler + 1;
                let end = match shape {
                    Shape::Url => text[from..].iter().position(|b| matches!(b, b'&' | b'#')).map_or(text.len(), |length| from + length),
                    Shape::Free => text.len(),
                };
                if from < end {
                    found.push(from..end);
                }
                at = end.max(at);
            }
        }
    }
}

fn position(text: &[u8], from: usize, name: &[u8]) -> Option<usize> {
    let first = name.first()?;
    let mut at = from;
    loop {
        at += text.get(at..)?.iter().position(|b| b.eq_ignore_ascii_case(first))?;
        if text.get(at..at + name.len())?.eq_ignore_ascii_case(name) {
            return Some(at);
        }
        at += 1;
    }
}

/// An action and what it names, as the rule engine gives them.
pub type SanitisedName = (Arc<str>, Bytes);
