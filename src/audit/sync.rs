//! A thread that forces files to the disk, so that a slow disk does not hold up the writer.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Files that wait to be forced; with more, the writer forces its file itself.
const WAITING_MAX: usize = 8;

#[derive(Default)]
struct State {
    handed: u64,
    done: u64,
    /// The first error since it was asked for, or that all went well.
    result: Option<io::Result<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    done: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, result: io::Result<()>) {
        let mut state = self.state();
        state.done += 1;
        if !matches!(state.result, Some(Err(_))) {
            state.result = Some(result);
        }
        drop(state);
        self.done.notify_all();
    }
}

/// The handle; the thread ends with it.
pub(crate) struct Syncer {
    to: SyncSender<File>,
    shared: Arc<Shared>,
}

impl Syncer {
    pub(crate) fn start() -> io::Result<Self> {
        let (to, files) = sync_channel(WAITING_MAX);
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::Builder::new().name("audit-sync".into()).spawn(move || run(&files, &own))?;
        Ok(Self { to, shared })
    }

    /// Takes a file whose content is to be forced to the disk.
    pub(crate) fn hand_over(&self, file: File) {
        self.shared.state().handed += 1;
        match self.to.try_send(file) {
            Ok(()) => {}
            Err(TrySendError::Full(file) | TrySendError::Disconnected(file)) => self.shared.finish(file.sync_data()),
        }
    }

    /// Whether something is not done yet.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.shared.state();
        state.done < state.handed
    }

    /// How it went since the last call: the first error; `None` where nothing was done.
    pub(crate) fn result(&self) -> Option<io::Result<()>> {
        self.shared.state().result.take()
    }

    /// Waits until all is done.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let state = self.shared.state();
        let mut state = self.shared.done.wait_while(state, |state| state.done < state.handed).unwrap_or_else(PoisonError::into_inner);
        state.result.take().unwrap_or(Ok(()))
    }
}

fn run(files: &Receiver<File>, shared: &Shared) {
    while let Ok(file) = files.recv() {
        shared.finish(file.sync_data());
    }
}
