//! Integrated authentication end to end: whose backend connection is whose, what the switches of layer 2 remove.

use crate::backend::{Backend, Recorded, Script, Step, ok, raw, script};
use crate::gateway::{Answer, Client, Gate, ask, connect, connect_h2, connect_tls, get, open_site, run};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// A message of MS-NLMP section 2.2 as far as it matters here: signature, type, then whatever the test wants to carry.
fn message(kind: u32, carries: &str) -> String {
    STANDARD.encode([SIGNATURE, &kind.to_le_bytes(), carries.as_bytes()].concat())
}

fn read(text: &str) -> (u32, String) {
    let bytes = STANDARD.decode(text).unwrap();
    let rest = bytes.strip_prefix(SIGNATURE).unwrap();
    (u32::from_le_bytes(rest[..4].try_into().unwrap()), String::from_utf8(rest[4..].to_vec()).unwrap())
}

/// What such a server knows about one connection.
#[derive(Default)]
struct Known {
    nonce: Option<String>,
    user: Option<String>,
}

/// A server like IIS: its user is whoever did the handshake on the connection, and requests then need no header.
struct Server {
    scheme: &'static str,
    connections: Mutex<HashMap<usize, Known>>,
}

impl Server {
    fn new(scheme: &'static str) -> Self {
        Self { scheme, connections: Mutex::default() }
    }

    fn answer(&self, request: &Recorded) -> Script {
        let mut connections = self.connections.lock().unwrap();
        let known = connections.entry(request.connection).or_default();
        let offered = request.header("authorization").and_then(|v| v.strip_prefix(self.scheme)).map(|v| read(v.trim()));
        let challenge = match offered {
            Some((1, _)) => {
                let nonce = format!("nonce of connection {}", request.connection);
                known.user = None;
                let challenge = format!(" {}", message(2, &nonce));
                known.nonce = Some(nonce);
                challenge
            }
            Some((3, proof)) => {
                let (user, nonce) = proof.split_once('|').unwrap();
                // The proof holds for the connection whose nonce it answers, once.
                if known.nonce.take().as_deref() == Some(nonce) {
                    known.user = Some(user.to_owned());
                }
                String::new()
            }
            _ => String::new(),
        };
        match &known.user {
            Some(user) if request.head().starts_with("GET /bye") => {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{user}", user.len());
                script([Step::Send(answer.into_bytes()), Step::Close])
            }
            Some(user) => ok(user),
            None => raw(format!("HTTP/1.1 401 No\r\nContent-Length: 2\r\nWWW-Authenticate: {}{challenge}\r\n\r\nno", self.scheme)),
        }
    }
}

/// A client of one user on one connection.
struct User<S> {
    name: &'static str,
    scheme: &'static str,
    client: Client<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> User<S> {
    async fn send(&mut self, path: &str, credentials: Option<String>) -> Answer {
        let credentials = credentials.map_or_else(String::new, |c| format!("Authorization: {} {c}\r\n", self.scheme));
        let head = format!("GET {path} HTTP/1.1\r\nHost: app.test\r\nX-Sender: {}\r\n{credentials}\r\n", self.name);
        self.client.send(head).await;
        self.client.answer().await.unwrap()
    }

    /// Type 1; the server's nonce.
    async fn begin(&mut self) -> String {
        let answer = self.send("/begin", Some(message(1, ""))).await;
        assert_eq!(answer.status, 401);
        let challenge = answer.header("www-authenticate").strip_prefix(self.scheme).unwrap().trim();
        let (kind, nonce) = read(challenge);
        assert_eq!(kind, 2);
        nonce
    }

    /// Type 3.
    async fn prove(&mut self, nonce: &str) -> Answer {
        self.send("/prove", Some(message(3, &format!("{}|{nonce}", self.name)))).await
    }
}

async fn two_users<S>(gate: &Gate, backend: &Backend, scheme: &'static str, clients: [Client<S>; 2])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let [first, second] = clients;
    let (mut first, mut second) = (User { name: "first", scheme, client: first }, User { name: "second", scheme, client: second });
    // As browsers do it: without credentials first. Then both handshakes cross.
    for user in [&mut first, &mut second] {
        let answer = user.send("/without", None).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, scheme));
    }
    let (of_first, of_second) = (first.begin().await, second.begin().await);
    assert_ne!(of_first, of_second, "two clients in one backend connection");
    let answers = [first.prove(&of_first).await, second.prove(&of_second).await];
    assert_eq!(answers.each_ref().map(Answer::text), ["first", "second"]);
    for _ in 0..5 {
        assert_eq!(second.send("/page", None).await.text(), "second");
        assert_eq!(first.send("/page", None).await.text(), "first");
        // Strangers, often enough to meet every runtime thread, are nobody.
        assert_eq!(ask(gate.plain, get("/stranger", "X-Sender: stranger\r\n")).await.status, 401);
    }

    // Whoever has proven something on a connection is the only one who ever used it from the handshake on.
    let requests = backend.requests();
    for (sender, page) in [("first", "/begin"), ("second", "/begin")] {
        let own = requests.iter().find(|r| r.header("x-sender") == Some(sender) && r.head().contains(page)).unwrap();
        let on_it: Vec<&Recorded> = requests.iter().filter(|r| r.connection == own.connection).collect();
        assert_eq!(on_it.len(), 7, "{sender}: type 1, type 3 and five pages");
        assert!(on_it.iter().all(|r| r.header("x-sender") == Some(sender)), "{sender}: {on_it:?}");
        assert_eq!(own.number, 0, "a handshake begins on a connection that nobody has used");
    }

    // A connection that ends takes the login with it, and nobody inherits another's.
    assert_eq!(first.send("/bye", None).await.text(), "first");
    assert_eq!(first.send("/after", None).await.status, 401);
    assert_eq!(second.send("/page", None).await.text(), "second");
    let nonce = first.begin().await;
    assert_eq!(first.prove(&nonce).await.text(), "first");

    // With the client goes its backend connection: never into the pool.
    let open = backend.open();
    drop(first);
    backend.wait_for_open(open - 1).await;
    drop(second);
    backend.wait_for_open(open - 2).await;
}

#[test]
fn each_user_sees_only_their_own_identity_and_the_backend_connection_ends_with_the_client() {
    run(async {
        for (scheme, switch) in [("NTLM", "block_ntlm = false"), ("Negotiate", "block_negotiate = false")] {
            let server = Server::new(scheme);
            let backend = Backend::start(move |r| server.answer(r)).await;
            let gate = Gate::start(&open_site(backend.address, &format!("ntlm = {{ {switch} }}")));
            two_users(&gate, &backend, scheme, [connect(gate.plain).await, connect(gate.plain).await]).await;
            let http1 = ["h2", "http/1.1"];
            let clients = [connect_tls(gate.tls, "app.test", &http1).await, connect_tls(gate.tls, "app.test", &http1).await];
            over_tls(scheme, clients).await;
        }
    });
}

/// The same over TLS, where a client that would rather speak HTTP/2 is given HTTP/1.1.
async fn over_tls<S: AsyncRead + AsyncWrite + Unpin>(scheme: &'static str, clients: [Client<S>; 2]) {
    let [first, second] = clients;
    let (mut first, mut second) = (User { name: "first", scheme, client: first }, User { name: "second", scheme, client: second });
    let (of_first, of_second) = (first.begin().await, second.begin().await);
    // A proof for another's connection is worth nothing here.
    assert_eq!(first.prove(&of_second).await.status, 401);
    assert_ne!(of_first, of_second);
    assert_eq!(second.prove(&of_second).await.text(), "second");
    assert_eq!(first.send("/page", None).await.status, 401);
    assert_eq!(second.send("/page", None).await.text(), "second");
}

#[test]
fn one_scheme_let_through_does_not_let_the_other_through() {
    run(async {
        let backend = Backend::start(|_| {
            raw("HTTP/1.1 401 No\r\nContent-Length: 2\r\nWWW-Authenticate: Negotiate, NTLM, Basic realm=\"in\"\r\n\r\nno")
        })
        .await;
        let gate = Gate::start(&open_site(backend.address, "ntlm = { block_ntlm = false }"));
        let answer = ask(gate.plain, get("/answer", "")).await;
        assert_eq!(answer.headers("www-authenticate"), ["NTLM, Basic realm=\"in\""]);
        assert_eq!(gate.record("/answer").await["integrated_auth_removed"], serde_json::json!(["www-authenticate: Negotiate"]));
        let negotiate = format!("Authorization: Negotiate {}\r\n", message(1, ""));
        assert_eq!(ask(gate.plain, get("/request", &negotiate)).await.status, 403);
        assert_eq!(gate.record("/request").await["integrated_auth_removed"], serde_json::json!(["authorization: Negotiate"]));
        assert_eq!(backend.requests().len(), 1);
    });
}

#[test]
fn by_default_no_handshake_passes_in_either_direction_and_the_record_says_what_was_removed() {
    run(async {
        let backend = Backend::start(|_| {
            raw("HTTP/1.1 401 No\r\nContent-Length: 2\r\nWWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n\
                 WWW-Authenticate: Digest realm=\"d\", nonce=\"n\"\r\n\r\nno")
        })
        .await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let answer = ask(gate.plain, get("/answer", "")).await;
        assert_eq!((answer.status, answer.headers("www-authenticate")), (401, vec!["Digest realm=\"d\", nonce=\"n\""]));
        let removed = serde_json::json!(["www-authenticate: Negotiate", "www-authenticate: NTLM"]);
        assert_eq!(gate.record("/answer").await["integrated_auth_removed"], removed);
        for (path, scheme) in [("/ntlm", "NTLM"), ("/negotiate", "Negotiate")] {
            let credentials = format!("Authorization: {scheme} {}\r\n", message(1, ""));
            let answer = ask(gate.plain, get(path, &credentials)).await;
            // The map is open: there is no login of ours to offer instead.
            assert_eq!((answer.status, answer.header("www-authenticate")), (403, ""));
            assert_eq!(gate.decision(path).await, ["ntlm_block", "deny", "integrated_auth_offered"]);
            let record = gate.record(path).await;
            assert_eq!(record["integrated_auth_removed"], serde_json::json!([format!("authorization: {scheme}")]));
            assert!(!record.to_string().contains("TlRMTVNT"), "the message itself is a credential: {record}");
        }
        assert_eq!(backend.requests().len(), 1, "none of them reached the backend");
    });
}

fn h2_get(path: &str, credentials: Option<&str>) -> hyper::Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = hyper::Request::get(format!("https://app.test{path}"));
    if let Some(credentials) = credentials {
        request = request.header("authorization", credentials);
    }
    request.body(http_body_util::Full::default()).unwrap()
}

#[test]
fn a_site_that_lets_handshakes_through_offers_http1_alone_and_others_keep_http2() {
    run(async {
        let backend = Backend::start(|_| ok("in")).await;
        let other = "[[site]]\nnames = [\"other.test\"]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\nrequire = [\"all granted\"]\n\
                     [[site.map]]\npath = \"/\"\nto = \"app/\"\n";
        let policy = format!("{}\n{other}", open_site(backend.address, "ntlm = { block_negotiate = false }"));
        let gate = Gate::start(&policy);
        for (name, protocol) in [("app.test", &b"http/1.1"[..]), ("other.test", b"h2")] {
            let client = connect_tls(gate.tls, name, &["h2", "http/1.1"]).await;
            assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(protocol), "{name}");
        }
        // Both names stand in one certificate, so a browser may try the one on the connection of the other: 421 sends it back.
        let mut h2 = connect_h2(gate.tls, "other.test").await;
        assert_eq!(h2.send(h2_get("/coalesced", None)).await.0, 421);
        assert_eq!(gate.decision("/coalesced").await[2], "misdirected_tls");
        assert!(backend.requests().is_empty());
    });
}

#[test]
fn over_an_http2_connection_from_before_a_reload_handshakes_stay_out_and_the_record_says_why() {
    run(async {
        let backend =
            Backend::start(|_| raw("HTTP/1.1 401 No\r\nContent-Length: 2\r\nWWW-Authenticate: NTLM, Basic realm=\"in\"\r\n\r\nno")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        let mut h2 = connect_h2(gate.tls, "app.test").await;
        assert_eq!(h2.send(h2_get("/before", None)).await.0, 401);
        gate.reload(&open_site(backend.address, "ntlm = { block_ntlm = false, block_negotiate = false }")).unwrap();
        let (status, headers, _) = h2.send(h2_get("/challenge", None)).await;
        assert_eq!((status, headers["www-authenticate"].to_str().unwrap()), (401, "Basic realm=\"in\""));
        let credentials = format!("NTLM {}", message(1, ""));
        assert_eq!(h2.send(h2_get("/credentials", Some(&credentials))).await.0, 403);
        assert_eq!(gate.record("/before").await["notes"], serde_json::Value::Null);
        for path in ["/challenge", "/credentials"] {
            assert_eq!(gate.record(path).await["notes"], serde_json::json!(["integrated_needs_http1"]), "{path}");
        }
        assert_eq!(backend.requests().len(), 2);
        let client = connect_tls(gate.tls, "app.test", &["h2", "http/1.1"]).await;
        assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "connections after the reload");
    });
}
