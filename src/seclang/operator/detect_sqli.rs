//! `@detectSQLi`: the value reads like SQL that was injected.

use super::{Captures, Matched};

/// Longest value that is examined, in bytes. The worst values take 0.6 microseconds a byte, so this bounds one
/// evaluation to some 40 milliseconds; parameters are a hundred times shorter.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Most work in words with dots in them, in bytes looked at. The tokenizer looks a word up once for each dot in
/// it, so `a.a.a.a...` takes time in the square of its length; 4 million bytes are a few milliseconds.
const DOTTED_WORK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Examines the value with libinjection's method: it is split into SQL tokens as if it stood bare, behind a
/// single or behind a double quote, and the shape of the first five is looked up. `TX:0` is that shape.
///
/// `SecRule ARGS "@detectSQLi" "id:1,phase:2,deny"`
///
/// Manual: Operators, detectSQLi.
pub(super) fn matches(value: &[u8], captures: Option<&mut Captures>) -> Matched {
    if value.is_empty() {
        return Matched::No;
    }
    if value.len() > VALUE_BYTES_MAX {
        return Matched::Error(format!("@detectSQLi examines values up to {VALUE_BYTES_MAX} bytes; this one has {}", value.len()));
    }
    if dotted_work(value) > DOTTED_WORK_BYTES_MAX {
        return Matched::Error("@detectSQLi met a word with too many dots to examine in bounded time".to_owned());
    }
    let result = libinjectionrs::detect_sqli(value);
    if !result.is_injection() {
        return Matched::No;
    }
    if let (Some(captures), Some(fingerprint)) = (captures, result.fingerprint) {
        captures.clear();
        let shape = fingerprint.as_bytes();
        let end = shape.iter().position(|&byte| byte == 0).unwrap_or(shape.len());
        captures.set(0, shape.get(..end).unwrap_or_default());
    }
    Matched::Yes
}

/// The bytes that the tokenizer looks at in words: for each word its dots and backticks times its length.
fn dotted_work(value: &[u8]) -> usize {
    let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'_' | b'$' | b'.' | b'`');
    let words = value.split(|byte| !in_word(byte));
    words.map(|word| word.len() * word.iter().filter(|byte| matches!(byte, b'.' | b'`')).count()).sum()
}
