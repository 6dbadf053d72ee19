//! The wire over real sockets: answers arrive, in order, also where the client is at fault.

use super::consumer::{body, head};
use portcullis::wire::{Limits, Wire, wire};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Answers 400 to refusals, 413 to `/early` without reading on, 101 to upgrades, 200 to the rest; `x-target` names what was asked.
async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_one(wire(stream, Arc::new(Limits::default()))));
    }
}

async fn serve_one(mut wire: Wire<TcpStream>) {
    while let Some(arrived) = head(&mut wire).await {
        let mut status = if arrived.refusal.is_some() { 400 } else { 200 };
        let target = arrived.head.target();
        if target == b"/early" {
            status = 413;
        } else if target == b"/slow" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if arrived.upgrade.is_some() {
            status = 101;
        }
        while status == 200
            && let Some(piece) = body(&mut wire).await
        {
            if piece.is_err() {
                status = 400;
            }
        }
        let target = String::from_utf8_lossy(target);
        let answer = format!("HTTP/1.1 {status} x\r\nx-target: {target}\r\ncontent-length: 0\r\n\r\n");
        wire.write_all(answer.as_bytes()).await.unwrap();
        if status == 101 {
            wire.upgraded();
            return echo(wire).await;
        }
        wire.served();
    }
    wire.shutdown().await.unwrap();
}

/// Sends back what comes.
async fn echo(mut wire: Wire<TcpStream>) {
    let mut space = [0; 1024];
    while let Ok(bytes @ 1..) = wire.read(&mut space).await {
        if wire.write_all(&space[..bytes]).await.is_err() {
            return;
        }
    }
}

fn with_server<F: Future<Output = ()>>(test: impl FnOnce(SocketAddr) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener));
        timeout(Duration::from_secs(20), test(address)).await.expect("the test hangs");
    });
}

/// Sends, then reads to the end; the statuses and targets of the answers.
async fn talk(address: SocketAddr, bytes: &[u8]) -> Vec<String> {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let bytes = bytes.to_vec();
    let sender = tokio::spawn(async move {
        // A refused client may find the connection closed while it still sends.
        let _ = write.write_all(&bytes).await;
        write
    });
    let mut answer = Vec::new();
    read.read_to_end(&mut answer).await.expect("the answer was lost to a reset");
    drop(sender);
    let answer = String::from_utf8(answer).unwrap();
    let words = |l: &str| l.strip_prefix("HTTP/1.1 ").map(|s| s[..3].to_owned()).or(l.strip_prefix("x-target: ").map(str::to_owned));
    answer.lines().filter_map(words).collect()
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    with_server(|address| async move {
        let bytes = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(talk(address, bytes).await, ["200", "/slow", "200", "/2", "200", "/3"]);
    });
}

#[test]
fn a_refused_head_is_answered_although_the_client_goes_on_sending() {
    with_server(|address| async move {
        let bytes = [b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_vec(), vec![b'y'; 500_000]].concat();
        assert_eq!(talk(address, &bytes).await, ["400", "/x"]);
    });
}

#[test]
fn a_refused_head_behind_a_good_one_is_answered_after_it() {
    with_server(|address| async move {
        let bytes = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost : a\r\n\r\n";
        assert_eq!(talk(address, bytes).await, ["200", "/slow", "400", "/x"]);
    });
}

#[test]
fn a_body_with_a_bad_chunk_is_answered_with_its_refusal() {
    with_server(|address| async move {
        let bytes = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n";
        assert_eq!(talk(address, bytes).await, ["400", "/x"]);
    });
}

#[test]
fn an_answer_given_before_the_body_has_come_arrives() {
    with_server(|address| async move {
        let bytes = [b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n".to_vec(), vec![b'y'; 600_000]].concat();
        assert_eq!(talk(address, &bytes).await, ["413", "/early"]);
    });
}

#[test]
fn a_body_of_many_megabytes_passes_in_both_framings() {
    with_server(|address| async move {
        let data = vec![b'y'; 3_000_000];
        let length =
            [b"POST /l HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n".to_vec(), data.clone()].concat();
        assert_eq!(talk(address, &length).await, ["200", "/l"]);
        let mut chunked = b"POST /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for (i, chunk) in data.chunks(70_000).enumerate() {
            chunked.extend_from_slice(format!("{:x};n={i}\r\n", chunk.len()).as_bytes());
            chunked.extend_from_slice(chunk);
            chunked.extend_from_slice(b"\r\n");
        }
        chunked.extend_from_slice(b"0\r\nX-Sum: 1\r\n\r\n");
        assert_eq!(talk(address, &chunked).await, ["200", "/c"]);
    });
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    with_server(|address| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 25];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"hi").await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert!(rest.starts_with("HTTP/1.1 200"), "{rest}");
    });
}

#[test]
fn an_upgraded_connection_carries_any_bytes_both_ways() {
    with_server(|address| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n\x00early").await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\x00early") {
            let mut space = [0; 256];
            let n = stream.read(&mut space).await.unwrap();
            assert!(n > 0, "ended after {}", seen.escape_ascii());
            seen.extend_from_slice(&space[..n]);
        }
        assert!(seen.starts_with(b"HTTP/1.1 101"));
        stream.write_all(b"\r\n\r\n\xff").await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"\r\n\r\n\xff");
    });
}
