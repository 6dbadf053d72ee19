//! One request written to a stream as it is, and its answer read by the framing its head announces.

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes of an answer's head; the gateway's own bound on backends is a quarter of it.
const HEAD_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the answer that `response_contains` may look at.
const BEGINNING_BYTES_MAX: usize = 4096;

/// An answer's head and the beginning of its body.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) beginning: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// Writes a request and reads the answer to its end.
///
/// # Errors
/// Why there is no valid answer: nothing came, it is no HTTP, or it took longer than `limit`.
pub(super) async fn converse<S>(stream: S, request: &[u8], limit: Duration) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        // A gateway that has refused stops reading; what it said can still be read.
        let _ = writer.write_all(request).await;
        let _ = writer.flush().await;
        std::future::pending::<std::convert::Infallible>().await
    };
    let bodiless = request.starts_with(b"HEAD ");
    tokio::select! {
        answer = read(&mut reader, bodiless) => answer,
        never = write => match never {},
        () = tokio::time::sleep(limit) => Err(format!("no whole answer within {} s", limit.as_secs())),
    }
}

async fn read<R: AsyncRead + Unpin>(reader: &mut R, bodiless: bool) -> Result<Answer, String> {
    let mut held = Vec::with_capacity(4096);
    let (mut answer, end) = loop {
        if let Some(end) = find(&held, b"\r\n\r\n") {
            let answer = head(held.get(..end).unwrap_or_default())?;
            if (100..200).contains(&answer.status) && answer.status != 101 {
                held.drain(..end + 4);
                continue;
            }
            break (answer, end + 4);
        }
        if held.len() > HEAD_BYTES_MAX {
            return Err(format!("the answer's head has more than {HEAD_BYTES_MAX} bytes"));
        }
        match reader.read_buf(&mut held).await {
            Ok(0) if held.is_empty() => return Err("the connection was closed without an answer".into()),
            Ok(0) => return Err("the connection was closed inside the answer's head".into()),
            Ok(_) => {}
            Err(e) => return Err(e.to_string()),
        }
    };
    let announced = match (bodiless || matches!(answer.status, 101 | 204 | 304), answer.header("content-length")) {
        (true, _) => Some(0),
        (false, length) => length.and_then(|l| l.parse().ok()),
    };
    let mut body =
        Body { announced, chunked: announced.is_none() && answer.header("transfer-encoding").is_some(), bytes: 0, tail: Vec::new() };
    body.take(held.get(end..).unwrap_or_default());
    let mut more = Vec::with_capacity(8192);
    // A body that breaks off is the rules' doing as often as not: what was read before counts.
    while !body.is_whole() && reader.read_buf(&mut more).await.is_ok_and(|n| n > 0) {
        body.take(&more);
        held.extend_from_slice(more.get(..BEGINNING_BYTES_MAX.saturating_sub(held.len())).unwrap_or(&more));
        more.clear();
    }
    held.truncate(BEGINNING_BYTES_MAX);
    answer.beginning = held;
    Ok(answer)
}

/// How far a body has come.
struct Body {
    announced: Option<u64>,
    chunked: bool,
    bytes: u64,
    /// The last bytes, enough to know the last chunk.
    tail: Vec<u8>,
}

impl Body {
    const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.tail.extend_from_slice(bytes.get(bytes.len().saturating_sub(Self::LAST_CHUNK.len())..).unwrap_or_default());
        self.tail.drain(..self.tail.len().saturating_sub(Self::LAST_CHUNK.len()));
    }

    fn is_whole(&self) -> bool {
        match self.announced {
            Some(length) => self.bytes >= length,
            None => self.chunked && (self.tail == Self::LAST_CHUNK || self.tail == b"0\r\n\r\n"),
        }
    }
}

fn head(bytes: &[u8]) -> Result<Answer, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| format!("this is no HTTP answer: {first:?}"))?;
    let headers = lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.to_owned(), v.trim().to_owned())).collect();
    Ok(Answer { status, headers, beginning: Vec::new() })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}
