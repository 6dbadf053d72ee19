//! Loads the Core Rule Set and inspects one request: `cargo run -p seclang --example inspect -- FOLDER URL`.
#![allow(clippy::print_stdout, reason = "it prints what it found")]

use seclang::{MemoryFiles, Mode, NoCollections, Options, RuleSet, Transaction};
use std::{env, error::Error, fs, sync::Arc};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let (folder, url) = words.next().zip(words.next()).ok_or("usage: inspect FOLDER URL")?;
    let mut files = MemoryFiles::new();
    for entry in fs::read_dir(&folder)?.chain(fs::read_dir(format!("{folder}/rules"))?) {
        let path = entry?.path();
        if path.is_file() {
            files = files.with(&path.to_string_lossy(), fs::read(&path)?);
        }
    }
    let roots = [format!("{folder}/crs-setup.conf.example"), format!("{folder}/rules/*.conf")];
    let (rules, _) = RuleSet::load(&files, &roots).map_err(|mistakes| mistakes[0].to_string())?;
    let mut request = Transaction::new(Arc::new(rules), Options { mode: Some(Mode::Block), ..Options::default() });
    let headers = [("Host", "www.example.com"), ("User-Agent", "Mozilla/5.0")];
    let decision = request.request("GET", &url, &headers, b"", &mut NoCollections);
    request.matches().iter().for_each(|found| println!("{found}"));
    println!("{}", decision.map_or("passed".into(), |denied| format!("denied with {} by rule {}", denied.status, denied.rule_id)));
    Ok(())
}
