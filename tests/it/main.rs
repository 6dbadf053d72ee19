//! The one integration test binary. Each module says in its first line what belongs there.

#![allow(clippy::unwrap_used, reason = "tests")]

mod backend;
mod check;
mod floors;
mod policy;
mod upstream;
mod wire;
