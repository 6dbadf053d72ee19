//! Code page 20127: the ASCII letter nearest to a character, as Windows servers find it for `%uHHHH`.

use std::sync::LazyLock;

/// Characters and their letters, in hexadecimal, in the order of the characters.
static LETTERS: LazyLock<Vec<(u16, u8)>> = LazyLock::new(|| {
    let pair = |text: &str| {
        let (character, letter) = text.split_once(':')?;
        Some((u16::from_str_radix(character, 16).ok()?, u8::from_str_radix(letter, 16).ok()?))
    };
    include_str!("code_page_20127.txt").split_whitespace().filter_map(pair).collect()
});

/// The letter nearest to a character, where the code page has one.
pub(super) fn nearest(character: u16) -> Option<u8> {
    let found = LETTERS.binary_search_by_key(&character, |pair| pair.0).ok()?;
    LETTERS.get(found).map(|pair| pair.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_complete() {
        assert!(LETTERS.is_sorted() && LETTERS.len() == 370, "{}", LETTERS.len());
        assert_eq!([nearest(0xE9), nearest(0x131), nearest(0xFF1C), nearest(0x41)], [Some(b'e'), Some(b'i'), Some(b'<'), None]);
    }
}
