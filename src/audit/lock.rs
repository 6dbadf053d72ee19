//! The lock on the trail's folder: one process writes into it at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The lock file's name; it stays when its process has gone, without the lock.
const LOCK_FILE: &str = ".lock";

/// Held as long as its process lives, also when that is killed.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// Another process has it, or the folder cannot be written.
    pub(crate) fn take(directory: &Path) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(directory.join(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = (&mut file).take(20).read_to_string(&mut process);
                let process = if process.trim().bytes().all(|b| b.is_ascii_digit()) { process.trim() } else { "" };
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    format!("another gateway (process {process}) writes its audit trail into this folder; give each its own"),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Self { _file: file })
    }
}
