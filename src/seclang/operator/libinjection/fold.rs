//! Folds tokens: what does not change the meaning of SQL goes, until at most five tokens show the shape.

use super::lexer::{Context, Lexer};
use super::token::{Kind, TEXT_BYTES_MAX, Token};
use super::words::kind_of;

/// Tokens of a shape.
pub(super) const SHAPE_TOKENS: usize = 5;

/// The folded tokens of a value.
pub(super) struct Folded {
    tokens: [Token; 8],
    length: usize,
    /// Tokens before folding, comments among them.
    pub(super) read: usize,
    /// MySQL may read the value in another way.
    pub(super) differs: bool,
    /// How often folding looked at tokens: a fixed number of times for each.
    #[cfg_attr(not(test), allow(dead_code, reason = "the test of linear work reads it"))]
    pub(super) looks: usize,
}

impl Folded {
    pub(super) fn tokens(&self) -> &[Token] {
        self.tokens.get(..self.length).unwrap_or_default()
    }

    pub(super) fn get(&self, index: usize) -> Token {
        self.tokens.get(index).copied().unwrap_or_default()
    }

    /// The last token is a comment after all.
    pub(super) fn end_in_comment(&mut self) {
        if let Some(last) = self.length.checked_sub(1).and_then(|last| self.tokens.get_mut(last)) {
            last.kind = Kind::Comment;
        }
    }
}

/// What a rule of folding did.
enum Step {
    /// Tokens changed: look again from where `left` stands now.
    Again,
    /// Nothing, or nothing that needs another look.
    On,
    /// The value cannot be read the same way by every database.
    Evil,
}

struct Folder<'a> {
    lexer: Lexer<'a>,
    tokens: [Token; 8],
    /// Where the next token goes.
    filled: usize,
    /// How many tokens are folded already.
    left: usize,
    /// So many tokens at the start were looked at as they stand now, and with the two behind them, and nothing folded. Looking from
    /// the start means from here, so that a long list costs the same for each of its tokens.
    settled: usize,
    more: bool,
    looks: usize,
    /// The comment read last, if no token came behind it.
    comment: Option<Token>,
}

/// Reads and folds a value.
pub(super) fn fold(value: &[u8], context: Context) -> Folded {
    let lexer = Lexer::new(value, context);
    let mut folder = Folder { lexer, tokens: [Token::default(); 8], filled: 0, left: 0, settled: 0, more: true, comment: None, looks: 0 };
    let length = folder.run();
    let Folder { lexer, tokens, looks, .. } = folder;
    Folded { tokens, length, read: lexer.tokens, differs: lexer.differs, looks }
}

impl Folder<'_> {
    fn run(&mut self) -> usize {
        if !self.skip_opening() {
            return 0;
        }
        loop {
            self.looks += 1;
            self.restart_lists();
            if !self.more || self.left >= SHAPE_TOKENS {
                self.left = self.filled;
                break;
            }
            if !self.fill(2) {
                self.left = self.filled;
                continue;
            }
            match self.pair() {
                Step::Again => continue,
                Step::Evil => return self.left + 2,
                Step::On => {}
            }
            if !self.fill(3) {
                self.left = self.filled;
                continue;
            }
            if let Step::On = self.triple() {
                self.settled += usize::from(self.settled == self.left);
                self.left += 1;
            }
        }
        if self.left < SHAPE_TOKENS
            && let Some(comment) = self.comment
        {
            self.set(self.left, comment);
            self.left += 1;
        }
        self.left.min(SHAPE_TOKENS)
    }

    /// Comments, open parentheses, type names and signs at the start say nothing. False where nothing else comes.
    fn skip_opening(&mut self) -> bool {
        while let Some(token) = self.lexer.next() {
            if !matches!(token.kind, Kind::Comment | Kind::LeftParen | Kind::SqlType) && !token.is_unary() {
                self.set(0, token);
                self.filled = 1;
                return true;
            }
        }
        false
    }

    fn get(&self, index: usize) -> Token {
        self.tokens.get(index).copied().unwrap_or_default()
    }

    fn kind(&self, index: usize) -> Kind {
        self.tokens.get(index).map_or(Kind::None, |token| token.kind)
    }

    fn is_unary(&self, index: usize) -> bool {
        self.tokens.get(index).is_some_and(Token::is_unary)
    }

    fn set(&mut self, index: usize, token: Token) {
        if let Some(slot) = self.tokens.get_mut(index) {
            *slot = token;
            self.settled = self.settled.min(index.saturating_sub(2));
        }
    }

    fn set_kind(&mut self, index: usize, kind: Kind) {
        if let Some(slot) = self.tokens.get_mut(index) {
            slot.kind = kind;
            self.settled = self.settled.min(index.saturating_sub(2));
        }
    }

    /// Reads until so many tokens stand at `left`; false where there are not so many.
    fn fill(&mut self, wanted: usize) -> bool {
        while self.more && self.filled <= SHAPE_TOKENS && self.filled - self.left < wanted {
            match self.lexer.next() {
                None => self.more = false,
                Some(token) if token.kind == Kind::Comment => self.comment = Some(token),
                Some(token) => {
                    self.comment = None;
                    self.set(self.filled, token);
                    self.filled += 1;
                }
            }
        }
        self.filled - self.left >= wanted
    }

    /// Five tokens that only list values, such as `1,(2)` or `a+(b)`, begin anew.
    fn restart_lists(&mut self) {
        use Kind::{Bareword as N, Comma, LeftParen as L, Number as D, Operator as O, RightParen as R};
        if self.filled < SHAPE_TOKENS {
            return;
        }
        let kinds = [0, 1, 2, 3, 4].map(|index| self.kind(index));
        if !matches!(kinds, [D, O | Comma, L, D, R] | [N, O, L, N | D, R] | [D, R, Comma, L, D] | [N, R, O, L, N]) {
            return;
        }
        if self.filled > SHAPE_TOKENS {
            self.set(1, self.get(SHAPE_TOKENS));
            self.filled = 2;
        } else {
            self.filled = 1;
        }
        self.left = 0;
        self.settled = 0;
    }

    /// Takes the last tokens away and looks from the start.
    fn drop_last(&mut self, count: usize) -> Step {
        self.shorten(count);
        self.left = self.settled;
        Step::Again
    }

    /// Takes the last token away and looks again from one token back.
    fn drop_and_step_back(&mut self) -> Step {
        self.shorten(1);
        self.left = self.left.saturating_sub(1);
        Step::Again
    }

    fn shorten(&mut self, count: usize) {
        self.filled -= count;
        self.settled = self.settled.min(self.filled.saturating_sub(2));
    }

    fn pair(&mut self) -> Step {
        use Kind::{LeftParen, Logic, Operator, Semicolon, SqlType, Text};
        let unary = self.is_unary(self.left + 1);
        match (self.kind(self.left), self.kind(self.left + 1)) {
            (Text, Text) | (Semicolon, Semicolon) => {
                self.shorten(1);
                return Step::Again;
            }
            (Operator | Logic, kind) if kind == SqlType || unary => return self.drop_last(1),
            (LeftParen, _) if unary => return self.drop_and_step_back(),
            _ => {}
        }
        if let Some(merged) = self.merge() {
            self.set(self.left, merged);
            return self.drop_and_step_back();
        }
        self.pair_by_word()
    }

    /// Two words that make a phrase of the table, such as `UNION ALL`.
    fn merge(&self) -> Option<Token> {
        use Kind::{Bareword, Expression, Function, Keyword, Logic, Operator, SqlType, Tsql, Union};
        let word = |kind| matches!(kind, Keyword | Bareword | Operator | Union | Function | Expression | Tsql | SqlType);
        let (first, second) = (self.tokens.get(self.left)?, self.tokens.get(self.left + 1)?);
        if !word(first.kind) || !(word(second.kind) || second.kind == Logic) {
            return None;
        }
        let (start, end) = (first.text(), second.text());
        let length = start.len() + 1 + end.len();
        let mut phrase = [b' '; TEXT_BYTES_MAX];
        phrase.get_mut(..start.len())?.copy_from_slice(start);
        phrase.get_mut(start.len() + 1..length)?.copy_from_slice(end);
        let phrase = phrase.get(..length)?;
        Some(Token::new(kind_of(phrase)?, phrase).with_quotes(first.open, first.close))
    }

    /// Pairs in which a word counts that does not merge with its neighbour.
    fn pair_by_word(&mut self) -> Step {
        use Kind::{Backslash, Bareword, Collate, Function, Keyword, LeftBrace, LeftParen, Number};
        use Kind::{Operator, RightBrace, RightParen, Semicolon, SqlType, Text, Tsql, Variable};
        let left = self.left;
        let kinds = (self.kind(left), self.kind(left + 1));
        let parenthesis = kinds.1 == LeftParen;
        let first_is = |word: &[u8]| self.tokens.get(left).is_some_and(|token| token.is(word));
        let second = self.tokens.get(left + 1).map_or(&b""[..], Token::text);
        match kinds {
            // IF is a function, but a statement of Transact-SQL behind a semicolon.
            (Semicolon, Function) if second.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"IF")) => {
                self.set_kind(left + 1, Tsql);
                Step::Again
            }
            (Bareword | Variable, LeftParen) if ALSO_FUNCTIONS.iter().any(|word| first_is(word)) => {
                self.set_kind(left, Function);
                Step::Again
            }
            (Keyword, _) if first_is(b"IN") || first_is(b"NOT IN") => {
                self.set_kind(left, if parenthesis { Operator } else { Bareword });
                Step::Again
            }
            (Operator, _) if first_is(b"LIKE") || first_is(b"NOT LIKE") => {
                if parenthesis {
                    self.set_kind(left, Function);
                }
                Step::On
            }
            (SqlType, Bareword | Number | SqlType | LeftParen | Function | Variable | Text) => {
                self.set(left, self.get(left + 1));
                self.drop_last(1)
            }
            // There are too many collations for a list; a name with `_` is one.
            (Collate, Bareword) => {
                if second.iter().take_while(|byte| **byte != 0).any(|byte| *byte == b'_') {
                    self.set_kind(left + 1, SqlType);
                    self.left = 0;
                }
                Step::On
            }
            // Transact-SQL reads `\` as 0 before arithmetic, and past it elsewhere.
            (Backslash, _) if self.get(left + 1).is_arithmetic() => {
                self.set_kind(left, Number);
                self.drop_last(0)
            }
            (Backslash, _) => {
                self.set(left, self.get(left + 1));
                self.drop_last(1)
            }
            (LeftParen, LeftParen) | (RightParen, RightParen) | (_, RightBrace) => self.drop_last(1),
            // MySQL's {``.``.id} is too odd to follow; {name expression} is the expression.
            (LeftBrace, Bareword) if second.is_empty() => {
                self.set_kind(left + 1, Kind::Evil);
                Step::Evil
            }
            (LeftBrace, Bareword) => self.drop_last(2),
            _ => Step::On,
        }
    }

    fn triple(&mut self) -> Step {
        use Kind::{Bareword, Comma, Dot, Expression, Function, Group, Keyword, LeftParen, Logic, Number};
        use Kind::{Operator, RightParen, SqlType, Text, Variable};
        let left = self.left;
        let unary = self.is_unary(left + 1);
        match (self.kind(left), self.kind(left + 1), self.kind(left + 2)) {
            (Number | Bareword, Operator, Number | Bareword) | (Logic, _, Logic) => self.drop_last(2),
            (Operator, kind, Operator) if kind != LeftParen => self.drop_last(2),
            (Variable, Operator, Variable | Number | Bareword) => self.drop_last(2),
            (Bareword | Number | Variable | Text, Operator, SqlType) if self.get(left + 1).text() == b"::" => self.drop_last(2),
            (Bareword | Number | Text | Variable, Comma, Number | Bareword | Text | Variable) => self.drop_last(2),
            (Bareword, Dot, Bareword) => self.drop_last(2),
            (Expression | Group | Comma, _, LeftParen)
            | (Keyword | Expression | Group, _, Number | Bareword | Variable | Text | Function)
            | (Comma, _, Function)
                if unary =>
            {
                self.set(left + 1, self.get(left + 2));
                self.drop_last(1)
            }
            // `1, -1` is `1, 1`, and both are one token back.
            (Comma, _, Number | Bareword | Variable | Text) if unary => {
                self.set(left + 1, self.get(left + 2));
                self.drop_last(3)
            }
            (Expression, Dot, Bareword) => {
                self.set(left + 1, self.get(left + 2));
                self.drop_last(1)
            }
            // USER() takes no arguments: USER(x) is somebody's own.
            (Function, LeftParen, kind) if kind != RightParen && self.get(left).is(b"USER") => {
                self.set_kind(left, Bareword);
                Step::On
            }
            _ => Step::On,
        }
    }
}

/// Names of columns that are functions where a parenthesis follows.
const ALSO_FUNCTIONS: [&[u8]; 11] = [
    b"USER_ID",
    b"USER_NAME",
    b"DATABASE",
    b"PASSWORD",
    b"USER",
    b"CURRENT_USER",
    b"CURRENT_DATE",
    b"CURRENT_TIME",
    b"CURRENT_TIMESTAMP",
    b"LOCALTIME",
    b"LOCALTIMESTAMP",
];
