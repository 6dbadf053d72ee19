//! `utf8toUnicode`: UTF-8 sequences to `%uHHHH`.

use std::io::Write as _;

/// Turns every multi-byte sequence into `%u` and at least four lower-case digits, for a later
/// `t:urlDecodeUni`. ASCII and bytes that are not UTF-8 stay. A sequence that is longer than needed, or a
/// surrogate, is decoded too and its first byte kept behind it, so the wrong spelling stays visible.
///
/// `SecRule ARGS "@contains <script" "id:1,phase:2,deny,t:utf8toUnicode,t:urlDecodeUni"`
///
/// Manual: Transformation functions, utf8toUnicode.
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let first = input.iter().position(|byte| !byte.is_ascii())?;
    let mut out = Vec::with_capacity(input.len() * 2);
    out.extend_from_slice(&input[..first]);
    let mut rest = &input[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        let Some((code, length)) = sequence(rest) else {
            out.push(byte);
            rest = tail;
            continue;
        };
        // Writing to a Vec cannot fail.
        let _ = write!(out, "%u{code:04x}");
        let shortest = match code {
            0..0x80 => 1,
            0x80..0x800 => 2,
            0x800..0x1_0000 => 3,
            _ => 4,
        };
        if shortest != length || (0xD800..=0xDFFF).contains(&code) {
            out.push(byte);
        }
        rest = &rest[length..];
    }
    Some(out)
}

/// The number and length of the multi-byte sequence at the start, by its shape alone.
fn sequence(bytes: &[u8]) -> Option<(u32, usize)> {
    let (lead, length) = match bytes.first()? {
        lead @ 0xC0..=0xDF => (lead & 0x1F, 2),
        lead @ 0xE0..=0xEF => (lead & 0x0F, 3),
        lead @ 0xF0..=0xF7 => (lead & 0x07, 4),
        _ => return None,
    };
    bytes.get(1..length)?.iter().try_fold((u32::from(lead), length), |(code, length), byte| {
        (byte & 0xC0 == 0x80).then(|| ((code << 6) | u32::from(byte & 0x3F), length))
    })
}
