//! The word that the gateway stops: everybody who holds a `Drain` hears it once.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
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

    /// `work` until it ends, or until the drain begins, which gives `None`. The word is listened for once, not with every poll.
    pub(super) async fn unless_begun<T>(&mut self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let now = self.0.clone();
        let mut begun = pin!(self.begun());
        let mut listening = false;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            if !listening || *now.borrow() {
                listening = true;
                ready!(begun.as_mut().poll(cx));
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }

    /// Ends when it begins.
    pub(super) async fn begun(&mut self) {
        // An error means that the gateway itself is gone, which is a drain as well.
        let _ = self.0.wait_for(|begun| *begun).await;
    }
}
