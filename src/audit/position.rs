//! How far the writer is, in a small file outside the trail's folder, for whoever comes after a killed process.
//!
//! Four lines of fixed length, each rewritten in place. `ceiling` is a number of requests that this run has not begun more than:
//! it is raised before anything is done for more. `commit` says up to which line the trail was written, how many requests were accounted
//! for by then, and the line's hash. What a killed process left unrecorded is at most the difference. The page cache outlives
//! a process, so none of this waits for a disk; a system that stopped is told by its boot id.

use super::chain::{HASH_DIGITS, Hash, genesis};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The file's name in the state folder.
pub(crate) const POSITION_FILE: &str = "position";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const RUN_AT: u64 = 0;
const CEILING_AT: u64 = RUN_AT + "boot \n".len() as u64 + 36;
const COMMIT_AT: u64 = CEILING_AT + "ceiling \n".len() as u64 + 20;
const END_AT: u64 = COMMIT_AT + "commit   \n".len() as u64 + 40 + HASH_DIGITS as u64;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The boot in which it was written.
    boot: String,
    /// Requests that the run has not begun more than.
    pub(crate) ceiling: u64,
    /// The last line that was written.
    pub sequence: u64,
    /// Requests accounted for up to it.
    pub(crate) accounted: u64,
    /// Its hash.
    pub hash: Hash,
    /// The run has ended, and `ceiling` is exact.
    pub(crate) stopped: bool,
}

impl Position {
    /// Reads the file of an earlier run; `None` where there is none, or it makes no sense.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(state_directory: &Path) -> io::Result<Option<Self>> {
        match std::fs::read_to_string(state_directory.join(POSITION_FILE)) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let boot = lines.next()?.strip_prefix("boot ")?.to_owned();
        let ceiling = lines.next()?.strip_prefix("ceiling ")?.parse().ok()?;
        let mut commit = lines.next()?.strip_prefix("commit ")?.split(' ');
        let (sequence, accounted) = (commit.next()?.parse().ok()?, commit.next()?.parse().ok()?);
        let hash = Hash::try_from(commit.next()?.as_bytes()).ok()?;
        let stopped = lines.next()?.strip_prefix("end ")? == "stopped";
        Some(Self { boot, ceiling, sequence, accounted, hash, stopped })
    }

    /// Whether the system has been running since.
    pub(crate) fn same_boot(&self) -> bool {
        self.boot == boot_id()
    }
}

fn boot_id() -> String {
    let text = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
    format!("{:<36.36}", text.trim())
}

/// The file while its run goes on.
#[derive(Debug)]
pub(crate) struct Marker {
    file: File,
}

impl Marker {
    /// Begins a run: nothing begun, nothing accounted for.
    pub(crate) fn begin(state_directory: &Path, ceiling: u64, sequence: u64, hash: &Hash) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(state_directory.join(POSITION_FILE))?;
        let marker = Self { file };
        marker.put(END_AT, "end running\n")?;
        marker.put(RUN_AT, &format!("boot {}\n", boot_id()))?;
        marker.commit(sequence, 0, hash)?;
        marker.ceiling(ceiling)?;
        Ok(marker)
    }

    /// Allows so many requests to be begun in this run.
    pub(crate) fn ceiling(&self, ceiling: u64) -> io::Result<()> {
        self.put(CEILING_AT, &format!("ceiling {ceiling:020}\n"))
    }

    /// The trail is written up to this line.
    pub(crate) fn commit(&self, sequence: u64, accounted: u64, hash: &Hash) -> io::Result<()> {
        let hash = std::str::from_utf8(hash).unwrap_or_default();
        self.put(COMMIT_AT, &format!("commit {sequence:020} {accounted:020} {hash}\n"))
    }

    /// The run is over, and so many requests were begun in it.
    pub(crate) fn stopped(&self, opened: u64) -> io::Result<()> {
        self.ceiling(opened)?;
        self.put(END_AT, "end stopped\n")
    }

    fn put(&self, at: u64, line: &str) -> io::Result<()> {
        self.file.write_all_at(line.as_bytes(), at)
    }
}

/// What an earlier run may not have recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing.
    Nothing,
    /// Exactly so many.
    Exactly(u64),
    /// At most so many.
    AtMost(u64),
    /// Lines that had been written are gone, and with them at most so many.
    Cut(u64),
    /// Nobody knows how many.
    Unknown,
}

impl Missing {
    /// What the run of `position` left out, given the last line that the trail really has and the requests accounted for in
    /// lines after that of `position`.
    pub(crate) fn of(position: &Position, last: u64, accounted_after: u64) -> Self {
        if !position.stopped && !position.same_boot() {
            return Self::Unknown;
        }
        // Each line that is gone may have been a request's.
        let gone = position.sequence.saturating_sub(last);
        let count = position.ceiling.saturating_sub(position.accounted + accounted_after).saturating_add(gone);
        match (count, position.stopped) {
            (count, _) if gone > 0 => Self::Cut(count),
            (0, _) => Self::Nothing,
            (count, true) => Self::Exactly(count),
            (count, false) => Self::AtMost(count),
        }
    }
}

impl Default for Position {
    fn default() -> Self {
        Self { boot: boot_id(), ceiling: 0, sequence: 0, accounted: 0, hash: genesis(), stopped: false }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_was_marked_is_read_back_whatever_stood_there_before() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Position::read(folder.path()).unwrap(), None);
        for ceiling in [64, u64::MAX, 8] {
            let marker = Marker::begin(folder.path(), ceiling, 7, &genesis()).unwrap();
            let position = Position::read(folder.path()).unwrap().unwrap();
            assert_eq!(position, Position { ceiling, sequence: 7, ..Position::default() });
            assert!(position.same_boot());
            marker.commit(u64::MAX, 5, &[b'a'; HASH_DIGITS]).unwrap();
            marker.stopped(9).unwrap();
            let position = Position::read(folder.path()).unwrap().unwrap();
            assert_eq!((position.sequence, position.accounted, position.ceiling, position.stopped), (u64::MAX, 5, 9, true));
        }
        std::fs::write(folder.path().join(POSITION_FILE), "boot").unwrap();
        assert_eq!(Position::read(folder.path()).unwrap(), None);
    }

    #[test]
    fn what_is_missing_is_bounded_exact_or_unknown() {
        let run = Position { ceiling: 100, sequence: 50, accounted: 90, ..Position::default() };
        assert_eq!(Missing::of(&run, 50, 0), Missing::AtMost(10));
        assert_eq!(Missing::of(&run, 60, 10), Missing::Nothing);
        assert_eq!(Missing::of(&run, 45, 0), Missing::Cut(15));
        assert_eq!(Missing::of(&Position { stopped: true, ..run.clone() }, 50, 0), Missing::Exactly(10));
        assert_eq!(Missing::of(&Position { boot: "another".into(), ..run }, 50, 0), Missing::Unknown);
    }
}
