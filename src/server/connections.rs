//! The count of clients' connections, in all and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// All connections of the process.
#[derive(Debug, Default)]
pub(super) struct Connections {
    table: Mutex<Table>,
    numbers: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    key: IpAddr,
    number: u64,
}

impl Place {
    /// The connection's number in this process.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Place {
    /// Counts the connection under another address, which a load balancer has named; false where that has too many.
    pub(super) fn belongs_to(&mut self, address: IpAddr, max_per_address: usize) -> bool {
        let key = network(address);
        let mut table = self.connections.table.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = table.by_address.get(&key).copied().unwrap_or(0);
        if key != self.key && from_there >= max_per_address {
            drop(table);
            self.connections.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        table.leave(&self.key);
        *table.by_address.entry(key).or_insert(0) += 1;
        self.key = key;
        true
    }
}

impl Table {
    fn leave(&mut self, key: &IpAddr) {
        if let Some(count) = self.by_address.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(key);
            }
        }
    }
}

impl Connections {
    /// A place, unless there are too many connections in all or from this address (IPv6: its /64).
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, max: usize, max_per_address: usize) -> Option<Place> {
        let key = network(address);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let from_here = table.by_address.get(&key).copied().unwrap_or(0);
        if table.total >= max || from_here >= max_per_address {
            drop(table);
            let refused = self.refused.fetch_add(1, Ordering::Relaxed);
            // The first, and then every thousandth: a flood must not become one of log lines.
            if refused.is_multiple_of(1000) {
                tracing::warn!(%address, refused = refused + 1, "connections refused over the limit");
            }
            return None;
        }
        table.total += 1;
        table.by_address.insert(key, from_here + 1);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        Some(Place { connections: Arc::clone(self), key, number })
    }

    /// How many were refused so far.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.total -= 1;
        table.leave(&self.key);
    }
}
