//! What an administrator is told about mistakes in `gateway.toml`: each folder of `tests/check` is a case, `expected.txt` its whole output.

use portcullis::policy::file::{Disk, Examined, Memory, examine, examine_text, keys};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const EXAMPLE: &str = include_str!("../../policies/gateway.toml");
/// The smallest policy that is whole.
const MINIMAL: &str = include_str!("../check/fine-minimal/gateway.toml");

/// The output of one reading, and whether it was accepted.
fn output(examined: &Examined) -> String {
    let mut out = String::new();
    for d in &examined.diagnostics {
        let _ = writeln!(out, "{d}\n");
    }
    let _ = writeln!(out, "{}", if examined.policy.is_some() { "accepted" } else { "refused" });
    out
}

/// A checkout's modes depend on the umask; the warning about them must not.
#[cfg(unix)]
fn readable_by_all(paths: &[&str]) {
    use std::os::unix::fs::PermissionsExt as _;
    for path in paths {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
}

fn blessing() -> bool {
    std::env::var_os("UPDATE").is_some()
}

#[test]
fn every_mistake_is_reported_with_its_place_and_what_to_do() {
    let mut folders: Vec<PathBuf> =
        fs::read_dir("tests/check").unwrap().map(|e| e.unwrap().path()).filter(|p| p.join("gateway.toml").exists()).collect();
    folders.sort();
    assert!(folders.len() >= 45, "only {} cases", folders.len());
    for name in ["two-lines", "no-colon", "own-headers", "nothing-but-comments"] {
        readable_by_all(&[&format!("tests/check/_files/{name}")]);
    }
    let mut wrong = Vec::new();
    for folder in folders {
        let got = output(&examine(&folder.join("gateway.toml"), &Disk));
        let expected = folder.join("expected.txt");
        if blessing() {
            fs::write(&expected, &got).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != got {
            wrong.push(format!("--- {}\n{got}", folder.display()));
        }
        if got.contains("hunter2") {
            wrong.push(format!("--- {}: shows the password that stands in the file", folder.display()));
        }
        let fine = folder.file_name().unwrap().to_string_lossy().starts_with("fine-");
        if fine != got.ends_with("accepted\n") {
            wrong.push(format!("--- {}: cases that are accepted, and only those, are called fine-*\n{got}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 blesses these:\n{}", wrong.join("\n"));
}

/// Files that would clutter the tree, or that no editor writes: made here, with the same golden output.
#[test]
fn files_that_are_hardly_files_are_reported_too() {
    let long = format!("{MINIMAL}\n[log]\nlevel = \"{}\"\n", "x".repeat(1 << 20));
    let many = "a = \n".repeat(50_000);
    let deep = format!("a = {}1{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let keys: String = (0..20_000).fold(String::new(), |mut s, i| {
        let _ = writeln!(s, "key{i} = {i}");
        s
    });
    let cases: [(&str, Vec<u8>); 12] = [
        ("empty", Vec::new()),
        ("only-blanks", b" \t\r\n\n".to_vec()),
        ("nul-bytes", MINIMAL.replace("app", "a\0p").into_bytes()),
        ("nothing-but-nul", vec![0; 64]),
        ("invalid-utf8", [MINIMAL.as_bytes(), b"# caf\xe9\n"].concat()),
        ("utf16", format!("\u{feff}{MINIMAL}").encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("crlf", MINIMAL.replace("valid-user", "valid-usr").replace('\n', "\r\n").into_bytes()),
        ("byte-order-mark", format!("\u{feff}{}", MINIMAL.replace("valid-user", "valid-usr")).into_bytes()),
        ("a-line-of-1-mb", long.into_bytes()),
        ("50000-broken-lines", many.into_bytes()),
        ("100000-brackets", deep.into_bytes()),
        ("20000-unknown-keys", keys.into_bytes()),
    ];
    let mut got = String::new();
    for (name, bytes) in cases {
        let path = PathBuf::from("gateway.toml");
        let mut files = helper_files();
        files.0.insert(path.clone(), bytes);
        let mut text = output(&examine(&path, &files));
        if text.len() > 4_000 {
            let end = text.floor_char_boundary(1_500);
            let tail = text.rfind("gateway.toml: error").unwrap_or(text.len());
            text = format!("{}\n...\n{}", &text[..end], &text[tail..]);
        }
        let _ = writeln!(got, "=== {name}\n{text}");
    }
    let _ = writeln!(got, "=== missing\n{}", output(&examine(Path::new("tests/check/no/such/gateway.toml"), &Disk)));
    let _ = writeln!(got, "=== folder\n{}", output(&examine(Path::new("tests/check"), &Disk)));
    let _ = writeln!(got, "=== device\n{}", output(&examine(Path::new("/dev/zero"), &Disk)));
    let expected = Path::new("tests/check/hardly-files.txt");
    if blessing() {
        fs::write(expected, &got).unwrap();
    }
    assert_eq!(fs::read_to_string(expected).unwrap(), got);
}

fn memory(paths: &[&str]) -> Memory {
    Memory(paths.iter().map(|p| (PathBuf::from(p), b"user:password\n".to_vec())).collect::<BTreeMap<_, _>>())
}

/// Every file that the key table's examples name, as a policy in the working folder finds them.
fn helper_files() -> Memory {
    memory(&[
        "auth/htpasswd",
        "auth/groups",
        "auth/backend-login",
        "pages/error.html",
        "rules/own.conf",
        "site.pem",
        "../certs/mail.pem",
        "../certs/mail.key",
        "../certs/chain.pem",
        "../certs/wiki.pem",
        "../certs/internal-ca.pem",
        "../certs/gateway-client.key",
        "siem-headers",
        "rules/modsecurity.conf",
        "spill/file",
        "crs/crs-setup.conf.example",
        "crs/rules/REQUEST-901-INITIALIZATION.conf",
        "/usr/share/modsecurity-crs/owasp-crs.load",
        "/usr/share/modsecurity-crs/rules/REQUEST-901-INITIALIZATION.conf",
        "/etc/modsecurity/crs/crs-setup.conf",
    ])
}

#[test]
fn the_shipped_example_is_accepted_without_a_warning() {
    let examined = examine_text(Path::new("gateway.toml"), EXAMPLE, &helper_files());
    assert_eq!(output(&examined), "accepted\n");
}

/// Places where a key of a section can be written: a policy up to its header, and what follows its keys.
fn written(section: &str, line: &str) -> Vec<String> {
    let with = |before: &str, after: &str| format!("{before}{line}\n{after}");
    let (head, site) = MINIMAL.split_once("[[site]]\n").unwrap();
    let (site, map) = site.split_once("[[site.map]]\n").unwrap();
    let (site, map) = (format!("[[site]]\n{site}"), format!("[[site.map]]\n{map}"));
    let without = |text: &str, line: &str| -> String {
        let key = line.split(" =").next().unwrap();
        text.lines().filter(|l| l.split(" =").next() != Some(key)).fold(String::new(), |mut s, l| {
            let _ = writeln!(s, "{l}");
            s
        })
    };
    let tables = |key: &str| {
        let mut list = vec![with(&format!("{MINIMAL}[{key}]\n"), "")];
        if keys::known(key, true).any(|k| line.starts_with(&format!("{} =", k.name))) {
            list.push(with(&format!("{head}{site}[site.{key}]\n"), &map));
            list.push(with(&format!("{MINIMAL}[site.map.{key}]\n"), ""));
        }
        list
    };
    match section {
        "listener" => vec![with(
            &format!("{}[[listener]]\n", without_listener(MINIMAL)),
            if line.starts_with("address") { "" } else { "address = \"0.0.0.0:443\"\n" },
        )],
        "backend" => vec![with(
            &format!("{head}[[backend]]\n"),
            &format!("{}{site}{map}", without("name = \"two\"\nmembers = [\"https://two.internal\"]\n", line)),
        )],
        "member" => {
            let url = if line.starts_with("url") { "" } else { "url = \"https://two.internal\", " };
            vec![format!("{head}[[backend]]\nname = \"two\"\nmembers = [{{ {url}{line} }}]\n{site}{map}")]
        }
        "site" if line.starts_with("map") => vec![format!("{head}{}{line}\n", site)],
        "site" => vec![with(&format!("{head}{}", without(&site, line)), &map)],
        "map" => vec![with(&format!("{head}{site}{}", without(&map, line)), "")],
        "forward" => {
            let mut list = vec![with(&format!("{MINIMAL}[forward]\n"), "")];
            if keys::known("map", true).any(|k| line.starts_with(&format!("{} =", k.name))) {
                list.push(with(&format!("{head}{site}"), &map));
                list.push(with(MINIMAL, ""));
            }
            list
        }
        "account_requests" => vec![with(&format!("{head}{site}[site.account_requests]\n"), &map)],
        "exclusion" => ["exclusion", "site.exclusion", "site.map.exclusion"]
            .map(|key| format!("{MINIMAL}[[{key}]]\n{}", without("rule = 1\nreason = \"a\"\nowner = \"b\"\n", line)))
            .map(|text| format!("{text}{line}\n"))
            .into(),
        "ship" => {
            let posts = ["url", "headers_file", "gzip"].iter().any(|key| line.starts_with(key));
            let place = if posts { "kind = \"otlp\"\nurl = \"https://a.internal\"" } else { "kind = \"syslog\"\naddress = \"127.0.0.1\"" };
            let beside = if line.starts_with("key ") { "certificate = \"site.pem\"\n" } else { "" };
            vec![format!("{MINIMAL}[[audit.ship]]\n{}{beside}{line}\n", without(&format!("name = \"a\"\n{place}"), line))]
        }
        "auth" if line.starts_with("users") => {
            let (before, after) = MINIMAL.split_once("users = \"auth/htpasswd\"\n").unwrap();
            vec![with(before, after)]
        }
        "auth" => tables("auth")
            .into_iter()
            .map(|t| t.replacen("[auth]\n", "", usize::from(t.matches("[auth]").count() > 1)).replace("users = \"auth/htpasswd\"\n", ""))
            .map(|t| {
                if t.contains("[auth]") {
                    t.replacen("[auth]\n", "[auth]\nusers = \"auth/htpasswd\"\n", 1)
                } else {
                    format!("{t}[auth]\nusers = \"auth/htpasswd\"\n")
                }
            })
            .collect(),
        other => tables(other),
    }
}

fn without_listener(text: &str) -> String {
    text.replace("[[listener]]\naddress = \"0.0.0.0:443\"\n", "")
}

#[test]
fn every_key_of_the_table_is_read_at_every_level_it_may_stand() {
    let mut unread = Vec::new();
    for key in keys::KEYS {
        let line = format!("{} = 1979-05-27", key.name);
        for text in written(key.section, &line) {
            let examined = examine_text(Path::new("gateway.toml"), &text, &helper_files());
            let found =
                examined.diagnostics.iter().any(|d| d.is_error() && d.line_text.contains(&line) && !d.message.contains("there is no key"));
            if !found {
                unread.push(format!("{}.{}\n{text}\n{}", key.section, key.name, output(&examined)));
            }
        }
    }
    assert!(unread.is_empty(), "{} unread:\n{}", unread.len(), unread.join("\n====\n"));
}

#[test]
fn writing_a_default_of_the_table_changes_nothing() {
    let mut changed = Vec::new();
    let plain = |text: &str| {
        let examined = examine_text(Path::new("gateway.toml"), text, &helper_files());
        match &examined.policy {
            Some(policy) => format!("{policy:#?}").lines().filter(|l| !l.contains("source: ")).collect::<Vec<_>>().join("\n"),
            None => output(&examined),
        }
    };
    for key in keys::KEYS {
        let keys::Default::Value(value) = key.default else { continue };
        // A rate limit is none without `requests`.
        let beside = if key.section == "rate_limit" { "\nrequests = 100" } else { "" };
        let bases = written(key.section, beside.trim_start());
        for (level, text) in written(key.section, &format!("{} = {value}{beside}", key.name)).iter().enumerate() {
            let own_base = matches!(key.section, "backend" | "member" | "admin" | "listener" | "rate_limit" | "account_requests");
            let without = text.replace(&format!("{} = {value}\n", key.name), "");
            let base = match key.section {
                "ship" => &without,
                _ if own_base => &bases[level],
                _ => MINIMAL,
            };
            let (with, base) = (plain(text), plain(base));
            if with != base {
                let line = with.lines().zip(base.lines()).find(|(a, b)| a != b).map(|(a, b)| format!("{a} / {b}")).unwrap_or_default();
                changed.push(format!("{}.{} = {value}: {line}", key.section, key.name));
            }
        }
    }
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

#[test]
fn every_example_of_the_table_is_accepted() {
    // These examples need something beside them; the golden cases have them together.
    let apart = [
        "retention_days",
        "replace_credentials_file",
        "burst",
        "period_seconds",
        "mode",
        "name",
        "to",
        "exclude",
        "map",
        "certificate",
        "path",
        "ship",
        "tls",
    ];
    let mut refused = Vec::new();
    for key in keys::KEYS.iter().filter(|k| !apart.contains(&k.name)) {
        let text = written(key.section, &format!("{} = {}", key.name, key.example)).remove(0);
        let text = text.replace("[auth]\n", "[auth]\ngroups = \"auth/groups\"\n");
        let text = if key.name == "groups" { text.replacen("groups = \"auth/groups\"\n", "", 1) } else { text };
        let examined = examine_text(Path::new("gateway.toml"), &text, &helper_files());
        if examined.policy.is_none() {
            refused.push(format!("{}.{}\n{text}\n{}", key.section, key.name, output(&examined)));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n====\n"));
}

#[test]
fn the_configuration_reference_has_every_key_and_no_other() {
    let path = "docs/configuration.md";
    let mut text = fs::read_to_string(path).unwrap();
    if blessing() {
        for (section, _, _) in keys::SECTIONS {
            let (open, close) = (format!("<!-- keys: {section} -->\n"), "<!-- end -->");
            let start = text.find(&open).unwrap_or_else(|| panic!("{path} has no {open}")) + open.len();
            let end = start + text[start..].find(close).unwrap();
            text.replace_range(start..end, &keys::reference(section));
        }
        fs::write(path, &text).unwrap();
    }
    for (section, header, _) in keys::SECTIONS {
        let table = format!("<!-- keys: {section} -->\n{}<!-- end -->", keys::reference(section));
        assert!(text.contains(&table), "the table of {header} in {path} is not what the key table says; UPDATE=1 writes it");
    }
    let is_row = |l: &&str| l.strip_prefix("| `").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    let rows = text.lines().filter(is_row).count();
    let tables: usize = keys::SECTIONS.iter().map(|(s, _, _)| keys::KEYS.iter().filter(|k| k.section == *s).count()).sum();
    assert_eq!(tables, keys::KEYS.len(), "a key belongs to no section");
    assert_eq!(rows, tables, "a row beginning with a key stands outside the generated tables");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_a_panic(text in "(?s).{0,400}") {
        let _ = output(&examine_text(Path::new("gateway.toml"), &text, &helper_files()));
    }

    #[test]
    fn a_damaged_example_is_read_without_a_panic(
        cuts in proptest::collection::vec((0usize..EXAMPLE.len(), 0usize..40, "[\\[\\]{}=\"'#.,\n0-9a-z*:/é\0-]{0,6}"), 1..6)
    ) {
        let mut text = EXAMPLE.to_owned();
        for (at, length, with) in cuts {
            let start = text.floor_char_boundary(at.min(text.len()));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end.max(start), &with);
        }
        let _ = output(&examine_text(Path::new("gateway.toml"), &text, &helper_files()));
    }
}
