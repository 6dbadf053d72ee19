//! Ordinary traffic: what browsers sent while people worked in real applications passes the baseline.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
