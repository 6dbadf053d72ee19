//! JSON bodies, flattened: every scalar is an argument named by the path to it.
//!
//! A parser of our own because general ones keep one of two equal keys, and which one differs from theirs to the back
//! end's: here both are seen.

use super::{Argument, BodyError, Limits};

/// What a JSON body holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Scalars by path (`user.roles.0`), in their order. Strings are decoded, numbers as written, `null` is empty; an empty array
    /// or object that has a key is an argument with an empty value, and behind the members of an array that has a key comes that
    /// key with their number, so that rules about names see it without an index. A body that is an array is called `array`, one
    /// that is a scalar has an empty name.
    pub arguments: Vec<Argument>,
    /// The first mistake; what stood before it is in `arguments`.
    pub error: Option<BodyError>,
}

/// An array or object that is open.
struct Open {
    object: bool,
    /// Members so far.
    members: usize,
    /// How long the path was outside.
    outside: usize,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    /// Behind `[` or `{`.
    FirstOrClose,
    CommaOrClose,
    End,
}

/// Flattens a body (RFC 8259, strictly: no comments, no trailing commas, nothing behind the value).
pub fn parse(input: &[u8], limits: &Limits) -> Parsed {
    let mut parser = Parser { input, at: 0, limits, path: Vec::new(), open: Vec::new(), arguments: Vec::new() };
    let error = parser.run().err();
    Parsed { arguments: parser.arguments, error }
}

struct Parser<'a> {
    input: &'a [u8],
    at: usize,
    limits: &'a Limits,
    path: Vec<u8>,
    open: Vec<Open>,
    arguments: Vec<Argument>,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), BodyError> {
        let mut expect = Expect::Value;
        loop {
            self.skip_blanks();
            let Some(byte) = self.peek() else {
                return if expect == Expect::End { Ok(()) } else { Err(self.mistake("the body ends too early")) };
            };
            expect = match (expect, byte) {
                (Expect::End, _) => return Err(self.mistake("something follows the value")),
                (Expect::CommaOrClose, b',') => {
                    self.at += 1;
                    self.skip_blanks();
                    self.member()?;
                    Expect::Value
                }
                (Expect::FirstOrClose | Expect::CommaOrClose, b']' | b'}') => self.close(byte)?,
                (Expect::CommaOrClose, _) => return Err(self.mistake("a comma or a closing bracket is missing")),
                (Expect::FirstOrClose, _) => {
                    self.member()?;
                    Expect::Value
                }
                (Expect::Value, b'{' | b'[') => self.enter(byte == b'{')?,
                (Expect::Value, _) => {
                    let value = self.scalar(byte)?;
                    self.emit(value)?;
                    self.leave_value()
                }
            };
        }
    }

    fn mistake(&self, message: &str) -> BodyError {
        BodyError::mistake(self.at, message)
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn enter(&mut self, object: bool) -> Result<Expect, BodyError> {
        if self.open.len() >= self.limits.depth_max {
            return Err(BodyError::limit(self.at, format!("arrays and objects nest deeper than {}", self.limits.depth_max)));
        }
        self.at += 1;
        if self.open.is_empty() && !object {
            self.path.extend_from_slice(b"array");
        }
        self.open.push(Open { object, members: 0, outside: self.path.len() });
        Ok(Expect::FirstOrClose)
    }

    fn close(&mut self, byte: u8) -> Result<Expect, BodyError> {
        let Some(open) = self.open.pop() else { return Err(self.mistake("a closing bracket has no opening one")) };
        if open.object != (byte == b'}') {
            return Err(self.mistake("the closing bracket is of the other kind"));
        }
        self.path.truncate(open.outside);
        if open.members == 0 && !self.open.is_empty() {
            self.emit(Vec::new())?;
        } else if open.members > 0 && !open.object && self.open.last().is_some_and(|parent| parent.object) {
            self.emit(open.members.to_string().into_bytes())?;
        }
        self.at += 1;
        Ok(self.leave_value())
    }

    /// Starts the next member of what is open: puts its key or index on the path.
    fn member(&mut self) -> Result<(), BodyError> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        self.path.truncate(open.outside);
        let index = open.members;
        open.members += 1;
        let object = open.object;
        if !object || self.open.len() > 1 {
            self.path.push(b'.');
        }
        if object {
            if self.peek() != Some(b'"') {
                return Err(self.mistake("an object's key has to be a string"));
            }
            let key = self.string()?;
            self.path.extend_from_slice(&key);
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return Err(self.mistake("a colon is missing behind a key"));
            }
            self.at += 1;
        } else {
            self.path.extend_from_slice(index.to_string().as_bytes());
        }
        if self.path.len() > self.limits.name_bytes_max {
            return Err(BodyError::limit(self.at, format!("the path to a value is longer than {} bytes", self.limits.name_bytes_max)));
        }
        Ok(())
    }

    fn leave_value(&self) -> Expect {
        if self.open.is_empty() { Expect::End } else { Expect::CommaOrClose }
    }

    fn emit(&mut self, value: Vec<u8>) -> Result<(), BodyError> {
        if self.arguments.len() >= self.limits.arguments_max {
            return Err(BodyError::limit(self.at, format!("there are more than {} values", self.limits.arguments_max)));
        }
        self.arguments.push(Argument { name: self.path.clone(), value });
        Ok(())
    }

    fn scalar(&mut self, byte: u8) -> Result<Vec<u8>, BodyError> {
        match byte {
            b'"' => self.string(),
            b't' => self.word(b"true", b"true"),
            b'f' => self.word(b"false", b"false"),
            b'n' => self.word(b"null", b""),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.mistake("a value is missing")),
        }
    }

    fn word(&mut self, word: &[u8], value: &[u8]) -> Result<Vec<u8>, BodyError> {
        if self.input.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(value.to_vec());
        }
        Err(self.mistake("a word is none of true, false and null"))
    }

    fn digits(&mut self) -> Result<(), BodyError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.mistake("a number misses a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Vec<u8>, BodyError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let first = self.at;
        self.digits()?;
        if leading_zero && self.at > first + 1 {
            return Err(BodyError::mistake(first, "a number begins with a zero"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.input.get(start..self.at).unwrap_or_default().to_vec())
    }

    fn string(&mut self) -> Result<Vec<u8>, BodyError> {
        self.at += 1;
        let mut value = Vec::new();
        loop {
            let rest = self.input.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(rest.len());
            value.extend_from_slice(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                None => return Err(self.mistake("a string does not end")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(value);
                }
                Some(b'\\') => self.escape(&mut value)?,
                Some(_) => return Err(self.mistake("a control character stands bare in a string")),
            }
        }
    }

    fn escape(&mut self, value: &mut Vec<u8>) -> Result<(), BodyError> {
        let byte = match self.input.get(self.at + 1) {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'u') => {
                let character = self.unicode()?;
                value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.mistake("an escape in a string is not one of JSON's")),
        };
        value.push(byte);
        self.at += 2;
        Ok(())
    }

    /// `\uHHHH`, or two that are a surrogate pair. A lone surrogate is no character: it becomes U+FFFD.
    fn unicode(&mut self) -> Result<char, BodyError> {
        let Some(first) = self.code_unit(self.at) else { return Err(self.mistake(r"`\u` needs four hexadecimal digits")) };
        self.at += 6;
        if (0xD800..0xDC00).contains(&first)
            && let Some(second) = self.code_unit(self.at).filter(|unit| (0xDC00..0xE000).contains(unit))
        {
            self.at += 6;
            let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn code_unit(&self, at: usize) -> Option<u32> {
        let [b'\\', b'u', digits @ ..] = self.input.get(at..at + 6)? else { return None };
        digits.iter().try_fold(0, |unit, &digit| Some((unit << 4) | char::from(digit).to_digit(16)?))
    }
}
