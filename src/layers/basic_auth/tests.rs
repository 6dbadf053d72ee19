//! Layer 1's promises, over real policies and real files.

use super::*;
use crate::clock::Moment;
use crate::head::{AUTHORIZATION, CONNECTION, Name, OwnValue, Value, X_REMOTE_USER};
use crate::identity::Scheme;
use crate::message::{Body, EventId, Peer, TlsSession};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Version};
use std::path::PathBuf;
use std::time::Duration;

/// alice and bob have the password `password`, carol has it in bcrypt.
const USERS: &str = "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nbob:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\n\
                     carol:$2y$05$nC6nErr9XZJuMJ57WyCob.EuZEjylDt2KaHfbfOtyb.EgL1I2jCVa\n";
const GROUPS: &str = "staff: alice carol\nadmins: carol\n";

struct World {
    folder: tempfile::TempDir,
    policy: Policy,
    layer: BasicAuth,
}

fn load(folder: &std::path::Path, require: &str, auth: &str) -> Policy {
    let path = folder.join("gateway.toml");
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:8080\"\ntls = false\n[audit]\ndirectory = \"audit\"\n[auth]\nusers = \"htpasswd\"\ngroups = \"groups\"\n\
         dangerously_allow_basic_over_http = true\n{auth}\n[inspection]\nmode = \"off\"\n[[backend]]\nname = \"app\"\nmembers = [\"http://127.0.0.1:8081\"]\n\
         [[site]]\nnames = [\"app.example\"]\nrequire = {require}\nhttps = \"either\"\n[[site.map]]\npath = \"/\"\nto = \"app/\"\n"
    );
    std::fs::write(&path, text).unwrap();
    match crate::policy::load(&path) {
        Ok((policy, _)) => policy,
        Err(told) => panic!("{}", told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

impl World {
    fn new(require: &str, auth: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("htpasswd"), USERS).unwrap();
        std::fs::write(folder.path().join("groups"), GROUPS).unwrap();
        let policy = load(folder.path(), require, auth);
        let (layer, _) = BasicAuth::new(&policy).unwrap();
        Self { folder, policy, layer }
    }

    fn map(&self) -> &Map {
        &self.policy.sites[0].maps[0]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn ask(&self, request: &mut Request, from: &str) -> (Result<Caller, Refusal>, Record) {
        let mut record = Record::new(request.id, request.received, Arc::clone(&request.peer));
        let answer = self.layer.admit(self.map(), request, from.parse().unwrap(), &mut record).await;
        (answer, record)
    }

    async fn login(&self, login: &str, from: &str) -> (Result<Caller, Refusal>, Record) {
        self.ask(&mut request(Some(login)), from).await
    }
}

fn request(login: Option<&str>) -> Request {
    let peer =
        Peer { tls: Some(TlsSession::default()), ..Peer::new("192.0.2.1:1000".parse().unwrap(), "198.51.100.1:443".parse().unwrap(), 1) };
    let received = Moment::now();
    let mut headers = Headers::new();
    if let Some(login) = login {
        headers.append(&AUTHORIZATION, OwnValue::new(format!("Basic {}", STANDARD.encode(login))).unwrap().get());
    }
    Request {
        id: EventId::new(received, 1),
        received,
        peer: Arc::new(peer),
        version: Version::HTTP_11,
        method: Method::GET,
        raw: Arc::default(),
        target: "/".into(),
        authority: Some("app.example".into()),
        headers,
        body: Body::empty(),
        refusal: None,
        upgrade: None,
    }
}

fn with(method: Method, headers: &[(&'static str, &'static str)]) -> Request {
    let mut made = request(None);
    made.method = method;
    for (name, value) in headers {
        made.headers.append(&Name::new(name.as_bytes()).unwrap(), Value::from_static(value));
    }
    made
}

const HERE: &str = "192.0.2.1";

#[tokio::test]
async fn a_right_password_is_hashed_once_and_then_known() {
    let world = World::new("[\"valid-user\"]", "");
    for user in ["alice", "bob", "carol"] {
        let (caller, record) = world.login(&format!("{user}:password"), HERE).await;
        let caller = caller.unwrap();
        assert_eq!(caller.user.as_deref(), Some(user));
        assert!(caller.consumed);
        assert_eq!((record.auth.result, record.auth.known), ("proven", true));
        assert!(record.auth.hash_micros.is_some());
        let (again, record) = world.login(&format!("{user}:password"), "203.0.113.9").await;
        again.unwrap();
        assert_eq!((record.auth.result, record.auth.hash_micros), ("cached", None));
    }
}

#[tokio::test]
async fn wrong_missing_and_malformed_credentials_are_challenged_and_told_apart_in_the_record_only() {
    let world = World::new("[\"valid-user\"]", "");
    let (answer, record) = world.login("alice:wrong", HERE).await;
    assert_eq!(answer.unwrap_err(), Refusal::CredentialsWrong);
    assert_eq!((record.auth.result, record.auth.known), ("wrong", true));
    let (answer, record) = world.login("nobody:password", HERE).await;
    assert_eq!(answer.unwrap_err(), Refusal::CredentialsWrong);
    assert_eq!((record.auth.result, record.auth.known), ("unknown_user", false));
    let (answer, record) = world.ask(&mut request(None), HERE).await;
    assert_eq!(answer.unwrap_err(), Refusal::CredentialsMissing);
    assert_eq!(record.auth.result, "none");
    let (answer, record) = world.ask(&mut with(Method::GET, &[("authorization", "Bearer x")]), HERE).await;
    assert_eq!(answer.unwrap_err(), Refusal::CredentialsMalformed);
    assert_eq!(record.auth.result, "malformed");
}

#[tokio::test]
async fn a_failure_costs_the_same_hashes_whoever_was_named() {
    let world = World::new("[\"valid-user\"]", "failures_before_backoff = 1000");
    for (at, user) in ["nobody", "alice", "bob", "carol"].iter().enumerate() {
        let (answer, _) = world.login(&format!("{user}:wrong"), &format!("192.0.2.{}", at + 1)).await;
        assert_eq!(answer.unwrap_err(), Refusal::CredentialsWrong);
    }
    let mut paid = world.layer.keeper.pool.paid();
    paid.iter_mut().for_each(|hashes| hashes.sort_by_key(|(scheme, cost)| (scheme.name(), *cost)));
    let one_of_each_kind = [(Scheme::Apr1, 200), (Scheme::Bcrypt, 80 << 5), (Scheme::Sha1, 1)];
    assert_eq!(paid, [one_of_each_kind; 4], "nobody, alice ({{SHA}}), bob (apr1), carol (bcrypt)");
    // A right password pays for its own hash alone, and once.
    for _ in 0..2 {
        world.login("alice:password", HERE).await.0.unwrap();
    }
    assert_eq!(world.layer.keeper.pool.paid()[4..], [[(Scheme::Sha1, 1)]]);
}

#[tokio::test]
async fn require_decides_who_may_stay_and_a_switch_gives_apaches_401() {
    let world = World::new("[\"group admins\", \"user bob\"]", "");
    let (caller, record) = world.login("carol:password", HERE).await;
    assert_eq!(*caller.unwrap().groups, ["staff", "admins"]);
    assert_eq!(record.auth.groups, ["staff", "admins"]);
    world.login("bob:password", HERE).await.0.unwrap();
    assert_eq!(world.login("alice:password", HERE).await.0.unwrap_err(), Refusal::NotAllowed);
    let apache = World::new("[\"group admins\"]", "challenge_forbidden = true");
    assert_eq!(apache.login("alice:password", HERE).await.0.unwrap_err(), Refusal::NotAllowedChallenge);
}

#[tokio::test]
async fn addresses_refuse_without_a_challenge_where_no_password_could_help() {
    let world = World::new("{ all = [\"ip 10.0.0.0/8\", \"valid-user\"] }", "");
    assert_eq!(world.login("alice:password", HERE).await.0.unwrap_err(), Refusal::AddressNotAllowed);
    assert_eq!(world.ask(&mut request(None), "10.1.1.1").await.0.unwrap_err(), Refusal::CredentialsMissing);
    world.login("alice:password", "::ffff:10.1.1.1").await.0.unwrap();
    let denied = World::new("[\"all denied\"]", "");
    assert_eq!(denied.login("alice:password", HERE).await.0.unwrap_err(), Refusal::AddressNotAllowed);
}

#[tokio::test]
async fn an_open_map_passes_authorization_on_and_still_removes_identity_headers() {
    let world = World::new("[\"all granted\"]", "");
    let mut asked = with(Method::GET, &[("authorization", "Bearer token"), ("x-remote-user", "root"), ("x_remote_groups", "wheel")]);
    let caller = world.ask(&mut asked, HERE).await.0.unwrap();
    assert!(!caller.consumed && caller.user.is_none());
    assert_eq!(asked.headers.len(), 1);
    assert_eq!(asked.headers.get(&AUTHORIZATION).unwrap(), "Bearer token");
}

#[tokio::test]
async fn the_backend_sees_who_it_is_and_never_the_password() {
    let world = World::new("[\"valid-user\"]", "");
    let mut asked = request(Some("carol:password"));
    asked.headers.append(&X_REMOTE_USER, Value::from_static("root"));
    asked.headers.append(&CONNECTION, Value::from_static("x-remote-user"));
    world.ask(&mut asked, HERE).await.0.unwrap();
    let got: Vec<_> = asked.headers.iter().map(|(n, v)| (n, v.text().unwrap())).collect();
    assert_eq!(got, [("x-remote-user", "carol"), ("x-remote-groups", "staff,admins")]);

    let pass = World::new("[\"valid-user\"]", "authorization = \"pass\"");
    let mut asked = request(Some("alice:password"));
    pass.ask(&mut asked, HERE).await.0.unwrap();
    assert!(asked.headers.contains(&AUTHORIZATION));
}

#[test]
fn replaced_credentials_go_to_the_backend_instead_of_the_clients() {
    let mut headers = request(Some("alice:password")).headers;
    let caller = Caller { consumed: true, ..anonymous("192.0.2.1".parse().unwrap(), false) };
    headers::set_outgoing(&mut headers, &caller, &crate::policy::Authorization::Replace("Basic b3duOm93bg==".into()));
    assert_eq!(headers.get_all(&AUTHORIZATION).collect::<Vec<_>>(), ["Basic b3duOm93bg=="]);
}

#[tokio::test]
async fn back_off_holds_the_pair_and_never_what_is_proven() {
    let world = World::new("[\"valid-user\"]", "failures_before_backoff = 3");
    world.login("carol:password", HERE).await.0.unwrap();
    for i in 0..3 {
        assert_eq!(world.login(&format!("carol:wrong{i}"), HERE).await.0.unwrap_err(), Refusal::CredentialsWrong);
    }
    let (answer, record) = world.login("carol:another", HERE).await;
    assert!(matches!(answer, Err(Refusal::LoginBackoff { retry_after_seconds: 1.. })));
    assert_eq!(record.auth.result, "backoff");
    // The same user with the proven password, here and elsewhere; another user here.
    world.login("carol:password", HERE).await.0.unwrap();
    world.login("carol:password", "203.0.113.7").await.0.unwrap();
    world.login("alice:password", HERE).await.0.unwrap();
    // Unknown users are held alike, or the difference would name the known ones.
    for i in 0..3 {
        let _ = world.login(&format!("nobody:wrong{i}"), HERE).await;
    }
    assert!(matches!(world.login("nobody:x", HERE).await.0, Err(Refusal::LoginBackoff { .. })));
}

#[tokio::test]
async fn a_worker_gets_in_while_a_stranger_guesses_from_everywhere() {
    let world = World::new("[\"valid-user\"]", "failures_before_backoff = 1");
    for i in 0..30 {
        world.layer.keeper.backoff.failed(b"carol", IpAddr::from([198, 51, 100, i]), 1, Duration::from_secs(300), Instant::now());
    }
    let (answer, record) = world.login("carol:password", HERE).await;
    answer.unwrap();
    assert!(record.auth.hash_micros.unwrap() >= 1_900_000, "the guess was not slowed");
    assert_eq!(world.login("carol:password", HERE).await.1.auth.result, "cached");
}

#[tokio::test]
async fn one_page_load_with_a_stale_password_is_one_failure() {
    let world = World::new("[\"valid-user\"]", "failures_before_backoff = 3");
    let attempts = futures_util::future::join_all((0..20).map(|_| world.login("carol:stale", HERE))).await;
    assert!(attempts.iter().all(|(answer, _)| matches!(answer, Err(Refusal::CredentialsWrong))));
    world.login("carol:password", HERE).await.0.unwrap();
}

#[tokio::test]
async fn requests_without_credentials_are_bounded_per_address() {
    let world = World::new("[\"valid-user\"]", "unauthenticated_per_minute = 3");
    for _ in 0..3 {
        assert_eq!(world.ask(&mut request(None), HERE).await.0.unwrap_err(), Refusal::CredentialsMissing);
    }
    assert!(matches!(world.ask(&mut request(None), HERE).await.0, Err(Refusal::UnauthenticatedFlood { retry_after_seconds: 20 })));
    assert!(matches!(world.login("alice:wrong", HERE).await.0, Err(Refusal::UnauthenticatedFlood { .. })));
    assert_eq!(world.ask(&mut request(None), "192.0.2.2").await.0.unwrap_err(), Refusal::CredentialsMissing);
    world.login("alice:password", HERE).await.0.unwrap();
}

#[tokio::test]
async fn another_site_cannot_act_for_the_user_where_the_map_says_so() {
    let world = World::new("[\"all granted\"]", "refuse_cross_site = true\ncross_site_allow = [\"https://portal.example\"]");
    type Case = (Method, &'static [(&'static str, &'static str)], bool);
    let cases: &[Case] = &[
        (Method::GET, &[], true),
        (Method::GET, &[("sec-fetch-site", "cross-site")], false),
        (Method::GET, &[("sec-fetch-site", "same-origin")], true),
        (Method::GET, &[("origin", "https://evil.example")], true),
        (Method::POST, &[("origin", "https://evil.example")], false),
        (Method::POST, &[("origin", "null")], false),
        (Method::POST, &[("origin", "http://app.example")], false),
        (Method::POST, &[("origin", "https://app.example:8443")], false),
        (Method::POST, &[("origin", "https://app.example.evil.example")], false),
        (Method::POST, &[("origin", "https://app.example")], true),
        (Method::POST, &[("origin", "https://APP.example:443")], true),
        (Method::POST, &[("origin", "https://app.example"), ("origin", "https://evil.example")], false),
        (Method::POST, &[("origin", "https://portal.example"), ("sec-fetch-site", "cross-site")], true),
        (Method::POST, &[], true),
        (Method::GET, &[("upgrade", "websocket"), ("origin", "https://evil.example")], false),
        (Method::GET, &[("upgrade", "websocket"), ("origin", "https://app.example")], true),
    ];
    for (method, headers, allowed) in cases {
        let answer = world.ask(&mut with(method.clone(), headers), HERE).await.0;
        assert_eq!(answer.map(|_| ()).map_err(|r| assert_eq!(r, Refusal::CrossSite)).is_ok(), *allowed, "{method} {headers:?}");
    }
}

#[tokio::test]
async fn a_preflight_needs_no_login_and_nothing_else_passes_for_one() {
    let world = World::new("[\"valid-user\"]", "allow_preflight = true");
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    assert!(world.ask(&mut with(Method::OPTIONS, &preflight), HERE).await.0.unwrap().user.is_none());
    for other in [
        with(Method::GET, &preflight),
        with(Method::OPTIONS, &preflight[..1]),
        with(Method::OPTIONS, &preflight[1..]),
        with(Method::OPTIONS, &[preflight[0], preflight[1], ("authorization", "Bearer x")]),
    ] {
        assert!(world.ask(&mut { other }, HERE).await.0.is_err());
    }
    let closed = World::new("[\"valid-user\"]", "");
    assert_eq!(closed.ask(&mut with(Method::OPTIONS, &preflight), HERE).await.0.unwrap_err(), Refusal::CredentialsMissing);
}

#[tokio::test]
async fn a_backend_login_behind_ours_is_a_conflict() {
    let world = World::new("[\"valid-user\"]", "");
    let (caller, mut record) = world.login("alice:password", HERE).await;
    let caller = caller.unwrap();
    let answer = |status: u16, challenge: &'static str| {
        let mut response = Response::new(StatusCode::from_u16(status).unwrap());
        response.headers.append(&WWW_AUTHENTICATE, Value::from_static(challenge));
        response
    };
    let mut release = |caller: &Caller, mut response| world.layer.release(world.map(), caller, &mut response, &mut record);
    assert_eq!(release(&caller, answer(401, "Digest realm=\"a\", Basic realm=\"b\"")), Err(Refusal::BackendLoginConflict));
    assert_eq!(release(&caller, answer(401, "Bearer realm=\"Basic\"")), Ok(()));
    assert_eq!(release(&caller, answer(200, "Basic realm=\"b\"")), Ok(()));
    assert_eq!(release(&Caller { consumed: false, ..caller }, answer(401, "Basic realm=\"b\"")), Ok(()));
}

#[tokio::test]
async fn files_are_taken_over_when_they_change_and_broken_ones_are_told_once() {
    let world = World::new("[\"group staff\"]", "");
    let alice = world.login("alice:password", HERE).await.0.unwrap();
    let carol = world.login("carol:password", HERE).await.0.unwrap();
    assert!(world.layer.reload_files().is_empty());

    std::fs::write(world.path("htpasswd"), format!("{USERS}dave:plain\n")).unwrap();
    let changes = world.layer.reload_files();
    assert!(matches!(&changes[..], [FileChange::Broken { diagnostics, .. }] if diagnostics[0].place.unwrap().line == 4), "{changes:?}");
    assert!(world.layer.reload_files().is_empty());
    assert_eq!(world.login("alice:password", HERE).await.1.auth.result, "cached");
    assert!(world.layer.still_allowed(world.map(), &alice));

    // alice is removed, carol's line stays as it was.
    std::fs::write(world.path("htpasswd"), USERS.split_once('\n').unwrap().1).unwrap();
    assert!(matches!(&world.layer.reload_files()[..], [FileChange::Changed { count: 2, .. }]));
    assert_eq!(world.login("alice:password", HERE).await.0.unwrap_err(), Refusal::CredentialsWrong);
    assert!(!world.layer.still_allowed(world.map(), &alice));
    assert_eq!(world.login("carol:password", HERE).await.1.auth.result, "cached");
    assert!(world.layer.still_allowed(world.map(), &carol));

    // carol leaves the group.
    std::fs::write(world.path("groups"), "staff: alice\n").unwrap();
    assert_eq!(world.layer.reload_files().len(), 1);
    assert!(!world.layer.still_allowed(world.map(), &carol));
    assert_eq!(world.login("carol:password", HERE).await.0.unwrap_err(), Refusal::NotAllowed);

    // A missing file is a broken one.
    std::fs::remove_file(world.path("htpasswd")).unwrap();
    assert!(matches!(&world.layer.reload_files()[..], [FileChange::Broken { .. }]));
    assert_eq!(world.login("carol:password", HERE).await.1.auth.result, "cached");
}

#[tokio::test]
async fn a_changed_password_ends_the_old_one_at_once() {
    let world = World::new("[\"valid-user\"]", "");
    let alice = world.login("alice:password", HERE).await.0.unwrap();
    std::fs::write(world.path("htpasswd"), "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").unwrap();
    assert_eq!(world.layer.reload_files().len(), 1);
    assert_eq!(world.login("alice:password", HERE).await.0.unwrap_err(), Refusal::CredentialsWrong);
    world.login("alice:secret", HERE).await.0.unwrap();
    assert!(!world.layer.still_allowed(world.map(), &alice));
}

#[tokio::test]
async fn a_new_policy_keeps_proofs_and_back_off() {
    let world = World::new("[\"valid-user\"]", "failures_before_backoff = 1");
    world.login("alice:password", HERE).await.0.unwrap();
    let _ = world.login("bob:wrong", HERE).await;
    let (layer, _) = BasicAuth::following(&world.policy, &world.layer).unwrap();
    let world = World { layer, ..world };
    assert_eq!(world.login("alice:password", HERE).await.1.auth.result, "cached");
    assert!(matches!(world.login("bob:password", HERE).await.0, Err(Refusal::LoginBackoff { .. })));
}

#[test]
fn every_mistake_of_all_files_is_told_in_one_run() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("htpasswd"), "alice:plain\nbob\n").unwrap();
    std::fs::write(folder.path().join("groups"), "staff alice\n").unwrap();
    let policy = load(folder.path(), "[\"group staff\"]", "");
    let told = BasicAuth::new(&policy).unwrap_err();
    assert_eq!(told.iter().filter(|d| d.is_error()).count(), 3, "{told:?}");
    std::fs::write(folder.path().join("htpasswd"), USERS).unwrap();
    std::fs::write(folder.path().join("groups"), "admins: zoe\n").unwrap();
    let (_, warnings) = BasicAuth::new(&policy).unwrap();
    let told: Vec<_> = warnings.iter().map(|d| d.message.as_str()).collect();
    assert!(told.iter().any(|m| m.contains("zoe is not in")) && told.iter().any(|m| m.contains("the group staff")), "{told:?}");
}

#[tokio::test]
async fn a_proven_login_costs_no_hash() {
    let world = World::new("[\"valid-user\"]", "");
    world.login("carol:password", HERE).await.0.unwrap();
    for _ in 0..1000 {
        assert_eq!(world.login("carol:password", HERE).await.1.auth.result, "cached");
    }
    assert_eq!(world.layer.keeper.pool.paid().len(), 1);
}
