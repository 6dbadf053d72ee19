//! The thread of one receiver: reads, sends, keeps the place, waits where the receiver fails.

use super::Receiver;
use super::feed::{Batch, Feed};
use super::http::Http;
use super::state::State;
use super::syslog::Syslog;
use crate::audit::Trail;
use crate::audit::cursor::Place;
use crate::limits::{
    AUDIT_SHIP_DOUBT, AUDIT_SHIP_PAUSE_MAX, AUDIT_SHIP_PAUSE_MIN, AUDIT_SHIP_POLL_INTERVAL, AUDIT_SHIP_SAVE_INTERVAL,
    AUDIT_SHIP_STOP_TIMEOUT,
};
use crate::policy::ship::{Destination, Ship};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How finely the time of what is in doubt is told apart.
const MARK_INTERVAL: Duration = Duration::from_millis(250);

/// Why something was not sent.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) why: String,
    /// When the receiver says it may be tried again.
    pub(super) after: Option<Duration>,
}

impl Trouble {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), after: None }
    }
}

/// What became of a batch that was sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Messages that were cut.
    pub(super) cut: u64,
    /// Records that the receiver will not take.
    pub(super) refused: u64,
}

enum Sender {
    Syslog(Syslog),
    Http(Http),
}

/// Up to where something was sent, and when.
struct Mark {
    opened: Instant,
    at: Instant,
    place: Place,
}

pub(super) struct Worker {
    ship: Ship,
    trail: Trail,
    directory: PathBuf,
    spill: Option<PathBuf>,
    state: Arc<State>,
    stopped: watch::Receiver<bool>,
    sender: Sender,
    feed: Option<Feed>,
    /// What was sent and may not have come, the oldest first.
    doubtful: VecDeque<Mark>,
    /// Up to here the receiver has everything.
    confirmed: Option<Place>,
    saved: (Option<Place>, Instant),
    /// The place could not be saved the last time.
    is_unsaved: bool,
    /// The pause after the next failure.
    pause: Duration,
}

impl Worker {
    pub(super) fn new(receiver: Receiver, trail: Trail, spill: Option<PathBuf>, state: Arc<State>, stopped: watch::Receiver<bool>) -> Self {
        let Receiver { ship, tls } = receiver;
        let sender = match &ship.to {
            Destination::Syslog(to) => Sender::Syslog(Syslog::new(to.clone(), tls)),
            Destination::Http(to) => Sender::Http(Http::new(to.clone(), tls)),
        };
        let directory = trail.directory().to_owned();
        Self {
            ship,
            trail,
            directory,
            spill,
            state,
            stopped,
            sender,
            feed: None,
            doubtful: VecDeque::new(),
            confirmed: None,
            saved: (None, Instant::now()),
            is_unsaved: false,
            pause: AUDIT_SHIP_PAUSE_MIN,
        }
    }

    /// Ships until it is stopped, then what there is by then, if that goes quickly.
    pub(super) async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        while !*stopped.borrow() {
            let mut grace = self.stopped.clone();
            let grace = async {
                let _ = grace.wait_for(|stop| *stop).await;
                sleep(AUDIT_SHIP_STOP_TIMEOUT).await;
            };
            let result = tokio::select! {
                result = self.round() => result,
                () = grace => {
                    self.abandon();
                    break;
                }
            };
            let wait = match result {
                Ok(true) => Duration::ZERO,
                Ok(false) => AUDIT_SHIP_POLL_INTERVAL,
                Err(trouble) => {
                    self.failed(&trouble);
                    let wait = trouble.after.unwrap_or_else(|| jittered(self.pause));
                    self.pause = (self.pause * 2).min(AUDIT_SHIP_PAUSE_MAX);
                    wait
                }
            };
            if !wait.is_zero() {
                let _ = timeout(wait, stopped.wait_for(|stop| *stop)).await;
            }
        }
        self.finish().await;
    }

    /// Sends a batch; false where there is no more for now.
    async fn round(&mut self) -> Result<bool, Trouble> {
        // Reading alone would let no clock run.
        tokio::task::yield_now().await;
        if self.feed.is_none() {
            let feed = Feed::open(&self.ship, self.directory.clone(), self.spill.clone()).map_err(|error| unreadable(&error))?;
            self.confirmed = feed.place();
            self.saved.0 = self.confirmed;
            self.state.reached(self.confirmed.map_or(0, |place| place.sequence));
            self.feed = Some(feed);
        }
        self.settle();
        if let Sender::Syslog(syslog) = &mut self.sender
            && let Some(why) = syslog.broken().await
            && !self.doubtful.is_empty()
        {
            return Err(Trouble::new(why));
        }
        let Some(feed) = &mut self.feed else { return Ok(false) };
        let batch = feed.next_batch(self.trail.durable_sequence()).map_err(|error| unreadable(&error))?;
        if !batch.items.is_empty() {
            let sent = match &mut self.sender {
                Sender::Syslog(syslog) => syslog.send(&batch).await?,
                Sender::Http(http) => http.send(&batch).await?,
            };
            self.sent(&batch, &sent);
        }
        self.note(&batch);
        if self.doubtful.is_empty() {
            self.well();
        }
        Ok(batch.is_full || !batch.items.is_empty())
    }

    fn sent(&self, batch: &Batch, sent: &Sent) {
        if sent.refused > 0 && self.state.refused() == 0 {
            tracing::warn!(
                receiver = &*self.ship.name,
                "a receiver does not take an audit record; it is in the trail, and others are counted"
            );
        }
        self.state.sent(batch.items.len() as u64 - sent.refused, batch.bytes as u64);
        self.state.refuse(sent.refused);
        self.state.shorten(sent.cut);
    }

    /// Remembers how far a batch went.
    fn note(&mut self, batch: &Batch) {
        if batch.skipped > 0 {
            tracing::error!(
                receiver = &*self.ship.name,
                records = batch.skipped,
                "audit records were retired before they could be shipped"
            );
            self.state.skip(batch.skipped);
        }
        let Some(place) = batch.place else { return };
        self.state.reached(place.sequence);
        let is_doubtful = match &self.sender {
            Sender::Syslog(syslog) => !syslog.is_datagrams() && (!batch.items.is_empty() || !self.doubtful.is_empty()),
            Sender::Http(_) => false,
        };
        if !is_doubtful {
            self.confirmed = Some(place);
        } else if !batch.items.is_empty() || self.doubtful.back().is_some_and(|mark| mark.place != place) {
            let now = Instant::now();
            match self.doubtful.back_mut().filter(|mark| mark.opened.elapsed() < MARK_INTERVAL) {
                Some(mark) => (mark.at, mark.place) = (now, place),
                None => self.doubtful.push_back(Mark { opened: now, at: now, place }),
            }
        }
        self.save(false);
    }

    /// What was sent long enough ago counts as received.
    fn settle(&mut self) {
        while let Some(place) = self.doubtful.front().filter(|mark| mark.at.elapsed() >= AUDIT_SHIP_DOUBT).map(|mark| mark.place) {
            self.confirmed = Some(place);
            self.doubtful.pop_front();
            self.well();
        }
        self.save(false);
    }

    /// Goes back to what the receiver has for certain.
    fn rewind(&mut self) {
        self.doubtful.clear();
        if let Some(feed) = &mut self.feed {
            feed.rewind(self.confirmed);
        }
        self.state.reached(self.confirmed.map_or(0, |place| place.sequence));
    }

    /// The receiver has something that it did not have before, or there is nothing that it does not have.
    fn well(&mut self) {
        self.pause = AUDIT_SHIP_PAUSE_MIN;
        if self.state.well() {
            tracing::info!(receiver = &*self.ship.name, "audit records are shipped again");
        }
    }

    fn failed(&mut self, trouble: &Trouble) {
        if self.state.failed(&trouble.why) {
            let (receiver, to, why) = (&*self.ship.name, &self.state.to, &trouble.why);
            tracing::warn!(receiver, to, why, "audit records cannot be shipped; they wait in the trail");
        }
        self.rewind();
    }

    /// Leaves whatever is under way.
    fn abandon(&mut self) {
        if let Sender::Syslog(syslog) = &mut self.sender {
            syslog.abandon();
        }
        self.rewind();
    }

    /// Keeps the place, where it has changed and it is time.
    fn save(&mut self, at_once: bool) {
        let Some(place) = self.confirmed.filter(|place| Some(*place) != self.saved.0) else { return };
        if !at_once && self.saved.1.elapsed() < AUDIT_SHIP_SAVE_INTERVAL {
            return;
        }
        match place.save(&self.ship.cursor) {
            Ok(()) => (self.saved.0, self.is_unsaved) = (Some(place), false),
            Err(error) if !std::mem::replace(&mut self.is_unsaved, true) => {
                tracing::warn!(receiver = &*self.ship.name, %error, "the place of a receiver cannot be saved: after a restart, records come again");
            }
            Err(_) => {}
        }
        self.saved.1 = Instant::now();
    }

    /// The last records, where that goes quickly; what was not taken by then has its turn after the next start.
    async fn finish(mut self) {
        let rest = async { while matches!(self.round().await, Ok(true)) {} };
        let is_whole = timeout(AUDIT_SHIP_STOP_TIMEOUT, rest).await.is_ok();
        if let Sender::Syslog(syslog) = &mut self.sender {
            if !is_whole {
                syslog.abandon();
            } else if syslog.close().await
                && let Some(mark) = self.doubtful.back()
            {
                self.confirmed = Some(mark.place);
            }
        }
        self.save(true);
    }
}

fn unreadable(error: &std::io::Error) -> Trouble {
    Trouble::new(format!("the trail cannot be read: {error}"))
}

/// A pause that is not the same for all gateways whose receiver came back.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 1];
    let _ = getrandom::fill(&mut random);
    pause.mul_f64(0.75 + f64::from(random[0]) / 512.0)
}
