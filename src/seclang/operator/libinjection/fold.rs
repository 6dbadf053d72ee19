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
    more: bool,
    /// The comment read last, if no token came behind it.
    comment: Option<Token>,
}

/// Reads and folds a value.
pub(super) fn fold(value: &[u8], context: Context) -> Folded {
    let lexer = Lexer::new(value, context);
    let mut folder = Folder { lexer, tokens: [Token::default(); 8], filled: 0, left: 0, more: true, comment: None };
    let length = folder.run();
    let Folder { lexer, tokens, .. } = folder;
    Folded { tokens, length, read: lexer.tokens, differs: lexer.differs }
}

impl Folder<'_> {
    fn run(&mut self) -> usize {
        if !self.skip_opening() {
            return 0;
        }
        loop {
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

    fn set(&mut self, index: usize, token: Token) {
        if let Some(slot) = self.tokens.get_mut(index) {
            *slot = token;
        }
    }

    fn set_kind(&mut self, index: usize, kind: Kind) {
        if let Some(slot) = self.tokens.get_mut(index) {
            slot.kind = kind;
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
    }

    /// Takes the last tokens away and looks from the start.
    fn drop_last(&mut self, count: usize) -> Step {
        self.filled -= count;
        self.left = 0;
        Step::Again
    }

    /// Takes the last token away and looks again from one token back.
    fn drop_and_step_back(&mut self) -> Step {
        self.filled -= 1;
        self.left = self.left.saturating_sub(1);
        Step::Again
    }

    fn pair(&mut self) -> Step {
        use Kind::{LeftParen, Logic, Operator, Semicolon, SqlType, Text};
        let (first, second) = (self.get(self.left), self.get(self.left + 1));
        match (first.kind, second.kind) {
            (Text, Text) | (Semicolon, Semicolon) => {
                self.filled -= 1;
                return Step::Again;
            }
            (Operator | Logic, kind) if kind == SqlType || second.is_unary() => return self.drop_last(1),
            (LeftParen, _) if second.is_unary() => return self.drop_and_step_back(),
            _ => {}
        }
        if let Some(merged) = merge(&first, &second) {
            self.set(self.left, merged);
            return self.drop_and_step_back();
        }
        self.pair_by_word(&first, &second)
    }

    /// Pairs in which a word counts that does not merge with its neighbour.
    fn pair_by_word(&mut self, first: &Token, second: &Token) -> Step {
        use Kind::{Backslash, Bareword, Collate, Function, Keyword, LeftBrace, LeftParen, Number};
        use Kind::{Operator, RightBrace, RightParen, Semicolon, SqlType, Text, Tsql, Variable};
        let (left, parenthesis) = (self.left, second.kind == LeftParen);
        match (first.kind, second.kind) {
            // IF is a function, but a statement of Transact-SQL behind a semicolon.
            (Semicolon, Function) if second.text().get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"IF")) => {
                self.set_kind(left + 1, Tsql);
                Step::Again
            }
            (Bareword | Variable, LeftParen) if is_also_function(first) => {
                self.set_kind(left, Function);
                Step::Again
            }
            (Keyword, _) if first.is(b"IN") || first.is(b"NOT IN") => {
                self.set_kind(left, if parenthesis { Operator } else { Bareword });
                Step::Again
            }
            (Operator, _) if first.is(b"LIKE") || first.is(b"NOT LIKE") => {
                if parenthesis {
                    self.set_kind(left, Function);
                }
                Step::On
            }
            (SqlType, Bareword | Number | SqlType | LeftParen | Function | Variable | Text) => {
                self.set(left, *second);
                self.drop_last(1)
            }
            // There are too many collations for a list; a name with `_` is one.
            (Collate, Bareword) => {
                if second.text().iter().take_while(|byte| **byte != 0).any(|byte| *byte == b'_') {
                    self.set_kind(left + 1, SqlType);
                    self.left = 0;
                }
                Step::On
            }
            // Transact-SQL reads `\` as 0 before arithmetic, and past it elsewhere.
            (Backslash, _) if second.is_arithmetic() => {
                self.set_kind(left, Number);
                self.drop_last(0)
            }
            (Backslash, _) => {
                self.set(left, *second);
                self.drop_last(1)
            }
            (LeftParen, LeftParen) | (RightParen, RightParen) | (_, RightBrace) => self.drop_last(1),
            // MySQL's {``.``.id} is too odd to follow; {name expression} is the expression.
            (LeftBrace, Bareword) if second.text().is_empty() => {
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
        let [first, second, third] = [left, left + 1, left + 2].map(|index| self.get(index));
        let kinds = (first.kind, second.kind, third.kind);
        let unary = second.is_unary();
        match kinds {
            (Number | Bareword, Operator, Number | Bareword) | (Logic, _, Logic) => self.drop_last(2),
            (Operator, kind, Operator) if kind != LeftParen => self.drop_last(2),
            (Variable, Operator, Variable | Number | Bareword) => self.drop_last(2),
            (Bareword | Number | Variable | Text, Operator, SqlType) if second.text() == b"::" => self.drop_last(2),
            (Bareword | Number | Text | Variable, Comma, Number | Bareword | Text | Variable) => self.drop_last(2),
            (Bareword, Dot, Bareword) => self.drop_last(2),
            (Expression | Group | Comma, _, LeftParen)
            | (Keyword | Expression | Group, _, Number | Bareword | Variable | Text | Function)
            | (Comma, _, Function)
                if unary =>
            {
                self.set(left + 1, third);
                self.drop_last(1)
            }
            // `1, -1` is `1, 1`, and both are one token back.
            (Comma, _, Number | Bareword | Variable | Text) if unary => {
                self.set(left + 1, third);
                self.drop_last(3)
            }
            (Expression, Dot, Bareword) => {
                self.set(left + 1, third);
                self.drop_last(1)
            }
            // USER() takes no arguments: USER(x) is somebody's own.
            (Function, LeftParen, kind) if kind != RightParen && first.is(b"USER") => {
                self.set_kind(left, Bareword);
                Step::On
            }
            _ => Step::On,
        }
    }
}

/// Names of columns that are functions where a parenthesis follows.
fn is_also_function(token: &Token) -> bool {
    const WORDS: [&[u8]; 11] = [
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
    WORDS.iter().any(|word| token.is(word))
}

/// Two words that make a phrase of the table, such as `UNION ALL`.
fn merge(first: &Token, second: &Token) -> Option<Token> {
    use Kind::{Bareword, Expression, Function, Keyword, Logic, Operator, SqlType, Tsql, Union};
    let word = |kind| matches!(kind, Keyword | Bareword | Operator | Union | Function | Expression | Tsql | SqlType);
    if !word(first.kind) || !(word(second.kind) || second.kind == Logic) {
        return None;
    }
    let (start, end) = (first.text(), second.text());
    let length = start.len() + 1 + end.len();
    if length > TEXT_BYTES_MAX {
        return None;
    }
    let mut phrase = [b' '; TEXT_BYTES_MAX];
    for (slot, byte) in phrase.iter_mut().zip(start.iter().chain(b" ").chain(end)) {
        *slot = *byte;
    }
    let phrase = phrase.get(..length)?;
    let kind = kind_of(phrase)?;
    Some(Token::new(kind, phrase).with_quotes(first.open, first.close))
}
