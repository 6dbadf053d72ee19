//! The one integration test binary. Each module says in its first line what belongs there.

mod backend;
mod floors;
mod upstream;
mod wire;
