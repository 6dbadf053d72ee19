//! `portcullis run`: the gateway until TERM or INT; HUP reloads, USR1 reopens logs.

use super::{FAILED, OK, PolicyFile, USAGE, report};
use crate::log;
use crate::server::{Gateway, HOUSEKEEPING_INTERVAL, StartError, prepare};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) fn run(file: &PolicyFile) -> i32 {
    let prepared = match prepare(&file.path) {
        Ok(prepared) => prepared,
        Err(mistakes) => {
            report(&mistakes);
            return USAGE;
        }
    };
    let _log = match log::start(&prepared.policy.log) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("error: the operational log cannot be opened: {error}");
            return FAILED;
        }
    };
    for warning in &prepared.warnings {
        tracing::warn!("{warning}");
    }
    let gateway = match Gateway::start(prepared) {
        Ok(gateway) => gateway,
        Err(StartError::Policy(mistakes)) => {
            report(&mistakes);
            return USAGE;
        }
        Err(error) => {
            eprintln!("error: {error}");
            return FAILED;
        }
    };
    for (address, tls) in gateway.addresses() {
        tracing::info!("listening on {}://{address}", if *tls { "https" } else { "http" });
    }
    if let Some(address) = gateway.admin_address() {
        tracing::info!("admin listener on http://{address}");
    }
    match until_stopped(&gateway) {
        Ok(()) => {
            tracing::info!("stopping: no new connections; requests in flight may end");
            let drained = gateway.stop();
            tracing::info!(drained, "stopped");
            OK
        }
        Err(error) => {
            eprintln!("error: signals cannot be received: {error}");
            FAILED
        }
    }
}

/// Serves signals and housekeeping until TERM or INT.
///
/// # Errors
/// The system gives no signals.
pub(super) fn until_stopped(gateway: &Arc<Gateway>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut hangup, mut user1) = (on(SignalKind::hangup())?, on(SignalKind::user_defined1())?);
        let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING_INTERVAL);
        housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = user1.recv() => gateway.reopen_logs(),
                _ = hangup.recv() => reload(gateway),
                _ = housekeeping.tick() => gateway.housekeeping(),
            }
        }
    })
}

fn on(kind: SignalKind) -> std::io::Result<Signal> {
    signal(kind)
}

fn reload(gateway: &Gateway) {
    match gateway.reload() {
        Ok(warnings) => {
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
            tracing::info!("reloaded");
        }
        Err(error) => tracing::error!("not reloaded, the old configuration stays in force:\n{error}"),
    }
}
