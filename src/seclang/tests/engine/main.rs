//! Tests of the engine as a whole: loading rules, evaluating them, and the shape of the crate.

mod crs;
mod support;
