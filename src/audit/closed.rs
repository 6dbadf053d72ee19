//! A file of the trail as bytes, whether it is plain or was compressed after it was closed.
//!
//! A compressed file, `*.jsonl.gz`, is a sequence of gzip members (RFC 1952) of about [`CLOSED_BLOCK_BYTES`] each, so `zcat` reads it. Each
//! member says in its header, in an extra field `PC`, how long it is and how much text it holds, so that any part of the text
//! can be reached without unpacking what stands before.

use crate::limits::{CLOSED_BLOCK_BYTES, RECORD_LINE_BYTES_MAX};
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc, Decompress, FlushDecompress};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What a compressed file's name has behind that of the plain one.
pub const CLOSED_SUFFIX: &str = ".gz";

/// `ID1 ID2 CM FLG MTIME XFL OS`, with FLG = FEXTRA.
const MAGIC: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255];
/// XLEN, then the sub-field's name and length: two numbers of four bytes.
const EXTRA: [u8; 6] = [12, 0, b'P', b'C', 8, 0];
const HEAD_BYTES: usize = MAGIC.len() + EXTRA.len() + 8;
/// CRC32 and ISIZE.
const FOOT_BYTES: usize = 8;
/// deflate cannot do better than 1032 to 1; a block has whole lines.
const BLOCK_TEXT_BYTES_MAX: usize = CLOSED_BLOCK_BYTES + RECORD_LINE_BYTES_MAX;
/// Fast, and near the best on records: docs/audit.md has the figures.
const LEVEL: u32 = 4;

/// The path of the compressed form of a plain file.
pub fn closed_path(plain: &Path) -> PathBuf {
    let mut name = plain.as_os_str().to_owned();
    name.push(CLOSED_SUFFIX);
    PathBuf::from(name)
}

/// Where a member of a compressed file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    at: u64,
    bytes: usize,
    text_at: u64,
    text_bytes: usize,
}

/// A compressed file, read as its text.
pub struct Closed {
    file: File,
    blocks: Vec<Block>,
    /// The unpacked block and its text.
    current: Option<(usize, Vec<u8>)>,
    place: u64,
}

impl Closed {
    /// Opens a compressed file and reads the heads of its members.
    ///
    /// # Errors
    /// The file cannot be read, or was not written by [`compress`].
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let (mut blocks, mut at, mut text_at) = (Vec::new(), 0, 0);
        let mut head = [0; HEAD_BYTES];
        while at < length {
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut head).map_err(|_| broken("it ends in the middle of a block"))?;
            let (bytes, text_bytes) = sizes(&head).ok_or_else(|| broken("it was not compressed by the gateway"))?;
            if bytes < HEAD_BYTES + FOOT_BYTES || at + bytes as u64 > length || text_bytes > BLOCK_TEXT_BYTES_MAX {
                return Err(broken("it ends in the middle of a block"));
            }
            blocks.push(Block { at, bytes, text_at, text_bytes });
            at += bytes as u64;
            text_at += text_bytes as u64;
        }
        Ok(Self { file, blocks, current: None, place: 0 })
    }

    /// Bytes of the text.
    pub fn text_bytes(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.text_at + block.text_bytes as u64)
    }

    fn unpack(&mut self, index: usize) -> io::Result<()> {
        if self.current.as_ref().is_some_and(|(current, _)| *current == index) {
            return Ok(());
        }
        let block = self.blocks[index];
        let mut packed = vec![0; block.bytes];
        self.file.seek(SeekFrom::Start(block.at))?;
        self.file.read_exact(&mut packed)?;
        let (body, foot) = packed[HEAD_BYTES..].split_at(block.bytes - HEAD_BYTES - FOOT_BYTES);
        let mut text = Vec::with_capacity(block.text_bytes);
        let status = Decompress::new(false).decompress_vec(body, &mut text, FlushDecompress::Finish);
        let mut crc = Crc::new();
        crc.update(&text);
        let whole = status.is_ok_and(|status| status == flate2::Status::StreamEnd) && text.len() == block.text_bytes;
        if !whole || foot != [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat() {
            return Err(broken("a block of it was changed"));
        }
        self.current = Some((index, text));
        Ok(())
    }
}

impl Read for Closed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let index = self.blocks.partition_point(|block| block.text_at + block.text_bytes as u64 <= self.place);
        if index == self.blocks.len() {
            return Ok(0);
        }
        self.unpack(index)?;
        let from = usize::try_from(self.place - self.blocks[index].text_at).unwrap_or(usize::MAX);
        let rest = self.current.as_ref().and_then(|(_, text)| text.get(from..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.place += count as u64;
        Ok(count)
    }
}

impl Seek for Closed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.place.checked_add_signed(by),
            SeekFrom::End(by) => self.text_bytes().checked_add_signed(by),
        };
        self.place = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.place)
    }
}

/// The text of one of the trail's files.
pub enum Content {
    /// The file being written, or one that is not compressed yet.
    Plain(File),
    /// A compressed one.
    Closed(Closed),
}

impl Content {
    /// Opens a file by either of its names: the plain one may have been compressed meanwhile.
    ///
    /// # Errors
    /// The file cannot be opened, or is compressed and broken.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path.extension().is_some_and(|ending| ending == "gz") {
            return Ok(Self::Closed(Closed::open(path)?));
        }
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Closed(Closed::open(&closed_path(path))?)),
            opened => Ok(Self::Plain(opened?)),
        }
    }

    /// Bytes of the text, now.
    ///
    /// # Errors
    /// The file's length cannot be read.
    pub fn text_bytes(&self) -> io::Result<u64> {
        match self {
            Self::Plain(file) => Ok(file.metadata()?.len()),
            Self::Closed(closed) => Ok(closed.text_bytes()),
        }
    }
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(into),
            Self::Closed(closed) => closed.read(into),
        }
    }
}

impl Seek for Content {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Plain(file) => file.seek(to),
            Self::Closed(closed) => closed.seek(to),
        }
    }
}

/// Compresses a plain file, block by block; `pause` is called after each and ends the work early by saying false. The
/// compressed file appears under its name only when it is whole and on the disk. Returns whether it does.
///
/// # Errors
/// A file cannot be read or written; what was written is taken away again.
pub fn compress(plain: &Path, mut pause: impl FnMut() -> bool) -> io::Result<bool> {
    let target = closed_path(plain);
    let aside = target.with_extension("gz.new");
    let result = (|| {
        let mut from = BufReader::with_capacity(CLOSED_BLOCK_BYTES, File::open(plain)?);
        let mut into = File::create(&aside)?;
        let mut text = Vec::with_capacity(CLOSED_BLOCK_BYTES);
        while fill(&mut from, &mut text)? {
            into.write_all(&pack(&text)?)?;
            if !pause() {
                return Ok(false);
            }
        }
        let metadata = from.get_ref().metadata()?;
        into.set_permissions(metadata.permissions())?;
        into.sync_all()?;
        std::fs::rename(&aside, &target)?;
        Ok(true)
    })();
    if !matches!(result, Ok(true)) {
        let _ = std::fs::remove_file(&aside);
    }
    result
}

/// Reads whole lines up to a block's size, or one longer line; false at the end.
fn fill(from: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<bool> {
    text.clear();
    while text.len() < CLOSED_BLOCK_BYTES {
        let room = (BLOCK_TEXT_BYTES_MAX - text.len()) as u64;
        if from.by_ref().take(room).read_until(b'\n', text)? == 0 {
            break;
        }
    }
    Ok(!text.is_empty())
}

fn pack(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&EXTRA);
    out.extend_from_slice(&[0; 8]);
    let mut encoder = DeflateEncoder::new(out, Compression::new(LEVEL));
    encoder.write_all(text)?;
    let mut out = encoder.finish()?;
    let mut crc = Crc::new();
    crc.update(text);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    let sizes = [out.len(), text.len()].map(|size| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    out[HEAD_BYTES - 8..HEAD_BYTES].copy_from_slice(&sizes.concat());
    Ok(out)
}

/// Bytes of the member and of its text, as its head says.
fn sizes(head: &[u8; HEAD_BYTES]) -> Option<(usize, usize)> {
    let number = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?) as usize);
    (head.starts_with(&MAGIC) && head[MAGIC.len()..].starts_with(&EXTRA)).then_some(())?;
    Some((number(HEAD_BYTES - 8)?, number(HEAD_BYTES - 4)?))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("this compressed file cannot be read: {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compressed(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("a.jsonl");
        std::fs::write(&plain, text).unwrap();
        assert!(compress(&plain, || true).unwrap());
        std::fs::remove_file(&plain).unwrap();
        (folder, plain)
    }

    fn lines(count: usize) -> Vec<u8> {
        (0..count).flat_map(|n| format!("{{\"number\":{n},\"text\":\"{}\"}}\n", "x".repeat(n % 200)).into_bytes()).collect()
    }

    #[test]
    fn zcat_reads_what_was_compressed() {
        let text = lines(20_000);
        let (folder, plain) = compressed(&text);
        let output = std::process::Command::new("zcat").arg(closed_path(&plain)).output().unwrap();
        assert!(output.status.success() && output.stdout == text);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn an_end_in_the_middle_and_a_changed_byte_are_noticed() {
        let (_folder, plain) = compressed(&lines(9_000));
        let path = closed_path(&plain);
        let whole = std::fs::read(&path).unwrap();
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let mut text = Vec::new();
            Content::open(&plain).and_then(|mut content| content.read_to_end(&mut text))
        };
        assert!(read(&whole).is_ok());
        for at in (0..whole.len()).step_by(97) {
            assert!(read(&whole[..at]).is_err() || at == 0, "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(read(&changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn work_that_is_ended_early_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("a.jsonl");
        std::fs::write(&plain, lines(20_000)).unwrap();
        assert!(!compress(&plain, || false).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_part_can_be_reached(count in 0usize..12_000, torn in any::<bool>(), places in proptest::collection::vec(0.0..1.0f64, 4)) {
            let mut text = lines(count);
            if torn {
                text.extend_from_slice(b"{\"torn");
            }
            let (_folder, plain) = compressed(&text);
            let mut content = Content::open(&plain).unwrap();
            prop_assert_eq!(content.text_bytes().unwrap(), text.len() as u64);
            for place in places {
                let at = (place * text.len() as f64) as usize;
                content.seek(SeekFrom::Start(at as u64)).unwrap();
                let mut part = vec![0; 300.min(text.len() - at)];
                content.read_exact(&mut part).unwrap();
                prop_assert_eq!(&part[..], &text[at..at + part.len()]);
            }
        }
    }
}
