//! Timers, draining, upgrades and lingering, on a paused clock.

use super::block_on;
use portcullis::refusal::Refusal;
use portcullis::wire::{Handle, Limits, Wire, wire};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::time::{Instant, sleep, timeout};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pair() -> (DuplexStream, Wire<DuplexStream>, Handle) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let (wire, handle) = wire(server, Arc::new(Limits::default()));
    (client, wire, handle)
}

async fn read(wire: &mut Wire<DuplexStream>) -> std::io::Result<Vec<u8>> {
    let mut space = vec![0; 8192];
    let n = wire.read(&mut space).await?;
    space.truncate(n);
    Ok(space)
}

/// Whether a read would wait now; bytes it gives are lost.
async fn waits(wire: &mut Wire<DuplexStream>) -> bool {
    tokio::task::yield_now().await;
    let mut space = [0; 8192];
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *wire).poll_read(cx, &mut ReadBuf::new(&mut space)).is_pending())).await
}

fn refusal(error: &std::io::Error) -> Option<&Refusal> {
    error.get_ref().and_then(|e| e.downcast_ref())
}

#[test]
fn a_connection_that_sends_nothing_ends_in_silence_after_the_header_timeout() {
    block_on(async {
        let (_client, mut wire, handle) = pair();
        let start = Instant::now();
        assert!(read(&mut wire).await.unwrap().is_empty());
        assert!((secs(10)..secs(11)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert!(handle.next().is_none());
    });
}

#[test]
fn a_head_dripped_byte_by_byte_is_refused_after_the_header_timeout() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        let start = Instant::now();
        let drip = tokio::spawn(async move {
            for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: ".iter().chain(std::iter::repeat(&b'y')) {
                if client.write_all(&[*byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(300)).await;
            }
        });
        assert_eq!(read(&mut wire).await.unwrap(), b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
        assert!((secs(10)..secs(11)).contains(&start.elapsed()), "{:?}", start.elapsed());
        let arrived = handle.next().unwrap();
        assert_eq!(arrived.refusal, Some(Refusal::HeaderTimeout));
        assert_eq!(arrived.head.target(), b"/");
        drip.abort();
    });
}

#[test]
fn the_header_timeout_of_a_later_head_counts_from_its_first_byte() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        client.write_all(GET).await.unwrap();
        read(&mut wire).await.unwrap();
        drop(handle.next());
        let start = Instant::now();
        let late = tokio::spawn(async move {
            sleep(secs(40)).await;
            client.write_all(b"GET").await.unwrap();
            client
        });
        read(&mut wire).await.unwrap();
        assert!((secs(50)..secs(51)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(handle.next().unwrap().refusal, Some(Refusal::HeaderTimeout));
        drop(late.await);
    });
}

#[test]
fn an_idle_connection_ends_after_the_idle_timeout_but_not_while_a_request_is_served() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        client.write_all(GET).await.unwrap();
        read(&mut wire).await.unwrap();
        assert!(!handle.idle());
        let arrived = handle.next().unwrap();
        assert!(timeout(secs(600), read(&mut wire)).await.is_err(), "the wire ended a connection that was being served");
        drop(arrived);
        assert!(handle.idle());
        let start = Instant::now();
        assert!(read(&mut wire).await.unwrap().is_empty());
        assert!((secs(60)..secs(61)).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn a_silent_body_is_refused_after_the_body_timeout() {
    block_on(async {
        let (mut client, mut wire, _handle) = pair();
        client.write_all(POST).await.unwrap();
        read(&mut wire).await.unwrap();
        // Much at first: the average rate alone would allow minutes of silence.
        client.write_all(&[b'y'; 8192]).await.unwrap();
        assert_eq!(read(&mut wire).await.unwrap().len(), 8192);
        let start = Instant::now();
        let error = read(&mut wire).await.unwrap_err();
        assert_eq!((error.kind(), refusal(&error)), (std::io::ErrorKind::TimedOut, Some(&Refusal::BodyTimeout)));
        assert!((secs(20)..secs(21)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert!(read(&mut wire).await.unwrap().is_empty(), "after the refusal the end follows");
    });
}

#[test]
fn a_body_below_the_minimum_rate_is_refused_after_the_grace_although_never_silent() {
    for (per_second, refused) in [(100, true), (400, false)] {
        block_on(async {
            let (mut client, mut wire, _handle) = pair();
            client.write_all(POST).await.unwrap();
            read(&mut wire).await.unwrap();
            let start = Instant::now();
            let drip = tokio::spawn(async move {
                while client.write_all(&vec![b'x'; per_second]).await.is_ok() {
                    sleep(secs(1)).await;
                }
            });
            let error = loop {
                match read(&mut wire).await {
                    Err(error) => break Some(error),
                    Ok(_) if start.elapsed() > secs(100) => break None,
                    Ok(_) => {}
                }
            };
            assert_eq!(error.as_ref().and_then(refusal), refused.then_some(&Refusal::BodyTimeout), "{per_second} bytes a second");
            assert!(!refused || (secs(20)..secs(22)).contains(&start.elapsed()), "{:?}", start.elapsed());
            drip.abort();
        });
    }
}

#[test]
fn time_in_which_the_service_does_not_read_is_not_the_clients_fault() {
    block_on(async {
        let (mut client, mut wire, _handle) = pair();
        client.write_all(POST).await.unwrap();
        read(&mut wire).await.unwrap();
        for _ in 0..10 {
            client.write_all(b"x").await.unwrap();
            sleep(secs(100)).await;
            assert_eq!(read(&mut wire).await.unwrap(), b"x");
        }
    });
}

#[test]
fn the_pace_of_one_body_is_not_held_against_the_next() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        let slow = tokio::spawn(async move {
            for _ in 0..3 {
                client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").await.unwrap();
                sleep(secs(15)).await;
                client.write_all(b"x").await.unwrap();
            }
            client
        });
        for _ in 0..3 {
            read(&mut wire).await.unwrap();
            let arrived = handle.next().unwrap();
            assert_eq!(read(&mut wire).await.unwrap(), b"x");
            drop(arrived);
        }
        drop(slow.await);
    });
}

#[test]
fn the_idle_timer_does_not_run_while_the_last_answer_is_on_its_way_out() {
    block_on(async {
        let (client, server) = tokio::io::duplex(1000);
        let limits = Limits { write_timeout: secs(1000), ..Limits::default() };
        let (mut wire, handle) = wire(server, Arc::new(limits));
        let (mut reader, mut writer) = tokio::io::split(client);
        writer.write_all(GET).await.unwrap();
        read(&mut wire).await.unwrap();
        let full = poll_fn(|cx| {
            let mut pinned = Pin::new(&mut wire);
            while pinned.as_mut().poll_write(cx, &[b'x'; 800]).is_ready() {}
            Poll::Ready(())
        });
        full.await;
        drop(handle.next());
        assert!(timeout(secs(300), read(&mut wire)).await.is_err(), "an answer was cut off");
        let mut taken = [0; 1000];
        reader.read_exact(&mut taken).await.unwrap();
        wire.write_all(b"end").await.unwrap();
        let start = Instant::now();
        assert!(read(&mut wire).await.unwrap().is_empty());
        assert!((secs(60)..secs(61)).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn a_write_without_progress_times_out() {
    block_on(async {
        let (_client, server) = tokio::io::duplex(10);
        let (mut wire, _handle) = wire(server, Arc::new(Limits::default()));
        let start = Instant::now();
        let error = wire.write_all(&[b'x'; 100]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!((secs(60)..secs(61)).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn no_head_is_read_while_a_request_is_served_and_little_is_buffered() {
    block_on(async {
        let (mut client, server) = tokio::io::duplex(16);
        let (mut wire, handle) = wire(server, Arc::new(Limits::default()));
        let flood = tokio::spawn(async move {
            let heads = GET.repeat(10_000);
            let mut sent = 0;
            while let Ok(Ok(n)) = timeout(secs(1), client.write(&heads[sent..])).await {
                sent += n;
            }
            (client, sent)
        });
        read(&mut wire).await.unwrap();
        let _arrived = handle.next().unwrap();
        assert!(timeout(secs(100), read(&mut wire)).await.is_err());
        assert!(handle.next().is_none());
        let (_client, sent) = flood.await.unwrap();
        assert!((10_000..40_000).contains(&sent), "{sent} bytes were taken from a pipelining client");
    });
}

#[test]
fn the_clients_end_is_noticed_while_its_request_is_served() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        client.write_all(GET).await.unwrap();
        read(&mut wire).await.unwrap();
        let _arrived = handle.next().unwrap();
        assert!(waits(&mut wire).await);
        drop(client);
        assert!(read(&mut wire).await.unwrap().is_empty());
    });
}

#[test]
fn draining_ends_an_idle_connection_at_once_and_a_busy_one_after_its_request() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        let other = handle.clone();
        tokio::spawn(async move {
            sleep(secs(1)).await;
            other.close();
        });
        let start = Instant::now();
        assert!(read(&mut wire).await.unwrap().is_empty());
        assert_eq!(start.elapsed().as_secs(), 1);
        drop((wire.shutdown().await, handle));

        let (mut busy, mut wire, handle) = pair();
        busy.write_all(&[GET, GET].concat()).await.unwrap();
        read(&mut wire).await.unwrap();
        let arrived = handle.next().unwrap();
        handle.close();
        assert!(waits(&mut wire).await);
        drop(arrived);
        assert!(read(&mut wire).await.unwrap().is_empty(), "a head after the drain was read");
        assert!(handle.next().is_none());
        drop(client.shutdown().await);
    });
}

#[test]
fn a_granted_upgrade_is_transparent_both_ways_with_what_was_buffered() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        client.write_all(&[UPGRADE, b"\x81\x00early"].concat()).await.unwrap();
        assert_eq!(read(&mut wire).await.unwrap(), b"GET / HTTP/1.1\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
        assert_eq!(handle.next().unwrap().upgrade.unwrap(), "websocket");
        assert!(waits(&mut wire).await, "bytes were read before the upgrade was answered");
        handle.upgraded(true);
        assert_eq!(read(&mut wire).await.unwrap(), b"\x81\x00early");
        client.write_all(b"\r\n\0later").await.unwrap();
        assert_eq!(read(&mut wire).await.unwrap(), b"\r\n\0later");
        assert!(timeout(secs(10_000), read(&mut wire)).await.is_err(), "a timer of HTTP ended a tunnel");
        wire.write_all(b"back").await.unwrap();
        let mut back = [0; 4];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"back");
    });
}

#[test]
fn a_refused_upgrade_goes_on_with_http() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        client.write_all(&[UPGRADE, GET].concat()).await.unwrap();
        read(&mut wire).await.unwrap();
        drop(handle.next());
        assert!(waits(&mut wire).await);
        handle.upgraded(false);
        assert_eq!(read(&mut wire).await.unwrap(), b"GET / HTTP/1.1\r\n\r\n");
        assert!(handle.next().unwrap().upgrade.is_none());
    });
}

#[test]
fn closing_after_a_refusal_lingers_within_its_bounds() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        client.write_all(b"BAD\r\n\r\nmore").await.unwrap();
        read(&mut wire).await.unwrap();
        assert!(handle.next().unwrap().refusal.is_some());
        let start = Instant::now();
        wire.shutdown().await.unwrap();
        assert!((secs(5)..secs(6)).contains(&start.elapsed()), "{:?}", start.elapsed());

        let (mut client, mut wire, _handle) = pair();
        client.write_all(b"BAD\r\n\r\nmore").await.unwrap();
        read(&mut wire).await.unwrap();
        let flood = tokio::spawn(async move {
            let mut sent = 0;
            while let Ok(Ok(n)) = timeout(secs(1), client.write(&[0; 4096])).await {
                sent += n;
            }
            sent
        });
        let start = Instant::now();
        wire.shutdown().await.unwrap();
        assert!(start.elapsed() < secs(1), "the bytes were not bounded");
        drop(wire);
        assert!(flood.await.unwrap() < 1_200_000);
    });
}

#[test]
fn closing_after_a_plain_answer_does_not_linger() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        client.write_all(GET).await.unwrap();
        read(&mut wire).await.unwrap();
        drop(handle.next());
        let start = Instant::now();
        wire.shutdown().await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

#[test]
fn nothing_is_read_after_a_refused_head_and_its_answer_is_not_cut_off() {
    block_on(async {
        let (mut client, mut wire, handle) = pair();
        client.write_all(b"BAD\r\n\r\n").await.unwrap();
        read(&mut wire).await.unwrap();
        let _arrived = handle.next().unwrap();
        client.write_all(GET).await.unwrap();
        assert!(timeout(secs(30), read(&mut wire)).await.is_err());
        assert!(handle.next().is_none());
    });
}

#[test]
fn a_long_head_byte_by_byte_is_parsed_without_scanning_it_again_and_again() {
    block_on(async {
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec(), vec![b'y'; 64_000], b"\r\n\r\n".to_vec()].concat();
        let mut wire = wire(super::cut(&head, &[1]), Arc::new(Limits::default())).0;
        let start = std::time::Instant::now();
        let mut space = [0; 8192];
        assert_eq!(wire.read(&mut space).await.unwrap(), b"GET / HTTP/1.1\r\n\r\n".len());
        // Quadratic work would be two thousand million steps.
        assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
    });
}
