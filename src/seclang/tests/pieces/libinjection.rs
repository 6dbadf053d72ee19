//! `@detectSQLi` and `@detectXSS` on values made of what SQL and HTML are made of: the verdicts that libinjection itself gave, and linear work.

use seclang::MemoryFiles;
use seclang::operator::{Captures, Matched, Operator};

use crate::cases::{self, Word};

fn operator(name: &str) -> Operator {
    Operator::compile(name, "", &MemoryFiles::new(), "rules.conf").expect("an operator")
}

#[test]
fn verdicts_are_libinjections() {
    let (sqli, xss) = (operator("detectSQLi"), operator("detectXSS"));
    let mut differences = Vec::new();
    let mut injected = 0;
    for case in cases::read_file(&cases::folder("libinjection/verdicts.txt")) {
        let [Word::Value(value), shape, Word::Bare(html)] = case.words.as_slice() else { panic!("{}: not a case", case.place) };
        let mut captures = Captures::default();
        let found = match sqli.matches(value, None, Some(&mut captures)) {
            Matched::Yes => Word::Value(captures.get(0).expect("a shape").to_vec()),
            _ => Word::Bare("no".to_owned()),
        };
        let runs = xss.matches(value, None, None) == Matched::Yes;
        injected += u32::from(matches!(shape, Word::Value(_))) + u32::from(runs);
        if found != *shape || runs != (html == "yes") {
            differences.push(format!("{}: {} gives {found:?} and {runs}", case.place, value.escape_ascii()));
        }
    }
    assert!(injected > 1_000, "only {injected} injections");
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}
