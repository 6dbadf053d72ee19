//! Promises about load balancers in front that speak the PROXY protocol.

use crate::backend::{Backend, ok};
use crate::gateway::{Gate, connect, open_site, run};

const GET: &str = "GET /x HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";

fn behind(networks: &str, address: std::net::SocketAddr) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\nproxy_protocol = true\nproxy_protocol_from = [\"{networks}\"]\n\
         [limits]\nhandshake_timeout_seconds = 1\nconnections_per_address_max = 2\n{}",
        open_site(address, "")
    )
}

#[test]
fn the_balancers_word_is_the_clients_address_for_records_and_backends() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&behind("127.0.0.0/8", backend.address));
        let address = gate.gateway().addresses()[2].0;
        let second = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[203, 0, 113, 9, 10, 0, 0, 1, 0, 9, 0, 80]].concat();
        for (n, header) in [b"PROXY TCP4 203.0.113.9 10.0.0.1 9 80\r\n".to_vec(), second].into_iter().enumerate() {
            let mut client = connect(address).await;
            client.send([header, GET.as_bytes().to_vec()].concat()).await;
            assert_eq!(client.answer().await.unwrap().status, 200);
            assert_eq!(backend.requests()[n].header("x-forwarded-for"), Some("203.0.113.9"));
            let record = gate.records_of("/x", n + 1).await.remove(n);
            assert_eq!((&record["source"]["ip"], &record["source"]["port"]), (&"203.0.113.9".into(), &9.into()));
        }
        // The plain listener beside it takes the same bytes for what they are there.
        let mut client = connect(gate.plain).await;
        client.send(format!("PROXY TCP4 203.0.113.9 10.0.0.1 9 80\r\n{GET}")).await;
        assert_eq!(client.answer().await.unwrap().status, 400);
    });
}

#[test]
fn strangers_and_bent_headers_are_closed_and_recorded() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        for (networks, header, reason) in [
            ("127.0.0.0/8", GET.to_owned(), "proxy_protocol_malformed"),
            ("127.0.0.0/8", format!("PROXY TCP4 203.0.113.9 10.0.0.1 09 80\r\n{GET}"), "proxy_protocol_malformed"),
            ("127.0.0.0/8", "PROXY TCP4 203".to_owned(), "proxy_protocol_timeout"),
            ("192.0.2.0/24", format!("PROXY TCP4 203.0.113.9 10.0.0.1 9 80\r\n{GET}"), "proxy_protocol_untrusted"),
        ] {
            let gate = Gate::start(&behind(networks, backend.address));
            let mut client = connect(gate.gateway().addresses()[2].0).await;
            client.send(&header).await;
            assert!(client.answer().await.is_none(), "{header}");
            let (records, _) = gate.stop();
            assert_eq!(records.len(), 1, "{records:#?}");
            assert_eq!((&records[0]["decision"]["reason"], &records[0]["event"]["kind"]), (&reason.into(), &"connection".into()));
        }
        assert!(backend.requests().is_empty());
    });
}

#[test]
fn connections_are_counted_under_the_client_and_not_the_balancer() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&behind("127.0.0.1", backend.address));
        let address = gate.gateway().addresses()[2].0;
        let ask = async |n: u8| {
            let mut client = connect(address).await;
            client.send(format!("PROXY TCP4 203.0.113.{n} 10.0.0.1 9 80\r\nGET /x HTTP/1.1\r\nHost: app.test\r\n\r\n")).await;
            let status = client.answer().await.map(|a| a.status);
            (client, status)
        };
        let mut open = Vec::new();
        for n in [1, 1, 2, 2, 3] {
            let (client, status) = ask(n).await;
            assert_eq!(status, Some(200));
            open.push(client);
        }
        assert_eq!(ask(1).await.1, None, "a third connection of one client");
        assert_eq!(ask(3).await.1, Some(200));
    });
}
