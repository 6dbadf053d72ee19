//! Translation: a pattern in PCRE's syntax into the regex crate's, with the same meaning.

use std::fmt::Write as _;

use super::class::class;
use super::reader::{Escape, Reader};

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
    let reader = Reader::new(pattern.as_bytes(), groups_in(pattern));
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
                        self.reader.finish();
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
            self.reader.open_group(None);
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
        self.reader.open_group(Some(name));
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
