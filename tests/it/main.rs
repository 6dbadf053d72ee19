//! The one integration test binary. Each module says in its first line what belongs there.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod backend;
mod certificates;
mod deeper_upstream;
mod floors;
mod tls;
mod tools;
mod check;
mod floors;
mod floors;
mod policy;
mod upstream;
mod wire;
