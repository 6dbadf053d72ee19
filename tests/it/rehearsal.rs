//! Promises of `portcullis test`: the go-ftw format to the letter, mistakes with their place, results that tell what happened.

use crate::gateway::{Gate, open_site, run};
use crate::program::{Ended, portcullis};
use portcullis::audit::Record;
use portcullis::rehearse::ftw::{self, Overrides};
use portcullis::rehearse::{Scene, Setup, backend};
use portcullis::server::Enclosed;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn blessing() -> bool {
    std::env::var_os("UPDATE").is_some()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

fn same(expected: &Path, got: &str, wrong: &mut Vec<String>) {
    if blessing() {
        fs::write(expected, got).unwrap();
    } else if fs::read_to_string(expected).unwrap_or_default() != got {
        wrong.push(format!("--- {}\n{got}", expected.display()));
    }
}

#[test]
fn every_mistake_in_a_test_file_is_an_error_with_its_place() {
    let files = files("tests/ftw/mistakes");
    assert!(files.len() >= 20, "only {} cases", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let read = ftw::read(&path);
        let fine = path.file_name().unwrap().to_string_lossy().starts_with("fine-");
        if fine != read.is_ok() {
            wrong.push(format!("--- {}: files that are read, and only those, are called fine-*", path.display()));
        }
        if let Err(mistake) = read {
            let got = mistake.to_string().replace(&format!("{ROOT}/"), "");
            same(&path.with_extension("expected"), &format!("{got}\n"), &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 blesses these:\n{}", wrong.join("\n"));
}

#[test]
fn a_file_of_comments_has_no_tests_and_a_file_may_be_named_by_its_rule() {
    let folder = Path::new(ROOT).join("tests/ftw/mistakes");
    assert_eq!(ftw::read(&folder.join("fine-empty.yaml")).unwrap().tests.len(), 0);
    assert_eq!(ftw::read(&folder.join("fine-named-by-4711.yaml")).unwrap().tests[0].name(), "4711-1");
}

#[test]
fn requests_go_out_as_go_ftw_builds_them() {
    for name in ["tests/ftw/requests.yaml", "tests/ftw/payloads.yaml"] {
        let file = ftw::read(&Path::new(ROOT).join(name)).unwrap_or_else(|e| panic!("{e}"));
        assert!(file.tests.len() >= 2);
        for test in file.tests {
            let sent = ftw::bytes(&test.stages[0].input).escape_ascii().to_string();
            // A quote needs no escape in the expected text.
            assert_eq!(sent.replace("\\\"", "\"").replace("\\'", "'"), test.description, "{name} {}", test.name());
        }
    }
}

#[test]
fn an_override_needs_a_reason_and_says_what_is_expected() {
    let head = "version: v0.0.0\nmeta: {engine: x, platform: x, annotations: {}}\ntest_overrides:\n";
    let parse = |text: &str| Overrides::parse(Path::new("o.yaml"), &format!("{head}{text}")).map_err(|e| e.to_string());
    assert_eq!(parse("  - {rule_id: 1, reason: because, output: {status: 400}}\n").unwrap().len(), 1);
    for (text, says) in [
        ("  - {rule_id: 1, output: {status: 400}}\n", "missing field `reason`"),
        ("  - {rule_id: 1, reason: ' ', output: {status: 400}}\n", "needs its reason"),
        ("  - {rule_id: 1, reason: because}\n", "would pass whatever happens"),
        ("  - {rule_id: 1, reason: because, output: {}}\n", "would pass whatever happens"),
        ("  - {rule_id: 1, reason: because, outputs: {}}\n", "unknown field `outputs`"),
    ] {
        let mistake = parse(text).unwrap_err();
        assert!(mistake.starts_with("o.yaml:4:") && mistake.contains(says), "{text}: {mistake}");
    }
}

fn test_command(folder: &Path, arguments: &[&str]) -> Ended {
    portcullis(folder, &[&["test"], arguments].concat(), "")
}

fn last_line(ended: &Ended) -> &str {
    ended.stdout.lines().last().unwrap_or_default()
}

/// What differs from run to run.
fn steady(text: &str) -> String {
    regex::Regex::new("event [0-9A-Z]{26}").unwrap().replace_all(text, "event ID").into_owned()
}

#[test]
fn tests_that_hold_pass_and_those_that_do_not_say_what_happened_instead() {
    let suite = Path::new(ROOT).join("tests/ftw/suite");
    let passing = test_command(&suite, &["passing.yaml", "--rules", "rules.conf"]);
    assert_eq!((passing.code, last_line(&passing)), (0, "11 passed, 0 failed, 0 stricter by decision"), "{}", passing.stdout);
    assert_eq!(passing.stderr, "", "no progress bar where nobody looks");
    let failing = test_command(&suite, &["failing.yaml", "--rules", "rules.conf"]);
    assert_eq!((failing.code, last_line(&failing)), (1, "0 passed, 9 failed, 0 stricter by decision"), "{}", failing.stdout);
    let mut wrong = Vec::new();
    same(&suite.join("failing.expected"), &steady(&failing.stdout), &mut wrong);
    assert!(wrong.is_empty(), "UPDATE=1 blesses this:\n{}", wrong.join("\n"));
}

#[test]
fn overridden_tests_count_apart_with_their_reason() {
    let suite = Path::new(ROOT).join("tests/ftw/suite");
    let ended = test_command(&suite, &["failing.yaml", "passing.yaml", "--rules", "rules.conf", "--overrides", "overrides.yaml"]);
    assert_eq!((ended.code, last_line(&ended)), (1, "11 passed, 7 failed, 2 stricter by decision"), "{}", ended.stdout);
    assert!(ended.stdout.contains("stricter 200-1: attacks are refused here\n"), "{}", ended.stdout);
    let one = test_command(&suite, &["failing.yaml", "--rules", "rules.conf", "--overrides", "overrides.yaml", "--only", "^200-(1|7)$"]);
    assert_eq!((one.code, last_line(&one)), (0, "0 passed, 0 failed, 2 stricter by decision"), "{}", one.stdout);
}

#[test]
fn results_are_there_for_programs_too() {
    let suite = Path::new(ROOT).join("tests/ftw/suite");
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("junit.xml");
    let arguments = ["--format", "json", ".", "--rules", "rules.conf", "--junit", report.to_str().unwrap()];
    // overrides.yaml lies in the same folder and is no test file: named by itself, not found by chance.
    let ended = test_command(&suite, &arguments);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("./overrides.yaml:1:1: error: unknown field `version`"), "{}", ended.stderr);
    let arguments = ["--format", "json", "passing.yaml", "failing.yaml", "--rules", "rules.conf", "--junit", report.to_str().unwrap()];
    let ended = test_command(&suite, &arguments);
    assert_eq!(ended.code, 1);
    let value: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((value["run"].as_u64(), value["passed"].as_u64(), value["failed"].as_u64()), (Some(20), Some(11), Some(9)));
    let first = &value["tests"][0];
    assert_eq!((&first["test"], &first["result"]), (&"100-1".into(), &"passed".into()));
    assert_eq!(first["stages"][0]["rules"], serde_json::json!([100, 101]));
    assert_eq!(first["stages"][0]["decisions"][0]["reason"], "rule_denied");
    let xml = fs::read_to_string(&report).unwrap();
    assert!(xml.contains("<testsuites name=\"portcullis test\" tests=\"20\" failures=\"9\">"), "{xml}");
    assert_eq!((xml.matches("<testsuite ").count(), xml.matches("<testcase ").count(), xml.matches("<failure ").count()), (2, 20, 9));
    assert!(xml.contains("message=\"expected status 200, got 403\""), "{xml}");
}

#[test]
fn rules_that_no_test_fires_are_named_file_by_file() {
    let suite = Path::new(ROOT).join("tests/ftw/suite");
    let arguments = ["passing.yaml", "--rules", "rules.conf", "--coverage", "--only", "^100-1$"];
    let ended = test_command(&suite, &arguments);
    let expected = "rules.conf: 2 of 5 fired\n  never 102 at line 6: A note\n  never 104 at line 8: Go away\n  never 105 at line 9: Dropped\n\
                    2 of 5 rules fired; 1 rule that logs nothing is not counted\n1 passed, 0 failed, 0 stricter by decision\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (0, expected), "{}", ended.stderr);
    let ended = portcullis(&suite, &[&["--format", "json", "test"][..], &arguments].concat(), "");
    let coverage = &serde_json::from_str::<Value>(&ended.stdout).unwrap()["coverage"];
    assert_eq!((&coverage["rules"], &coverage["fired"], &coverage["silent"]), (&5.into(), &2.into(), &1.into()));
    let file = &coverage["files"][0];
    assert!(file["file"].as_str().unwrap().ends_with("tests/ftw/suite/rules.conf"), "{file}");
    assert_eq!(file["never"][0], serde_json::json!({"id": 102, "line": 6, "message": "A note"}));
    let whole = test_command(&suite, &["passing.yaml", "--rules", "rules.conf", "--coverage"]);
    assert!(whole.stdout.starts_with("rules.conf: 5 of 5 fired\n5 of 5 rules fired;"), "{}", whole.stdout);
    let live = test_command(&suite, &["passing.yaml", "--live", "http://127.0.0.1:1", "--coverage"]);
    assert_eq!(live.code, 2, "{}", live.stderr);
}

#[test]
fn usage_and_files_that_are_not_there_are_told_apart_from_failures() {
    let suite = Path::new(ROOT).join("tests/ftw/suite");
    let folder = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (vec!["nowhere.yaml"], "nowhere.yaml: error: cannot be read"),
        (vec![folder.path().to_str().unwrap()], "there are no tests here"),
        (vec!["passing.yaml", "--rules", "nowhere.conf"], "nowhere.conf: error: there is no such file"),
        (vec!["passing.yaml", "--rules", "rules.conf", "--only", "^9-"], "no test here has such a name"),
        (vec!["passing.yaml", "--crs", "."], "there is no folder rules here"),
        (vec!["passing.yaml", "--live", "http://127.0.0.1:1"], "audit folder, which is not named"),
        (vec!["passing.yaml", "--live", "127.0.0.1"], "write http://host:port"),
        (vec!["passing.yaml", "--crs", ".", "--rules", "rules.conf"], "cannot be used with"),
    ] {
        let ended = test_command(&suite, &arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.stderr);
        let said = ended.stderr.replace(&format!("{}/", suite.display()), "");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    let free = folder.path().join("audit");
    fs::create_dir(&free).unwrap();
    let dead = test_command(&suite, &["passing.yaml", "--live", "http://127.0.0.1:1", "--audit", free.to_str().unwrap()]);
    assert_eq!(dead.code, 3, "{}", dead.stderr);
}

#[test]
fn a_policy_is_tested_whole_with_its_logins_maps_and_rules_and_its_backends_are_never_called() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    // The backend's name cannot be resolved: a test that called it would get 502.
    write(
        "gateway.toml",
        "[[listener]]\naddress = \"0.0.0.0:80\"\ntls = false\n[auth]\nusers = \"htpasswd\"\ngroups = \"groups\"\nrealm = \"x\"\n\
         dangerously_allow_basic_over_http = true\n[rate_limit]\nrequests = 1\nburst = 1\n[inspection]\nmode = \"block\"\n[audit]\n\
         directory = \"audit\"\n[[backend]]\nname = \"app\"\nmembers = [\"https://app.invalid\"]\n[[site]]\nnames = [\"app.test\"]\n\
         https = \"either\"\nrequire = [\"group staff\"]\n[[site.map]]\npath = \"/\"\nto = \"app/\"\nexclude = [\"/admin\"]\n",
    );
    write("htpasswd", "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    write("groups", "staff: alice\n");
    fs::create_dir(folder.path().join("tests")).unwrap();
    let stage =
        |uri: &str, status: u16| format!("[{{input: {{uri: \"{uri}\", headers: {{Host: app.test}}}}, output: {{status: {status}}}}}]");
    let tests = |name: &str, cases: &[(&str, u16)]| {
        let list: String = cases.iter().map(|(uri, status)| format!("  - stages: {}\n", stage(uri, *status))).collect();
        write(name, &format!("rule_id: 1\ntests:\n{list}"));
    };
    tests("tests/staff.yaml", &[("/", 200), ("/", 200), ("/", 200), ("/admin", 404), ("/?q=<script>alert(1)</script>", 403)]);
    tests("strangers.yaml", &[("/", 401), ("/admin", 401), ("/?q=<script>alert(1)</script>", 401)]);
    tests("others.yaml", &[("/", 403)]);
    for (arguments, passed) in [(vec!["--user", "alice"], 5), (vec!["strangers.yaml"], 3), (vec!["others.yaml", "--user", "bob"], 1)] {
        let ended = test_command(folder.path(), &[&["-c", "gateway.toml"][..], &arguments].concat());
        assert_eq!((ended.code, last_line(&ended)), (0, &*format!("{passed} passed, 0 failed, 0 stricter by decision")), "{ended:?}");
    }
    assert!(!folder.path().join("audit").exists(), "a rehearsal leaves nothing in the policy's audit trail");
}

/// One request over plain HTTP to an enclosed gateway.
async fn enclosed(gateway: &Enclosed, request: &str) -> String {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    client.write_all(request.as_bytes()).await.unwrap();
    let serve = gateway.serve(server, "192.0.2.1:50000".parse().unwrap(), "192.0.2.80:80".parse().unwrap(), 1, None);
    let mut answer = String::new();
    let (_, read) = tokio::join!(serve, client.read_to_string(&mut answer));
    read.unwrap();
    answer
}

#[tokio::test]
async fn an_account_is_asked_for_in_a_rehearsal_and_nobody_outside_hears_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "[[listener]]\naddress = \"0.0.0.0:80\"\ntls = false\n[auth]\nusers = \"htpasswd\"\nrealm = \"x\"\n\
                  dangerously_allow_basic_over_http = true\n[inspection]\nmode = \"off\"\n[audit]\ndirectory = \"audit\"\n\
                  [[backend]]\nname = \"app\"\nmembers = [\"http://app.invalid\"]\n[[site]]\nnames = [\"app.test\"]\nhttps = \"either\"\n\
                  require = [\"valid-user\"]\n[site.account_requests]\n\
                  [[site.map]]\npath = \"/\"\nto = \"app/\"\n";
    fs::write(folder.path().join("gateway.toml"), policy).unwrap();
    fs::write(folder.path().join("htpasswd"), "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").unwrap();
    let path = folder.path().join("gateway.toml");
    let scene = Scene::new(&Setup::Policy { path, user: None }, backend::start().unwrap()).unwrap_or_else(|e| panic!("{e:?}"));
    let trail = Enclosed::trail(&scene.prepared.policy, Arc::new(|_: &Record| {})).unwrap();
    let gateway = Enclosed::new(&scene.prepared, &trail).unwrap();
    let head = "/.portcullis/account HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n";
    let page = enclosed(&gateway, &format!("GET {head}\r\n")).await;
    let between = |start: &str, end: &str| page.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map(|(own, _)| own);
    let cookie = between("set-cookie: ", ";").or(between("Set-Cookie: ", ";")).unwrap_or_else(|| panic!("{page}"));
    let token = between("name=\"token\" value=\"", "\"").unwrap_or_else(|| panic!("{page}"));
    let form = format!("token={token}&name=Zoe&user=zoe&password=correct+horse+battery&password_again=correct+horse+battery&message=");
    let fields = format!("Cookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", form.len());
    let answer = enclosed(&gateway, &format!("POST {head}{fields}\r\n{form}")).await;
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
    assert!(fs::read_dir(folder.path()).unwrap().count() == 2, "the policy's own folders are not touched");
}

#[test]
fn a_running_gateway_is_tested_by_its_audit_trail() {
    run(async {
        let rules = fs::read_to_string(Path::new(ROOT).join("tests/ftw/suite/rules.conf")).unwrap();
        let policy = format!("[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\n{}", open_site(backend::start().unwrap(), ""));
        let gate = Gate::start_with(&policy, &[("own.conf", &rules)]);
        let suite = Path::new(ROOT).join("tests/ftw/suite");
        let (audit, ca) = (gate.file("audit"), gate.file("cert.pem"));
        for (url, address) in [("http://app.test", gate.plain), ("https://app.test", gate.tls)] {
            let address = address.to_string();
            let arguments = ["--live", url, "--connect", &address, "--audit", audit.to_str().unwrap(), "--ca", ca.to_str().unwrap()];
            let passing = test_command(&suite, &[&["passing.yaml"][..], &arguments].concat());
            assert_eq!((passing.code, last_line(&passing)), (0, "11 passed, 0 failed, 0 stricter by decision"), "{passing:?}");
            let failing = test_command(&suite, &[&["failing.yaml"][..], &arguments].concat());
            assert_eq!((failing.code, last_line(&failing)), (1, "0 passed, 9 failed, 0 stricter by decision"), "{failing:?}");
        }
        // Another gateway's trail decides nothing.
        let other = tempfile::tempdir().unwrap();
        let arguments =
            ["passing.yaml", "--live", &format!("http://{}", gate.plain), "--audit", other.path().to_str().unwrap(), "--only", "100-1$"];
        let ended = test_command(&suite, &arguments);
        assert_eq!(ended.code, 3);
        assert!(ended.stderr.contains("left no record in the audit folder"), "{}", ended.stderr);
    });
}

#[test]
fn the_baselines_own_tests_pass_in_the_runner() {
    let ended = test_command(Path::new(ROOT), &[]);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    let passed: usize = last_line(&ended).split(' ').next().unwrap().parse().unwrap();
    assert!(passed >= 100, "{}", last_line(&ended));
}

/// The fenced blocks of a page with this language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_pages_examples_run() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/testing-policies.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.conf"), &blocks(&page, "apache")[0]).unwrap();
    let yaml = blocks(&page, "yaml");
    fs::write(folder.path().join("traversal.yaml"), &yaml[0]).unwrap();
    assert_eq!(Overrides::parse(Path::new("o.yaml"), &yaml[1]).unwrap().len(), 1);
    let (command, says) = blocks(&page, "console")[1].split_once('\n').map(|(c, s)| (c.to_owned(), s.to_owned())).unwrap();
    let arguments: Vec<&str> = command.strip_prefix("$ portcullis ").unwrap().split(' ').collect();
    let ended = portcullis(folder.path(), &arguments, "");
    assert_eq!((ended.code, ended.stdout), (0, says), "{}", ended.stderr);
    for option in ["--only", "--junit", "--connect", "--ca", "--detect", "--user", "--ip", "--overrides", "--live", "--audit", "--crs"] {
        assert!(page.contains(&format!("{option} ")) || page.contains(&format!("{option}`")), "{option} is not on the page");
    }
}
