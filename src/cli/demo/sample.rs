//! The sample application behind the demo: careless, as internal applications are.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION, SERVER, WWW_AUTHENTICATE};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;

/// Starts it on a free port of the loopback interface, on a thread of its own.
///
/// # Errors
/// No port, no thread.
pub(super) fn start() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("sample".into()).spawn(move || {
        runtime.block_on(async {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(&request, address)) });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
    })?;
    Ok(address)
}

fn answer(request: &hyper::Request<Incoming>, address: SocketAddr) -> hyper::Response<Full<Bytes>> {
    let user = request.headers().get("x-remote-user").and_then(|v| v.to_str().ok()).unwrap_or("nobody");
    let (status, text) = match request.uri().path() {
        "/boom" => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Traceback: OperationalError at orders.py:118: could not connect to db01.internal ({address})\n"),
        ),
        "/admin" => (StatusCode::OK, format!("Administration, signed in as {user}\n")),
        "/login" => (StatusCode::UNAUTHORIZED, "Sign in with your domain account\n".into()),
        "/old" => (StatusCode::FOUND, String::new()),
        path => (StatusCode::OK, format!("Orders of today, shown to {user} at {path}\n")),
    };
    let mut response = hyper::Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(SERVER, HeaderValue::from_static("SampleServer/1.0 (internal)"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate, NTLM, Bearer realm=\"sample\""));
    }
    if let (StatusCode::FOUND, Ok(to)) = (status, HeaderValue::try_from(format!("http://{address}/new"))) {
        headers.insert(LOCATION, to);
    }
    response
}
