//! Macros, `%{tx.score}` in messages and arguments: parsed when rules load, filled in when they run.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits;
use crate::variable::Variable;

thread_local! {
    /// Where expansions are put together.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Largest buffer of it that a thread keeps.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

/// A text with macros in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Bytes),
    Macro(Macro),
}

/// One `%{variable.name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macro {
    /// The variable.
    pub variable: Variable,
    /// The name inside the collection.
    pub name: Option<Arc<str>>,
}

/// A macro that names no variable: the byte range of it in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// The name that is not known.
    pub name: String,
}

impl Template {
    /// Cuts a text at its macros. What is not a macro of a known variable stays as it is written, and is reported where it looks like one.
    pub fn parse(text: &str) -> (Self, Vec<Unknown>) {
        let mut parts = Vec::new();
        let mut unknown = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let begin = rest.find("%{").unwrap_or(rest.len());
            literal.push_str(rest.get(..begin).unwrap_or(""));
            let Some(close) = rest.get(begin..).and_then(|tail| tail.find('}')) else {
                literal.push_str(rest.get(begin..).unwrap_or(""));
                break;
            };
            let inside = rest.get(begin + 2..begin + close).unwrap_or("");
            match Macro::parse(inside) {
                Some(found) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                    }
                    parts.push(Part::Macro(found));
                }
                None => {
                    literal.push_str(rest.get(begin..=begin + close).unwrap_or(""));
                    if inside.starts_with(|c: char| c.is_ascii_alphabetic()) {
                        unknown.push(Unknown { start: at + begin, end: at + begin + close + 1, name: inside.to_owned() });
                    }
                }
            }
            at += begin + close + 1;
        }
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        (Template { parts }, unknown)
    }

    /// Its macros, in order.
    pub fn macros(&self) -> impl Iterator<Item = &Macro> {
        self.parts.iter().filter_map(|part| if let Part::Macro(one) = part { Some(one) } else { None })
    }

    /// The literal text it begins with.
    pub(crate) fn start(&self) -> &[u8] {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => &[],
        }
    }

    /// The macro that is all of it.
    pub(crate) fn only_macro(&self) -> Option<&Macro> {
        match self.parts.as_slice() {
            [Part::Macro(one)] => Some(one),
            _ => None,
        }
    }

    /// The text, where it has no macros.
    pub fn literal(&self) -> Option<&Bytes> {
        match self.parts.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Fills in the macros: `lookup` gives their values, none is empty. The flag says that the result was cut at
    /// [`limits::EXPANSION_BYTES_MAX`].
    pub fn expand(&self, lookup: impl Fn(&Macro) -> Option<Bytes>) -> (Bytes, bool) {
        let write = |one: &Macro, out: &mut Vec<u8>| out.extend_from_slice(&lookup(one).unwrap_or_default());
        self.whole(&lookup).unwrap_or_else(|| self.filled(write, Bytes::copy_from_slice))
    }

    /// The text, where it is a literal or a macro by itself.
    pub(crate) fn whole(&self, lookup: impl Fn(&Macro) -> Option<Bytes>) -> Option<(Bytes, bool)> {
        match self.parts.as_slice() {
            [Part::Literal(text)] => Some((text.clone(), false)),
            [Part::Macro(one)] => {
                let value = lookup(one).unwrap_or_default();
                let cut = value.len() > limits::EXPANSION_BYTES_MAX;
                Some((if cut { value.slice(..limits::EXPANSION_BYTES_MAX) } else { value }, cut))
            }
            _ => None,
        }
    }

    /// Puts the parts together, the macros as `write` appends them, lets `use_it` have the text, and says whether it was cut.
    pub(crate) fn filled<T>(&self, write: impl Fn(&Macro, &mut Vec<u8>), use_it: impl FnOnce(&[u8]) -> T) -> (T, bool) {
        // A lookup may expand another template: it finds an empty buffer then.
        let mut out = SCRATCH.take();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Macro(one) => write(one, &mut out),
            }
            if out.len() > limits::EXPANSION_BYTES_MAX {
                break;
            }
        }
        let cut = out.len() > limits::EXPANSION_BYTES_MAX;
        out.truncate(limits::EXPANSION_BYTES_MAX);
        let text = use_it(&out);
        out.clear();
        if out.capacity() <= SCRATCH_BYTES_MAX {
            SCRATCH.set(out);
        }
        (text, cut)
    }
}

impl Macro {
    fn parse(inside: &str) -> Option<Self> {
        let cut = inside.find(['.', ':']);
        let (variable, name) = match cut {
            Some(cut) => (inside.get(..cut)?, inside.get(cut + 1..).filter(|name| !name.is_empty())),
            None => (inside, None),
        };
        let variable = Variable::parse(variable)?;
        Some(Macro { variable, name: name.map(Arc::from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_macros_are_filled_in_and_others_stay() {
        let (template, unknown) = Template::parse("a %{tx.0} %{Request_Headers.User-Agent}%{nope.x} %{2,3} %{");
        let (text, cut) = template.expand(|m| Some(Bytes::from(format!("<{}:{}>", m.variable.name(), m.name.as_deref().unwrap_or("")))));
        assert_eq!(text, "a <TX:0> <REQUEST_HEADERS:User-Agent>%{nope.x} %{2,3} %{");
        assert!(!cut);
        assert_eq!(unknown.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["nope.x"]);
    }

    #[test]
    fn an_expansion_is_cut_at_its_limit() {
        let (template, _) = Template::parse("x%{request_body}%{request_body}");
        let (text, cut) = template.expand(|_| Some(Bytes::from(vec![b'y'; limits::EXPANSION_BYTES_MAX])));
        assert!(cut);
        assert_eq!(text.len(), limits::EXPANSION_BYTES_MAX);
    }
}
