//! Fuzz target: no host and path make the door panic, and the map it finds lies on a path it names. A line feed ends the host.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::layers::door::Door;
use portcullis::policy::file::{Files, State};
use std::path::Path;
use std::sync::LazyLock;

/// A disk on which every file stands empty.
struct Empty;

impl Files for Empty {
    fn state(&self, _: &Path) -> State {
        State::File
    }

    fn read(&self, _: &Path, _: u64) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn readable_by_others(&self, _: &Path) -> bool {
        false
    }
}

const POLICY: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n[audit]\ndirectory = \"audit\"\n[inspection]\nmode = \"off\"\n\
    [[backend]]\nname = \"one\"\nmembers = [\"http://127.0.0.1:1\"]\n[[site]]\nnames = [\"a.example\", \"b\"]\nrequire = [\"all granted\"]\n\
    [[site.map]]\npath = \"/shop\"\nto = \"one/x\"\nexclude = [\"/shop/admin\"]\nhttps = \"either\"\n\
    [[site.map]]\npath = \"/shop/open\"\nto = \"one\"\nhttps = \"either\"\n";

static DOOR: LazyLock<Option<Door>> = LazyLock::new(|| {
    let (policy, _) = portcullis::policy::file::parse(Path::new("gateway.toml"), POLICY, &Empty).ok()?;
    Some(Door::new(&policy))
});

fuzz_target!(|text: &str| {
    let door = DOOR.as_ref().expect("the policy of this target loads");
    let (host, path) = text.split_once('\n').unwrap_or(("a.example", text));
    if let Some(map) = door.lookup(host, path) {
        assert!(format!("{map:?}").contains("/shop"), "{path:?} led to {map:?}");
    }
});
