//! The Core Rule Set's own regression suite, all of it: in process, and over real sockets through the running binary.
//!
//! The rules and tests are looked for in `PORTCULLIS_CRS`, else in `../shared/crs`.

use crate::program::{Program, free_address, portcullis};
use portcullis::rehearse::backend;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// All tests of the version the project is measured by.
const TESTS: u64 = 5_082;
/// Those of them that are decided otherwise here: `tests/crs/overrides.yaml` has the reasons.
const STRICTER: u64 = 3;

/// The folder with the Core Rule Set and its tests, or none; the reason is printed.
pub(crate) fn crs() -> Option<PathBuf> {
    let folder = std::env::var_os("PORTCULLIS_CRS").map_or_else(|| Path::new(ROOT).join("../shared/crs"), PathBuf::from);
    if folder.join("rules").is_dir() {
        return Some(std::path::absolute(folder).unwrap());
    }
    println!("skipped: no rules in {}; set PORTCULLIS_CRS to a checkout of the Core Rule Set", folder.display());
    None
}

/// Whether deeper tests run here.
pub(crate) fn deep() -> bool {
    let deep = std::env::var_os("PORTCULLIS_DEEP").is_some_and(|v| v == "1");
    if !deep {
        println!("skipped: PORTCULLIS_DEEP is not 1");
    }
    deep
}

#[test]
fn every_test_of_the_core_rule_set_is_as_expected_in_process() {
    let Some(crs) = crs() else { return };
    all_as_expected(&["--crs", crs.to_str().unwrap()]);
}

/// Runs the suite: every test counts, none fails, three are stricter by decision.
fn all_as_expected(arguments: &[&str]) {
    let ended = portcullis(Path::new(ROOT), &[&["--format", "json", "test"], arguments].concat(), "");
    let result: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {}", ended.stderr));
    let of = |wanted: &str| result["tests"].as_array().unwrap().iter().filter(|t| t["result"] == wanted).cloned().collect::<Vec<_>>();
    let failed = of("failed");
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!((result["run"].as_u64(), result["stricter"].as_u64()), (Some(TESTS), Some(STRICTER)), "{:#?}", of("stricter"));
    println!("{} passed, {} failed, {} stricter by decision", result["passed"], result["failed"], result["stricter"]);
}

#[test]
fn deep_every_test_of_the_core_rule_set_is_as_expected_over_real_sockets() {
    let Some(crs) = crs().filter(|_| deep()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (address, backend) = (free_address(), backend::start().unwrap());
    let policy = format!(
        "[[listener]]\naddress = \"{address}\"\ntls = false\n[audit]\ndirectory = \"audit\"\nstate_directory = \"state\"\n\
         dangerously_record_parameters = [\"session\"]\n\
         flood_records_per_second = \"unlimited\"\n[inspection]\nmode = \"detect\"\nrules = [\"crs\"]\ncrs_directory = {crs:?}\nparanoia_level = 4\n\
         variables = {{ arg_length = 400, arg_name_length = 100, total_arg_length = 6400, max_num_args = 255, max_file_size = 64100, \
         combined_file_sizes = 65535 }}\n[[backend]]\nname = \"scripted\"\nmembers = [\"http://{backend}\"]\n[[site]]\nnames = [\"*\"]\n\
         require = [\"all granted\"]\nhttps = \"either\"\n[[site.map]]\npath = \"/\"\nto = \"scripted/\"\n"
    );
    fs::write(folder.path().join("gateway.toml"), policy).unwrap();
    let gateway = Program::start(folder.path(), &["run", "-c", "gateway.toml"]);
    // Compiling all rules takes a debug build some seconds, and a loaded machine more.
    let deadline = Instant::now() + Duration::from_secs(120);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "the gateway does not answer: {}", gateway.stderr());
        std::thread::sleep(Duration::from_millis(100));
    }
    let url = format!("http://{address}");
    let audit = folder.path().join("audit");
    all_as_expected(&["--crs", crs.to_str().unwrap(), "--live", &url, "--audit", audit.to_str().unwrap()]);
}
