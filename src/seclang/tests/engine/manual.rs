//! `docs/seclang.md` holds the whole language as the engine's own tables have it; `UPDATE=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use seclang::manual::{Support, parts};
use seclang::{MemoryFiles, RuleSet, Severity};

const BEGIN: &str = "<!-- language: made from the code by a test; UPDATE=1 writes it anew -->\n";
const END: &str = "<!-- language ends -->\n";

fn table() -> String {
    let mut text = String::new();
    for part in parts() {
        let works = part.names.iter().filter(|(_, support)| matches!(support, Support::Yes)).count();
        let _ = writeln!(text, "\n### {}\n\n{works} of {} names work.\n\n| name | | |\n|---|---|---|", part.title, part.names.len());
        for (name, support) in part.names {
            let _ = match support {
                Support::Yes => writeln!(text, "| `{name}` | yes | |"),
                Support::Alias(own) => writeln!(text, "| `{name}` | yes | as `{own}` |"),
                Support::Inert(why) => writeln!(text, "| `{name}` | warned of, no effect | {why} |"),
                Support::Refused(instead) => writeln!(text, "| `{name}` | refused | {instead} |"),
            };
        }
    }
    text
}

#[test]
fn the_page_of_the_language_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/seclang.md");
    let page = fs::read_to_string(&path).expect("docs/seclang.md");
    let (before, rest) = page.split_once(BEGIN).expect("where the tables begin");
    let (found, after) = rest.split_once(END).expect("where they end");
    let table = table();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, [before, BEGIN, &table, END, after].concat()).expect("written");
    } else {
        assert_eq!(found, table, "docs/seclang.md is not what the code says; UPDATE=1 writes it anew");
    }
}

/// A line that uses the name, as sensibly as can be without knowing it.
fn line(title: &str, name: &str, support: Support) -> Option<String> {
    Some(match title {
        // What works among these needs a value of its own kind each: tests/diagnostics and tests/engine have them.
        "Directives" | "Actions" | "Options of ctl" if matches!(support, Support::Yes) => return None,
        "Directives" => format!("{name} x"),
        "Actions" => format!("SecAction \"id:1,{name}:x\""),
        "Options of ctl" => format!("SecAction \"id:1,ctl:{name}=On\""),
        "Variables" if name == "XML" || name == "REQUEST_XML" => format!("SecRule {name}:/* \"@rx x\" \"id:1\""),
        "Variables" => format!("SecRule {name} \"@rx x\" \"id:1\""),
        "Transformations" => format!("SecRule ARGS \"@rx x\" \"id:1,t:{name}\""),
        "Operators" => {
            let argument = match name {
                "ipMatch" => "192.0.2.1",
                "pmFromFile" | "pmf" => "words.txt",
                "ipMatchFromFile" | "ipMatchF" => "nets.txt",
                "validateByteRange" => "1-255",
                "rbl" => "list.example",
                _ => "1",
            };
            format!("SecRule ARGS \"@{name} {argument}\" \"id:1\"")
        }
        _ => return None,
    })
}

#[test]
fn what_the_page_says_is_what_loading_does() {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for part in parts() {
        for (name, support) in &part.names {
            let Some(text) = line(part.title, name, *support) else { continue };
            tried += 1;
            let files = MemoryFiles::new().with("r.conf", text).with("words.txt", "a\n").with("nets.txt", "192.0.2.0/24\n");
            let worst = match RuleSet::load(&files, &["r.conf"]) {
                Ok((_, warnings)) if warnings.is_empty() => None,
                Ok(_) => Some(Severity::Warning),
                Err(_) => Some(Severity::Error),
            };
            let expected = match support {
                Support::Yes | Support::Alias(_) => None,
                Support::Inert(_) => Some(Severity::Warning),
                Support::Refused(_) => Some(Severity::Error),
            };
            if worst != expected {
                wrong.push(format!("{} {name}: {worst:?}, the page says {support:?}", part.title));
            }
        }
    }
    assert!(tried > 200, "only {tried} names");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
