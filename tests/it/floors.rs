//! The floors of `docs/architecture.md`: a module imports only from floors below its own, and some names stay where they belong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of `src/` with its floor. A module that is not here has no floor, and fails.
const FLOORS: &[(&str, u32)] = &[
    ("clock", 0),
    ("refusal", 0),
    ("limits", 0),
    ("diagnostic", 0),
    ("head", 0),
    ("form", 0),
    ("message", 1),
    ("wire", 2),
    ("identity", 2),
    ("audit", 2),
    ("policy", 3),
    ("metrics", 3),
    ("search", 3),
    ("log", 4),
    ("evidence", 4),
    ("tls", 4),
    ("ship", 5),
    ("upstream", 5),
    ("console", 6),
    ("layers/door", 6),
    ("layers/basic_auth", 6),
    ("layers/ntlm_block", 6),
    ("layers/rate_limit", 6),
    ("layers/inspection", 6),
    ("layers/account_requests", 6),
    ("layers/forwarding", 6),
    ("layers/error_mask", 6),
    ("layers/audit_wrap", 6),
    ("stack", 7),
    ("server", 8),
    ("rehearse", 9),
    ("cli", 10),
    ("main", 11),
];

/// Modules of F0 know one another only downwards in this table's order; everybody else within a floor knows nobody.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("rustls", &["tls", "upstream", "server"]),
    ("tokio_rustls", &["tls", "upstream", "server"]),
    ("hyper", &["message", "server", "upstream", "ship", "rehearse", "cli"]),
    ("seclang", &["policy", "layers/inspection", "rehearse"]),
];

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if path.file_name().unwrap() != "seclang" {
                files(&path, into);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// `src/layers/door/path.rs` is of the module `layers/door`; `src/server/http1.rs` of `server`.
fn module_of(path: &str) -> String {
    let path = path.trim_end_matches(".rs");
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    match (first, parts.next()) {
        ("layers", Some(second)) if second != "mod" => format!("layers/{second}"),
        (first, _) => first.to_owned(),
    }
}

/// The modules that a file names by `crate::`, in `use` lines and in paths; tests inside the file count as well.
fn imports(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + 7..];
            if let Some(group) = rest.strip_prefix('{') {
                out.extend(
                    group.split(['}', ',']).map(|p| p.trim().split("::").next().unwrap_or_default().to_owned()).filter(|p| !p.is_empty()),
                );
                continue;
            }
            let mut parts = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|p| !p.is_empty());
            let first = parts.next().unwrap_or_default();
            out.push(if first == "layers" { format!("layers/{}", parts.next().unwrap_or_default()) } else { first.to_owned() });
        }
    }
    out
}

fn floor_violations(sources: &[(String, String)]) -> Vec<String> {
    let floors: BTreeMap<&str, u32> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources {
        if path == "lib.rs" || path == "layers/mod.rs" {
            continue;
        }
        let module = module_of(path);
        let Some(&own) = floors.get(module.as_str()) else {
            wrong.push(format!("{path}: the module `{module}` has no floor"));
            continue;
        };
        for import in imports(text) {
            match floors.get(import.as_str()) {
                _ if import == module => {}
                Some(&floor) if floor < own || (own == 0 && floor == 0) => {}
                Some(&floor) => wrong.push(format!("{path}: `{module}` (floor {own}) imports `{import}` (floor {floor})")),
                None => wrong.push(format!("{path}: `{module}` imports `{import}`, which has no floor")),
            }
        }
        for (name, allowed) in MAY_NAME {
            let named = text.lines().filter(|l| !l.trim_start().starts_with("//")).any(|l| {
                l.match_indices(&format!("{name}::"))
                    .any(|(at, _)| !l[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
            });
            if named && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{path}: `{module}` names {name}, which only {allowed:?} may"));
            }
        }
        if module != "cli" && ["println!", "eprintln!", "print!(", "eprint!("].iter().any(|p| text.contains(p)) {
            wrong.push(format!("{path}: `{module}` prints, which only cli may"));
        }
        for (evidence, maker) in [
            ("Mapped {", "layers/door"),
            ("Caller {", "layers/basic_auth"),
            ("NoHandshake {", "layers/ntlm_block"),
            ("Inspected {", "layers/inspection"),
        ] {
            let makes = text.lines().any(|l| {
                let l = l.trim_start();
                l.contains(evidence) && !l.starts_with("pub struct") && !l.starts_with("impl") && !l.starts_with("//")
            });
            if makes && module != maker {
                wrong.push(format!("{path}: `{module}` makes `{evidence}`, evidence that only {maker} may give"));
            }
        }
    }
    wrong
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut list = Vec::new();
    files(&root, &mut list);
    list.iter().map(|p| (p.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), fs::read_to_string(p).unwrap())).collect()
}

#[test]
fn modules_import_only_from_floors_below() {
    let wrong = floor_violations(&sources());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_import_is_found_by_name() {
    let bad = |path: &str, text: &str| floor_violations(&[(path.to_owned(), text.to_owned())]).join("\n");
    assert!(
        bad("layers/door/mod.rs", "use crate::layers::rate_limit::Key;").contains("`layers/door` (floor 6) imports `layers/rate_limit`")
    );
    assert!(bad("audit/json.rs", "use crate::policy::Policy;").contains("imports `policy`"));
    assert!(bad("policy/mod.rs", "use hyper::Request;").contains("names hyper"));
    assert!(bad("brand_new.rs", "").contains("has no floor"));
    assert!(bad("stack.rs", "fn f() { println!(\"\") }").contains("prints"));
    assert!(bad("layers/forwarding/mod.rs", "let c = Caller { user };").contains("evidence"));
    assert_eq!(bad("layers/door/mod.rs", "use crate::policy::Map;"), "");
}

#[test]
fn every_file_says_in_its_first_line_what_it_is() {
    let silent: Vec<String> = sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "{silent:?}");
}
