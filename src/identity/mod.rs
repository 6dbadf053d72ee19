//! Who a person is: password files, group files, password hashes, failed logins, people who ask for an account. No policy, no runtime.

pub mod apr1;
pub mod backoff;
pub mod edit;
pub mod groups;
pub mod hash;
pub mod htpasswd;
mod lines;
pub mod name;
pub mod password;
pub mod replace;
pub mod requests;

pub use backoff::{Allowances, Backoff};
pub use groups::Groups;
pub use hash::{Hash, Scheme};
pub use htpasswd::{User, Users};
