//! Ships the audit trail's records to other machines: a thread for each receiver reads the trail's files as any reader does.
//!
//! The trail knows nothing of this and never waits for it: a receiver that is slow or dead falls behind in the files, which are
//! there anyway. Each has a place (a cursor) that is kept in the state folder, so it goes on where it stopped. A record may come
//! twice, after a crash or a broken connection; none is left out while the files are kept.

mod feed;
mod http;
mod line;
mod otlp;
mod severity;
mod state;
mod syslog;
mod worker;

pub use state::{Board, State};

use crate::audit::Trail;
use crate::diagnostic::Diagnostic;
use crate::policy::Policy;
use crate::policy::ship::{Destination, Ship, Transport};
use crate::tls::client::Connector;
use crate::tls::receiver::connector;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::watch;

/// A receiver whose every file has been read.
#[derive(Clone, Debug)]
pub struct Receiver {
    ship: Ship,
    tls: Option<Connector>,
}

/// Reads the files of all receivers of a policy; `now` is in seconds since the Unix epoch. The receivers are `None` where at least one
/// diagnostic is an error.
pub fn prepare(policy: &Policy, now: i64) -> (Option<Vec<Receiver>>, Vec<Diagnostic>) {
    let (mut list, mut found) = (Vec::new(), Vec::new());
    for ship in &policy.audit.ship {
        let (tls, protocols): (_, &[&str]) = match &ship.to {
            Destination::Syslog(to) => match &to.transport {
                Transport::Tls(tls) => (Some(tls), &[]),
                Transport::Tcp | Transport::Udp => (None, &[]),
            },
            Destination::Http(to) => (to.tls.as_ref(), &["http/1.1"]),
        };
        match tls.map(|tls| connector(tls, protocols, &policy.path, now)).transpose() {
            Ok(made) => {
                let (tls, warnings) = made.unzip();
                list.push(Receiver { ship: ship.clone(), tls });
                found.extend(warnings.unwrap_or_default());
            }
            Err(mistakes) => found.extend(mistakes),
        }
    }
    let is_usable = !found.iter().any(Diagnostic::is_error);
    (is_usable.then_some(list), found)
}

/// The threads that ship; they end with this, each with its place saved.
#[derive(Debug, Default)]
pub struct Shipping {
    stop: Option<watch::Sender<bool>>,
    threads: Vec<JoinHandle<()>>,
}

impl Shipping {
    /// Starts a thread for each receiver and puts them on the board. `spill` is the folder to which the trail goes while its own refuses
    /// records.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(receivers: Vec<Receiver>, trail: &Trail, spill: Option<PathBuf>, board: &Board) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let states = board.take_up(receivers.iter().map(|receiver| (Arc::clone(&receiver.ship.name), receiver.to())));
        let mut threads = Vec::with_capacity(receivers.len());
        for (receiver, state) in receivers.into_iter().zip(states) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let name = format!("ship-{}", receiver.ship.name);
            let (trail, spill, stopped) = (trail.clone(), spill.clone(), stopped.clone());
            let work = move || {
                let worker = worker::Worker::new(receiver, trail, spill, state, stopped);
                runtime.block_on(worker.run());
                runtime.shutdown_background();
            };
            threads.push(std::thread::Builder::new().name(name).spawn(work)?);
        }
        Ok(Self { stop: Some(stop), threads })
    }
}

impl Drop for Shipping {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(true);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Receiver {
    /// How it is reached, for people.
    fn to(&self) -> String {
        match &self.ship.to {
            Destination::Syslog(to) => {
                let way = match to.transport {
                    Transport::Udp => "udp",
                    Transport::Tcp => "tcp",
                    Transport::Tls(_) => "tls",
                };
                format!("syslog+{way}://{}", to.place)
            }
            // The path may carry a token.
            Destination::Http(to) => format!("{}://{}", if to.tls.is_some() { "https" } else { "http" }, to.authority),
        }
    }
}
