//! `portcullis audit`: finds records in the audit trail, counts them, tells the story of one, follows new ones.

mod count;
mod export;
mod filter;
mod index;
mod show;
mod table;
mod verify;

use super::{FAILED, Format, NEGATIVE, OK, PolicyFile, USAGE, report};
use crate::audit::export::Form;
use crate::audit::read::{Follow, Records};
use crate::diagnostic::Diagnostic;
use crate::search::{ANSWERS_MAX, Facts, Library, Question, Snapshot};
use clap::{Args, Subcommand};
use filter::Filter;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

/// How often `follow` looks for new lines.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Bytes outside the index from which on the commands say how to make them fast: reading so much takes about a second.
const UNINDEXED_BYTES_TOLD: u64 = 256 * 1024 * 1024;

/// `portcullis audit ...`
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Records that match, newest last; exit 1 when none does
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        filter: Filter,
        /// Show the newest N; 0 for all
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// The whole story of one event, by the id on its error page
    Show {
        #[command(flatten)]
        place: Place,
        /// The event's id
        id: String,
    },
    /// New records that match, as they come; Ctrl-C ends it
    Follow {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        filter: Filter,
    },
    /// The commonest values of a field: user, address, site, path, rule ...
    Top {
        /// user, address, site, host, map, method, path, template, status, layer, action, reason, decision, rule, target, backend,
        /// agent, kind
        field: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        filter: Filter,
        /// Show so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// How many, decided by which layer, over time
    Stats {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        filter: Filter,
    },
    /// Refusals and rule matches by their cause: rules, variable, path and user
    Groups {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        filter: Filter,
        /// Show so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Bring the index up to date, so that the other commands answer fast however long the trail is
    Index {
        #[command(flatten)]
        place: Place,
        /// Throw the index away and build it anew
        #[arg(long)]
        rebuild: bool,
    },
    /// Whether the trail is whole: nothing changed, removed, put elsewhere or cut off; exit 1 where it is not
    Verify(verify::VerifyCommand),
    /// Records for other systems: --format json, ecs, ocsf, modsec-json or csv
    Export(export::ExportCommand),
}

/// Where the trail is.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The folder of the trail; otherwise the one that the policy names
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The folder of the index; otherwise the policy's, or `index` in the trail's
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyFile,
}

/// The trail's folder and its index's.
pub(super) struct Folders {
    directory: PathBuf,
    index: PathBuf,
    /// Where records lie while the folder refuses them.
    spill: Option<PathBuf>,
}

impl Place {
    fn folders(&self) -> Result<Folders, Vec<Diagnostic>> {
        let (directory, index, spill) = match &self.directory {
            Some(directory) => (directory.clone(), crate::search::beside(directory), None),
            None => {
                let audit = crate::policy::load(&self.policy.path)?.0.audit;
                (audit.directory, audit.index_directory, audit.spill_directory)
            }
        };
        Ok(Folders { index: self.index.clone().unwrap_or(index), directory, spill })
    }
}

impl Folders {
    /// The trail as it is now; says so where an index would help.
    fn open(&self) -> io::Result<Snapshot> {
        let snapshot = Library::new(&self.directory, Some(&self.index)).snapshot()?;
        if snapshot.unindexed_bytes() > UNINDEXED_BYTES_TOLD {
            let megabytes = snapshot.unindexed_bytes() >> 20;
            eprintln!("note: {megabytes} MB of the trail are not in the index; `portcullis audit index` makes questions fast");
        }
        Ok(snapshot)
    }
}

/// Where and how a command answers.
pub(super) struct Printer<'o> {
    format: Format,
    colour: bool,
    out: &'o mut dyn Write,
}

/// Why a command ended early.
enum End {
    /// The question makes no sense.
    Usage(String),
    /// The trail cannot be read, or standard output written.
    Io(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs the command; 0 for found, 1 for nothing found, 2 for a wrong question or policy, 3 for a trail that cannot be read.
pub(super) fn run(command: &AuditCommand, format: Format) -> i32 {
    let folders = match command.place().folders() {
        Ok(folders) => folders,
        Err(mistakes) => {
            report(&mistakes);
            return USAGE;
        }
    };
    let stdout = io::stdout();
    let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = io::BufWriter::new(stdout.lock());
    let result = command.answer(&folders, &mut Printer { format, colour, out: &mut out });
    match result.and_then(|found| out.flush().map(|()| found).map_err(End::Io)) {
        Ok(true) => OK,
        Ok(false) => NEGATIVE,
        Err(End::Usage(what)) => {
            eprintln!("error: {what}");
            USAGE
        }
        // `| head` has seen enough.
        Err(End::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => OK,
        Err(End::Io(error)) => {
            eprintln!("error: {}: {error}", folders.directory.display());
            FAILED
        }
    }
}

impl AuditCommand {
    /// Whether it is the one with forms of its own.
    pub(super) fn is_export(&self) -> bool {
        matches!(self, Self::Export(_))
    }

    /// Sets the form of an export.
    pub(super) fn export_as(&mut self, form: Option<Form>) {
        if let Self::Export(command) = self {
            command.form = form;
        }
    }

    fn place(&self) -> &Place {
        match self {
            Self::List { place, .. }
            | Self::Show { place, .. }
            | Self::Follow { place, .. }
            | Self::Top { place, .. }
            | Self::Stats { place, .. }
            | Self::Groups { place, .. }
            | Self::Index { place, .. } => place,
            Self::Verify(command) => &command.place,
            Self::Export(command) => &command.place,
        }
    }

    /// Whether anything was found.
    fn answer(&self, folders: &Folders, to: &mut Printer) -> Result<bool, End> {
        let question = |filter: &Filter| filter.question().map_err(End::Usage);
        match self {
            Self::List { filter, limit, .. } => list(folders, &question(filter)?, *limit, to),
            Self::Show { id, .. } => show_event(folders, id, to),
            Self::Follow { filter, .. } => follow(folders, &question(filter)?, to),
            Self::Top { field, filter, limit, .. } => count::top(folders, &question(filter)?, field, *limit, to),
            Self::Stats { filter, .. } => count::stats(folders, &question(filter)?, to),
            Self::Groups { filter, limit, .. } => count::groups(folders, &question(filter)?, *limit, to),
            Self::Index { rebuild, .. } => index::run(folders, *rebuild, to),
            Self::Verify(command) => verify::run(command, to),
            Self::Export(command) => export::run(command, folders, to),
        }
    }
}

fn list(folders: &Folders, question: &Question, limit: usize, to: &mut Printer) -> Result<bool, End> {
    if limit == 0 {
        return list_all(folders, question, to);
    }
    if limit > ANSWERS_MAX {
        return Err(End::Usage(format!("at most {ANSWERS_MAX} records are listed; `--limit 0` lists all")));
    }
    let answer = folders.open()?.newest(question, limit, None)?;
    if to.format == Format::Human && !answer.found.is_empty() {
        table::head(to.colour, to.out)?;
    }
    for line in answer.found.iter().rev() {
        print(line, to)?;
    }
    tell_unless_whole(answer.whole);
    Ok(!answer.found.is_empty())
}

/// Lists all by reading all: what matches may be far more than memory holds.
fn list_all(folders: &Folders, question: &Question, to: &mut Printer) -> Result<bool, End> {
    let mut found = false;
    for line in Records::open(&folders.directory)? {
        let line = line?;
        if line.torn || !Facts::read(&line.bytes).is_some_and(|facts| question.matches(&facts)) {
            continue;
        }
        if to.format == Format::Human && !found {
            table::head(to.colour, to.out)?;
        }
        found = true;
        print(&line.bytes, to)?;
    }
    Ok(found)
}

/// Says on standard error that an answer may lack something old.
fn tell_unless_whole(whole: bool) {
    if !whole {
        eprintln!("note: too many records had to be read to look for words with these characters; older ones were not looked at");
    }
}

fn print(line: &[u8], to: &mut Printer) -> io::Result<()> {
    match to.format {
        Format::Human => match serde_json::from_slice::<Value>(line) {
            Ok(value) => table::row(&value, to.colour, to.out),
            Err(_) => Ok(()),
        },
        Format::Json => {
            to.out.write_all(line)?;
            to.out.write_all(b"\n")
        }
    }
}

fn show_event(folders: &Folders, id: &str, to: &mut Printer) -> Result<bool, End> {
    let id = id.trim().to_ascii_uppercase();
    if id.len() != 26 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(End::Usage("an event's id has 26 letters and digits, as on its error page".into()));
    }
    let story = folders.open()?.story(&id)?;
    for line in &story {
        match to.format {
            Format::Human => show::story(&serde_json::from_slice(line).unwrap_or_default(), to.colour, to.out)?,
            Format::Json => print(line, to)?,
        }
    }
    Ok(!story.is_empty())
}

fn follow(folders: &Folders, question: &Question, to: &mut Printer) -> Result<bool, End> {
    let mut follow = Follow::open(&folders.directory)?;
    if to.format == Format::Human {
        table::head(to.colour, to.out)?;
    }
    loop {
        while let Some(line) = follow.poll()? {
            if Facts::read(&line).is_some_and(|facts| question.matches(&facts)) {
                print(&line, to)?;
            }
        }
        to.out.flush()?;
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests;
