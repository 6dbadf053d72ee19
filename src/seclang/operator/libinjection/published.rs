//! libinjection's published tests, from `tests/libinjection/*.txt`: tokens, folding, shapes of SQL and tokens of HTML.

use std::path::Path;

use super::fold::fold;
use super::html::{Html, Start, Token as HtmlToken};
use super::lexer::{Context, Lexer};
use super::sqli;
use super::token::{Kind, Token};

const BARE: Context = Context { quote: 0, mysql: false };

/// A published test: file, input, expected output.
fn cases(kind: &str, least: usize) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libinjection").join(kind).with_extension("txt");
    let bytes = std::fs::read(path).expect("the published tests");
    let mut cases: Vec<[Vec<u8>; 4]> = Vec::new();
    let mut part = 0;
    for line in bytes.split(|byte| *byte == b'\n').skip(1) {
        match line {
            b"--FILE--" => {
                cases.push(Default::default());
                part = 0;
            }
            b"--TEST--" => part = 1,
            b"--INPUT--" => part = 2,
            b"--EXPECTED--" => part = 3,
            _ => {
                let text = &mut cases.last_mut().expect("a case")[part];
                text.extend_from_slice(line);
                text.push(b'\n');
            }
        }
    }
    assert!(cases.len() >= least, "only {} cases of {kind}", cases.len());
    let trim = |text: &[u8]| text.trim_ascii_end().to_vec();
    cases.iter().map(|case| (String::from_utf8_lossy(&trim(&case[0])).into_owned(), trim(&case[2]), trim(&case[3]))).collect()
}

fn check(kind: &str, least: usize, output: impl Fn(&[u8]) -> Vec<u8>) {
    // A variable's signs are no part of its token here.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("v @@", "v ").replace("v @", "v ").trim_end().to_owned();
    let differences: Vec<String> = cases(kind, least)
        .iter()
        .filter_map(|(file, input, expected)| {
            let (found, expected) = (text(&output(input)), text(expected));
            (found != expected).then(|| format!("{file}: {:?}\nexpected\n{expected}\nfound\n{found}\n", text(input)))
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A token as the published tests write it, save that the signs before a variable's name are no part of it here.
fn line(token: &Token) -> Vec<u8> {
    let mut line = vec![token.kind.letter(), b' '];
    let quoted = matches!(token.kind, Kind::Variable | Kind::Text);
    line.extend((quoted && token.open != 0).then_some(token.open));
    line.extend(token.text().iter().take_while(|byte| **byte != 0));
    line.extend((quoted && token.close != 0).then_some(token.close));
    line.push(b'\n');
    line
}

#[test]
fn tokens_are_as_published() {
    check("tokens", 230, |input| {
        let mut lexer = Lexer::new(input, BARE);
        std::iter::from_fn(|| lexer.next()).flat_map(|token| line(&token)).collect()
    });
}

#[test]
fn folding_is_as_published() {
    check("folding", 118, |input| fold(input, BARE).tokens().iter().flat_map(line).collect());
}

#[test]
fn shapes_of_sql_are_as_published() {
    check("sqli", 50, |input| sqli(input).map(|shape| shape.as_bytes().to_vec()).unwrap_or_default());
}

#[test]
fn tokens_of_html_are_as_published() {
    check("html5", 63, |input| {
        let mut html = Html::new(input, Start::Text);
        let line = |token| {
            let (name, text) = match token {
                HtmlToken::Text(text) => ("DATA_TEXT", text),
                HtmlToken::TagOpen(text) => ("TAG_NAME_OPEN", text),
                HtmlToken::TagOpenEnd(text) => ("TAG_NAME_CLOSE", text),
                HtmlToken::SelfClosing(text) => ("TAG_NAME_SELFCLOSE", text),
                HtmlToken::EndTag(text) => ("TAG_CLOSE", text),
                HtmlToken::AttributeName(text) => ("ATTR_NAME", text),
                HtmlToken::AttributeValue(text) => ("ATTR_VALUE", text),
                HtmlToken::Comment(text) => ("TAG_COMMENT", text),
                HtmlToken::Doctype(text) => ("DOCTYPE", text),
            };
            [format!("{name},{},", text.len()).as_bytes(), text, b"\n"].concat()
        };
        std::iter::from_fn(|| html.next()).flat_map(line).collect()
    });
}

#[test]
fn folding_looks_at_each_token_a_fixed_number_of_times() {
    let seeds = [
        "1+",
        "1 or ",
        ")",
        "((",
        "1,-1,",
        "'' ",
        "a.b.",
        "or.",
        "select.",
        "{a ",
        "in (",
        "not ",
        "x::int ",
        "1,(2)",
        "collate a_b ",
        ";if ",
        "\\1 ",
    ];
    for opening in ["", "1 ", "a:b ", "(select "] {
        for seed in seeds {
            let value: Vec<u8> = opening.bytes().chain(seed.bytes().cycle()).take(20_000).collect();
            for context in [BARE, Context { quote: 0, mysql: true }, Context { quote: b'\'', mysql: false }] {
                let folded = fold(&value, context);
                assert!(folded.looks <= 8 * (folded.read + 8), "{opening:?} {seed:?}: {} looks at {} tokens", folded.looks, folded.read);
            }
        }
    }
}
