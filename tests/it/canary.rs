//! Planted passwords: nothing that the process writes may hold one, wherever they were put into requests.

use crate::program::{Program, portcullis, until};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

/// Begins every secret.
const CANARY: &str = "Zx9Canary";

const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|REQUEST_HEADERS|REQUEST_BODY "@contains Zx9Canary" "id:2,phase:2,pass,log,capture,msg:'seen %{MATCHED_VAR}',logdata:'%{MATCHED_VAR_NAME}: %{TX.0}'"
SecRule ARGS:remark "@contains Zx9Canary" "id:3,phase:2,pass,log,msg:'sanitised',sanitiseArg:remark"
SecRule ARGS:free "@contains Zx9Canary" "id:4,phase:2,pass,log,msg:'sanitised',sanitiseMatched"
"#;

fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 16 * 1024];
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
                let _ = stream.read(&mut buffer);
            });
        }
    });
    address
}

fn policy(backend: SocketAddr) -> String {
    format!(
        r#"[[listener]]
address = "127.0.0.1:0"
tls = false
[admin]
address = "127.0.0.1:0"
[log]
level = "trace"
[auth]
users = "htpasswd"
dangerously_allow_basic_over_http = true
[audit]
directory = "audit"
spill_directory = "spill"
redact_parameters = ["memo"]
redact_headers = ["x-memo"]
redact_json_paths = ["user.memos[*].text"]
flood_records_per_second = 1
[inspection]
mode = "detect"
rules = ["rules.conf"]
[[backend]]
name = "app"
members = ["http://{backend}"]
[[site]]
names = ["app.test"]
https = "either"
[site.account_requests]
requests_per_address_per_hour = 1
[[site.map]]
path = "/"
to = "app/"
require = ["valid-user"]
[[site.map]]
path = "/open"
to = "app"
require = ["all granted"]
"#
    )
}

/// Requests with a secret each, as heads and bodies.
fn requests() -> Vec<String> {
    use base64::Engine as _;
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let mut out = Vec::new();
    let mut get = |target: &str, headers: &str| {
        out.push(format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n{headers}Connection: close\r\n\r\n"));
    };
    let secret = |n: u32| format!("{CANARY}{n}");
    get("/", &format!("Authorization: Basic {}\r\n", encode(format!("alice:{}", secret(1)))));
    get("/", &format!("Authorization: Basic {}\r\n", encode(format!("{}:x", secret(2)))));
    get("/", &format!("Authorization: Basic {}\r\n", secret(3)));
    get("/", &format!("Authorization: Bearer {}\r\n", secret(4)));
    get("/open", &format!("Authorization: NTLM {}\r\n", secret(5)));
    get("/open", &format!("Proxy-Authorization: Basic {}\r\n", encode(secret(6))));
    get("/open", &format!("Cookie: sid={}; theme={}\r\n", secret(7), secret(8)));
    get("/open", &format!("X-Memo: {}\r\n", secret(9)));
    get("/open", &format!("X-Api-Key: {}\r\n", secret(10)));
    get("/open", &format!("Referer: https://x/?password={}\r\n", secret(11)));
    for name in ["password", "pass%77ord", "new_password", "memo", "user[pwd]", "access_token", "remark", "free"] {
        get(&format!("/open?a=1&{name}={}&b=2", secret(12)), "");
    }
    get(&format!("/open?next=%2Flogin%3Fpassword%3D{}", secret(13)), "");
    get(&format!("/missing?password={}", secret(14)), "");
    // More refusals than are written one by one.
    for n in 0..40 {
        get(&format!("/?password={}", secret(100 + n)), "");
        get("/", &format!("Authorization: Basic {}\r\n", encode(format!("alice:{}", secret(200 + n)))));
    }
    let mut post = |kind: &str, body: String| {
        out.push(format!(
            "POST /open HTTP/1.1\r\nHost: app.test\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ));
    };
    post("application/x-www-form-urlencoded", format!("user=ann&password={}", secret(15)));
    post("application/x-www-form-urlencoded", format!("remark={}", secret(16)));
    post("application/json", format!(r#"{{"user":{{"memos":[{{"text":"{}"}}]}}}}"#, secret(17)));
    post("application/json", format!(r#"{{"client_secret":"{}"}}"#, secret(18)));
    // Passwords of people who ask for an account: without a token, and in [`account_forms`] with one.
    out.push(account_form("", "", &format!("token=x&name=Ann&user=ann&password={0}&password_again={0}", secret(19))));
    out
}

fn account_form(headers: &str, token: &str, form: &str) -> String {
    let body = format!("token={token}&{form}");
    format!(
        "POST /.portcullis/account HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/x-www-form-urlencoded\r\n{headers}\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The page's form sent back: with a mistake, without one, and once too often.
fn account_forms(page: &str) -> Vec<String> {
    let cookie = page.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_else(|| panic!("no cookie: {page}"));
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    let at = page.find("name=\"token\" value=\"").unwrap();
    let token = page[at..].split('"').nth(3).unwrap();
    [20, 21, 22]
        .map(|n| {
            let again = if n == 20 { "another" } else { "" };
            account_form(&cookie, token, &format!("name=Ann&user=ann&password={CANARY}+and+{n}&password_again={CANARY}+and+{n}{again}"))
        })
        .into()
}

/// Every file below a folder that holds the canary, with the place.
fn holders(folder: &Path, out: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holders(&path, out);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for line in bytes.split(|b| *b == b'\n').map(String::from_utf8_lossy).filter(|_| name != "rules.conf") {
            if line.to_lowercase().contains(&CANARY.to_lowercase()) {
                out.push(format!("{}: {line}", path.display()));
            }
        }
    }
}

#[test]
fn planted_passwords_are_in_nothing_that_is_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("htpasswd"), "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").unwrap();
    fs::write(folder.path().join("rules.conf"), RULES).unwrap();
    fs::write(folder.path().join("gateway.toml"), policy(backend())).unwrap();
    let mut program = Program::start(folder.path(), &["run", "-c", "gateway.toml"]);
    program.says("listening on http://");
    program.says("admin listener on http://");
    let said = program.stderr();
    let address = |before: &str| -> SocketAddr {
        let at = said.find(before).unwrap_or_else(|| panic!("{before} in {said}")) + before.len();
        said[at..].split_whitespace().next().unwrap().parse().unwrap()
    };
    let (public, admin) = (address("listening on http://"), address("admin listener on http://"));
    let mut answers = String::new();
    let requests = requests();
    let ask = |address: SocketAddr, request: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    for request in &requests {
        answers += &ask(public, request);
    }
    let page = ask(public, "GET /.portcullis/account HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n");
    let forms = account_forms(&page);
    let statuses: Vec<String> =
        forms.iter().map(|form| ask(public, form)).inspect(|answer| answers += answer).map(|a| a[9..12].to_owned()).collect();
    assert_eq!(statuses, ["422", "303", "429"]);
    let waiting = portcullis(folder.path(), &["auth", "requests", "-c", "gateway.toml"], "");
    assert!(waiting.code == 0 && waiting.stdout.contains("ann"), "{}{}", waiting.stdout, waiting.stderr);
    answers += &waiting.stdout;
    let asked = requests.len() + 1 + forms.len();
    for path in ["/metrics", "/healthz", "/readyz"] {
        answers += &ask(admin, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    }
    assert!(answers.matches("HTTP/1.1").count() >= requests.len(), "{answers}");
    program.signal(rustix::process::Signal::TERM);
    program.ended(Duration::from_secs(40));
    let mut found = Vec::new();
    holders(folder.path(), &mut found);
    for (what, text) in [("an answer", &answers), ("the log", &program.stderr()), ("standard output", &program.stdout())] {
        if let Some(at) = text.find(CANARY) {
            found.push(format!("{what}: {}", &text[at.saturating_sub(200)..(at + 40).min(text.len())]));
        }
    }
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
    // And it is all there: each request is recorded, or counted in a flood.
    let verified = until(|| {
        let ended = portcullis(folder.path(), &["audit", "verify", "-c", "gateway.toml", "--format", "json"], "");
        serde_json::from_str::<serde_json::Value>(&ended.stdout).map_err(|e| format!("{e}: {} {}", ended.stdout, ended.stderr))
    });
    let count = |name: &str| verified[name].as_u64().unwrap();
    assert_eq!(verified["whole"], true, "{verified}");
    assert_eq!(count("requests") + count("merged"), asked as u64, "{verified}");
    assert!(count("merged") > 0 && count("lost") == 0, "{verified}");
    let rules: String =
        fs::read_dir(folder.path().join("audit")).unwrap().map(|e| fs::read_to_string(e.unwrap().path()).unwrap()).collect();
    for id in 2..=4 {
        assert!(rules.contains(&format!("\"id\":{id},")), "rule {id} saw nothing");
    }
}
