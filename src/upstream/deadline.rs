//! A deadline that moves often but touches the timer rarely.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::time::{Instant, Sleep, sleep_until};

/// A moment to wait for. Moving it later costs nothing: the timer is armed anew only when it fires too early, so that
/// a busy connection arms one about once per time limit instead of once per chunk.
pub(super) struct Deadline {
    at: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Who will be woken by it.
    wakes: Option<Waker>,
}

impl Deadline {
    /// A deadline that is set before it is polled.
    pub(super) fn new() -> Self {
        Self { at: Instant::now(), sleep: None, wakes: None }
    }

    /// Moves it.
    pub(super) fn set(&mut self, at: Instant) {
        self.at = at;
        if let Some(sleep) = &mut self.sleep
            && at < sleep.deadline()
        {
            sleep.as_mut().reset(at);
            self.wakes = None;
        }
    }

    /// Drops the timer, which belongs to one runtime.
    pub(super) fn detach(&mut self) {
        (self.sleep, self.wakes) = (None, None);
    }

    /// Ready when the moment has come.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(self.at)));
        // It is set, and nothing has changed.
        if !sleep.is_elapsed() && self.wakes.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        loop {
            if sleep.as_mut().poll(cx).is_pending() {
                self.wakes = Some(cx.waker().clone());
                return Poll::Pending;
            }
            self.wakes = None;
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = false)]
    async fn a_deadline_fires_at_the_last_moment_set_whether_later_or_earlier() {
        let start = Instant::now();
        let mut deadline = Deadline::new();
        deadline.set(start + Duration::from_millis(20));
        let pending = std::future::poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await;
        assert!(pending);
        deadline.set(start + Duration::from_millis(80));
        std::future::poll_fn(|cx| deadline.poll(cx)).await;
        assert!(start.elapsed() >= Duration::from_millis(80));
        deadline.set(Instant::now() + Duration::from_secs(60));
        assert!(std::future::poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
        deadline.set(Instant::now() + Duration::from_millis(10));
        std::future::poll_fn(|cx| deadline.poll(cx)).await;
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
