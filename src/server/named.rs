//! The files that a policy with mistakes of its own names: read all the same, so that one `check` shows everything.

use crate::diagnostic::Diagnostic;
use crate::identity::{groups, htpasswd};
use crate::layers::error_mask::page_mistake;
use crate::layers::inspection::check_rules;
use crate::policy::file::Named;
use crate::tls::client::authorities_mistake;
use crate::tls::load::load;

/// What is wrong with the content of these files, at `now` (seconds since the Unix epoch).
pub(super) fn check(named: &[Named], now: i64) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for file in named {
        let these = match file {
            Named::Users { path, dangerously_allow_des } => htpasswd::load(path, *dangerously_allow_des).map_or_else(|d| d, |(_, d)| d),
            Named::Groups { path } => groups::load(path, None).map_or_else(|d| d, |(_, d)| d),
            Named::Certificate { files, names } => load(files, names, now).1,
            Named::Rules(source) => check_rules(source),
            Named::Authorities { path } => authorities_mistake(path).into_iter().collect(),
            Named::Pages { path } => page_mistake(path).into_iter().collect(),
        };
        found.extend(these.into_iter().filter(|d| !found.contains(d)).collect::<Vec<_>>());
    }
    found
}
