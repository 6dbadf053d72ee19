//! Reads case files: one case a line, values in double quotes with `\n` `\r` `\t` `\0` `\\` `\"` `\xHH`, `#` comments.

use std::path::{Path, PathBuf};

/// A word of a case line: a quoted value or a bare word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Value(Vec<u8>),
    Bare(String),
}

/// One line with where it stands, for messages.
pub(crate) struct Case {
    pub(crate) place: String,
    pub(crate) words: Vec<Word>,
}

/// The folder `name` beside this test.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Every case file of a folder as (file stem, cases), in the order of their names.
pub(crate) fn read(folder_name: &str) -> Vec<(String, Vec<Case>)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder(folder_name))
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    paths.iter().map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), read_file(path))).collect()
}

/// The cases of one file.
pub(crate) fn read_file(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).expect("a readable case file");
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|(index, line)| Case { place: format!("{}:{}", path.display(), index + 1), words: words(line) }).collect()
}

fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = line.trim().as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b' ' {
            rest = tail;
        } else if first == b'"' {
            let (value, after) = quoted(tail);
            words.push(Word::Value(value));
            rest = after;
        } else {
            let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
            words.push(Word::Bare(String::from_utf8_lossy(&rest[..end]).into_owned()));
            rest = &rest[end..];
        }
    }
    words
}

fn quoted(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    loop {
        match rest {
            [b'"', after @ ..] => return (value, after),
            [b'\\', b'x', high, low, after @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("two digits");
                value.push(u8::from_str_radix(digits, 16).expect("two digits"));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                value.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'0' => 0,
                    other => *other,
                });
                rest = after;
            }
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => panic!("a quoted value does not end"),
        }
    }
}
