//! Where strings of SQL end, and the strings that begin with a letter.

use super::lexer::Lexer;
use super::token::{Kind, Token};

/// The end of a string or of a name in backticks: the first quote that neither an odd number of backslashes nor a second quote escapes.
pub(super) fn doubled(inside: &[u8], quote: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(quote, inside.get(from..)?)?;
        let backslashes = inside.get(..at)?.iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 1 {
            from = at + 1;
        } else if inside.get(at + 1) == Some(&quote) {
            from = at + 2;
        } else {
            return Some(at);
        }
    }
}

impl Lexer<'_> {
    /// `b'01'`, `x'4d'`: a number; anything else is a word.
    pub(super) fn digits_in_quotes(&mut self, digit: impl Fn(u8) -> bool) -> Token {
        let Some([b'\'', inside @ ..]) = self.rest().get(1..) else { return self.word() };
        let digits = inside.iter().take_while(|byte| digit(**byte)).count();
        if inside.get(digits) == Some(&b'\'') { self.take(Kind::Number, digits + 3) } else { self.word() }
    }

    /// `e'...'` of PostgreSQL, `n'...'` of MySQL.
    pub(super) fn escape_string(&mut self) -> Token {
        if matches!(self.rest(), [_, b'\'', _, ..]) { self.string(b'\'', 2) } else { self.word() }
    }

    /// `n'...'`, and Oracle's `nq'(...)'`.
    pub(super) fn national_string(&mut self) -> Token {
        if matches!(self.rest(), [_, b'\'', _, ..]) { self.string(b'\'', 2) } else { self.oracle_string(1) }
    }

    /// `u&'...'`
    pub(super) fn unicode_string(&mut self) -> Token {
        if !self.rest().get(1..).is_some_and(|behind| behind.starts_with(b"&'")) {
            return self.word();
        }
        self.at += 2;
        let token = self.string(b'\'', 1);
        token.with_quotes(b'u', if token.close == 0 { 0 } else { b'u' })
    }

    /// Oracle's `q'(...)'`, `skip` bytes on: any byte opens, its counterpart before a quote closes.
    pub(super) fn oracle_string(&mut self, skip: usize) -> Token {
        let Some([b'q' | b'Q', b'\'', open @ 33..=127, inside @ ..]) = self.rest().get(skip..) else { return self.word() };
        let close = match open {
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => *other,
        };
        let end = memchr::memmem::find(inside, &[close, b'\'']);
        self.at += skip + 3 + end.map_or(inside.len(), |end| end + 2);
        Token::quoted(inside.get(..end.unwrap_or(inside.len())).unwrap_or_default(), b'q', if end.is_some() { b'q' } else { 0 })
    }
}
