//! The wire from outside: what its cases promise, what no input can do.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "wire/cases.rs"]
pub(crate) mod cases;
#[path = "wire/consumer.rs"]
mod consumer;
#[path = "wire/socket.rs"]
mod socket;
#[path = "wire/time.rs"]
mod time;

use cases::{Case, all_cases};
use consumer::{Script, outcomes, outcomes_of};
use proptest::prelude::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// The bytes in one piece.
fn whole(bytes: &[u8]) -> Script {
    Script::new(vec![bytes.to_vec()])
}

/// The bytes cut at the given points, taken round and round.
fn cut(bytes: &[u8], sizes: &[usize]) -> Script {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (piece, next) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
        pieces.push(piece.to_vec());
        rest = next;
    }
    Script::new(pieces)
}

fn without_unasked_host(lines: &[String], case: &Case) -> Vec<String> {
    let asked = case.expected.iter().any(|l| l.contains(" host="));
    let cut = |l: &String| l.split(' ').filter(|w| asked || !w.starts_with("host=")).collect::<Vec<_>>().join(" ");
    lines.iter().map(|l| if l.starts_with("accept: ") { cut(l) } else { l.clone() }).collect()
}

#[test]
fn every_case_has_the_outcome_its_file_promises() {
    let cases = all_cases();
    assert!(cases.len() >= 300, "only {} cases were found", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let got = without_unasked_host(&block_on(outcomes(whole(&case.send), 8192)), case);
        if got != case.expected {
            wrong.push(format!("{}:\n  expected {:?}\n  got      {:?}", case.name, case.expected, got));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_case_has_the_same_outcome_byte_by_byte() {
    for case in all_cases() {
        for read in [1, 7, 8192] {
            let expected = block_on(outcomes(whole(&case.send), 8192));
            assert_eq!(block_on(outcomes(cut(&case.send, &[1]), read)), expected, "{} read by {read}", case.name);
        }
    }
}

#[test]
fn whoever_does_not_read_the_bodies_sees_the_same_heads_or_fewer() {
    let heads =
        |lines: &[String]| lines.iter().filter(|l| !l.starts_with("body: ") && !l.starts_with("broken: ")).cloned().collect::<Vec<_>>();
    for case in all_cases() {
        let read = heads(&block_on(outcomes(whole(&case.send), 8192)));
        let unread = heads(&block_on(outcomes_of(whole(&case.send), 8192, |arrived| arrived.refusal.is_some())));
        assert_eq!(unread, read[..unread.len()], "{}", case.name);
        let is_plain = !case.expected.iter().any(|line| line.contains(" continue"));
        assert!(!is_plain || unread.len() == read.len(), "{}: {unread:?}", case.name);
    }
}

#[test]
fn a_refused_head_keeps_the_line_and_the_headers_that_still_split() {
    use portcullis::wire::{Limits, wire};
    let bytes = b"POST /x?<y> HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Attack: ../../etc/passwd\r\n\r\n";
    block_on(async {
        let mut wire = wire(whole(bytes), Limits::default().into());
        let arrived = consumer::head(&mut wire).await.unwrap();
        assert_eq!(arrived.head.bytes, &bytes[..]);
        assert_eq!((arrived.head.method(), arrived.head.target()), (&b"POST"[..], &b"/x?<y>"[..]));
        let headers: Vec<_> = arrived.head.headers().collect();
        assert_eq!(headers, [(&b"Host"[..], &b"a"[..]), (b"Host", b"b"), (b"X-Attack", b"../../etc/passwd")]);
        wire.served();
        assert!(consumer::head(&mut wire).await.is_none());
    });
}

/// Bytes near the border between valid and invalid: cases strung together, then damaged.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<Vec<u8>> = all_cases().into_iter().map(|c| c.send).collect();
    let byte = prop_oneof![
        4 => prop::sample::select(b"\r\n\t :;,\0\x0b#%5aA/".to_vec()),
        1 => any::<u8>(),
    ];
    let damage = prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, byte), 0..4);
    (prop::collection::vec(prop::sample::select(all), 1..4), damage).prop_map(|(parts, damage)| {
        let mut bytes = parts.concat();
        for (place, kind, byte) in damage {
            let at = place.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn where_the_bytes_are_split_changes_nothing(bytes in damaged(), sizes in prop::collection::vec(1..40usize, 1..8), read in 1..100usize) {
        prop_assert_eq!(block_on(outcomes(cut(&bytes, &sizes), read)), block_on(outcomes(whole(&bytes), 8192)));
    }

    #[test]
    fn no_input_panics_or_hangs(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        block_on(outcomes(whole(&bytes), 8192));
    }
}
