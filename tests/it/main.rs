//! The one integration test binary. Each module says in its first line what belongs there.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]

mod apache;
mod auth_apache;
mod auth_cli;
mod backend;
mod certificates;
mod check;
mod deep;
mod deeper_upstream;
mod floors;
mod gateway;
mod policy;
mod tls;
mod tools;
mod tricks;
mod upstream;
mod walk;
mod wire;
