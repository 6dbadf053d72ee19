//! `docs/protecting-an-application.md`, run from top to bottom: its `sh` blocks print what its `text` blocks say.

use crate::tools::tool;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PAGE: &str = include_str!("../../docs/protecting-an-application.md");

/// A block of the page: its language and its lines.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut parts = PAGE.split("\n```");
    parts.next();
    let mut out = Vec::new();
    while let Some(part) = parts.next() {
        let (language, text) = part.split_once('\n').unwrap();
        out.push((language, text));
        // What follows the closing fence is prose.
        parts.next();
    }
    out
}

/// One script of all `sh` blocks, with a line between them, so that background programs and their end are the shell's.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        // The script is the leader of its own process group, to which all that it started belongs.
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn deep_the_page_about_protecting_an_application_is_true() {
    if std::env::var("PORTCULLIS_DEEP").as_deref() != Ok("1") {
        println!("skipped: PORTCULLIS_DEEP is not 1");
        return;
    }
    if ["radicale", "curl"].iter().any(|name| tool(name).is_none()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap().to_str().unwrap().to_owned();
    let (application, gateway) = (free_port(), free_port());
    let ported = |text: &str| text.replace("5232", &application).replace("8443", &gateway);
    let mut script = String::from("set -e\n");
    let mut expected = String::new();
    for (language, text) in blocks() {
        match language {
            "sh" => script.push_str(&ported(text)),
            "text" => expected.push_str(&ported(text)),
            other => panic!("a block of the page is {other:?}"),
        }
        script.push('\n');
        expected = expected.trim_end().to_owned() + "\n";
    }
    let out = folder.path().join("stdout.txt");
    let path = format!("{binary}:{}", std::env::var("PATH").unwrap());
    let child = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(folder.path().join("stderr.txt")).unwrap())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut script = Script(child);
    let status = script.0.wait().unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let said = read("stdout.txt");
    let why = || format!("{}\n{}\n{}", read("stderr.txt"), read("gateway.log"), read("radicale.log"));
    assert_eq!(said.trim(), expected.trim(), "{}", why());
    assert!(status.success(), "{status}: {}", why());
}
