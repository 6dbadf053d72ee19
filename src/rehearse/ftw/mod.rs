//! The go-ftw regression format (schema versions 2 and 3): test files, override files, requests, and what decides a test.

mod file;
mod overrides;
mod request;
mod template;
mod text;
mod verdict;

pub use file::{Test, TestFile, parse, read};
pub use overrides::{Override, Overrides};
pub use request::{Target, bytes, follow};
pub use text::{Input, Log, Output, Stage};
pub use verdict::{Seen, judge};

use crate::diagnostic::Diagnostic;
use std::path::Path;

/// A YAML error as a diagnostic at its place.
fn diagnostic(path: &Path, text: &str, error: &serde_norway::Error) -> Diagnostic {
    let whole = error.to_string();
    // The place is said once, in front.
    let message = whole.rfind(" at line ").map_or(whole.as_str(), |at| &whole[..at]);
    let help = "the format is described in docs/testing-policies.md";
    match error.location() {
        Some(place) => {
            let start = place.index().min(text.len());
            let rest = text.get(start..).unwrap_or_default();
            let length = rest.find(['\n', ':', '#']).unwrap_or(rest.len());
            Diagnostic::at(path, text, start..start + length, message, help)
        }
        None => Diagnostic::file(path, message, help),
    }
}
