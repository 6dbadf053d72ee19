//! Reader of the case files in `tests/wire`; their format is in the README beside them.

use std::fs;
use std::path::Path;

/// One case.
pub(super) struct Case {
    pub name: String,
    pub send: Vec<u8>,
    pub expected: Vec<String>,
}

/// All cases of all files, in a stable order.
pub(super) fn all_cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "http"));
    files.sort();
    files.iter().flat_map(|path| cases_of(path)).collect()
}

fn cases_of(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{}:{}: no key", path.display(), number + 1));
        let value = value.strip_prefix(' ').unwrap_or(value);
        if key == "case" {
            let name = format!("{}:{}: {value}", path.file_name().unwrap().to_string_lossy(), number + 1);
            cases.push(Case { name, send: Vec::new(), expected: Vec::new() });
            continue;
        }
        let case = cases.last_mut().expect("a case begins with its name");
        match key {
            "send" => case.send.extend(unescaped(value)),
            "accept" | "body" => case.expected.push(shown(key, &unescaped(value))),
            "refuse" | "broken" => case.expected.push(format!("{key}: {value}")),
            _ => panic!("{}:{}: unknown key {key}", path.display(), number + 1),
        }
    }
    cases
}

/// A line of an outcome.
pub(super) fn shown(key: &str, bytes: &[u8]) -> String {
    format!("{key}: {}", bytes.escape_ascii())
}

pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let mut used = 1;
        match escape.as_bytes()[0] {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'\\' => out.push(b'\\'),
            b'_' => out.push(b' '),
            b'x' => {
                out.push(u8::from_str_radix(&escape[1..3], 16).unwrap());
                used = 3;
            }
            b'{' => {
                let end = escape.find('}').unwrap();
                let (what, times) = escape[1..end].rsplit_once('*').unwrap();
                out.extend(unescaped(what).repeat(times.parse().unwrap()));
                used = end + 1;
            }
            other => panic!("unknown escape {} in {text}", char::from(other)),
        }
        rest = &escape[used..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}
