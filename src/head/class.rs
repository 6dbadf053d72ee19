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
pub fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// A byte of a field value: HTAB, space, visible ASCII, obs-text (RFC 9110 section 5.5).
pub fn is_value(byte: u8) -> bool {
    VALUE[byte as usize]
}

/// Whether all bytes are of a field value; without a branch in the loop, so that many are judged at once.
pub fn are_values(bytes: &[u8]) -> bool {
    let bad = |byte: u8| (u8::from(byte < b' ') & u8::from(byte != b'\t')) | u8::from(byte == 0x7F);
    let (blocks, rest) = bytes.as_chunks::<16>();
    let mut sums = [0u8; 16];
    for block in blocks {
        for (sum, byte) in sums.iter_mut().zip(block) {
            *sum |= bad(*byte);
        }
    }
    let rest = rest.iter().fold(0, |sum, byte| sum | bad(*byte));
    sums.iter().fold(rest, |all, sum| all | sum) == 0
}

/// Whether all bytes are of a method or a field name.
pub fn are_tokens(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |good, byte| good & is_token(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_follow_rfc_9110() {
        assert_eq!((0..=255u8).filter(|b| is_token(*b)).count(), 77);
        assert_eq!((0..=255u8).filter(|b| !is_value(*b)).count(), 32);
        for length in [1, 15, 16, 17, 40] {
            for place in 0..length {
                let with = |b: u8| (0..length).map(|i| if i == place { b } else { b'a' }).collect::<Vec<u8>>();
                assert!((0..=255).all(|b| is_value(b) == are_values(&with(b)) && is_token(b) == are_tokens(&with(b))));
            }
        }
        assert!(is_value(b'\t') && !is_value(0x0B) && !is_value(0x7F) && is_value(0x80) && !is_token(b':'));
    }
}
