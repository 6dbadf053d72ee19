//! The one integration test binary. Each module says in its first line what belongs there.

mod backend;
mod certificates;
mod deeper_upstream;
mod floors;
mod tls;
mod tools;
mod upstream;
mod wire;
