//! The thread that keeps the index over the trail up to date, while the gateway runs and the policy asks for it.

use crate::limits::{AUDIT_INDEX_INTERVAL, AUDIT_INDEX_MEMORY_BYTES};
use crate::search::{Work, update};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

/// The running thread; it ends when this goes.
#[derive(Debug)]
pub(super) struct Indexing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Indexing {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(directory: PathBuf, index: PathBuf) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("index".into()).spawn(move || run(&directory, &index, &own))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Indexing {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn run(directory: &Path, index: &Path, stop: &AtomicBool) {
    let mut told = None;
    while !stop.load(Relaxed) {
        let mut progress = |_, _| !stop.load(Relaxed);
        let work = &mut Work { threads: 1, memory_bytes: AUDIT_INDEX_MEMORY_BYTES, thorough: false, progress: &mut progress };
        match update(directory, index, work) {
            Ok(report) => {
                if report.records > 0 {
                    tracing::debug!(records = report.records, files = report.files, removed = report.removed, "the index took in records");
                }
                told = None;
            }
            // Somebody runs `portcullis audit index`.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                let text = error.to_string();
                if told.as_ref() != Some(&text) {
                    tracing::warn!(%error, index = %index.display(), "the index cannot be kept; questions read the files instead");
                }
                told = Some(text);
            }
        }
        std::thread::park_timeout(AUDIT_INDEX_INTERVAL);
    }
}
