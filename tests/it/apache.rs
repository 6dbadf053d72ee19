//! A real Apache on a free port, for comparisons.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";

/// Whether a program is here. Where it must be (`CI` is set), its absence fails the test; elsewhere the test says that it
/// is skipped.
#[allow(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("-v").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{program} is not installed");
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// A running Apache; it ends when it is dropped.
pub(crate) struct Apache {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Apache {
    /// Starts Apache with these users, groups, and `Require` lines per location. Every path answers 404 once let in.
    pub(crate) fn start(users: &str, groups: &str, locations: &[(String, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        // Apache's workers are another account when the tests run as root.
        std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o755)).expect("permissions");
        std::fs::create_dir(root.join("htdocs")).expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(root.join(name), text).expect("a file");
        write("htpasswd", users);
        write("groups", groups);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        write("apache.conf", &configuration(root, address, locations));
        // -X: one process, so that ending it ends all of it.
        let child = Command::new(PROGRAM)
            .args(["-X", "-f"])
            .arg(root.join("apache.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Apache starts");
        let apache = Self { address, child, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            let log = std::fs::read_to_string(apache._folder.path().join("error.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "Apache does not answer: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        apache
    }

    /// The status of a GET with this `Authorization`.
    pub(crate) fn status(&self, path: &str, authorization: Option<&str>) -> u16 {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let login = authorization.map(|a| format!("Authorization: {a}\r\n")).unwrap_or_default();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{login}\r\n").expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in {answer}"))
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(root: &Path, address: SocketAddr, locations: &[(String, String)]) -> String {
    let root = root.display();
    let modules: String =
        ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "authz_groupfile", "authz_host", "auth_basic"]
            .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
            .concat();
    let locations: String = locations
        .iter()
        .map(|(path, require)| {
            format!(
                "<Location \"{path}\">\nAuthType Basic\nAuthName \"test\"\nAuthBasicProvider file\nAuthUserFile {root}/htpasswd\n\
                 AuthGroupFile {root}/groups\n{require}\n</Location>\n"
            )
        })
        .collect();
    format!(
        "ServerRoot {root}\nServerName localhost\nListen {address}\n{modules}PidFile {root}/pid\nErrorLog {root}/error.log\n\
         DefaultRuntimeDir {root}\nDocumentRoot {root}/htdocs\nUser www-data\nGroup www-data\n{locations}"
    )
}
