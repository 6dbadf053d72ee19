//! Rule files for the engine: read from the disk, or the baseline built into the binary.

use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::policy::{CrsFiles, POLICY_VARIABLE, Policy, RuleSetSource};
use seclang::ruleset::RuleSet;
use seclang::source::{FileSource, glob, join};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The rules as shipped, so that a gateway with nothing but its binary has them.
const BUILT_IN: &[(&str, &str)] = &[
    (ENGINE, include_str!("../../../policies/crs/engine.conf")),
    ("baseline/00-setup.conf", include_str!("../../../policies/rules/00-setup.conf")),
    ("baseline/10-protocol.conf", include_str!("../../../policies/rules/10-protocol.conf")),
    ("baseline/20-scanners.conf", include_str!("../../../policies/rules/20-scanners.conf")),
    ("baseline/30-sql-injection.conf", include_str!("../../../policies/rules/30-sql-injection.conf")),
    ("baseline/40-xss.conf", include_str!("../../../policies/rules/40-xss.conf")),
    ("baseline/50-traversal.conf", include_str!("../../../policies/rules/50-traversal.conf")),
    ("baseline/60-remote-file.conf", include_str!("../../../policies/rules/60-remote-file.conf")),
    ("baseline/65-session.conf", include_str!("../../../policies/rules/65-session.conf")),
    ("baseline/70-command-injection.conf", include_str!("../../../policies/rules/70-command-injection.conf")),
    ("baseline/80-code.conf", include_str!("../../../policies/rules/80-code.conf")),
    ("baseline/90-decision.conf", include_str!("../../../policies/rules/90-decision.conf")),
    ("baseline/gadgets.data", include_str!("../../../policies/rules/gadgets.data")),
    ("baseline/gadgets-base64.data", include_str!("../../../policies/rules/gadgets-base64.data")),
    ("baseline/sql-catalogues.data", include_str!("../../../policies/rules/sql-catalogues.data")),
    ("baseline/scanners.data", include_str!("../../../policies/rules/scanners.data")),
];
/// The engine's settings and base rules for the Core Rule Set.
const ENGINE: &str = "engine/engine.conf";
/// The rules made from what the policy says about the Core Rule Set.
const MADE: &str = "policy/variables.conf";
/// The first id of those rules, in the range for local use; the baseline has those before it.
const MADE_ID_FIRST: usize = 11_000;
/// Bytes of one rule or data file.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Files of the disk, the built-in ones, and the one made from the policy.
struct Files {
    made: String,
}

impl FileSource for Files {
    fn read(&self, path: &str, relative_to: &str) -> Result<Vec<u8>, String> {
        let path = join(path, relative_to);
        if path == MADE {
            return Ok(self.made.as_bytes().to_vec());
        }
        if let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == path) {
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
    compile(std::iter::once(source), &BTreeSet::new()).map_or_else(|d| d, |(_, d)| d)
}

/// Compiles a combination of rule sets, for all maps that have it.
///
/// # Errors
/// Every mistake in the files.
pub(super) fn load(policy: &Policy, wanted: &[usize]) -> Result<(RuleSet, Vec<Diagnostic>), Vec<Diagnostic>> {
    let maps = policy.sites.iter().flat_map(|site| site.every_map());
    let names = maps.filter(|m| m.inspection.rule_sets == wanted).flat_map(|m| &m.inspection.variables);
    let names = names.filter_map(|(name, _)| name.strip_prefix(POLICY_VARIABLE)).collect();
    compile(wanted.iter().filter_map(|i| policy.rule_sets.get(*i)), &names)
}

fn compile<'a>(
    sources: impl Iterator<Item = &'a RuleSetSource>,
    variables: &BTreeSet<&str>,
) -> Result<(RuleSet, Vec<Diagnostic>), Vec<Diagnostic>> {
    let files = Files { made: made(variables) };
    let mut roots: Vec<String> = Vec::new();
    let mut published = vec![ENGINE.to_owned(), MADE.to_owned()];
    for source in sources {
        match source {
            RuleSetSource::Baseline { directory: None } => roots
                .extend(BUILT_IN.iter().map(|(n, _)| *n).filter(|n| n.starts_with("baseline/") && n.ends_with(".conf")).map(str::to_owned)),
            RuleSetSource::Baseline { directory: Some(folder) } => {
                let found = inside(&files, folder, "*.conf");
                if found.is_empty() {
                    return Err(vec![Diagnostic::file(
                        folder,
                        "no rule files (*.conf) here",
                        "point the baseline at a folder with rules, or leave the folder out for the built-in ones",
                    )]);
                }
                roots.extend(found);
            }
            RuleSetSource::Crs(crs) => {
                published.extend([&crs.rules, &crs.setup].into_iter().chain(&crs.plugins).map(|p| text(p)));
                roots.extend(crs_roots(&files, crs));
            }
            RuleSetSource::Files(files) => roots.extend(files.iter().map(|f| text(f))),
        }
    }
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let ours = |list: Vec<seclang::diagnostic::Diagnostic>| list.into_iter().map(ours).collect::<Vec<_>>();
    match RuleSet::load(&files, &roots) {
        Ok((rules, warnings)) => {
            let mut warnings = ours(warnings);
            warnings.extend(idle(&files, &rules, &published));
            Ok((rules, warnings))
        }
        Err(mistakes) => Err(ours(mistakes)),
    }
}

/// The rules that can do nothing, but for those of a published set: an administrator cannot mend them, and its exclusions are
/// written for whoever has the application.
fn idle(files: &Files, rules: &RuleSet, published: &[String]) -> Vec<Diagnostic> {
    let own = |file: &str| !published.iter().any(|folder| file.starts_with(folder.as_str()));
    let lints = rules.lint().into_iter().filter(|lint| own(&lint.file));
    let warn = lints.map(|lint| {
        let bytes = files.read(&lint.file, "").unwrap_or_default();
        let line = String::from_utf8_lossy(&bytes).lines().nth(lint.line.saturating_sub(1) as usize).unwrap_or_default().to_owned();
        let directive = line.split_whitespace().next().unwrap_or_default().chars().count();
        Diagnostic {
            severity: Severity::Warning,
            path: lint.file.to_string().into(),
            place: Some(Place::new(lint.line as usize, 1, directive)),
            line_text: line,
            message: lint.message,
            help: lint.help,
        }
    });
    warn.collect()
}

/// The Core Rule Set's files in the order its documentation gives: setup, plugins' configuration and what they put before the
/// rules, the rules, what plugins put behind them.
fn crs_roots(files: &Files, crs: &CrsFiles) -> Vec<String> {
    let plugins = |end: &str| crs.plugins.iter().flat_map(|p| inside(files, p, end)).collect::<Vec<_>>();
    let mut roots = vec![crs.engine.as_deref().map_or_else(|| ENGINE.to_owned(), text), text(&crs.setup)];
    if !files.made.is_empty() {
        roots.push(MADE.to_owned());
    }
    roots.extend(plugins("*-config.conf"));
    roots.extend(plugins("*-before.conf"));
    roots.extend(crs.before.as_deref().map(text));
    roots.extend(inside(files, &crs.rules, "*.conf"));
    roots.extend(crs.after.as_deref().map(text));
    roots.extend(plugins("*-after.conf"));
    roots
}

/// The files of a folder that fit a pattern, in the order of their names.
fn inside(files: &Files, folder: &Path, pattern: &str) -> Vec<String> {
    files.expand(&text(&folder.join(pattern)), "").unwrap_or_default()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Rules that give the setup's variables the values a map has for them. One rule set serves all maps: the values are in the
/// transaction, and where a map has none the rule does not match.
fn made(variables: &BTreeSet<&str>) -> String {
    let mut out = String::new();
    for (place, name) in variables.iter().enumerate() {
        let id = MADE_ID_FIRST + place;
        let _ = writeln!(
            out,
            "SecRule TX:{POLICY_VARIABLE}{name} \"@unconditionalMatch\" \"id:{id},phase:1,pass,nolog,t:none,setvar:'tx.{name}=%{{matched_var}}'\""
        );
    }
    out
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_baseline_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/rules");
        let names: BTreeSet<String> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        let built_in: BTreeSet<String> = BUILT_IN.iter().filter_map(|(n, _)| n.strip_prefix("baseline/")).map(str::to_owned).collect();
        assert_eq!(built_in, names);
        assert!(check_rules(&RuleSetSource::Baseline { directory: None }).is_empty());
    }
}
