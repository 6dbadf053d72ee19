//! Cookies of a request: version 0 (Netscape) as browsers send them, and version 1 with its `$` attributes left out.

use bytes::Bytes;

use crate::limits;
use crate::value::Entry;

/// Appends the cookies of one `Cookie` header. False where there are more than [`limits::COOKIES_MAX`].
#[must_use]
pub(super) fn parse(header: &Bytes, separator: u8, version_1: bool, cookies: &mut Vec<Entry>) -> bool {
    for piece in header.split(|byte| *byte == separator || version_1 && *byte == b',') {
        let piece = piece.trim_ascii_start();
        let equals = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
        let (name, value) = (piece.get(..equals).unwrap_or_default(), piece.get(equals + 1..).unwrap_or_default());
        let name = name.trim_ascii_end();
        if name.is_empty() || version_1 && name.starts_with(b"$") {
            continue;
        }
        if cookies.len() >= limits::COOKIES_MAX {
            return false;
        }
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).filter(|_| version_1);
        cookies.push(Entry::new(header.slice_ref(name), header.slice_ref(unquoted.unwrap_or(value))));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_kept_as_they_were_sent() {
        let mut cookies = Vec::new();
        assert!(parse(&Bytes::from_static(b"a=1; b=x=y;c;  =z; d=\"q\""), b';', false, &mut cookies));
        let plain: Vec<_> = cookies.iter().map(|c| (c.name.as_ref(), c.value.as_ref())).collect();
        assert_eq!(plain, [(&b"a"[..], &b"1"[..]), (b"b", b"x=y"), (b"c", b""), (b"d", b"\"q\"")]);
    }

    #[test]
    fn version_1_leaves_out_attributes_and_quotes() {
        let mut cookies = Vec::new();
        assert!(parse(&Bytes::from_static(b"$Version=1; a=\"q\"; $Path=/"), b';', true, &mut cookies));
        assert_eq!(cookies, [Entry::new(&b"a"[..], &b"q"[..])]);
    }
}
