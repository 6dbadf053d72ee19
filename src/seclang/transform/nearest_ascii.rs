//! The ASCII letter that looks most like a character: what back ends with code page 20127 make of it.

use std::sync::LazyLock;

/// Each ASCII byte with the characters below U+2200 that Microsoft's code page 20127 (US-ASCII, best fit) turns into it. The full-width
/// forms U+FF01 to U+FF5E follow a rule and are not here.
#[rustfmt::skip]
const NEAREST: &[(u8, &str)] = &[
    (b' ', "\u{a0}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}"),
    (b'!', "¡"),
    (b'"', "ʺ\u{30e}“”„"),
    (b'$', "¤"),
    (b'\'', "ʹʼˈ‘’′"),
    (b',', "¸‚"),
    (b'-', "\u{ad}‐‑–—"),
    (b'.', "·•…"),
    (b'1', "¹"),
    (b'2', "²"),
    (b'3', "³"),
    (b'<', "«‹"),
    (b'>', "»›"),
    (b'A', "ÀÁÂÃÄÅÆĀĂĄǍǞ"),
    (b'C', "©ÇĆĈĊČ"),
    (b'D', "ÐĎĐƉ"),
    (b'E', "ÈÉÊËĒĔĖĘĚ"),
    (b'F', "Ƒ"),
    (b'G', "ĜĞĠĢǤǦ"),
    (b'H', "ĤĦ"),
    (b'I', "ÌÍÎÏĨĪĬĮİƗǏ"),
    (b'J', "Ĵ"),
    (b'K', "ĶǨ"),
    (b'L', "ĹĻĽŁ"),
    (b'N', "ÑŃŅŇ"),
    (b'O', "ÒÓÔÕÖØŌŎŐŒƟƠǑǪǬ"),
    (b'R', "®ŔŖŘ"),
    (b'S', "ŚŜŞŠ"),
    (b'T', "ŢŤŦƮ™"),
    (b'U', "ÙÚÛÜŨŪŬŮŰŲƯǓǕǗǙǛ"),
    (b'W', "Ŵ"),
    (b'Y', "¥ÝŶŸ"),
    (b'Z', "ŹŻŽ"),
    (b'^', "˄ˆ\u{302}"),
    (b'_', "ˍ\u{331}\u{332}"),
    (b'`', "ˋ\u{300}‵"),
    (b'a', "ªàáâãäåæāăąǎǟ"),
    (b'b', "ƀ"),
    (b'c', "¢çćĉċč"),
    (b'd', "ďđ"),
    (b'e', "èéêëēĕėęě"),
    (b'f', "ƒ"),
    (b'g', "ĝğġģǥǧɡ"),
    (b'h', "ĥħ"),
    (b'i', "ìíîïĩīĭįıǐ"),
    (b'j', "ĵǰ"),
    (b'k', "ķǩ"),
    (b'l', "ĺļľłƚ"),
    (b'n', "ñńņň"),
    (b'o', "ºòóôõöøōŏőœơǒǫǭ"),
    (b'r', "ŕŗř"),
    (b's', "śŝşš"),
    (b't', "ţťŧƫ"),
    (b'u', "ùúûüũūŭůűųưǔǖǘǚǜ"),
    (b'w', "ŵ"),
    (b'y', "ýÿŷ"),
    (b'z', "żžƶ"),
    (b'|', "¦"),
    (b'~', "˜\u{303}"),
];
/// The first code that is not in the table.
const END: usize = 0x2200;

/// The byte for each code; 0 for none.
static BY_CODE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut codes = vec![0; END];
    for (byte, characters) in NEAREST {
        for character in characters.chars() {
            if let Some(slot) = codes.get_mut(character as usize) {
                *slot = *byte;
            }
        }
    }
    codes
});

/// The ASCII byte that looks most like the character with this code, if one does.
pub(super) fn nearest_ascii(code: u16) -> Option<u8> {
    match code {
        0xFF01..=0xFF5E => u8::try_from(code - 0xFEE0).ok(),
        _ => BY_CODE.get(usize::from(code)).copied().filter(|byte| *byte != 0),
    }
}
