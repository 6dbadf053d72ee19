//! Batches as the body of a POST: OpenTelemetry's logs, or one record a line.

use super::feed::{Batch, Item};
use super::line::connect;
use super::otlp;
use super::worker::{Sent, Trouble};
use crate::limits::{AUDIT_SHIP_ANSWER_BYTES_MAX, AUDIT_SHIP_RETRY_AFTER_MAX, AUDIT_SHIP_SEND_TIMEOUT};
use crate::policy::ship::{HttpTo, Payload};
use crate::tls::client::Connector;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::io::Write as _;
use std::time::Duration;
use tokio::time::timeout;

pub(super) struct Http {
    to: HttpTo,
    tls: Option<Connector>,
    connection: Option<SendRequest<Full<Bytes>>>,
    /// It has taken something since the start.
    has_taken: bool,
}

/// Records refused one by one, with none taken between them, after which the receiver is at fault and not the records.
const REFUSED_MAX: u64 = 8;

/// What an answer means.
enum Verdict {
    /// Taken, but for so many records.
    Taken(u64),
    /// This body will never be taken.
    Refused(StatusCode),
}

impl Http {
    pub(super) fn new(to: HttpTo, tls: Option<Connector>) -> Self {
        Self { to, tls, connection: None, has_taken: false }
    }

    /// Sends a batch, in parts where the receiver refuses it whole: a record that it will not take must not keep back the others.
    pub(super) async fn send(&mut self, batch: &Batch) -> Result<Sent, Trouble> {
        let mut parts: Vec<&[Item]> = vec![&batch.items];
        let mut sent = Sent::default();
        let mut in_a_row = 0;
        while let Some(part) = parts.pop() {
            match self.post(part).await? {
                Verdict::Taken(refused) => {
                    sent.refused += refused;
                    in_a_row = 0;
                    self.has_taken = true;
                }
                Verdict::Refused(_) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Verdict::Refused(status) => {
                    sent.refused += 1;
                    in_a_row += 1;
                    // A receiver that takes nothing at all is set up wrongly, and that can be put right.
                    if !self.has_taken || in_a_row >= REFUSED_MAX {
                        return Err(Trouble::new(format!("the receiver refuses records with {status}")));
                    }
                }
            }
        }
        Ok(sent)
    }

    async fn post(&mut self, items: &[Item]) -> Result<Verdict, Trouble> {
        let (body, media) = match self.to.payload {
            Payload::Otlp => (otlp::request(items), "application/json"),
            Payload::Lines => (lines(items), "application/x-ndjson"),
        };
        let body = Bytes::from(if self.to.gzip { packed(&body)? } else { body });
        // A connection that was kept may have been closed by now: a new one is tried once.
        let mut is_kept = self.connection.is_some();
        loop {
            let result = match timeout(AUDIT_SHIP_SEND_TIMEOUT, self.exchange(body.clone(), media)).await {
                Ok(result) => result,
                Err(_) => Err(Trouble::new(format!("no answer within {} s", AUDIT_SHIP_SEND_TIMEOUT.as_secs()))),
            };
            if result.is_err() {
                self.connection = None;
            }
            match result {
                Err(_) if std::mem::take(&mut is_kept) => {}
                Err(trouble) => return Err(trouble),
                Ok(answer) => return verdict(self.to.payload, &answer, items.len() as u64),
            }
        }
    }

    async fn exchange(&mut self, body: Bytes, media: &'static str) -> Result<Response<Bytes>, Trouble> {
        let broken = |error: hyper::Error| Trouble::new(format!("the exchange failed: {error}"));
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let line = connect(&self.to.place, self.tls.as_ref()).await?;
            let (sender, connection) = handshake(TokioIo::new(line)).await.map_err(broken)?;
            tokio::spawn(async move {
                let _ = connection.await;
            });
            self.connection = Some(sender);
        }
        let Some(sender) = &mut self.connection else { return Err(Trouble::new("no connection")) };
        sender.ready().await.map_err(broken)?;
        let (head, body) = sender.send_request(request(&self.to, body, media)?).await.map_err(broken)?.into_parts();
        let body = match Limited::new(body, AUDIT_SHIP_ANSWER_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            // The status says enough, and the connection is not used again.
            Err(_) => {
                self.connection = None;
                Bytes::new()
            }
        };
        Ok(Response::from_parts(head, body))
    }
}

fn request(to: &HttpTo, body: Bytes, media: &'static str) -> Result<Request<Full<Bytes>>, Trouble> {
    let mut builder = Request::builder()
        .method(Method::POST)
        .uri(&to.target)
        .header(HOST, &to.authority)
        .header(USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, media);
    if to.gzip {
        builder = builder.header(CONTENT_ENCODING, "gzip");
    }
    for (name, value) in &to.headers.0 {
        let mut value = HeaderValue::from_str(value).map_err(|_| Trouble::new("a header of the headers' file cannot be sent"))?;
        value.set_sensitive(true);
        builder = builder.header(name, value);
    }
    builder.body(Full::new(body)).map_err(|error| Trouble::new(format!("the request cannot be made: {error}")))
}

fn lines(items: &[Item]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        out.extend_from_slice(item.text.as_bytes());
        out.push(b'\n');
    }
    out
}

fn packed(body: &[u8]) -> Result<Vec<u8>, Trouble> {
    let mut packer = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let packed = packer.write_all(body).and_then(|()| packer.finish());
    packed.map_err(|error| Trouble::new(format!("a body cannot be compressed: {error}")))
}

/// What an answer to so many records means.
fn verdict(payload: Payload, answer: &Response<Bytes>, records: u64) -> Result<Verdict, Trouble> {
    let status = answer.status();
    if status.is_success() {
        let refused = if payload == Payload::Otlp { otlp::rejected(answer.body()) } else { 0 };
        return Ok(Verdict::Taken(refused.min(records)));
    }
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => Ok(Verdict::Refused(status)),
        // All else may pass, or be put right on one side or the other, and no record is given up for it.
        _ => Err(Trouble { why: format!("the receiver answers {status}"), after: retry_after(answer) }),
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3); a date is left to our own pauses.
fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(AUDIT_SHIP_RETRY_AFTER_MAX))
}
