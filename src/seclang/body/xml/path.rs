//! The part of XPath that rules use: child and descendant steps, attributes, `text()`, `[n]`, `[@a]`, `[@a='v']`, namespaces.

use std::ops::Range;

/// Steps of one path: one bit each while it is followed.
const STEPS_MAX: usize = 32;

/// A path such as `/a/n:b[2]/@c`, ready to be followed through a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

/// One element on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// `//`: any depth below, not only children.
    pub(super) descendant: bool,
    pub(super) name: Name,
    pub(super) predicate: Option<Predicate>,
}

/// What names an element or attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The namespace, empty for none; None for any, as `*` without a prefix.
    pub(super) namespace: Option<Vec<u8>>,
    /// The name without its prefix; None for `*`.
    pub(super) local: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Predicate {
    /// `[n]`, from one.
    Number(u32),
    /// `[@a]`, `[@a='v']`
    Attribute(Name, Option<Vec<u8>>),
}

/// What is taken at the end of the way; the flag says at any depth below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The text of each element.
    Element,
    /// `/@a`
    Attribute(Name, bool),
    /// `/text()`
    Text(bool),
}

/// Why a path cannot be followed: where, and one sentence.
pub type PathError = (Range<usize>, String);

impl Path {
    /// Reads a path; `namespaces` are the prefixes with the names they stand for.
    ///
    /// # Errors
    /// The place in the text and a sentence, where it is more of XPath than is read here or a prefix is not declared.
    pub fn parse(text: &str, namespaces: &[(String, String)]) -> Result<Self, PathError> {
        let mut reader = Reader { text, at: 0, namespaces };
        let mut path = Path { steps: Vec::new(), end: End::Element };
        while reader.at < text.len() {
            if path.end != End::Element {
                return Err(reader.unknown());
            }
            if !reader.eat("/") {
                return Err(reader.unknown());
            }
            let descendant = reader.eat("/");
            if reader.eat("@") {
                path.end = End::Attribute(reader.name()?, descendant);
            } else if reader.eat("text()") {
                path.end = End::Text(descendant);
            } else {
                let name = reader.name()?;
                let predicate = reader.predicate(&name)?;
                path.steps.push(Step { descendant, name, predicate });
            }
        }
        if path.steps.len() > STEPS_MAX {
            return Err((0..text.len(), format!("a path has at most {STEPS_MAX} steps")));
        }
        if path.steps.is_empty() && path.end == End::Element {
            return Err(reader.unknown());
        }
        Ok(path)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    namespaces: &'a [(String, String)],
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn unknown(&self) -> PathError {
        (self.at..self.text.len(), format!("`{}` is more of XPath than this engine knows", self.rest()))
    }

    fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let length = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let word = rest.get(..length).filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))?;
        self.at += length;
        Some(word)
    }

    /// `a`, `n:a`, `n:*` or `*`.
    fn name(&mut self) -> Result<Name, PathError> {
        if self.eat("*") {
            return Ok(Name { namespace: None, local: None });
        }
        let start = self.at;
        let Some(first) = self.word() else { return Err(self.unknown()) };
        if self.rest().starts_with("::") || self.rest().starts_with('(') {
            self.at = start;
            return Err(self.unknown());
        }
        if !self.eat(":") {
            return Ok(Name { namespace: Some(Vec::new()), local: Some(first.as_bytes().to_vec()) });
        }
        let Some((_, uri)) = self.namespaces.iter().find(|(prefix, _)| prefix == first) else {
            return Err((start..self.at, format!("the prefix `{first}` is not declared; add xmlns:{first}=... to the rule")));
        };
        let namespace = Some(uri.as_bytes().to_vec());
        if self.eat("*") {
            return Ok(Name { namespace, local: None });
        }
        let Some(local) = self.word() else { return Err(self.unknown()) };
        Ok(Name { namespace, local: Some(local.as_bytes().to_vec()) })
    }

    fn predicate(&mut self, element: &Name) -> Result<Option<Predicate>, PathError> {
        let start = self.at;
        if !self.eat("[") {
            return Ok(None);
        }
        let unknown = |reader: &mut Self| {
            reader.at = start;
            reader.unknown()
        };
        let predicate = if self.eat("@") {
            let name = self.name()?;
            let value = if self.eat("=") { Some(self.quoted().ok_or_else(|| unknown(self))?) } else { None };
            Predicate::Attribute(name, value)
        } else {
            let digits = self.rest().split(']').next().unwrap_or("");
            let number = digits.parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(|| unknown(self))?;
            self.at += digits.len();
            Predicate::Number(number)
        };
        if matches!(&predicate, Predicate::Number(_)) && element.local.is_none() && element.namespace.is_some() {
            return Err(unknown(self));
        }
        if !self.eat("]") || self.rest().starts_with('[') {
            return Err(unknown(self));
        }
        Ok(Some(predicate))
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        let rest = self.rest();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let value = rest.get(1..)?.split(quote).next().filter(|value| rest.len() > value.len() + 1)?;
        self.at += value.len() + 2;
        Some(value.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_and_what_is_not() {
        let namespaces = [("n".to_owned(), "urn:x".to_owned())];
        for path in ["/a", "//a", "/a/b[2]", "/a//b[@c]", "//*", "//@*", "/a/@b", "//text()", "/n:a/n:*", "//b[@n:c=\"v\"]/text()"] {
            assert!(Path::parse(path, &namespaces).is_ok(), "{path}");
        }
        for path in [
            "",
            "/",
            "a",
            "/a/",
            "/a[last()]",
            "/a[0]",
            "/a[1][2]",
            "/a/..",
            "/x:a",
            "/a/@b/c",
            "/a|/b",
            "/child::a",
            "/count(a)",
            "/a[@b=v]",
            "/n:*[2]",
        ] {
            assert!(Path::parse(path, &namespaces).is_err(), "{path}");
        }
    }
}
