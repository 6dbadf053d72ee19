//! The gateway between programs of others: real nginx and Apache behind it, curl, h2load and openssl before it.
//! These run only where `PORTCULLIS_DEEP=1` is set.
#![allow(clippy::print_stdout, reason = "a test says why it skips")]

use crate::gateway::{ALICE, Gate, ask, get, open_site, run, site};
use crate::tools::tool;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// No program of others runs longer.
const PROGRAM_TIMEOUT_SECONDS: &str = "40";

/// The programs asked for, or nothing, with a word on why, where the test is to be skipped.
fn tools<const N: usize>(names: [&str; N]) -> Option<[PathBuf; N]> {
    if std::env::var_os("PORTCULLIS_DEEP").is_none_or(|v| v != "1") {
        println!("skipped: PORTCULLIS_DEEP is not 1");
        return None;
    }
    let found: Vec<PathBuf> = names.iter().filter_map(|name| tool(name)).collect();
    found.try_into().ok()
}

/// A server of others with a folder of its own; killed when dropped.
struct Server {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // TERM lets a master take its workers along.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        for _ in 0..100 {
            if self.process.try_wait().is_ok_and(|s| s.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// Starts a server with `configure(folder, address)` as its file, and waits until it listens.
fn serve(program: &Path, arguments: &[&str], configure: impl FnOnce(&Path, SocketAddr) -> String) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    // Workers run as another user where the test is run by root.
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = folder.path().join("server.conf");
    fs::write(&file, configure(folder.path(), address)).unwrap();
    let at = |text: &&str| text.replace("{file}", &file.display().to_string()).replace("{folder}", &folder.path().display().to_string());
    let log = fs::File::create(folder.path().join("out.log")).unwrap();
    let process = Command::new(program).args(arguments.iter().map(at)).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let mut server = Server { process, address, _folder: folder };
    for _ in 0..250 {
        if std::net::TcpStream::connect(address).is_ok() {
            return server;
        }
        if let Ok(Some(status)) = server.process.try_wait() {
            let said = fs::read_to_string(server._folder.path().join("out.log")).unwrap_or_default();
            panic!("{} ended ({status}): {said}", program.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{} does not listen", program.display());
}

fn nginx(program: &Path) -> Server {
    serve(program, &["-e", "{folder}/start.log", "-c", "{file}"], |folder, address| {
        let at = folder.display();
        let www = folder.join("www");
        fs::create_dir(&www).unwrap();
        fs::write(www.join("index.html"), "from nginx\n").unwrap();
        fs::write(www.join("large.bin"), vec![b'n'; 3 << 20]).unwrap();
        let temporary: String =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().map(|t| format!("{t}_temp_path {at}/{t};\n")).collect();
        let user = if is_root() { "user root;" } else { "" };
        format!(
            "{user} daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log; events {{}}\n\
             http {{ {temporary} access_log off; gzip on; gzip_min_length 1; gzip_types application/octet-stream; client_max_body_size 100m;\n\
             server {{ listen {address}; root {at}/www; keepalive_requests 100000;\n\
             location /moved {{ return 302 http://$host/there; }}\n\
             location /own {{ return 302 http://{address}/there; }}\n\
             location /put {{ root {at}; dav_methods PUT; create_full_put_path on; }}\n\
             location /boom {{ return 500; }} }} }}"
        )
    })
}

/// The modules folder of Debian's, Fedora's and the sources' Apache.
fn apache_modules() -> Option<PathBuf> {
    ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/local/apache2/modules"].iter().map(PathBuf::from).find(|p| p.is_dir())
}

fn apache(program: &Path, locations: &str, files: &[(&str, &str)]) -> Server {
    serve(program, &["-X", "-d", "{folder}", "-f", "{file}"], |folder, address| {
        let at = folder.display();
        fs::create_dir(folder.join("www")).unwrap();
        fs::write(folder.join("www/index.html"), "from Apache\n").unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        let modules = apache_modules().expect("Apache's modules");
        let all = [
            "mpm_event",
            "mpm_prefork",
            "authn_core",
            "authn_file",
            "auth_basic",
            "authz_core",
            "authz_user",
            "authz_groupfile",
            "authz_host",
            "alias",
            "dir",
            "mime",
            "unixd",
        ];
        // One engine is enough, and what is built in needs no file.
        let engine = if modules.join("mod_mpm_event.so").exists() { "mpm_prefork" } else { "" };
        let load: String = all
            .iter()
            .filter(|name| **name != engine && modules.join(format!("mod_{name}.so")).exists())
            .map(|name| format!("LoadModule {name}_module {}/mod_{name}.so\n", modules.display()))
            .collect();
        let user = if is_root() { "User nobody\nGroup nogroup\n" } else { "" };
        let locations = locations.replace("{folder}", &at.to_string());
        format!(
            "{load}ServerName localhost\nListen {address}\nPidFile {at}/pid\nErrorLog {at}/error.log\nTypesConfig /dev/null\n\
             DefaultRuntimeDir {at}\n{user}DocumentRoot {at}/www\nAliasMatch ^/r[0-9]+ {at}/www/index.html\n\
             <Directory {at}/www>\nAllowOverride None\n</Directory>\n{locations}"
        )
    })
}

/// Runs a program of others to its end, within a time.
fn output(program: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg(PROGRAM_TIMEOUT_SECONDS).arg(program).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What curl prints, to `app.test` at a TLS listener whose certificate it checks.
fn curl(program: &Path, gate: &Gate, arguments: &[&str]) -> String {
    let resolve = format!("app.test:{}:127.0.0.1", gate.tls.port());
    let certificate = gate.file("cert.pem").display().to_string();
    let all = [&["-sS", "--max-time", "20", "--noproxy", "*", "--resolve", &resolve, "--cacert", &certificate][..], arguments].concat();
    let output = output(program, &all);
    assert!(output.status.success(), "curl {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs what blocks beside the runtime.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[test]
fn curl_reaches_nginx_over_http1_and_http2_with_login_and_upload() {
    let Some([nginx_, curl_]) = tools(["nginx", "curl"]) else { return };
    let backend = nginx(&nginx_);
    run(async move {
        let gate = Gate::start(&format!("[inspection]\nmode = \"block\"\n{}", open_site(backend.address, "require = [\"valid-user\"]")));
        let url = |path: &str| format!("https://app.test:{}{path}", gate.tls.port());
        let code = ["-o", "/dev/null", "-w", "%{http_code} %{http_version}"];
        for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
            assert_eq!(curl(&curl_, &gate, &[flag, "-u", "alice:secret", &url("/")]), "from nginx\n");
            let got = curl(&curl_, &gate, &[&code[..], &[flag, &url("/")]].concat());
            assert_eq!(got, format!("401 {version}"));
            let got = curl(&curl_, &gate, &[&code[..], &[flag, "-u", "alice:wrong", &url("/")]].concat());
            assert_eq!(got, format!("401 {version}"));
            // curl would take the dots away by itself.
            let got = curl(&curl_, &gate, &[&code[..], &[flag, "-u", "alice:secret", &url("/?id=1'+UNION+SELECT+a+FROM+b--")]].concat());
            assert_eq!(got, format!("403 {version}"));
            let got = curl(&curl_, &gate, &[flag, "-u", "alice:secret", "--compressed", &url("/large.bin")]);
            assert_eq!(got.len(), 3 << 20);
            let file = gate.file("upload.bin");
            fs::write(&file, vec![b'u'; 5 << 20]).unwrap();
            let (upload, name) = (file.display().to_string(), url(&format!("/put/{version}")));
            let kind = "Content-Type: application/octet-stream";
            let got = curl(&curl_, &gate, &[&code[..], &[flag, "-u", "bob:hunter2", "-H", kind, "-T", &upload, &name]].concat());
            assert_eq!(got, format!("201 {version}"));
            let got = curl(&curl_, &gate, &[flag, "-u", "bob:hunter2", "-o", "/dev/null", "-w", "%{redirect_url}", &url("/own")]);
            assert_eq!(got, url("/there"));
            let got = curl(&curl_, &gate, &[flag, "-u", "bob:hunter2", "-D", "-", "-o", "/dev/null", &url("/boom")]).to_lowercase();
            assert!(got.contains(" 500") && !got.contains("nginx"), "{got}");
        }
    });
}

#[test]
fn h2load_gets_nothing_but_2xx() {
    let Some([nginx_, h2load]) = tools(["nginx", "h2load"]) else { return };
    let backend = nginx(&nginx_);
    run(async move {
        let gate = Gate::start(&open_site(backend.address, ""));
        // h2load makes :authority and the server name from the URL.
        let (url, to) = (format!("https://app.test:{}/", gate.tls.port()), format!("--connect-to=127.0.0.1:{}", gate.tls.port()));
        let said = beside(move || {
            let output = output(&h2load, &["-n", "3000", "-c", "10", "-m", "20", &to, &url]);
            text(&output.stdout) + &text(&output.stderr)
        })
        .await;
        assert!(said.contains("3000 succeeded, 0 failed") && said.contains("status codes: 3000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
        let (records, drained) = beside(move || gate.stop()).await;
        assert!(drained);
        assert_eq!(records.len(), 3000);
    });
}

#[test]
fn openssl_agrees_on_tls_1_2_and_1_3_and_is_refused_below() {
    let Some([openssl]) = tools(["openssl"]) else { return };
    run(async move {
        let dead = free_address();
        let gate = Gate::start(&open_site(dead, ""));
        let address = gate.tls.to_string();
        let certificate = gate.file("cert.pem").display().to_string();
        let client = |more: &[&str]| {
            let all = [&["s_client", "-connect", &address, "-CAfile", &certificate, "-verify_return_error"][..], more].concat();
            let output = output(&openssl, &all);
            (output.status.success(), text(&output.stdout) + &text(&output.stderr))
        };
        for (flag, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let (good, said) = client(&[flag, "-servername", "app.test", "-alpn", "h2,http/1.1"]);
            assert!(good && said.contains(name) && said.contains("ALPN protocol: h2") && said.contains("Verify return code: 0"), "{said}");
            let (good, said) = client(&[flag, "-servername", "app.test", "-alpn", "http/1.1"]);
            assert!(good && said.contains("ALPN protocol: http/1.1"), "{said}");
        }
        // Some builds of openssl speak 1.1 only at the lowest level of security.
        let (good, said) = client(&["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0", "-servername", "app.test"]);
        assert!(!good, "{said}");
        let (good, said) = client(&["-tls1_3", "-servername", "nobody.test"]);
        assert!(!good && said.contains("unrecognized name"), "{said}");
        let (good, said) = client(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", "-servername", "app.test"]);
        assert!(!good, "CBC was agreed on: {said}");
        let until = Instant::now() + Duration::from_secs(5);
        while gate.records().len() < 3 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let reasons: Vec<_> = gate.records().iter().map(|r| r["decision"]["reason"].as_str().unwrap().to_owned()).collect();
        assert!(reasons.contains(&"unknown_server_name".to_owned()), "{reasons:?}");
        assert!(reasons.contains(&"tls_handshake_failed".to_owned()), "{reasons:?}");
    });
}

#[test]
fn apache_behind_the_gateway_answers_like_any_backend() {
    let Some([apache_]) = tools(["apache2"]) else { return };
    let open = "<Location />\nRequire all granted\n</Location>\n";
    let backend = apache(&apache_, open, &[]);
    run(async move {
        let gate = Gate::start(&open_site(backend.address, "require = [\"valid-user\"]"));
        let answer = ask(gate.plain, get("/", ALICE)).await;
        assert_eq!((answer.status, answer.text(), answer.header("server")), (200, "from Apache\n", ""));
        assert_eq!(ask(gate.plain, get("/none", ALICE)).await.status, 404);
        assert!(!ask(gate.plain, get("/none", ALICE)).await.head.contains("Apache"));
    });
}

/// Every scheme of Apache's htpasswd that the gateway takes: its switches, and the user who has it.
const SCHEMES: &[(&str, &[&str])] = &[
    ("user_md5", &["-m"]),
    ("user_sha", &["-s"]),
    ("user_bcrypt4", &["-B", "-C", "4"]),
    ("user_bcrypt5", &["-B", "-C", "5"]),
    ("user_sha256", &["-2"]),
    ("user_sha512", &["-5"]),
    ("user_sha512r", &["-5", "-r", "5000"]),
];

/// A row of `tests/deep/require.txt`.
struct Row {
    require: usize,
    login: Option<(String, String)>,
    apache: u16,
    own: u16,
}

fn table() -> (Vec<String>, Vec<Row>) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deep/require.txt");
    let (mut requires, mut rows) = (Vec::new(), Vec::new());
    for line in fs::read_to_string(file).unwrap().lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        if let Some(require) = line.strip_prefix("require: ") {
            requires.push(require.to_owned());
            continue;
        }
        let (row, own) = line.split_once(" -> ").map_or((line, None), |(row, own)| (row, Some(own.parse().unwrap())));
        let words: Vec<&str> = row.split(' ').collect();
        let apache: u16 = words.last().unwrap().parse().unwrap();
        let password = |p: &str| if p == "-" { String::new() } else { p.to_owned() };
        let login = (words.len() == 3).then(|| (words[0].to_owned(), password(words[1])));
        rows.push(Row { require: requires.len() - 1, login, apache, own: own.unwrap_or(apache) });
    }
    (requires, rows)
}

fn htpasswd(program: &Path, switches: &[&str], user: &str, password: &str) -> Option<String> {
    let output = output(program, &[&["-nb"], switches, &[user, password]].concat());
    output.status.success().then(|| text(&output.stdout).trim().to_owned())
}

#[test]
fn files_of_apaches_htpasswd_mean_the_same_to_apache_and_to_the_gateway() {
    let Some([apache_, htpasswd_]) = tools(["apache2", "htpasswd"]) else { return };
    // Passwords with what gets lost easily: colons, blanks, bytes above 127, a NUL-free 72nd byte.
    let password = |user: &str| if user == "user_sha512" { "p:ä ß%".to_owned() } else { format!("pass-{user}") };
    let mut users: Vec<String> = Vec::new();
    let mut known: Vec<&str> = Vec::new();
    for (user, switches) in SCHEMES {
        match htpasswd(&htpasswd_, switches, user, &password(user)) {
            Some(line) => {
                users.push(line);
                known.push(user);
            }
            None => println!("this htpasswd cannot do {switches:?}"),
        }
    }
    assert!(known.len() >= 4, "only {known:?} could be made");
    for user in ["alice", "carol", "dave"] {
        users.push(htpasswd(&htpasswd_, &["-s"], user, "secret").unwrap());
    }
    let users = users.join("\n") + "\n";
    let groups = "staff: alice\nother: carol\n";
    let (requires, rows) = table();
    let all_known = known.join(" ");
    let named = |require: &str| require.replace("<user>", &all_known);
    let locations: String = requires
        .iter()
        .enumerate()
        .map(|(n, require)| {
            let lines: String = named(require).split(" | ").map(|r| format!("Require {r}\n")).collect();
            format!(
                "<LocationMatch ^/r{n}$>\nAuthType Basic\nAuthName x\nAuthBasicProvider file\nAuthUserFile {{folder}}/users\n\
                 AuthGroupFile {{folder}}/groups\n<RequireAny>\n{lines}</RequireAny>\n</LocationMatch>\n"
            )
        })
        .collect();
    let server = apache(&apache_, &locations, &[("users", &users), ("groups", groups)]);
    run(async move {
        let maps: String = requires
            .iter()
            .enumerate()
            .map(|(n, require)| {
                let list: Vec<String> = named(require).split(" | ").map(|r| format!("{r:?}")).collect();
                // Mixing addresses with users is written as it is meant.
                let list =
                    if require.contains(" | ip") { format!("{{ any = [{}] }}", list.join(", ")) } else { format!("[{}]", list.join(", ")) };
                format!("[[site.map]]\npath = \"/r{n}\"\nto = \"app/\"\nrequire = {list}\n").replace("to = \"app/\"", "to = \"app\"")
            })
            .collect();
        let nginx_like = crate::backend::Backend::start(|_| crate::backend::ok("own")).await;
        let auth = "[auth]\nusers = \"users\"\ngroups = \"group_file\"\nrealm = \"x\"\ndangerously_allow_basic_over_http = true\n\
                    failures_before_backoff = 1000\nunauthenticated_per_minute = 100000\n";
        let text = format!("{auth}{}{maps}", site(nginx_like.address, "https = \"either\""));
        let gate = Gate::start_with(&text, &[("users", &users), ("group_file", groups)]);
        let mut wrong = Vec::new();
        let mut asked = 0;
        for row in &rows {
            let schemes = match &row.login {
                Some((user, pass)) if format!("{user}{pass}").contains('<') => known.clone(),
                _ => vec![""],
            };
            for scheme in schemes {
                let filled =
                    row.login.as_ref().map(|(user, pass)| (user.replace("<user>", scheme), pass.replace("<password>", &password(scheme))));
                let header = filled.as_ref().map_or_else(String::new, |(user, pass)| {
                    use base64::Engine as _;
                    format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{pass}")))
                });
                let path = format!("/r{}", row.require);
                let (theirs, own) =
                    (ask(server.address, get(&path, &header)).await.status, ask(gate.plain, get(&path, &header)).await.status);
                asked += 1;
                if (theirs, own) != (row.apache, row.own) {
                    let require = &requires[row.require];
                    wrong
                        .push(format!("{require}: {filled:?}: Apache {theirs} (expected {}), we {own} (expected {})", row.apache, row.own));
                }
            }
        }
        println!("{asked} requests asked of both");
        assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    });
}
