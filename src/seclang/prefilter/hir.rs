//! From a pattern to what every match of it holds.

use std::collections::{BTreeSet, HashMap, HashSet};

use regex_syntax::hir::{Class, Hir, HirKind};

use super::ByteSet;
use super::requirement::{Clause, Requirement};
use super::weight::by_chance;

/// Most texts of a part of a pattern that are listed one by one.
const TEXTS_MAX: usize = 512;

/// Most texts of a clause: long lists of words are worth it, lists of thousands are not.
const CLAUSE_TEXTS_MAX: usize = 1_500;

/// Longest of these texts, in bytes: what is longer tells nothing more.
const TEXT_BYTES_MAX: usize = 24;

/// Most bytes of a class that is taken apart into texts.
const CLASS_TEXTS_MAX: usize = 12;

/// A text that goes on in so many ways stands for all of them.
const WAYS_MAX: usize = 6;

/// A class with more bytes than this says nothing.
const CLASS_BYTES_MAX: u32 = 220;

/// Clauses kept of a part of a pattern.
const CLAUSES_MAX: usize = 6;

/// What a pattern, in the syntax of the regex crate, requires; none where nothing is known.
pub(super) fn requirement(pattern: &str) -> Option<Requirement> {
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).dot_matches_new_line(true).build();
    let hir = parser.parse(pattern).ok()?;
    let clauses: Vec<Clause> = part(&hir).into_clauses().into_iter().map(shorter).collect();
    let shortest = hir.properties().minimum_len().unwrap_or(0);
    (shortest > 0 || !clauses.is_empty()).then_some(Requirement { clauses, shortest, longest: usize::MAX })
}

/// What is known of a part of a pattern.
#[derive(Clone)]
struct Part {
    /// All the texts that it matches, in lower case, where these are few.
    texts: Option<Vec<Vec<u8>>>,
    /// Where they are many: what all of them hold.
    clauses: Vec<Clause>,
}

impl Part {
    fn texts(texts: Vec<Vec<u8>>) -> Self {
        Part { texts: Some(texts), clauses: Vec::new() }
    }

    fn clauses(mut clauses: Vec<Clause>) -> Self {
        clauses.retain(|clause| clause.literals.len() <= CLAUSE_TEXTS_MAX);
        clauses = by_chance(clauses, 1.0, CLAUSES_MAX);
        Part { texts: None, clauses }
    }

    fn into_clauses(self) -> Vec<Clause> {
        match self.texts {
            Some(texts) => Part::clauses(Clause::any(collapsed(texts)).into_iter().collect()).clauses,
            None => self.clauses,
        }
    }
}

/// Where a text goes on in many ways, the text alone: a word with one of twelve blanks and signs behind it is not twelve texts.
fn collapsed(mut texts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for _ in 0..3 {
        let mut ways = HashMap::<Vec<u8>, usize>::new();
        for text in &texts {
            *ways.entry(text.get(..text.len().saturating_sub(1)).unwrap_or_default().to_vec()).or_default() += 1;
        }
        for text in &mut texts {
            let stem = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
            if stem.len() >= 3 && ways.get(stem).is_some_and(|ways| *ways >= WAYS_MAX) {
                text.pop();
            }
        }
        texts.sort();
        texts.dedup();
    }
    texts
}

fn part(hir: &Hir) -> Part {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Part::texts(vec![Vec::new()]),
        HirKind::Literal(literal) if literal.0.len() <= TEXT_BYTES_MAX => Part::texts(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Literal(literal) => {
            Part::clauses(Clause::any([literal.0.get(..TEXT_BYTES_MAX).unwrap_or_default()]).into_iter().collect())
        }
        HirKind::Class(class) => of_class(class),
        HirKind::Capture(capture) => part(&capture.sub),
        HirKind::Repetition(repetition) => of_repetition(&repetition.sub, repetition.min, repetition.max),
        HirKind::Concat(subs) => concat(subs.iter().map(part)),
        HirKind::Alternation(subs) => alternation(subs.iter().map(part).collect()),
    }
}

fn of_class(class: &Class) -> Part {
    let Class::Bytes(class) = class else { return Part::clauses(Vec::new()) };
    let mut set = ByteSet::default();
    class.iter().flat_map(|range| range.start()..=range.end()).for_each(|byte| set.insert(byte));
    let mut texts: Vec<Vec<u8>> = set.iter().map(|byte| vec![byte.to_ascii_lowercase()]).collect();
    texts.sort();
    texts.dedup();
    if texts.len() <= CLASS_TEXTS_MAX {
        return Part::texts(texts);
    }
    let known = set.len() <= CLASS_BYTES_MAX;
    Part::clauses(known.then(|| Clause { literals: Vec::new(), bytes: set }).into_iter().collect())
}

fn of_repetition(sub: &Hir, min: u32, max: Option<u32>) -> Part {
    let once = part(sub);
    if min == 0 {
        return match (once.texts, max) {
            (Some(mut texts), Some(1)) => {
                texts.push(Vec::new());
                Part::texts(texts)
            }
            _ => Part::clauses(Vec::new()),
        };
    }
    // The first few by themselves, so that `a{3}` is the text `aaa`; what may follow makes it inexact.
    let copies = min.min(4);
    let known = concat(vec![once; copies as usize].into_iter());
    if max == Some(copies) { known } else { Part::clauses(known.into_clauses()) }
}

/// One part behind the other: texts are joined as long as they are few.
fn concat(parts: impl Iterator<Item = Part>) -> Part {
    let mut clauses = Vec::new();
    let mut exact = true;
    let mut joined = vec![Vec::new()];
    for one in parts {
        match one.texts {
            Some(texts) => match join(&joined, &texts) {
                Some(longer) => joined = longer,
                None => {
                    exact = false;
                    clauses.extend(Part::texts(std::mem::replace(&mut joined, texts)).into_clauses());
                }
            },
            None => {
                exact = false;
                clauses.extend(Part::texts(std::mem::replace(&mut joined, vec![Vec::new()])).into_clauses());
                clauses.extend(one.clauses);
            }
        }
    }
    if exact {
        return Part::texts(joined);
    }
    clauses.extend(Part::texts(joined).into_clauses());
    Part::clauses(clauses)
}

fn join(heads: &[Vec<u8>], tails: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let longest = |texts: &[Vec<u8>]| texts.iter().map(Vec::len).max().unwrap_or(0);
    if heads.len().saturating_mul(tails.len()) > TEXTS_MAX || longest(heads) + longest(tails) > TEXT_BYTES_MAX {
        return None;
    }
    let mut joined: Vec<Vec<u8>> = heads.iter().flat_map(|head| tails.iter().map(move |tail| [head.as_slice(), tail].concat())).collect();
    joined.sort();
    joined.dedup();
    Some(joined)
}

/// One of the parts: each must have a clause, and together they are one.
fn alternation(parts: Vec<Part>) -> Part {
    if parts.iter().all(|one| one.texts.is_some()) {
        let mut texts: Vec<Vec<u8>> = parts.iter().flat_map(|one| one.texts.iter().flatten().cloned()).collect();
        texts.sort();
        texts.dedup();
        if texts.len() <= TEXTS_MAX {
            return Part::texts(texts);
        }
    }
    let branches: Vec<Vec<Clause>> = parts.into_iter().map(Part::into_clauses).collect();
    let most = branches.iter().map(Vec::len).max().unwrap_or(0);
    let mut clauses = Vec::new();
    for rank in 0..most {
        let mut whole = Clause::default();
        for branch in &branches {
            // A branch with fewer clauses gives its best again; one without any leaves nothing to say.
            let Some(clause) = branch.get(rank).or(branch.first()) else { return Part::clauses(Vec::new()) };
            whole.literals.extend(clause.literals.iter().cloned());
            whole.bytes = whole.bytes.union(clause.bytes);
        }
        whole.literals.sort();
        whole.literals.dedup();
        clauses.push(whole);
    }
    Part::clauses(clauses)
}

/// Without the texts that hold another of them or one of the bytes: where they are, the other is.
fn shorter(clause: Clause) -> Clause {
    let mut literals = clause.literals;
    literals.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    literals.dedup();
    let byte_covers = |byte: &u8| clause.bytes.contains(*byte) && clause.bytes.contains(byte.to_ascii_uppercase());
    let mut kept = HashSet::<Vec<u8>>::new();
    let mut lengths = BTreeSet::new();
    for text in literals {
        let text_covers = |length: &usize| text.windows(*length).any(|part| kept.contains(part));
        if !text.iter().any(byte_covers) && !lengths.iter().any(text_covers) {
            lengths.insert(text.len());
            kept.insert(text);
        }
    }
    let mut literals: Vec<Vec<u8>> = kept.into_iter().collect();
    literals.sort();
    Clause { literals, bytes: clause.bytes }
}
