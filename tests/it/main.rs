//! The one integration test binary. Each module says in its first line what belongs there.

mod apache;
mod auth_apache;
mod backend;
mod check;
mod floors;
mod upstream;
mod wire;
