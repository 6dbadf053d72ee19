//! Copies of the signed lines in a second place, so that a trail that was cut short can be told from a whole one.

use crate::limits::AUDIT_HEADS_BYTES_MAX;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// The file, opened at the first line.
pub(crate) struct Heads {
    path: PathBuf,
    file: Option<File>,
}

impl Heads {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Appends lines. A file that has become long gives way to a new one; the one before it is kept beside it as `.old`.
    pub(crate) fn add(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|metadata| metadata.len() > AUDIT_HEADS_BYTES_MAX)) {
            let mut old = self.path.clone().into_os_string();
            old.push(".old");
            std::fs::rename(&self.path, old)?;
            self.file = None;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path)?),
        };
        let result = file.write_all(lines);
        if result.is_err() {
            self.file = None;
        }
        result
    }
}
