//! Timers, draining, upgrades and lingering, on a paused clock.

use super::block_on;
use super::consumer::{body, head};
use portcullis::refusal::Refusal;
use portcullis::wire::{Limits, Wire, wire};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep, timeout};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pair() -> (DuplexStream, Wire<DuplexStream>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    (client, wire(server, Arc::new(Limits::default())))
}

/// Ends when the client has gone.
async fn gone(wire: &mut Wire<DuplexStream>) {
    poll_fn(|cx| wire.poll_gone(cx)).await;
}

#[test]
fn a_connection_that_sends_nothing_ends_in_silence_after_the_header_timeout() {
    block_on(async {
        let (_client, mut wire) = pair();
        let start = Instant::now();
        assert!(head(&mut wire).await.is_none());
        assert!((secs(10)..secs(11)).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn a_head_dripped_byte_by_byte_is_refused_after_the_header_timeout() {
    block_on(async {
        let (mut client, mut wire) = pair();
        let start = Instant::now();
        let drip = tokio::spawn(async move {
            for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: ".iter().chain(std::iter::repeat(&b'y')) {
                if client.write_all(&[*byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(300)).await;
            }
        });
        let arrived = head(&mut wire).await.unwrap();
        assert!((secs(10)..secs(11)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(arrived.refusal, Some(Refusal::HeaderTimeout));
        assert_eq!(arrived.head.target(), b"/");
        drip.abort();
    });
}

#[test]
fn the_header_timeout_of_a_later_head_counts_from_its_first_byte() {
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(GET).await.unwrap();
        head(&mut wire).await.unwrap();
        wire.served();
        let start = Instant::now();
        let late = tokio::spawn(async move {
            sleep(secs(40)).await;
            client.write_all(b"GET").await.unwrap();
            client
        });
        let arrived = head(&mut wire).await.unwrap();
        assert!((secs(50)..secs(51)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(arrived.refusal, Some(Refusal::HeaderTimeout));
        drop(late.await);
    });
}

#[test]
fn an_idle_connection_ends_after_the_idle_timeout_but_not_while_a_request_is_served() {
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(GET).await.unwrap();
        head(&mut wire).await.unwrap();
        assert!(timeout(secs(600), gone(&mut wire)).await.is_err(), "the wire ended a connection that was being served");
        wire.served();
        let start = Instant::now();
        assert!(head(&mut wire).await.is_none());
        assert!((secs(60)..secs(61)).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn a_silent_body_is_refused_after_the_body_timeout() {
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(POST).await.unwrap();
        head(&mut wire).await.unwrap();
        // Much at first: the average rate alone would allow minutes of silence.
        client.write_all(&[b'y'; 8192]).await.unwrap();
        assert_eq!(body(&mut wire).await.unwrap().unwrap().len(), 8192);
        let start = Instant::now();
        assert_eq!(body(&mut wire).await, Some(Err(Refusal::BodyTimeout)));
        assert!((secs(20)..secs(21)).contains(&start.elapsed()), "{:?}", start.elapsed());
        wire.served();
        assert!(head(&mut wire).await.is_none(), "after the refusal the end follows");
    });
}

#[test]
fn a_body_below_the_minimum_rate_is_refused_after_the_grace_although_never_silent() {
    for (per_second, refused) in [(100, true), (400, false)] {
        block_on(async {
            let (mut client, mut wire) = pair();
            client.write_all(POST).await.unwrap();
            head(&mut wire).await.unwrap();
            let start = Instant::now();
            let drip = tokio::spawn(async move {
                while client.write_all(&vec![b'x'; per_second]).await.is_ok() {
                    sleep(secs(1)).await;
                }
            });
            let error = loop {
                match body(&mut wire).await.unwrap() {
                    Err(error) => break Some(error),
                    Ok(_) if start.elapsed() > secs(100) => break None,
                    Ok(_) => {}
                }
            };
            assert_eq!(error, refused.then_some(Refusal::BodyTimeout), "{per_second} bytes a second");
            assert!(!refused || (secs(20)..secs(22)).contains(&start.elapsed()), "{:?}", start.elapsed());
            drip.abort();
        });
    }
}

#[test]
fn time_in_which_the_service_does_not_read_is_not_the_clients_fault() {
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(POST).await.unwrap();
        head(&mut wire).await.unwrap();
        for _ in 0..10 {
            client.write_all(b"x").await.unwrap();
            sleep(secs(100)).await;
            assert_eq!(body(&mut wire).await.unwrap().unwrap(), "x");
        }
    });
}

#[test]
fn the_pace_of_one_body_is_not_held_against_the_next() {
    block_on(async {
        let (mut client, mut wire) = pair();
        let slow = tokio::spawn(async move {
            for _ in 0..3 {
                client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").await.unwrap();
                sleep(secs(15)).await;
                client.write_all(b"x").await.unwrap();
            }
            client
        });
        for _ in 0..3 {
            head(&mut wire).await.unwrap();
            assert_eq!(body(&mut wire).await.unwrap().unwrap(), "x");
            wire.served();
        }
        drop(slow.await);
    });
}

#[test]
fn the_idle_timer_does_not_run_while_the_last_answer_is_on_its_way_out() {
    block_on(async {
        let (client, server) = tokio::io::duplex(1000);
        let limits = Limits { write_timeout: secs(1000), ..Limits::default() };
        let mut wire = wire(server, Arc::new(limits));
        let (mut reader, mut writer) = tokio::io::split(client);
        writer.write_all(GET).await.unwrap();
        head(&mut wire).await.unwrap();
        let full = poll_fn(|cx| {
            let mut pinned = Pin::new(&mut wire);
            while pinned.as_mut().poll_write(cx, &[b'x'; 800]).is_ready() {}
            Poll::Ready(())
        });
        full.await;
        wire.served();
        assert!(timeout(secs(300), head(&mut wire)).await.is_err(), "an answer was cut off");
        let mut taken = [0; 1000];
        reader.read_exact(&mut taken).await.unwrap();
        wire.write_all(b"end").await.unwrap();
        let start = Instant::now();
        assert!(head(&mut wire).await.is_none());
        assert!((secs(60)..secs(61)).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn a_write_without_progress_times_out() {
    block_on(async {
        let (_client, server) = tokio::io::duplex(10);
        let mut wire = wire(server, Arc::new(Limits::default()));
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
        let mut wire = wire(server, Arc::new(Limits::default()));
        let flood = tokio::spawn(async move {
            let heads = GET.repeat(10_000);
            let mut sent = 0;
            while let Ok(Ok(n)) = timeout(secs(1), client.write(&heads[sent..])).await {
                sent += n;
            }
            (client, sent)
        });
        head(&mut wire).await.unwrap();
        assert!(timeout(secs(100), gone(&mut wire)).await.is_err());
        let (_client, sent) = flood.await.unwrap();
        assert!((10_000..40_000).contains(&sent), "{sent} bytes were taken from a pipelining client");
    });
}

#[test]
fn the_clients_end_is_noticed_while_its_request_is_served() {
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(GET).await.unwrap();
        head(&mut wire).await.unwrap();
        assert!(timeout(secs(1), gone(&mut wire)).await.is_err());
        drop(client);
        gone(&mut wire).await;
    });
}

#[test]
fn draining_ends_an_idle_connection_at_once_and_a_busy_one_after_its_request() {
    block_on(async {
        let (_client, mut wire) = pair();
        assert!(timeout(secs(1), head(&mut wire)).await.is_err());
        wire.close_when_idle();
        let start = Instant::now();
        assert!(head(&mut wire).await.is_none());
        assert_eq!(start.elapsed(), Duration::ZERO);

        let (mut busy, mut wire) = pair();
        busy.write_all(&[GET, GET].concat()).await.unwrap();
        head(&mut wire).await.unwrap();
        wire.close_when_idle();
        assert!(wire.is_last());
        assert!(timeout(secs(1), gone(&mut wire)).await.is_err());
        wire.served();
        assert!(head(&mut wire).await.is_none(), "a head after the drain was read");
    });
}

#[test]
fn a_head_that_has_begun_when_the_drain_begins_is_served() {
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(&GET[..9]).await.unwrap();
        assert!(timeout(secs(1), head(&mut wire)).await.is_err());
        wire.close_when_idle();
        assert!(timeout(secs(1), head(&mut wire)).await.is_err());
        client.write_all(&GET[9..]).await.unwrap();
        assert!(head(&mut wire).await.unwrap().refusal.is_none());
        wire.served();
        assert!(head(&mut wire).await.is_none());
    });
}

#[test]
fn a_granted_upgrade_is_transparent_both_ways_with_what_was_buffered() {
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(&[UPGRADE, b"\x81\x00early"].concat()).await.unwrap();
        assert_eq!(head(&mut wire).await.unwrap().upgrade.unwrap(), "websocket");
        assert!(timeout(secs(1), gone(&mut wire)).await.is_err());
        wire.upgraded();
        let mut seen = [0; 7];
        wire.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"\x81\x00early");
        client.write_all(b"\r\n\0later").await.unwrap();
        let mut seen = [0; 8];
        wire.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"\r\n\0later");
        assert!(timeout(secs(10_000), wire.read(&mut seen)).await.is_err(), "a timer of HTTP ended a tunnel");
        wire.write_all(b"back").await.unwrap();
        let mut back = [0; 4];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"back");
    });
}

#[test]
fn a_refused_upgrade_goes_on_with_http() {
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(&[UPGRADE, GET].concat()).await.unwrap();
        assert!(head(&mut wire).await.unwrap().upgrade.is_some());
        wire.served();
        assert!(head(&mut wire).await.unwrap().upgrade.is_none());
    });
}

#[test]
fn an_unread_body_is_passed_over_where_it_has_come_and_ends_the_connection_where_not() {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(&[HEAD, b"four", GET].concat()).await.unwrap();
        head(&mut wire).await.unwrap();
        assert!(wire.discard());
        wire.served();
        assert_eq!(head(&mut wire).await.unwrap().head.method(), b"GET");
        wire.served();
        client.write_all(&[HEAD, b"fou"].concat()).await.unwrap();
        head(&mut wire).await.unwrap();
        assert!(!wire.discard());
        wire.served();
        client.write_all(&[b"r", GET].concat()).await.unwrap();
        assert!(head(&mut wire).await.is_none(), "the rest of a body was taken for a head");
    });
}

#[test]
fn a_client_that_waits_for_100_gets_it_with_the_first_question_for_its_body() {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(HEAD).await.unwrap();
        head(&mut wire).await.unwrap();
        assert!(timeout(secs(1), client.read_u8()).await.is_err(), "nobody has asked for the body");
        assert!(timeout(secs(1), body(&mut wire)).await.is_err());
        let mut interim = [0; 25];
        client.read_exact(&mut interim).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"four").await.unwrap();
        assert_eq!(body(&mut wire).await.unwrap().unwrap(), "four");
        wire.served();
        // Not asked for, the body may come or not: what follows the answer cannot be told from it.
        client.write_all(HEAD).await.unwrap();
        head(&mut wire).await.unwrap();
        assert!(!wire.discard());
        wire.served();
        assert!(head(&mut wire).await.is_none());
        assert!(timeout(secs(1), client.read_u8()).await.is_err());
    });
}

#[test]
fn closing_after_a_refusal_lingers_within_its_bounds() {
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(b"BAD\r\n\r\nmore").await.unwrap();
        assert!(head(&mut wire).await.unwrap().refusal.is_some());
        let start = Instant::now();
        wire.shutdown().await.unwrap();
        assert!((secs(5)..secs(6)).contains(&start.elapsed()), "{:?}", start.elapsed());

        let (mut client, mut wire) = pair();
        client.write_all(b"BAD\r\n\r\nmore").await.unwrap();
        head(&mut wire).await.unwrap();
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
        let (mut client, mut wire) = pair();
        client.write_all(GET).await.unwrap();
        head(&mut wire).await.unwrap();
        wire.served();
        let start = Instant::now();
        wire.shutdown().await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

#[test]
fn nothing_is_read_after_a_refused_head_and_its_answer_is_not_cut_off() {
    block_on(async {
        let (mut client, mut wire) = pair();
        client.write_all(b"BAD\r\n\r\n").await.unwrap();
        head(&mut wire).await.unwrap();
        client.write_all(GET).await.unwrap();
        assert!(timeout(secs(30), gone(&mut wire)).await.is_err());
        wire.write_all(b"no").await.unwrap();
        wire.served();
        assert!(head(&mut wire).await.is_none());
        let mut answer = [0; 2];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"no");
    });
}

#[test]
fn a_long_head_byte_by_byte_is_parsed_without_scanning_it_again_and_again() {
    block_on(async {
        let bytes = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec(), vec![b'y'; 64_000], b"\r\n\r\n".to_vec()].concat();
        let mut wire = wire(super::cut(&bytes, &[1]), Arc::new(Limits::default()));
        let start = std::time::Instant::now();
        assert_eq!(head(&mut wire).await.unwrap().head.bytes, bytes);
        // Quadratic work would be two thousand million steps.
        assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
    });
}
