//! No input is slow: every operator, transformation and body parser over growing hostile inputs. `cargo bench -p seclang --bench hostile`
//! prints, for each, the worst nanoseconds a byte, the input they came from, and how that changed when the input grew fourfold.
//! An argument narrows the pieces to those whose names hold it. Where the Core Rule Set is at hand (PORTCULLIS_CRS), all its patterns are
//! a piece, on shorter inputs.

#![allow(clippy::print_stdout, reason = "it prints a table")]

#[path = "../tests/oracle/corpus.rs"]
#[allow(dead_code, reason = "only the folder of the rules is asked for")]
mod corpus;
#[path = "../tests/oracle/rules.rs"]
mod rules;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use seclang::body::{Limits, json, multipart, url_encoded, xml};
use seclang::operator::{Captures, Operator};
use seclang::ruleset::Check;
use seclang::transform::Transformation;
use seclang::{MemoryFiles, Mode, NoCollections, Options, RuleSet, Transaction};

/// Growth of the nanoseconds a byte that is shown: what grows with the square would show 4.
const STEEP: f64 = 2.0;

/// Bytes of the larger input. A smaller one of a quarter goes before it.
const BYTES: usize = 256 * 1024;

/// Bytes of the larger input for each pattern of the Core Rule Set.
const PATTERN_BYTES: usize = 32 * 1024;

/// What repeats in hostile inputs; each is also tried behind each of [`OPENINGS`].
const SEEDS: &[&str] = &[
    "a",
    "aA",
    "0",
    "9",
    " ",
    "\0",
    "\n",
    "\r\n",
    "%",
    "%2",
    "%41",
    "%u0041",
    "%25",
    "+",
    "&",
    "&&",
    "=",
    "a=",
    "a&",
    ";",
    "&#",
    "&#x41;",
    "&#x0",
    "&amp;",
    "&quot;",
    "\\",
    "\\\\",
    "\\x41",
    "\\u0041",
    "\\101",
    "\\\n",
    "'",
    "''",
    "\\'",
    "\"",
    "\"\"",
    "`",
    "/",
    "//",
    "/./",
    "/../",
    "../",
    "a/../",
    "\\..\\",
    "/*",
    "*/",
    "/**/",
    "/*/",
    "--",
    "-- \n",
    "#",
    "#\n",
    "<!--",
    "-->",
    "<!",
    "<",
    ">",
    "<a>",
    "<a ",
    "<a b=",
    "<a b='&lt;'/>",
    "</a>",
    "<b/>",
    "<![CDATA[",
    "<?",
    "<% ",
    " onx=",
    " onload",
    "= href=&#x",
    "[",
    "]",
    "{",
    "}",
    "[1,",
    "{\"a\":",
    "\"\\",
    "1,",
    "1+",
    "1 or ",
    "or.",
    "a.",
    "a`",
    "select.",
    "x'0",
    "b'0",
    "$",
    "$a",
    "$a$",
    "$$ ",
    "@",
    "@@`",
    "q'(",
    "(",
    ")",
    "((",
    "1,-",
    "{a ",
    "in (",
    "collate a ",
    "not ",
    "-",
    "--xyz\r\n",
    "--xyz\r\n\r\n",
    "a:b\n",
    " \n",
    "\u{e9}",
    "\u{ff}a",
    "=?",
    "4111 ",
    "4",
    "123-45-6789 ",
    "abcabd",
    "union select",
    "aaab",
];

const OPENINGS: &[&str] = &["", "'", "\"", "<a ", "<a>", "[", "--xyz\r\na:b\r\n\r\n", "/*", "$a$"];

type Piece = (String, Box<dyn Fn(&[u8])>);

fn pieces() -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for transformation in Transformation::ALL {
        let name = format!("t:{}", transformation.name());
        pieces.push((name, Box::new(|value| drop(black_box(transformation.apply(value.into()))))));
    }
    for (name, argument) in OPERATORS {
        let files = MemoryFiles::new().with("words.txt", "union select\nalert(\naaaaaaaaaaaaab\nabcabc").with("nets.txt", "192.0.2.0/24");
        let operator = Operator::compile(name, argument, &files, "rules.conf").expect("an operator");
        let run = move |value: &[u8]| drop(black_box(operator.matches(value, None, Some(&mut Captures::default()))));
        pieces.push((format!("@{name} {argument}"), Box::new(run)));
    }
    let files = MemoryFiles::new().with("rules.conf", PLANNED);
    let set = Arc::new(RuleSet::load(&files, &["rules.conf"]).expect("rules").0);
    let run = move |value: &[u8]| {
        let mut tx = Transaction::new(Arc::clone(&set), Options { mode: Some(Mode::Detect), ..Options::default() });
        tx.request_header(b"X-Value", value);
        black_box(tx.request_headers_done(&mut NoCollections));
    };
    pieces.push(("the matching plan".to_owned(), Box::new(run)));
    let limits = || Limits { arguments_max: usize::MAX, depth_max: usize::MAX, headers_max: usize::MAX, ..Limits::default() };
    pieces.push(("body URL-encoded".to_owned(), Box::new(|body| drop(black_box(url_encoded(body, b'&', usize::MAX))))));
    pieces.push(("body JSON".to_owned(), Box::new(move |body| drop(black_box(json::parse(body, &limits()))))));
    pieces.push(("body XML".to_owned(), Box::new(move |body| drop(black_box(xml::parse(body, &limits()))))));
    let kind = b"multipart/form-data; boundary=xyz";
    pieces.push(("body multipart".to_owned(), Box::new(move |body| drop(black_box(multipart::parse(body, kind, &limits()))))));
    pieces
}

/// Rules whose operators the scan rules out or not, behind chains that share their beginnings.
const PLANNED: &str = r#"
SecRule REQUEST_HEADERS:X-Value "@rx (?i)union\s+select" "id:1,phase:1,pass,nolog,t:none,t:urlDecodeUni,t:lowercase"
SecRule REQUEST_HEADERS:X-Value "@pm aaaaaaaaaaaab abababac ../../etc <scrip --+--+ /*/*/ 000000x" "id:2,phase:1,pass,nolog,t:none,t:urlDecodeUni"
SecRule REQUEST_HEADERS:X-Value "@contains zzzz" "id:3,phase:1,pass,nolog,t:none,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:cssDecode,t:removeNulls"
SecRule REQUEST_HEADERS:X-Value "@rx (?:aaab|abac|&#x41z)" "id:4,phase:1,pass,nolog,t:none,t:lowercase,t:compressWhitespace"
SecRule REQUEST_HEADERS:X-Value "@validateByteRange 1-255" "id:5,phase:1,pass,nolog,t:none,t:urlDecodeUni"
SecRule REQUEST_HEADERS:X-Value "@rx (?i)<script[^>]*>" "id:6,phase:1,pass,nolog,multiMatch,t:none,t:urlDecodeUni,t:replaceComments,t:lowercase"
"#;

/// All patterns of `@rx` in the Core Rule Set, none twice.
fn crs_patterns() -> Vec<Piece> {
    let Some(folder) = corpus::crs_folder() else { return Vec::new() };
    let set = rules::crs(&folder, 4);
    let tests = set.rules().iter().flat_map(|rule| &rule.links).filter_map(|link| link.test.as_ref());
    let mut patterns: Vec<String> = tests
        .filter_map(|test| match &test.check {
            Check::Operator(Operator::Rx(pattern)) => Some(pattern.as_str().to_owned()),
            _ => None,
        })
        .collect();
    patterns.sort();
    patterns.dedup();
    let piece = |pattern: String| -> Option<Piece> {
        let operator = Operator::compile("rx", &pattern, &MemoryFiles::new(), "rules.conf").ok()?;
        let run = move |value: &[u8]| drop(black_box(operator.matches(value, None, Some(&mut Captures::default()))));
        Some((pattern, Box::new(run)))
    };
    patterns.into_iter().filter_map(piece).collect()
}

const OPERATORS: &[(&str, &str)] = &[
    ("beginsWith", "aaaaaaaaaaaab"),
    ("contains", "aaaaaaaaaaaab"),
    ("containsWord", "aa"),
    ("detectSQLi", ""),
    ("detectXSS", ""),
    ("endsWith", "aaaab"),
    ("eq", "5"),
    ("ipMatch", "192.0.2.0/24"),
    ("ipMatchFromFile", "nets.txt"),
    ("pm", "aaaaaaaaaaaab abcabc union"),
    ("pmFromFile", "words.txt"),
    ("rx", r"(?i)(?:union\s*select|(?:a+)+b|\d+[\s,]*\d+x)"),
    ("rxGlobal", r"([a-z]+)|(\d+)"),
    ("streq", "aaaaaaaaaaaab"),
    ("strmatch", "aaaaaaaaaaaab"),
    ("validateByteRange", "32-126,128-255"),
    ("validateUrlEncoding", ""),
    ("validateUtf8Encoding", ""),
    ("verifyCC", r"\d{13,16}"),
    ("verifyCPF", r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}"),
    ("verifySSN", r"\d{3}-?\d{2}-?\d{4}"),
    ("verifySVNR", r"\d{4}[ ]?\d{6}"),
    ("within", "GET POST PUT"),
];

/// The shortest of so many runs, in nanoseconds a byte: others on the machine make a run longer, never shorter.
fn per_byte(run: &dyn Fn(&[u8]), input: &[u8], runs: usize) -> f64 {
    let once = |_| {
        let start = Instant::now();
        run(input);
        start.elapsed().as_nanos()
    };
    (0..runs).map(once).min().unwrap_or_default() as f64 / input.len() as f64
}

fn input(opening: &str, seed: &str, bytes: usize) -> Vec<u8> {
    opening.bytes().chain(seed.bytes().cycle()).take(bytes).collect()
}

/// Nanoseconds a byte of a long input, and how many times those of one a quarter as long. What looks steep is measured again.
fn measure(run: &dyn Fn(&[u8]), opening: &str, seed: &str, bytes: usize) -> (f64, f64) {
    let (short, long) = (input(opening, seed, bytes / 4), input(opening, seed, bytes));
    let mut best = (f64::MAX, f64::MAX);
    for runs in [3, 6, 12] {
        best = (best.0.min(per_byte(run, &long, runs)), best.1.min(per_byte(run, &short, runs)));
        if best.0 < 1.0 || best.0 / best.1 < STEEP {
            break;
        }
    }
    (best.0, best.0 / best.1)
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    println!("| piece | worst ns a byte | on | growth of it, x4 | steepest |\n|---|---|---|---|---|");
    for (name, run) in pieces().iter().filter(|piece| wanted.as_ref().is_none_or(|part| piece.0.contains(part))) {
        let mut worst = (0.0, 0.0, String::new());
        let mut steepest = (0.0, String::new());
        for (seed, opening) in SEEDS.iter().flat_map(|seed| OPENINGS.iter().map(move |opening| (seed, opening))) {
            let (nanoseconds, growth) = measure(run.as_ref(), opening, seed, BYTES);
            let shown = format!("{:?}", format!("{opening}{seed}")).replace('|', "\\|");
            if nanoseconds > worst.0 {
                worst = (nanoseconds, growth, shown.clone());
            }
            // Below a nanosecond a byte, growth is that of caches.
            if nanoseconds > 1.0 && growth > steepest.0 {
                steepest = (growth, shown);
            }
        }
        let steep = if steepest.0 >= STEEP { format!("{:.1} on `{}`", steepest.0, steepest.1) } else { String::new() };
        println!("| `{}` | {:.2} | `{}` | {:.2} | {steep} |", name.trim(), worst.0, worst.2, worst.1);
    }
    let patterns = if wanted.as_deref().is_none_or(|part| "patterns".contains(part)) { crs_patterns() } else { Vec::new() };
    let (mut worst, mut steepest) = ((0.0, 0.0, String::new()), (0.0, String::new()));
    for (pattern, run) in &patterns {
        for seed in SEEDS {
            let (nanoseconds, growth) = measure(run.as_ref(), "", seed, PATTERN_BYTES);
            let shown = || format!("{seed:?} by {}", pattern.chars().take(60).collect::<String>()).replace('|', "\\|");
            if nanoseconds > worst.0 {
                worst = (nanoseconds, growth, shown());
            }
            if nanoseconds > 1.0 && growth > steepest.0 {
                steepest = (growth, shown());
            }
        }
    }
    if !patterns.is_empty() {
        let steep = if steepest.0 >= STEEP { format!("{:.1} on `{}`", steepest.0, steepest.1) } else { String::new() };
        println!("| {} patterns of the Core Rule Set | {:.2} | `{}` | {:.2} | {steep} |", patterns.len(), worst.0, worst.2, worst.1);
    }
}
