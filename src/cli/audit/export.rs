//! `portcullis audit export`: records in the forms of other systems, from where the last export stopped.

use super::{End, Folders, POLL_INTERVAL, Place, Printer};
use crate::audit::cursor::{self, Cursor};
use crate::audit::export::Form;
use std::path::PathBuf;

/// Records written before the place is kept.
const BATCH: u64 = 1000;

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportCommand {
    #[command(flatten)]
    pub(super) place: Place,
    /// Go on with new records as they come; Ctrl-C ends it
    #[arg(long)]
    follow: bool,
    /// Begin where the last export with this file stopped, and keep the place in it
    #[arg(long, value_name = "FILE")]
    cursor: Option<PathBuf>,
    /// What `--format` says.
    #[arg(skip)]
    pub(super) form: Option<Form>,
}

/// Writes what there is; false where there was nothing.
pub(super) fn run(command: &ExportCommand, folders: &Folders, to: &mut Printer) -> Result<bool, End> {
    let form = command.form.ok_or_else(|| End::Usage("choose a form: --format json, ecs, ocsf, modsec-json or csv".into()))?;
    let place = command.cursor.as_deref().map(cursor::Place::load).transpose()?.flatten();
    let mut cursor = Cursor::new(&folders.directory, place).with_spill(folders.spill.clone());
    if let Some(head) = form.head().filter(|_| place.is_none()) {
        writeln!(to.out, "{head}")?;
    }
    let mut written = 0;
    loop {
        while let Some(line) = cursor.next_line()? {
            if let Some(record) = form.record(&line) {
                writeln!(to.out, "{record}")?;
            }
            written += 1;
            if written % BATCH == 0 {
                keep(command, &cursor, to)?;
            }
        }
        keep(command, &cursor, to)?;
        if !command.follow {
            return Ok(written > 0);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// What was written is out; the place comes after it, so that nothing is lost, and at worst some of it comes twice.
fn keep(command: &ExportCommand, cursor: &Cursor, to: &mut Printer) -> Result<(), End> {
    to.out.flush()?;
    if let (Some(path), Some(place)) = (&command.cursor, cursor.place()) {
        place.save(path)?;
    }
    Ok(())
}
