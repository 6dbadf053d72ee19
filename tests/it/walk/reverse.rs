//! Promises of reverse mapping, forwarding headers and error masking.

use crate::backend::{Backend, ok, raw};
use crate::gateway::{Gate, ask, ask_tls, get, open_site, run, site};

const TALES: &str = "Server: Secret/1.2\r\nX-Powered-By: PHP/5\r\nX-AspNet-Version: 4.0\r\n";

#[test]
fn a_masked_500_carries_the_event_id_in_the_form_asked_for_and_tells_nothing_else() {
    run(async {
        let answer = format!("HTTP/1.1 500 Oops\r\n{TALES}Set-Cookie: debug=1\r\nContent-Length: 24\r\n\r\nTraceback db01.internal!");
        let backend = Backend::start(move |_| raw(&answer)).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        for (path, accept, kind) in [
            ("/html", "Accept: text/html\r\n", "text/html; charset=utf-8"),
            ("/any", "", "text/html; charset=utf-8"),
            ("/json", "Accept: application/json\r\n", "application/problem+json"),
        ] {
            let page = ask(gate.plain, get(path, accept)).await;
            assert_eq!((page.status, page.header("content-type")), (500, kind));
            let record = gate.record(path).await;
            assert!(page.text().contains(record["event"]["id"].as_str().unwrap()));
            assert!(!page.text().contains("db01") && !page.head.contains("Secret") && !page.head.to_lowercase().contains("powered"));
            assert_eq!((page.header("server"), page.header("set-cookie")), ("", ""));
            assert_eq!((&record["decision"]["action"], &record["http"]["response"]["upstream_status_code"]), (&"mask".into(), &500.into()));
        }
        let json: serde_json::Value =
            serde_json::from_slice(&ask(gate.plain, get("/j", "Accept: application/json\r\n")).await.body).unwrap();
        assert_eq!(json["status"], 500);
    });
}

#[test]
fn headers_that_tell_of_software_go_from_good_answers_too_and_other_statuses_pass() {
    run(async {
        let backend = Backend::start(|r| {
            let status = r.head().split(['/', ' ']).nth(2).unwrap().to_owned();
            raw(format!("HTTP/1.1 {status} Status\r\n{TALES}X-Own: 1\r\nContent-Length: 4\r\n\r\nbody"))
        })
        .await;
        let gate = Gate::start(&open_site(backend.address, "mask = { error_override = [404, 503], remove_headers = [\"X-Own\"] }"));
        for (status, masked) in [(200, false), (403, false), (404, true), (500, false), (503, true)] {
            let answer = ask(gate.plain, get(&format!("/{status}"), "")).await;
            assert_eq!((answer.status, answer.text() == "body"), (status, !masked));
            for name in ["server", "x-powered-by", "x-aspnet-version", "x-own"] {
                assert_eq!(answer.header(name), "", "{status}");
            }
        }
    });
}

#[test]
fn a_head_request_gets_no_body_and_the_length_of_the_page() {
    run(async {
        let backend = Backend::start(|_| raw("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let mut client = crate::gateway::connect(gate.plain).await;
        client.send("HEAD /x HTTP/1.1\r\nHost: app.test\r\n\r\nGET /y HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n").await;
        let head = client.answer_to("HEAD").await.unwrap();
        let page = client.answer().await.unwrap();
        assert_eq!((head.status, head.header("content-length")), (500, page.header("content-length")));
    });
}

#[test]
fn the_backends_own_names_and_paths_become_those_the_client_knows() {
    run(async {
        let backend = Backend::start(|r| {
            let own = r.header("x-own").unwrap();
            raw(format!(
                "HTTP/1.1 302 Found\r\nLocation: http://{own}/inner/new?a=1#f\r\nContent-Location: /inner/c\r\n\
                 Link: <http://{own}/inner/style.css>; rel=preload, <https://cdn.test/x>\r\nRefresh: 5; url=http://{own}/inner/r\r\n\
                 Set-Cookie: a=1; Path=/inner; Domain=backend.internal; HttpOnly\r\nSet-Cookie: b=2; path=/inner/deep\r\nContent-Length: 0\r\n\r\n"
            ))
        })
        .await;
        let text = format!(
            "{}[[site.map]]\npath = \"/outer\"\nto = \"app/inner\"\n",
            site(backend.address, "require = [\"all granted\"]\nhttps = \"either\"")
        );
        let gate = Gate::start(&text);
        let own = format!("X-Own: {}\r\n", backend.address);
        let answer = ask_tls(gate.tls, get("/outer/x", &own)).await;
        assert_eq!(answer.header("location"), "https://app.test/outer/new?a=1#f");
        assert_eq!(answer.header("content-location"), "/outer/c");
        assert_eq!(answer.header("link"), "<https://app.test/outer/style.css>; rel=preload, <https://cdn.test/x>");
        assert_eq!(answer.header("refresh"), "5; url=https://app.test/outer/r");
        let cookies: Vec<String> = answer.headers("set-cookie").iter().map(|c| c.replace("; ", ";").to_lowercase()).collect();
        assert_eq!(cookies, ["a=1;path=/outer;httponly", "b=2;path=/outer/deep"]);
        let plain = ask(gate.plain, get("/outer/x", &own)).await;
        assert_eq!(plain.header("location"), "http://app.test/outer/new?a=1#f");
    });
}

#[test]
fn a_location_elsewhere_is_left_alone() {
    run(async {
        let backend =
            Backend::start(|_| raw("HTTP/1.1 302 Found\r\nLocation: https://login.elsewhere.test/inner/x\r\nContent-Length: 0\r\n\r\n"))
                .await;
        let gate = Gate::start(&open_site(backend.address, ""));
        assert_eq!(ask(gate.plain, get("/", "")).await.header("location"), "https://login.elsewhere.test/inner/x");
    });
}

#[test]
fn the_backend_is_told_address_host_and_scheme_by_the_gateway_alone() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let lies = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: gopher\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Host: a.b\r\n";
        ask_tls(gate.tls, get("/", lies)).await;
        let seen = &backend.requests()[0];
        for (name, value) in [
            ("host", "app.test"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "app.test"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-server", "portcullis"),
            ("forwarded", "for=127.0.0.1;host=\"app.test\";proto=https"),
            ("via", "1.1 portcullis"),
        ] {
            assert_eq!(seen.header(name), Some(value), "{name}");
        }
    });
}

#[test]
fn a_trusted_proxy_is_believed_about_the_client_and_only_as_far_as_it_vouches() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let text = format!("[forward]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.1.0.0/16\"]\n{}", open_site(backend.address, ""));
        let gate = Gate::start(&text);
        ask(gate.plain, get("/t", "X-Forwarded-For: 6.6.6.6, 198.51.100.7, 10.1.2.3\r\n")).await;
        assert_eq!(backend.requests()[0].header("x-forwarded-for"), Some("6.6.6.6, 198.51.100.7, 10.1.2.3, 127.0.0.1"));
        let record = gate.record("/t").await;
        assert_eq!((&record["source"]["ip"], &record["source"]["peer_ip"]), (&"198.51.100.7".into(), &"127.0.0.1".into()));
    });
}

#[test]
fn the_backends_own_name_is_sent_as_host_where_the_map_says_so() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, "host = \"backend\""));
        ask(gate.plain, get("/", "")).await;
        assert_eq!(backend.requests()[0].header("host"), Some(&*backend.address.to_string()));
        assert_eq!(backend.requests()[0].header("x-forwarded-host"), Some("app.test"));
    });
}

#[test]
fn our_own_name_in_via_is_a_loop_also_when_it_really_is_one() {
    run(async {
        let placeholder = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let gate = Gate::start(&open_site(placeholder, ""));
        assert_eq!(ask(gate.plain, get("/v", "Via: 1.1 portcullis\r\n")).await.status, 508);
        // Its backend is itself.
        gate.reload(&open_site(gate.plain, "mask = { error_override = false }")).unwrap();
        assert_eq!(ask(gate.plain, get("/l", "")).await.status, 508);
        assert_eq!(gate.records_of("/l", 2).await.iter().filter(|r| r["decision"]["reason"] == "loop").count(), 1);
    });
}
