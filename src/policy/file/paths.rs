//! Path prefixes of maps, their exclusions, the paths behind them.

use super::names::Wrong;
use std::fmt::Write as _;

/// A path prefix as the door compares it: decoded, absolute, without empty, `.` or `..` segments.
pub(super) fn prefix(text: &str) -> Result<String, Wrong> {
    if let Some((_, rest)) = text.split_once("://") {
        let path = rest.find('/').map_or("/", |i| &rest[i..]);
        return Err(("a path is written without scheme and host".into(), path.to_owned()));
    }
    if !text.starts_with('/') {
        let right = tidy(&format!("/{}", text.replace('\\', "/")));
        let right = if plain(&right).is_ok() && !right.contains(['%', '*']) { right } else { String::new() };
        return Err(("a path begins with a slash".into(), right));
    }
    if text.contains('%') {
        return Err(("a path is written decoded, without %".into(), decoded(text)));
    }
    if text.contains('*') {
        let right = text.split('*').next().unwrap_or("/");
        return Err(("a path is a prefix, not a pattern".into(), tidy(right)));
    }
    plain(text)?;
    Ok(text.to_owned())
}

/// The path at a backend, as it is sent: what a URL cannot hold is encoded.
pub(super) fn target(text: &str) -> Result<String, Wrong> {
    plain(text)?;
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    for (i, b) in bytes.iter().enumerate() {
        let escape = *b == b'%' && bytes.get(i + 1..i + 3).is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
        if *b == b'%' && !escape {
            return Err(("a % in the path stands before two hexadecimal digits".into(), String::new()));
        }
        if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(b) {
            out.push(char::from(*b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    Ok(out)
}

fn plain(text: &str) -> Result<(), Wrong> {
    if let Some(i) = text.find(['?', '#']) {
        return Err(("a path has no query and no fragment".into(), text[..i].to_owned()));
    }
    if text.contains('\\') {
        return Err(("a path has no backslash".into(), tidy(&text.replace('\\', "/"))));
    }
    if text.contains(';') {
        return Err(("a path has no parameters after a semicolon".into(), text.split(';').next().unwrap_or("/").to_owned()));
    }
    if text.chars().any(char::is_control) {
        return Err(("a path has no control characters".into(), String::new()));
    }
    let tidied = tidy(text);
    if tidied != text {
        return Err(("a path has no empty, `.` or `..` segments".into(), tidied));
    }
    Ok(())
}

/// Without empty, `.` and `..` segments.
fn tidy(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    let mut ends_open = false;
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" | "." => ends_open = last,
            ".." => {
                kept.pop();
                ends_open = last;
            }
            s => kept.push(s),
        }
    }
    if path.is_empty() {
        return String::new();
    }
    let end = if ends_open && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

/// With every `%XX` replaced; an empty text where that is no text.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut i) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(b) = bytes.get(i) {
        let hex = text.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok()).filter(|_| *b == b'%');
        out.push(hex.unwrap_or(*b));
        i += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).ok().filter(|t| !t.contains('%') && plain(t).is_ok()).unwrap_or_default()
}

/// Whether `path` lies inside `prefix`, at a segment boundary.
pub(super) fn inside(prefix: &str, path: &str, fold_case: bool) -> bool {
    if fold_case {
        return inside(&prefix.to_lowercase(), &path.to_lowercase(), false);
    }
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

/// Whether two prefixes are the same.
pub(super) fn same(a: &str, b: &str, fold_case: bool) -> bool {
    a == b || (fold_case && a.to_lowercase() == b.to_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_is_nearly_right_is_corrected() {
        for (wrong, right) in [
            ("exchange", "/exchange"),
            ("/a//b", "/a/b"),
            ("/a/../b/", "/b/"),
            ("/..", "/"),
            ("/a%20b", "/a b"),
            ("/a%2", ""),
            ("/a%2Fb%252F", ""),
            ("/a/*", "/a/"),
            ("/a?b", "/a"),
            ("\\a", "/a"),
            ("http://h/a", "/a"),
            ("/a/.", "/a/"),
        ] {
            assert_eq!(prefix(wrong).unwrap_err().1, right, "{wrong}");
        }
        for fine in ["/", "/a", "/a/", "/a b/ü"] {
            assert_eq!(prefix(fine).unwrap(), fine);
        }
    }

    #[test]
    fn prefixes_end_at_segment_boundaries() {
        assert!(inside("/exchange", "/exchange", false) && inside("/exchange", "/exchange/x", false));
        assert!(!inside("/exchange", "/exchanges", false) && !inside("/a/", "/a", false));
        assert!(inside("/", "/x", false) && inside("/A", "/a/b", true) && !inside("/A", "/a/b", false));
    }

    #[test]
    fn the_path_at_a_backend_is_encoded_once() {
        assert_eq!(target("/a b/ü%20").unwrap(), "/a%20b/%C3%BC%20");
        assert!(target("/a%2").is_err() && target("/a/../b").is_err());
        assert_eq!(target("").unwrap(), "");
    }
}
