//! Finding records in the trail: questions, their answers, and the index that makes them fast.
//!
//! A [`Question`] says which records are meant; a [`Snapshot`] of the [`Library`] answers with the newest of them, the commonest
//! values, counts over time or groups of one cause. What the index does not have yet is read from the files, by the same rules.

mod block;
mod build;
mod cause;
mod counts;
mod facts;
mod index;
mod library;
mod question;
mod segment;
mod tally;
mod template;

pub use build::{Report, Work, update};
pub use cause::Cause;
pub use facts::{Facts, Field};
pub use index::{beside, forget};
pub use library::{ANSWERS_MAX, Answer, Group, Library, SPANS_MAX, Snapshot, Timeline, Top};
pub use question::{Asked, Question};

#[cfg(test)]
mod tests;
