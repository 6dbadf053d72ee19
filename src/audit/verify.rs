//! Whether a trail is whole: every line proves itself and names the line before, signatures are right, nothing lacks at either end.

use super::chain::{Hash, Links, genesis};
use super::control::SIGNED_KINDS;
use super::json::sequence_of;
use super::key::VerifyingKey;
use super::position::Position;
use super::read::{self, Forward};
use super::settings::{HEADS_FILE, SIGNING_KEY_FILE};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};

/// Bytes of a heads file that are read: far above what the writer keeps in one.
const HEADS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What a trail is held against.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Keys whose signatures count. Without any, signatures are not checked.
    pub keys: Vec<VerifyingKey>,
    /// Copies of signed lines from a second place.
    pub heads: Heads,
    /// How far the writer says it is.
    pub position: Option<Position>,
}

/// Where the evidence of a trail is.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The state folder.
    pub state: PathBuf,
    /// Keys, public or private.
    pub keys: Vec<PathBuf>,
    /// Files of heads.
    pub heads: Vec<PathBuf>,
}

impl Sources {
    /// Those of a gateway: what its state folder has, and what lies elsewhere.
    pub fn of(state: &Path, signing_key: Option<&Path>, heads_file: Option<&Path>) -> Self {
        let key = signing_key.map_or_else(|| state.join(SIGNING_KEY_FILE), Path::to_owned);
        let heads = heads_file.map_or_else(|| state.join(HEADS_FILE), Path::to_owned);
        let mut old = heads.clone().into_os_string();
        old.push(".old");
        let there = |paths: Vec<PathBuf>| -> Vec<PathBuf> { paths.into_iter().filter(|path| path.exists()).collect() };
        Self { state: state.to_owned(), keys: there(vec![key.with_extension("pub.pem"), key]), heads: there(vec![old.into(), heads]) }
    }
}

impl Evidence {
    /// Reads it, without the heads where only what is new is to be checked. To be read before the trail: its writer goes on.
    ///
    /// # Errors
    /// A file cannot be read. A line of the heads that is wrong is a fault of the trail.
    pub fn read(sources: &Sources, with_heads: bool) -> io::Result<Result<Self, Bad>> {
        let position = Position::read(&sources.state)?;
        let mut keys: Vec<VerifyingKey> = Vec::new();
        for path in &sources.keys {
            let key = VerifyingKey::open(path)?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let mut heads = Heads::default();
        for path in sources.heads.iter().filter(|_| with_heads) {
            if let Err(bad) = heads.read(path, &keys)? {
                return Ok(Err(bad));
            }
        }
        Ok(Ok(Self { keys, heads, position }))
    }
}

/// How far a check came: the next one can go on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The number of the last record that was right.
    pub sequence: u64,
    hash: String,
    /// The file it stands in, by its number; where in its text the line begins, and which one it is.
    file: u64,
    bytes: u64,
    line: u64,
}

/// Copies of signed lines, by their numbers.
#[derive(Debug, Default)]
pub struct Heads {
    hashes: BTreeMap<u64, (Hash, PathBuf, u64)>,
}

impl Heads {
    /// Adds the lines of a file. What stands before the first brace of a line, a syslog header say, is passed over.
    ///
    /// # Errors
    /// The file cannot be read; a line of it is no signed record, or its signature is wrong: the first such line.
    pub fn read(&mut self, path: &Path, keys: &[VerifyingKey]) -> io::Result<Result<(), Bad>> {
        let file = std::fs::File::open(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let reader = io::BufReader::new(io::Read::take(file, HEADS_BYTES_MAX));
        for (place, line) in reader.split(b'\n').enumerate() {
            let line = line?;
            let number = place as u64 + 1;
            let Some(record) = line.iter().position(|b| *b == b'{').and_then(|at| line.get(at..)).map(<[u8]>::trim_ascii_end) else {
                continue;
            };
            let bad = |what: &str| Bad { file: path.to_owned(), line: number, sequence: sequence_of(record), what: what.into() };
            let (Some(sequence), Some(links)) = (sequence_of(record), Links::of(record)) else {
                return Ok(Err(bad("this line of the heads is no record of a trail")));
            };
            if !links.hash_is_right() || !(keys.is_empty() || keys.iter().any(|key| links.is_signed_by(key))) {
                return Ok(Err(bad("this line of the heads was changed, or is signed by another key")));
            }
            if let Ok(hash) = Hash::try_from(links.hash) {
                self.hashes.insert(sequence, (hash, path.to_owned(), number));
            }
        }
        Ok(Ok(()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1; 0 for the file as a whole.
    pub line: u64,
    /// The record's number, where it has one.
    pub sequence: Option<u64>,
    /// What, one sentence.
    pub what: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files read.
    pub files: u64,
    /// Whole lines read.
    pub lines: u64,
    /// The numbers of the first and the last of them.
    pub first: u64,
    /// See `first`.
    pub last: u64,
    /// Records of requests, tunnel ends and failed connections.
    pub requests: u64,
    /// Requests counted in gap records, and those records.
    pub lost: u64,
    /// See `lost`.
    pub gaps: u64,
    /// Requests counted in flood records.
    pub merged: u64,
    /// Lines whose signature was checked.
    pub signed: u64,
    /// Copies in the heads that agree.
    pub heads: u64,
    /// Files named by retired records that explain where the trail begins.
    pub retired: u64,
    /// What is no fault, and should be known.
    pub notes: Vec<String>,
    /// The first fault; what comes after it was not read.
    pub bad: Option<Bad>,
}

/// Reads the whole trail. `progress` is told the bytes read so far, now and then.
///
/// # Errors
/// The folder or a file cannot be read. A compressed file that is broken is a fault of the trail, not an error.
pub fn verify(directory: &Path, evidence: &Evidence, mut progress: impl FnMut(u64)) -> io::Result<Report> {
    let checked = verify_from(directory, evidence, None, |bytes| {
        progress(bytes);
        true
    })?;
    Ok(checked.map_or_else(Report::default, |(report, _)| report))
}

/// Reads what follows a point that an earlier check came to, whose record must still be there; without one, the whole trail. False
/// from `progress` ends it early, and then there is no answer.
///
/// # Errors
/// As [`verify`].
pub fn verify_from(
    directory: &Path,
    evidence: &Evidence,
    from: Option<&Point>,
    mut progress: impl FnMut(u64) -> bool,
) -> io::Result<Option<(Report, Option<Point>)>> {
    let mut state = State {
        evidence,
        report: Report { last: from.map_or(0, |point| point.sequence), ..Report::default() },
        chain: from.and_then(|point| Hash::try_from(point.hash.as_bytes()).ok()).unwrap_or_else(genesis),
        place: None,
        missing: Vec::new(),
        torn: Vec::new(),
        retired: Vec::new(),
    };
    let mut files = read::files(directory)?;
    files.retain(|path| from.is_none_or(|point| read::number(path).is_some_and(|number| number >= point.file)));
    for (place, path) in files.iter().enumerate() {
        match state.file(path, place + 1 == files.len(), from, &mut progress)? {
            Some(Ok(())) => {}
            Some(Err(bad)) => {
                state.report.bad = Some(*bad);
                return Ok(Some((state.report, None)));
            }
            None => return Ok(None),
        }
    }
    let last = files.last().cloned().unwrap_or_else(|| directory.to_owned());
    if let Err(bad) = state.end(&last) {
        state.report.bad = Some(*bad);
        return Ok(Some((state.report, None)));
    }
    let hash = String::from_utf8_lossy(&state.chain).into_owned();
    let sequence = state.report.last;
    let point = state.place.map(|(file, bytes, line)| Point { sequence, hash, file, bytes, line });
    Ok(Some((state.report, point.or_else(|| from.cloned()))))
}

/// Lines that are not there: from a number up to the line before `then`, whose predecessor's hash is known.
struct Missing {
    from: u64,
    to: u64,
    hash: Vec<u8>,
    at: Bad,
}

struct Retired {
    first: u64,
    last: u64,
    hash: String,
}

struct State<'a> {
    evidence: &'a Evidence,
    report: Report,
    chain: Hash,
    /// Where the last line stands that was right: file, byte, line.
    place: Option<(u64, u64, u64)>,
    missing: Vec<Missing>,
    /// Files that end in a line cut short, for which a record must account.
    torn: Vec<(String, u64, Bad)>,
    retired: Vec<Retired>,
}

type Found<T> = Result<T, Box<Bad>>;

impl State<'_> {
    /// `None` where the progress ended it.
    fn file(
        &mut self,
        path: &Path,
        is_last: bool,
        from: Option<&Point>,
        progress: &mut impl FnMut(u64) -> bool,
    ) -> io::Result<Option<Found<()>>> {
        let fault = |line: u64, what: String| Box::new(Bad { file: path.to_owned(), line, sequence: None, what });
        let this = read::number(path).unwrap_or_default();
        let from = from.filter(|point| point.file == this);
        let mut lines = match Forward::open_at(path, from.map_or(0, |point| point.bytes)) {
            Ok(lines) => lines,
            // Retired between the listing and now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Ok(()))),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Some(Err(fault(0, error.to_string())))),
            Err(error) => return Err(error),
        };
        self.report.files += 1;
        let (mut number, mut at, mut told) = from.map_or((0, 0, 0), |point| (point.line - 1, point.bytes, point.bytes));
        if let Some(point) = from {
            let line = lines.next_line().ok().flatten().filter(|line| !line.torn);
            let is_there = line.as_ref().is_some_and(|line| {
                let links = Links::of(&line.bytes);
                sequence_of(&line.bytes) == Some(point.sequence)
                    && links.is_some_and(|links| links.hash == point.hash.as_bytes() && links.hash_is_right())
            });
            let Some(line) = line.filter(|_| is_there) else {
                let what = format!("record {}, up to which the trail was whole before, is not here any more", point.sequence);
                return Ok(Some(Err(fault(point.line, what))));
            };
            (number, at) = (point.line, at + line.bytes.len() as u64 + 1);
        }
        loop {
            let line = match lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Some(Err(fault(number + 1, error.to_string())))),
                Err(error) => return Err(error),
            };
            number += 1;
            if line.torn {
                let what = "the file ends in the middle of a line, and no record accounts for it";
                if is_last {
                    self.report
                        .notes
                        .push(format!("{}:{number}: the last line is not whole: it is being written, or its writer died", path.display()));
                } else {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    let name = name.trim_end_matches(super::closed::CLOSED_SUFFIX).to_owned();
                    self.torn.push((name, line.bytes.len() as u64, *fault(number, what.into())));
                }
                break;
            }
            if number % 4096 == 0 && !progress(at - std::mem::replace(&mut told, at)) {
                return Ok(None);
            }
            if let Err(what) = self.line(&line.bytes, number == 1, path) {
                let bad = Bad { file: path.to_owned(), line: number, sequence: sequence_of(&line.bytes), what };
                return Ok(Some(Err(Box::new(bad))));
            }
            self.place = Some((this, at, number));
            at += line.bytes.len() as u64 + 1;
        }
        Ok(progress(at - told).then_some(Ok(())))
    }

    fn line(&mut self, line: &[u8], begins_file: bool, path: &Path) -> Result<(), String> {
        let Some(links) = Links::of(line) else { return Err("this line is no record of the chain".into()) };
        if !links.hash_is_right() {
            return Err("this record was changed: its hash is not that of its text".into());
        }
        let Some(sequence) = sequence_of(line) else { return Err("this record has no sequence number".into()) };
        let expected = self.report.last + 1;
        if links.previous != self.chain || sequence != expected {
            if sequence <= self.report.last {
                return Err(format!("this record stands out of order, or twice: number {expected} should be here"));
            }
            // Only whole files can be missing for a good reason, and that must be signed.
            if !begins_file || sequence == expected {
                return Err(format!(
                    "records are missing before this one, or the one before was replaced: number {expected} should be here"
                ));
            }
            let at = Bad { file: path.to_owned(), line: 1, sequence: Some(sequence), what: String::new() };
            self.missing.push(Missing { from: expected, to: sequence - 1, hash: links.previous.to_vec(), at });
        }
        if let Some((hash, ..)) = self.evidence.heads.hashes.get(&sequence) {
            if hash[..] != *links.hash {
                return Err("this record is not the one that the heads have under its number: the trail was cut and written anew".into());
            }
            self.report.heads += 1;
        }
        if let Some(position) = self.evidence.position.as_ref().filter(|position| position.sequence == sequence)
            && position.hash[..] != *links.hash
        {
            return Err("this record is not the one that the position has under its number: the trail was cut and written anew".into());
        }
        self.chain.copy_from_slice(links.hash);
        if self.report.lines == 0 {
            self.report.first = sequence;
        }
        self.report.last = sequence;
        self.report.lines += 1;
        self.content(line, &links)
    }

    fn content(&mut self, line: &[u8], links: &Links<'_>) -> Result<(), String> {
        let kind = kind_of(line);
        if matches!(kind, b"request" | b"tunnel_end" | b"connection") {
            self.report.requests += 1;
            return Ok(());
        }
        if SIGNED_KINDS.iter().any(|signed| signed.as_bytes() == kind) && !self.evidence.keys.is_empty() {
            if !self.evidence.keys.iter().any(|key| links.is_signed_by(key)) {
                let by = links.signed.map_or_else(|| "no key".into(), |(key, _)| format!("key {}", String::from_utf8_lossy(key)));
                return Err(format!("this record must be signed by a known key, and is signed by {by}"));
            }
            self.report.signed += 1;
        }
        let value: Value = serde_json::from_slice(line).map_err(|_| "this record is no JSON")?;
        let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        match kind {
            b"gap" => {
                if text("/gap/reason") == "cut" {
                    let most = number("/gap/count_max");
                    return Err(format!("lines that had been written were gone when the gateway started: at most {most} requests"));
                }
                self.report.gaps += 1;
                self.report.lost += number("/gap/count");
                if value["gap"]["count"].is_null() {
                    let most =
                        value["gap"]["count_max"].as_u64().map_or_else(|| "an unknown number of".into(), |most| format!("at most {most}"));
                    self.report.notes.push(format!(
                        "sequence {}: {most} requests may lack a record ({})",
                        self.report.last,
                        text("/gap/reason")
                    ));
                }
            }
            b"flood" => self.report.merged += number("/flood/count"),
            b"start" | b"resume" => {
                let (file, bytes) = (text("/trail/file").trim_end_matches(super::closed::CLOSED_SUFFIX), number("/trail/torn_bytes"));
                self.torn.retain(|(name, torn, _)| name != file || *torn != bytes);
            }
            b"retired" => self.retired.push(Retired {
                first: number("/trail/first_sequence"),
                last: number("/trail/last_sequence"),
                hash: text("/trail/last_hash").to_owned(),
            }),
            _ => {}
        }
        Ok(())
    }

    /// What can only be said when all was read.
    fn end(&mut self, last: &Path) -> Found<()> {
        for missing in std::mem::take(&mut self.missing) {
            let mut from = missing.from;
            let mut hash = Vec::new();
            while let Some(retired) = self.retired.iter().find(|retired| (retired.first..=retired.last).contains(&from)) {
                self.report.retired += 1;
                from = retired.last + 1;
                hash = retired.hash.clone().into_bytes();
            }
            if from != missing.to + 1 || hash != missing.hash {
                let what = format!(
                    "records {} to {} before this one are missing, and no retired record accounts for them",
                    missing.from, missing.to
                );
                return Err(Box::new(Bad { what, ..missing.at }));
            }
        }
        if let Some((_, _, bad)) = self.torn.pop() {
            return Err(Box::new(bad));
        }
        let cut = |known: u64, by: &str| Bad {
            file: last.to_owned(),
            line: 0,
            sequence: None,
            what: format!("the end is missing: the trail ends with record {}, and {by} have record {known}", self.report.last),
        };
        if let Some((known, (_, file, line))) = self.evidence.heads.hashes.last_key_value().filter(|(known, _)| **known > self.report.last)
        {
            return Err(Box::new(cut(*known, &format!("the heads ({}:{line})", file.display()))));
        }
        if let Some(position) = self.evidence.position.as_ref().filter(|position| position.sequence > self.report.last) {
            return Err(Box::new(cut(position.sequence, "the writer's own notes")));
        }
        Ok(())
    }
}

/// The record's kind: the first `"kind":` of a line is that of its event, whose other fields are the trail's own.
fn kind_of(line: &[u8]) -> &[u8] {
    const KEY: &[u8] = b"\"kind\":\"";
    let head = &line[..line.len().min(256)];
    let Some(at) = head.windows(KEY.len()).position(|window| window == KEY) else { return b"" };
    let rest = &head[at + KEY.len()..];
    &rest[..rest.iter().position(|b| *b == b'"').unwrap_or(0)]
}
