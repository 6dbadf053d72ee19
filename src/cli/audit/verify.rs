//! `portcullis audit verify`: whether the trail is whole, held against its key, its heads and the writer's position.

use super::super::{FAILED, Format, NEGATIVE, OK, USAGE, report};
use super::Place;
use crate::audit::escape::printable;
use crate::audit::key::VerifyingKey;
use crate::audit::verify::{Bad, Evidence, Heads, Report, verify};
use crate::audit::{HEADS_FILE, Position, SIGNING_KEY_FILE, read};
use crate::diagnostic::Diagnostic;
use serde_json::json;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the progress is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyCommand {
    #[command(flatten)]
    place: Place,
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
    state: PathBuf,
    keys: Vec<PathBuf>,
    heads: Vec<PathBuf>,
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
        let key = key.unwrap_or_else(|| state.join(SIGNING_KEY_FILE));
        let heads = heads.unwrap_or_else(|| state.join(HEADS_FILE));
        let old = {
            let mut name = heads.clone().into_os_string();
            name.push(".old");
            PathBuf::from(name)
        };
        let there = |paths: Vec<PathBuf>| -> Vec<PathBuf> { paths.into_iter().filter(|path| path.exists()).collect() };
        Ok(Paths {
            directory,
            keys: if self.key.is_empty() { there(vec![key.with_extension("pub.pem"), key]) } else { self.key.clone() },
            heads: if self.heads.is_empty() { there(vec![old, heads]) } else { self.heads.clone() },
            state,
        })
    }
}

/// Runs the command; 0 for a whole trail, 1 for a fault, 2 for a wrong policy, 3 for what cannot be read.
pub(super) fn run(command: &VerifyCommand, format: Format) -> i32 {
    let paths = match command.paths() {
        Ok(paths) => paths,
        Err(mistakes) => {
            report(&mistakes);
            return USAGE;
        }
    };
    match check(&paths) {
        Ok((found, evidence)) => {
            print(&found, &evidence, &paths, format);
            if found.bad.is_none() { OK } else { NEGATIVE }
        }
        Err(error) => {
            eprintln!("error: {}: {error}", paths.directory.display());
            FAILED
        }
    }
}

fn check(paths: &Paths) -> io::Result<(Report, Evidence)> {
    // The position and the heads first: a gateway that is writing goes on meanwhile.
    let position = Position::read(&paths.state)?;
    let mut keys: Vec<VerifyingKey> = Vec::new();
    for path in &paths.keys {
        let key = VerifyingKey::open(path)?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut heads = Heads::default();
    for path in &paths.heads {
        if let Err(bad) = heads.read(path, &keys)? {
            return Ok((Report { bad: Some(bad), ..Report::default() }, Evidence::default()));
        }
    }
    let evidence = Evidence { keys, heads, position };
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
        if let Some(drawn) = self.drawn.filter(|drawn| drawn.elapsed() >= DRAW_INTERVAL) {
            let _ = drawn;
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

fn print(found: &Report, evidence: &Evidence, paths: &Paths, format: Format) {
    if format == Format::Json {
        let bad = found.bad.as_ref().map(|bad| json!({ "file": bad.file, "line": bad.line, "sequence": bad.sequence, "what": bad.what }));
        let value = json!({
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
        });
        println!("{value}");
        return;
    }
    for note in &found.notes {
        println!("note: {}", printable(note));
    }
    match &found.bad {
        Some(bad) => println!("{}", fault(bad)),
        None => summary(found, evidence, &paths.directory),
    }
}

/// `file:line: sequence N: what`.
fn fault(bad: &Bad) -> String {
    let line = if bad.line == 0 { String::new() } else { format!(":{}", bad.line) };
    let sequence = bad.sequence.map(|sequence| format!(" sequence {sequence}:")).unwrap_or_default();
    format!("{}{line}:{sequence} {}", printable(&bad.file.display().to_string()), printable(&bad.what))
}

fn summary(found: &Report, evidence: &Evidence, directory: &Path) {
    println!("whole: {} records in {} files of {}", found.lines, found.files, directory.display());
    println!("  sequence    {} to {}", found.first, found.last);
    println!(
        "  requests    {} recorded, {} merged into flood records, {} lost in {} declared gaps",
        found.requests, found.merged, found.lost, found.gaps
    );
    if found.retired > 0 {
        println!("  retired     {} files before the first, by signed records", found.retired);
    }
    let said = |there: bool, what: String, lacks: &str| if there { what } else { lacks.to_owned() };
    println!("  signatures  {}", said(!evidence.keys.is_empty(), format!("{} right", found.signed), "not checked: no key (--key)"));
    let heads = format!("{} agree, of {} known", found.heads, evidence.heads.len());
    println!("  heads       {}", said(!evidence.heads.is_empty(), heads, "none (--heads): an end that was cut off would not be noticed"));
    println!("  position    {}", said(evidence.position.is_some(), "agrees".into(), "none"));
}
