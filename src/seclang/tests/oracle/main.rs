//! The matching plan against the plain evaluator: on every request both must decide, record, score and leave behind the same.

mod arbitrary;
mod corpus;
mod heads;
mod levels;
mod rules;
mod same;
mod traffic;
