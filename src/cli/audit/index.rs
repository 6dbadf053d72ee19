//! `audit index`: brings the index up to date, or builds it anew.

use super::{End, Folders, Printer};
use crate::cli::Format;
use crate::search::{Work, update};
use serde_json::json;
use std::io::{self, IsTerminal};

/// Memory for an index that somebody waits for.
const MEMORY_BYTES: usize = 400 * 1024 * 1024;

pub(super) fn run(folders: &Folders, rebuild: bool, to: &mut Printer) -> Result<bool, End> {
    if rebuild {
        crate::search::forget(&folders.index)?;
    }
    let terminal = io::stderr().is_terminal();
    let mut progress = |done: u64, all: u64| {
        if terminal {
            let width = 40;
            let filled = usize::try_from(done * width / all.max(1)).unwrap_or_default();
            let marks = "#".repeat(filled);
            eprint!("\r[{marks:<40}] {} of {} MB", done >> 20, all >> 20);
        }
        true
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(4);
    let work = &mut Work { threads, memory_bytes: MEMORY_BYTES, thorough: true, progress: &mut progress };
    let report = update(&folders.directory, &folders.index, work);
    if terminal {
        eprint!("\r{:60}\r", "");
    }
    let report = report?;
    match to.format {
        Format::Human => {
            writeln!(to.out, "{} records of {} files taken in, {} files taken out", report.records, report.files, report.removed)?
        }
        Format::Json => writeln!(to.out, "{}", json!({"records": report.records, "files": report.files, "removed": report.removed}))?,
    }
    Ok(true)
}
