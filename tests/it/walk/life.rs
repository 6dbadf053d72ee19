//! Promises about the life of the gateway: reload, stop, failed handshakes.

use crate::backend::{Backend, Step, early, ok};
use crate::gateway::{Gate, ask, connect, connect_h2, get, open_site, run};
use std::time::{Duration, Instant};

#[test]
fn a_reload_with_a_mistake_changes_nothing() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let good = open_site(backend.address, "");
        let gate = Gate::start(&good);
        let mistakes = [
            good.replace("path = \"/\"", "path = \"/other\"\nunknown = 1"),
            good.replace("all granted", "group nobody").replace("to = \"app/\"", "to = \"nothing/\""),
            good.replace("cert.pem", "missing.pem"),
            good.replace("all granted", "all denied").replace("names = [\"app.test\"]", "names = [\"app.test\", \"app.test\"]"),
            "[[".into(),
        ];
        for (n, mistake) in mistakes.iter().enumerate() {
            assert!(gate.reload(mistake).is_err(), "mistake {n} was taken up");
            assert_eq!(ask(gate.plain, get(&format!("/{n}"), "")).await.status, 200);
        }
        std::fs::write(gate.file("htpasswd"), "alice:nonsense\n").unwrap();
        assert!(gate.reload(&good.replace("all granted", "valid-user")).is_err());
        assert_eq!(ask(gate.plain, get("/still", "")).await.status, 200);
    });
}

#[test]
fn a_good_reload_takes_effect_while_a_request_is_in_flight() {
    run(async {
        let [first, second] = [&b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"[..], b"done"].map(|b| Step::Send(b.into()));
        let steps = [first, Step::Wait(Duration::from_millis(600)), second];
        let old = Backend::start(move |_| early(steps.clone())).await;
        let new = Backend::start(|_| ok("new")).await;
        let gate = Gate::start(&open_site(old.address, ""));
        let mut slow = connect(gate.plain).await;
        slow.send("GET /old HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        slow.head().await.unwrap();
        gate.reload(&open_site(new.address, "")).unwrap();
        assert_eq!(ask(gate.plain, get("/new", "")).await.text(), "new");
        while slow.buffer.len() < 8 {
            tokio::io::AsyncReadExt::read_buf(&mut slow.stream, &mut slow.buffer).await.unwrap();
        }
        assert_eq!(slow.buffer, b"halfdone");
        slow.buffer.clear();
        // The same connection now walks the new policy.
        slow.send("GET /again HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        assert_eq!(slow.answer().await.unwrap().text(), "new");
        gate.reload(&open_site(new.address, "require = [\"valid-user\"]")).unwrap();
        slow.send("GET /login HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        assert_eq!(slow.answer().await.unwrap().status, 401);
    });
}

#[test]
fn a_stop_lets_a_request_in_flight_end_and_takes_no_new_ones() {
    run(async {
        let steps = [Step::Wait(Duration::from_millis(700)), Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone".into())];
        let backend = Backend::start(move |_| early(steps.clone())).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let (plain, mut idle) = (gate.plain, connect(gate.plain).await);
        let mut slow = connect(plain).await;
        slow.send("GET /slow HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        let mut h2 = connect_h2(gate.tls, "app.test").await;
        let over_h2 = tokio::spawn(async move { h2.get("https://app.test/h2", &[]).await.0 });
        backend.wait_for_open(2).await;
        let begun = Instant::now();
        let stopped = tokio::task::spawn_blocking(move || gate.stop());
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(tokio::net::TcpStream::connect(plain).await.is_err(), "a new connection was taken");
        let answer = slow.answer().await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "done"));
        assert_eq!(over_h2.await.unwrap(), 200);
        assert!(idle.answer().await.is_none());
        let (records, drained) = stopped.await.unwrap();
        assert!(drained && begun.elapsed() < Duration::from_secs(4), "the stop took {:?}", begun.elapsed());
        assert_eq!(records.len(), 2, "{records:#?}");
    });
}

#[test]
fn a_stop_does_not_wait_longer_than_told_and_leaves_a_record_of_what_it_cut() {
    run(async {
        let backend = Backend::start(|_| early([Step::Wait(Duration::from_secs(50))])).await;
        let gate = Gate::start(&format!("[limits]\ndrain_timeout_seconds = 1\n{}", open_site(backend.address, "")));
        let mut slow = connect(gate.plain).await;
        slow.send("GET /slow HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        backend.wait_for_open(1).await;
        let begun = Instant::now();
        let (records, drained) = tokio::task::spawn_blocking(move || gate.stop()).await.unwrap();
        assert!(!drained && begun.elapsed() < Duration::from_secs(4));
        assert_eq!(records.len(), 1, "{records:#?}");
    });
}

#[test]
fn a_failed_handshake_leaves_a_record() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let mut client = connect(gate.tls).await;
        client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut rest).await;
        let until = Instant::now() + Duration::from_secs(5);
        while gate.records().is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let records = gate.records();
        assert_eq!(
            (&records[0]["event"]["kind"], &records[0]["decision"]["reason"]),
            (&"connection".into(), &"tls_handshake_failed".into())
        );
    });
}

#[test]
fn every_request_under_load_over_both_protocols_has_exactly_one_record() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let (plain, tls) = (gate.plain, gate.tls);
        let mut all = tokio::task::JoinSet::new();
        for task in 0..8 {
            all.spawn(async move {
                let mut client = connect(plain).await;
                for n in 0..50 {
                    client.send(format!("GET /one/{task}/{n} HTTP/1.1\r\nHost: app.test\r\n\r\n")).await;
                    assert_eq!(client.answer().await.unwrap().status, 200);
                }
                let mut h2 = connect_h2(tls, "app.test").await;
                for n in 0..50 {
                    assert_eq!(h2.get(&format!("https://app.test/two/{task}/{n}"), &[]).await.0, 200);
                }
            });
        }
        while let Some(done) = all.join_next().await {
            done.unwrap();
        }
        let (records, _) = tokio::task::spawn_blocking(move || gate.stop()).await.unwrap();
        let paths: std::collections::BTreeSet<_> = records.iter().map(|r| r["url"]["path"].to_string()).collect();
        assert_eq!((records.len(), paths.len(), backend.requests().len()), (800, 800, 800));
        let numbers: Vec<_> = records.iter().map(|r| r["event"]["sequence"].as_u64().unwrap()).collect();
        assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "sequence numbers have a hole");
    });
}
