//! The one integration test binary. Each module says in its first line what belongs there.

mod backend;
mod deep;
mod floors;
mod gateway;
mod tricks;
mod walk;
mod wire;
