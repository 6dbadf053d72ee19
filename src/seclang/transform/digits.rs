//! Digits and blanks: the small alphabet that the transformations share.

/// The value of a hexadecimal digit.
pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that two hexadecimal digits spell.
pub(crate) fn hex_byte(high: u8, low: u8) -> Option<u8> {
    Some((hex_digit(high)? << 4) | hex_digit(low)?)
}

/// A byte as two lower-case hexadecimal digits.
pub(super) fn hex_of(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0F)]]
}

/// The lowest eight bits of at most `most` octal digits at the start, and how many there were.
pub(super) fn octal_run(bytes: &[u8], most: usize) -> (u8, usize) {
    let digits = bytes.iter().take(most).take_while(|byte| matches!(byte, b'0'..=b'7'));
    digits.fold((0, 0), |(value, count): (u8, usize), byte| (value.wrapping_mul(8).wrapping_add(byte - b'0'), count + 1))
}

/// The low byte of a sixteen-bit escape, where the full-width forms FF01-FF5E become the ASCII that
/// they look like: some back ends fold them, so an attacker may write with them.
pub(super) fn full_width(high: u8, low: u8, value: u8) -> u8 {
    let wide = high.eq_ignore_ascii_case(&b'f') && low.eq_ignore_ascii_case(&b'f');
    if wide && (0x01..0x5F).contains(&value) { value + 0x20 } else { value }
}

/// White space as C's `isspace` has it.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// White space, or the no-break space of ISO 8859-1.
pub(super) fn is_blank(byte: u8) -> bool {
    is_space(byte) || byte == 0xA0
}

/// The value of a Base64 digit in the standard alphabet.
pub(super) fn base64_value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
