//! What the tests share: files from disk, rules from text, a request.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seclang::{FileSource, MemoryCollections, MemoryFiles, Mode, Options, RuleSet, Transaction};

/// Files below a folder.
pub(crate) struct Folder(pub(crate) PathBuf);

impl FileSource for Folder {
    fn read(&self, path: &str, relative_to: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.0.join(seclang::source::join(path, relative_to))).map_err(|error| error.to_string())
    }

    fn expand(&self, pattern: &str, relative_to: &str) -> Result<Vec<String>, String> {
        let full = seclang::source::join(pattern, relative_to);
        if !pattern.contains(['*', '?', '[']) {
            return Ok(vec![full]);
        }
        let folder = Path::new(&full).parent().unwrap_or(Path::new("")).to_path_buf();
        let entries = std::fs::read_dir(self.0.join(&folder)).map_err(|error| error.to_string())?;
        let paths = entries.flatten().map(|entry| folder.join(entry.file_name()).to_string_lossy().into_owned());
        let mut paths: Vec<String> = paths.filter(|path| seclang::source::glob(full.as_bytes(), path.as_bytes())).collect();
        paths.sort();
        Ok(paths)
    }
}

/// The folder with the Core Rule Set, or none; the reason is printed.
pub(crate) fn crs_folder() -> Option<PathBuf> {
    let folder =
        std::env::var_os("PORTCULLIS_CRS").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/crs"), PathBuf::from);
    if folder.join("rules").is_dir() {
        return Some(folder);
    }
    #[allow(clippy::print_stderr, reason = "a test that skips says why")]
    {
        eprintln!("skipped: no rules in {}; set PORTCULLIS_CRS to a checkout of the Core Rule Set", folder.display());
    }
    None
}

/// Rules from text, which must load.
pub(crate) fn rules(text: &str) -> Arc<RuleSet> {
    let files = MemoryFiles::new().with("rules.conf", text);
    match RuleSet::load(&files, &["rules.conf"]) {
        Ok((rules, _)) => Arc::new(rules),
        Err(diagnostics) => panic!("{}", diagnostics.iter().map(|one| format!("{one}\n")).collect::<String>()),
    }
}

/// A request that has passed through phases 1 and 2.
pub(crate) fn get(rules: &Arc<RuleSet>, mode: Option<Mode>, uri: &str, headers: &[(&str, &str)]) -> Transaction {
    let mut collections = MemoryCollections::default();
    let mut tx = Transaction::new(Arc::clone(rules), Options { mode, unique_id: "abc123".to_owned(), ..Options::default() });
    tx.connection([192, 0, 2, 1].into(), 4711, [192, 0, 2, 80].into(), 443);
    tx.request_line(format!("GET {uri} HTTP/1.1").as_bytes(), b"GET", uri.as_bytes(), b"HTTP/1.1");
    headers.iter().for_each(|(name, value)| tx.request_header(name.as_bytes(), value.as_bytes()));
    if tx.request_headers_done(&mut collections).is_none() {
        tx.request_body_done(&mut collections);
    }
    tx
}

/// The ids of the rules that matched, in order.
pub(crate) fn ids(tx: &Transaction) -> Vec<u64> {
    tx.matches().iter().map(|one| one.rule_id).collect()
}
