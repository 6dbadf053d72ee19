//! The operational log: start, reload, certificates, backends. It is apart from the audit trail, whose writer loses nothing.

use crate::audit::escape::printable;
use crate::policy::Log;
use std::io::{self, Write};
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
    let builder = tracing_subscriber::fmt().with_writer(Escaped(writer)).with_env_filter(filter).with_ansi(false);
    // An error means that a log is already installed, which then stays.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}

/// Writers whose events are one line each: what could steer a terminal, or begin a line of its own, is written as `\uXXXX`.
struct Escaped<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Escaped<W> {
    type Writer = EscapedWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapedWriter(self.0.make_writer())
    }
}

struct EscapedWriter<W>(W);

impl<W: Write> Write for EscapedWriter<W> {
    /// Takes one event, as the formatter hands it over: whole, with its line end.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = printable(text.trim_end_matches('\n')).into_owned();
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_steers_no_terminal() {
        let mut out = Vec::new();
        let event = "INFO user=a\u{1b}[2J\nINFO forged\u{202e}\n";
        assert_eq!(EscapedWriter(&mut out).write(event.as_bytes()).unwrap(), event.len());
        assert_eq!(String::from_utf8(out).unwrap(), "INFO user=a\\u001b[2J\\u000aINFO forged\\u202e\n");
    }
}
