//! What a new process finds of an earlier one: where its chain ended, and how.

use super::chain::{Hash, Links, genesis};
use super::read::{self, Backward, Stamp};
use serde_json::Value;
use std::io;
use std::path::Path;

/// The end of the files of an earlier process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    /// The last sequence number; 0 where there is none.
    pub(crate) sequence: u64,
    /// The hash of that line.
    pub(crate) head: Hash,
    /// When that line was made, in microseconds since the Unix epoch.
    pub(crate) at: u64,
    /// `none`, `clean`, `unclean` or `torn`.
    pub(crate) ended: &'static str,
    /// Bytes of the line cut short at the end, and the file it stands in.
    pub(crate) torn_bytes: u64,
    pub(crate) torn_file: Option<String>,
    /// The last file.
    pub(crate) last: Option<Stamp>,
    /// Requests accounted for in lines after a given sequence number.
    pub(crate) accounted: u64,
}

impl Before {
    /// Reads the end of the trail in `directory`, and counts the requests accounted for after line `counted` of the last run.
    pub(crate) fn read(directory: &Path, counted: u64) -> io::Result<Self> {
        let files = read::files(directory)?;
        let last = files.last().and_then(|path| Stamp::of(path));
        let mut before = Self { sequence: 0, head: genesis(), at: 0, ended: "none", torn_bytes: 0, torn_file: None, last, accounted: 0 };
        for (place, line) in Backward::open(directory)?.enumerate() {
            let line = line?;
            if place == 0 && line.torn {
                before.ended = "torn";
                before.torn_bytes = line.bytes.len() as u64;
                before.torn_file = files.last().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
                continue;
            }
            let (false, Ok(value)) = (line.torn, serde_json::from_slice::<Value>(&line.bytes)) else { continue };
            let Some(sequence) = value.pointer("/event/sequence").and_then(Value::as_u64) else { continue };
            let kind = value.pointer("/event/kind").and_then(Value::as_str).unwrap_or_default();
            if before.sequence == 0 {
                before.end(sequence, kind, &line.bytes, &value);
            }
            if sequence <= counted || kind == "start" {
                break;
            }
            before.accounted += accounted(kind, &value);
        }
        Ok(before)
    }

    fn end(&mut self, sequence: u64, kind: &str, line: &[u8], value: &Value) {
        self.sequence = sequence;
        if let Some(hash) = Links::of(line).and_then(|links| Hash::try_from(links.hash).ok()) {
            self.head = hash;
        }
        self.at = value["@timestamp"].as_str().and_then(crate::clock::unix_micros).unwrap_or_default();
        if self.ended == "none" {
            self.ended = if kind == "stop" { "clean" } else { "unclean" };
        }
    }
}

/// How many requests a line accounts for.
fn accounted(kind: &str, value: &Value) -> u64 {
    match kind {
        "request" | "tunnel_end" | "connection" => 1,
        "gap" => value["gap"]["count"].as_u64().unwrap_or_default(),
        "flood" => value["flood"]["count"].as_u64().unwrap_or_default(),
        _ => 0,
    }
}
