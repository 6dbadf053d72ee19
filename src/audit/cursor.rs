//! A place in the trail that outlives the process: whoever ships records goes on where he stopped.

use super::chain::Links;
use super::json::sequence_of;
use super::read::{self, Forward, Stamp};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

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

    /// The beginning of the newest file: what a running gateway has written since it began that.
    ///
    /// # Errors
    /// The folder or the file cannot be read.
    pub fn newest_file(directory: &Path) -> io::Result<Option<Self>> {
        let Some(path) = read::files(directory)?.pop() else { return Ok(None) };
        let Some(stamp) = Stamp::of(&path) else { return Ok(None) };
        let first = Forward::open(&path)?.next_line()?.filter(|line| !line.torn).and_then(|line| sequence_of(&line.bytes));
        Ok(first.map(|first| Self { stamp, offset: 0, sequence: first.saturating_sub(1) }))
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

/// The number of a line; `None` where it is no record.
pub fn sequence(line: &[u8]) -> Option<u64> {
    sequence_of(line)
}

/// Whether the trail signed this line itself: a start, a stop, a checkpoint and the like.
pub fn is_signed(line: &[u8]) -> bool {
    Links::of(line).is_some_and(|links| links.signed.is_some())
}

/// Reads whole lines from a place on, over rotation, compression and the spill folder.
pub struct Cursor {
    directory: PathBuf,
    spill: Option<PathBuf>,
    place: Option<Place>,
    open: Option<Forward>,
    /// Numbers of lines that were gone when their turn came.
    skipped: u64,
}

impl Cursor {
    /// Begins after `place`, or at the oldest record.
    pub fn new(directory: &Path, place: Option<Place>) -> Self {
        Self { directory: directory.to_owned(), spill: None, place, open: None, skipped: 0 }
    }

    /// The same for a trail that goes to another folder while its own refuses records: what lies there has its turn as well.
    #[must_use]
    pub fn with_spill(mut self, spill: Option<PathBuf>) -> Self {
        self.spill = spill;
        self
    }

    /// The files in both folders, oldest first.
    fn files(&self) -> io::Result<Vec<(Stamp, PathBuf)>> {
        // The spill folder first: a file that goes home meanwhile is in one of the lists, or in both.
        let spilled = match &self.spill {
            Some(spill) => read::files(spill).unwrap_or_default(),
            None => Vec::new(),
        };
        let own = match read::files(&self.directory) {
            Ok(own) => own,
            // It may be the folder that refuses.
            Err(_) if !spilled.is_empty() => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut files: Vec<_> = own.into_iter().chain(spilled).filter_map(|path| Some((Stamp::of(&path)?, path))).collect();
        files.sort_by_key(|(stamp, _)| *stamp);
        files.dedup_by_key(|(stamp, _)| *stamp);
        Ok(files)
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
        let files = self.files()?;
        let current = self.place.map(|place| place.stamp);
        let own = files.iter().find(|(stamp, _)| Some(*stamp) == current);
        if self.open.is_none()
            && let (Some(place), Some((_, path))) = (self.place, own)
        {
            self.open = Some(Forward::open_at(path, place.offset)?);
            return Ok(true);
        }
        let Some((stamp, path)) = files.iter().find(|(stamp, _)| Some(*stamp) > current) else { return Ok(false) };
        let next = match Forward::open(path) {
            Ok(next) => next,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.advance_again(),
            Err(error) => return Err(error),
        };
        // A last line may have come to the old file between the look and now.
        if self.open.is_some()
            && let (Some(place), Some((_, own))) = (self.place, own)
        {
            let mut again = match Forward::open_at(own, place.offset) {
                Ok(again) => again,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return self.advance_again(),
                Err(error) => return Err(error),
            };
            if again.next_line()?.is_some_and(|line| !line.torn) {
                self.open = Some(Forward::open_at(own, place.offset)?);
                return Ok(true);
            }
        }
        self.open = Some(next);
        let sequence = self.place.map_or(0, |place| place.sequence);
        self.place = Some(Place { stamp: *stamp, offset: 0, sequence });
        Ok(true)
    }

    /// Looks anew: a file was compressed, brought home or retired between the look and now.
    fn advance_again(&mut self) -> io::Result<bool> {
        std::thread::sleep(Duration::from_millis(1));
        self.advance()
    }
}
