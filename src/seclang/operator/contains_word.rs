//! `@containsWord`: the text is in the value as a word of its own.

use memchr::memmem;

/// True where the argument (macros expanded) stands in the value with neither a letter, a digit nor an
/// underscore on either side; an empty one always does.
///
/// `SecRule ARGS "@containsWord select" "id:1,phase:2,deny"`
///
/// Manual: Operators, containsWord.
pub(super) fn matches(value: &[u8], argument: &[u8]) -> bool {
    if argument.is_empty() {
        return true;
    }
    let Some(first) = memmem::find(value, argument) else { return false };
    // Occurrences may overlap, so the rest goes by Knuth, Morris and Pratt: one pass, whatever the two are.
    let borders = borders(argument);
    let mut matched = 0;
    for (at, &byte) in value.iter().enumerate().skip(first) {
        while matched > 0 && argument.get(matched) != Some(&byte) {
            matched = border(&borders, matched);
        }
        if argument.get(matched) == Some(&byte) {
            matched += 1;
        }
        if matched == argument.len() {
            let before = (at + 1).checked_sub(matched + 1).and_then(|index| value.get(index));
            if !before.is_some_and(is_word) && !value.get(at + 1).is_some_and(is_word) {
                return true;
            }
            matched = border(&borders, matched);
        }
    }
    false
}

/// For every prefix the length of its longest border: a proper prefix that is also its suffix.
fn borders(text: &[u8]) -> Vec<usize> {
    let mut borders = Vec::with_capacity(text.len());
    let mut length = 0;
    for (index, byte) in text.iter().enumerate() {
        while length > 0 && text.get(length) != Some(byte) {
            length = border(&borders, length);
        }
        if index > 0 && text.get(length) == Some(byte) {
            length += 1;
        }
        borders.push(length);
    }
    borders
}

fn border(borders: &[usize], length: usize) -> usize {
    length.checked_sub(1).and_then(|index| borders.get(index)).copied().unwrap_or(0)
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}
