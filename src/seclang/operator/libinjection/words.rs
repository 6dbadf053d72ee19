//! The two tables of SQL: words with their kinds, and the shapes that injected SQL has.

use std::sync::LazyLock;

use super::token::{Kind, TEXT_BYTES_MAX};

/// Slots of the hash table: four for each word, so that most other words end at the first look.
const SLOTS: usize = 4096;

/// Words by their hash: slots hold the number of a word plus one, 0 is empty.
struct Words {
    slots: Vec<u16>,
    words: Vec<(Padded, u8, Kind)>,
}

/// A word in upper case, filled up with zeros.
type Padded = [u8; 32];

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut table = Words { slots: vec![0; SLOTS], words: Vec::new() };
    for line in entries(include_str!("words.txt")) {
        let [letter, b' ', word @ ..] = line.as_bytes() else { continue };
        let (Some(kind), Some(padded)) = (Kind::from_letter(*letter), padded(word)) else { continue };
        let mut slot = hash(&padded);
        while table.slots.get(slot).is_some_and(|taken| *taken != 0) {
            slot = (slot + 1) % SLOTS;
        }
        table.words.push((padded, word.len() as u8, kind));
        if let Some(free) = table.slots.get_mut(slot) {
            *free = table.words.len() as u16;
        }
    }
    table
});

/// Shapes as numbers, sorted, and where those begin that start with the same two kinds.
struct Shapes {
    starts: Vec<u16>,
    shapes: Vec<u32>,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let mut shapes: Vec<u32> = entries(include_str!("shapes.txt")).map(|shape| number(shape.as_bytes())).collect();
    shapes.sort_unstable();
    let first = |prefix: u32| shapes.partition_point(|shape| shape >> 15 < prefix) as u16;
    Shapes { starts: (0..=1024).map(first).collect(), shapes }
});

fn entries(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

/// The kind of a word or phrase, in any case of letters.
pub(super) fn kind_of(word: &[u8]) -> Option<Kind> {
    let padded = padded(word)?;
    let table = &*WORDS;
    let mut slot = hash(&padded);
    loop {
        let taken = table.slots.get(slot).copied().filter(|taken| *taken != 0)?;
        let (other, length, kind) = table.words.get(usize::from(taken) - 1)?;
        if *other == padded && usize::from(*length) == word.len() {
            return Some(*kind);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Whether tokens of these kinds in this order are injected SQL. The table knows no case of letters.
pub(super) fn is_injected(shape: &[u8]) -> bool {
    let (table, shape) = (&*SHAPES, number(shape));
    let prefix = (shape >> 15) as usize;
    let (Some(from), Some(to)) = (table.starts.get(prefix), table.starts.get(prefix + 1)) else { return false };
    table.shapes.get(usize::from(*from)..usize::from(*to)).is_some_and(|same| same.binary_search(&shape).is_ok())
}

fn padded(word: &[u8]) -> Option<Padded> {
    if word.is_empty() || word.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut padded = [0; 32];
    for (slot, byte) in padded.iter_mut().zip(word) {
        *slot = byte.to_ascii_uppercase();
    }
    Some(padded)
}

fn hash(padded: &Padded) -> usize {
    let mut hash = 0_u64;
    let (words, _) = padded.as_chunks::<8>();
    for word in words.iter().take_while(|word| word.first() != Some(&0)) {
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    (hash >> 52) as usize % SLOTS
}

/// Five bits a kind, the first on top; `t` and `T` are one.
fn number(shape: &[u8]) -> u32 {
    const LETTERS: [u8; 256] = {
        let mut letters = [31_u8; 256];
        let known = b"KUBETFN1VSO&CA(){}.,:;?X\\";
        let mut at = 0;
        while at < known.len() {
            letters[known[at] as usize] = at as u8 + 1;
            letters[known[at].to_ascii_lowercase() as usize] = at as u8 + 1;
            at += 1;
        }
        letters
    };
    let digit = |at: usize| shape.get(at).map_or(0, |letter| u32::from(LETTERS.get(usize::from(*letter)).copied().unwrap_or(31)));
    (0..5).fold(0, |number, at| number << 5 | digit(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_and_shape_of_the_tables_is_found() {
        for line in entries(include_str!("words.txt")) {
            let (letter, word) = line.split_once(' ').expect("kind and word");
            let kind = Kind::from_letter(letter.as_bytes()[0]).expect("a kind");
            assert_eq!(kind_of(word.to_ascii_lowercase().as_bytes()), Some(kind), "{word}");
        }
        assert!(entries(include_str!("shapes.txt")).all(|shape| is_injected(shape.as_bytes())));
        assert_eq!((WORDS.words.len(), SHAPES.shapes.len()), (985, 8_367));
        assert!(kind_of(b"SELEC").is_none() && !is_injected(b"nnnnn") && !is_injected(b""));
    }
}
