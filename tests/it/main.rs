//! The one integration test binary. Each module says in its first line what belongs there.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod backend;
mod deep;
mod floors;
mod gateway;
mod tricks;
mod walk;
mod certificates;
mod check;
mod deeper_upstream;
mod floors;
mod policy;
mod tls;
mod tools;
mod upstream;
mod wire;
