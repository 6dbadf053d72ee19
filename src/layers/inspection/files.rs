//! Rule files for the engine: read from the disk, or the baseline built into the binary.

use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::policy::{Policy, RuleSetSource};
use seclang::ruleset::RuleSet;
use seclang::source::{FileSource, glob, join};
use std::fs;
use std::path::Path;

/// The baseline rules as shipped, so that a gateway with nothing but its binary has them.
const BASELINE: &[(&str, &str)] = &[
    ("baseline/00-setup.conf", include_str!("../../../policies/rules/00-setup.conf")),
    ("baseline/10-protocol.conf", include_str!("../../../policies/rules/10-protocol.conf")),
    ("baseline/20-scanners.conf", include_str!("../../../policies/rules/20-scanners.conf")),
    ("baseline/30-sql-injection.conf", include_str!("../../../policies/rules/30-sql-injection.conf")),
    ("baseline/40-xss.conf", include_str!("../../../policies/rules/40-xss.conf")),
    ("baseline/50-traversal.conf", include_str!("../../../policies/rules/50-traversal.conf")),
    ("baseline/60-remote-file.conf", include_str!("../../../policies/rules/60-remote-file.conf")),
    ("baseline/70-command-injection.conf", include_str!("../../../policies/rules/70-command-injection.conf")),
    ("baseline/90-decision.conf", include_str!("../../../policies/rules/90-decision.conf")),
    ("baseline/scanners.data", include_str!("../../../policies/rules/scanners.data")),
];
/// Bytes of one rule or data file.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Files of the disk, and the built-in ones under `baseline/`.
struct Files;

impl FileSource for Files {
    fn read(&self, path: &str, relative_to: &str) -> Result<Vec<u8>, String> {
        let path = join(path, relative_to);
        if let Some((_, text)) = BASELINE.iter().find(|(name, _)| *name == path) {
            return Ok(text.as_bytes().to_vec());
        }
        let length = fs::metadata(&path).map_err(|e| e.to_string())?.len();
        if length > FILE_BYTES_MAX {
            return Err(format!("{length} bytes are more than a rule file may have ({FILE_BYTES_MAX})"));
        }
        fs::read(&path).map_err(|e| e.to_string())
    }

    fn expand(&self, pattern: &str, relative_to: &str) -> Result<Vec<String>, String> {
        let full = join(pattern, relative_to);
        if !pattern.contains(['*', '?', '[']) {
            return Ok(vec![full]);
        }
        let folder = Path::new(&full).parent().unwrap_or_else(|| Path::new("."));
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(|e| e.to_string())? {
            let path = entry.map_err(|e| e.to_string())?.path();
            if let Some(text) = path.to_str()
                && path.is_file()
                && glob(full.as_bytes(), text.as_bytes())
            {
                found.push(text.to_owned());
            }
        }
        found.sort();
        Ok(found)
    }
}

/// What is wrong with one rule set by itself.
pub fn check_rules(source: &RuleSetSource) -> Vec<Diagnostic> {
    compile(std::iter::once(source)).map_or_else(|d| d, |(_, d)| d)
}

/// Compiles a combination of rule sets.
///
/// # Errors
/// Every mistake in the files.
pub(super) fn load(policy: &Policy, wanted: &[usize]) -> Result<(RuleSet, Vec<Diagnostic>), Vec<Diagnostic>> {
    compile(wanted.iter().filter_map(|i| policy.rule_sets.get(*i)))
}

fn compile<'a>(sources: impl Iterator<Item = &'a RuleSetSource>) -> Result<(RuleSet, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut roots: Vec<String> = Vec::new();
    for source in sources {
        match source {
            RuleSetSource::Baseline { directory: None } => {
                roots.extend(BASELINE.iter().map(|(n, _)| *n).filter(|n| n.ends_with(".conf")).map(str::to_owned))
            }
            RuleSetSource::Baseline { directory: Some(folder) } => {
                let pattern = folder.join("*.conf");
                let found = Files.expand(&pattern.to_string_lossy(), "").unwrap_or_default();
                if found.is_empty() {
                    return Err(vec![Diagnostic::file(
                        folder,
                        "no rule files (*.conf) here",
                        "point the baseline at a folder with rules, or leave the folder out for the built-in ones",
                    )]);
                }
                roots.extend(found);
            }
            RuleSetSource::Files(files) => roots.extend(files.iter().map(|f| f.to_string_lossy().into_owned())),
        }
    }
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let ours = |list: Vec<seclang::diagnostic::Diagnostic>| list.into_iter().map(ours).collect::<Vec<_>>();
    match RuleSet::load(&Files, &roots) {
        Ok((rules, warnings)) => Ok((rules, ours(warnings))),
        Err(mistakes) => Err(ours(mistakes)),
    }
}

/// The engine's diagnostic as ours: they have the same parts.
fn ours(theirs: seclang::diagnostic::Diagnostic) -> Diagnostic {
    let place = (theirs.line > 0).then(|| Place::new(theirs.line as usize, theirs.column as usize, theirs.length as usize));
    Diagnostic {
        severity: if theirs.severity == seclang::diagnostic::Severity::Error { Severity::Error } else { Severity::Warning },
        path: theirs.path.into(),
        place,
        line_text: theirs.line_text,
        message: theirs.message,
        help: theirs.help.unwrap_or_default(),
    }
}
