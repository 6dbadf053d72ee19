//! Tests of the engine as a whole: loading rules, evaluating them, and the shape of the crate.

mod crs;
mod diagnostics;
mod evaluation;
mod example;
mod floors;
mod manual;
mod parser;
mod strangers;
mod support;
