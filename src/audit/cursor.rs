//! A place in the trail that outlives the process: whoever ships records goes on where he stopped.

use super::json::sequence_of;
use super::read::{self, Forward, Stamp};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A place between two lines. As text: the file, the byte in its plain text, the number of the line before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    stamp: Stamp,
    offset: u64,
    /// The sequence number of the line before; 0 at the beginning.
    pub sequence: u64,
}

impl Place {
    /// Reads a place from a file; `None` where there is no such file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no place.
    pub fn load(path: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut parts = text.split_whitespace();
        let place = (|| {
            let stamp = Stamp::parse(parts.next()?)?;
            Some(Self { stamp, offset: parts.next()?.parse().ok()?, sequence: parts.next()?.parse().ok()? })
        })();
        place.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "this is no cursor of an export"))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut aside = path.to_owned().into_os_string();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        let mut file = fs::File::create(&aside)?;
        writeln!(file, "{} {} {}", self.stamp.file_name(), self.offset, self.sequence)?;
        file.sync_data()?;
        fs::rename(aside, path)
    }
}

/// Reads whole lines from a place on, over rotation and compression.
pub struct Cursor {
    directory: PathBuf,
    place: Option<Place>,
    open: Option<Forward>,
    /// Numbers of lines that were gone when their turn came.
    skipped: u64,
}

impl Cursor {
    /// Begins after `place`, or at the oldest record.
    pub fn new(directory: &Path, place: Option<Place>) -> Self {
        Self { directory: directory.to_owned(), place, open: None, skipped: 0 }
    }

    /// The place after the last line given out.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// How many records were removed (retired, say) before they could be given out, since the last call.
    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// The next whole line; `None` where there is none yet.
    ///
    /// # Errors
    /// Reading fails.
    pub fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.next_of_open()? {
                return Ok(Some(line));
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    fn next_of_open(&mut self) -> io::Result<Option<Vec<u8>>> {
        let (Some(open), Some(place)) = (&mut self.open, &mut self.place) else { return Ok(None) };
        let Some(line) = open.next_line()?.filter(|line| !line.torn) else { return Ok(None) };
        place.offset += line.bytes.len() as u64 + 1;
        if let Some(sequence) = sequence_of(&line.bytes) {
            self.skipped += sequence.saturating_sub(place.sequence + 1);
            place.sequence = sequence;
        }
        Ok(Some(line.bytes))
    }

    /// Opens the file of the place, or the next one; false where there is none.
    fn advance(&mut self) -> io::Result<bool> {
        let files = read::files(&self.directory)?;
        if self.open.is_none()
            && let Some(place) = self.place
            && let Some(path) = files.iter().find(|path| Stamp::of(path) == Some(place.stamp))
        {
            self.open = Some(Forward::open_at(path, place.offset)?);
            return Ok(true);
        }
        let current = self.place.map(|place| place.stamp);
        let Some((path, stamp)) = files.iter().find_map(|path| Some((path, Stamp::of(path).filter(|stamp| Some(*stamp) > current)?)))
        else {
            return Ok(false);
        };
        // A last line may have come to the old file between the look and now.
        let next = Forward::open(path)?;
        if self.open.is_some() && self.peek()? {
            return Ok(true);
        }
        self.open = Some(next);
        let sequence = self.place.map_or(0, |place| place.sequence);
        self.place = Some(Place { stamp, offset: 0, sequence });
        Ok(true)
    }

    /// Whether the open file has a line after all.
    fn peek(&mut self) -> io::Result<bool> {
        let Some((place, path)) = self.place.map(|place| (place, self.directory.join(place.stamp.file_name()))) else {
            return Ok(false);
        };
        let Ok(mut again) = Forward::open_at(&path, place.offset) else { return Ok(false) };
        let has = again.next_line()?.is_some_and(|line| !line.torn);
        if has {
            self.open = Some(Forward::open_at(&path, place.offset)?);
        }
        Ok(has)
    }
}
