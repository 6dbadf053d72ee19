//! Promises of the login and of the block of integrated logins.

use crate::backend::{Backend, ok, raw};
use crate::gateway::{ALICE, BOB, CAROL, Gate, WRONG, ask, get, open_site, run};

const NTLM: &str = "Authorization: NTLM TlRMTVNTUAABAAAAB4IIogAAAAAAAAAAAAAAAAAAAAAGAbEdAAAADw==\r\n";
const NEGOTIATE: &str = "Authorization: Negotiate YIIGhgYGKwYBBQUCoIIGejCCBnagMDAuBgkqhkiC9xIBAgIG\r\n";

#[test]
fn the_challenge_names_the_realm_and_the_character_set() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, "require = [\"valid-user\"]"));
        for (path, headers) in
            [("/none", ""), ("/wrong", WRONG), ("/odd", "Authorization: Basic !!!\r\n"), ("/bearer", "Authorization: Bearer x\r\n")]
        {
            let answer = ask(gate.plain, get(path, headers)).await;
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, "Basic realm=\"Example Inc.\", charset=\"UTF-8\""),
                "{path}"
            );
        }
        assert_eq!(gate.decision("/none").await, ["basic_auth", "challenge", "credentials_missing"]);
        assert_eq!(gate.decision("/wrong").await, ["basic_auth", "challenge", "credentials_wrong"]);
        assert!(backend.requests().is_empty());
    });
}

#[test]
fn users_of_the_group_come_in_and_others_are_403() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, "require = [\"group staff\", \"user dave\"]"));
        assert_eq!(ask(gate.plain, get("/alice", ALICE)).await.status, 200);
        assert_eq!(ask(gate.plain, get("/bob", BOB)).await.status, 200);
        let refused = ask(gate.plain, get("/carol", CAROL)).await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (403, ""));
        assert_eq!(gate.decision("/carol").await, ["basic_auth", "deny", "not_allowed"]);
        let record = gate.record("/alice").await;
        assert_eq!(record["user"]["name"], "alice");
        let seen = &backend.requests()[0];
        assert_eq!((seen.header("x-remote-user"), seen.header("x-remote-groups")), (Some("alice"), Some("staff,admins")));
        assert_eq!(seen.header("authorization"), None);
    });
}

#[test]
fn the_switch_gives_apaches_401_to_a_known_user_who_is_not_allowed() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, "require = [\"group staff\"]\nauth = { challenge_forbidden = true }"));
        let refused = ask(gate.plain, get("/carol", CAROL)).await;
        assert_eq!(refused.status, 401);
        assert!(refused.header("www-authenticate").starts_with("Basic "));
    });
}

#[test]
fn authorization_passes_where_nothing_consumed_it_and_where_the_map_says_so() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        ask(gate.plain, get("/", ALICE)).await;
        assert_eq!(backend.requests()[0].header("authorization"), Some("Basic YWxpY2U6c2VjcmV0"));
        let gate = Gate::start(&open_site(backend.address, "require = [\"valid-user\"]\nauth = { authorization = \"pass\" }"));
        ask(gate.plain, get("/", ALICE)).await;
        assert_eq!(backend.requests()[1].header("authorization"), Some("Basic YWxpY2U6c2VjcmV0"));
    });
}

#[test]
fn own_credentials_replace_the_clients() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let more = "require = [\"valid-user\"]\nauth = { authorization = \"replace\", replace_credentials_file = \"login\" }";
        let gate = Gate::start_with(&open_site(backend.address, more), &[("login", "service:topsecret\n")]);
        ask(gate.plain, get("/r", ALICE)).await;
        assert_eq!(backend.requests()[0].header("authorization"), Some("Basic c2VydmljZTp0b3BzZWNyZXQ="));
        assert!(!gate.record("/r").await.to_string().contains("c2VydmljZTp0b3BzZWNyZXQ"));
    });
}

#[test]
fn no_credential_stands_in_a_record() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, "require = [\"valid-user\"]"));
        ask(gate.plain, get("/s?password=hunter3&x=1", &format!("{ALICE}Cookie: sid=topsecret\r\nX-Api-Key: keysecret\r\n"))).await;
        ask(gate.plain, get("/s?x=2", "Authorization: Basic c3dvcmRmaXNoOnh5enp5\r\n")).await;
        let text = format!("{:?}", gate.records_of("/s", 2).await);
        for secret in ["hunter3", "topsecret", "keysecret", "YWxpY2U6c2VjcmV0", "c3dvcmRmaXNoOnh5enp5", "swordfish", "xyzzy"] {
            assert!(!text.contains(secret), "{secret} stands in {text}");
        }
    });
}

#[test]
fn guesses_lead_to_429_for_the_guesser_and_not_for_another_user() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, "require = [\"valid-user\"]\nauth = { failures_before_backoff = 2 }"));
        assert_eq!(ask(gate.plain, get("/first", ALICE)).await.status, 200);
        let mut last = None;
        for _ in 0..4 {
            last = Some(ask(gate.plain, get("/guess", WRONG)).await);
        }
        let last = last.unwrap();
        assert_eq!(last.status, 429);
        assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
        assert_eq!(ask(gate.plain, get("/bob", BOB)).await.status, 200);
    });
}

#[test]
fn a_removed_user_is_refused_once_the_file_was_read_anew_and_a_broken_file_changes_nothing() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, "require = [\"valid-user\"]"));
        assert_eq!(ask(gate.plain, get("/1", ALICE)).await.status, 200);
        let users = std::fs::read_to_string(gate.file("htpasswd")).unwrap();
        std::fs::write(gate.file("htpasswd"), "alice:broken\n:::\n").unwrap();
        gate.gateway().housekeeping();
        assert_eq!(ask(gate.plain, get("/2", ALICE)).await.status, 200, "a broken file was taken up");
        let without: String = users.lines().filter(|l| !l.starts_with("alice")).map(|l| format!("{l}\n")).collect();
        std::fs::write(gate.file("htpasswd"), without).unwrap();
        gate.gateway().housekeeping();
        assert_eq!(ask(gate.plain, get("/3", ALICE)).await.status, 401);
        assert_eq!(ask(gate.plain, get("/4", BOB)).await.status, 200);
    });
}

#[test]
fn cross_site_requests_are_refused_where_the_map_says_so_and_preflights_pass() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(
            backend.address,
            "require = [\"valid-user\"]\nauth = { refuse_cross_site = true, cross_site_allow = [\"https://friend.test\"], allow_preflight = true }",
        ));
        let post = |path: &str, headers: &str| {
            format!("POST {path} HTTP/1.1\r\nHost: app.test\r\n{ALICE}{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
        };
        let cross = "Sec-Fetch-Site: cross-site\r\nOrigin: https://foe.test\r\n";
        assert_eq!(ask(gate.plain, post("/foe", cross)).await.status, 403);
        assert_eq!(gate.decision("/foe").await, ["basic_auth", "deny", "cross_site"]);
        assert_eq!(ask(gate.plain, post("/friend", "Sec-Fetch-Site: cross-site\r\nOrigin: https://friend.test\r\n")).await.status, 200);
        assert_eq!(ask(gate.plain, post("/own", "Sec-Fetch-Site: same-origin\r\nOrigin: http://app.test\r\n")).await.status, 200);
        let preflight = "OPTIONS /p HTTP/1.1\r\nHost: app.test\r\nOrigin: https://friend.test\r\nAccess-Control-Request-Method: PUT\r\nConnection: close\r\n\r\n";
        assert_eq!(ask(gate.plain, preflight).await.status, 200);
    });
}

#[test]
fn integrated_credentials_are_refused_and_the_record_names_them() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&open_site(backend.address, "require = [\"valid-user\"]"));
        for (path, headers, scheme) in [("/ntlm", NTLM, "NTLM"), ("/negotiate", NEGOTIATE, "Negotiate")] {
            let answer = ask(gate.plain, get(path, headers)).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Basic realm=\"Example Inc.\", charset=\"UTF-8\""));
            let record = gate.record(path).await;
            assert_eq!(record["decision"]["reason"], "integrated_auth_offered");
            assert_eq!(record["integrated_auth_removed"][0], format!("authorization: {scheme}"));
        }
        let gate = Gate::start(&open_site(backend.address, ""));
        let answer = ask(gate.plain, get("/open", NTLM)).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (403, ""));
        assert_eq!(gate.decision("/open").await, ["ntlm_block", "deny", "integrated_auth_offered"]);
        assert!(backend.requests().is_empty());
    });
}

#[test]
fn integrated_challenges_are_removed_and_the_others_kept() {
    run(async {
        let challenges = "WWW-Authenticate: Negotiate, NTLM, Basic realm=\"a, NTLM b\"\r\nWWW-Authenticate: NTLM\r\n\
                          WWW-Authenticate: Digest realm=\"d\", nonce=\"n\", Bearer realm=\"b\"\r\nProxy-Authenticate: Negotiate\r\n";
        let answer = format!("HTTP/1.1 401 No\r\nContent-Length: 2\r\n{challenges}\r\nno");
        let backend = Backend::start(move |_| raw(&answer)).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let got = ask(gate.plain, get("/c", "")).await;
        assert_eq!(got.status, 401);
        assert_eq!(got.headers("www-authenticate"), ["Basic realm=\"a, NTLM b\"", "Digest realm=\"d\", nonce=\"n\", Bearer realm=\"b\""]);
        assert_eq!(got.header("proxy-authenticate"), "");
        assert_eq!(gate.record("/c").await["integrated_auth_removed"].as_array().unwrap().len(), 4);
    });
}

#[test]
fn a_401_left_without_a_challenge_is_502() {
    run(async {
        let backend = Backend::start(|_| raw("HTTP/1.1 401 No\r\nContent-Length: 2\r\nWWW-Authenticate: Negotiate, NTLM\r\n\r\nno")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        assert_eq!(ask(gate.plain, get("/l", "")).await.status, 502);
        assert_eq!(gate.record("/l").await["http"]["response"]["upstream_status_code"], 401);
    });
}

#[test]
fn a_backends_basic_challenge_behind_a_consumed_login_is_a_conflict() {
    run(async {
        let backend =
            Backend::start(|_| raw("HTTP/1.1 401 No\r\nContent-Length: 2\r\nWWW-Authenticate: Basic realm=\"inner\"\r\n\r\nno")).await;
        let gate = Gate::start(&open_site(backend.address, "require = [\"valid-user\"]"));
        let answer = ask(gate.plain, get("/b", ALICE)).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (502, ""));
        assert_eq!(gate.decision("/b").await[2], "backend_login_conflict");
    });
}

#[test]
fn where_the_switch_is_off_two_users_never_share_a_connection_that_carried_a_handshake() {
    run(async {
        // Who said NTLM on a connection is who it belongs to, as with IIS.
        let owners = std::sync::Mutex::new(std::collections::HashMap::new());
        let backend = Backend::start(move |r| {
            let mut owners = owners.lock().unwrap();
            if let Some(who) = r.header("authorization").and_then(|v| v.strip_prefix("NTLM ")) {
                owners.insert(r.connection, who.to_owned());
            }
            match owners.get(&r.connection) {
                Some(owner) => ok(owner),
                None => raw("HTTP/1.1 401 No\r\nContent-Length: 2\r\nWWW-Authenticate: NTLM\r\n\r\nno"),
            }
        })
        .await;
        let gate = Gate::start(&open_site(backend.address, "ntlm = { block_ntlm = false }"));
        let (mut first, mut second) = (crate::gateway::connect(gate.plain).await, crate::gateway::connect(gate.plain).await);
        let request = |headers: &str| format!("GET / HTTP/1.1\r\nHost: app.test\r\n{headers}\r\n");
        for (client, who) in [(&mut first, "Zmlyc3Q="), (&mut second, "c2Vjb25k")] {
            client.send(request(&format!("Authorization: NTLM {who}\r\n"))).await;
            assert_eq!(client.answer().await.unwrap().text(), who);
        }
        for _ in 0..5 {
            for (client, who) in [(&mut first, "Zmlyc3Q="), (&mut second, "c2Vjb25k")] {
                client.send(request("")).await;
                assert_eq!(client.answer().await.unwrap().text(), who);
            }
            // A stranger gets neither.
            assert_eq!(ask(gate.plain, get("/", "")).await.status, 401);
        }
    });
}
