//! The prefilter: one pass over a value says which of many operators can match it at all.
//!
//! From each operator a [`Requirement`] is derived: clauses that hold for every value it matches, each a set of texts and bytes of
//! which one must be there. The [`Scanner`] looks for all of them at once. It may name an operator that does not match, never
//! leave out one that does; a property test holds both against each other.

mod bytes;
mod hir;
mod inert;
mod requirement;
mod scanner;
mod weight;

#[cfg(test)]
mod tests;

pub(crate) use bytes::ByteSet;
pub(crate) use inert::triggers;
pub(crate) use requirement::Requirement;
pub(crate) use scanner::{Marks, Scanner};
