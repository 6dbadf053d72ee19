//! The files that a policy names, on disk or in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A file that can be opened.
    File,
    /// A folder that can be listed.
    Directory,
    /// Nothing.
    Missing,
    /// Something that cannot be read, and why.
    Unreadable(String),
}

/// Where a policy's files are looked for.
pub trait Files {
    /// What stands at `path`.
    fn state(&self, path: &Path) -> State;
    /// The content of a small file.
    ///
    /// # Errors
    /// Any error of reading it, or too many bytes.
    fn read(&self, path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>>;
    /// Whether other users of the machine may read it.
    fn readable_by_others(&self, path: &Path) -> bool;
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn state(&self, path: &Path) -> State {
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return State::Missing,
            Err(e) => return State::Unreadable(plain(&e)),
        };
        let opened = if metadata.is_dir() {
            std::fs::read_dir(path).map(|_| State::Directory)
        } else if metadata.is_file() {
            std::fs::File::open(path).map(|_| State::File)
        } else {
            // Opening a pipe could wait for ever.
            return State::Unreadable("it is neither a file nor a folder".into());
        };
        opened.unwrap_or_else(|e| State::Unreadable(plain(&e)))
    }

    fn read(&self, path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, format!("it is longer than {bytes_max} bytes")));
        }
        Ok(bytes)
    }

    #[cfg(unix)]
    fn readable_by_others(&self, path: &Path) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o077 != 0)
    }

    #[cfg(not(unix))]
    fn readable_by_others(&self, _path: &Path) -> bool {
        false
    }
}

/// Files in memory, for the demonstration and for tests.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn state(&self, path: &Path) -> State {
        if self.0.contains_key(path) {
            State::File
        } else if self.0.keys().any(|p| p.starts_with(path)) {
            State::Directory
        } else {
            State::Missing
        }
    }

    fn read(&self, path: &Path, _bytes_max: u64) -> std::io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn readable_by_others(&self, _path: &Path) -> bool {
        false
    }
}

/// An I/O error in words that do not depend on the system's error number.
pub(super) fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "this user may not read it".into(),
        std::io::ErrorKind::IsADirectory => "it is a folder".into(),
        _ => error.to_string(),
    }
}
