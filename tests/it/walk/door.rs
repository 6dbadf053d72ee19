//! Promises of the door: listeners, sites, maps, transport.

use crate::backend::{Backend, ok};
use crate::gateway::{ALICE, Gate, ask, ask_tls, connect_h2, connect_tls, get, open_site, run, site};

#[test]
fn plain_and_tls_http1_and_http2_all_lead_to_the_backend() {
    run(async {
        let backend = Backend::start(|_| ok("hello")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        assert_eq!(ask(gate.plain, get("/plain", "")).await.text(), "hello");
        assert_eq!(ask_tls(gate.tls, get("/tls", "")).await.text(), "hello");
        let mut h2 = connect_h2(gate.tls, "app.test").await;
        let (status, _, body) = h2.get("https://app.test/h2?x=1", &[]).await;
        assert_eq!((status, &body[..]), (200, &b"hello"[..]));
        let lines: Vec<String> = backend.requests().iter().map(|r| r.head().lines().next().unwrap().to_owned()).collect();
        assert_eq!(lines, ["GET /plain HTTP/1.1", "GET /tls HTTP/1.1", "GET /h2?x=1 HTTP/1.1"]);
        let record = gate.record("/h2").await;
        assert_eq!((&record["http"]["version"], &record["tls"]["protocol"]), (&"2".into(), &"h2".into()));
        assert_eq!(record["tls"]["version"], "1.3");
        assert!(gate.record("/plain").await["tls"].is_null());
    });
}

#[test]
fn alpn_chooses_http2_where_the_client_offers_it_and_http1_where_it_offers_nothing() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        for (offered, agreed) in [(&["h2", "http/1.1"][..], Some(&b"h2"[..])), (&["http/1.1"], Some(b"http/1.1")), (&[], None)] {
            let client = connect_tls(gate.tls, "app.test", offered).await;
            assert_eq!(client.stream.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
        }
    });
}

#[test]
fn an_unknown_host_is_421_and_never_the_first_site() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let answer = ask(gate.plain, "GET /u HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n").await;
        assert_eq!(answer.status, 421);
        assert_eq!(gate.decision("/u").await, ["door", "deny", "unknown_host"]);
        let mut h2 = connect_h2(gate.tls, "app.test").await;
        assert_eq!(h2.get("https://nobody.test/u2", &[]).await.0, 421);
        assert!(backend.requests().is_empty());
    });
}

#[test]
fn http2_requests_whose_host_and_authority_differ_are_refused() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let mut h2 = connect_h2(gate.tls, "app.test").await;
        assert_eq!(h2.get("https://app.test/h", &[("host", "other.test")]).await.0, 400);
        assert_eq!(gate.decision("/h").await, ["wire", "deny", "bad_host"]);
        assert!(backend.requests().is_empty());
    });
}

#[test]
fn http2_identity_headers_are_the_gateways_own() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, "require = [\"valid-user\"]"));
        let mut h2 = connect_h2(gate.tls, "app.test").await;
        let spoofed = [("x-remote-user", "evil"), ("x_remote_user", "evil"), ("x-forwarded-for", "evil"), ("forwarded", "for=evil")];
        let login = [("authorization", "Basic YWxpY2U6c2VjcmV0"), ("cookie", "a=1"), ("cookie", "b=2")];
        assert_eq!(h2.get("https://app.test/", &[&spoofed[..], &login].concat()).await.0, 200);
        let seen = &backend.requests()[0];
        assert!(!seen.head().contains("evil"), "{}", seen.head());
        assert_eq!(seen.header("x-remote-user"), Some("alice"));
        assert_eq!(seen.header("authorization"), None);
        assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
    });
}

#[test]
fn https_only_refuses_plain_http_before_any_challenge() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let text =
            format!("{}[[site.map]]\npath = \"/\"\nto = \"app/\"\n", site(backend.address, "require = [\"valid-user\"]\nhttps = \"only\""));
        let gate = Gate::start(&text);
        let answer = ask(gate.plain, get("/only", "")).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (403, ""));
        assert_eq!(ask(gate.plain, get("/only2", ALICE)).await.status, 403);
        assert_eq!(gate.decision("/only").await, ["door", "deny", "https_only"]);
        assert_eq!(ask_tls(gate.tls, get("/ok", ALICE)).await.status, 200);
    });
}

#[test]
fn a_redirect_goes_to_the_configured_name_and_never_to_the_raw_host() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let text = format!(
            "{}[[site.map]]\npath = \"/\"\nto = \"app/\"\n",
            site(backend.address, "require = [\"valid-user\"]\nhttps = \"redirect\"\nhttps_port = 8443")
        );
        let gate = Gate::start(&text);
        let answer = ask(gate.plain, "GET /r%20x?a=<b> HTTP/1.1\r\nHost: APP.test.:99\r\nConnection: close\r\n\r\n").await;
        assert_eq!((answer.status, answer.header("location")), (308, "https://app.test:8443/r%20x?a=%3Cb%3E"));
        assert_eq!(answer.header("www-authenticate"), "");
        assert_eq!(gate.decision("/r%20x").await, ["door", "redirect", "https_redirect"]);
        let answer = ask(gate.plain, get("//evil.test/..", "")).await;
        assert!(answer.header("location").starts_with("https://app.test:8443/") || answer.status == 400, "{}", answer.head);
    });
}

#[test]
fn hsts_is_said_over_tls_only() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let text = format!(
            "{}[[site.map]]\npath = \"/\"\nto = \"app/\"\n",
            site(backend.address, "require = [\"all granted\"]\nhttps = \"either\"\nhsts_seconds = 600")
        );
        let gate = Gate::start(&text);
        assert_eq!(ask_tls(gate.tls, get("/", "")).await.header("strict-transport-security"), "max-age=600");
        assert_eq!(ask(gate.plain, get("/", "")).await.header("strict-transport-security"), "");
    });
}

#[test]
fn connect_and_trace_are_405_and_a_foreign_absolute_form_is_421() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        for (line, status) in [("CONNECT inside.test:22", 405), ("TRACE /t", 405), ("GET http://inside.test/", 421)] {
            let answer = ask(gate.plain, format!("{line} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")).await;
            assert_eq!(answer.status, status, "{line}");
            assert_eq!(answer.header("allow").is_empty(), status != 405, "{line}");
        }
        assert!(backend.requests().is_empty());
    });
}

#[test]
fn an_unmapped_path_is_404_and_where_a_login_is_required_401_to_strangers() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let map = "[[site.map]]\npath = \"/app\"\nto = \"app/\"\nexclude = [\"/app/internal\"]\n".replace("app/\"\nex", "app\"\nex");
        let gate = Gate::start(&format!("{}{map}", site(backend.address, "require = [\"all granted\"]\nhttps = \"either\"")));
        let (unmapped, excluded) = (ask(gate.plain, get("/none", "")).await, ask(gate.plain, get("/app/internal/x", "")).await);
        assert_eq!((unmapped.status, excluded.status), (404, 404));
        let page = |a: &crate::gateway::Answer| a.text().lines().filter(|l| !l.contains("01")).collect::<Vec<_>>().join("\n");
        assert_eq!(page(&unmapped), page(&excluded));
        let gate = Gate::start(&format!("{}{map}", site(backend.address, "require = [\"valid-user\"]\nhttps = \"either\"")));
        for path in ["/none", "/app/internal", "/app/x"] {
            assert_eq!(ask(gate.plain, get(path, "")).await.status, 401, "{path}");
        }
        assert_eq!(ask(gate.plain, get("/none2", ALICE)).await.status, 404);
        assert_eq!(ask(gate.plain, get("/app/internal2/x", ALICE)).await.status, 200);
    });
}

#[test]
fn exclusions_win_and_the_longest_prefix_decides_whatever_the_order() {
    run(async {
        let backend = Backend::start(|r| ok(r.head().split(' ').nth(1).unwrap())).await;
        let maps = "[[site.map]]\npath = \"/a/b\"\nto = \"app/long\"\n[[site.map]]\npath = \"/\"\nto = \"app/\"\n\
                    [[site.map]]\npath = \"/a\"\nto = \"app/short\"\nexclude = [\"/a/no\"]\n";
        let gate = Gate::start(&format!("{}{maps}", site(backend.address, "require = [\"all granted\"]\nhttps = \"either\"")));
        for (path, target) in [("/a/b/c?q", "/long/c?q"), ("/a/x", "/short/x"), ("/a", "/short"), ("/ab", "/ab"), ("/a/bc", "/short/bc")] {
            assert_eq!(ask(gate.plain, get(path, "")).await.text(), target, "{path}");
        }
        for path in ["/a/no", "/a/no/x"] {
            assert_eq!(ask(gate.plain, get(path, "")).await.status, 404, "{path}");
        }
        assert_eq!(ask(gate.plain, get("/a/nobody", "")).await.text(), "/short/nobody");
    });
}

#[test]
fn what_the_wire_refuses_is_masked_and_recorded_like_any_other() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let answer = ask(gate.plain, "GET /w HTTP/1.1\r\nHost: app.test\r\nHost: b\r\nAccept: application/json\r\n\r\n").await;
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/problem+json"));
        let record = gate.record("/w").await;
        assert!(answer.text().contains(record["event"]["id"].as_str().unwrap()));
        assert_eq!(gate.decision("/w").await, ["wire", "deny", "bad_host"]);
    });
}
