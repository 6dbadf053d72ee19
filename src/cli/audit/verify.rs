//! `portcullis audit verify`: whether the trail is whole, held against its key, its heads and the writer's position.

use super::super::Format;
use super::{End, Place, Printer};
use crate::audit::escape::printable;
use crate::audit::read;
use crate::audit::verify::{Bad, Evidence, Report, Sources, verify};
use crate::diagnostic::Diagnostic;
use serde_json::{Value, json};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the progress is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyCommand {
    #[command(flatten)]
    pub(super) place: Place,
    /// A key whose signatures count, public or private; may be given several times. Otherwise the gateway's own
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// Copies of signed records from a second place; may be given several times. Otherwise the gateway's own
    #[arg(long, value_name = "FILE")]
    heads: Vec<PathBuf>,
}

/// Where things are.
struct Paths {
    directory: PathBuf,
    sources: Sources,
}

impl VerifyCommand {
    fn paths(&self) -> Result<Paths, Vec<Diagnostic>> {
        let (directory, state, key, heads) = match &self.place.directory {
            Some(directory) => {
                let mut name = directory.file_name().unwrap_or_default().to_owned();
                name.push("-state");
                (directory.clone(), directory.with_file_name(name), None, None)
            }
            None => {
                let audit = crate::policy::load(&self.place.policy.path)?.0.audit;
                (audit.directory, audit.state_directory, audit.signing_key, audit.heads_file)
            }
        };
        let mut sources = Sources::of(&state, key.as_deref(), heads.as_deref());
        if !self.key.is_empty() {
            sources.keys.clone_from(&self.key);
        }
        if !self.heads.is_empty() {
            sources.heads.clone_from(&self.heads);
        }
        Ok(Paths { directory, sources })
    }
}

/// Whether the trail is whole.
pub(super) fn run(command: &VerifyCommand, to: &mut Printer) -> Result<bool, End> {
    let paths = command.paths().map_err(|mistakes| End::Usage(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let (found, evidence) = check(&paths)?;
    match to.format {
        Format::Json => writeln!(to.out, "{}", json(&found, &evidence))?,
        _ => human(&found, &evidence, &paths.directory, to.out)?,
    }
    Ok(found.bad.is_none())
}

fn check(paths: &Paths) -> io::Result<(Report, Evidence)> {
    let evidence = match Evidence::read(&paths.sources, true)? {
        Ok(evidence) => evidence,
        Err(bad) => return Ok((Report { bad: Some(bad), ..Report::default() }, Evidence::default())),
    };
    let total: u64 = read::files(&paths.directory)?.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum();
    let mut progress = Progress { drawn: io::stderr().is_terminal().then(Instant::now), done: 0, total };
    let report = verify(&paths.directory, &evidence, |bytes| progress.add(bytes))?;
    progress.clear();
    Ok((report, evidence))
}

/// A line on a terminal's standard error.
struct Progress {
    drawn: Option<Instant>,
    done: u64,
    total: u64,
}

impl Progress {
    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.drawn.is_some_and(|drawn| drawn.elapsed() >= DRAW_INTERVAL) {
            eprint!("\r{} of about {} MB ", self.done >> 20, self.total >> 20);
            self.drawn = Some(Instant::now());
        }
    }

    fn clear(&self) {
        if self.drawn.is_some() {
            eprint!("\r{:40}\r", "");
        }
    }
}

fn json(found: &Report, evidence: &Evidence) -> Value {
    let bad = found.bad.as_ref().map(|bad| json!({ "file": bad.file, "line": bad.line, "sequence": bad.sequence, "what": bad.what }));
    json!({
        "whole": found.bad.is_none(),
        "bad": bad,
        "files": found.files,
        "records": found.lines,
        "first_sequence": found.first,
        "last_sequence": found.last,
        "requests": found.requests,
        "gaps": found.gaps,
        "lost": found.lost,
        "merged": found.merged,
        "signatures": found.signed,
        "heads": found.heads,
        "position": evidence.position.is_some(),
        "retired_files": found.retired,
        "notes": found.notes,
    })
}

fn human(found: &Report, evidence: &Evidence, directory: &Path, out: &mut dyn Write) -> io::Result<()> {
    for note in &found.notes {
        writeln!(out, "note: {}", printable(note))?;
    }
    if let Some(bad) = &found.bad {
        return writeln!(out, "{}", fault(bad));
    }
    let Report { lines, files, first, last, requests, merged, lost, gaps, .. } = found;
    writeln!(out, "whole: {lines} records in {files} files of {}", directory.display())?;
    writeln!(out, "  sequence    {first} to {last}")?;
    writeln!(out, "  requests    {requests} recorded, {merged} merged into flood records, {lost} lost in {gaps} declared gaps")?;
    if found.retired > 0 {
        writeln!(out, "  retired     {} files before the first, by signed records", found.retired)?;
    }
    let said = |there: bool, what: String, lacks: &str| if there { what } else { lacks.to_owned() };
    writeln!(out, "  signatures  {}", said(!evidence.keys.is_empty(), format!("{} right", found.signed), "not checked: no key (--key)"))?;
    let heads = format!("{} agree, of {} known", found.heads, evidence.heads.len());
    let lacks = "none (--heads): an end that was cut off would not be noticed";
    writeln!(out, "  heads       {}", said(!evidence.heads.is_empty(), heads, lacks))?;
    writeln!(out, "  position    {}", said(evidence.position.is_some(), "agrees".into(), "none"))
}

/// `file:line: sequence N: what`.
fn fault(bad: &Bad) -> String {
    let line = if bad.line == 0 { String::new() } else { format!(":{}", bad.line) };
    let sequence = bad.sequence.map(|sequence| format!(" sequence {sequence}:")).unwrap_or_default();
    format!("{}{line}:{sequence} {}", printable(&bad.file.display().to_string()), printable(&bad.what))
}
