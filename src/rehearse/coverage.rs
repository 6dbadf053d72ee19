//! Which of the loaded rules no test has fired.

use super::Outcome;
use crate::layers::inspection::LoadedRule;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The rules of a rehearsal by file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Files in the order of their names.
    pub files: Vec<FileCoverage>,
    /// Rules that no record names, and of which nobody can say whether they were fired.
    pub silent: usize,
}

/// The rules of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCoverage {
    /// The file.
    pub file: Arc<str>,
    /// How many of its rules records name.
    pub rules: usize,
    /// Those of them that matched in no test, in their order.
    pub never: Vec<LoadedRule>,
}

impl Coverage {
    /// Holds what was loaded against what matched.
    pub fn of(loaded: Vec<LoadedRule>, outcomes: &[Outcome]) -> Self {
        let fired: BTreeSet<u64> = outcomes.iter().flat_map(|outcome| &outcome.stages).flat_map(|stage| &stage.ids).copied().collect();
        let mut files: BTreeMap<Arc<str>, FileCoverage> = BTreeMap::new();
        let mut silent = 0;
        for rule in loaded {
            if !rule.logs {
                silent += 1;
                continue;
            }
            let file =
                files.entry(rule.file.clone()).or_insert_with(|| FileCoverage { file: rule.file.clone(), rules: 0, never: Vec::new() });
            file.rules += 1;
            if !fired.contains(&rule.id) {
                file.never.push(rule);
            }
        }
        Self { files: files.into_values().collect(), silent }
    }

    /// How many rules records name.
    pub fn rules(&self) -> usize {
        self.files.iter().map(|file| file.rules).sum()
    }

    /// How many of them matched.
    pub fn fired(&self) -> usize {
        self.files.iter().map(|file| file.rules - file.never.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearse::{StageOutcome, Status};
    use std::time::Duration;

    #[test]
    fn rules_are_counted_by_file_and_those_that_log_nothing_apart() {
        let rule = |file: &str, line, id, logs| LoadedRule { file: file.into(), line, id, message: "m".into(), logs };
        let loaded = vec![rule("a.conf", 1, 1, true), rule("a.conf", 2, 2, true), rule("a.conf", 3, 3, false), rule("b.conf", 1, 4, true)];
        let stage = |ids: &[u64]| StageOutcome {
            request: Vec::new(),
            wrong: Vec::new(),
            answer: Ok(200),
            ids: ids.iter().copied().collect(),
            events: Vec::new(),
        };
        let outcome = Outcome { index: 0, status: Status::Failed, stages: vec![stage(&[4]), stage(&[1, 9])], elapsed: Duration::ZERO };
        let coverage = Coverage::of(loaded.clone(), &[outcome]);
        assert_eq!((coverage.rules(), coverage.fired(), coverage.silent), (3, 2, 1));
        let never: Vec<(&str, &[LoadedRule])> = coverage.files.iter().map(|file| (&*file.file, &file.never[..])).collect();
        assert_eq!(never, [("a.conf", &loaded[1..2]), ("b.conf", &[])]);
    }
}
