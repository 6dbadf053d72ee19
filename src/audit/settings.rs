//! What a trail is opened with, and what it tells about its work.

use super::record::Record;
use super::redact::Redactor;
use crate::limits::{
    AUDIT_CHECKPOINT_INTERVAL, AUDIT_FILE_BYTES_MAX, AUDIT_QUEUE_BYTES_MAX, AUDIT_SPILL_BYTES_MAX, AUDIT_STOP_TIMEOUT, AUDIT_SYNC_INTERVAL,
    FLOOD_RECORDS_PER_SECOND,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The wall clock in microseconds since the Unix epoch; tests bring their own.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// When records are forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// This long after the first that is not, beside the writing.
    Interval(Duration),
    /// With every commit, before the next.
    Commit,
    /// When a file is closed; otherwise when the system likes.
    Never,
}

/// What a trail is opened with.
#[derive(Clone)]
pub struct Settings {
    /// The folder of the files; made if it is not there.
    pub directory: PathBuf,
    /// The folder of what must not lie beside the files: the signing key, the position, the heads. Without it nothing is signed,
    /// and what a killed process lost is not known.
    pub state_directory: Option<PathBuf>,
    /// The signing key's file, where it is not in the state folder.
    pub signing_key: Option<PathBuf>,
    /// The file of the signed lines' copies, where it is not in the state folder.
    pub heads_file: Option<PathBuf>,
    /// Where lines go while the folder refuses them.
    pub spill_directory: Option<PathBuf>,
    /// Bytes of records there.
    pub spill_bytes_max: u64,
    /// Bytes of a file before the next is begun.
    pub file_bytes_max: u64,
    /// Days that closed files are kept; `None` for ever.
    pub retention_days: Option<u32>,
    /// Age of a closed file at which it is compressed; `None` for never.
    pub compress_after: Option<Duration>,
    /// Bytes of records waiting for the disk.
    pub queue_bytes_max: usize,
    /// When records are forced to the disk.
    pub sync: SyncPolicy,
    /// Time between signed checkpoints while records come.
    pub checkpoint_interval: Duration,
    /// Refusals before auth written one by one, per second and address; `None` for all.
    pub flood_records_per_second: Option<u32>,
    /// Time a stop waits for a disk that refuses.
    pub stop_timeout: Duration,
    /// What must not be readable.
    pub redactor: Arc<Redactor>,
    /// The clock for file names, days and the trail's own records.
    pub clock: WallClock,
    /// Sees each record as plain data before it is queued: how a rehearsal learns what happened.
    pub observer: Option<Observer>,
    /// Tests: how many of so many bytes a write takes before it fails; `None` where it does not fail.
    #[cfg(test)]
    pub(crate) fault: Option<Fault>,
    /// Tests: whether forcing to the disk fails.
    #[cfg(test)]
    pub(crate) force_fault: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

/// A function that sees records.
pub type Observer = Arc<dyn Fn(&Record) + Send + Sync>;

/// See `Settings::fault`.
#[cfg(test)]
pub(crate) type Fault = Arc<dyn Fn(usize) -> Option<usize> + Send + Sync>;

impl Settings {
    /// The defaults of [`crate::limits`]: nothing ever deleted or compressed, nothing signed.
    pub fn new(directory: impl Into<PathBuf>, redactor: Redactor) -> Self {
        Self {
            directory: directory.into(),
            state_directory: None,
            signing_key: None,
            heads_file: None,
            spill_directory: None,
            spill_bytes_max: AUDIT_SPILL_BYTES_MAX,
            file_bytes_max: AUDIT_FILE_BYTES_MAX,
            retention_days: None,
            compress_after: None,
            queue_bytes_max: AUDIT_QUEUE_BYTES_MAX,
            sync: SyncPolicy::Interval(AUDIT_SYNC_INTERVAL),
            checkpoint_interval: AUDIT_CHECKPOINT_INTERVAL,
            flood_records_per_second: Some(FLOOD_RECORDS_PER_SECOND),
            stop_timeout: AUDIT_STOP_TIMEOUT,
            redactor: Arc::new(redactor),
            clock: Arc::new(|| crate::clock::Moment::now().unix_micros),
            observer: None,
            #[cfg(test)]
            fault: None,
            #[cfg(test)]
            force_fault: None,
        }
    }

    /// Where the signing key is; `None` for an unsigned trail.
    pub fn signing_key_path(&self) -> Option<PathBuf> {
        self.signing_key.clone().or_else(|| Some(self.state_directory.as_ref()?.join(SIGNING_KEY_FILE)))
    }

    /// Where the copies of signed lines go.
    pub fn heads_path(&self) -> Option<PathBuf> {
        self.heads_file.clone().or_else(|| Some(self.state_directory.as_ref()?.join(HEADS_FILE)))
    }
}

/// The signing key's name in the state folder.
pub const SIGNING_KEY_FILE: &str = "signing-key.pem";
/// The name of the heads' file in the state folder.
pub const HEADS_FILE: &str = "heads.jsonl";

/// What the trail has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Requests, tunnel ends and failed connections that were begun.
    pub opened: u64,
    /// Requests' records that reached a file (`portcullis_audit_records_total`).
    pub written: u64,
    /// Requests' records that were lost, all declared in gap records once writing works (`portcullis_audit_dropped_total`).
    pub dropped: u64,
    /// Refusals before auth that were counted in flood records.
    pub merged: u64,
    /// Bytes that reached files.
    pub bytes: u64,
    /// Errors of the disk.
    pub errors: u64,
    /// Bytes that wait for the disk now.
    pub queued_bytes: u64,
    /// Files begun.
    pub files: u64,
    /// Lines go to the spill folder now.
    pub spilling: bool,
}
