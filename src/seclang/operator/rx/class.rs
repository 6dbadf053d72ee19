//! Character classes: PCRE's brackets in the spelling of the regex crate.

use super::reader::{Escape, Reader};
use super::translate::push_byte;

/// The names that `[:name:]` may have.
const NAMES: [&str; 14] =
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];

/// What one item of a class is.
enum Item {
    Byte(u8),
    Set(String),
}

/// Reads a class behind its `[` and appends it to `out`. Every byte is written so that it can be nothing but itself:
/// `&&`, `--`, `~~` and `[` have a meaning inside a class there that they do not have in PCRE.
pub(super) fn class(reader: &mut Reader<'_>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if reader.eat(b'^') {
        out.push('^');
    }
    let mut first = true;
    loop {
        let Some(byte) = reader.peek() else { return Err("a character class does not end".to_owned()) };
        if byte == b']' && !first {
            reader.advance(1);
            break;
        }
        first = false;
        let Some(item) = item(reader)? else { continue };
        match item {
            Item::Set(set) => out.push_str(&set),
            Item::Byte(low) => {
                let range = reader.peek() == Some(b'-') && reader.peek_at(1).is_some_and(|byte| byte != b']');
                if !range {
                    push_byte(out, low);
                    continue;
                }
                reader.advance(1);
                match self::item(reader)? {
                    Some(Item::Byte(high)) if low <= high => {
                        push_byte(out, low);
                        out.push('-');
                        push_byte(out, high);
                    }
                    Some(Item::Byte(high)) => {
                        return Err(format!(
                            "the range {}-{} in a character class runs backwards",
                            low.escape_ascii(),
                            high.escape_ascii()
                        ));
                    }
                    // A hyphen before a set, as in `[a-\d]`, is a hyphen.
                    other => {
                        push_byte(out, low);
                        push_byte(out, b'-');
                        if let Some(Item::Set(set)) = other {
                            out.push_str(&set);
                        }
                    }
                }
            }
        }
    }
    out.push(']');
    Ok(())
}

/// Reads one item; None where it stands for nothing (`\E`).
fn item(reader: &mut Reader<'_>) -> Result<Option<Item>, String> {
    let Some(byte) = reader.next() else { return Err("a character class does not end".to_owned()) };
    if byte == b'['
        && reader.peek() == Some(b':')
        && let Some(name) = reader.posix_name()
    {
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(&name)) {
            return Err(format!("`[:{name}:]` is not a named character class"));
        }
        return Ok(Some(Item::Set(format!("[:{name}:]"))));
    }
    if byte != b'\\' {
        return Ok(Some(Item::Byte(byte)));
    }
    Ok(Some(match reader.escape(true)? {
        Escape::Byte(byte) => Item::Byte(byte),
        Escape::Set(set) => Item::Set(set.to_owned()),
        Escape::Nothing => return Ok(None),
        Escape::Assertion(_) | Escape::Backtracking(..) | Escape::Quoted(_) => {
            return Err("an escape has no meaning in a character class".to_owned());
        }
    }))
}
