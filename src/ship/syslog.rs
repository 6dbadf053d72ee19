//! Syslog (RFC 5424) over UDP (RFC 5426), TCP with octet counting (RFC 6587) and TLS (RFC 5425).
//!
//! Syslog has no acknowledgement. What was sent on a connection counts as received once the connection has stood for
//! [`AUDIT_SHIP_DOUBT`] after it; when the connection breaks before, it is sent again.

use super::feed::{Batch, Item};
use super::line::{Line, addresses, connect, end, in_words};
use super::worker::{Sent, Trouble};
use crate::limits::{AUDIT_SHIP_DATAGRAM_BYTES_MAX, AUDIT_SHIP_SEND_TIMEOUT, AUDIT_SHIP_STOP_TIMEOUT};
use crate::policy::ship::{SyslogTo, Transport};
use crate::tls::client::Connector;
use serde_json::Value;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// The largest `sequenceId` (RFC 5424 section 7.3.1).
const SEQUENCE_ID_MAX: u32 = 2_147_483_647;

pub(super) struct Syslog {
    to: SyslogTo,
    tls: Option<Connector>,
    line: Option<Line>,
    socket: Option<UdpSocket>,
    frames: Frames,
}

impl Syslog {
    pub(super) fn new(to: SyslogTo, tls: Option<Connector>) -> Self {
        let frames = Frames { facility: to.facility, host: host_name(), process: std::process::id(), sequence: 0 };
        Self { to, tls, line: None, socket: None, frames }
    }

    /// Whether what was sent is gone for good, with nothing to tell whether it came.
    pub(super) fn is_datagrams(&self) -> bool {
        matches!(self.to.transport, Transport::Udp)
    }

    pub(super) async fn send(&mut self, batch: &Batch) -> Result<Sent, Trouble> {
        if self.is_datagrams() {
            return self.send_datagrams(batch).await;
        }
        let line = match &mut self.line {
            Some(line) => line,
            None => self.line.insert(connect(&self.to.place, self.tls.as_ref()).await?),
        };
        let (mut out, mut sent) = (Vec::with_capacity(batch.bytes + 256 * batch.items.len()), Sent::default());
        let mut message = Vec::new();
        for item in &batch.items {
            sent.cut += u64::from(self.frames.message(item, self.to.message_bytes_max, &mut message));
            let _ = write!(out, "{} ", message.len());
            out.extend_from_slice(&message);
        }
        let writing = async {
            line.write_all(&out).await?;
            line.flush().await
        };
        let result = match timeout(AUDIT_SHIP_SEND_TIMEOUT, writing).await {
            Ok(result) => result.map_err(|error| Trouble::new(in_words(&error))),
            Err(_) => Err(Trouble::new(format!("nothing was taken for {} s", AUDIT_SHIP_SEND_TIMEOUT.as_secs()))),
        };
        if result.is_err() {
            self.line = None;
        }
        result.map(|()| sent)
    }

    async fn send_datagrams(&mut self, batch: &Batch) -> Result<Sent, Trouble> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => {
                let to = addresses(&self.to.place).await?;
                let Some(to) = to.first() else { return Err(Trouble::new("no address")) };
                let any = if to.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
                let made = async {
                    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
                    socket.connect(to).await?;
                    Ok(socket)
                };
                self.socket.insert(made.await.map_err(|error: std::io::Error| Trouble::new(in_words(&error)))?)
            }
        };
        let (mut message, mut sent) = (Vec::new(), Sent::default());
        for item in &batch.items {
            let most = self.to.message_bytes_max.min(AUDIT_SHIP_DATAGRAM_BYTES_MAX);
            sent.cut += u64::from(self.frames.message(item, most, &mut message));
            if let Err(error) = socket.send(&message).await {
                // Looked up anew the next time.
                self.socket = None;
                return Err(Trouble::new(in_words(&error)));
            }
        }
        Ok(sent)
    }

    /// Why the connection there was is gone, and then it is dropped; `None` where it stands, or there is none.
    pub(super) async fn broken(&mut self) -> Option<String> {
        let why = end(self.line.as_mut()?).await;
        if why.is_some() {
            self.line = None;
        }
        why
    }

    /// Drops the connection in the middle of whatever it was doing.
    pub(super) fn abandon(&mut self) {
        self.line = None;
    }

    /// Ends the connection; true where the receiver has read all that was sent, as its own closing tells.
    pub(super) async fn close(&mut self) -> bool {
        let Some(mut line) = self.line.take() else { return false };
        let ending = async {
            line.shutdown().await?;
            let mut rest = [0; 1024];
            while line.read(&mut rest).await? > 0 {}
            std::io::Result::Ok(())
        };
        match timeout(AUDIT_SHIP_STOP_TIMEOUT, ending).await {
            Ok(Ok(())) => true,
            // It closed without TLS's own word for it. With something unread, its system would have reset the connection.
            Ok(Err(error)) => error.kind() == std::io::ErrorKind::UnexpectedEof,
            Err(_) => false,
        }
    }
}

/// The name of this machine, in the characters a header may have.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".into() } else { name }
}

/// Makes messages.
struct Frames {
    facility: u8,
    host: String,
    process: u32,
    sequence: u32,
}

impl Frames {
    /// One message; true where it was cut at `most` bytes.
    fn message(&mut self, item: &Item, most: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        self.sequence = if self.sequence == SEQUENCE_ID_MAX { 1 } else { self.sequence + 1 };
        let word = |pointer: &str| item.record.pointer(pointer).and_then(Value::as_str).filter(|word| !word.is_empty()).unwrap_or("-");
        let priority = self.facility * 8 + item.severity.syslog();
        let Self { host, process, sequence, .. } = self;
        let (time, kind, version) = (word("/@timestamp"), word("/event/kind"), env!("CARGO_PKG_VERSION"));
        // No byte order mark before the text: readers of JSON stumble over it, and without one any text may stand there.
        let _ = write!(
            out,
            "<{priority}>1 {time} {host} portcullis {process} {kind} [meta sequenceId=\"{sequence}\"][origin software=\"portcullis\" swVersion=\"{version}\"] {}",
            item.text
        );
        let is_long = out.len() > most;
        if is_long {
            let mut end = most;
            while end > 0 && out.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
                end -= 1;
            }
            out.truncate(end);
        }
        is_long
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ship::severity::Severity;

    #[test]
    fn a_message_has_every_field_of_its_header_and_is_cut_at_a_character() {
        let mut frames = Frames { facility: 16, host: "gate".into(), process: 7, sequence: SEQUENCE_ID_MAX - 1 };
        let record = serde_json::json!({"@timestamp": "2026-01-31T23:59:59.000001Z", "event": {"kind": "request"}});
        let item = Item { record, text: "{\"x\":\"üüü\"}".into(), severity: Severity::Warning };
        let mut out = Vec::new();
        assert!(!frames.message(&item, 8192, &mut out));
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "<132>1 2026-01-31T23:59:59.000001Z gate portcullis 7 request [meta sequenceId=\"2147483647\"][origin software=\"portcullis\" swVersion=\"{version}\"] {{\"x\":\"üüü\"}}"
        );
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        for short in 1..8 {
            frames.sequence = SEQUENCE_ID_MAX - 1;
            assert!(frames.message(&item, expected.len() - short, &mut out));
            let text = std::str::from_utf8(&out).unwrap();
            // At most one byte more is cut: half a letter.
            assert!(
                text.len() <= expected.len() - short && text.len() + 1 >= expected.len() - short && expected.starts_with(text),
                "{text}"
            );
        }
        assert!(!frames.message(&item, 8192, &mut out));
        assert!(std::str::from_utf8(&out).unwrap().contains("sequenceId=\"1\""), "it begins again");
    }
}
