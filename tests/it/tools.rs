//! Other people's programs that the deeper tests use.

use std::path::PathBuf;

/// Where a program is. Without it a test says so and ends; under CI, where everything is installed, that is a failure.
#[allow(clippy::print_stdout, reason = "a skipped test must say so")]
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not installed");
        println!("skipped: {name} is not installed");
    }
    found
}
