//! The marks of XML: names, quotes, references, and the place in the document.

use crate::body::BodyError;

/// A document and how far it has been read.
pub(super) struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    pub(super) fn mistake(&self, message: impl Into<String>) -> BodyError {
        BodyError::mistake(self.at, message)
    }

    pub(super) fn limit(&self, message: impl Into<String>) -> BodyError {
        BodyError::limit(self.at, message)
    }

    pub(super) fn eat(&mut self, text: &[u8]) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Skips white space; says whether there was any.
    pub(super) fn skip_blanks(&mut self) -> bool {
        let blanks = self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.at += blanks;
        blanks > 0
    }

    /// The text before `end`, which is eaten too.
    pub(super) fn until(&mut self, end: &[u8], what: &str) -> Result<&'a [u8], BodyError> {
        let rest = self.rest();
        let Some(length) = memchr::memmem::find(rest, end) else { return Err(self.mistake(format!("{what} does not end"))) };
        self.at += length + end.len();
        Ok(rest.get(..length).unwrap_or_default())
    }

    /// The text before `end`, which stays, or all there is.
    pub(super) fn before(&mut self, end: u8) -> &'a [u8] {
        let rest = self.rest();
        let length = memchr::memchr(end, rest).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Skips to the first of `ends`, which stays.
    pub(super) fn skip_to(&mut self, ends: &[u8]) -> Result<(), BodyError> {
        let Some(length) = self.rest().iter().position(|byte| ends.contains(byte)) else {
            return Err(self.mistake("the document type does not end"));
        };
        self.at += length;
        Ok(())
    }

    pub(super) fn name(&mut self, what: &str) -> Result<&'a [u8], BodyError> {
        let rest = self.rest();
        let length = name_at(rest);
        if length == 0 {
            return Err(self.mistake(format!("{what} has no name")));
        }
        self.at += length;
        Ok(rest.get(..length).unwrap_or_default())
    }

    /// A value in single or double quotes.
    pub(super) fn quoted(&mut self, what: &str) -> Result<&'a [u8], BodyError> {
        match self.rest().first() {
            Some(&quote @ (b'"' | b'\'')) => {
                self.at += 1;
                self.until(&[quote], what)
            }
            _ => Err(self.mistake(format!("{what} is not in quotes"))),
        }
    }
}

/// How long the name at the start is; 0 where there is none.
pub(super) fn name_at(text: &[u8]) -> usize {
    let starts = text.first().is_some_and(|&byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || !byte.is_ascii());
    let inside = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-' | b'.') || !byte.is_ascii();
    if starts { text.iter().take_while(inside).count() } else { 0 }
}

/// The character of a reference that needs no declaration.
pub(super) fn predefined(name: &[u8]) -> Option<char> {
    match name {
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"amp" => Some('&'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        [b'#', b'x', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        _ => None,
    }
}

fn number(digits: &[u8], radix: u32) -> Option<char> {
    if digits.is_empty() || !digits.iter().all(|&digit| char::from(digit).is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok().and_then(char::from_u32)
}
