//! `htmlEntityDecode`: HTML character references.

/// No-break space in ISO 8859-1, what `&nbsp;` becomes.
const NO_BREAK_SPACE: u8 = 0xA0;

/// Decodes `&#xHH;`, `&#DDD;` (the lowest eight bits count), `&quot;`, `&amp;`, `&lt;`, `&gt;` and
/// `&nbsp;`; the semicolon may be missing, names in any case. Other references stay.
///
/// `SecRule ARGS "@contains javascript:" "id:1,phase:2,deny,t:htmlEntityDecode"`
///
/// Manual: Transformation functions, htmlEntityDecode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr(b'&', input)?;
    let mut out = Vec::with_capacity(input.len());
    out.extend_from_slice(&input[..first]);
    let mut rest = &input[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte == b'&').then(|| reference(tail)) {
            Some(Reference::Decoded { value, length }) => {
                out.push(value);
                rest = &tail[length..];
                if rest.first() == Some(&b';') {
                    rest = &rest[1..];
                }
            }
            Some(Reference::Kept { length }) => {
                out.extend_from_slice(&rest[..1 + length]);
                rest = &tail[length..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    Some(out)
}

/// What follows an ampersand.
enum Reference {
    Decoded { value: u8, length: usize },
    Kept { length: usize },
}

fn reference(text: &[u8]) -> Reference {
    match text {
        [b'#', b'x' | b'X', digits @ ..] => numeric(digits, 16, 2),
        [b'#', digits @ ..] => numeric(digits, 10, 1),
        _ => named(text),
    }
}

fn numeric(digits: &[u8], radix: u32, prefix: usize) -> Reference {
    let mut value = 0_i64;
    let mut length = 0;
    for digit in digits.iter().map_while(|&byte| char::from(byte).to_digit(radix)) {
        // Saturation is what C's strtol does, and with it 0xFF is the byte of an absurd number.
        value = value.saturating_mul(i64::from(radix)).saturating_add(i64::from(digit));
        length += 1;
    }
    if length == 0 { Reference::Kept { length: prefix } } else { Reference::Decoded { value: value as u8, length: prefix + length } }
}

fn named(text: &[u8]) -> Reference {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let value = match text[..length].to_ascii_lowercase().as_slice() {
        b"quot" => b'"',
        b"amp" => b'&',
        b"lt" => b'<',
        b"gt" => b'>',
        b"nbsp" => NO_BREAK_SPACE,
        _ => return Reference::Kept { length },
    };
    Reference::Decoded { value, length }
}
