//! The verdict on HTML: tags, attributes, URLs and comments that can run script.

use std::sync::LazyLock;

use super::html::{Html, Start, Token};

/// Whether the value runs script as text or inside of an attribute.
pub(in crate::operator) fn xss(value: &[u8]) -> bool {
    let tag = memchr::memchr(b'<', value).is_some();
    // Without a tag only an attribute can run script, and that needs a value.
    let attribute = tag || memchr::memchr(b'=', value).is_some();
    let quoted = |quote| attribute && memchr::memchr(quote, value).is_some() && runs_script(value, Start::Quoted(quote));
    (tag && runs_script(value, Start::Text))
        || (attribute && runs_script(value, Start::Attributes))
        || [b'\'', b'"', b'`'].into_iter().any(quoted)
}

/// What an attribute's name says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Harmless,
    /// Whatever its value is.
    Script,
    Url,
    /// Its value names another attribute.
    Indirect,
}

fn runs_script(value: &[u8], start: Start) -> bool {
    let mut html = Html::new(value, start);
    let mut attribute = Attribute::Harmless;
    while let Some(token) = html.next() {
        let named = std::mem::replace(&mut attribute, Attribute::Harmless);
        let found = match token {
            Token::Doctype(_) => true,
            Token::TagOpen(name) => is_script_tag(name),
            Token::AttributeName(name) => {
                attribute = classify(name);
                false
            }
            Token::AttributeValue(text) => match named {
                Attribute::Harmless => false,
                Attribute::Script => true,
                Attribute::Url => is_script_url(text),
                Attribute::Indirect => classify(text) != Attribute::Harmless,
            },
            Token::Comment(text) => is_script_comment(text),
            Token::Text(_) | Token::TagOpenEnd(_) | Token::SelfClosing(_) | Token::EndTag(_) => false,
        };
        if found {
            return true;
        }
    }
    false
}

const TAGS: &[&[u8]] = &[
    b"APPLET",
    b"BASE",
    b"COMMENT",
    b"EMBED",
    b"FRAME",
    b"FRAMESET",
    b"HANDLER",
    b"IFRAME",
    b"IMPORT",
    b"ISINDEX",
    b"LINK",
    b"LISTENER",
    b"META",
    b"NOSCRIPT",
    b"OBJECT",
    b"SCRIPT",
    b"STYLE",
    b"VMLFRAME",
    b"XML",
    b"XSS",
];

fn is_script_tag(name: &[u8]) -> bool {
    if name.len() < 3 {
        return false;
    }
    let begins = |word: &[u8]| name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(word));
    TAGS.iter().any(|tag| equals_past_zeros(name, tag)) || begins(b"svg") || begins(b"xsl")
}

const ATTRIBUTES: &[(&[u8], Attribute)] = &[
    (b"ACTION", Attribute::Url),
    (b"ATTRIBUTENAME", Attribute::Indirect),
    (b"BY", Attribute::Url),
    (b"BACKGROUND", Attribute::Url),
    (b"DATAFORMATAS", Attribute::Script),
    (b"DATASRC", Attribute::Script),
    (b"DYNSRC", Attribute::Url),
    (b"FILTER", Attribute::Script),
    (b"FORMACTION", Attribute::Url),
    (b"FOLDER", Attribute::Url),
    (b"FROM", Attribute::Url),
    (b"HANDLER", Attribute::Url),
    (b"HREF", Attribute::Url),
    (b"LOWSRC", Attribute::Url),
    (b"POSTER", Attribute::Url),
    (b"SRC", Attribute::Url),
    (b"STYLE", Attribute::Script),
    (b"TO", Attribute::Url),
    (b"VALUES", Attribute::Url),
    (b"XLINK:HREF", Attribute::Url),
];

fn classify(name: &[u8]) -> Attribute {
    if name.len() >= 5 {
        let event = name.split_at_checked(2).filter(|(on, _)| on.eq_ignore_ascii_case(b"on")).map(|(_, event)| event);
        if event.is_some_and(begins_with_event) || begins_past_zeros(name, b"XMLNS") || begins_past_zeros(name, b"XLINK") {
            return Attribute::Script;
        }
    }
    let known = ATTRIBUTES.iter().find(|(word, _)| name.len() > 1 && equals_past_zeros(name, word));
    known.map_or(Attribute::Harmless, |(_, attribute)| *attribute)
}

/// The events of the table by their first letter.
static EVENTS: LazyLock<[Vec<&'static [u8]>; 26]> = LazyLock::new(|| {
    let mut events: [Vec<&'static [u8]>; 26] = Default::default();
    for event in include_str!("events.txt").lines().map(str::as_bytes) {
        if let Some(list) = letter(event).and_then(|letter| events.get_mut(letter)) {
            list.push(event);
        }
    }
    events
});

fn letter(name: &[u8]) -> Option<usize> {
    name.first().filter(|byte| byte.is_ascii_alphabetic()).map(|byte| usize::from(byte.to_ascii_uppercase() - b'A'))
}

fn begins_with_event(name: &[u8]) -> bool {
    // A zero before the letter is one of the bytes that count, so that the word cannot be whole.
    let events = letter(name).and_then(|letter| EVENTS.get(letter));
    events.is_some_and(|events| events.iter().any(|event| begins_past_zeros(name, event)))
}

/// The first bytes, as many as the word has, are the word once zeros are left out.
fn begins_past_zeros(name: &[u8], word: &[u8]) -> bool {
    name.get(..word.len()).is_some_and(|start| equals_past_zeros(start, word))
}

fn equals_past_zeros(name: &[u8], word: &[u8]) -> bool {
    // Zeros make it longer, never shorter, so that most words fall out here.
    name.len() >= word.len() && name.iter().filter(|byte| **byte != 0).map(u8::to_ascii_uppercase).eq(word.iter().copied())
}

fn is_script_url(url: &[u8]) -> bool {
    let blank = |byte: &&u8| !matches!(byte, 33..=126);
    let url = url.get(url.iter().take_while(blank).count()..).unwrap_or_default();
    [&b"DATA"[..], b"VIEW-SOURCE", b"JAVA", b"VBSCRIPT"].iter().any(|scheme| begins_decoded(url, scheme))
}

/// Whether the URL begins with the scheme once references are decoded and blanks and zeros left out.
fn begins_decoded(mut url: &[u8], scheme: &[u8]) -> bool {
    let mut wanted = scheme.iter();
    let mut next = wanted.next();
    let mut started = false;
    while let (Some(byte), false) = (next, url.is_empty()) {
        let (character, length) = decode(url);
        url = url.get(length..).unwrap_or_default();
        started |= character > 32;
        if !started || character == 0 || character == 10 {
            continue;
        }
        // Only the low byte of a character is looked at, as in libinjection.
        let upper = if (97..=122).contains(&character) { character - 32 } else { character };
        if upper as u8 != *byte {
            return false;
        }
        next = wanted.next();
    }
    next.is_none()
}

/// Past this no character is read.
const CHARACTER_MAX: u32 = 0x10_00FF;

/// The first character and how long it is, numeric references decoded.
fn decode(text: &[u8]) -> (u32, usize) {
    let ampersand = (u32::from(b'&'), 1);
    let (radix, skip) = match text {
        [b'&', b'#', b'x' | b'X', ..] => (16, 3),
        [b'&', b'#', ..] => (10, 2),
        [byte, ..] => return (u32::from(*byte), 1),
        [] => return (0, 1),
    };
    let mut character = 0;
    let mut length = skip;
    for byte in text.iter().skip(skip) {
        let Some(digit) = char::from(*byte).to_digit(radix) else {
            length += usize::from(*byte == b';' && length > skip);
            break;
        };
        character = character * radix + digit;
        if character > CHARACTER_MAX {
            return ampersand;
        }
        length += 1;
    }
    if length == skip { ampersand } else { (character, length) }
}

/// Old browsers: a backtick ends a tag, conditional comments hold tags, `<?import` and entities reach further.
fn is_script_comment(text: &[u8]) -> bool {
    let begins = |word: &[u8]| text.len() > 3 && text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    memchr::memchr(b'`', text).is_some()
        || begins(b"[if")
        || begins(b"xml")
        || begins_past_zeros(text, b"IMPORT")
        || begins_past_zeros(text, b"ENTITY")
}
