//! The word that the gateway stops: everybody who holds a `Drain` hears it once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;
use tokio::sync::watch;

/// Says that the drain begins.
#[derive(Debug)]
pub(super) struct Drainer(watch::Sender<bool>, Arc<AtomicBool>);

/// Hears it.
#[derive(Clone, Debug)]
pub(super) struct Drain(watch::Receiver<bool>, Arc<AtomicBool>);

/// A pair, shared by any number of listeners.
pub(super) fn pair() -> (Drainer, Drain) {
    let (sender, receiver) = watch::channel(false);
    let begun = Arc::new(AtomicBool::new(false));
    (Drainer(sender, Arc::clone(&begun)), Drain(receiver, begun))
}

impl Drainer {
    /// Begins the drain.
    pub(super) fn begin(&self) {
        self.1.store(true, Ordering::Release);
        self.0.send_replace(true);
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        self.begin();
    }
}

impl Drain {
    /// Whether it has begun.
    pub(super) fn is_begun(&self) -> bool {
        self.1.load(Ordering::Acquire)
    }

    /// For a task that wants to hear it beside other things.
    pub(super) fn ear(&self) -> Ear {
        let mut own = self.clone();
        Ear { now: self.clone(), begun: Box::pin(async move { own.begun().await }), listens: false, heard: false }
    }

    /// Ends when it begins.
    pub(super) async fn begun(&mut self) {
        // An error means that the gateway itself is gone, which is a drain as well.
        let _ = self.0.wait_for(|begun| *begun).await;
    }
}

/// Listens for the word once, not with every poll.
pub(super) struct Ear {
    now: Drain,
    begun: Pin<Box<dyn Future<Output = ()> + Send>>,
    listens: bool,
    heard: bool,
}

impl Ear {
    /// Whether the drain has begun; else the task is woken when it does.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.heard && (!self.listens || self.now.is_begun()) {
            self.listens = true;
            self.heard = self.begun.as_mut().poll(cx).is_ready();
        }
        self.heard
    }
}
