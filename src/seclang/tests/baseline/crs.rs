//! How much of what the Core Rule Set calls an attack the baseline refuses at its lowest paranoia level.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ftw, judge, rules};

/// The families, and the part of their tests that must be refused, in percent.
const FAMILIES: [(u64, usize); 9] = [(930, 85), (931, 85), (932, 88), (933, 85), (934, 85), (941, 85), (942, 87), (943, 85), (944, 85)];
/// The part of all of them together.
const TOGETHER: usize = 91;

/// The test files of the Core Rule Set, or none, said aloud.
fn files() -> Vec<PathBuf> {
    let folder =
        std::env::var_os("PORTCULLIS_CRS").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/crs"), PathBuf::from);
    let mut found = Vec::new();
    let mut folders = vec![folder.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                found.push(path);
            }
        }
    }
    if found.is_empty() {
        println!("skipped: no tests in {}; set PORTCULLIS_CRS to a checkout of the Core Rule Set", folder.display());
    }
    found.sort();
    found
}

/// `PORTCULLIS_SHOW=1` prints each attack that passes.
#[test]
fn at_paranoia_1_most_of_the_core_rule_sets_attacks_are_refused() {
    let files = files();
    if files.is_empty() {
        return;
    }
    let show = std::env::var_os("PORTCULLIS_SHOW").is_some();
    let rules = Arc::new(rules());
    let mut counts: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for file in files.iter().filter_map(|path| ftw::read(path)) {
        let family = file.rule_id / 1000;
        if !FAMILIES.iter().any(|(known, _)| *known == family) {
            continue;
        }
        for test in &file.tests {
            let Some(stage) = test.stages.last().filter(|stage| !stage.output.log.expect_ids.is_empty()) else { continue };
            let Some(request) = stage.input.complete() else { continue };
            let (status, ids) = judge(&rules, &request);
            let count = counts.entry(family).or_default();
            count.1 += 1;
            if status >= 400 {
                count.0 += 1;
            } else if show {
                let body: String = String::from_utf8_lossy(&request.body).chars().take(300).collect();
                let headers: Vec<String> = request.headers.iter().filter(|(n, _)| !is_plain(n)).map(|(n, v)| format!("{n}: {v}")).collect();
                println!("MISS {}-{} {ids:?} {:?} {headers:?} {body:?}", file.rule_id, test.test_id, request.line);
            }
        }
    }
    let mut below = Vec::new();
    let (mut refused, mut total) = (0, 0);
    for (family, floor) in FAMILIES {
        let (hits, all) = counts.get(&family).copied().unwrap_or_default();
        println!("{family}: {hits} of {all} refused, {:.1} %", hits as f64 * 100.0 / all.max(1) as f64);
        if hits * 100 < all * floor || all == 0 {
            below.push(family);
        }
        refused += hits;
        total += all;
    }
    println!("together: {refused} of {total} refused, {:.1} %", refused as f64 * 100.0 / total as f64);
    assert!(total > 3_000, "only {total} tests were found");
    assert!(below.is_empty() && refused * 100 >= total * TOGETHER, "below their floor: {below:?}");
}

fn is_plain(header: &str) -> bool {
    ["host", "accept", "connection", "content-length"].iter().any(|plain| header.eq_ignore_ascii_case(plain))
}
