//! The thread that checks for the console whether the audit trail is whole.

use crate::console::Console;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The running thread; it ends when this goes.
#[derive(Debug)]
pub(super) struct Watching {
    console: Arc<Console>,
    thread: Option<JoinHandle<()>>,
}

impl Watching {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(console: Arc<Console>) -> io::Result<Self> {
        let own = Arc::clone(&console);
        let thread = std::thread::Builder::new().name("chain".into()).spawn(move || own.watch_chain())?;
        Ok(Self { console, thread: Some(thread) })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.console.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
