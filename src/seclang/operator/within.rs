//! `@within`: the value is somewhere in the text.

use std::cell::RefCell;

use memchr::memmem;

/// True where the value stands somewhere in the argument (macros expanded), the reverse of `@contains`; an
/// empty value always does.
///
/// `SecRule REQUEST_METHOD "!@within GET,POST,HEAD" "id:1,phase:1,deny"`
///
/// Manual: Operators, within.
pub(super) fn matches(value: &[u8], argument: &[u8]) -> bool {
    value.is_empty() || may_have(value, argument) && memmem::find(argument, value).is_some()
}

/// Arguments whose pieces a thread remembers.
const SLOTS: usize = 8;

/// Shortest argument for which that is worth it, and the longest that is remembered, in bytes.
const ARGUMENT_BYTES: std::ops::RangeInclusive<usize> = 32..=4096;

/// Bits for the pieces of an argument.
const BITS: usize = 4096;

thread_local! {
    static PIECES: RefCell<[Pieces; SLOTS]> = const { RefCell::new([const { Pieces { argument: Vec::new(), bits: Vec::new() } }; SLOTS]) };
}

/// Which pieces of four bytes an argument has.
struct Pieces {
    argument: Vec<u8>,
    bits: Vec<u64>,
}

/// Whether the argument may have the value, told by the value's first and last four bytes: rules ask one long list for each of many
/// values, few of which are in it.
fn may_have(value: &[u8], argument: &[u8]) -> bool {
    let (Some(first), Some(last)) = (value.first_chunk::<4>(), value.last_chunk::<4>()) else { return true };
    if value.len() > argument.len() {
        return false;
    }
    if !ARGUMENT_BYTES.contains(&argument.len()) {
        return true;
    }
    PIECES.with_borrow_mut(|slots| {
        let start = argument.first_chunk::<8>().map_or(0, |start| u64::from_le_bytes(*start));
        let at = (start.wrapping_add(argument.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61) as usize % SLOTS;
        let Some(slot) = slots.get_mut(at) else { return true };
        if slot.argument != argument {
            slot.argument.clear();
            slot.argument.extend_from_slice(argument);
            slot.bits.clear();
            slot.bits.resize(BITS / 64, 0);
            for piece in argument.windows(4).filter_map(<[u8]>::first_chunk) {
                let bit = bit(piece);
                if let Some(word) = slot.bits.get_mut(bit / 64) {
                    *word |= 1 << (bit % 64);
                }
            }
        }
        let has = |piece: &[u8; 4]| {
            let bit = bit(piece);
            slot.bits.get(bit / 64).is_none_or(|word| word >> (bit % 64) & 1 == 1)
        };
        has(first) && has(last)
    })
}

fn bit(piece: &[u8; 4]) -> usize {
    (u32::from_le_bytes(*piece).wrapping_mul(0x9E37_79B1) >> 20) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_value_is_within_what_it_is_a_piece_of(argument in "[a-c/ ]{0,80}", other in "[a-d/]{0,6}", from in 0..80_usize, length in 0..80_usize) {
            let from = from.min(argument.len());
            let piece = &argument[from..(from + length).min(argument.len())];
            assert!(matches(piece.as_bytes(), argument.as_bytes()));
            assert_eq!(matches(other.as_bytes(), argument.as_bytes()), argument.contains(&other));
        }
    }
}
