//! `portcullis check`: every mistake of the policy and of the files it names, in one run.

use super::{Format, OK, PolicyFile, USAGE, report};
use crate::diagnostic::{Diagnostic, Severity};
use crate::server;

pub(super) fn run(file: &PolicyFile, format: Format) -> i32 {
    let (found, summary, code) = match server::prepare(&file.path) {
        Ok(prepared) => {
            let policy = &prepared.policy;
            let maps: usize = policy.sites.iter().map(|s| s.maps.len()).sum();
            let summary = format!(
                "{}: ok: {}, {}, {}, {}, {}",
                file.path.display(),
                count(policy.listeners.len(), "listener"),
                count(policy.sites.len(), "site"),
                count(maps, "map"),
                count(policy.backends.len(), "backend"),
                count(prepared.warnings.len(), "warning")
            );
            (prepared.warnings, summary, OK)
        }
        Err(found) => {
            let errors = found.iter().filter(|d| d.is_error()).count();
            (found, count(errors, "mistake"), USAGE)
        }
    };
    match format {
        Format::Human => {
            report(&found);
            if code == OK { println!("{summary}") } else { eprintln!("\n{summary}") }
        }
        Format::Json => println!("{}", serde_json::Value::Array(found.iter().map(json).collect())),
    }
    code
}

/// `1 site`, `2 sites`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn json(diagnostic: &Diagnostic) -> serde_json::Value {
    serde_json::json!({
        "severity": match diagnostic.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "path": diagnostic.path.display().to_string(),
        "line": diagnostic.place.map(|p| p.line),
        "column": diagnostic.place.map(|p| p.column),
        "message": diagnostic.message,
        "help": diagnostic.help,
    })
}
