//! Classes of bytes, as tables made at compile time.

const fn table(token: bool) -> [bool; 256] {
    let mut out = [false; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        out[i] = if token {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
        } else {
            byte == b'\t' || (byte >= b' ' && byte != 0x7F)
        };
        i += 1;
    }
    out
}

static TOKEN: [bool; 256] = table(true);
static VALUE: [bool; 256] = table(false);

/// A byte of a method or a field name (`tchar`, RFC 9110 section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// A byte of a field value: HTAB, space, visible ASCII, obs-text (RFC 9110 section 5.5).
pub(super) fn is_value(byte: u8) -> bool {
    VALUE[byte as usize]
}

/// Whether all bytes are of a field value; without a branch in the loop, so that many are judged at once.
pub(super) fn are_values(bytes: &[u8]) -> bool {
    !bytes.iter().fold(false, |bad, byte| bad | ((*byte < b' ') & (*byte != b'\t')) | (*byte == 0x7F))
}

/// The bytes without spaces and tabs around them (OWS, RFC 9110 section 5.6.3).
pub(super) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_follow_rfc_9110() {
        assert_eq!((0..=255u8).filter(|b| is_token(*b)).count(), 77);
        assert_eq!((0..=255u8).filter(|b| !is_value(*b)).count(), 32);
        assert!((0..=255u8).all(|b| is_value(b) == are_values(&[b'a', b, b'z'])));
        assert!(is_value(b'\t') && !is_value(0x0B) && !is_value(0x7F) && is_value(0x80) && !is_token(b':'));
        assert_eq!(trimmed(b" \t a b\t "), b"a b");
    }
}
