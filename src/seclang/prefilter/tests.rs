//! The prefilter leaves no match out: arbitrary patterns, phrases and values, and the operators whose condition is argued, not derived.

use proptest::prelude::*;

use super::{Marks, Requirement, Scanner};
use crate::operator::{Matched, Operator};
use crate::source::MemoryFiles;

fn operator(name: &str, argument: &str) -> Option<Operator> {
    Operator::compile(name, argument, &MemoryFiles::new(), "rules.conf").ok()
}

/// Whether the scanner lets each operator run on the value.
fn admitted(operators: &[Operator], value: &[u8]) -> Vec<bool> {
    let known: Vec<Option<Requirement>> = operators.iter().map(Requirement::of).collect();
    let requirements: Vec<Requirement> = known.iter().flatten().cloned().collect();
    let scanner = Scanner::new(&requirements, |_| 0);
    let (mut scratch, mut words) = (Vec::new(), Vec::new());
    let _: Marks = scanner.scan(value, &mut scratch, &mut words);
    assert_eq!(words.len(), scanner.width());
    let mut number = 0;
    let answer = |one: &Option<Requirement>| {
        let Some(requirement) = one else { return true };
        let bit = words[number / 64] >> (number % 64) & 1 == 1;
        number += 1;
        assert!(
            bit || !requirement.admits(value),
            "the scanner is stricter than {requirement:?} on {:?}",
            value.escape_ascii().to_string()
        );
        bit
    };
    known.iter().map(answer).collect()
}

fn check(operators: &[Operator], value: &[u8]) {
    for (operator, admitted) in operators.iter().zip(admitted(operators, value)) {
        let matched = operator.matches(value, None, None);
        assert!(admitted || matched == Matched::No, "{operator:?} says {matched:?} on {:?}", value.escape_ascii().to_string());
    }
}

/// Patterns over few letters, so that they often match.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "a",
            "b",
            "ab",
            "select",
            "un",
            "c-",
            "[ab]",
            "[^a]",
            "[a-z]",
            ".",
            r"\s",
            r"\d",
            r"\b",
            "^",
            "$",
            r"\x00",
            "(?i:Ba)",
            r"[\x80-\xff]",
            "é"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
            (inner.clone(), prop::sample::select(vec!["*", "+", "?", "{2}", "{3,}", "{1,2}", "{6}", "{40}", "+?"]))
                .prop_map(|(one, times)| format!("(?:{one}){times}")),
            inner.prop_map(|one| format!("(?i)({one})")),
        ]
    })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec!["a", "b", "c", "A", "B", "-", " ", "select", "SELECT", "un", "é", "\0", "1", "x'", "<a=", "%4", "/*"])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    (prop::collection::vec(piece, 0..12), 0..80_usize)
        .prop_map(|(pieces, more)| [pieces.concat(), b"a".repeat(more.saturating_sub(60) * 5)].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_pattern_is_never_kept_from_a_value_it_matches(patterns in prop::collection::vec(pattern(), 1..70), values in prop::collection::vec(value(), 1..6)) {
        let operators: Vec<Operator> = patterns.iter().filter_map(|pattern| operator("rx", pattern)).collect();
        values.iter().for_each(|value| check(&operators, value));
    }

    #[test]
    fn nor_is_an_operator_of_another_kind(value in value(), words in prop::collection::vec("[a-cA-C\\-]{1,4}", 1..5)) {
        let list = words.join(" ");
        let mut operators = Vec::new();
        for name in ["beginsWith", "contains", "containsWord", "endsWith", "streq", "strmatch"] {
            operators.extend(operator(name, &words[0]));
        }
        for (name, argument) in [("pm", list.as_str()), ("validateByteRange", "32-126"), ("validateUrlEncoding", ""), ("validateUtf8Encoding", ""), ("noMatch", ""), ("detectSQLi", ""), ("detectXSS", "")] {
            operators.push(operator(name, argument).expect(name));
        }
        check(&operators, &value);
        check(&operators, words[0].as_bytes());
    }

    #[test]
    fn a_single_word_is_no_injection_and_without_bracket_and_equals_sign_there_is_no_script(word in "[A-Za-z_]{0,40}", text in prop::collection::vec(any::<u8>(), 0..80)) {
        let (sqli, xss) = (operator("detectSQLi", "").expect("known"), operator("detectXSS", "").expect("known"));
        prop_assert_eq!(sqli.matches(word.as_bytes(), None, None), Matched::No);
        let text: Vec<u8> = text.into_iter().filter(|byte| !matches!(byte, b'<' | b'=')).collect();
        prop_assert_eq!(xss.matches(&text, None, None), Matched::No);
    }
}

#[test]
fn words_of_sql_by_themselves_are_no_injection() {
    let sqli = operator("detectSQLi", "").expect("known");
    let words = "select union all insert into update delete drop table where having group by order limit and or not xor null like between exists case when then else end \
                 exec execute sp_password waitfor delay benchmark sleep load_file outfile information_schema user current_user database version true false is in as \
                 if cast convert char concat substring hex unhex ascii mod div rlike regexp binary collate intersect except minus begin declare set create alter grant \
                 shutdown xp_cmdshell openrowset sysobjects having_ _utf n x b e u pg_sleep dbms_pipe handler procedure analyse natural join cross left right";
    for word in words.split_whitespace() {
        for word in [word.to_owned(), word.to_uppercase()] {
            assert_eq!(sqli.matches(word.as_bytes(), None, None), Matched::No, "{word}");
        }
    }
}

#[test]
fn what_a_pattern_requires_is_found() {
    let clauses = |pattern: &str| {
        let requirement = Requirement::of(&operator("rx", pattern).expect(pattern)).expect(pattern);
        let text = |clause: &super::requirement::Clause| {
            clause.literals.iter().map(|text| text.escape_ascii().to_string()).collect::<Vec<_>>().join("|")
        };
        (requirement.clauses.iter().map(text).collect::<Vec<_>>(), requirement.shortest)
    };
    assert_eq!(clauses(r"(?i)union\s+select"), (vec!["select".to_owned(), "union".to_owned(), String::new()], 12));
    assert_eq!(clauses("(?:get|p(?:os|u)t) /x"), (vec!["get /x|post /x|put /x".to_owned()], 6));
    assert_eq!(clauses("a.*(?:eval|exec)b?"), (vec!["eval|exec".to_owned(), String::new()], 5));
    let long = operator("rx", "^(?:ab){60}$").expect("a pattern");
    check(&[long], "ab".repeat(60).as_bytes());
    assert!(Requirement::of(&operator("rx", "a?").expect("a pattern")).is_none());
}

#[test]
fn a_scan_compares_a_fixed_number_of_bytes_for_each_of_the_value() {
    let words = "select union insert delete update /etc/passwd javascript: aaaa aaab aaaaaaaab abababab ..// ../../ <scr <script onload= 0000 %%% --- --+ /*/ /**/";
    let operators: Vec<Operator> =
        [("pm", words), ("rx", "(?i)aaaaa|abab|baba"), ("contains", "aaaaaaaaaaaaaaaaaab"), ("rx", "(?:a+b)+c{4}/etc")]
            .into_iter()
            .filter_map(|(name, argument)| operator(name, argument))
            .collect();
    let requirements: Vec<Requirement> = operators.iter().filter_map(Requirement::of).collect();
    assert_eq!(requirements.len(), 4);
    let scanner = Scanner::new(&requirements, |_| 0);
    let looks = |seed: &str, bytes: usize| {
        let value: Vec<u8> = seed.bytes().cycle().take(bytes).collect();
        super::scanner::LOOKS.with(|looks| looks.set(0));
        let _: Marks = scanner.scan(&value, &mut Vec::new(), &mut Vec::new());
        super::scanner::LOOKS.with(|looks| looks.get())
    };
    let mut most = 0;
    for seed in
        ["a", "ab", "aaab", "aab", "0", "%", "-", "--+", "/", "/*", "/*/", "../", "<script", "select union", "/etc/passw", "abababa", "\0"]
    {
        let (short, long) = (looks(seed, 4_096), looks(seed, 16_384));
        assert!(long <= 4 * short + 1_024, "{seed:?}: {short} bytes compared, {long} in four times the value");
        most = most.max(long);
    }
    assert!((16_384..=16_384 * 200).contains(&most), "{most} bytes compared at the most");
}
