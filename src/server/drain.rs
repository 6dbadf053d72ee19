//! The word that the gateway stops: everybody who holds a `Drain` hears it once.

use tokio::sync::watch;

/// Says that the drain begins.
#[derive(Debug)]
pub(super) struct Drainer(watch::Sender<bool>);

/// Hears it.
#[derive(Clone, Debug)]
pub(super) struct Drain(watch::Receiver<bool>);

/// A pair, shared by any number of listeners.
pub(super) fn pair() -> (Drainer, Drain) {
    let (sender, receiver) = watch::channel(false);
    (Drainer(sender), Drain(receiver))
}

impl Drainer {
    /// Begins the drain.
    pub(super) fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Drain {
    /// Whether it has begun.
    pub(super) fn is_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when it begins.
    pub(super) async fn begun(&mut self) {
        // An error means that the gateway itself is gone, which is a drain as well.
        let _ = self.0.wait_for(|begun| *begun).await;
    }
}
