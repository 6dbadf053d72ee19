//! Reading records back: the files in order, their lines forwards or backwards, a torn tail told from a whole line.

use super::closed::{CLOSED_SUFFIX, Content};
use crate::limits::RECORD_LINE_BYTES_MAX;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The beginning of every file's name; what follows is `YYYYMMDD-HHMMSS-NNNN.jsonl`, in UTC, and `.gz` once it is compressed.
pub const FILE_PREFIX: &str = "portcullis-";
const FILE_SUFFIX: &str = ".jsonl";
/// The folder of the index by default, inside the trail's.
pub const INDEX_DIRECTORY: &str = "index";

/// The trail's files in a folder, oldest first. Their names sort in the order in which they were written, also when the
/// clock was set back between two of them: the writer sees to that.
///
/// # Errors
/// When the folder cannot be read.
pub fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(stamp) = Stamp::of(&path) {
            files.push((stamp, path));
        }
    }
    // The plain name sorts before the compressed one: while a file has both, the plain one counts.
    files.sort_unstable();
    files.dedup_by_key(|(stamp, _)| *stamp);
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// What a file's name says: the second it was begun, and a number among those of the same second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    /// Seconds since the Unix epoch.
    pub(crate) second: u64,
    /// 0 to 9999.
    pub(crate) number: u16,
}

impl Stamp {
    /// The stamp in a path's last part, plain or compressed.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        Self::parse(path.file_name()?.to_str()?)
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let name = name.strip_suffix(CLOSED_SUFFIX).unwrap_or(name);
        let middle = name.strip_prefix(FILE_PREFIX)?.strip_suffix(FILE_SUFFIX)?;
        let digits = |range: std::ops::Range<usize>| {
            let part = middle.get(range)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<i16>().ok())?
        };
        if middle.len() != 20 || middle.get(8..9)? != "-" || middle.get(15..16)? != "-" {
            return None;
        }
        let small = |range| i8::try_from(digits(range)?).ok();
        let civil =
            jiff::civil::DateTime::new(digits(0..4)?, small(4..6)?, small(6..8)?, small(9..11)?, small(11..13)?, small(13..15)?, 0).ok()?;
        let second = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?.as_second();
        Some(Self { second: u64::try_from(second).ok()?, number: u16::try_from(digits(16..20)?).ok()? })
    }

    /// The stamp of a file begun at `second` after a file with the stamp `last`: always greater than that.
    pub(crate) fn after(last: Option<Self>, second: u64) -> Self {
        match last {
            Some(last) if last.second >= second && last.number < 9999 => Self { second: last.second, number: last.number + 1 },
            Some(last) if last.second >= second => Self { second: last.second + 1, number: 0 },
            _ => Self { second, number: 0 },
        }
    }

    pub(crate) fn file_name(self) -> String {
        let stamp = i64::try_from(self.second).ok().and_then(|s| jiff::Timestamp::from_second(s).ok()).unwrap_or_default();
        let c = jiff::tz::Offset::UTC.to_datetime(stamp);
        format!(
            "{FILE_PREFIX}{:04}{:02}{:02}-{:02}{:02}{:02}-{:04}{FILE_SUFFIX}",
            c.year(),
            c.month(),
            c.day(),
            c.hour(),
            c.minute(),
            c.second(),
            self.number
        )
    }
}

/// A number that names one of the trail's files and grows from each to the next, whatever becomes of the file's name later.
pub fn number(path: &Path) -> Option<u64> {
    let stamp = Stamp::of(path)?;
    stamp.second.checked_mul(10_000)?.checked_add(u64::from(stamp.number))
}

/// Bytes that a file takes on the disk: its text's, or fewer where it is compressed.
///
/// # Errors
/// When the file cannot be looked at.
pub fn size_hint(path: &Path) -> io::Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}

/// The lines that begin at some places of a file's text, in the order of the places; `None` where no whole line does.
///
/// # Errors
/// When the file cannot be read.
pub fn lines_at(path: &Path, places: &[u64]) -> io::Result<Vec<Option<Vec<u8>>>> {
    let mut file = Forward::with_capacity(path, FEW_BYTES)?;
    let mut lines = Vec::with_capacity(places.len());
    for place in places {
        file.reader.seek(SeekFrom::Start(*place))?;
        lines.push(file.next_line()?.filter(|line| !line.torn).map(|line| line.bytes));
    }
    Ok(lines)
}

/// Bytes read at once where a single line is wanted.
const FEW_BYTES: usize = 8 * 1024;

/// One line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line without its line end.
    pub bytes: Vec<u8>,
    /// It has no line end: its writer was stopped in the middle, or is just writing it. Or it is longer than any record.
    pub torn: bool,
}

impl Line {
    /// Longer than any record: more of it follows as the next line.
    pub fn is_too_long(&self) -> bool {
        self.torn && self.bytes.len() >= RECORD_LINE_BYTES_MAX
    }
}

/// The lines of one file from its beginning.
pub struct Forward {
    reader: BufReader<Content>,
}

impl Forward {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::with_capacity(path, 256 * 1024)
    }

    fn with_capacity(path: &Path, bytes: usize) -> io::Result<Self> {
        Ok(Self { reader: BufReader::with_capacity(bytes, Content::open(path)?) })
    }

    /// Opens a file at a place of its text.
    ///
    /// # Errors
    /// When it cannot be opened or has no places.
    pub fn open_at(path: &Path, place: u64) -> io::Result<Self> {
        let mut forward = Self::open(path)?;
        forward.reader.seek(SeekFrom::Start(place))?;
        Ok(forward)
    }

    /// The next line; `None` at the end. A torn line at the end is given back to the file: the next call reads it again, whole
    /// if its writer has gone on.
    ///
    /// # Errors
    /// When reading fails.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::with_capacity(1024);
        let read = (&mut self.reader).take(RECORD_LINE_BYTES_MAX as u64).read_until(b'\n', &mut bytes)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            return Ok(Some(Line { bytes, torn: false }));
        }
        if read == 0 {
            return Ok(None);
        }
        if read < RECORD_LINE_BYTES_MAX {
            self.reader.seek_relative(-(read as i64))?;
        }
        Ok(Some(Line { bytes, torn: true }))
    }
}

/// The lines of many files, oldest first.
pub struct Records {
    files: VecDeque<PathBuf>,
    open: Option<Forward>,
}

impl Records {
    /// All lines in a folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self { files: files(directory)?.into(), open: None })
    }
}

impl Iterator for Records {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(file) = &mut self.open {
                match file.next_line() {
                    Ok(Some(line)) => {
                        // A torn line is the file's last: there is nothing to wait for here.
                        if line.torn && line.bytes.len() < RECORD_LINE_BYTES_MAX {
                            self.open = None;
                        }
                        return Some(Ok(line));
                    }
                    Ok(None) => self.open = None,
                    Err(error) => {
                        self.open = None;
                        return Some(Err(error));
                    }
                }
            }
            match Forward::open(&self.files.pop_front()?) {
                Ok(file) => self.open = Some(file),
                // Retired between the listing and now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The lines of many files, newest first.
pub struct Backward {
    files: Vec<PathBuf>,
    /// Seconds since the Unix epoch: files that ended before are not opened.
    since: u64,
    open: Option<Tail>,
}

struct Tail {
    file: Content,
    /// Bytes of the file before `held`.
    before: u64,
    held: Vec<u8>,
    /// Nothing was taken from the file yet: what follows its last line end is torn.
    fresh: bool,
}

const BLOCK_BYTES: u64 = 64 * 1024;

impl Tail {
    fn open(path: &Path) -> io::Result<Self> {
        let file = Content::open(path)?;
        let before = file.text_bytes()?;
        Ok(Self { file, before, held: Vec::new(), fresh: true })
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut searched = 0;
        loop {
            let unsearched = self.held.len() - searched;
            if let Some(at) = self.held[..unsearched].iter().rposition(|b| *b == b'\n') {
                let bytes = self.held.split_off(at + 1);
                self.held.truncate(at);
                if std::mem::take(&mut self.fresh) {
                    if bytes.is_empty() {
                        searched = 0;
                        continue;
                    }
                    return Ok(Some(Line { bytes, torn: true }));
                }
                return Ok(Some(Line { bytes, torn: false }));
            }
            searched = self.held.len();
            if self.before == 0 {
                // What is left is the first line: there always is one after a line end was taken, else all is torn.
                let torn = std::mem::take(&mut self.fresh);
                let bytes = std::mem::take(&mut self.held);
                return Ok((!bytes.is_empty()).then_some(Line { bytes, torn }));
            }
            if searched > RECORD_LINE_BYTES_MAX {
                self.fresh = true;
                return Ok(Some(Line { bytes: std::mem::take(&mut self.held), torn: true }));
            }
            let length = self.before.min(BLOCK_BYTES);
            self.before -= length;
            self.file.seek(SeekFrom::Start(self.before))?;
            let mut block = vec![0; usize::try_from(length).unwrap_or_default()];
            self.file.read_exact(&mut block)?;
            block.append(&mut self.held);
            self.held = block;
        }
    }
}

/// The last whole line of a file.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn last_line(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut tail = Tail::open(path)?;
    while let Some(line) = tail.next_line()? {
        if !line.torn {
            return Ok(Some(line.bytes));
        }
    }
    Ok(None)
}

impl Backward {
    /// All lines in a folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Self::since(directory, 0)
    }

    /// The lines of the files that were still being written at `second` (since the Unix epoch), or later.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn since(directory: &Path, second: u64) -> io::Result<Self> {
        Ok(Self { files: files(directory)?, since: second, open: None })
    }
}

impl Iterator for Backward {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(tail) = &mut self.open {
                match tail.next_line() {
                    Ok(Some(line)) => return Some(Ok(line)),
                    Ok(None) => self.open = None,
                    Err(error) => {
                        self.open = None;
                        return Some(Err(error));
                    }
                }
            }
            let path = self.files.pop()?;
            if Stamp::of(&path).is_some_and(|stamp| stamp.second < self.since) {
                // All that came before this file was begun is older.
                self.files.clear();
            }
            match Tail::open(&path) {
                Ok(tail) => self.open = Some(tail),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The whole lines that are appended to a folder from now on, over rotation.
pub struct Follow {
    directory: PathBuf,
    stamp: Option<Stamp>,
    open: Option<Forward>,
}

impl Follow {
    /// Begins at the end of the newest file.
    ///
    /// # Errors
    /// When the folder or the file cannot be read.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let path = files(directory)?.pop();
        let open = match &path {
            Some(path) => {
                let mut forward = Forward::open(path)?;
                forward.reader.seek(SeekFrom::End(0))?;
                Some(forward)
            }
            None => None,
        };
        Ok(Self { directory: directory.to_owned(), stamp: path.as_deref().and_then(Stamp::of), open })
    }

    /// The next whole line there is; `None` when there is none yet.
    ///
    /// # Errors
    /// When reading fails.
    pub fn poll(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(open) = &mut self.open {
                match open.next_line()? {
                    Some(line) if !line.torn => return Ok(Some(line.bytes)),
                    _ => {}
                }
            }
            // At the end of this file: is there a later one? Then nothing more comes to this one, unless it came just now.
            let next = files(&self.directory)?.into_iter().find(|path| Stamp::of(path) > self.stamp);
            let Some(next) = next else { return Ok(None) };
            if let Some(open) = &mut self.open {
                match open.next_line()? {
                    Some(line) if !line.torn => return Ok(Some(line.bytes)),
                    _ => {}
                }
            }
            self.open = Some(Forward::open(&next)?);
            self.stamp = Stamp::of(&next);
        }
    }
}
