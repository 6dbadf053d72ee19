//! The trail's files: the one being written, when it gives way to the next, what a new process finds of the old ones.

use super::read::{self, Backward, Stamp};
use super::writer::Settings;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DAY_SECONDS: u64 = 86_400;
/// Names tried before another writer in the same folder is given as the reason.
const NAMES_TRIED_MAX: u32 = 100;

/// What stands at the end of the files of an earlier process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Before {
    /// The last sequence number; 0 where there is none.
    pub(crate) sequence: u64,
    /// `none`, `clean`, `unclean` or `torn`.
    pub(crate) ended: &'static str,
    /// Bytes of the line cut short at the end.
    pub(crate) torn_bytes: u64,
}

impl Before {
    fn read(directory: &Path) -> io::Result<Self> {
        let mut before = Self { sequence: 0, ended: "none", torn_bytes: 0 };
        for (place, line) in Backward::open(directory)?.enumerate() {
            let line = line?;
            if place == 0 && line.torn {
                before.ended = "torn";
                before.torn_bytes = line.bytes.len() as u64;
                continue;
            }
            let value: serde_json::Value = match serde_json::from_slice(&line.bytes) {
                Ok(value) if !line.torn => value,
                _ => continue,
            };
            let Some(sequence) = value.pointer("/event/sequence").and_then(serde_json::Value::as_u64) else { continue };
            before.sequence = sequence;
            if before.ended == "none" {
                let stopped = value.pointer("/event/kind").and_then(serde_json::Value::as_str) == Some("stop");
                before.ended = if stopped { "clean" } else { "unclean" };
            }
            return Ok(before);
        }
        Ok(before)
    }
}

/// The file being written.
struct Current {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    bytes: u64,
    /// The day it was begun, counted from 1970-01-01.
    day: u64,
}

/// Where lines go.
pub(crate) struct Output {
    directory: PathBuf,
    file_bytes_max: u64,
    retention_days: Option<u32>,
    current: Option<Current>,
    /// The current file must give way with the next line.
    stale: bool,
    last: Option<Stamp>,
    /// The first write that is not yet forced to the disk.
    unsynced: Option<Instant>,
    /// When files were last looked at for their age.
    retired_day: Option<u64>,
    /// Bytes written.
    pub(crate) bytes: u64,
    /// Files begun.
    pub(crate) begun: u64,
}

impl Output {
    /// Reads where an earlier process ended; no file is begun yet.
    pub(crate) fn open(settings: &Settings) -> io::Result<(Self, Before)> {
        let before = Before::read(&settings.directory)?;
        let last = read::files(&settings.directory)?.last().and_then(|path| Stamp::parse(path.file_name()?.to_str()?));
        let output = Self {
            directory: settings.directory.clone(),
            file_bytes_max: settings.file_bytes_max,
            retention_days: settings.retention_days,
            current: None,
            stale: false,
            last,
            unsynced: None,
            retired_day: None,
            bytes: 0,
            begun: 0,
        };
        Ok((output, before))
    }

    /// Bytes that may go into the current file, after a new one was begun where it is time for that: for the day, or for a next
    /// line of `next` bytes.
    pub(crate) fn room(&mut self, now: u64, next: u64) -> io::Result<u64> {
        let day = now / 1_000_000 / DAY_SECONDS;
        if let Some(current) = &self.current {
            // A file that somebody removed takes lines and loses them.
            let gone = current.file.metadata()?.nlink() == 0;
            let full = current.bytes > 0 && current.bytes + next > self.file_bytes_max;
            if !gone && !full && current.day == day && !self.stale {
                return Ok(self.file_bytes_max.saturating_sub(current.bytes));
            }
            match self.begin(now, day) {
                Ok(()) => {}
                // Better a file too long than a record too few.
                Err(error) if !gone && !self.stale => {
                    tracing::warn!(%error, "no new audit file can be begun: the old one is continued");
                    return Ok(u64::MAX);
                }
                Err(error) => {
                    if gone {
                        self.current = None;
                    }
                    return Err(error);
                }
            }
        } else {
            self.begin(now, day)?;
        }
        Ok(self.file_bytes_max)
    }

    fn begin(&mut self, now: u64, day: u64) -> io::Result<()> {
        let mut stamp = Stamp::after(self.last, now / 1_000_000);
        for _ in 0..NAMES_TRIED_MAX {
            let path = self.directory.join(stamp.file_name());
            match OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path) {
                Ok(file) => {
                    if let Some(old) = self.current.take() {
                        old.file.sync_data()?;
                    }
                    // The name itself must survive a power cut.
                    File::open(&self.directory)?.sync_all()?;
                    self.current = Some(Current { file, path, bytes: 0, day });
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
        let mut written = 0;
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
        if result.is_err() {
            written = lines[..written].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            let whole = current.bytes + written as u64;
            self.stale = whole > 0;
            if current.file.set_len(whole).is_err() {
                self.stale = true;
            }
        }
        current.bytes += written as u64;
        self.bytes += written as u64;
        if written > 0 {
            self.unsynced.get_or_insert_with(Instant::now);
        }
        (written, result)
    }

    /// How long until [`Output::sync`] is due; `None` where there is nothing to force.
    pub(crate) fn sync_due(&self, interval: Duration) -> Option<Duration> {
        self.unsynced.map(|since| interval.saturating_sub(since.elapsed()))
    }

    /// Forces what was written to the disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        let Some(current) = &self.current else {
            self.unsynced = None;
            return Ok(());
        };
        let result = current.file.sync_data();
        // Tried again after the interval, and the file that refused is not trusted with more.
        self.unsynced = result.is_err().then(Instant::now);
        self.stale |= result.is_err();
        result
    }

    /// The next line begins a new file.
    pub(crate) fn retire_current(&mut self) {
        self.stale |= self.current.as_ref().is_some_and(|current| current.bytes > 0);
    }

    /// Removes closed files begun more than the retention's days ago, once a day; their names.
    pub(crate) fn retire_old(&mut self, now: u64) -> Vec<String> {
        let today = now / 1_000_000 / DAY_SECONDS;
        let Some(days) = self.retention_days.filter(|_| self.retired_day != Some(today)) else { return Vec::new() };
        self.retired_day = Some(today);
        let mut retired = Vec::new();
        for path in read::files(&self.directory).unwrap_or_default() {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let Some(stamp) = Stamp::parse(name) else { continue };
            let is_current = self.current.as_ref().is_some_and(|current| current.path == path);
            if is_current || stamp.second / DAY_SECONDS + u64::from(days) >= today {
                continue;
            }
            match std::fs::remove_file(&path) {
                Ok(()) => retired.push(name.to_owned()),
                Err(error) => tracing::warn!(%error, file = name, "an audit file cannot be removed for its age"),
            }
        }
        retired
    }
}
