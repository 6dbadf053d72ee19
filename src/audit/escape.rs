//! Which characters never come out as themselves, and how text of a stranger's choosing becomes a JSON string.
//!
//! * `"` and `\` are escaped as JSON asks.
//! * Control characters (C0, DEL, C1), line separators, zero-width and bidirectional formatting characters, and tag characters
//!   become `\uXXXX`: a reader that decodes the JSON gets them back, a terminal that shows the file does not obey them.
//! * Bytes that are not UTF-8 become the four characters `\xHH` (so `\\xHH` in the file). That stays unambiguous, since a
//!   backslash that was followed by an `x` is itself written as `\x5c`.

/// Whether a character could steer a terminal, or make text read otherwise than it is.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `text` as the inside of a JSON string; what is not UTF-8 is shown as `\xHH`.
pub fn push_bytes(out: &mut Vec<u8>, text: &[u8]) {
    push(out, text, true);
}

/// Appends `text` as the inside of a JSON string, for text whose invalid bytes were made visible before.
pub fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push(out, text, false);
}

/// Bytes as text, with what is not UTF-8 shown as `\xHH`: the form in which raw bytes enter a record's string fields.
pub fn visible(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        // Looking for one byte is cheaper than for two, and nearly always enough.
        Ok(text) if !bytes.iter().fold(false, |found, byte| found | (*byte == b'\\')) || !text.contains("\\x") => text.to_owned(),
        _ => {
            let mut out = String::with_capacity(bytes.len() + 16);
            for chunk in bytes.utf8_chunks() {
                out.push_str(&chunk.valid().replace("\\x", "\\x5cx"));
                for byte in chunk.invalid() {
                    out.push_str("\\x");
                    out.push(char::from(HEX[usize::from(byte >> 4)]));
                    out.push(char::from(HEX[usize::from(byte & 15)]));
                }
            }
            out
        }
    }
}

/// Text for a terminal or a log line: what [`is_unsafe`] names is written as `\uXXXX`.
pub fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Printable ASCII that needs no thought: neither quote nor backslash.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
};

/// Whether nothing in it needs escaping.
pub(super) fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|b| PLAIN[usize::from(*b)])
}

fn push(out: &mut Vec<u8>, text: &[u8], mark: bool) {
    let plain = text.iter().position(|b| !PLAIN[usize::from(*b)]).unwrap_or(text.len());
    let (head, rest) = text.split_at(plain);
    out.extend_from_slice(head);
    for chunk in rest.utf8_chunks() {
        push_valid(out, chunk.valid(), mark);
        for byte in chunk.invalid() {
            out.extend_from_slice(&[b'\\', b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

fn push_valid(out: &mut Vec<u8>, text: &str, mark: bool) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| !PLAIN[usize::from(b)]) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let Some(c) = tail.chars().next() else { return };
        rest = &tail[c.len_utf8()..];
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' if mark && rest.starts_with('x') => out.extend_from_slice(b"\\\\x5c"),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if is_unsafe(c) => push_units(out, c),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.extend_from_slice(rest.as_bytes());
}

fn push_units(out: &mut Vec<u8>, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            out.push(HEX[usize::from(*unit >> shift) & 15]);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(bytes: &[u8]) -> String {
        let mut out = vec![b'"'];
        push_bytes(&mut out, bytes);
        out.push(b'"');
        serde_json::from_slice(&out).unwrap()
    }

    /// Undoes `\xHH`.
    fn original(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text.as_bytes();
        while let Some(byte) = rest.first() {
            if rest.starts_with(b"\\x") {
                out.push(u8::from_str_radix(std::str::from_utf8(&rest[2..4]).unwrap(), 16).unwrap());
                rest = &rest[4..];
            } else {
                out.push(*byte);
                rest = &rest[1..];
            }
        }
        out
    }

    #[test]
    fn a_terminal_never_gets_what_could_steer_it() {
        let mut out = Vec::new();
        push_text(&mut out, "a\u{1b}[31m\u{202e}\u{9b}\u{7f}\u{2028}\u{e0041}ü€".as_bytes());
        assert_eq!(String::from_utf8(out).unwrap(), "a\\u001b[31m\\u202e\\u009b\\u007f\\u2028\\udb40\\udc41ü€");
        assert_eq!(printable("a\u{1b}[0m"), "a\\u001b[0m");
    }

    proptest! {
        #[test]
        fn any_bytes_become_valid_json_and_can_be_had_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(original(&decoded(&bytes)), bytes.clone());
            prop_assert_eq!(visible(&bytes), decoded(&bytes));
        }

        #[test]
        fn marks_that_a_stranger_wrote_are_told_from_ours(text in "[\\\\x0-9a-f]{0,20}") {
            prop_assert_eq!(original(&decoded(text.as_bytes())), text.as_bytes());
        }

        #[test]
        fn nothing_unsafe_is_left_in_the_file(text in any::<String>()) {
            let mut out = Vec::new();
            push_text(&mut out, text.as_bytes());
            prop_assert!(!std::str::from_utf8(&out).unwrap().chars().any(is_unsafe));
        }
    }
}
