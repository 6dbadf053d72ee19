//! Loads the Core Rule Set from a folder and inspects one request: `cargo run -p seclang --example inspect -- FOLDER URL`.

#![allow(clippy::print_stdout, reason = "it prints what it found")]

use std::path::PathBuf;
use std::sync::Arc;

use seclang::{FileSource, MemoryCollections, Mode, Options, RuleSet, Transaction};

/// Rule files in one folder. The crate opens no files itself.
struct Folder(PathBuf);

impl FileSource for Folder {
    fn read(&self, path: &str, relative_to: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.0.join(seclang::source::join(path, relative_to))).map_err(|error| error.to_string())
    }
}

fn main() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    let (folder, url) = words.next().zip(words.next()).ok_or("usage: inspect FOLDER URL")?;
    let listed = std::fs::read_dir(PathBuf::from(&folder).join("rules")).map_err(|error| format!("{folder}: {error}"))?;
    let names = listed.flatten().map(|entry| format!("rules/{}", entry.file_name().to_string_lossy()));
    let mut files: Vec<String> = names.filter(|name| name.ends_with(".conf")).collect();
    files.sort();
    files.insert(0, "crs-setup.conf.example".to_owned());

    let roots: Vec<&str> = files.iter().map(String::as_str).collect();
    let (rules, _) = RuleSet::load(&Folder(folder.into()), &roots).map_err(|mistakes| mistakes[0].to_string())?;
    let mut collections = MemoryCollections::default();
    let mut request = Transaction::new(Arc::new(rules), Options { mode: Some(Mode::Block), ..Options::default() });
    request.connection([192, 0, 2, 1].into(), 50_000, [192, 0, 2, 80].into(), 443);
    request.request_line(format!("GET {url} HTTP/1.1").as_bytes(), b"GET", url.as_bytes(), b"HTTP/1.1");
    request.request_header(b"Host", b"www.example.com");
    request.request_header(b"User-Agent", b"Mozilla/5.0");
    let decision = request.request_headers_done(&mut collections).or_else(|| request.request_body_done(&mut collections));
    request.log(&mut collections);

    for one in request.matches() {
        println!("{} {} ({})", one.rule_id, String::from_utf8_lossy(&one.message), String::from_utf8_lossy(&one.variable));
    }
    match decision {
        Some(denied) => println!("denied with {} by rule {}", denied.status, denied.rule_id),
        None => println!("passed"),
    }
    Ok(())
}
