//! What a value must hold for an operator to match it.

use super::ByteSet;
use super::hir;
use crate::operator::Operator;

/// Longest value of which an examination by libinjection may be left out: behind its bound it is an error, not a verdict.
const EXAMINED_BYTES_MAX: usize = 4 * 1024;

/// One of the texts or one of the bytes is in the value. Texts are in lower case and found in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clause {
    /// Texts of two bytes and more.
    pub(crate) literals: Vec<Vec<u8>>,
    /// Single bytes.
    pub(crate) bytes: ByteSet,
}

/// What holds for every value that an operator matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// All of them hold.
    pub(crate) clauses: Vec<Clause>,
    /// The value has at least so many bytes.
    pub(crate) shortest: usize,
    /// Of longer values nothing is known.
    pub(crate) longest: usize,
}

impl AsRef<Clause> for Clause {
    fn as_ref(&self) -> &Clause {
        self
    }
}

impl Clause {
    /// One of the texts, given in any case; none where one of them is empty.
    pub(crate) fn any<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut clause = Self::default();
        for text in texts {
            match text.as_ref() {
                [] => return None,
                [byte] => {
                    clause.bytes.insert(byte.to_ascii_lowercase());
                    clause.bytes.insert(byte.to_ascii_uppercase());
                }
                text => clause.literals.push(text.to_ascii_lowercase()),
            }
        }
        clause.literals.sort();
        clause.literals.dedup();
        Some(clause)
    }

    fn bytes(bytes: ByteSet) -> Self {
        Self { literals: Vec::new(), bytes }
    }
}

impl Requirement {
    /// What an operator with a fixed argument requires; none where nothing useful is known.
    pub(crate) fn of(operator: &Operator) -> Option<Self> {
        let clauses = |clauses| Some(Self { clauses, shortest: 0, longest: usize::MAX });
        let text = |text: &[u8]| Some(Self { clauses: vec![Clause::any([text])?], shortest: text.len(), longest: usize::MAX });
        let bytes = |contains: &dyn Fn(u8) -> bool| clauses(vec![Clause::bytes(ByteSet::of(contains))]);
        match operator {
            Operator::Rx(pattern) | Operator::RxGlobal(pattern) => hir::requirement(pattern.linear()?),
            Operator::Pm(phrases) => clauses(vec![Clause::any(phrases.phrases())?]),
            Operator::BeginsWith(literal) | Operator::Contains(literal) | Operator::ContainsWord(literal) | Operator::EndsWith(literal) => {
                text(literal)
            }
            Operator::StrEq(literal) => text(literal),
            Operator::StrMatch(literal) => text(literal.text()),
            Operator::ValidateByteRange(allowed) => bytes(&|byte| !allowed.allows(byte)),
            Operator::ValidateUrlEncoding => bytes(&|byte| byte == b'%'),
            Operator::ValidateUtf8Encoding => bytes(&|byte| !byte.is_ascii()),
            Operator::NoMatch => clauses(vec![Clause::default()]),
            // A single word is a single token, and no single token is an injection; a tag needs its bracket, an attribute its sign.
            Operator::DetectSqli => {
                Some(Self { longest: EXAMINED_BYTES_MAX, ..bytes(&|byte| !byte.is_ascii_alphabetic() && byte != b'_')? })
            }
            Operator::DetectXss => Some(Self { longest: EXAMINED_BYTES_MAX, ..bytes(&|byte| matches!(byte, b'<' | b'='))? }),
            _ => None,
        }
    }

    /// Whether a value may be matched, slowly and exactly as the clauses say: what the scanner is held against.
    #[cfg(test)]
    pub(super) fn admits(&self, value: &[u8]) -> bool {
        let lower = value.to_ascii_lowercase();
        let holds = |clause: &Clause| {
            clause.bytes.iter().any(|byte| value.contains(&byte))
                || clause.literals.iter().any(|text| memchr::memmem::find(&lower, text).is_some())
        };
        value.len() > self.longest || value.len() >= self.shortest && self.clauses.iter().all(holds)
    }
}
