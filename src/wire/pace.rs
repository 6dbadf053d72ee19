//! Time as the wire measures it: a lazily armed timer, the pace of a body.

use super::Limits;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Far enough to mean never, near enough for every clock to add.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// `from` plus `after`, where limits may be set to "for ever".
pub(super) fn later(from: Instant, after: Duration) -> Instant {
    from + after.min(NEVER)
}

/// One `Sleep` for the life of a connection. A deadline that moves away leaves it as it is; when it goes off early, it is set anew.
#[derive(Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Who will be woken by it.
    wakes: Option<Waker>,
}

impl Timer {
    /// Ready when `deadline` has passed; else the task is woken then, or earlier.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.wakes = None;
            sleep.as_mut().reset(deadline);
        }
        // It is set, and nothing has changed.
        if !sleep.is_elapsed() && self.wakes.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        while sleep.as_mut().poll(cx).is_ready() {
            self.wakes = None;
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        self.wakes = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// How a body comes in. Only time in which bytes were asked for counts: back-pressure is not the client's fault.
#[derive(Debug, Default)]
pub(super) struct Pace {
    asking_since: Option<Instant>,
    waited: Duration,
    silent: Duration,
    bytes: u64,
}

impl Pace {
    /// The reader is back: the time since it was left waiting counts.
    pub(super) fn resume(&mut self) {
        if let Some(since) = self.asking_since.take() {
            let gone = since.elapsed();
            self.waited += gone;
            self.silent += gone;
        }
    }

    /// Bytes of the body have come.
    pub(super) fn got(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.silent = Duration::ZERO;
    }

    /// The reader is left waiting: when its patience ends, or `None` when it has ended already.
    pub(super) fn wait(&mut self, limits: &Limits) -> Option<Instant> {
        let earned = self.bytes.checked_div(limits.body_bytes_per_second_min).map_or(NEVER, Duration::from_secs);
        let total = earned.max(limits.body_timeout);
        let left = limits.body_timeout.saturating_sub(self.silent).min(total.saturating_sub(self.waited));
        if left.is_zero() {
            return None;
        }
        let now = Instant::now();
        self.asking_since = Some(now);
        Some(later(now, left))
    }
}
