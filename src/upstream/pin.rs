//! Backend connections that belong to one client connection, since the backend knows a user by them (NTLM, Negotiate).

use super::conn::Conn;
use std::sync::{Arc, Mutex, PoisonError};

/// Held by a client's connection: at most one backend connection per backend, which no other client ever uses and which is
/// closed with it. Only HTTP/1.1 client connections may have one (their requests follow one another).
#[derive(Default)]
pub struct Pin {
    pub(super) slots: Arc<PinSlots>,
}

impl Pin {
    /// A pin that holds no connection yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a backend connection is held right now between two requests.
    pub fn holds_any(&self) -> bool {
        !self.slots.held.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin")
    }
}

struct Held {
    group: usize,
    server: usize,
    conn: Box<Conn>,
}

/// The connections of a [`Pin`]; exchanges under way know them weakly.
#[derive(Default)]
pub(super) struct PinSlots {
    held: Mutex<Vec<Held>>,
}

impl PinSlots {
    /// The connection to a backend with its member, if there is one that still stands.
    pub(super) fn take(&self, group: usize) -> Option<(usize, Box<Conn>)> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let at = held.iter().position(|h| h.group == group)?;
        let Held { server, mut conn, .. } = held.swap_remove(at);
        conn.is_quiet().then_some((server, conn))
    }

    /// Keeps a connection; one that is already held for the backend wins, and this one is closed.
    pub(super) fn put(&self, group: usize, server: usize, conn: Box<Conn>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.iter().any(|h| h.group == group) {
            held.push(Held { group, server, conn });
        }
    }
}
