//! Translation: a pattern in PCRE's syntax into the regex crate's, with the same meaning.

use std::fmt::Write as _;

use super::class::class;
use crate::transform::digits::{hex_byte, hex_digit};

/// Longest pattern, in bytes: twice the longest of the Core Rule Set's.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// A pattern in the regex crate's syntax.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) pattern: String,
    /// What in it only a backtracking engine can match.
    pub(super) needs_backtracking: Option<&'static str>,
}

/// Translates a pattern, or says what in it is not supported.
pub(super) fn translate(pattern: &str) -> Result<Translated, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes"));
    }
    let reader = Reader { bytes: pattern.as_bytes(), at: 0, names: Vec::new(), groups: 0, groups_in_all: groups_in(pattern) };
    let mut translator = Translator { reader, out: String::new(), groups: Vec::new(), extended: false, atom: None, needs: None };
    translator.run()?;
    Ok(Translated { pattern: translator.out, needs_backtracking: translator.needs })
}

/// A byte that can be nothing but itself, inside a class as outside.
pub(super) fn push_byte(out: &mut String, byte: u8) {
    match byte {
        b'0'..=b'9'
        | b'A'..=b'Z'
        | b'a'..=b'z'
        | b'_'
        | b'/'
        | b','
        | b';'
        | b':'
        | b'='
        | b'<'
        | b'>'
        | b'@'
        | b'!'
        | b'%'
        | b'"'
        | b'\''
        | b' ' => {
            out.push(char::from(byte));
        }
        _ => {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

/// How many capturing groups there seem to be: enough to tell `\12` the back-reference from the octal number.
fn groups_in(pattern: &str) -> usize {
    let mut count = 0;
    let mut rest = pattern.as_bytes();
    loop {
        rest = match rest {
            [] => return count,
            [b'\\', _, tail @ ..] => tail,
            [b'(', b'?', b'P' | b'\'', tail @ ..] => {
                count += 1;
                tail
            }
            [b'(', b'?', b'<', next, tail @ ..] if !matches!(next, b'=' | b'!') => {
                count += 1;
                tail
            }
            [b'(', b'?' | b'*', tail @ ..] => tail,
            [b'(', tail @ ..] => {
                count += 1;
                tail
            }
            [_, tail @ ..] => tail,
        };
    }
}

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

impl Reader<'_> {
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

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn eat_text(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text.as_bytes());
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// The text up to `end`, which is eaten too; None, and nothing eaten, where it does not come.
    fn until(&mut self, end: u8) -> Option<String> {
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

    fn reference_to(&self, name: &str) -> Result<Escape, String> {
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

/// A group that is open.
struct Group {
    /// Where it begins in the translation.
    start: usize,
    /// Whether the extended syntax was on outside.
    extended: bool,
}

struct Translator<'a> {
    reader: Reader<'a>,
    out: String,
    groups: Vec<Group>,
    /// Whether blanks and `#` comments are skipped (`(?x)`).
    extended: bool,
    /// Where what a quantifier would apply to begins in the translation.
    atom: Option<usize>,
    needs: Option<&'static str>,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(byte) = self.reader.next() {
            let start = self.out.len();
            match byte {
                b'\\' => {
                    let escape = self.reader.escape(false)?;
                    self.escape(escape, start);
                }
                b'[' => {
                    class(&mut self.reader, &mut self.out)?;
                    self.atom = Some(start);
                }
                b'(' => self.open()?,
                b')' => {
                    let Some(group) = self.groups.pop() else { return Err("a closing parenthesis has no opening one".to_owned()) };
                    self.out.push(')');
                    self.extended = group.extended;
                    self.atom = Some(group.start);
                }
                b'|' => {
                    self.out.push('|');
                    self.atom = None;
                }
                b'.' => {
                    self.out.push('.');
                    self.atom = Some(start);
                }
                b'^' | b'$' => {
                    self.out.push(char::from(byte));
                    self.atom = Some(start);
                }
                b'*' | b'+' | b'?' => self.quantifier(&char::from(byte).to_string())?,
                b'{' => match self.counted() {
                    Some(text) => self.quantifier(&text)?,
                    None => self.literal(b'{'),
                },
                b'#' if self.extended => {
                    if self.reader.until(b'\n').is_none() {
                        self.reader.at = self.reader.bytes.len();
                    }
                }
                b' ' | b'\t'..=b'\r' if self.extended => {}
                _ => self.literal(byte),
            }
        }
        if self.groups.is_empty() { Ok(()) } else { Err("an opening parenthesis has no closing one".to_owned()) }
    }

    fn literal(&mut self, byte: u8) {
        self.atom = Some(self.out.len());
        push_byte(&mut self.out, byte);
    }

    fn escape(&mut self, escape: Escape, start: usize) {
        match escape {
            Escape::Byte(byte) => self.literal(byte),
            Escape::Set(text) | Escape::Assertion(text) => {
                self.out.push_str(text);
                self.atom = Some(start);
            }
            Escape::Backtracking(text, feature) => {
                self.out.push_str(&text);
                self.atom = Some(start);
                self.needs = self.needs.or(Some(feature));
            }
            Escape::Quoted(text) => text.into_iter().for_each(|byte| self.literal(byte)),
            Escape::Nothing => {}
        }
    }

    /// `{n}`, `{n,}` or `{n,m}` behind the brace, eaten; None where the brace is a brace.
    fn counted(&mut self) -> Option<String> {
        let rest = self.reader.rest();
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b',').count();
        let inside = std::str::from_utf8(rest.get(..length)?).ok()?;
        let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
        if rest.get(length) != Some(&b'}') || least.is_empty() || most.contains(',') {
            return None;
        }
        let text = format!("{{{inside}}}");
        self.reader.advance(length + 1);
        Some(text)
    }

    fn quantifier(&mut self, text: &str) -> Result<(), String> {
        let Some(start) = self.atom.take() else { return Err(format!("`{text}` has nothing to repeat")) };
        self.out.push_str(text);
        if self.reader.eat(b'?') {
            self.out.push('?');
        } else if self.reader.eat(b'+') {
            // Written as the atomic group that it is short for. At the very end of the pattern there is nothing it
            // could be asked to give back to, so the plain form matches the same.
            if self.reader.peek().is_some() {
                self.out.insert_str(start, "(?>");
                self.out.push(')');
                self.needs = self.needs.or(Some("a possessive quantifier"));
            }
        }
        // PCRE lets a counted repeat follow a repeat: `a{2}{3}` is (a{2}){3}.
        if self.reader.peek() == Some(b'{') {
            self.out.insert_str(start, "(?:");
            self.out.push(')');
            self.atom = Some(start);
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        let start = self.out.len();
        let outside = self.extended;
        if self.reader.peek() == Some(b'*') && self.reader.peek_at(1).is_some_and(|byte| byte.is_ascii_uppercase()) {
            return Err("verbs such as `(*FAIL)` are not supported".to_owned());
        }
        if !self.reader.eat(b'?') {
            self.reader.groups += 1;
            self.out.push('(');
        } else if self.reader.eat(b'#') {
            return self.reader.until(b')').map(|_| ()).ok_or_else(|| "a comment does not end".to_owned());
        } else if self.named()? {
            self.out.push('(');
        } else if self.reader.eat_text("P=") {
            let name = self.reader.until(b')').unwrap_or_default();
            let escape = self.reader.reference_to(&name)?;
            self.escape(escape, start);
            return Ok(());
        } else if let Some((text, feature)) = self.look_around() {
            self.out.push_str(text);
            self.needs = self.needs.or(Some(feature));
        } else if !self.flags()? {
            return Ok(());
        }
        self.groups.push(Group { start, extended: outside });
        self.atom = None;
        Ok(())
    }

    /// `(?<name>`, `(?P<name>` or `(?'name'` behind the question mark.
    fn named(&mut self) -> Result<bool, String> {
        let end = match self.reader.rest() {
            [b'<', b'=' | b'!', ..] => return Ok(false),
            [b'<', ..] | [b'P', b'<', ..] => b'>',
            [b'\'', ..] => b'\'',
            _ => return Ok(false),
        };
        let skipped = if self.reader.peek() == Some(b'P') { 2 } else { 1 };
        self.reader.advance(skipped);
        let Some(name) = self.reader.until(end) else { return Err("the name of a group does not end".to_owned()) };
        self.reader.groups += 1;
        let number = self.reader.groups;
        self.reader.names.push((name, number));
        Ok(true)
    }

    fn look_around(&mut self) -> Option<(&'static str, &'static str)> {
        const FORMS: [(&str, &str, &str); 5] = [
            ("=", "(?=", "look-ahead"),
            ("!", "(?!", "look-ahead"),
            ("<=", "(?<=", "look-behind"),
            ("<!", "(?<!", "look-behind"),
            (">", "(?>", "an atomic group"),
        ];
        let (_, text, feature) = FORMS.into_iter().find(|form| self.reader.eat_text(form.0))?;
        Some((text, feature))
    }

    /// `(?imsxU-imsxU)` and `(?imsxU-imsxU:`; says whether a group was opened.
    fn flags(&mut self) -> Result<bool, String> {
        let (mut on, mut off) = (String::new(), String::new());
        let mut negative = false;
        loop {
            match self.reader.next() {
                Some(b'-') if !negative => negative = true,
                Some(b'x') => self.extended = !negative,
                Some(flag @ (b'i' | b'm' | b's' | b'U')) => if negative { &mut off } else { &mut on }.push(char::from(flag)),
                Some(end @ (b':' | b')')) => {
                    let dash = if off.is_empty() { "" } else { "-" };
                    let opens = end == b':';
                    if opens || !on.is_empty() || !off.is_empty() {
                        let _ = write!(self.out, "(?{on}{dash}{off}{}", char::from(end));
                    }
                    if !opens {
                        self.atom = None;
                    }
                    return Ok(opens);
                }
                Some(b'|') => return Err("branch reset `(?|...)` is not supported".to_owned()),
                Some(b'(') => return Err("conditionals `(?(...)...)` are not supported".to_owned()),
                Some(b'R' | b'&' | b'+' | b'0'..=b'9' | b'P') => return Err("recursion and calls of groups are not supported".to_owned()),
                Some(b'C') => return Err("callouts are not supported".to_owned()),
                Some(other) => return Err(format!("`(?{}` is not supported", other.escape_ascii())),
                None => return Err("an opening parenthesis has no closing one".to_owned()),
            }
        }
    }
}
