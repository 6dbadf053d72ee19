//! libinjection's method: a value is cut into the tokens of SQL or HTML it would become, and their shape decides.
//!
//! The tables (`words.txt`, `shapes.txt`, `events.txt`) are libinjection's data, under its licence in `LICENSE`; the code is our
//! own and gives the same verdicts, which its published tests and a differential test hold. Every pass is linear in the value.

mod fold;
mod html;
mod lexer;
#[cfg(test)]
mod published;
mod sqli;
mod strings;
mod token;
mod words;
mod xss;

pub(super) use sqli::sqli;
pub(super) use xss::xss;
