//! The trail's files: the one being written, when it gives way to the next, where lines go while the folder refuses them.

use super::read::{self, Stamp};
use super::settings::Settings;
use super::sync::Syncer;
use crate::limits::AUDIT_SPILL_RETRY_INTERVAL;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const DAY_SECONDS: u64 = 86_400;
/// Names tried before another writer in the same folder is given as the reason.
const NAMES_TRIED_MAX: u32 = 100;

/// The file being written.
struct Current {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    bytes: u64,
    /// The day it was begun, counted from 1970-01-01.
    day: u64,
    /// It stands in the spill folder.
    spilled: bool,
}

/// A line cut short at the end of a file that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) file: String,
    pub(crate) bytes: u64,
}

/// Where lines go.
pub(crate) struct Output {
    directory: PathBuf,
    spill: Option<PathBuf>,
    spill_bytes_max: u64,
    file_bytes_max: u64,
    current: Option<Current>,
    /// The current file must give way with the next line.
    stale: bool,
    last: Option<Stamp>,
    /// The first write that is not yet forced to the disk.
    unsynced: Option<Instant>,
    syncer: Syncer,
    /// When the folder refused last, while lines are spilled.
    refused: Option<Instant>,
    /// Bytes in the spill folder.
    spilled_bytes: u64,
    /// Ends of files that were left in the middle of a line.
    torn: Vec<Torn>,
    /// Bytes written.
    pub(crate) bytes: u64,
    /// Files begun.
    pub(crate) begun: u64,
    #[cfg(test)]
    fault: Option<super::settings::Fault>,
    #[cfg(test)]
    force_fault: Option<std::sync::Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Output {
    /// Goes on after the file `last`; no file is begun yet.
    pub(crate) fn open(settings: &Settings, last: Option<Stamp>) -> io::Result<Self> {
        Ok(Self {
            directory: settings.directory.clone(),
            spill: settings.spill_directory.clone(),
            spill_bytes_max: settings.spill_bytes_max,
            file_bytes_max: settings.file_bytes_max,
            current: None,
            stale: false,
            last,
            unsynced: None,
            syncer: Syncer::start()?,
            refused: None,
            spilled_bytes: 0,
            torn: Vec::new(),
            bytes: 0,
            begun: 0,
            #[cfg(test)]
            fault: settings.fault.clone(),
            #[cfg(test)]
            force_fault: settings.force_fault.clone(),
        })
    }

    /// Bytes that may go into the current file, after a new one was begun where it is time for that: for the day, or for a next
    /// line of `next` bytes.
    pub(crate) fn room(&mut self, now: u64, next: u64) -> io::Result<u64> {
        let day = now / 1_000_000 / DAY_SECONDS;
        let Some(current) = &self.current else {
            self.begin(now, day)?;
            return Ok(self.file_bytes_max);
        };
        // A file that somebody removed takes lines and loses them.
        let gone = current.file.metadata()?.nlink() == 0;
        let full = current.bytes > 0 && current.bytes + next > self.file_bytes_max;
        let home = current.spilled && self.refused.is_none_or(|since| since.elapsed() >= AUDIT_SPILL_RETRY_INTERVAL);
        if !gone && !full && current.day == day && !self.stale && !home {
            return Ok(self.file_bytes_max.saturating_sub(current.bytes));
        }
        match self.begin(now, day) {
            Ok(()) => Ok(self.file_bytes_max.saturating_sub(self.current.as_ref().map_or(0, |current| current.bytes))),
            // Better a file too long than a record too few.
            Err(error) if !gone && !self.stale => {
                tracing::warn!(%error, "no new audit file can be begun: the old one is continued");
                Ok(u64::MAX)
            }
            Err(error) => {
                if gone {
                    self.current = None;
                }
                Err(error)
            }
        }
    }

    /// Begins a file in the folder, else in the spill folder.
    fn begin(&mut self, now: u64, day: u64) -> io::Result<()> {
        let rest = self.refused.is_some_and(|since| since.elapsed() < AUDIT_SPILL_RETRY_INTERVAL);
        let result = if rest && self.spill.is_some() { Err(io::ErrorKind::WouldBlock.into()) } else { self.begin_in(false, now, day) };
        let Err(error) = result else {
            self.refused = None;
            return Ok(());
        };
        if self.spill.is_none() {
            return Err(error);
        }
        if !rest {
            self.refused = Some(Instant::now());
        }
        if self.current.as_ref().is_some_and(|current| current.spilled) && !self.stale {
            return Ok(());
        }
        self.begin_in(true, now, day)
    }

    fn begin_in(&mut self, spilled: bool, now: u64, day: u64) -> io::Result<()> {
        let directory = match &self.spill {
            Some(spill) if spilled => {
                std::fs::create_dir_all(spill)?;
                let sizes = read::files(spill)?.into_iter().filter_map(|path| Some(path.metadata().ok()?.len()));
                self.spilled_bytes = sizes.sum();
                spill.clone()
            }
            _ => self.directory.clone(),
        };
        let mut stamp = Stamp::after(self.last, now / 1_000_000);
        for _ in 0..NAMES_TRIED_MAX {
            let path = directory.join(stamp.file_name());
            match OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path) {
                Ok(file) => {
                    // The name itself must survive a power cut.
                    File::open(&directory)?.sync_all()?;
                    match self.current.replace(Current { file, path, bytes: 0, day, spilled }) {
                        // A disk that took the name and not a line.
                        Some(old) if old.bytes == 0 && old.file.metadata().is_ok_and(|metadata| metadata.len() == 0) => {
                            let _ = std::fs::remove_file(old.path);
                        }
                        Some(old) => self.syncer.hand_over(old.file),
                        None => {}
                    }
                    self.last = Some(stamp);
                    self.stale = false;
                    self.begun += 1;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => stamp = Stamp::after(Some(stamp), 0),
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("another process writes into the audit directory"))
    }

    /// Appends whole lines. On an error, what was written of a line is taken away again, and the next write begins a new file
    /// unless this one is still empty. Returns the bytes that are in the file for good: whole lines are for the caller to count.
    pub(crate) fn write(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        let Some(current) = &mut self.current else { return (0, Err(io::ErrorKind::NotFound.into())) };
        if current.spilled && self.spilled_bytes + lines.len() as u64 > self.spill_bytes_max {
            return (0, Err(io::Error::new(io::ErrorKind::StorageFull, "the spill directory holds as much as it may")));
        }
        let mut written = 0;
        #[cfg(test)]
        let lines = match self.fault.as_ref().and_then(|fault| fault(lines.len())) {
            Some(takes) => {
                let taken = current.file.write(&lines[..takes]).unwrap_or(0);
                return self.refused(&lines[..taken], io::Error::other("a fault of the test's"));
            }
            None => lines,
        };
        let result = loop {
            if written == lines.len() {
                break Ok(());
            }
            match current.file.write(&lines[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = result {
            return self.refused(&lines[..written], error);
        }
        self.count(written);
        (written, Ok(()))
    }

    /// After a write that failed when `part` was in the file: takes away what is of a line, and leaves the file.
    fn refused(&mut self, part: &[u8], error: io::Error) -> (usize, io::Result<()>) {
        let Some(current) = &mut self.current else { return (0, Err(error)) };
        let written = part.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let whole = current.bytes + written as u64;
        // With somewhere else to go, an empty file that takes nothing is left as well.
        self.stale = whole > 0 || self.spill.is_some();
        if current.file.set_len(whole).is_err() && part.len() > written {
            self.stale = true;
            let file = current.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.torn.push(Torn { file, bytes: (part.len() - written) as u64 });
        }
        if !current.spilled {
            self.refused = self.spill.is_some().then(Instant::now);
        }
        self.count(written);
        (written, Err(error))
    }

    fn count(&mut self, written: usize) {
        let Some(current) = &mut self.current else { return };
        current.bytes += written as u64;
        self.bytes += written as u64;
        if current.spilled {
            self.spilled_bytes += written as u64;
        }
        if written > 0 {
            self.unsynced.get_or_insert_with(Instant::now);
        }
    }

    /// How long until [`Output::sync`] is due; `None` where there is nothing to force.
    pub(crate) fn sync_due(&self, interval: Duration) -> Option<Duration> {
        self.unsynced.map(|since| interval.saturating_sub(since.elapsed()))
    }

    /// Has what was written forced to the disk by a thread of its own; [`Output::synced`] tells how it went.
    pub(crate) fn sync_beside(&mut self) {
        if self.syncer.is_busy() {
            return;
        }
        self.unsynced = None;
        if let Some(file) = self.current.as_ref().and_then(|current| current.file.try_clone().ok()) {
            self.syncer.hand_over(file);
        }
    }

    /// How forcing to the disk went since the last call; `None` while nothing is known.
    pub(crate) fn synced(&mut self) -> Option<io::Result<()>> {
        let result = self.syncer.result()?;
        self.note(&result);
        Some(result)
    }

    /// Whether a result of [`Output::sync_beside`] is to come.
    pub(crate) fn is_syncing(&self) -> bool {
        self.syncer.is_busy()
    }

    /// Forces what was written to the disk, here and now.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.unsynced = None;
        let earlier = self.syncer.wait();
        let result = earlier.and_then(|()| self.current.as_ref().map_or(Ok(()), |current| current.file.sync_data()));
        #[cfg(test)]
        let result = result.and_then(|()| match &self.force_fault {
            Some(fault) if fault() => Err(io::Error::other("a fault of the test's")),
            _ => Ok(()),
        });
        self.note(&result);
        result
    }

    fn note(&mut self, result: &io::Result<()>) {
        if result.is_err() {
            // Tried again after the interval, and the file that refused is not trusted with more.
            self.unsynced = Some(Instant::now());
            self.stale = true;
        }
    }

    /// The next line begins a new file.
    pub(crate) fn retire_current(&mut self) {
        self.stale |= self.current.as_ref().is_some_and(|current| current.bytes > 0);
    }

    /// Ends of files that were left in the middle of a line, since the last call.
    pub(crate) fn take_torn(&mut self) -> Vec<Torn> {
        std::mem::take(&mut self.torn)
    }

    /// The file being written.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.current.as_ref().map(|current| current.path.as_path())
    }

    /// Whether lines go to the spill folder.
    pub(crate) fn is_spilling(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.spilled)
    }
}
