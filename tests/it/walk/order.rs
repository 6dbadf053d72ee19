//! Neighbours of the stack: a request that is wrong in two ways is refused by the earlier layer.

use crate::backend::{Backend, ok};
use crate::gateway::{ALICE, BOB, CAROL, Gate, ask, get, open_site, run, site};

const ATTACK: &str = "?id=1'+UNION+SELECT+password+FROM+users--";
const NTLM: &str = "Authorization: NTLM TlRMTVNTUAABAAAAB4IIog==\r\n";
const BLOCK: &str = "[inspection]\nmode = \"block\"\n";

fn policy(address: std::net::SocketAddr, more: &str) -> String {
    format!("{BLOCK}{}", open_site(address, more))
}

#[test]
fn each_layer_refuses_before_the_next_one_looks() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let more = "require = [\"group staff\"]\nrate_limit = { requests = 1, burst = 1, period_seconds = 3600 }\nmethods = [\"GET\"]";
        let gate = Gate::start(&policy(backend.address, more));
        let send = async |name: &str, text: String| {
            let answer = ask(gate.plain, text).await;
            (answer.status, gate.decision(&format!("/{name}")).await)
        };
        let both = |layer: &str, action: &str, reason: &str| [layer, action, reason].map(str::to_owned);
        // wire before door: two Hosts, and neither is known
        let (status, decision) = send("wire", "GET /wire HTTP/1.1\r\nHost: no.test\r\nHost: no.test\r\n\r\n".into()).await;
        assert_eq!((status, decision), (400, both("wire", "deny", "bad_host")));
        // door before login: a method that is not allowed, by a stranger
        let (status, decision) =
            send("door", "PUT /door HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()).await;
        assert_eq!((status, decision), (405, both("door", "deny", "method_not_allowed")));
        // login before inspection: no credentials and an attack
        let (status, decision) = send("login", get(&format!("/login{ATTACK}"), "")).await;
        assert_eq!((status, decision), (401, both("basic_auth", "challenge", "credentials_missing")));
        // login before rate limit: strangers and the wrong group take nothing from the bucket, and are told 401 and 403
        for n in 0..3 {
            assert_eq!(send(&format!("group{n}"), get(&format!("/group{n}{ATTACK}"), CAROL)).await.0, 403);
        }
        // NTLM before rate limit and inspection: such a request takes nothing from the bucket
        let (status, decision) = send("ntlm", get(&format!("/ntlm{ATTACK}"), NTLM)).await;
        assert_eq!((status, decision[2].as_str()), (401, "integrated_auth_offered"));
        // rate limit before inspection: the second attack is over the rate
        let (status, decision) = send("attack", get(&format!("/attack{ATTACK}"), ALICE)).await;
        assert_eq!((status, decision), (403, both("inspection", "deny", "rule_denied")));
        let (status, decision) = send("rate", get(&format!("/rate{ATTACK}"), ALICE)).await;
        assert_eq!((status, decision), (429, both("rate_limit", "deny", "rate_limited")));
        // the bucket is the user's, not the address's
        assert_eq!(send("bob", get("/bob", BOB)).await.0, 200);
        assert_eq!(backend.requests().len(), 1);
    });
}

#[test]
fn integrated_credentials_on_an_open_map_are_refused_before_the_rate_limit_and_the_rules() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&policy(backend.address, "rate_limit = { requests = 1, burst = 1, period_seconds = 3600 }"));
        for n in 0..3 {
            assert_eq!(ask(gate.plain, get(&format!("/n{n}{ATTACK}"), NTLM)).await.status, 403);
            assert_eq!(gate.decision(&format!("/n{n}")).await, ["ntlm_block", "deny", "integrated_auth_offered"]);
        }
        assert_eq!(ask(gate.plain, get("/fine", "")).await.status, 200);
    });
}

#[test]
fn inspection_comes_before_forwarding() {
    run(async {
        // Nothing listens there: whoever is refused by a rule never finds out.
        let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let gate = Gate::start(&policy(dead, ""));
        assert_eq!(ask(gate.plain, get(&format!("/a{ATTACK}"), "")).await.status, 403);
        assert_eq!(ask(gate.plain, get("/b", "")).await.status, 502);
        assert_eq!(ask(gate.plain, get(&format!("/c{ATTACK}"), "Via: 1.1 portcullis\r\n")).await.status, 403);
    });
}

#[test]
fn a_path_that_does_not_exist_is_told_only_after_the_login() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let text = format!(
            "{}[[site.map]]\npath = \"/app\"\nto = \"app/app\"\n",
            site(backend.address, "require = [\"group staff\"]\nhttps = \"either\"")
        );
        let gate = Gate::start(&format!("{BLOCK}{text}"));
        assert_eq!(ask(gate.plain, get(&format!("/none{ATTACK}"), "")).await.status, 401);
        assert_eq!(ask(gate.plain, get(&format!("/none{ATTACK}"), CAROL)).await.status, 403);
        assert_eq!(ask(gate.plain, get(&format!("/none{ATTACK}"), ALICE)).await.status, 404);
    });
}

#[test]
fn over_the_rate_is_429_with_retry_after_and_in_log_mode_only_a_note() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, "rate_limit = { requests = 2, burst = 2, period_seconds = 60 }"));
        for _ in 0..2 {
            assert_eq!(ask(gate.plain, get("/r", "")).await.status, 200);
        }
        let refused = ask(gate.plain, get("/over", "")).await;
        assert_eq!(refused.status, 429);
        assert!((1..=60).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
        let gate =
            Gate::start(&open_site(backend.address, "rate_limit = { requests = 1, burst = 1, period_seconds = 60, mode = \"log\" }"));
        for path in ["/1", "/2"] {
            assert_eq!(ask(gate.plain, get(path, "")).await.status, 200);
        }
        assert!(gate.record("/1").await["rate_would_limit"].is_null());
        assert_eq!(gate.record("/2").await["rate_would_limit"], true);
    });
}
