//! A thread for what has time: closed files are compressed, retired ones removed, spilled ones brought home.

use super::closed::{closed_path, compress};
use super::read::{self, Stamp};
use super::settings::{Settings, WallClock};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often closed files are looked through without an occasion.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// The same while there are spilled files.
const SPILL_INTERVAL: Duration = Duration::from_secs(1);
/// Compressing rests for so many times as long as it worked: it takes at most a quarter of a core.
const REST: u32 = 3;

/// What the writer tells.
enum Work {
    /// This file is being written, and whether it stands in the spill folder.
    Current(Stamp, bool),
    /// This file is to go.
    Remove(PathBuf),
}

/// The handle; the thread ends with it, a compression under way without result.
pub(crate) struct Keeper {
    to: Option<Sender<Work>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn start(settings: &Settings) -> io::Result<Self> {
        let (to, work) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let mut keeping = Keeping {
            directory: settings.directory.clone(),
            spill: settings.spill_directory.clone(),
            compress_after: settings.compress_after,
            clock: Arc::clone(&settings.clock),
            stop: Arc::clone(&stop),
            current: None,
        };
        let thread = std::thread::Builder::new().name("audit-keeper".into()).spawn(move || keeping.run(&work))?;
        Ok(Self { to: Some(to), stop, thread: Some(thread) })
    }

    /// This file is being written now; those before it are closed.
    pub(crate) fn current(&self, path: &Path, spilled: bool) {
        if let (Some(to), Some(stamp)) = (&self.to, Stamp::of(path)) {
            let _ = to.send(Work::Current(stamp, spilled));
        }
    }

    /// Removes a file whose retirement stands in the trail.
    pub(crate) fn remove(&self, path: PathBuf) {
        if let Some(to) = &self.to {
            let _ = to.send(Work::Remove(path));
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // What was to be removed still is; the rest can wait for the next run.
        self.stop.store(true, Relaxed);
        self.to = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Keeping {
    directory: PathBuf,
    spill: Option<PathBuf>,
    compress_after: Option<Duration>,
    clock: WallClock,
    stop: Arc<AtomicBool>,
    /// The file being written, and whether it is spilled.
    current: Option<(Stamp, bool)>,
}

impl Keeping {
    fn run(&mut self, work: &Receiver<Work>) {
        loop {
            let waiting = self.spill.as_deref().is_some_and(|spill| read::files(spill).is_ok_and(|files| !files.is_empty()));
            match work.recv_timeout(if waiting { SPILL_INTERVAL } else { LOOK_INTERVAL }) {
                Ok(Work::Remove(path)) => {
                    remove(&path);
                    continue;
                }
                Ok(Work::Current(stamp, spilled)) => self.current = Some((stamp, spilled)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.stop.load(Relaxed) {
                continue;
            }
            if let (Some(spill), Some((current, false))) = (&self.spill, self.current) {
                bring_home(spill, &self.directory, Some(current));
            }
            self.compress_old();
        }
    }

    fn compress_old(&self) {
        let (Some(after), Some((current, _))) = (self.compress_after, self.current) else { return };
        let second = (self.clock)() / 1_000_000;
        let files = read::files(&self.directory).unwrap_or_default();
        for (place, path) in files.iter().enumerate() {
            // A file was closed when the next was begun.
            let next = files.get(place + 1).and_then(|path| Stamp::of(path)).unwrap_or(current);
            let due = next.second.saturating_add(after.as_secs()) <= second;
            let closed = Stamp::of(path).is_some_and(|stamp| stamp < current);
            if !due || !closed || path.extension().is_some_and(|ending| ending == "gz") {
                continue;
            }
            let mut since = Instant::now();
            let result = compress(path, || {
                std::thread::sleep(since.elapsed() * REST);
                since = Instant::now();
                !self.stop.load(Relaxed)
            });
            match result {
                Ok(true) => remove_only(path),
                Ok(false) => return,
                Err(error) => tracing::warn!(%error, file = %path.display(), "an audit file cannot be compressed"),
            }
        }
    }
}

/// Moves spilled files that are closed into the folder, oldest first; stops at the first that cannot be.
pub(crate) fn bring_home(spill: &Path, directory: &Path, current: Option<Stamp>) -> bool {
    let Ok(files) = read::files(spill) else { return true };
    for path in files {
        let (Some(stamp), Some(name)) = (Stamp::of(&path), path.file_name()) else { continue };
        if current.is_some_and(|current| stamp >= current) {
            continue;
        }
        match copy(&path, &directory.join(name)) {
            Ok(()) => {
                remove_only(&path);
                tracing::info!(file = %name.display(), "a spilled audit file was brought home");
            }
            Err(error) => {
                tracing::warn!(%error, file = %name.display(), "a spilled audit file cannot be brought home yet");
                return false;
            }
        }
    }
    true
}

/// Copies a file so that it appears whole and on the disk.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let aside = to.with_extension("jsonl.new");
    let result = fs::copy(from, &aside).and_then(|_| File::open(&aside)?.sync_all()).and_then(|()| fs::rename(&aside, to));
    if result.is_err() {
        let _ = fs::remove_file(&aside);
    }
    result
}

/// Removes a file in both its forms.
fn remove(plain: &Path) {
    remove_only(plain);
    remove_only(&closed_path(plain));
}

fn remove_only(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, file = %path.display(), "an audit file cannot be removed");
        }
        _ => {}
    }
}
