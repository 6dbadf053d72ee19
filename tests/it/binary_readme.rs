//! The README's steps, done as they stand there, so that it stays true.

use super::program::{Program, ask, free_address, get, portcullis, records, until};
use rustix::process::Signal;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

const README: &str = include_str!("../../README.md");

/// The arguments of every `target/release/portcullis` command of the README, in its order.
fn commands() -> Vec<Vec<String>> {
    let lines = README.lines().filter_map(|line| line.trim().strip_prefix("target/release/portcullis "));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The policy of step 3.
fn policy() -> &'static str {
    let (_, rest) = README.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0
}

/// An application that answers one request after the other.
fn application() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nhello!\n");
        }
    });
    address
}

#[test]
fn the_steps_of_the_readme_lead_to_a_gateway_in_front_of_an_application() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let commands = commands();
    let step = |words: &str| -> Vec<&str> {
        let found = commands.iter().find(|c| c.join(" ").starts_with(words)).unwrap_or_else(|| panic!("the README has no {words:?}"));
        found.iter().map(String::as_str).collect()
    };
    let run = |arguments: &[&str], input: &str| {
        let said = portcullis(folder, arguments, input);
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.stderr);
        said
    };

    // 1. A certificate: the files that the text names are there afterwards.
    let said = run(&step("cert self-signed"), "");
    let written: Vec<&str> = said.stdout.split_whitespace().filter(|w| w.starts_with("certs/")).collect();
    assert_eq!(written.len(), 2, "{}", said.stdout);
    for file in written {
        assert!(README.contains(&format!("`{file}`")), "the README does not say {file}");
        assert!(folder.join(file).is_file(), "{file}");
    }

    // 2. Users and groups, in folders that a checkout has.
    fs::create_dir_all(folder.join("policies/auth")).unwrap();
    let mut add = step("auth add");
    add.push("--stdin");
    run(&add, "hunter2 and more\n");

    // 3. A policy, on ports that are free here.
    let (public, backend) = (free_address(), application());
    let text = policy();
    assert!(text.contains("\"127.0.0.1:8443\"") && text.contains("http://127.0.0.1:8080"), "{text}");
    let text = text.replace("127.0.0.1:8443", &public.to_string()).replace("127.0.0.1:8080", &backend.to_string());
    fs::write(folder.join("policies/my.toml"), text).unwrap();

    // 4. Check and run.
    let said = run(&step("check"), "");
    assert!(said.stdout.contains(" ok: ") && said.stderr.is_empty(), "{}{}", said.stdout, said.stderr);
    let mut gateway = Program::start(folder, &step("run"));
    gateway.says("listening on");
    let host = "app.example.com";
    let login = Some(("alice", "hunter2 and more"));
    let (status, answer) = ask(public, Some(host), &get(host, "/", login));
    assert_eq!(status, 200, "{answer}");
    assert!(answer.ends_with("hello!\n"), "{answer}");
    assert_eq!(ask(public, Some(host), &get(host, "/", None)).0, 401);
    let (status, refused) = ask(public, Some(host), &get(host, "/internal/x", login));
    assert_eq!(status, 404, "{refused}");

    // 5. Look at what happens: the trail is where the commands look for it, and the page names the record.
    let directory = step("audit list").iter().skip_while(|w| **w != "--directory").nth(1).copied().unwrap();
    let found = until(|| {
        let found = records(&folder.join(directory));
        if found.len() >= 3 { Ok(found) } else { Err(format!("{} records", found.len())) }
    });
    let id = found[2]["event"]["id"].as_str().unwrap();
    assert!(refused.contains(id), "{refused}");
    let listed = run(&step("audit list"), "");
    assert!(listed.stdout.contains("alice") && listed.stdout.contains("/internal/x"), "{}", listed.stdout);
    let mut show = step("audit show");
    assert_eq!(show.pop(), Some("ID"), "the README's last word is the place of the id");
    show.push(id);
    assert!(run(&show, "").stdout.contains("not_mapped"));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended(Duration::from_secs(10)).code(), Some(0));
    assert!(!gateway.stderr().contains("hunter2"));
}

/// What the text of step 2 names beside the steps.
#[test]
fn every_command_of_the_readme_is_one_of_the_binary() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for command in commands() {
        let words: Vec<&str> =
            command.iter().map(String::as_str).take_while(|w| w.chars().all(|c| c.is_ascii_lowercase() || c == '-')).collect();
        let words: Vec<&str> = words.into_iter().take_while(|w| !w.starts_with('-')).collect();
        let said = portcullis(here, &[&words[..], &["--help"]].concat(), "");
        assert_eq!(said.code, 0, "{command:?}: {}", said.stderr);
        for option in command.iter().filter(|w| w.starts_with("--")) {
            assert!(said.stdout.contains(option.as_str()), "{command:?}: there is no {option}");
        }
    }
}
