//! A test file: its tests in order, each with its stages; every mistake is an error with its place.

use super::diagnostic;
use super::text::{Input, Output, RequestTemplate, Stage};
use crate::diagnostic::Diagnostic;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of one test file; the largest of the Core Rule Set has 120 KB.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A file of tests.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its tests; a file of comments has none.
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Test {
    /// The file it is in.
    pub path: Arc<Path>,
    /// The rule it is about.
    pub rule_id: u64,
    /// Its number among the tests of the rule.
    pub test_id: u64,
    /// For people.
    pub description: String,
    /// One request after another; the last one's result is the test's.
    pub stages: Vec<Stage>,
}

impl Test {
    /// `rule-test`, the test's name everywhere.
    pub fn name(&self) -> String {
        format!("{}-{}", self.rule_id, self.test_id)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with rule_id and tests")]
struct FileText {
    // What belongs under `meta` and says nothing about the tests; the Core Rule Set has it beside `meta` once.
    #[serde(default, rename = "meta")]
    _meta: Option<IgnoredAny>,
    #[serde(default, rename = "author")]
    _author: Option<IgnoredAny>,
    #[serde(default)]
    rule_id: u64,
    template: Option<RequestTemplate>,
    #[serde(default)]
    tests: Vec<TestText>,
}

#[derive(Deserialize)]
#[serde(try_from = "TestFields")]
struct TestText(TestFields);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFields {
    #[serde(default, alias = "id")]
    test_id: u64,
    #[serde(default, rename = "test_title")]
    _test_title: Option<IgnoredAny>,
    #[serde(default, alias = "description")]
    desc: String,
    #[serde(default, rename = "tags")]
    _tags: Option<IgnoredAny>,
    #[serde(default)]
    stages: Vec<Stage>,
    template: Option<RequestTemplate>,
    payload: Option<String>,
    output: Option<Output>,
}

impl TryFrom<TestFields> for TestText {
    type Error = String;

    fn try_from(fields: TestFields) -> Result<Self, String> {
        match (fields.stages.is_empty(), &fields.output) {
            (true, None) => Err("a test needs stages, or a payload with an output".into()),
            (false, Some(_)) => Err("a test has stages, or a payload with an output, not both".into()),
            (false, None) if fields.payload.is_some() || fields.template.is_some() => {
                Err("payload and template go with output, not with stages".into())
            }
            _ => Ok(Self(fields)),
        }
    }
}

/// Reads a file from the disk.
///
/// # Errors
/// What is wrong with it, at its place.
pub fn read(path: &Path) -> Result<TestFile, Diagnostic> {
    let unreadable = |e: &dyn std::fmt::Display| Diagnostic::file(path, format!("cannot be read: {e}"), "");
    let length = std::fs::metadata(path).map_err(|e| unreadable(&e))?.len();
    if length > FILE_BYTES_MAX {
        return Err(Diagnostic::file(path, format!("{length} bytes are more than a test file may have ({FILE_BYTES_MAX})"), ""));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(&e))?;
    let text = String::from_utf8(bytes).map_err(|_| Diagnostic::file(path, "this is not UTF-8", "save the file as UTF-8"))?;
    parse(path, &text)
}

/// Reads a file's text.
///
/// # Errors
/// What is wrong with it, at its place.
pub fn parse(path: &Path, text: &str) -> Result<TestFile, Diagnostic> {
    let mut documents = serde_norway::Deserializer::from_str(text);
    let mut tests = Vec::new();
    // A file of comments has no document.
    if let Some(document) = documents.next()
        && let Some(file) = Option::<FileText>::deserialize(document).map_err(|e| diagnostic(path, text, &e))?
    {
        tests = of(path, text, file)?;
    }
    if documents.next().is_some() {
        return Err(Diagnostic::file(path, "there is more than one YAML document", "write one file for each rule"));
    }
    Ok(TestFile { path: path.to_owned(), tests })
}

fn of(path: &Path, text: &str, file: FileText) -> Result<Vec<Test>, Diagnostic> {
    let rule_id = if file.rule_id != 0 { Some(file.rule_id) } else { number(path) };
    let rule_id = rule_id.ok_or_else(|| {
        Diagnostic::at(path, text, 0..0, "there is no rule_id, and no number in the file's name", "write rule_id: 123456 at the top")
    })?;
    let shared: Arc<Path> = path.into();
    let mut tests: Vec<Test> = Vec::with_capacity(file.tests.len());
    for (index, TestText(fields)) in file.tests.into_iter().enumerate() {
        let test_id = if fields.test_id == 0 { index as u64 + 1 } else { fields.test_id };
        if tests.iter().any(|t| t.test_id == test_id) {
            let at = nth(text, "test_id: ", &test_id.to_string(), 1);
            return Err(Diagnostic::at(
                path,
                text,
                at,
                format!("there are two tests {rule_id}-{test_id}"),
                "give each test its own test_id",
            ));
        }
        let stages = match fields.output {
            None => fields.stages,
            Some(output) => {
                let missing = |what: &str| Diagnostic::file(path, format!("test {rule_id}-{test_id}: {what}"), "");
                let template = fields.template.as_ref().or(file.template.as_ref());
                let template = template.ok_or_else(|| missing("there is no template for its payload"))?;
                let input: Input = template.with(fields.payload.as_deref().unwrap_or_default()).map_err(|e| missing(&e))?;
                vec![Stage { description: String::new(), input, output }]
            }
        };
        tests.push(Test { path: Arc::clone(&shared), rule_id, test_id, description: fields.desc.trim().to_owned(), stages });
    }
    Ok(tests)
}

/// The first run of digits in a file's name.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let digits: String = name.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|id| *id != 0)
}

/// Where `key` with `value` stands for the n-th time, from zero; the file's beginning where it does not.
fn nth(text: &str, key: &str, value: &str, n: usize) -> std::ops::Range<usize> {
    let ends = |at: usize| text[at + key.len() + value.len()..].chars().next().is_none_or(|c| !c.is_ascii_digit());
    let mut places = text.match_indices(key).map(|(at, _)| at).filter(|at| text[at + key.len()..].starts_with(value) && ends(*at));
    places.nth(n).map_or(0..0, |at| at..at + key.len() + value.len())
}
