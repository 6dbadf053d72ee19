//! `portcullis auth` as an administrator calls it: the real binary on real files.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `portcullis auth` in `folder` with `input` on standard input: exit code, standard output, standard error.
fn auth(folder: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("auth")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A command that needs no password may have closed its input already.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}

#[test]
fn users_come_go_and_are_listed_without_their_hashes() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file");
    let add = ["add", "--stdin", "--scheme", "sha512", "users", "alice", "--groups", "groups", "--group", "staff"];
    assert_eq!(auth(folder, &add, "secret\n").0, 0);
    assert_eq!(auth(folder, &["add", "--stdin", "--scheme", "sha512", "users", "bob"], "secret\n").0, 0);
    std::fs::write(folder.join("users"), format!("# people\n{}", read("users"))).expect("a file");
    let before = read("users");
    assert_eq!(auth(folder, &["add", "--stdin", "--scheme", "sha512", "users", "alice"], "new").0, 0);
    let after = read("users");
    assert!(after.starts_with("# people\nalice:$6$rounds="), "{after}");
    assert_ne!(after, before);
    assert_eq!(after.lines().nth(2), before.lines().nth(2));

    let (code, out, _) = auth(folder, &["list", "users", "--groups", "groups"], "");
    assert_eq!((code, out.as_str()), (0, "alice  sha512-crypt  staff\nbob    sha512-crypt\n"));
    let (_, out, _) = auth(folder, &["list", "users", "--groups", "groups", "--format", "json"], "");
    assert_eq!(out.lines().next(), Some(r#"{"groups":["staff"],"line":2,"scheme":"sha512-crypt","user":"alice"}"#));

    assert_eq!(auth(folder, &["remove", "users", "alice", "--groups", "groups"], "").0, 0);
    assert_eq!(auth(folder, &["remove", "users", "alice", "--groups", "groups"], "").0, 1);
    assert_eq!(read("groups"), "staff:\n");
    assert!(!read("users").contains("alice"));
}

#[test]
fn mistakes_of_usage_are_exit_code_2_and_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for (arguments, input) in [
        (&["add", "--stdin", "users", "a:b"][..], "secret"),
        (&["add", "--stdin", "users", ""], "secret"),
        (&["add", "--stdin", "users", "#a"], "secret"),
        (&["add", "--stdin", "users", "alice"], ""),
        (&["add", "--stdin", "users", "alice"], "tab\there"),
        (&["add", "users", "alice"], "no terminal"),
        (&["add", "--stdin", "users", "alice", "secret-as-an-argument"], ""),
        (&["add", "--stdin", "users", "alice", "--group", "staff"], "secret"),
    ] {
        let (code, _, told) = auth(folder, arguments, input);
        assert_eq!(code, 2, "{arguments:?}: {told}");
        assert!(!folder.join("users").exists(), "{arguments:?}");
    }
    std::fs::write(folder.join("users"), "alice:plain-secret\n").expect("a file");
    let (code, out, told) = auth(folder, &["list", "users"], "");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(told.starts_with("users:1:7: error: ") && !told.contains("plain-secret"), "{told}");
}

#[test]
fn whocan_names_everybody_who_may_use_a_url() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write(
        "users",
        "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\ncarol:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n",
    );
    write("groups", "staff: alice\n");
    write(
        "gateway.toml",
        "[[listener]]\naddress = \"127.0.0.1:8080\"\ntls = false\n[audit]\ndirectory = \"audit\"\n[auth]\nusers = \"users\"\ngroups = \"groups\"\n\
         dangerously_allow_basic_over_http = true\n[inspection]\nmode = \"off\"\n[[backend]]\nname = \"app\"\nmembers = [\"http://127.0.0.1:8081\"]\n\
         [[site]]\nnames = [\"app.example\"]\nhttps = \"either\"\nrequire = [\"all denied\"]\n[[site.map]]\npath = \"/wiki\"\nto = \"app/wiki\"\n\
         require = { any = [\"group staff\", { all = [\"user bob\", \"ip 10.0.0.0/8\"] }] }\n",
    );
    let who = |url: &str| auth(folder, &["whocan", "-c", "gateway.toml", url], "");
    let (code, out, told) = who("http://app.example/wiki/page");
    assert_eq!(code, 0, "{told}");
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[1].starts_with("map /wiki (gateway.toml:"), "{out}");
    assert_eq!(lines[2..], ["require any(group staff, all(user bob, ip 10.0.0.0/8))", "alice (staff)", "bob, from some addresses"]);
    assert_eq!(who("http://app.example/elsewhere").0, 1);
    assert_eq!(who("/wiki").0, 2);
}
