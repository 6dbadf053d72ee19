//! Reading a pattern: the place in it, its escapes, the names of its groups.

use crate::transform::digits::{hex_byte, hex_digit};

/// What an escape stands for.
pub(super) enum Escape {
    Byte(u8),
    /// A set, spelled so that it can stand inside a class and outside.
    Set(&'static str),
    /// Something that takes no text, or is longer than a byte: only outside a class.
    Assertion(&'static str),
    /// Something that only a backtracking engine can match, and what it is called.
    Backtracking(String, &'static str),
    /// `\Q...\E`.
    Quoted(Vec<u8>),
    Nothing,
}

/// The pattern and how far it has been read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The names of groups and their numbers.
    names: Vec<(String, usize)>,
    /// Capturing groups opened so far.
    groups: usize,
    groups_in_all: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of a pattern that has so many capturing groups.
    pub(super) fn new(bytes: &'a [u8], groups_in_all: usize) -> Self {
        Self { bytes, at: 0, names: Vec::new(), groups: 0, groups_in_all }
    }

    /// Counts a capturing group that opens here.
    pub(super) fn open_group(&mut self, name: Option<String>) {
        self.groups += 1;
        self.names.extend(name.map(|name| (name, self.groups)));
    }

    /// Goes to the end.
    pub(super) fn finish(&mut self) {
        self.at = self.bytes.len();
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.at += count;
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn eat_text(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text.as_bytes());
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// The text up to `end`, which is eaten too; None, and nothing eaten, where it does not come.
    pub(super) fn until(&mut self, end: u8) -> Option<String> {
        let length = memchr::memchr(end, self.rest())?;
        let text = String::from_utf8_lossy(self.rest().get(..length)?).into_owned();
        self.at += length + 1;
        Some(text)
    }

    /// The name in `:name:]`, which is eaten; None, and nothing eaten, where it is not that.
    pub(super) fn posix_name(&mut self) -> Option<String> {
        let rest = self.rest().strip_prefix(b":")?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_lowercase() || **byte == b'^').count();
        let name = String::from_utf8_lossy(rest.get(..length)?).into_owned();
        rest.get(length..)?.strip_prefix(b":]")?;
        self.at += length + 3;
        Some(name)
    }

    /// Reads an escape behind its backslash.
    pub(super) fn escape(&mut self, in_class: bool) -> Result<Escape, String> {
        let Some(byte) = self.next() else { return Err("the pattern ends in a backslash".to_owned()) };
        Ok(match byte {
            b'd' => Escape::Set(r"\d"),
            b'D' => Escape::Set(r"\D"),
            b'w' => Escape::Set(r"\w"),
            b'W' => Escape::Set(r"\W"),
            b's' => Escape::Set(r"\s"),
            b'S' => Escape::Set(r"\S"),
            b'h' => Escape::Set(r"[\t\x20\xa0]"),
            b'H' => Escape::Set(r"[^\t\x20\xa0]"),
            b'v' => Escape::Set(r"[\n-\r\x85]"),
            b'V' => Escape::Set(r"[^\n-\r\x85]"),
            b'N' if !in_class => Escape::Set(r"[^\n]"),
            b'C' if !in_class => Escape::Set(r"[\x00-\xff]"),
            b'R' if !in_class => Escape::Assertion(r"(?:\r\n|[\n-\r\x85])"),
            b'b' if in_class => Escape::Byte(0x08),
            b'b' => Escape::Assertion(r"\b"),
            b'B' if !in_class => Escape::Assertion(r"\B"),
            b'A' if !in_class => Escape::Assertion(r"\A"),
            b'z' if !in_class => Escape::Assertion(r"\z"),
            b'Z' if !in_class => Escape::Assertion(r"(?:\n?\z)"),
            b'a' => Escape::Byte(0x07),
            b'e' => Escape::Byte(0x1B),
            b'f' => Escape::Byte(0x0C),
            b'n' => Escape::Byte(b'\n'),
            b'r' => Escape::Byte(b'\r'),
            b't' => Escape::Byte(b'\t'),
            b'c' => {
                let Some(control) = self.next().filter(u8::is_ascii) else { return Err(r"`\c` needs a letter".to_owned()) };
                Escape::Byte(control.to_ascii_uppercase() ^ 0x40)
            }
            b'x' => Escape::Byte(self.hexadecimal()?),
            b'o' if self.peek() == Some(b'{') => {
                self.advance(1);
                let digits = self.until(b'}').unwrap_or_default();
                Escape::Byte(u8::from_str_radix(&digits, 8).map_err(|_| format!(r"`\o{{{digits}}}` is not a byte"))?)
            }
            b'0' => Escape::Byte(self.octal(0, 2)),
            b'1'..=b'9' => self.number(byte, in_class)?,
            b'g' | b'k' if !in_class => self.named_reference(byte)?,
            b'K' if !in_class => Escape::Backtracking(r"\K".to_owned(), r"a reset of the match (`\K`)"),
            b'G' if !in_class => Escape::Assertion(r"\A"),
            b'Q' if !in_class => {
                let length = memchr::memmem::find(self.rest(), b"\\E");
                let text = self.rest().get(..length.unwrap_or(self.rest().len())).unwrap_or_default().to_vec();
                self.at += text.len() + if length.is_some() { 2 } else { 0 };
                Escape::Quoted(text)
            }
            b'E' => Escape::Nothing,
            b'p' | b'P' => return Err(r"`\p{...}` is about Unicode, and patterns are matched over bytes".to_owned()),
            b'A'..=b'Z' | b'a'..=b'z' => return Err(format!(r"`\{}` is not supported", char::from(byte))),
            _ => Escape::Byte(byte),
        })
    }

    /// `\xHH`, `\xH`, `\x` (zero) and `\x{HH}`.
    fn hexadecimal(&mut self) -> Result<u8, String> {
        if self.eat(b'{') {
            let digits = self.until(b'}').unwrap_or_default();
            return u8::from_str_radix(&digits, 16)
                .map_err(|_| format!(r"`\x{{{digits}}}` is not a byte, and patterns are matched over bytes"));
        }
        let pair = self.peek().zip(self.peek_at(1)).and_then(|(high, low)| hex_byte(high, low));
        let single = self.peek().and_then(hex_digit);
        self.at += if pair.is_some() { 2 } else { usize::from(single.is_some()) };
        Ok(pair.or(single).unwrap_or(0))
    }

    fn octal(&mut self, start: u8, most: usize) -> u8 {
        let mut value = start;
        for _ in 0..most {
            let Some(digit) = self.peek().filter(|byte| matches!(byte, b'0'..=b'7')) else { break };
            value = value.wrapping_mul(8).wrapping_add(digit - b'0');
            self.at += 1;
        }
        value
    }

    /// `\1` to `\9` are back-references; more digits are one where there are so many groups, else octal.
    fn number(&mut self, first: u8, in_class: bool) -> Result<Escape, String> {
        let digits = 1 + self.rest().iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
        let text = self.bytes.get(self.at - 1..self.at - 1 + digits).unwrap_or_default();
        let number = text.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        if !in_class && (number < 10 || number <= self.groups_in_all) {
            self.at += digits - 1;
            return Ok(reference(number));
        }
        if first > b'7' {
            return Ok(Escape::Byte(first));
        }
        Ok(Escape::Byte(self.octal(first - b'0', 2)))
    }

    /// `\g{1}`, `\g{-1}`, `\g1`, `\k<name>`, `\k{name}`, `\k'name'`.
    fn named_reference(&mut self, letter: u8) -> Result<Escape, String> {
        let end = match self.peek() {
            Some(b'{') => b'}',
            Some(b'<') if letter == b'k' => b'>',
            Some(b'\'') if letter == b'k' => b'\'',
            Some(digit) if digit.is_ascii_digit() && letter == b'g' => {
                self.advance(1);
                return Ok(reference(usize::from(digit - b'0')));
            }
            _ => return Err(format!(r"`\{}` does not name a group", char::from(letter))),
        };
        self.advance(1);
        let name = self.until(end).unwrap_or_default();
        self.reference_to(&name)
    }

    pub(super) fn reference_to(&self, name: &str) -> Result<Escape, String> {
        let known = self.names.iter().find(|known| known.0 == name).map(|known| known.1);
        let back = name.strip_prefix('-').and_then(|text| text.parse::<usize>().ok()).and_then(|back| (self.groups + 1).checked_sub(back));
        match known.or_else(|| name.parse().ok()).or(back) {
            Some(number) if number > 0 => Ok(reference(number)),
            _ => Err(format!("there is no group `{name}` before the reference to it")),
        }
    }
}

fn reference(number: usize) -> Escape {
    Escape::Backtracking(format!(r"(?:\{number})"), "a back-reference")
}
