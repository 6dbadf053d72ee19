//! Marks and notes on groups of events: an append-only file of JSON lines, one for every change, with who made it and when.

use crate::limits::{REVIEW_NOTE_BYTES_MAX, REVIEWS_FILE_BYTES_MAX};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What somebody said of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Review {
    /// The group's id.
    pub(super) group: String,
    /// Looked at and understood.
    pub(super) reviewed: bool,
    /// Why.
    pub(super) note: String,
    /// Who said so.
    pub(super) user: String,
    /// When, RFC 3339 in UTC.
    pub(super) time: String,
}

/// All of them, the last word on every group.
pub(super) struct Reviews {
    path: PathBuf,
    /// The file's length when it was read: another process may have written on.
    last: Mutex<(u64, HashMap<String, Review>)>,
}

impl Reviews {
    /// Those in a file, which is made with the first one.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, last: Mutex::default() }
    }

    /// The last word on every group that has one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn all(&self) -> io::Result<HashMap<String, Review>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut last)?;
        Ok(last.1.clone())
    }

    fn refresh(&self, last: &mut (u64, HashMap<String, Review>)) -> io::Result<()> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *last = (0, HashMap::new());
                return Ok(());
            }
            file => file?,
        };
        let length = file.metadata()?.len();
        if length == last.0 {
            return Ok(());
        }
        let mut by_group = HashMap::new();
        for line in BufReader::new(file.take(REVIEWS_FILE_BYTES_MAX)).split(b'\n') {
            // A line that was cut by a crash says nothing.
            if let Ok(review) = serde_json::from_slice::<Review>(&line?) {
                by_group.insert(review.group.clone(), review);
            }
        }
        *last = (length, by_group);
        Ok(())
    }

    /// Writes one down, and it is on the disk before this returns.
    ///
    /// # Errors
    /// When it is too long, the file is full, or cannot be written.
    pub(super) fn add(&self, review: &Review) -> io::Result<()> {
        if review.note.len() > REVIEW_NOTE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a note has at most {REVIEW_NOTE_BYTES_MAX} bytes")));
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path)?;
        let mut line = serde_json::to_vec(review).map_err(io::Error::other)?;
        line.push(b'\n');
        // Behind a line that a crash cut, this one would be lost with it.
        if !ends_with_line(&self.path)? {
            line.insert(0, b'\n');
        }
        if file.metadata()?.len() + line.len() as u64 > REVIEWS_FILE_BYTES_MAX {
            return Err(io::Error::other(format!("{} is full: move it away, and marks begin anew", self.path.display())));
        }
        file.write_all(&line)?;
        file.sync_data()?;
        self.refresh(&mut last)
    }
}

fn ends_with_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_group_counts_and_a_torn_line_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reviews.ndjson");
        let reviews = Reviews::new(path.clone());
        assert!(reviews.all().unwrap().is_empty());
        let mut review = Review { group: "a".into(), reviewed: true, note: "a scanner".into(), ..Review::default() };
        reviews.add(&review).unwrap();
        review.reviewed = false;
        reviews.add(&review).unwrap();
        assert_eq!(reviews.all().unwrap()["a"], review);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"group\":\"b\"").unwrap();
        let again = Reviews::new(path);
        assert_eq!(again.all().unwrap().len(), 1);
        again.add(&Review { group: "c".into(), ..Review::default() }).unwrap();
        assert_eq!(again.all().unwrap().len(), 2, "what follows a torn line is whole");
        review.note = "x".repeat(REVIEW_NOTE_BYTES_MAX + 1);
        assert!(again.add(&review).is_err());
    }
}
