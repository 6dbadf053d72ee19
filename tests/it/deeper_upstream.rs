//! The way to the backends and TLS beside real nginx and real openssl.

use crate::tools::tool;
use crate::upstream::{Way, group, member};
use http_body_util::BodyExt as _;
use portcullis::policy::{CertificateFiles, SiteName};
use portcullis::tls::server::{Served, prepare_each};
use portcullis::tls::{ServerTls, load::load, self_signed};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// nginx with a folder of its own; stopped when dropped.
struct Nginx {
    process: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Nginx {
    async fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = folder.path().display();
        let temporary: String =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().map(|t| format!("{t}_temp_path {at}/{t};\n")).collect();
        let user = if fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) { "user root;" } else { "" };
        let config = format!(
            "{user} daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log; events {{}}\n\
             http {{ {temporary} log_format own '$connection $request_uri'; access_log {at}/access.log own;\n\
             server {{ listen {address}; root {at}; keepalive_requests 1000; }} }}"
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, config).unwrap();
        let process = Command::new(program).arg("-e").arg(folder.path().join("start.log")).arg("-c").arg(&path).spawn().unwrap();
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Self { process, address, folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// Bytes of memory this process uses now.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn nginx_sees_one_connection_and_a_large_body_takes_little_memory() {
    const LARGE: u64 = 200 * 1024 * 1024;
    let Some(program) = tool("nginx") else { return };
    let nginx = Nginx::start(&program).await;
    fs::write(nginx.folder.path().join("small.txt"), "hello").unwrap();
    fs::File::create(nginx.folder.path().join("large.bin")).unwrap().set_len(LARGE).unwrap();
    let way = Way::to(group(vec![member(nginx.address)]));
    for _ in 0..100 {
        assert_eq!(way.fetch("/small.txt").await.1, "hello");
    }
    assert_eq!(way.fetch("/missing").await.0, 404);
    let before = memory();
    let mut most = before;
    let mut body = way.get("/large.bin").await.0.unwrap().body;
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let length = frame.unwrap().into_data().map_or(0, |d| d.len() as u64);
        if bytes / 10_000_000 != (bytes + length) / 10_000_000 {
            most = most.max(memory());
        }
        bytes += length;
    }
    assert_eq!(bytes, LARGE);
    // Other tests of this process run beside: a quarter of the body is far above what a stream needs, and far below the body.
    assert!(most - before < LARGE / 4, "{} bytes more", most - before);
    assert_eq!(way.fetch("/small.txt").await.0, 200);
    let log = fs::read_to_string(nginx.folder.path().join("access.log")).unwrap();
    let connections: std::collections::BTreeSet<&str> = log.lines().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(connections.len(), 1, "{connections:?}");
}

/// A TLS server of ours that says the session and hangs up; its address.
async fn served(server: ServerTls) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(server);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = server.accept(tcp).await {
                    let agreed = portcullis::tls::session(stream.get_ref().1);
                    let _ = stream.write_all(format!("agreed {agreed:?}\n").as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    address
}

async fn s_client(openssl: &Path, address: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new(openssl);
    command.args(["s_client", "-ign_eof", "-connect", &address.to_string()]).args(arguments).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn openssl_meets_the_versions_names_protocols_and_groups_we_promise() {
    let Some(openssl) = tool("openssl") else { return };
    let folder = tempfile::tempdir().unwrap();
    let made = |names: &[&str]| {
        let (certificate, key) = self_signed(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), 30).unwrap();
        let path = folder.path().join(format!("{}.pem", names[0].replace('*', "_")));
        fs::write(&path, format!("{certificate}{key}")).unwrap();
        CertificateFiles { certificate: path, key: None, chain: None }
    };
    let (mail, wild) = (made(&["mail.example.com"]), made(&["*.example.org"]));
    let (exact, wildcard) = ([SiteName::Exact("mail.example.com".into())], [SiteName::Wildcard("example.org".into())]);
    let name = "site".into();
    let sites = [
        Served { name: &name, names: &exact, files: &mail, http1_only: false },
        Served { name: &name, names: &wildcard, files: &wild, http1_only: false },
    ];
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let address = served(ServerTls::new(&prepare_each(sites.into_iter(), now).0.unwrap()).unwrap()).await;
    let cases: &[(&[&str], &[&str])] = &[
        (&["-servername", "mail.example.com", "-tls1_3"], &["TLSv1.3", "CN = mail.example.com", "version: \"1.3\""]),
        (&["-servername", "mail.example.com", "-tls1_2"], &["TLSv1.2", "version: \"1.2\"", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]),
        (&["-servername", "www.example.org", "-alpn", "h2,http/1.1"], &["CN = *.example.org", "ALPN protocol: h2"]),
        (&["-servername", "mail.example.com", "-alpn", "http/1.1"], &["ALPN protocol: http/1.1"]),
        (&["-noservername"], &["CN = mail.example.com", "server_name: None"]),
        (&["-servername", "mail.example.com", "-groups", "P-384"], &["secp384r1"]),
        (&["-servername", "mail.example.com", "-groups", "X25519:P-256"], &["group: \"x25519\""]),
        (&["-servername", "stranger.example"], &["unrecognized name"]),
        (&["-servername", "mail.example.com", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], &["alert handshake failure"]),
        (&["-servername", "mail.example.com", "-tls1_2", "-cipher", "AES256-SHA"], &["alert handshake failure"]),
    ];
    for (arguments, expected) in cases {
        let said = s_client(&openssl, address, arguments).await.replace("CN=", "CN = ");
        for part in *expected {
            assert!(said.contains(part), "{arguments:?}: no {part:?} in\n{said}");
        }
    }
}

#[test]
fn keys_and_certificates_made_by_openssl_are_taken_or_refused_by_name() {
    let Some(openssl) = tool("openssl") else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &str| {
        let output = Command::new(&openssl).args(arguments.split(' ')).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let certify = |key: &str| {
        run(&format!("req -x509 -new -key {key}.key -out {key}.crt -days 30 -subj /CN=a.example -addext subjectAltName=DNS:a.example"))
    };
    let judge = |certificate: &str, key: &str| {
        let files = CertificateFiles { certificate: folder.path().join(certificate), key: Some(folder.path().join(key)), chain: None };
        let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let (loaded, found) = load(&files, &[SiteName::Exact("a.example".into())], now);
        (loaded.is_some(), found.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; "))
    };
    run("genrsa -traditional -out pkcs1.key 2048");
    run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out pkcs8.key");
    run("ecparam -name prime256v1 -genkey -out sec1.key");
    run("genpkey -algorithm ED25519 -out ed.key");
    for key in ["pkcs1", "pkcs8", "sec1", "ed"] {
        certify(key);
        assert_eq!(judge(&format!("{key}.crt"), &format!("{key}.key")), (true, String::new()), "{key}");
    }
    run("genrsa -out weak.key 1024");
    certify("weak");
    let (usable, said) = judge("weak.crt", "weak.key");
    assert!(!usable && said.contains("1024 bits") && said.contains("weak"), "{said}");
    run("pkey -in pkcs8.key -aes128 -passout pass:secret -out locked.key");
    run("rsa -in pkcs1.key -aes128 -passout pass:secret -traditional -out locked-old.key");
    for key in ["locked.key", "locked-old.key"] {
        let (usable, said) = judge("pkcs8.crt", key);
        assert!(!usable && said.contains("encrypted"), "{key}: {said}");
    }
    let (usable, said) = judge("sec1.crt", "ed.key");
    assert!(!usable && said.contains("does not belong"), "{said}");
}
