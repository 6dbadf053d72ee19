//! The one integration test binary. Each module says in its first line what belongs there.

mod check;
mod floors;
mod policy;
mod backend;
mod floors;
mod upstream;
mod wire;
