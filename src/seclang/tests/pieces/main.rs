//! The pieces on their own: transformations, operators and body parsers. Cases are files beside this
//! folder; adding one needs no Rust.

mod body;
mod cases;
mod condense;
mod libinjection;
mod operator;
mod transform;
