//! One token of SQL: its kind, its quotes, and the start of its text.

/// Bytes of a token's text that are kept; no word of the table is longer.
pub(super) const TEXT_BYTES_MAX: usize = 31;

/// What a token is. The letters are those of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    None,
    Keyword,
    Union,
    Group,
    Expression,
    SqlType,
    Function,
    Bareword,
    Number,
    Variable,
    Text,
    Operator,
    Logic,
    Comment,
    Collate,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    Dot,
    Comma,
    Colon,
    Semicolon,
    Tsql,
    Unknown,
    /// Cannot be read the same way by every database.
    Evil,
    Backslash,
}

const LETTERS: &[(Kind, u8)] = &[
    (Kind::None, 0),
    (Kind::Keyword, b'k'),
    (Kind::Union, b'U'),
    (Kind::Group, b'B'),
    (Kind::Expression, b'E'),
    (Kind::SqlType, b't'),
    (Kind::Function, b'f'),
    (Kind::Bareword, b'n'),
    (Kind::Number, b'1'),
    (Kind::Variable, b'v'),
    (Kind::Text, b's'),
    (Kind::Operator, b'o'),
    (Kind::Logic, b'&'),
    (Kind::Comment, b'c'),
    (Kind::Collate, b'A'),
    (Kind::LeftParen, b'('),
    (Kind::RightParen, b')'),
    (Kind::LeftBrace, b'{'),
    (Kind::RightBrace, b'}'),
    (Kind::Dot, b'.'),
    (Kind::Comma, b','),
    (Kind::Colon, b':'),
    (Kind::Semicolon, b';'),
    (Kind::Tsql, b'T'),
    (Kind::Unknown, b'?'),
    (Kind::Evil, b'X'),
    (Kind::Backslash, b'\\'),
];

impl Kind {
    pub(super) fn letter(self) -> u8 {
        LETTERS.get(self as usize).map_or(0, |entry| entry.1)
    }

    pub(super) fn from_letter(letter: u8) -> Option<Self> {
        LETTERS.iter().find(|entry| entry.1 == letter).map(|entry| entry.0)
    }
}

/// A token.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// The quote it was opened with, 0 for none (as for a quote that is only imagined before the value).
    pub(super) open: u8,
    /// The quote it was closed with, 0 for none.
    pub(super) close: u8,
    length: u8,
    /// A sign of one operand, such as `-` or `NOT`.
    unary: bool,
    text: [u8; TEXT_BYTES_MAX],
}

impl Token {
    pub(super) fn new(kind: Kind, text: &[u8]) -> Self {
        let mut token = Token { kind, ..Token::default() };
        let kept = text.get(..TEXT_BYTES_MAX).unwrap_or(text);
        if let Some(slot) = token.text.get_mut(..kept.len()) {
            slot.copy_from_slice(kept);
        }
        token.length = kept.len() as u8;
        token.unary = kind == Kind::Operator && (matches!(kept, [b'+' | b'-' | b'!' | b'~'] | b"!!") || token.is(b"NOT"));
        token
    }

    pub(super) fn quoted(text: &[u8], open: u8, close: u8) -> Self {
        Token { open, close, ..Token::new(Kind::Text, text) }
    }

    /// The same text as another kind of token.
    pub(super) fn with_kind(self, kind: Kind) -> Self {
        Token { kind, ..self }
    }

    /// The same text between other quotes.
    pub(super) fn with_quotes(self, open: u8, close: u8) -> Self {
        Token { open, close, ..self }
    }

    pub(super) fn text(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Whether the text is that word, written here in upper case.
    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.text().eq_ignore_ascii_case(word)
    }

    pub(super) fn first(&self) -> u8 {
        self.text().first().copied().unwrap_or(0)
    }

    pub(super) fn is_arithmetic(&self) -> bool {
        self.kind == Kind::Operator && matches!(self.text(), [b'*' | b'/' | b'-' | b'+' | b'%'])
    }

    pub(super) fn is_unary(&self) -> bool {
        self.unary && self.kind == Kind::Operator
    }
}
