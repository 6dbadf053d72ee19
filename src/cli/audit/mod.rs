//! `portcullis audit`: finds records in the audit trail, tells the story of one, follows new ones.

mod filter;
mod show;
mod table;
mod verify;

use super::{FAILED, Format, NEGATIVE, OK, PolicyFile, USAGE, report};
use crate::audit::read::{Backward, Follow, Records};
use crate::diagnostic::Diagnostic;
use clap::{Args, Subcommand};
use filter::{Filter, Question};
use serde_json::Value;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often `follow` looks for new lines.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

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
    /// Whether the trail is whole: nothing changed, removed, put elsewhere or cut off; exit 1 where it is not
    Verify(verify::VerifyCommand),
}

/// Where the trail is.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The folder of the trail; otherwise the one that the policy names
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyFile,
}

impl Place {
    fn directory(&self) -> Result<PathBuf, Vec<Diagnostic>> {
        match &self.directory {
            Some(directory) => Ok(directory.clone()),
            None => crate::policy::load(&self.policy.path).map(|(policy, _)| policy.audit.directory),
        }
    }
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
    let place = match command {
        AuditCommand::List { place, .. } | AuditCommand::Show { place, .. } | AuditCommand::Follow { place, .. } => place,
        AuditCommand::Verify(command) => return verify::run(command, format),
    };
    let directory = match place.directory() {
        Ok(directory) => directory,
        Err(mistakes) => {
            report(&mistakes);
            return USAGE;
        }
    };
    let stdout = io::stdout();
    let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = io::BufWriter::new(stdout.lock());
    let result = match command {
        AuditCommand::List { filter, limit, .. } => list(&directory, filter, *limit, format, colour, &mut out),
        AuditCommand::Show { id, .. } => show_event(&directory, id, format, colour, &mut out),
        AuditCommand::Follow { filter, .. } => follow(&directory, filter, format, colour, &mut out),
        AuditCommand::Verify(_) => Ok(true),
    };
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
            eprintln!("error: {}: {error}", directory.display());
            FAILED
        }
    }
}

fn list(directory: &Path, filter: &Filter, limit: usize, format: Format, colour: bool, out: &mut impl Write) -> Result<bool, End> {
    let question = filter.question().map_err(End::Usage)?;
    let mut found = false;
    if limit == 0 {
        for line in Records::open(directory)? {
            let line = line?;
            if let Some(value) = answer(&line.bytes, line.torn, &question) {
                if format == Format::Human && !found {
                    table::head(colour, out)?;
                }
                found = true;
                print(&line.bytes, &value, format, colour, out)?;
            }
        }
        return Ok(found);
    }
    let mut lines = Vec::new();
    for line in Backward::since(directory, question.since_second())? {
        let line = line?;
        if let Some(value) = answer(&line.bytes, line.torn, &question) {
            lines.push((line.bytes, value));
            if lines.len() == limit {
                break;
            }
        }
    }
    if format == Format::Human && !lines.is_empty() {
        table::head(colour, out)?;
    }
    for (bytes, value) in lines.iter().rev() {
        print(bytes, value, format, colour, out)?;
    }
    Ok(!lines.is_empty())
}

fn answer(line: &[u8], torn: bool, question: &Question) -> Option<Value> {
    if torn || !question.may_match(line) {
        return None;
    }
    serde_json::from_slice(line).ok().filter(|value| question.matches(value))
}

fn print(line: &[u8], value: &Value, format: Format, colour: bool, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Human => table::row(value, colour, out),
        Format::Json => {
            out.write_all(line)?;
            out.write_all(b"\n")
        }
    }
}

fn show_event(directory: &Path, id: &str, format: Format, colour: bool, out: &mut impl Write) -> Result<bool, End> {
    let id = id.trim().to_ascii_uppercase();
    if id.len() != 26 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(End::Usage("an event's id has 26 letters and digits, as on its error page".into()));
    }
    let mut story = Vec::new();
    for line in Backward::open(directory)? {
        let line = line?;
        if line.torn || !line.bytes.windows(id.len()).any(|window| window == id.as_bytes()) {
            continue;
        }
        let Ok(value) = serde_json::from_slice::<Value>(&line.bytes) else { continue };
        if value["event"]["id"] != id.as_str() {
            continue;
        }
        // A tunnel's end comes after the request that opened it.
        let last = value["event"]["kind"] != "tunnel_end";
        story.push((line.bytes, value));
        if last {
            break;
        }
    }
    for (bytes, value) in story.iter().rev() {
        match format {
            Format::Human => show::story(value, colour, out)?,
            Format::Json => print(bytes, value, format, colour, out)?,
        }
    }
    Ok(!story.is_empty())
}

fn follow(directory: &Path, filter: &Filter, format: Format, colour: bool, out: &mut impl Write) -> Result<bool, End> {
    let question = filter.question().map_err(End::Usage)?;
    let mut follow = Follow::open(directory)?;
    if format == Format::Human {
        table::head(colour, out)?;
    }
    loop {
        while let Some(line) = follow.poll()? {
            if let Some(value) = answer(&line, false, &question) {
                print(&line, &value, format, colour, out)?;
            }
        }
        out.flush()?;
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests;
