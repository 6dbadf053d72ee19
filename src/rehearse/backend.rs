//! A scripted backend: answers 200 with nothing, or on `/reflect` what the request's JSON body asks for.
//!
//! The regression suite of the Core Rule Set is written for such a backend: rules that look at responses are tried with a POST to
//! `/reflect` of `{"status": 200, "headers": {"name": "value"}, "body": "...", "encodedBody": "base64"}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;

/// Bytes of a request body that the backend reads.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Starts it on a free port of the loopback interface, on a thread of its own, for as long as the process lasts.
///
/// # Errors
/// No port, no thread.
pub fn start() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("backend".into()).spawn(move || {
        runtime.block_on(async {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
    })?;
    Ok(address)
}

/// What `/reflect` is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wanted {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
    encoded_body: String,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { status: 200, headers: BTreeMap::new(), body: String::new(), encoded_body: String::new() }
    }
}

async fn answer(request: hyper::Request<Incoming>) -> hyper::Response<Full<Bytes>> {
    let path = request.uri().path();
    let reflects = request.method() == Method::POST && (path == "/reflect" || path.starts_with("/reflect/"));
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await.map(http_body_util::Collected::to_bytes);
    let reply = match body {
        Ok(body) if reflects => reflect(&body),
        Ok(_) => Ok((StatusCode::OK, HeaderMap::new(), Vec::new())),
        Err(error) => Err(error.to_string()),
    };
    let (status, headers, body) = reply.unwrap_or_else(|why| (StatusCode::BAD_REQUEST, HeaderMap::new(), why.into_bytes()));
    let mut response = hyper::Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn reflect(body: &[u8]) -> Result<(StatusCode, HeaderMap, Vec<u8>), String> {
    let wanted: Wanted = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let status = StatusCode::from_u16(wanted.status).map_err(|e| e.to_string())?;
    let mut headers = HeaderMap::new();
    for (name, value) in &wanted.headers {
        let name = HeaderName::try_from(name).map_err(|e| e.to_string())?;
        headers.append(name, HeaderValue::try_from(value).map_err(|e| e.to_string())?);
    }
    let body = match wanted.encoded_body.as_str() {
        "" => wanted.body.into_bytes(),
        encoded => STANDARD.decode(encoded).map_err(|e| e.to_string())?,
    };
    if !body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(sniff(&body)));
    }
    Ok((status, headers, body))
}

/// The type of a body that names none, by its beginning (the WHATWG's MIME sniffing, as far as text goes): rules look only at some.
fn sniff(body: &[u8]) -> &'static str {
    const TAGS: [&str; 17] = [
        "<!DOCTYPE HTML",
        "<HTML",
        "<HEAD",
        "<SCRIPT",
        "<IFRAME",
        "<H1",
        "<DIV",
        "<FONT",
        "<TABLE",
        "<A",
        "<STYLE",
        "<TITLE",
        "<B",
        "<BODY",
        "<BR",
        "<P",
        "<!--",
    ];
    let text = body.trim_ascii_start();
    let begins = |tag: &str| {
        let head = text.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag.as_bytes()));
        head && (tag == "<!--" || text.get(tag.len()).is_some_and(|next| matches!(next, b' ' | b'>')))
    };
    if TAGS.iter().any(|tag| begins(tag)) {
        "text/html; charset=utf-8"
    } else if text.starts_with(b"<?xml") {
        "text/xml; charset=utf-8"
    } else if text.starts_with(b"%PDF-") {
        "application/pdf"
    } else if body.iter().take(512).any(|b| matches!(b, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)) {
        "application/octet-stream"
    } else {
        "text/plain; charset=utf-8"
    }
}
