//! The canonical path that decides, and the other ways in which somebody behind us could read the same spelling.

use crate::refusal::Refusal;

/// Segments of a path beyond which it is refused: no application needs more, and each costs a comparison.
const SEGMENTS_MAX: usize = 256;

/// How a server may read a path, beyond RFC 3986: each flag is one habit found in real servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reading {
    /// `%2F` is a separator after decoding.
    encoded_slash: bool,
    /// Percent-encoding is decoded a second time.
    twice: bool,
    /// `;...` at the end of a segment is a parameter and not part of the name (servlet containers).
    parameters: bool,
    /// A backslash is a separator (Windows).
    backslash: bool,
    /// Empty segments do not count (`//` is `/`).
    merge: bool,
    /// Dot segments are names like any other.
    dots_kept: bool,
}

/// What about a spelling makes more than one reading possible.
#[derive(Clone, Copy, Debug, Default)]
struct Features {
    encoded_slash: bool,
    twice: bool,
    parameters: bool,
    backslash: bool,
    empty_segment: bool,
    dots: bool,
}

impl Features {
    fn any(self) -> bool {
        self.encoded_slash || self.twice || self.parameters || self.backslash || self.empty_segment || self.dots
    }
}

/// The canonical form of `raw` (a path beginning with a slash, no query): percent-encoding decoded once, dot segments
/// resolved (RFC 3986 section 5.2.4), everything else as it came; an encoded slash stays `%2F`.
///
/// # Errors
/// `BadPath` for bad percent-encoding, NUL, `..` above the root or too many segments.
pub(super) fn canonical(raw: &[u8]) -> Result<Vec<u8>, Refusal> {
    read(raw, Reading::default())
}

/// Whether `raw` is spelled so that it is its own canonical form and has no other reading: nothing encoded, no segment empty or of
/// dots, no parameter, no backslash.
pub(super) fn is_plain(raw: &[u8]) -> bool {
    let begins = raw.first() == Some(&b'/');
    let mut after_slash = false;
    let mut segments = 0;
    let plain = raw.iter().all(|byte| {
        let bad = matches!(byte, b'%' | b';' | b'\\' | 0) || (after_slash && matches!(byte, b'/' | b'.'));
        after_slash = *byte == b'/';
        segments += usize::from(after_slash);
        !bad
    });
    begins && plain && segments <= SEGMENTS_MAX
}

/// The other readings of `raw`; empty for an ordinary spelling.
///
/// # Errors
/// `AmbiguousPath` where a reading leaves the root or is no path at all: one server stops at the root, another joins the
/// path to its own first and climbs out of that, and a third refuses.
pub(super) fn other_readings(raw: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    let features = features(raw);
    if !features.any() {
        return Ok(Vec::new());
    }
    let mut out: Vec<Vec<u8>> = Vec::new();
    for bits in 1..64_u8 {
        let reading = Reading {
            encoded_slash: bits & 1 != 0,
            twice: bits & 2 != 0,
            parameters: bits & 4 != 0,
            backslash: bits & 8 != 0,
            merge: bits & 16 != 0,
            dots_kept: bits & 32 != 0,
        };
        let possible = (!reading.encoded_slash || features.encoded_slash)
            && (!reading.twice || features.twice)
            && (!reading.parameters || features.parameters)
            && (!reading.backslash || features.backslash)
            && (!reading.merge || features.empty_segment || features.encoded_slash || features.twice || features.backslash)
            && (!reading.dots_kept || features.dots);
        if !possible {
            continue;
        }
        let path = read(raw, reading).map_err(|_| Refusal::AmbiguousPath)?;
        if !out.contains(&path) {
            out.push(path);
        }
    }
    Ok(out)
}

fn features(raw: &[u8]) -> Features {
    let mut found = Features { empty_segment: raw.windows(2).any(|w| w == b"//"), ..Features::default() };
    for (i, &byte) in raw.iter().enumerate() {
        match byte {
            b';' => found.parameters = true,
            b'\\' => found.backslash = true,
            b'.' if matches!(raw.get(i.wrapping_sub(1)), Some(b'/' | b'\\' | b';')) => found.dots = true,
            b'.' if i >= 3 && raw.get(i - 3) == Some(&b'%') && matches!(decoded_at(raw, i - 3), Some(b'/' | b'\\' | b';')) => {
                found.dots = true
            }
            b'%' => match decoded_at(raw, i) {
                Some(b'/') => found.encoded_slash = true,
                Some(b'\\') => found.backslash = true,
                Some(b';') => found.parameters = true,
                Some(b'.') => found.dots = true,
                Some(b'%') => {
                    // Decoded once more, anything may come of it.
                    found =
                        Features { encoded_slash: true, twice: true, parameters: true, backslash: true, empty_segment: true, dots: true };
                }
                _ => {}
            },
            _ => {}
        }
    }
    found
}

fn decoded_at(raw: &[u8], at: usize) -> Option<u8> {
    let high = char::from(*raw.get(at + 1)?).to_digit(16)?;
    let low = char::from(*raw.get(at + 2)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

fn read(raw: &[u8], reading: Reading) -> Result<Vec<u8>, Refusal> {
    let mut text = decode(raw, reading.encoded_slash || reading.twice, true)?;
    if reading.twice {
        text = decode(&text, reading.encoded_slash, false)?;
    }
    if reading.backslash {
        for byte in &mut text {
            if *byte == b'\\' {
                *byte = b'/';
            }
        }
    }
    if text.contains(&0) {
        return Err(Refusal::BadPath);
    }
    resolve(&text, reading)
}

/// Percent-decoding. An encoded slash stays encoded unless `slashes`; a stray percent sign is an error where `strict`.
fn decode(raw: &[u8], slashes: bool, strict: bool) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(raw.len());
    let mut i = 0;
    while let Some(&byte) = raw.get(i) {
        if byte != b'%' {
            out.push(byte);
            i += 1;
            continue;
        }
        match decoded_at(raw, i) {
            Some(b'/') if !slashes => out.extend_from_slice(b"%2F"),
            Some(decoded) => out.push(decoded),
            None if strict => return Err(Refusal::BadPath),
            None => {
                out.push(b'%');
                i += 1;
                continue;
            }
        }
        i += 3;
    }
    Ok(out)
}

fn resolve(text: &[u8], reading: Reading) -> Result<Vec<u8>, Refusal> {
    let mut kept: Vec<&[u8]> = Vec::with_capacity(16);
    let body = text.strip_prefix(b"/").unwrap_or(text);
    let mut directory = false;
    for segment in body.split(|&b| b == b'/') {
        let name = match segment.iter().position(|&b| b == b';') {
            Some(end) if reading.parameters => segment.get(..end).unwrap_or(segment),
            _ => segment,
        };
        directory = name.is_empty();
        match name {
            b"." if !reading.dots_kept => directory = true,
            b".." if !reading.dots_kept => {
                kept.pop().ok_or(Refusal::BadPath)?;
                directory = true;
            }
            b"" if reading.merge => {}
            name => kept.push(name),
        }
        if kept.len() > SEGMENTS_MAX {
            return Err(Refusal::BadPath);
        }
    }
    // An empty last segment is the trailing slash, already there when it was kept as a segment.
    if directory && kept.last().is_none_or(|last| !last.is_empty()) {
        kept.push(b"");
    }
    let mut out = Vec::with_capacity(text.len() + 1);
    for segment in &kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Ok(out)
}

/// Whether `prefix` covers `path` at a segment boundary: `/a` covers `/a` and `/a/b`, not `/ab`; `/` covers all.
pub(super) fn covers(prefix: &[u8], path: &[u8], fold_case: bool) -> bool {
    let Some(start) = path.get(..prefix.len()) else { return false };
    let same = if fold_case { fold(start) == fold(prefix) } else { start == prefix };
    same && (prefix.ends_with(b"/") || matches!(path.get(prefix.len()), None | Some(b'/')))
}

/// Letter case folded: by Unicode where the bytes are UTF-8, else by ASCII.
fn fold(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => text.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &[u8]) -> String {
        String::from_utf8_lossy(path).into_owned()
    }

    #[test]
    fn the_canonical_form_decodes_once_resolves_dots_and_keeps_encoded_slashes() {
        for (raw, want) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/%61/%62", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a//b", "/a//b"),
            ("/a/", "/a/"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%252Fb", "/a%2Fb"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/%c3%a9", "/é"),
        ] {
            assert_eq!(text(&canonical(raw.as_bytes()).unwrap()), want, "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_plain_path_is_its_own_canonical_form_and_has_one_reading(raw in "(/|[a-z.]|%2[eEfF]|;|\\\\|\u{e9}){0,12}") {
            if is_plain(raw.as_bytes()) {
                proptest::prop_assert_eq!(canonical(raw.as_bytes()), Ok(raw.clone().into_bytes()));
                proptest::prop_assert_eq!(other_readings(raw.as_bytes()), Ok(Vec::new()));
            }
        }
    }

    #[test]
    fn ordinary_paths_are_plain() {
        assert!(["/", "/a/b.html", "/a/", "/a-b_c~d/\u{e9}"].iter().all(|raw| is_plain(raw.as_bytes())));
        assert!(!["", "a", "//", "/.", "/a/..", "/a%20", "/a;b", "/a\\b", "/.well-known"].iter().any(|raw| is_plain(raw.as_bytes())));
        assert!(!is_plain("/a".repeat(SEGMENTS_MAX + 1).as_bytes()));
    }

    #[test]
    fn a_path_that_makes_no_sense_is_refused() {
        for raw in ["/..", "/a/../..", "/%", "/%4", "/%zz", "/%00", "/%2e%2e/x"] {
            assert_eq!(canonical(raw.as_bytes()), Err(Refusal::BadPath), "{raw}");
        }
    }

    #[test]
    fn ordinary_spellings_have_one_reading() {
        for raw in ["/", "/a/b.html", "/a-b_c~d/é", "/owa/auth/logon.aspx", "/%20x"] {
            assert!(other_readings(raw.as_bytes()).unwrap().is_empty(), "{raw}");
        }
    }

    #[test]
    fn each_habit_of_a_server_gives_its_reading() {
        for (raw, other) in [
            ("/a%2Fadmin", "/a/admin"),
            ("/a%252Fadmin", "/a/admin"),
            ("/a/..;/admin", "/admin"),
            ("/a\\admin", "/a/admin"),
            ("/a%5Cadmin", "/a/admin"),
            ("//admin", "/admin"),
            ("/a/%2e%2e/admin", "/a/../admin"),
            ("/a/%252e%252e/admin", "/admin"),
            ("/a/..%2fadmin", "/admin"),
            ("/a;x/b", "/a/b"),
        ] {
            let readings: Vec<String> = other_readings(raw.as_bytes()).unwrap().iter().map(|p| text(p)).collect();
            assert!(readings.iter().any(|r| r == other), "{raw}: {readings:?}");
        }
    }

    #[test]
    fn a_reading_that_leaves_the_root_is_ambiguous_and_not_left_out() {
        for raw in ["/..;/admin", "/a/..%2f..%2fadmin", "/a/..%5c..%5cadmin", "//..", "/%252e%252e/a", "/a%2500"] {
            let refused = canonical(raw.as_bytes()).and_then(|_| other_readings(raw.as_bytes()));
            assert_eq!(refused, Err(Refusal::AmbiguousPath), "{raw}");
        }
    }

    #[test]
    fn prefixes_end_at_segment_boundaries() {
        assert!(covers(b"/exchange", b"/exchange", false));
        assert!(covers(b"/exchange", b"/exchange/x", false));
        assert!(!covers(b"/exchange", b"/exchanges", false));
        assert!(covers(b"/", b"/x", false));
        assert!(covers(b"/a/", b"/a/b", false));
        assert!(!covers(b"/a/", b"/a", false));
        assert!(!covers(b"/exchange", b"/Exchange/x", false));
        assert!(covers(b"/exchange", b"/Exchange/x", true));
    }
}
