//! What `portcullis check` prints about a whole folder: each folder of `tests/check-all` is a case, laid over the good one `_base`.
//!
//! `without` names files of `_base` to leave out, `certificates` the ones to make (`FILE KIND [NAME]`), `modes` permissions to set
//! (`FILE OCTAL`), `remark` says what a case is for. A folder in the place of a file of `_base` replaces it.

use super::program::portcullis;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check-all");
/// Files of a case that are about the case and not in it.
const ABOUT: [&str; 6] = ["certificates", "expected.txt", "modes", "remark", "summary.txt", "without"];
/// Stands in password fields, hashes and credentials of the cases.
const SECRETS: [&str; 6] = ["hunter2", "PDKPMnsI8AGere8", "oguq15ANCGsJ", "MSKE.z0oppV4M", "PRIVATE KEY-----\nM", "rfQNJFJ"];

fn cases() -> Vec<String> {
    let names = fs::read_dir(CASES).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "_base").collect();
    names.sort();
    names
}

/// Lays a folder over another.
fn lay(from: &Path, over: &Path) {
    fs::create_dir_all(over).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (source, target) = (entry.path(), over.join(entry.file_name()));
        if source.is_dir() {
            if target.is_file() {
                fs::remove_file(&target).unwrap();
            }
            lay(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// The lines of one of a case's own files, as words; empty where there is none.
fn lines(case: &Path, name: &str) -> Option<Vec<Vec<String>>> {
    let text = fs::read_to_string(case.join(name)).ok()?;
    Some(text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
}

/// The folder of a case as an administrator would have it.
fn prepared(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (base, case) = (Path::new(CASES).join("_base"), Path::new(CASES).join(name));
    lay(&base, folder.path());
    for words in lines(&case, "without").unwrap_or_default() {
        let path = folder.path().join(&words[0]);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    lay(&case, folder.path());
    for about in ABOUT {
        let _ = fs::remove_file(folder.path().join(about));
    }
    for words in lines(&case, "certificates").or_else(|| lines(&base, "certificates")).unwrap() {
        let path = folder.path().join(&words[0]);
        fs::write(&path, certificate(&words[1], words.get(2).map_or("app.example.com", String::as_str))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    for words in lines(&case, "modes").unwrap_or_default() {
        let mode = u32::from_str_radix(&words[1], 8).unwrap();
        fs::set_permissions(folder.path().join(&words[0]), fs::Permissions::from_mode(mode)).unwrap();
    }
    folder
}

/// A certificate with its key in one file, right or wrong.
fn certificate(kind: &str, name: &str) -> String {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2090, 1, 1));
    if kind == "expired" {
        params.not_after = date_time_ymd(2025, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let shown = match kind {
        "mismatched" => KeyPair::generate().unwrap(),
        _ => KeyPair::from_pem(&key.serialize_pem()).unwrap(),
    };
    // One line whatever its length: signatures differ in length, and golden text has line numbers.
    let flat = |pem: String| {
        let lines: Vec<&str> = pem.lines().collect();
        format!("{}\n{}\n{}\n", lines[0], lines[1..lines.len() - 1].concat(), lines[lines.len() - 1])
    };
    let (key, shown) = (flat(key.serialize_pem()), (flat(shown.serialize_pem()), params.self_signed(&key).unwrap().pem()));
    let both = format!("{}{}", flat(shown.1), shown.0);
    match kind {
        "good" | "expired" | "mismatched" => both,
        "keyless" => both.replace(&key, ""),
        "not-pem" => "this is a letter to the certificate authority\n".into(),
        "damaged" => format!("-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n{key}"),
        "cut-short" => both[..both.len() - 20].to_owned(),
        other => panic!("no such kind of certificate: {other}"),
    }
}

/// Whether permissions hold nobody back here.
fn almighty() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
#[allow(clippy::print_stdout, reason = "a skipped case must say so")]
fn one_run_reports_every_mistake_of_every_file_with_its_place_and_what_to_do() {
    let cases = cases();
    let several = cases.iter().filter(|name| name.starts_with("several-")).count();
    assert!(cases.len() >= 25 && several >= 6, "{} cases, {several} of them with mistakes in several files", cases.len());
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for name in &cases {
        let case = Path::new(CASES).join(name);
        if case.join("modes").exists() && almighty() {
            println!("skipped: {name}: the superuser may read every file");
            continue;
        }
        let folder = prepared(name);
        let said = portcullis(folder.path(), &["check", "-c", "gateway.toml"], "");
        for (file, text) in [("expected.txt", &said.stderr), ("summary.txt", &said.stdout)] {
            let path = case.join(file);
            if update && !text.is_empty() {
                fs::write(&path, text).unwrap();
            } else if update {
                let _ = fs::remove_file(&path);
            } else if fs::read_to_string(&path).unwrap_or_default() != *text {
                wrong.push(format!("--- {name}: {file}\n{text}"));
            }
        }
        let code = if name.starts_with("fine") { 0 } else { 2 };
        if said.code != code {
            wrong.push(format!("--- {name}: exit code {}; 0 is for the cases called fine*, 2 for all others", said.code));
        }
        for secret in SECRETS.iter().filter(|s| said.stderr.contains(*s) || said.stdout.contains(*s)) {
            wrong.push(format!("--- {name}: shows the secret {secret:?}"));
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 blesses these:\n{}", wrong.join("\n"));
}

/// Files that one run must have named, for cases where that is the promise.
#[test]
fn mistakes_in_several_kinds_of_files_are_all_named_also_beside_mistakes_in_the_policy() {
    let kinds: [(&str, &[&str]); 6] = [
        ("several-users-groups-rules", &["htpasswd:", "groups:", "rules/own.conf:"]),
        ("several-certificate-page", &["site.pem:", "pages/error.html:"]),
        ("several-all-but-the-policy", &["htpasswd:", "groups:", "rules/own.conf:", "site.pem:", "pages/error.html:", "ca.pem:"]),
        ("several-all", &["gateway.toml:", "htpasswd:", "groups:", "rules/own.conf:", "site.pem:", "pages/error.html:", "ca.pem:"]),
        ("several-policy-and-users", &["gateway.toml:", "htpasswd:"]),
        ("several-syntax-and-rules", &["gateway.toml:", "rules/own.conf:", "site.pem:"]),
    ];
    for (name, files) in kinds {
        let folder = prepared(name);
        let said = portcullis(folder.path(), &["check", "-c", "gateway.toml"], "").stderr;
        for file in files {
            assert!(said.lines().any(|line| line.starts_with(file)), "{name}: nothing about {file}\n{said}");
        }
    }
}

#[test]
fn the_same_mistakes_come_as_json_for_programs() {
    let folder = prepared("several-all");
    let human = portcullis(folder.path(), &["check", "-c", "gateway.toml"], "");
    let said = portcullis(folder.path(), &["check", "-c", "gateway.toml", "--format", "json"], "");
    assert_eq!((said.code, said.stderr.as_str()), (2, ""));
    let list: Vec<serde_json::Value> = serde_json::from_str(&said.stdout).unwrap();
    let errors = list.iter().filter(|d| d["severity"] == "error").count();
    assert!(human.stderr.ends_with(&format!("\n{errors} mistakes\n")), "{errors} beside\n{}", human.stderr);
    for d in &list {
        let path = d["path"].as_str().unwrap();
        let start = match (d["line"].as_u64(), d["column"].as_u64()) {
            (Some(line), Some(column)) => format!("{path}:{line}:{column}: "),
            _ => format!("{path}: "),
        };
        let line = format!("{start}{}: {}", d["severity"].as_str().unwrap(), d["message"].as_str().unwrap());
        assert!(human.stderr.lines().any(|l| l == line), "{line:?} is not in\n{}", human.stderr);
    }
    for secret in SECRETS {
        assert!(!said.stdout.contains(secret), "{}", said.stdout);
    }
    let fine = portcullis(prepared("fine").path(), &["check", "-c", "gateway.toml", "--format", "json"], "");
    assert_eq!((fine.code, fine.stdout.as_str(), fine.stderr.as_str()), (0, "[]\n", ""));
}

#[test]
fn a_policy_is_checked_alike_from_every_working_folder() {
    let folder = prepared("fine");
    let path: PathBuf = folder.path().join("gateway.toml");
    let said = portcullis(Path::new("/"), &["check", "-c", path.to_str().unwrap()], "");
    assert_eq!(said.code, 0, "{}", said.stderr);
    let said = portcullis(folder.path(), &["check", "-c", "nowhere.toml"], "");
    assert_eq!(said.code, 2);
    assert!(said.stderr.starts_with("nowhere.toml: error: "), "{}", said.stderr);
}
