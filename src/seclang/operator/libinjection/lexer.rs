//! Cuts a value into tokens of SQL, as the databases together would read it.
//!
//! A zero counts as a digit or letter wherever a run of them is measured, as in libinjection.

use super::strings::doubled;
use super::token::{Kind, TEXT_BYTES_MAX, Token};
use super::words::kind_of;

/// Which quote the value is imagined to stand behind, and which dialect reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// The quote, 0 for none.
    pub(super) quote: u8,
    /// MySQL reads `#` as a comment and wants a blank behind `--`.
    pub(super) mysql: bool,
}

/// The value and how far it is cut.
pub(super) struct Lexer<'a> {
    pub(super) value: &'a [u8],
    pub(super) at: usize,
    context: Context,
    /// Tokens so far, comments among them.
    pub(super) tokens: usize,
    /// A `--` or `#` was met that MySQL reads in another way.
    pub(super) differs: bool,
    /// The end of the word that `at` stands in, once it was looked for: a word may be cut many times.
    word_end: usize,
}

const WHITE: u8 = 1;
const WORD_END: u8 = 2;
const VARIABLE_END: u8 = 4;

const CLASSES: [u8; 256] = {
    let none = [0; 256];
    let white = with(none, b" \t\n\x0B\x0C\r\xA0\0", WHITE);
    let words = with(white, b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0B\x0C\r\"\xA0\0", WORD_END);
    with(words, b" <>:\\?=@!#~+-*/&|^%(),';\t\n\x0B\x0C\r'`\"\0", VARIABLE_END)
};

const fn with(mut classes: [u8; 256], bytes: &[u8], class: u8) -> [u8; 256] {
    let mut at = 0;
    while at < bytes.len() {
        classes[bytes[at] as usize] |= class;
        at += 1;
    }
    classes
}

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

pub(super) fn is_white(byte: u8) -> bool {
    class(byte) & WHITE != 0
}

fn run(bytes: &[u8], inside: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !inside(*byte)).unwrap_or(bytes.len())
}

impl<'a> Lexer<'a> {
    pub(super) fn new(value: &'a [u8], context: Context) -> Self {
        Lexer { value, at: 0, context, tokens: 0, differs: false, word_end: 0 }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.value.get(self.at..).unwrap_or_default()
    }

    /// The next token, None at the end.
    pub(super) fn next(&mut self) -> Option<Token> {
        if self.at == 0 && self.context.quote != 0 {
            let token = self.string(self.context.quote, 0);
            self.tokens += 1;
            return Some(token);
        }
        while let Some(byte) = self.value.get(self.at) {
            if matches!(byte, 0..=32 | 127 | 160) {
                self.at += 1;
                continue;
            }
            let token = self.token(*byte);
            self.tokens += 1;
            return Some(token);
        }
        None
    }

    fn token(&mut self, byte: u8) -> Token {
        match byte {
            b'0'..=b'9' | b'.' => self.number(),
            b'\'' | b'"' => self.string(byte, 1),
            b'`' => self.tick(),
            b'@' => self.variable(),
            b'$' => self.money(),
            b'-' => self.dash(),
            b'/' => self.slash(),
            b'#' => self.hash(),
            b'\\' if self.value.get(self.at + 1) == Some(&b'N') => self.take(Kind::Number, 2),
            b'\\' => self.take(Kind::Backslash, 1),
            b'[' => self.bracket(),
            b'+' | b'%' | b'^' | b'~' => self.take(Kind::Operator, 1),
            b'!' | b'&' | b'*' | b':' | b'<' | b'=' | b'>' | b'|' => self.operator(),
            b'(' => self.take(Kind::LeftParen, 1),
            b')' => self.take(Kind::RightParen, 1),
            b'{' => self.take(Kind::LeftBrace, 1),
            b'}' => self.take(Kind::RightBrace, 1),
            b',' => self.take(Kind::Comma, 1),
            b';' => self.take(Kind::Semicolon, 1),
            b'?' | b']' => self.take(Kind::Unknown, 1),
            b'b' | b'B' => self.digits_in_quotes(|digit| matches!(digit, b'0' | b'1' | 0)),
            b'x' | b'X' => self.digits_in_quotes(|digit| digit.is_ascii_hexdigit() || digit == 0),
            b'e' | b'E' => self.escape_string(),
            b'n' | b'N' => self.national_string(),
            b'q' | b'Q' => self.oracle_string(0),
            b'u' | b'U' => self.unicode_string(),
            _ => self.word(),
        }
    }

    /// The next bytes as a token.
    pub(super) fn take(&mut self, kind: Kind, length: usize) -> Token {
        let rest = self.rest();
        let length = length.min(rest.len());
        self.at += length;
        Token::new(kind, rest.get(..length).unwrap_or_default())
    }

    fn comment_to_line_end(&mut self) -> Token {
        let rest = self.rest();
        match memchr::memchr(b'\n', rest) {
            None => self.take(Kind::Comment, rest.len()),
            Some(length) => {
                let token = self.take(Kind::Comment, length);
                self.at += 1;
                token
            }
        }
    }

    fn hash(&mut self) -> Token {
        self.differs = true;
        if self.context.mysql { self.comment_to_line_end() } else { self.take(Kind::Operator, 1) }
    }

    /// `--` and a blank is a comment, as it is at the end; without the blank only MySQL reads two signs.
    fn dash(&mut self) -> Token {
        match self.rest() {
            [_, b'-'] => self.comment_to_line_end(),
            [_, b'-', after, ..] if is_white(*after) => self.comment_to_line_end(),
            [_, b'-', ..] if !self.context.mysql => {
                self.differs = true;
                self.comment_to_line_end()
            }
            _ => self.take(Kind::Operator, 1),
        }
    }

    /// A comment between `/*` and `*/`. One inside another, and MySQL's `/*!`, are read in too many ways.
    fn slash(&mut self) -> Token {
        let rest = self.rest();
        let Some(inside) = rest.strip_prefix(b"/*") else { return self.take(Kind::Operator, 1) };
        let end = memchr::memmem::find(inside, b"*/");
        let nested = end.is_some_and(|end| memchr::memmem::find(inside.get(..end + 1).unwrap_or_default(), b"/*").is_some());
        let kind = if nested || inside.starts_with(b"!") { Kind::Evil } else { Kind::Comment };
        self.take(kind, end.map_or(rest.len(), |end| end + 4))
    }

    fn operator(&mut self) -> Token {
        let rest = self.rest();
        if rest.starts_with(b"<=>") {
            return self.take(Kind::Operator, 3);
        }
        if let Some(kind) = rest.get(..2).and_then(kind_of) {
            return self.take(kind, 2);
        }
        let colon = rest.len() > 1 && rest.starts_with(b":");
        self.take(if colon { Kind::Colon } else { Kind::Operator }, 1)
    }

    fn bracket(&mut self) -> Token {
        let rest = self.rest();
        self.take(Kind::Bareword, memchr::memchr(b']', rest).map_or(rest.len(), |end| end + 1))
    }

    /// A word; where a known one stands before a dot or backtick inside, the token ends there.
    pub(super) fn word(&mut self) -> Token {
        if self.at >= self.word_end {
            self.word_end = self.at + run(self.rest(), |byte| class(byte) & WORD_END == 0);
        }
        let word = self.value.get(self.at..self.word_end).unwrap_or_default();
        let start = word.get(..TEXT_BYTES_MAX).unwrap_or(word);
        for (length, byte) in start.iter().enumerate() {
            if matches!(byte, b'.' | b'`') {
                let known = start.get(..length).and_then(kind_of).filter(|kind| *kind != Kind::Bareword);
                if let Some(kind) = known {
                    return self.take(kind, length);
                }
            }
        }
        let kind = kind_of(word).unwrap_or(Kind::Bareword);
        self.take(kind, word.len())
    }

    fn tick(&mut self) -> Token {
        let token = self.string(b'`', 1);
        let function = kind_of(token.text()) == Some(Kind::Function);
        token.with_kind(if function { Kind::Function } else { Kind::Bareword })
    }

    fn variable(&mut self) -> Token {
        let rest = self.rest();
        self.at += if rest.starts_with(b"@@") { 2 } else { 1 };
        let token = match self.value.get(self.at) {
            Some(b'`') => self.tick(),
            Some(quote @ (b'\'' | b'"')) => self.string(*quote, 1),
            _ => {
                let length = run(self.rest(), |byte| class(byte) & VARIABLE_END == 0);
                self.take(Kind::Variable, length)
            }
        };
        token.with_kind(Kind::Variable)
    }

    /// `$1,000.00`, and PostgreSQL's strings `$$...$$` and `$name$...$name$`.
    fn money(&mut self) -> Token {
        let rest = self.rest();
        let behind = rest.get(1..).unwrap_or_default();
        let digits = run(behind, |byte| matches!(byte, b'0'..=b'9' | b'.' | b',' | 0));
        if digits == 1 && behind.starts_with(b".") {
            return self.word();
        }
        if digits > 0 {
            return self.take(Kind::Number, 1 + digits);
        }
        let name = run(behind, |byte| byte.is_ascii_alphabetic() || byte == 0);
        if behind.get(name) != Some(&b'$') {
            return self.take(Kind::Bareword, 1);
        }
        let (tag, inside) = rest.split_at_checked(name + 2).unwrap_or_default();
        let end = memchr::memmem::find(inside, tag);
        self.at += end.map_or(rest.len(), |end| end + 2 * tag.len());
        Token::quoted(inside.get(..end.unwrap_or(inside.len())).unwrap_or_default(), b'$', if end.is_some() { b'$' } else { 0 })
    }

    fn number(&mut self) -> Token {
        let rest = self.rest();
        let digits = |from: usize| run(rest.get(from..).unwrap_or_default(), |byte| byte.is_ascii_digit());
        let based = match rest {
            [b'0', b'x' | b'X', behind @ ..] => Some(run(behind, |byte| byte.is_ascii_hexdigit() || byte == 0)),
            [b'0', b'b' | b'B', behind @ ..] => Some(run(behind, |byte| matches!(byte, b'0' | b'1' | 0))),
            _ => None,
        };
        if let Some(length) = based {
            return self.take(if length == 0 { Kind::Bareword } else { Kind::Number }, 2 + length);
        }
        let mut length = digits(0);
        if rest.get(length) == Some(&b'.') {
            length += 1;
            length += digits(length);
            if length == 1 {
                return self.take(Kind::Dot, 1);
            }
        }
        let mut unfinished = false;
        if matches!(rest.get(length), Some(b'e' | b'E')) {
            length += 1;
            length += usize::from(matches!(rest.get(length), Some(b'+' | b'-')));
            let exponent = digits(length);
            unfinished = exponent == 0;
            length += exponent;
        }
        // Oracle's suffixes: `1f` and `1d`, also directly before UNION.
        if matches!(rest.get(length), Some(b'd' | b'D' | b'f' | b'F'))
            && rest.get(length + 1).is_none_or(|after| is_white(*after) || matches!(after, b';' | b'u' | b'U'))
        {
            length += 1;
        }
        self.take(if unfinished { Kind::Bareword } else { Kind::Number }, length)
    }

    /// A string up to its quote; `skip` bytes stand before its text, 0 where the quote is imagined.
    pub(super) fn string(&mut self, quote: u8, skip: usize) -> Token {
        let inside = self.rest().get(skip..).unwrap_or_default();
        let end = doubled(inside, quote);
        self.at += skip + end.map_or(inside.len(), |end| end + 1);
        let open = if skip > 0 { quote } else { 0 };
        Token::quoted(inside.get(..end.unwrap_or(inside.len())).unwrap_or_default(), open, if end.is_some() { quote } else { 0 })
    }
}
