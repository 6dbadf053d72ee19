//! A gateway without listeners: connections are handed to it, and its records are seen as they are made. For rehearsals.

use super::connections::Connections;
use super::drain::{self, Drainer};
use super::worker::Worker;
use super::{Prepared, StartError, generation, http1, trail_settings};
use crate::audit::{Observer, Settings, Trail};
use crate::message::{Peer, TlsSession};
use crate::policy::Policy;
use crate::upstream::Upstreams;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// One runtime thread's gateway: the same wire, stack and backends as behind a listener.
#[derive(Debug)]
pub struct Enclosed {
    worker: Arc<Worker>,
    /// The drain begins when it goes.
    _drainer: Drainer,
}

impl Enclosed {
    /// The trail that several of them share, with nothing beside its folder; `observer` sees every record.
    ///
    /// # Errors
    /// The policy's audit folder cannot be written.
    pub fn trail(policy: &Policy, observer: Observer) -> Result<Trail, StartError> {
        let open = |settings: Settings| {
            Trail::open(Settings {
                state_directory: None,
                signing_key: None,
                heads_file: None,
                spill_directory: None,
                compress_after: None,
                flood_records_per_second: None,
                observer: Some(observer),
                ..settings
            })
        };
        trail_settings(policy).and_then(open).map_err(|e| StartError::System(format!("{}: {e}", policy.audit.directory.display())))
    }

    /// A gateway of a policy for the calling thread.
    ///
    /// # Errors
    /// What a start would refuse, but for listeners.
    pub fn new(prepared: &Prepared, trail: &Trail) -> Result<Self, StartError> {
        let (drainer, drain) = drain::pair();
        let upstreams = Arc::new(Upstreams::new(&prepared.policy).map_err(StartError::Policy)?);
        let generation = generation(&prepared.policy, &prepared.shared, &upstreams, None, trail)?;
        let worker = Worker::new(generation, Arc::new(Connections::default()), drain, trail.clone());
        Ok(Self { worker: Arc::new(worker), _drainer: drainer })
    }

    /// Serves one HTTP/1 connection to its end. `number` is its number in records; `tls` is what a handshake would have agreed on.
    pub async fn serve<S>(&self, stream: S, remote: SocketAddr, local: SocketAddr, number: u64, tls: Option<TlsSession>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut peer = Peer::new(remote, local, number);
        peer.tls = tls;
        http1::serve(stream, Arc::new(peer), Arc::clone(&self.worker)).await;
    }
}
