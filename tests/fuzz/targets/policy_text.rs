//! Fuzz target: no text of a policy makes its reader panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::policy::file::{Files, State};
use std::path::Path;

/// A disk on which nothing stands.
struct Nothing;

impl Files for Nothing {
    fn state(&self, _: &Path) -> State {
        State::Missing
    }

    fn read(&self, _: &Path, _: u64) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn readable_by_others(&self, _: &Path) -> bool {
        false
    }
}

fuzz_target!(|text: &str| {
    let _ = portcullis::policy::parse(Path::new("gateway.toml"), text, &Nothing);
});
