//! `portcullis demo`: what it prints is true, and nothing of it stays.

use super::program::{Program, ask, get, portcullis, records, until};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time from Ctrl-C to the end.
const STOPS_WITHIN: Duration = Duration::from_secs(8);

/// A demo that runs, with what it printed.
struct Demo {
    program: Program,
    text: String,
    folder: PathBuf,
}

/// One printed command: what curl is told, and what is said to come of it.
#[derive(Debug)]
struct Try {
    command: String,
    login: Option<(String, String)>,
    address: SocketAddr,
    target: String,
    promise: String,
}

impl Demo {
    fn start() -> Self {
        let program = Program::start(Path::new("."), &["demo", "--address", "127.0.0.1:0"]);
        let text = until(|| {
            let text = program.stdout();
            if text.contains("Ctrl-C ends") { Ok(text) } else { Err(format!("{text}\n{}", program.stderr())) }
        });
        let folder = text.lines().find_map(|l| l.strip_prefix("The policy that does all this: ")).unwrap();
        let folder = Path::new(folder).parent().unwrap().to_owned();
        Self { program, text, folder }
    }

    fn tries(&self) -> Vec<Try> {
        let lines = self.text.lines().filter(|l| l.trim_start().starts_with("curl "));
        lines.map(parse).collect()
    }

    /// Ctrl-C.
    fn stop(mut self) {
        self.program.signal(Signal::INT);
        let status = self.program.ended(STOPS_WITHIN);
        assert_eq!(status.code(), Some(0), "{}", self.program.stderr());
        assert!(!self.folder.exists(), "{} is still there", self.folder.display());
    }
}

/// A printed line, as a shell and curl would take it.
fn parse(line: &str) -> Try {
    let (command, promise) = line.trim().split_once("   # ").unwrap_or_else(|| panic!("no promise in {line:?}"));
    let mut words = command.split_whitespace().skip(1);
    let (mut login, mut url) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "-k" => {}
            "-u" => login = words.next().and_then(|w| w.split_once(':')).map(|(u, p)| (u.to_owned(), p.to_owned())),
            "-o" => drop(words.next()),
            "-w" => break,
            word => url = Some(word.trim_matches('"').to_owned()),
        }
    }
    let url = url.unwrap();
    let (authority, target) = url.strip_prefix("https://").unwrap().split_once('/').unwrap();
    Try {
        command: command.trim().to_owned(),
        login,
        address: authority.parse().unwrap(),
        target: format!("/{target}"),
        promise: promise.trim().to_owned(),
    }
}

impl Try {
    /// Does what curl would, with its `[1-6]`: the statuses and the last answer.
    fn run(&self) -> (Vec<u16>, String) {
        let targets: Vec<String> = match self.target.split_once("[1-6]") {
            Some((before, after)) => (1..=6).map(|n| format!("{before}{n}{after}")).collect(),
            None => vec![self.target.clone()],
        };
        let login = self.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
        let mut statuses = Vec::new();
        let mut last = String::new();
        for target in targets {
            let (status, answer) = ask(self.address, Some(&self.address.ip().to_string()), &get(&self.address.to_string(), &target, login));
            statuses.push(status);
            last = answer;
        }
        (statuses, last)
    }
}

#[test]
fn the_demo_keeps_what_it_prints_and_leaves_nothing() {
    let demo = Demo::start();
    let tries = demo.tries();
    let expected: [(&[u16], &str); 6] = [
        (&[200], "allow"),
        (&[401], "challenge"),
        (&[403], "deny"),
        (&[403], "deny"),
        (&[200, 200, 200, 429, 429, 429], "allow allow allow deny deny deny"),
        (&[500], "mask"),
    ];
    assert_eq!(tries.len(), expected.len(), "{}", demo.text);
    let mut decisions = Vec::new();
    let mut masked = String::new();
    for (attempt, (statuses, decided)) in tries.iter().zip(expected) {
        assert!(attempt.promise.starts_with(&statuses[0].to_string()), "{attempt:?}");
        let (got, answer) = attempt.run();
        assert_eq!(got, statuses, "{attempt:?}\n{answer}");
        decisions.extend(decided.split(' '));
        for told in ["SampleServer", "Traceback", "db01.internal", "orders.py"] {
            assert!(!answer.contains(told), "{attempt:?} tells {told}:\n{answer}");
        }
        masked = answer;
    }
    let found = until(|| {
        let found = records(&demo.folder.join("audit"));
        if found.len() >= decisions.len() { Ok(found) } else { Err(format!("{} records", found.len())) }
    });
    let got: Vec<&str> = found.iter().map(|r| r["decision"]["action"].as_str().unwrap()).collect();
    assert_eq!(got, decisions);
    let id = found.last().unwrap()["event"]["id"].as_str().unwrap();
    assert!(id.len() >= 16 && masked.contains(id), "the page does not say {id}:\n{masked}");
    for attempt in &tries {
        if let Some((_, password)) = &attempt.login {
            assert!(!found.iter().any(|r| r.to_string().contains(password.as_str())), "a record shows a password");
        }
    }
    demo.stop();
}

#[test]
fn an_address_in_use_is_said_with_the_way_out() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let said = portcullis(folder.path(), &["demo", "--address", &address], "");
    assert_eq!((said.code, said.stdout.as_str()), (3, ""), "{}", said.stderr);
    assert!(said.stderr.contains(&address), "{}", said.stderr);
    assert!(said.stderr.ends_with("help: something else listens there; try: portcullis demo --address 127.0.0.1:0\n"), "{}", said.stderr);
}

/// With `PORTCULLIS_DEEP=1` and curl: the lines as they are printed, in a shell.
#[test]
#[allow(clippy::print_stdout, reason = "a skipped test must say so")]
fn the_printed_commands_work_literally_deep() {
    if std::env::var_os("PORTCULLIS_DEEP").is_none() {
        println!("skipped: PORTCULLIS_DEEP is not set");
        return;
    }
    if super::tools::tool("curl").is_none() {
        return;
    }
    let demo = Demo::start();
    for attempt in demo.tries() {
        // Several URLs in one command print their statuses themselves; `--silent` only takes away the progress.
        let command = match attempt.target.contains('[') {
            true => attempt.command.replacen("curl ", "curl --silent ", 1),
            false => format!("{} -o /dev/null -w '%{{http_code}} '", attempt.command.replacen("curl ", "curl --silent ", 1)),
        };
        let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = match attempt.target.contains('[') {
            true => "200 200 200 429 429 429".to_owned(),
            false => attempt.promise[..3].to_owned(),
        };
        assert_eq!(said.trim(), expected, "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    demo.stop();
}
