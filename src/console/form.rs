//! What is asked in an address or a form of the console, and questions as addresses.

use crate::form::Pairs;
use crate::search::{Asked, Field};
use std::fmt::Write as _;

/// Pairs that are read; ours have fewer.
const PAIRS_MAX: usize = 64;

/// The fields that have a name of their own in a question, beside those of [`Asked`].
pub(super) const FIELDS: [Field; 13] = [
    Field::Layer,
    Field::Action,
    Field::Decision,
    Field::Reason,
    Field::Rule,
    Field::Target,
    Field::Method,
    Field::Host,
    Field::Template,
    Field::Backend,
    Field::Agent,
    Field::Kind,
    Field::Cause,
];

/// What a page was asked, or a form said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form(Pairs);

impl Form {
    /// Reads a query or a form's body.
    pub(super) fn parse(text: &str) -> Self {
        Self(Pairs::parse(text, PAIRS_MAX))
    }

    /// The first value of a name; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name)
    }

    /// The question in it.
    pub(super) fn asked(&self) -> Asked {
        let text = |name| self.get(name).trim().to_owned();
        let fields = FIELDS.iter().map(|field| (*field, text(field.name()))).filter(|(_, value)| !value.is_empty());
        Asked {
            since: text("since"),
            until: text("until"),
            user: text("user"),
            ip: text("ip"),
            site: text("site"),
            path: text("path"),
            status: text("status"),
            fields: fields.collect(),
            text: text("q"),
        }
    }
}

/// A question as a query, without its question mark; empty for none. Reading it back gives the same question.
pub(super) fn query(asked: &Asked) -> String {
    let mut out = String::new();
    let own = [
        ("q", &asked.text),
        ("since", &asked.since),
        ("until", &asked.until),
        ("user", &asked.user),
        ("ip", &asked.ip),
        ("site", &asked.site),
        ("path", &asked.path),
        ("status", &asked.status),
    ];
    for (name, value) in own.into_iter().chain(asked.fields.iter().map(|(field, value)| (field.name(), value))) {
        push(&mut out, name, value);
    }
    out
}

/// Appends a pair, where it has a value.
pub(super) fn push(out: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push('&');
    }
    out.push_str(name);
    out.push('=');
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_question_survives_its_address(user in "\\PC{1,20}", text in "[^\\s]\\PC{0,20}[^\\s]", rule in 1u64..1_000_000) {
            prop_assume!(user.trim() == user && text.trim() == text);
            let asked = Asked { user, text, fields: vec![(Field::Rule, rule.to_string())], ..Asked::default() };
            prop_assert_eq!(Form::parse(&query(&asked)).asked(), asked);
        }

        #[test]
        fn any_query_is_read(text in "\\PC{0,200}") {
            let _ = Form::parse(&text).asked();
        }
    }
}
