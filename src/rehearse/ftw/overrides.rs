//! An overrides file: tests whose expectation is another one here, each with its reason.

use super::diagnostic;
use super::file::Test;
use super::text::Output;
use crate::diagnostic::Diagnostic;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::Path;

/// The overrides of a file, in its order.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Vec<Override>);

/// What is expected instead, of one test or several of a rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "OverrideText")]
pub struct Override {
    rule_id: u64,
    /// Empty for all tests of the rule.
    test_ids: Vec<u64>,
    /// From zero; empty for all stages.
    stage_ids: Vec<usize>,
    /// Why.
    pub reason: String,
    retry_once: bool,
    output: Output,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(rename = "version")]
    _version: IgnoredAny,
    #[serde(default, rename = "meta")]
    _meta: Option<IgnoredAny>,
    #[serde(default)]
    test_overrides: Vec<Override>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideText {
    rule_id: u64,
    #[serde(default)]
    test_ids: Vec<u64>,
    #[serde(default)]
    stage_ids: Vec<usize>,
    reason: String,
    #[serde(default)]
    retry_once: bool,
    #[serde(default)]
    output: Output,
}

impl TryFrom<OverrideText> for Override {
    type Error = String;

    fn try_from(text: OverrideText) -> Result<Self, String> {
        let OverrideText { rule_id, test_ids, stage_ids, reason, retry_once, output } = text;
        if reason.trim().is_empty() {
            return Err("an override needs its reason".into());
        }
        if output.is_empty() {
            return Err("an override with an empty output would pass whatever happens; say what is expected".into());
        }
        Ok(Self { rule_id, test_ids, stage_ids, reason: reason.trim().to_owned(), retry_once, output })
    }
}

impl Overrides {
    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Diagnostic> {
        let file: FileText = serde_norway::from_str(text).map_err(|e| diagnostic(path, text, &e))?;
        Ok(Self(file.test_overrides))
    }

    /// The last override for a stage of a test; the stage's output is replaced as a whole.
    pub fn of(&self, test: &Test, stage: usize) -> Option<&Override> {
        self.0.iter().rev().find(|o| {
            o.rule_id == test.rule_id
                && (o.test_ids.is_empty() || o.test_ids.contains(&test.test_id))
                && (o.stage_ids.is_empty() || o.stage_ids.contains(&stage))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Override {
    /// What is expected instead.
    pub fn output(&self) -> Output {
        Output { retry_once: self.retry_once || self.output.retry_once, ..self.output.clone() }
    }
}
