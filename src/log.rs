//! The operational log: start, reload, certificates, backends. It is apart from the audit trail, whose writer loses nothing.

use crate::policy::Log;
use std::io;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Keeps the log's writer thread; what is queued is written when it is dropped.
#[derive(Debug)]
#[must_use = "the log ends when this is dropped"]
pub struct Guard {
    _writer: Option<WorkerGuard>,
}

/// Starts the log of this process; a second call leaves the first in place.
///
/// # Errors
/// A folder that cannot be made or written; a level that is none.
pub fn start(settings: &Log) -> io::Result<Guard> {
    let filter = EnvFilter::try_new(&settings.level).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    let Some(folder) = &settings.directory else {
        install(io::stderr, filter, settings.json);
        return Ok(Guard { _writer: None });
    };
    std::fs::create_dir_all(folder)?;
    let files = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix("portcullis")
        .filename_suffix("log")
        .build(folder)
        .map_err(io::Error::other)?;
    let (writer, guard) = tracing_appender::non_blocking(files);
    install(writer, filter, settings.json);
    Ok(Guard { _writer: Some(guard) })
}

fn install<W>(writer: W, filter: EnvFilter, json: bool)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_writer(writer).with_env_filter(filter).with_ansi(false);
    // An error means that a log is already installed, which then stays.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}
