//! Plain header lines, as nearly all are: read in one go, or not at all.

use super::class::are_tokens;
use super::names::{self, OTHER};
use super::raw::RawHeader;

/// Reads header lines up to the empty one that ends them, beginning at `start` of `bytes`, and gives each to `line` with its name and
/// value; returns where the head ends. `None` where a line is not plain (a name, a colon, a value, CRLF; no control character but the
/// line end's, not even a tab), where `line` says no, or where no line end before `end_max` ends them: whoever asked must look closer.
pub(crate) fn plain_lines(
    bytes: &[u8],
    start: usize,
    end_max: usize,
    mut line: impl FnMut(RawHeader, &[u8], &[u8]) -> bool,
) -> Option<usize> {
    let (mut at, mut count) = (start, 0);
    loop {
        let rest = bytes.get(at..)?;
        let length = memchr::memchr(b'\n', rest)?;
        count += 1;
        if at + length >= end_max {
            return None;
        }
        let [content @ .., b'\r'] = rest.get(..length)? else { return None };
        if content.is_empty() {
            let end = at + length + 1;
            // Every CR and LF is one of a line end.
            return (controls(bytes.get(start..end)?) == 2 * count).then_some(end);
        }
        let colon = content.iter().position(|byte| *byte == b':')?;
        let (name, value) = (content.get(..colon)?, content.get(colon + 1..)?);
        let known = names::known(name);
        if known == OTHER && (name.is_empty() || !are_tokens(name)) {
            return None;
        }
        let (before, value) = match value {
            [b' ', value @ ..] => (1, value),
            value => (0, value),
        };
        if let [b' ', ..] | [.., b' '] = value {
            return None;
        }
        let value_start = (at + colon + 1 + before) as u32;
        let header = RawHeader { name: at as u32..(at + colon) as u32, value: value_start..value_start + value.len() as u32, known };
        if !line(header, name, value) {
            return None;
        }
        at += length + 1;
    }
}

/// How many bytes are control characters; a shape that the compiler makes sixteen or more at once of.
fn controls(bytes: &[u8]) -> usize {
    let control = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == 0x7F);
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut count = 0;
    // As many blocks as a sum of one byte can count.
    for part in blocks.chunks(255) {
        let mut sums = [0u8; 32];
        for block in part {
            for (sum, byte) in sums.iter_mut().zip(block) {
                *sum += control(*byte);
            }
        }
        count += sums.iter().map(|sum| usize::from(*sum)).sum::<usize>();
    }
    count + rest.iter().map(|byte| usize::from(control(*byte))).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<(usize, Vec<(String, String)>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut lines = Vec::new();
        let end = plain_lines(bytes, 0, 10_000, |header, name, value| {
            let place = |range: &std::ops::Range<u32>| &bytes[range.start as usize..range.end as usize];
            assert_eq!((place(&header.name), place(&header.value)), (name, value));
            lines.push((text(name), text(value)));
            true
        })?;
        Some((end, lines))
    }

    #[test]
    fn plain_lines_are_read_and_nothing_else_is() {
        let (end, lines) = read(b"Host: a\r\nX-b:c\r\nempty:\r\n\xfc: d\r\n\r\nrest").unwrap_or_default();
        assert!(end == 0 && lines.is_empty(), "no token");
        let (end, lines) = read(b"Host: a\r\nX-b:c:d \xfc\r\nempty:\r\n\r\nrest").unwrap_or_default();
        assert_eq!((end, lines.len()), (30, 3));
        assert_eq!(lines[1], ("X-b".into(), "c:d \u{fffd}".into()));
        for bad in [
            &b"a: b\r\n"[..],
            b"a: b\n\r\n",
            b"a: b\r\n\n",
            b"a : b\r\n\r\n",
            b": b\r\n\r\n",
            b" a: b\r\n\r\n",
            b"a b: c\r\n\r\n",
            b"a:  b\r\n\r\n",
            b"a: b \r\n\r\n",
            b"a: b\tc\r\n\r\n",
            b"a: b\rc\r\n\r\n",
            b"a: \x7f\r\n\r\n",
            b"a: \0\r\n\r\n",
            b"a\r\n\r\n",
            b"content\rlength: 5\r\n\r\n",
            b"content\x0dlength: 5\r\n\r\n",
            b"hos\x14: a\r\n\r\n",
        ] {
            assert_eq!(read(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn controls_are_counted_wherever_they_stand() {
        for length in [0, 1, 31, 32, 33, 70, 9000] {
            for at in (0..length).step_by(1 + length / 50) {
                let mut bytes = vec![b'a'; length];
                assert_eq!(controls(&bytes), 0);
                (bytes[at], bytes[length / 2]) = (b'\r', 0x7F);
                assert_eq!(controls(&bytes), 1 + usize::from(at != length / 2), "{length} {at}");
            }
            assert_eq!(controls(&vec![0; length]), length);
        }
    }
}
