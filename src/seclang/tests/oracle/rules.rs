//! The Core Rule Set at a paranoia level, loaded from disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seclang::{FileSource, RuleSet};

/// Files below a folder, and one in memory that comes first.
struct Files {
    folder: PathBuf,
    setup: String,
}

impl FileSource for Files {
    fn read(&self, path: &str, relative_to: &str) -> Result<Vec<u8>, String> {
        if path == "setup" {
            return Ok(self.setup.clone().into_bytes());
        }
        std::fs::read(self.folder.join(seclang::source::join(path, relative_to))).map_err(|error| error.to_string())
    }

    fn expand(&self, pattern: &str, relative_to: &str) -> Result<Vec<String>, String> {
        let full = seclang::source::join(pattern, relative_to);
        if !pattern.contains('*') {
            return Ok(vec![full]);
        }
        let folder = Path::new(&full).parent().unwrap_or(Path::new("")).to_path_buf();
        let entries = std::fs::read_dir(self.folder.join(&folder)).map_err(|error| error.to_string())?;
        let paths = entries.flatten().map(|entry| folder.join(entry.file_name()).to_string_lossy().into_owned());
        let mut paths: Vec<String> = paths.filter(|path| seclang::source::glob(full.as_bytes(), path.as_bytes())).collect();
        paths.sort();
        Ok(paths)
    }
}

/// All rules of a folder at a paranoia level, with the body processors and limits that the set expects.
pub(crate) fn crs(folder: &Path, level: u32) -> Arc<RuleSet> {
    let setup = format!(
        "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/plain text/html text/xml\n\
         SecRule REQUEST_HEADERS:Content-Type \"@rx ^(?:application(?:/soap\\+|/)|text/)xml\" \"id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecRule REQUEST_HEADERS:Content-Type \"@rx ^application/(?:[a-z0-9.-]+[+])?json\" \"id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
         SecAction \"id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level={level}\"\n"
    );
    let files = Files { folder: folder.to_path_buf(), setup };
    match RuleSet::load(&files, &["setup", "crs-setup.conf.example", "rules/*.conf"]) {
        Ok((rules, _)) => Arc::new(rules),
        Err(diagnostics) => panic!("{}", diagnostics.iter().map(|one| format!("{one}\n")).collect::<String>()),
    }
}
