//! Password files and `require` beside Apache's own `htpasswd` and a real Apache. Skipped where they are not installed.

use crate::apache::{Apache, installed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Version};
use portcullis::audit::Record;
use portcullis::clock::Moment;
use portcullis::head::{AUTHORIZATION, Headers, Value};
use portcullis::identity::{htpasswd, password};
use portcullis::layers::basic_auth::BasicAuth;
use portcullis::message::{Body, EventId, Peer, Request};
use portcullis::policy;
use portcullis::refusal::Refusal;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Runs `htpasswd` with the password on standard input.
fn htpasswd_with(arguments: &[&str], password: &str) -> std::process::Output {
    let mut child = Command::new("htpasswd")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("htpasswd starts");
    child.stdin.take().expect("a pipe").write_all(password.as_bytes()).expect("htpasswd reads");
    child.wait_with_output().expect("htpasswd ends")
}

/// Every scheme that `htpasswd` writes: with its options, and whether we accept it as it is and with DES allowed.
const SCHEMES: &[(&[&str], bool, bool)] = &[
    (&["-B", "-C", "5"], true, true),
    (&["-m"], true, true),
    (&["-s"], true, true),
    (&["-2"], true, true),
    (&["-2", "-r", "1000"], true, true),
    (&["-5"], true, true),
    (&["-5", "-r", "20000"], true, true),
    (&["-d"], false, true),
    (&["-p"], false, false),
];

/// Right passwords, each with others to be tried.
const PASSWORDS: &[(&str, &[&str])] = &[
    ("password", &["password ", "passwor", "Password", "passwordpassword"]),
    ("with:colon: and spaces", &["with", "with:colon"]),
    ("grüße-ключ-鍵", &["gru\u{308}ße-ключ-鍵", "grusse"]),
    ("0123456789012345678901234567890123456789012345678901234567890123456789X", &["0123456789"]),
    ("a", &["b", "aa"]),
];

#[test]
fn every_scheme_that_htpasswd_writes_gets_its_own_verdict() {
    if !installed("htpasswd") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("htpasswd").display().to_string();
    for (options, plain, with_des) in SCHEMES {
        for (right, others) in PASSWORDS {
            let written = htpasswd_with(&[&["-c", "-i"], *options, &[&file, "alice"]].concat(), right);
            if !written.status.success() {
                // Some htpasswd refuse long passwords for -d.
                assert!(options.contains(&"-d"), "{options:?}: {}", String::from_utf8_lossy(&written.stderr));
                continue;
            }
            let path = Path::new(&file);
            assert_eq!(htpasswd::load(path, false).is_ok(), *plain, "{options:?}");
            let Ok((users, told)) = htpasswd::load(path, true) else {
                assert!(!with_des, "{options:?}");
                continue;
            };
            assert!(*with_des && told.is_empty(), "{options:?} {told:?}");
            let alice = users.get("alice").expect("alice");
            for tried in others.iter().chain([right]) {
                let theirs = htpasswd_with(&["-v", "-i", &file, "alice"], tried).status.success();
                let ours = password::verify(tried.as_bytes(), &alice.hash);
                assert_eq!(ours, theirs, "{options:?}: {tried:?} against {right:?}");
            }
            assert!(password::verify(right.as_bytes(), &alice.hash), "{options:?}: {right:?}");
        }
    }
}

const USERS: &str = "# staff\nalice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nbob:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\n\
                     carol:$2y$05$nC6nErr9XZJuMJ57WyCob.EuZEjylDt2KaHfbfOtyb.EgL1I2jCVa\nalice:$apr1$7/CTEZag$omWmIgXPJYoxB3joyuq4S/\n";
const GROUPS: &str = "staff: alice\nadmins: carol\nstaff: carol\n";

/// `Authorization` headers that every `require` is asked with.
fn logins() -> Vec<Option<String>> {
    let basic = |login: &str| Some(format!("Basic {}", STANDARD.encode(login)));
    let mut all: Vec<_> = [
        "alice:password",
        "alice:zaq1@WSX",
        "bob:password",
        "bob:",
        "carol:password",
        "carol:password2",
        "nobody:password",
        "ALICE:password",
    ]
    .map(basic)
    .into();
    all.push(None);
    all.push(Some(format!("bAsIc {}", STANDARD.encode("alice:password"))));
    all.push(Some("Bearer abcdef".into()));
    all
}

fn cases() -> Vec<(&'static str, String, &'static str)> {
    let text = include_str!("../auth/require.txt");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("##"));
    lines
        .map(|line| {
            let fields: Vec<_> = line.split('\t').collect();
            (fields[0], fields[1].replace("\\n", "\n"), fields[2])
        })
        .collect()
}

#[tokio::test]
async fn a_real_apache_with_the_same_files_gives_the_same_verdicts() {
    if !installed("/usr/sbin/apache2") {
        return;
    }
    let locations: Vec<_> = cases().into_iter().map(|(name, apache, _)| (format!("/{name}"), apache)).collect();
    let apache = Apache::start(USERS, GROUPS, &locations);
    for (name, _, toml) in cases() {
        let ours = Ours::new(toml);
        for login in logins() {
            let theirs = apache.status(&format!("/{name}"), login.as_deref());
            // A file that exists is 200, and what may come in but is not there is 404: both mean that it was let in.
            let theirs = if theirs == 404 { 200 } else { theirs };
            assert_eq!(ours.status(login.as_deref()).await, theirs, "{name} with {login:?}");
        }
    }
}

/// Layer 1 over the same files, with Apache's 401 for users who are not allowed.
struct Ours {
    _folder: tempfile::TempDir,
    policy: policy::Policy,
    layer: BasicAuth,
}

impl Ours {
    fn new(require: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        write("htpasswd", USERS);
        write("groups", GROUPS);
        write(
            "gateway.toml",
            &format!(
                "[[listener]]\naddress = \"127.0.0.1:8080\"\ntls = false\n[audit]\ndirectory = \"audit\"\n[auth]\nusers = \"htpasswd\"\n\
                 groups = \"groups\"\nchallenge_forbidden = true\nfailures_before_backoff = 1000\nunauthenticated_per_minute = 1000\n\
                 dangerously_allow_basic_over_http = true\n[inspection]\nmode = \"off\"\n[[backend]]\nname = \"app\"\nmembers = [\"http://127.0.0.1:1\"]\n\
                 [[site]]\nnames = [\"localhost\"]\nhttps = \"either\"\nrequire = {require}\n[[site.map]]\npath = \"/\"\nto = \"app/\"\n"
            ),
        );
        let told = |told: Vec<portcullis::diagnostic::Diagnostic>| told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let (policy, _) = policy::load(&folder.path().join("gateway.toml")).unwrap_or_else(|d| panic!("{}", told(d)));
        let (layer, _) = BasicAuth::new(&policy).unwrap_or_else(|d| panic!("{}", told(d)));
        Self { _folder: folder, policy, layer }
    }

    async fn status(&self, login: Option<&str>) -> u16 {
        let here = "127.0.0.1:1".parse().expect("an address");
        let peer = Arc::new(Peer::new(here, here, 1));
        let received = Moment::now();
        let mut headers = Headers::new();
        if let Some(login) = login {
            headers.append(&AUTHORIZATION, Value::new(login.as_bytes()).expect("a header"));
        }
        let mut request = Request {
            id: EventId::new(received, 1),
            received,
            peer: Arc::clone(&peer),
            version: Version::HTTP_11,
            method: Method::GET,
            raw: Arc::default(),
            target: "/".into(),
            authority: Some("localhost".into()),
            headers,
            body: Body::empty(),
            refusal: None,
            upgrade: None,
        };
        let mut record = Record::new(request.id, received, peer);
        match self.layer.admit(&self.policy.sites[0].maps[0], &mut request, here.ip(), &mut record).await {
            Ok(_) => 200,
            Err(Refusal::AddressNotAllowed) => 403,
            Err(Refusal::CredentialsMissing | Refusal::CredentialsWrong | Refusal::CredentialsMalformed | Refusal::NotAllowedChallenge) => {
                401
            }
            Err(other) => panic!("{other}"),
        }
    }
}
