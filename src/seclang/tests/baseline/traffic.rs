//! Ordinary traffic: what browsers sent while people worked in real applications passes the baseline.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seclang::{MemoryFiles, RuleSet};

use super::{ftw, rules, run};

/// The part of ordinary requests that may be refused at paranoia 1, per thousand.
const REFUSED_PER_THOUSAND_MAX: usize = 10;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/traffic");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "traffic"));
    paths.sort();
    paths
}

/// The requests of a file of the corpus; tests/traffic/README.md describes the form.
fn requests(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).expect("a readable file");
    let mut rest = bytes.strip_prefix(b"portcullis traffic 1\n").expect("the first line");
    let mut list = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').expect("a line");
        let line = std::str::from_utf8(&rest[..end]).expect("text");
        let length: usize = line.strip_prefix("=== ").and_then(|n| n.parse().ok()).expect("=== and a length");
        list.push(rest[end + 1..end + 1 + length].to_vec());
        rest = &rest[end + 1 + length + 1..];
    }
    list
}

/// Line, headers and body of a request as it was sent.
fn split(bytes: &[u8]) -> ftw::Request {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next().expect("a request line").to_owned();
    let headers = lines.map(|l| l.split_once(':').expect("a header")).map(|(n, v)| (n.to_owned(), v.trim().to_owned())).collect();
    ftw::Request { line, headers, body: bytes[end + 4..].to_vec() }
}

/// `PORTCULLIS_SHOW=1` prints each request that is refused.
#[test]
fn ordinary_traffic_passes() {
    let show = std::env::var_os("PORTCULLIS_SHOW").is_some();
    let rules = Arc::new(rules());
    let (mut all, mut refused) = (0, 0);
    let mut by_rule: BTreeMap<u64, usize> = BTreeMap::new();
    for path in files() {
        let (mut of_file, before) = (0, refused);
        for bytes in requests(&path) {
            of_file += 1;
            let request = split(&bytes);
            let transaction = run(&rules, &request);
            if transaction.intervention().is_none() {
                continue;
            }
            refused += 1;
            let ids: BTreeSet<u64> = transaction.matches().iter().map(|found| found.rule_id).collect();
            for id in &ids {
                *by_rule.entry(*id).or_default() += 1;
            }
            for found in transaction.matches().iter().filter(|_| show) {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(160).collect::<String>();
                let matched = found.matched.as_deref().unwrap_or(&found.value);
                println!("REFUSED {} {}: {:?} ({})", found.rule_id, text(&found.variable), text(matched), request.line);
            }
        }
        println!("{}: {} of {of_file} refused", path.file_name().expect("a name").to_string_lossy(), refused - before);
        all += of_file;
    }
    println!("together: {refused} of {all} refused; rules {by_rule:?}");
    assert!(all >= 2_000, "only {all} requests were found");
    assert!(refused * 1_000 <= all * REFUSED_PER_THOUSAND_MAX, "{refused} of {all} were refused");
}

/// The Core Rule Set behind the engine's base rules, as shipped; none where it is not there, said aloud.
fn core_rule_set() -> Option<RuleSet> {
    let folder =
        std::env::var_os("PORTCULLIS_CRS").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/crs"), PathBuf::from);
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/crs/engine.conf");
    let mut files = MemoryFiles::new().with("engine.conf", std::fs::read(engine).expect("the base rules"));
    let Ok(setup) = std::fs::read(folder.join("crs-setup.conf.example")) else {
        println!("skipped: no Core Rule Set in {}; set PORTCULLIS_CRS to a checkout", folder.display());
        return None;
    };
    files = files.with("crs-setup.conf", setup);
    for entry in std::fs::read_dir(folder.join("rules")).expect("its rules").flatten() {
        let name = format!("rules/{}", entry.file_name().to_string_lossy());
        files = files.with(&name, std::fs::read(entry.path()).expect("a readable file"));
    }
    let loaded = RuleSet::load(&files, &["engine.conf", "crs-setup.conf", "rules/*.conf"]);
    Some(loaded.unwrap_or_else(|mistakes| panic!("{mistakes:#?}")).0)
}

#[test]
fn the_core_rule_set_refuses_no_more_of_it_than_in_apache() {
    let Some(rules) = core_rule_set() else { return };
    let rules = Arc::new(rules);
    let known =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/traffic/refused-by-apache.txt")).expect("the list");
    let apache: BTreeSet<&str> = known.lines().filter(|line| !line.starts_with('#')).collect();
    let (mut ours, mut differences) = (0, Vec::new());
    for path in files() {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        for (place, bytes) in requests(&path).iter().enumerate() {
            let transaction = run(&rules, &split(bytes));
            let refused = transaction.intervention().is_some();
            ours += usize::from(refused);
            if refused != apache.contains(format!("{name} {place}").as_str()) {
                let ids: BTreeSet<u64> = transaction.matches().iter().map(|found| found.rule_id).collect();
                differences.push(format!("{name} {place}: {} {ids:?}", if refused { "only here" } else { "only in Apache" }));
            }
        }
    }
    println!("refused by both engines' Core Rule Set: here {ours}, in Apache {}; {} differ", apache.len(), differences.len());
    for difference in &differences {
        println!("{difference}");
    }
    assert!(ours <= apache.len(), "{ours} here, {} in Apache", apache.len());
}
