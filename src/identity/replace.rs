//! One change to a file of people: under a lock, whole or not at all, with owner and permissions kept.

use crate::limits::AUTH_FILE_BYTES_MAX;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Permissions of a password or group file that did not exist: hashes are secrets, the gateway's group may read them.
pub const PEOPLE_MODE: u32 = 0o640;

/// Replaces a file's content by what `change` makes of it; `None` leaves the file alone. A reader sees the old content or
/// the new, never a part. Where there is no file, one with the permissions `create` begins from nothing.
///
/// # Errors
/// The file or its folder cannot be opened, locked, read or written, or is larger than [`AUTH_FILE_BYTES_MAX`]; each says which.
pub fn replace<T>(path: &Path, create: Option<u32>, change: impl FnOnce(&str) -> Option<(String, T)>) -> io::Result<Option<T>> {
    let told = |what: &str, path: &Path, e: io::Error| io::Error::new(e.kind(), format!("{}: {what}: {e}", path.display()));
    // A link stays a link: what it leads to is replaced.
    let path: PathBuf = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The folder is locked, not the file: the file is another one after the change.
    let lock = File::open(folder).map_err(|e| told("cannot be opened", folder, e))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|e| told("cannot be locked", folder, e.into()))?;
    let old = match File::open(&path) {
        Ok(file) => Some(file),
        Err(e) if create.is_some() && e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(told("cannot be opened", &path, e)),
    };
    let mut content = String::new();
    if let Some(file) = &old {
        file.take(AUTH_FILE_BYTES_MAX + 1).read_to_string(&mut content).map_err(|e| told("cannot be read", &path, e))?;
        if content.len() as u64 > AUTH_FILE_BYTES_MAX {
            return Err(told("is too large", &path, ErrorKind::FileTooLarge.into()));
        }
    }
    let Some((next, told_back)) = change(&content) else { return Ok(None) };
    if next == content {
        return Ok(Some(told_back));
    }
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = folder.join(format!(".{name}.{}.new", std::process::id()));
    // Under the lock this can only be what a killed process of the same number has left.
    let _ = fs::remove_file(&temporary);
    let mode = create.unwrap_or(PEOPLE_MODE);
    let written = write(&temporary, &next, old.as_ref(), mode).and_then(|()| fs::rename(&temporary, &path)).and_then(|()| lock.sync_all());
    if let Err(e) = written {
        // Whatever went wrong, no copy of the hashes stays behind.
        let _ = fs::remove_file(&temporary);
        return Err(told("cannot be written", &path, e));
    }
    Ok(Some(told_back))
}

fn write(path: &Path, content: &str, old: Option<&File>, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    match old {
        None => file.set_permissions(Permissions::from_mode(mode))?,
        Some(old) => {
            let (old, new) = (old.metadata()?, file.metadata()?);
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                // Before the permissions: changing the owner may clear some of them.
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        }
    }
    file.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_permissions_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        replace(&path, Some(PEOPLE_MODE), |old| Some((format!("{old}a:1\n"), ()))).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, PEOPLE_MODE);
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        replace(&path, None, |old| Some((format!("{old}b:2\n"), ()))).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a:1\nb:2\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o604);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("none"), None, |_| Some((String::new(), ()))).is_err());
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "a:1\n").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, None, |_| Some(("b:2\n".into(), ()))).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "b:2\n");
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        std::thread::scope(|scope| {
            for i in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    // One process, several threads: the temporary file's name is taken while another thread writes it, and the lock keeps them apart.
                    replace(path, Some(PEOPLE_MODE), |old| Some((format!("{old}u{i}:x\n"), ()))).unwrap();
                });
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 8);
    }
}
