//! The floors of the crate: a module imports from floors below its own, never from its own or above.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Floor of each module. `lib` is the top, and names them all.
const FLOORS: &[(&str, u32)] = &[
    ("span", 0),
    ("bits", 0),
    ("common_header", 0),
    ("limits", 0),
    ("variable", 0),
    ("source", 0),
    ("diagnostic", 10),
    ("geo", 10),
    ("value", 10),
    ("verdict", 10),
    ("collections", 11),
    ("latest", 11),
    ("tx", 11),
    ("transform", 20),
    ("expand", 20),
    ("syntax", 20),
    ("body", 21),
    ("operator", 21),
    ("prefilter", 22),
    ("target", 22),
    ("action", 30),
    ("manual", 31),
    ("ruleset", 40),
    ("exclusion", 45),
    ("lint", 45),
    ("compile", 50),
    ("transaction", 50),
    ("evaluate", 60),
    ("lib", 70),
];

#[test]
fn every_module_imports_only_from_floors_below_its_own() {
    let floors: BTreeMap<&str, u32> = FLOORS.iter().copied().collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut mistakes = Vec::new();
    let mut seen = 0;
    for file in sources(root) {
        let relative = file.strip_prefix(root).expect("below the root");
        let module = relative.components().next().expect("a name").as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let Some(own) = floors.get(module.as_str()) else {
            mistakes.push(format!("{}: the module `{module}` has no floor", relative.display()));
            continue;
        };
        seen += 1;
        for used in imports(&fs::read_to_string(&file).expect("readable")) {
            let allowed = used == module || module == "lib" || floors.get(used.as_str()).is_some_and(|floor| floor < own);
            if !allowed {
                mistakes.push(format!("{}: imports `{used}`, which is not below it", relative.display()));
            }
        }
    }
    assert!(seen > 40, "only {seen} files were found");
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// The top modules a file names by `crate::`, comments left out.
fn imports(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut names = Vec::new();
    for line in code {
        for rest in line.split("crate::").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                names.push(name);
            }
        }
    }
    names
}

fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "tests" | "benches" | "examples" | "target") {
            files.extend(sources(&path));
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn an_import_is_found_wherever_it_stands() {
    assert_eq!(imports("use crate::a::B;\n// crate::c\nfn f() { crate::d::e() }"), ["a", "d"]);
}
