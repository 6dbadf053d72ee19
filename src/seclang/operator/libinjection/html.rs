//! Cuts a value into tokens of HTML, beginning in text or inside of an attribute's value, as browsers would, old ones too.

/// Where the value is imagined to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Text,
    Attributes,
    /// Inside of a value in such quotes.
    Quoted(u8),
}

/// A token and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Text(&'a [u8]),
    TagOpen(&'a [u8]),
    /// `>`
    TagOpenEnd(&'a [u8]),
    /// `/>`
    SelfClosing(&'a [u8]),
    /// The name of an end tag.
    EndTag(&'a [u8]),
    AttributeName(&'a [u8]),
    AttributeValue(&'a [u8]),
    Comment(&'a [u8]),
    Doctype(&'a [u8]),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Data,
    BeforeName,
    AfterName,
    BeforeValue,
    Quoted(u8),
    AfterQuoted,
    SelfClosing,
    TagClose,
    TagOpen,
    End,
}

pub(super) struct Html<'a> {
    value: &'a [u8],
    at: usize,
    state: State,
    end_tag: bool,
}

/// Old browsers take zeros for blanks.
fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0B | 0x0C | b'\r' | 0)
}

impl<'a> Html<'a> {
    pub(super) fn new(value: &'a [u8], start: Start) -> Self {
        let state = match start {
            Start::Text => State::Data,
            Start::Attributes => State::BeforeName,
            Start::Quoted(quote) => State::Quoted(quote),
        };
        Html { value, at: 0, state, end_tag: false }
    }

    fn rest(&self) -> &'a [u8] {
        self.value.get(self.at..).unwrap_or_default()
    }

    fn byte(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    /// The next bytes, and past so many more.
    fn take(&mut self, length: usize, skip: usize) -> &'a [u8] {
        let taken = self.rest().get(..length).unwrap_or_else(|| self.rest());
        self.at = (self.at + length + skip).min(self.value.len());
        taken
    }

    fn skip_white(&mut self) -> Option<u8> {
        self.at += self.rest().iter().take_while(|byte| is_white(**byte)).count();
        self.byte()
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        match self.state {
            State::Data => self.data(),
            State::TagOpen => self.tag_open(),
            State::BeforeName => self.before_name(),
            State::AfterName => match self.skip_white()? {
                b'/' => {
                    self.at += 1;
                    self.self_closing()
                }
                b'=' => {
                    self.at += 1;
                    self.before_value()
                }
                b'>' => Some(self.tag_close()),
                _ => Some(self.name()),
            },
            State::BeforeValue => self.before_value(),
            State::Quoted(quote) => Some(self.quoted(quote)),
            State::AfterQuoted => self.after_quoted(),
            State::SelfClosing => self.self_closing(),
            State::TagClose => Some(self.tag_close()),
            State::End => None,
        }
    }

    fn data(&mut self) -> Option<Token<'a>> {
        let rest = self.rest();
        match memchr::memchr(b'<', rest) {
            None => {
                self.state = State::End;
                (!rest.is_empty()).then_some(Token::Text(rest))
            }
            Some(length) => {
                let text = self.take(length, 1);
                if length == 0 {
                    return self.tag_open();
                }
                self.state = State::TagOpen;
                Some(Token::Text(text))
            }
        }
    }

    fn tag_open(&mut self) -> Option<Token<'a>> {
        match self.byte()? {
            b'!' => {
                self.at += 1;
                Some(self.declaration())
            }
            b'/' => {
                self.at += 1;
                self.end_tag = true;
                self.end_tag_open()
            }
            b'?' => {
                self.at += 1;
                Some(self.bogus_comment())
            }
            b'%' => {
                self.at += 1;
                Some(Token::Comment(self.until(b"%>")))
            }
            0 => Some(self.tag_name()),
            byte if byte.is_ascii_alphabetic() => Some(self.tag_name()),
            _ => {
                self.state = State::Data;
                Some(Token::Text(b"<"))
            }
        }
    }

    fn end_tag_open(&mut self) -> Option<Token<'a>> {
        match self.byte()? {
            b'>' => self.data(),
            byte if byte.is_ascii_alphabetic() => Some(self.tag_name()),
            _ => {
                self.end_tag = false;
                Some(self.bogus_comment())
            }
        }
    }

    fn tag_name(&mut self) -> Token<'a> {
        let ends = |byte: &u8| *byte != 0 && (is_white(*byte) || matches!(byte, b'/' | b'>'));
        let rest = self.rest();
        let Some(length) = rest.iter().position(ends) else {
            self.state = State::End;
            return Token::TagOpen(rest);
        };
        match rest.get(length) {
            Some(b'>') if std::mem::take(&mut self.end_tag) => {
                self.state = State::Data;
                Token::EndTag(self.take(length, 1))
            }
            Some(b'>') => {
                self.state = State::TagClose;
                Token::TagOpen(self.take(length, 0))
            }
            Some(b'/') => {
                self.state = State::SelfClosing;
                Token::TagOpen(self.take(length, 1))
            }
            _ => {
                self.state = State::BeforeName;
                Token::TagOpen(self.take(length, 1))
            }
        }
    }

    fn tag_close(&mut self) -> Token<'a> {
        self.end_tag = false;
        let end = self.take(1, 0);
        self.state = if self.at < self.value.len() { State::Data } else { State::End };
        Token::TagOpenEnd(end)
    }

    fn before_name(&mut self) -> Option<Token<'a>> {
        loop {
            match self.skip_white()? {
                b'/' => {
                    self.at += 1;
                    if matches!(self.byte()?, b'>') {
                        return self.self_closing();
                    }
                }
                b'>' => {
                    self.state = State::Data;
                    return Some(Token::TagOpenEnd(self.take(1, 0)));
                }
                _ => return Some(self.name()),
            }
        }
    }

    /// A name of at least one byte, whichever.
    fn name(&mut self) -> Token<'a> {
        let rest = self.rest();
        let ends = |byte: &u8| is_white(*byte) || matches!(byte, b'/' | b'=' | b'>');
        let Some(length) = rest.iter().skip(1).position(ends).map(|length| length + 1) else {
            self.state = State::End;
            self.at = self.value.len();
            return Token::AttributeName(rest);
        };
        let (state, skip) = match rest.get(length) {
            Some(b'/') => (State::SelfClosing, 1),
            Some(b'=') => (State::BeforeValue, 1),
            Some(b'>') => (State::TagClose, 0),
            _ => (State::AfterName, 1),
        };
        self.state = state;
        Token::AttributeName(self.take(length, skip))
    }

    fn before_value(&mut self) -> Option<Token<'a>> {
        let Some(first) = self.skip_white() else {
            self.state = State::End;
            return None;
        };
        Some(match first {
            b'"' | b'\'' | b'`' => self.quoted(first),
            _ => self.unquoted(),
        })
    }

    /// A value in quotes. At the very start of the input the quote is only imagined.
    fn quoted(&mut self, quote: u8) -> Token<'a> {
        self.at += usize::from(self.at > 0);
        let rest = self.rest();
        match memchr::memchr(quote, rest) {
            None => {
                self.state = State::End;
                Token::AttributeValue(rest)
            }
            Some(length) => {
                self.state = State::AfterQuoted;
                Token::AttributeValue(self.take(length, 1))
            }
        }
    }

    fn unquoted(&mut self) -> Token<'a> {
        let rest = self.rest();
        match rest.iter().position(|byte| is_white(*byte) || *byte == b'>') {
            None => {
                self.state = State::End;
                Token::AttributeValue(rest)
            }
            Some(length) if rest.get(length) == Some(&b'>') => {
                self.state = State::TagClose;
                Token::AttributeValue(self.take(length, 0))
            }
            Some(length) => {
                self.state = State::BeforeName;
                Token::AttributeValue(self.take(length, 1))
            }
        }
    }

    fn after_quoted(&mut self) -> Option<Token<'a>> {
        match self.byte()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            b'>' => {
                self.state = State::Data;
                Some(Token::TagOpenEnd(self.take(1, 0)))
            }
            _ => self.before_name(),
        }
    }

    fn self_closing(&mut self) -> Option<Token<'a>> {
        match self.byte()? {
            b'>' => {
                self.at += 1;
                self.state = State::Data;
                Some(Token::SelfClosing(b"/>"))
            }
            _ => self.before_name(),
        }
    }

    fn declaration(&mut self) -> Token<'a> {
        let rest = self.rest();
        if rest.get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"doctype")) {
            return Token::Doctype(self.until(b">"));
        }
        if rest.starts_with(b"[CDATA[") {
            self.at += 7;
            return Token::Text(self.until(b"]]>"));
        }
        if rest.starts_with(b"--") {
            self.at += 2;
            return self.comment();
        }
        self.bogus_comment()
    }

    fn bogus_comment(&mut self) -> Token<'a> {
        Token::Comment(self.until(b">"))
    }

    /// Text of the document before `end`, or all there is.
    fn until(&mut self, end: &[u8]) -> &'a [u8] {
        let rest = self.rest();
        let length = memchr::memmem::find(rest, end);
        self.state = if length.is_some() { State::Data } else { State::End };
        self.take(length.unwrap_or(rest.len()), end.len())
    }

    /// A comment ends at `-->` or `-!>`; zeros behind the first dash count for nothing.
    fn comment(&mut self) -> Token<'a> {
        let rest = self.rest();
        for start in memchr::memchr_iter(b'-', rest) {
            let behind = rest.get(start + 1..).unwrap_or_default();
            let zeros = behind.iter().take_while(|byte| **byte == 0).count();
            if let Some([b'-' | b'!', b'>', ..]) = behind.get(zeros..) {
                self.state = State::Data;
                return Token::Comment(self.take(start, zeros + 3));
            }
        }
        self.state = State::End;
        Token::Comment(rest)
    }
}
