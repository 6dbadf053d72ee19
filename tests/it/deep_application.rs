//! `docs/protecting-an-application.md`, executed as it stands there: a real application behind the real binary.
//!
//! The page's last section states how its blocks are read.

use crate::program::free_address;
use crate::tools::tool;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PAGE: &str = include_str!("../../docs/protecting-an-application.md");
/// What the page takes on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the shell knows beside the page's lines. `got` is a curl's status, `said` another command's output.
const PRELUDE: &str = r#"
failed() { printf 'line %s: %s\n' "$1" "$2" >&2; exit 1; }
status() { # line, expected, curl's arguments
    local line=$1 expected=$2 got; shift 2
    # The arguments stand after our own, so that the page's win.
    got=$(command curl -sS --max-time 60 -o answer -w '%{http_code} ' "$@") || failed "$line" "curl ended with $?"
    # With --retry each try writes one; the last counts.
    got=${got% }; got=${got##* }
    [ "$got" = "$expected" ] || failed "$line" "status $got instead of $expected: $(head -c 2000 answer)"
}
says() { # line, words, command: what is written to the trail a moment ago may take that moment
    local line=$1 words=$2 said try; shift 2
    for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        said=$("$@" 2>&1) && case $said in *"$words"*) return;; esac
        sleep 0.5
    done
    failed "$line" "'$words' is not in: $said"
}
set -eu
"#;

/// A fenced block: its language, the number of its first line in the page, its lines.
struct Block<'a> {
    language: &'a str,
    first: usize,
    lines: Vec<&'a str>,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut all = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (number, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some(Block { language, first: number + 2, lines: Vec::new() }),
            (Some(_), Some(block)) => all.push(block),
            (None, Some(mut block)) => {
                block.lines.push(line);
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    all
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// One line of an `sh` block as the shell is to run it, and whether something about it is checked.
fn step(number: usize, line: &str) -> (String, bool) {
    if let Some((command, words)) = line.rsplit_once(" # => ") {
        return (format!("says {number} {} {}", quoted(words.trim_end()), command.trim()), true);
    }
    if let Some((command, status)) = line.rsplit_once(" # ")
        && let Some(arguments) = command.trim().strip_prefix("curl ")
    {
        assert!(status.len() == 3 && status.parse::<u16>().is_ok(), "line {number}: not a status: {status}");
        return (format!("status {number} {status} {arguments}"), true);
    }
    assert!(!line.trim_start().starts_with("curl "), "line {number}: a curl without its status");
    // The page says that `auth add` asks, and what is answered.
    if let Some(rest) = line.strip_prefix("portcullis auth add ") {
        let user = rest.split_whitespace().nth(1).unwrap();
        return (format!("{line} --stdin <<<{user}-secret"), false);
    }
    (line.to_owned(), false)
}

/// The page as a script, its files written to `folder`. Gives the count of what is checked, too.
fn script(page: &str, folder: &Path) -> (String, usize) {
    let mut script = PRELUDE.to_owned();
    let mut checked = 0;
    for block in blocks(page) {
        match (block.language, block.lines.first().and_then(|line| line.strip_prefix("# "))) {
            ("sh", _) => {
                for (at, line) in block.lines.iter().enumerate() {
                    let (step, checks) = step(block.first + at, line);
                    checked += usize::from(checks);
                    script.push_str(&step);
                    script.push('\n');
                }
            }
            ("console", _) => {}
            (_, Some(name)) => {
                let path = folder.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                // The naming line is no part of the file.
                fs::write(path, block.lines[1..].join("\n") + "\n").unwrap();
            }
            (language, None) => panic!("line {}: a {language} block that nobody runs and that names no file", block.first),
        }
    }
    (script, checked)
}

/// The shell, leader of a process group of its own, to which all that the page starts belongs.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process_group(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "a skipped test must say so")]
fn deep_the_page_about_protecting_an_application_is_true() {
    if std::env::var_os("PORTCULLIS_DEEP").is_none() {
        println!("skipped: PORTCULLIS_DEEP is not set");
        return;
    }
    if ["radicale", "curl", "bash"].iter().any(|name| tool(name).is_none()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (free_address(), free_address());
    let page = PAGE.replace("127.0.0.1:5232", &inside.to_string()).replace("127.0.0.1:8443", &outside.to_string());
    let (script, checked) = script(&page, folder.path());
    assert!(checked >= 30, "the page checks {checked} things only");
    // Outside the folder, which is the administrator's.
    let aside = tempfile::tempdir().unwrap();
    let (file, output) = (aside.path().join("page.sh"), aside.path().join("output"));
    fs::write(&file, script).unwrap();
    let log = File::create(&output).unwrap();
    // As a program of its own, not as a shell function: `$!` must be the gateway's.
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_portcullis"), aside.path().join("portcullis")).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(aside.path().to_owned()).chain(std::env::split_paths(&path))).unwrap();
    let shell = Command::new("bash")
        .arg(&file)
        .current_dir(folder.path())
        .env("PATH", path)
        .env_remove("RUST_LOG")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut shell = Shell(shell);
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = shell.0.try_wait().unwrap() {
            break status;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "the page takes longer than {PATIENCE:?}:
{}",
            fs::read_to_string(&output).unwrap()
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    let output = fs::read_to_string(&output).unwrap();
    assert!(status.success(), "{status}: docs/protecting-an-application.md {output}");
    let log = fs::read_to_string(folder.path().join("gateway.log")).unwrap();
    let trail: String =
        fs::read_dir(folder.path().join("audit")).unwrap().map(|e| fs::read_to_string(e.unwrap().path()).unwrap_or_default()).collect();
    for secret in ["alice-secret", "bob-secret", "carol-secret"] {
        assert!(!trail.contains(secret) && !output.contains(secret) && !log.contains(secret), "{secret} is in the trail or the log");
    }
    println!("{checked} results of the page are as it says");
}
