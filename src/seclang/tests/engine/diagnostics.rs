//! Bad rule files and what is said about them: `tests/diagnostics/*.conf` beside `*.expected`; `UPDATE=1` blesses.

use std::fs;
use std::path::Path;

use seclang::RuleSet;

use super::support::Folder;

#[test]
fn every_mistake_is_named_at_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut cases = 0;
    let mut differences = Vec::new();
    for entry in fs::read_dir(&folder).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".conf") {
            continue;
        }
        cases += 1;
        let diagnostics = match RuleSet::load(&Folder(folder.clone()), &[&name]) {
            Ok((_, warnings)) => warnings,
            Err(diagnostics) => diagnostics,
        };
        let found: String = diagnostics.iter().map(|one| format!("{one}\n")).collect();
        assert!(!found.is_empty(), "{name} has no mistake");
        let expected = folder.join(name.replace(".conf", ".expected"));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &found).expect("written");
        } else if fs::read_to_string(&expected).unwrap_or_default() != found {
            differences.push(format!("{name}:\n{found}"));
        }
    }
    assert!(cases >= 15, "only {cases} cases");
    assert!(differences.is_empty(), "differs from the blessed text:\n{}", differences.join("\n"));
}
