//! How often bytes and texts come in ordinary values: what decides which clauses are worth looking for.

use super::requirement::Clause;

/// The chance that an ordinary value holds the byte, in percent: names and values of forms, JSON, cookies and headers.
const fn percent(byte: u8) -> f64 {
    match byte {
        b'a' | b'e' | b'i' | b'n' | b'o' | b'r' | b's' | b't' => 55.0,
        b'c' | b'd' | b'l' | b'm' | b'p' | b'u' | b'g' | b'h' => 35.0,
        b'b' | b'f' | b'k' | b'v' | b'w' | b'y' => 18.0,
        b'x' | b'j' | b'z' | b'q' => 6.0,
        b'A'..=b'Z' => 9.0,
        b'0'..=b'9' => 25.0,
        b' ' | b'.' => 30.0,
        b'-' => 25.0,
        b'/' | b',' | b'_' => 15.0,
        b':' => 12.0,
        b';' | b'=' | b'(' | b')' => 7.0,
        b'"' | b'\'' | b'&' | b'+' | b'*' => 4.0,
        b'%' | b'@' | b'?' | b'\n' | b'\r' | b'!' => 2.5,
        b'#' | b'[' | b']' | b'{' | b'}' | b'|' | b'\t' => 1.5,
        b'<' | b'>' | b'$' | b'\\' | b'`' | b'~' | b'^' => 0.7,
        0x80..=0xFF => 0.4,
        _ => 0.2,
    }
}

/// The rarest clauses of those that fewer ordinary values fulfil than `below`, the rarest first, none twice.
pub(super) fn by_chance<C: AsRef<Clause>>(clauses: Vec<C>, below: f64, most: usize) -> Vec<C> {
    let weighed = clauses.into_iter().map(|clause| (chance(clause.as_ref()), clause));
    let mut weighed: Vec<(f64, C)> = weighed.filter(|(chance, _)| *chance < below).collect();
    weighed.sort_by(|a, b| a.0.total_cmp(&b.0));
    weighed.dedup_by(|a, b| a.0 == b.0 && a.1.as_ref() == b.1.as_ref());
    weighed.truncate(most);
    weighed.into_iter().map(|(_, clause)| clause).collect()
}

/// The chance that a value holds one of the clause's texts or bytes, from 0 to 1.
fn chance(clause: &Clause) -> f64 {
    let bytes: f64 = clause.bytes.iter().map(|byte| percent(byte) / 100.0).sum();
    let literals: f64 = clause.literals.iter().map(|text| literal(text)).sum();
    (bytes + literals).min(1.0)
}

/// Three letters that come often in ordinary words.
const COMMON: &[&[u8; 3]] = &[
    b"all", b"and", b"ate", b"ati", b"com", b"con", b"der", b"del", b"ent", b"ers", b"est", b"eve", b"for", b"hat", b"her", b"htt", b"ing",
    b"int", b"ion", b"jso", b"mag", b"men", b"mod", b"mpl", b"nam", b"not", b"old", b"oll", b"ool", b"ort", b"oun", b"per", b"pro", b"qua",
    b"res", b"son", b"sta", b"ter", b"tex", b"the", b"thi", b"tic", b"tio", b"ton", b"uni", b"use", b"ver", b"www", b"you", b"://", b"mer",
    b"cha", b"ect", b"ess",
];

/// The chance that a value holds three bytes: of letters some follow each other far more often than by chance.
pub(super) fn three(text: &[u8]) -> f64 {
    if COMMON.iter().any(|common| common.as_slice() == text) { 0.5 + literal(text) } else { literal(text) }
}

/// The chance that a value holds a text, letters in any case: a value has some twenty places where it may begin.
fn literal(text: &[u8]) -> f64 {
    // A letter counts in both cases.
    let place = |byte: &u8| (percent(*byte) + if byte.is_ascii_lowercase() { 9.0 } else { 0.0 }) / 700.0;
    20.0 * text.iter().map(place).product::<f64>()
}
