//! Operators: the cases in `tests/operator/NAME.txt`, and the patterns of the Core Rule Set.
//!
//! A case is `"argument" "value" yes "TX:0" "TX:1"...`, `... no`, `... error`, or `"argument" refused "part of the reason"`.

#![allow(clippy::print_stdout, reason = "a test that skips says so")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use seclang::MemoryFiles;
use seclang::limits::INJECTION_BYTES_MAX;
use seclang::operator::{Captures, Matched, Need, Operator};
use seclang::source::FileSource;

use crate::cases::{self, Word};

/// Files from one folder.
pub(crate) struct Folder(pub(crate) PathBuf);

impl FileSource for Folder {
    fn read(&self, path: &str, _relative_to: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.0.join(path)).map_err(|error| error.to_string())
    }
}

fn compile(name: &str, argument: &str) -> Result<Operator, String> {
    Operator::compile(name, argument, &Folder(cases::folder("operator/files")), "rules.conf")
}

#[test]
fn cases_give_what_they_say() {
    let mut failures = Vec::new();
    for (name, cases) in cases::read("operator") {
        assert!(!cases.is_empty(), "{name}.txt has no case");
        for case in cases {
            let wrong = match case.words.as_slice() {
                [Word::Value(argument), Word::Bare(word), Word::Value(part)] if word == "refused" => refusal(&name, argument, part),
                [Word::Value(argument), Word::Value(value), Word::Bare(word), captures @ ..] => {
                    verdict(&name, argument, value, word, captures)
                }
                words => Some(format!("not a case: {words:?}")),
            };
            failures.extend(wrong.map(|wrong| format!("{}: {wrong}", case.place)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn refusal(name: &str, argument: &[u8], part: &[u8]) -> Option<String> {
    let part = String::from_utf8_lossy(part);
    match compile(name, &String::from_utf8_lossy(argument)) {
        Ok(_) => Some("compiles".to_owned()),
        Err(reason) => (!reason.contains(&*part)).then(|| format!("the reason is: {reason}")),
    }
}

fn verdict(name: &str, argument: &[u8], value: &[u8], word: &str, wanted: &[Word]) -> Option<String> {
    let argument = String::from_utf8_lossy(argument);
    let operator = match compile(name, &argument) {
        Ok(operator) => operator,
        Err(reason) => return Some(format!("does not compile: {reason}")),
    };
    let mut captures = Captures::default();
    let got = operator.matches(value, None, Some(&mut captures));
    if got != operator.matches(value, None, None) {
        return Some("the verdict differs with and without captures".to_owned());
    }
    let shown = match &got {
        Matched::Yes => "yes",
        Matched::No => "no",
        Matched::Error(_) => "error",
    };
    if shown != word {
        return Some(format!("got {got:?}"));
    }
    let found: Vec<Word> = (0..captures.len()).map(|index| Word::Value(captures.get(index).unwrap_or_default().to_vec())).collect();
    (!wanted.is_empty() && found != wanted).then(|| format!("captured {found:?}"))
}

#[test]
fn every_operator_has_cases() {
    let covered: Vec<String> = cases::read("operator").into_iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let names = [
        "beginsWith",
        "contains",
        "containsWord",
        "detectSQLi",
        "detectXSS",
        "endsWith",
        "eq",
        "fuzzyHash",
        "ge",
        "geoLookup",
        "gsbLookup",
        "gt",
        "inspectFile",
        "ipMatch",
        "ipMatchF",
        "ipMatchFromFile",
        "le",
        "lt",
        "noMatch",
        "pm",
        "pmf",
        "pmFromFile",
        "rbl",
        "rsub",
        "rx",
        "rxGlobal",
        "streq",
        "strmatch",
        "unconditionalMatch",
        "validateByteRange",
        "validateDTD",
        "validateHash",
        "validateSchema",
        "validateUrlEncoding",
        "validateUtf8Encoding",
        "verifyCC",
        "verifyCPF",
        "verifySSN",
        "verifySVNR",
        "within",
    ];
    let missing: Vec<&str> = names.into_iter().filter(|name| !covered.contains(&name.to_ascii_lowercase())).collect();
    assert!(missing.is_empty(), "no cases for {missing:?}");
}

#[test]
fn macros_reach_the_operators_that_take_them() {
    assert!(Operator::takes_macros("streq") && Operator::takes_macros("Within") && !Operator::takes_macros("rx"));
    let operator = compile("streq", "%{tx.token}").expect("an operator");
    assert_eq!(operator.matches(b"abc", Some(b"abc"), None), Matched::Yes);
    assert_eq!(operator.matches(b"%{tx.token}", Some(b"abc"), None), Matched::No);
}

#[test]
fn what_is_needed_from_outside_is_said() {
    let list = compile("rbl", "dnsbl.example.net").expect("an operator");
    assert_eq!(list.needs(), Need::Dns);
    assert_eq!(list.dns_name(b"192.0.2.7", None).as_deref(), Some("7.2.0.192.dnsbl.example.net"));
    assert_eq!(list.dns_name(b"::ffff:192.0.2.7", None).as_deref(), Some("7.2.0.192.dnsbl.example.net"));
    let six = list.dns_name(b"2001:db8::1", None).expect("a name");
    assert!(six.starts_with("1.0.0.0.") && six.ends_with(".8.b.d.0.1.0.0.2.dnsbl.example.net"), "{six}");
    assert_eq!(list.dns_name(b"bad name", None), None);
    let pot = compile("rbl", "dnsbl.httpbl.org").expect("it compiles");
    assert_eq!(pot.dns_name(b"192.0.2.7", Some("abcdefghijkl")).as_deref(), Some("abcdefghijkl.7.2.0.192.dnsbl.httpbl.org"));
    assert_eq!([pot.dns_name(b"2001:db8::1", Some("abcdefghijkl")), pot.dns_name(b"192.0.2.7", None)], [None, None]);
    assert_eq!(compile("geoLookup", "").expect("an operator").needs(), Need::Geo);
    assert_eq!(compile("rx", "a").expect("an operator").needs(), Need::None);
}

#[test]
fn bounds_are_errors_and_not_verdicts() {
    let verdict =
        |name: &str, argument: &str, value: &str| compile(name, argument).expect("an operator").matches(value.as_bytes(), None, None);
    let is_error = |matched: Matched| matches!(matched, Matched::Error(_));
    for name in ["detectSQLi", "detectXSS"] {
        assert_eq!(verdict(name, "", &"a.".repeat(INJECTION_BYTES_MAX / 2)), Matched::No);
        assert!(is_error(verdict(name, "", &"a".repeat(INJECTION_BYTES_MAX + 1))));
    }
    assert!(is_error(verdict("rx", r"(a)\1(?!b)", &"a".repeat(9_000))));
    assert!(is_error(verdict("rx", r"^(a|aa)+\1!$", &"a".repeat(4_000))));
    assert!(is_error(verdict("verifySSN", r"\d+", &"1".repeat(20_000))));
}

/// Where the Core Rule Set's rules are, or None with a printed reason.
fn core_rule_set() -> Option<PathBuf> {
    let named = std::env::var_os("PORTCULLIS_CRS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/crs");
    let folder = named.unwrap_or(beside).join("rules");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no Core Rule Set at {}; set PORTCULLIS_CRS to its folder", folder.display());
    None
}

/// The quoted operators of a rule file as (name, argument), found by the quote that stands before `@` or `!@`.
fn quoted_operators(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let joined = text.replace("\\\n", "");
    for line in joined.lines().filter(|line| line.trim_start().starts_with("SecRule ")) {
        let Some(start) = line.find(" \"@").map(|at| at + 3).or_else(|| line.find(" \"!@").map(|at| at + 4)) else { continue };
        let mut argument = String::new();
        let mut characters = line[start..].chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '"' => break,
                '\\' if characters.peek() == Some(&'"') => argument.extend(characters.next()),
                '\\' => {
                    argument.push('\\');
                    argument.extend(characters.next());
                }
                _ => argument.push(character),
            }
        }
        let (name, argument) = argument.split_once(' ').unwrap_or((&argument, ""));
        found.push((name.to_owned(), argument.to_owned()));
    }
    found
}

#[test]
fn every_operator_of_the_core_rule_set_compiles_and_its_patterns_are_linear() {
    let Some(folder) = core_rule_set() else { return };
    let mut seen = std::collections::BTreeSet::new();
    let mut failures = Vec::new();
    let files = Folder(folder.clone());
    for entry in std::fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a rule file");
        seen.extend(quoted_operators(&text));
    }
    let patterns = seen.iter().filter(|(name, _)| name == "rx").count();
    assert!(patterns >= 290, "only {patterns} patterns were found");
    for (name, argument) in &seen {
        match Operator::compile(name, argument, &files, "rules.conf") {
            Ok(Operator::Rx(pattern)) if !pattern.is_linear() => failures.push(format!("@{name} {argument}: not linear")),
            Ok(_) => {}
            Err(reason) => failures.push(format!("@{name} {argument}: {reason}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{patterns} distinct patterns, {} distinct operators", seen.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_pattern_panics(pattern in "[(){}\\[\\]?*+|^$.<>=!:#a-c0-9\\\\xQEKPgk&~,'-]{0,24}", value in proptest::collection::vec(any::<u8>(), 0..20)) {
        if let Ok(operator) = compile("rx", &pattern) {
            let mut captures = Captures::default();
            let _ = operator.matches(&value, None, Some(&mut captures));
        }
    }

    #[test]
    fn no_value_panics(value in proptest::collection::vec(any::<u8>(), 0..60), argument in proptest::collection::vec(any::<u8>(), 0..6)) {
        for name in ["contains", "containsWord", "within", "beginsWith", "endsWith", "streq", "eq", "lt"] {
            let operator = compile(name, "x").expect("an operator");
            let _ = operator.matches(&value, Some(&argument), None);
        }
        for (name, argument) in [("detectSQLi", ""), ("detectXSS", ""), ("validateUrlEncoding", ""), ("validateUtf8Encoding", ""), ("ipMatch", "10.0.0.0/8"), ("verifyCC", r"\d+")] {
            let _ = compile(name, argument).expect("an operator").matches(&value, None, Some(&mut Captures::default()));
        }
    }

    #[test]
    fn words_are_found_as_a_slow_search_finds_them(value in "[ab_ ]{0,30}", argument in "[ab ]{1,4}") {
        let operator = compile("containsWord", &argument).expect("an operator");
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let bytes = value.as_bytes();
        let slow = (0..bytes.len()).any(|start| {
            bytes[start..].starts_with(argument.as_bytes())
                && !bytes[..start].last().is_some_and(word)
                && !bytes[start + argument.len()..].first().is_some_and(word)
        });
        prop_assert_eq!(operator.matches(bytes, None, None), Matched::from(slow));
    }
}

proptest! {
    #[test]
    fn simple_patterns_answer_as_the_same_pattern_in_a_group(value in "[aAbB_1\\n]{0,6}", pattern in prop::sample::select(vec!["^$", "^.*$", "^a", "(?i)^a_b", "^Ab1", "(?i)^b"])) {
        let answer = |pattern: &str| {
            let mut captures = Captures::default();
            let operator = Operator::compile("rx", pattern, &MemoryFiles::new(), "rules.conf").expect("a pattern");
            (operator.matches(value.as_bytes(), None, Some(&mut captures)), captures.get(0).map(<[u8]>::to_vec), operator.matches(value.as_bytes(), None, None))
        };
        prop_assert_eq!(answer(pattern), answer(&format!("(?:{pattern})")));
    }
}
