//! Who a person is: password files, group files, password hashes, failed logins. Pure: no policy, no runtime.

pub mod apr1;
pub mod backoff;
pub mod edit;
pub mod groups;
pub mod hash;
pub mod htpasswd;
mod lines;
pub mod password;

pub use backoff::Backoff;
pub use groups::Groups;
pub use hash::{Hash, Scheme};
pub use htpasswd::{User, Users};
