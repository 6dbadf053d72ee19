//! Account requests: the page over the real binary's TLS listener, the queue behind it, the answers from the command line.

use crate::program::{Ended, Program, ask, get, portcullis, records, until};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

pub(crate) const HOST: &str = "app.test";
pub(crate) const PAGE: &str = "/.portcullis/account";
/// Meets every demand.
const PASSWORD: &str = "correct horse battery";
/// alice's is `secret`.
const USERS: &str = "# people\nalice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
const GROUPS: &str = "staff: alice\n";
const RULES: &str = "SecRequestBodyAccess On\nSecRule ARGS:message \"@contains <script\" \"id:7,phase:2,deny,status:403,msg:'script'\"\n";

/// A gateway with the page, in a folder of its own.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    program: Program,
    /// Its listener with TLS.
    pub(crate) tls: SocketAddr,
    plain: SocketAddr,
}

impl Site {
    /// `more` goes into `[site.account_requests]`.
    pub(crate) fn start(more: &str) -> Self {
        Self::start_with(more, "https = \"redirect\"\n", "")
    }

    fn start_with(more: &str, of_site: &str, of_all: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = portcullis::tls::self_signed(&[HOST.into()], 30).unwrap();
        let policy = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n[audit]\ndirectory = \"audit\"\n\
             [auth]\nusers = \"htpasswd\"\ngroups = \"groups\"\n{of_all}[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\n\
             [[backend]]\nname = \"app\"\nmembers = [\"http://127.0.0.1:9\"]\n\
             [[site]]\nnames = [\"{HOST}\"]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\nrequire = [\"group staff\"]\n{of_site}\
             [site.account_requests]\n{more}[[site.map]]\npath = \"/\"\nto = \"app/\"\n"
        );
        for (name, text) in [
            ("htpasswd", USERS),
            ("groups", GROUPS),
            ("own.conf", RULES),
            ("cert.pem", &certificate),
            ("key.pem", &key),
            ("gateway.toml", &policy),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (program, tls, plain) = run(folder.path());
        Self { folder, program, tls, plain }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn queue(&self) -> String {
        fs::read_to_string(self.path().join("audit-state/account-requests.ndjson")).unwrap_or_default()
    }

    pub(crate) fn auth(&self, arguments: &[&str]) -> Ended {
        portcullis(self.path(), &[&["auth"][..], arguments, &["-c", "gateway.toml"]].concat(), "")
    }

    /// The ids of those who wait, as the command lists them.
    pub(crate) fn waiting(&self) -> Vec<serde_json::Value> {
        let ended = self.auth(&["requests", "--format", "json"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A fresh form: its cookie and its token.
    fn form(&self) -> (String, String) {
        let (status, answer) = ask(self.tls, Some(HOST), &get(HOST, PAGE, None));
        assert_eq!(status, 200, "{answer}");
        let cookie = header(&answer, "set-cookie").split(';').next().unwrap().to_owned();
        (cookie, value(&answer, "token"))
    }

    /// Sends a form with these fields, under further header lines.
    fn send(&self, headers: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let mut form = String::new();
        for (name, value) in fields {
            let _ = write!(form, "&{name}=");
            for byte in value.bytes() {
                let _ = write!(form, "%{byte:02X}");
            }
        }
        let length = form.len();
        let head = format!(
            "POST {PAGE} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\
             {headers}Connection: close\r\n\r\n"
        );
        ask(self.tls, Some(HOST), &format!("{head}{form}"))
    }

    /// Asks as a browser does, for this user name.
    fn ask_for(&self, user: &str) -> (u16, String) {
        let (cookie, token) = self.form();
        let headers = format!("Cookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\nOrigin: https://{HOST}\r\n");
        let (name, again) = (("name", "Zo\u{eb} <b>Q</b>"), ("password_again", PASSWORD));
        self.send(&headers, &[("token", &token), name, ("user", user), ("password", PASSWORD), again, ("message", "desk 4")])
    }

    /// The status that a login gets.
    pub(crate) fn login(&self, user: &str, password: &str) -> u16 {
        ask(self.tls, Some(HOST), &get(HOST, "/", Some((user, password)))).0
    }

    /// The records of a decision's reason, once there are `count` of them; more would be a mistake.
    fn decided(&self, reason: &str, count: usize) -> Vec<serde_json::Value> {
        let found = until(|| {
            let mut all = records(&self.path().join("audit"));
            all.retain(|record| record["decision"]["reason"] == reason);
            if all.len() >= count { Ok(all) } else { Err(format!("{} records of {reason} instead of {count}", all.len())) }
        });
        assert_eq!(found.len(), count, "{reason}: {found:#?}");
        found
    }

    /// The records of answers, once there are so many.
    fn answers(&self, count: usize) -> Vec<serde_json::Value> {
        until(|| {
            let text: String = fs::read_dir(self.path().join("audit"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
                .map(|path| fs::read_to_string(path).unwrap())
                .collect();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let found: Vec<_> = lines.filter(|record| record["event"]["kind"] == "account").collect();
            if found.len() >= count { Ok(found) } else { Err(format!("{} answers in the trail", found.len())) }
        })
    }
}

fn run(folder: &Path) -> (Program, SocketAddr, SocketAddr) {
    let mut program = Program::start(folder, &["run", "-c", "gateway.toml"]);
    program.says("listening on https://");
    program.says("listening on http://");
    let said = program.stderr();
    let address = |before: &str| -> SocketAddr {
        let at = said.find(before).unwrap() + before.len();
        said[at..].split_whitespace().next().unwrap().parse().unwrap()
    };
    let (tls, plain) = (address("listening on https://"), address("listening on http://"));
    (program, tls, plain)
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let head = answer.split("\r\n\r\n").next().unwrap();
    let line = head.lines().find(|line| line.split(':').next().is_some_and(|own| own.eq_ignore_ascii_case(name)));
    line.unwrap_or_else(|| panic!("no {name} in {head}"))[name.len() + 1..].trim()
}

/// The value of a field of the form.
fn value(page: &str, name: &str) -> String {
    let start = page.find(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no {name} in {page}"));
    page[start..].split('"').nth(3).unwrap().to_owned()
}

#[test]
fn somebody_asks_is_approved_and_logs_in() {
    let mut site = Site::start("");
    let (status, page) = ask(site.tls, Some(HOST), &get(HOST, PAGE, None));
    assert_eq!(status, 200);
    let policy = header(&page, "content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    let cookie = header(&page, "set-cookie");
    for part in ["__Secure-portcullis_account=", "; Secure", "; HttpOnly", "; SameSite=Strict", &format!("; Path={PAGE};")] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!page.contains("<script") && page.contains("action=\"/.portcullis/account\""));
    assert_eq!(site.login("carol", PASSWORD), 401);

    let (status, answer) = site.ask_for("carol");
    assert_eq!(status, 303, "{answer}");
    let location = header(&answer, "location").to_owned();
    let id = location.strip_prefix(&format!("{PAGE}?asked=")).unwrap().to_owned();
    let (status, page) = ask(site.tls, Some(HOST), &get(HOST, &location, None));
    assert!(status == 200 && page.contains("Your request is waiting") && page.contains(&id), "{page}");

    // One of those who wait, without the password and with its hash in the one file that is nobody else's.
    let waiting = site.waiting();
    assert_eq!(waiting.len(), 1);
    for (key, expected) in [
        ("id", id.as_str()),
        ("site", HOST),
        ("user", "carol"),
        ("name", "Zo\u{eb} <b>Q</b>"),
        ("message", "desk 4"),
        ("address", "127.0.0.1"),
        ("remark", ""),
    ] {
        assert_eq!(waiting[0][key], expected, "{key}");
    }
    assert!(waiting[0].get("hash").is_none() && site.queue().contains("\"hash\":\"$2y$12$"));
    assert_eq!(site.read("htpasswd"), USERS);
    assert_eq!(site.login("carol", PASSWORD), 401, "not yet");

    // Over a restart, and after it the rest.
    site.program.signal(rustix::process::Signal::TERM);
    site.program.ended(Duration::from_secs(30));
    (site.program, site.tls, site.plain) = run(site.path());
    let ended = site.auth(&["approve", &id, "--group", "staff", "--group", "new"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("there was no group new until now"), "{}", ended.stderr);
    let users = site.read("htpasswd");
    let added = users.strip_prefix(USERS).unwrap_or_else(|| panic!("what was there has changed: {users}"));
    assert!(added.starts_with("carol:$2y$12$") && added.lines().count() == 1, "{added}");
    assert_eq!(site.read("groups"), "staff: alice carol\nnew: carol\n");
    // The backend does not answer: the login has let her through.
    until(|| match site.login("carol", PASSWORD) {
        502 => Ok(()),
        other => Err(format!("carol gets {other}")),
    });
    assert_eq!(site.login("carol", "another password"), 401);
    assert_eq!(site.auth(&["approve", &id]).code, 1, "answered once");
    assert!(site.waiting().is_empty());

    let answers = site.answers(1);
    assert_eq!((answers[0]["account"]["answer"].as_str(), answers[0]["user"]["name"].as_str()), (Some("approved"), Some("carol")));
    assert_eq!((answers[0]["event"]["id"].as_str(), answers[0]["site"].as_str()), (Some(id.as_str()), Some(HOST)));
    assert_eq!(answers[0]["user"]["groups"], serde_json::json!(["staff", "new"]));
    assert!(answers[0]["account"]["by"].as_str().is_some_and(|by| !by.is_empty()));
    until(|| if site.queue().is_empty() { Ok(()) } else { Err(site.queue()) });
    // The story of the request has both, and the trail is whole.
    let story = portcullis(site.path(), &["audit", "show", &id, "-c", "gateway.toml"], "");
    assert!(story.stdout.contains("account_requested") && story.stdout.contains("approved"), "{}", story.stdout);
    let verified = portcullis(site.path(), &["audit", "verify", "-c", "gateway.toml"], "");
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    // The name that nobody had yet stands in the request's record as a hash only.
    let asked = site.decided("account_requested", 1);
    assert_eq!(asked[0]["decision"]["layer"], "account_requests");
    assert_eq!((asked[0]["decision"]["action"].as_str(), asked[0]["event"]["outcome"].as_str()), (Some("answer"), Some("success")));
    assert!(asked[0]["user"]["hash"].is_string() && asked[0]["user"].get("name").is_none(), "{}", asked[0]);
}

#[test]
fn a_taken_name_gets_the_same_answer_and_only_the_administrator_sees_it() {
    let site = Site::start("");
    let ((taken, taken_answer), (free, free_answer)) = (site.ask_for("alice"), site.ask_for("Alice"));
    assert_eq!((taken, free), (303, 303));
    let without_number = |answer: &str| {
        let lines = answer.lines().filter(|line| !line.to_lowercase().starts_with("date:"));
        lines.map(|line| line.split("asked=").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(without_number(&taken_answer), without_number(&free_answer));
    assert_eq!(site.ask_for("bob").0, 303);
    assert_eq!(site.ask_for("bob").0, 303);
    let waiting = site.waiting();
    let remarks: Vec<_> = waiting.iter().map(|request| request["remark"].as_str().unwrap()).collect();
    assert_eq!(
        remarks,
        ["there is already a user of this name", "there is already a user alice", "asked for 2 times", "asked for 2 times"]
    );
    let ids: Vec<_> = waiting.iter().map(|request| request["id"].as_str().unwrap()).collect();
    let refused = site.auth(&["approve", ids[0], "--group", "staff"]);
    assert!(refused.code == 1 && refused.stderr.contains("there is already a user alice"), "{}", refused.stderr);
    assert_eq!((site.read("htpasswd"), site.read("groups")), (USERS.into(), GROUPS.into()), "nothing was changed");
    assert_eq!(site.login("alice", "secret"), 502, "her password is still hers");
    for id in &ids[..2] {
        assert_eq!(site.auth(&["reject", id]).code, 0);
    }
    assert_eq!(site.auth(&["approve", ids[2]]).code, 0);
    assert_eq!(site.auth(&["approve", ids[3]]).code, 1, "one of the two has the name now");
    let answers = site.answers(3);
    let told: Vec<_> = answers.iter().map(|a| (a["user"]["name"].as_str().unwrap(), a["account"]["answer"].as_str().unwrap())).collect();
    assert_eq!(told, [("alice", "rejected"), ("Alice", "rejected"), ("bob", "approved")]);
    assert!(!site.read("htpasswd").contains("Alice"));
}

#[test]
fn forms_with_mistakes_come_back_without_the_password_and_nothing_waits() {
    let site = Site::start("password_characters_min = 15\n");
    let (cookie, token) = site.form();
    let cookie = format!("Cookie: {cookie}\r\n");
    let good = [("token", token.as_str()), ("name", "Zo\u{eb}"), ("user", "zoe"), ("password", PASSWORD), ("password_again", PASSWORD)];
    let with = |name: &str, value: &'static str| good.map(|(own, old)| if own == name { (own, value) } else { (own, old) });
    let cases: [(&str, &'static str, &str); 7] = [
        ("user", "z:oe", "must not hold a colon"),
        ("user", "zoe\u{1}x", "must not hold control characters"),
        ("user", "\u{202e}zoe", "that nobody can see"),
        ("user", "", "must not be empty"),
        ("name", "\" onfocus=\"x\u{202e}", "that nobody can see"),
        ("password", "Tr0ub4dor&3 !!", "at least 15 characters"),
        ("password_again", "something else here", "The two passwords differ"),
    ];
    for (name, value, told) in cases {
        let (status, page) = site.send(&cookie, &with(name, value));
        assert_eq!(status, 422, "{name} = {value:?}: {page}");
        assert!(page.contains(told) && page.contains("aria-invalid=\"true\""), "{name} = {value:?}: {page}");
        assert!(!page.contains(PASSWORD) && !page.contains("Tr0ub4dor") && !page.contains(" onfocus=\"x"), "{page}");
        assert_eq!(header(&page, "cache-control"), "no-store");
    }
    // What was filled in is kept, and the form that came back is good.
    let (_, page) = site.send(&cookie, &with("password_again", "something else here"));
    assert_eq!((self::value(&page, "name"), self::value(&page, "user")), ("Zo\u{eb}".into(), "zoe".into()));
    assert!(site.queue().is_empty());
    site.decided("account_form_wrong", 8);
}

#[test]
fn forms_of_others_and_old_ones_are_refused() {
    let site = Site::start("");
    let (cookie, token) = site.form();
    let fields =
        |token: &'static str| [("token", token), ("name", "Z"), ("user", "zoe"), ("password", PASSWORD), ("password_again", PASSWORD)];
    let own = format!("Cookie: {cookie}\r\n");
    for headers in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Origin: https://evil.example\r\n",
        "Origin: http://app.test\r\n",
        "Origin: null\r\n",
    ] {
        let mut with = fields("");
        with[0].1 = token.clone().leak();
        assert_eq!(site.send(&format!("{own}{headers}"), &with).0, 403, "{headers}");
    }
    site.decided("form_from_elsewhere", 6);
    // Without the browser's cookie, with another's, without a token, with one that was never given.
    let (other, _) = site.form();
    let real = token.clone().leak();
    for (headers, token) in [
        (String::new(), &*real),
        (format!("Cookie: {other}\r\n"), &*real),
        (own.clone(), ""),
        (own.clone(), "1764220000.0000000000000000000000000000000000000000000000000000000000000000"),
    ] {
        let (status, page) = site.send(&headers, &fields(token));
        assert!(status == 422 && page.contains("open for too long"), "{headers}: {status} {page}");
    }
    assert!(site.queue().is_empty());
    assert_eq!(site.send(&own, &fields(real)).0, 303, "the right one");
}

#[test]
fn floods_and_long_bodies_are_refused_and_the_queue_is_bounded() {
    let site = Site::start("requests_per_address_per_hour = 3\nwaiting_max = 2\n");
    assert_eq!(site.ask_for("one").0, 303);
    assert_eq!(site.ask_for("two").0, 303);
    let (status, answer) = site.ask_for("three");
    assert_eq!((status, header(&answer, "retry-after")), (503, "3600"), "{answer}");
    let (status, answer) = site.ask_for("four");
    assert!(status == 429 && header(&answer, "retry-after").parse::<u64>().is_ok_and(|wait| (1..=1200).contains(&wait)), "{answer}");
    assert_eq!(site.waiting().len(), 2);
    let (cookie, token) = site.form();
    let long = "x".repeat(9_000);
    let fields = [("token", token.as_str()), ("name", &long)];
    let cookie = format!("Cookie: {cookie}\r\n");
    assert_eq!(site.send(&cookie, &fields).0, 413);
    // The same without a length: it is cut while it comes.
    let body = format!("name={long}");
    let chunked = format!(
        "POST {PAGE} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n{cookie}\
         Connection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    assert_eq!(ask(site.tls, Some(HOST), &chunked).0, 413);
    // Whoever only looks is bounded too, by what the page's own limit is.
    let refused = (0..600).find(|_| ask(site.tls, Some(HOST), &get(HOST, PAGE, None)).0 == 429);
    assert!(refused.is_some_and(|looks| looks > 40), "{refused:?}");
    for (reason, count) in [("account_queue_full", 1), ("account_request_flood", 2), ("form_too_large", 2)] {
        site.decided(reason, count);
    }
}

#[test]
fn rules_see_the_form_and_nothing_else_is_open() {
    let site = Site::start("");
    let (cookie, token) = site.form();
    let headers = format!("Cookie: {cookie}\r\n");
    let fields = [
        ("token", token.as_str()),
        ("name", "Z"),
        ("user", "zoe"),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
        ("message", "<script>"),
    ];
    assert_eq!(site.send(&headers, &fields).0, 403);
    assert_eq!(site.decided("rule_denied", 1)[0]["rules"][0]["id"], 7);
    assert!(site.queue().is_empty());
    // The page and no neighbour of it, in no other spelling of which something else could be meant.
    let paths = [
        ("/.portcullis", 401),
        ("/.portcullis/", 401),
        ("/.portcullis/account/", 401),
        ("/.portcullis/account/x", 401),
        ("/.portcullis/ACCOUNT", 401),
        ("/.portcullis/x/../account", 400),
        ("/.portcullis/accoun%74", 200),
        ("/.portcullis%2Faccount", 400),
        ("/.portcullis/account;x=1", 400),
    ];
    for (path, status) in paths {
        assert_eq!(ask(site.tls, Some(HOST), &get(HOST, path, None)).0, status, "{path}");
    }
    let method = |method: &str| ask(site.tls, Some(HOST), &get(HOST, PAGE, None).replacen("GET", method, 1));
    assert_eq!(header(&method("PUT").1, "allow"), "GET, HEAD, POST");
    let (status, head) = method("HEAD");
    assert!(status == 200 && head.ends_with("\r\n\r\n"), "{head}");
    assert!(header(&head, "content-length").parse::<usize>().unwrap() > 1_000);
    // A login that comes along is not looked at, and goes nowhere.
    assert_eq!(ask(site.tls, Some(HOST), &get(HOST, PAGE, Some(("alice", "wrong")))).0, 200);
    // Plain HTTP leads to https before there is a form.
    let (status, answer) = ask(site.plain, None, &get(HOST, PAGE, None));
    assert!(status == 308 && header(&answer, "location").starts_with("https://app.test"), "{answer}");
}

#[test]
fn over_plain_http_there_is_a_page_only_where_the_policy_says_so_dangerously() {
    let site = Site::start_with("", "https = \"either\"\n", "dangerously_allow_basic_over_http = true\n");
    let (status, page) = ask(site.plain, None, &get(HOST, PAGE, None));
    let cookie = header(&page, "set-cookie");
    assert!(status == 200 && cookie.starts_with("portcullis_account=") && !cookie.contains("Secure"), "{cookie}");
    let policy = site.read("gateway.toml").replace("dangerously_allow_basic_over_http = true\n", "");
    fs::write(site.path().join("open.toml"), policy.replace("require = [\"group staff\"]", "require = [\"all granted\"]")).unwrap();
    let checked = portcullis(site.path(), &["check", "-c", "open.toml"], "");
    assert!(checked.code == 2 && checked.stderr.contains("passwords would be asked for over plain HTTP"), "{}", checked.stderr);
}

#[test]
fn what_nobody_answers_expires_and_is_taken_down() {
    let mut site = Site::start("expire_days = 1\n");
    assert_eq!(site.ask_for("carol").0, 303);
    let id = site.waiting()[0]["id"].as_str().unwrap().to_owned();
    site.program.signal(rustix::process::Signal::TERM);
    site.program.ended(Duration::from_secs(30));
    // The day is over.
    let path = site.path().join("audit-state/account-requests.ndjson");
    let mut line: serde_json::Value = serde_json::from_str(site.queue().trim()).unwrap();
    line["expires"] = "2026-01-01T00:00:00.000000Z".into();
    fs::write(&path, format!("{line}\n")).unwrap();
    assert!(site.waiting().is_empty());
    assert_eq!(site.auth(&["approve", &id]).code, 1);
    (site.program, site.tls, site.plain) = run(site.path());
    let answers = site.answers(1);
    assert_eq!((answers[0]["account"]["answer"].as_str(), answers[0]["user"]["name"].as_str()), (Some("expired"), Some("carol")));
    assert!(answers[0]["account"].get("by").is_none());
    until(|| if site.queue().is_empty() { Ok(()) } else { Err(site.queue()) });
    assert_eq!(site.read("htpasswd"), USERS);
}

#[test]
fn a_site_that_says_nothing_has_no_such_page() {
    let site = Site::start("");
    let policy = site.read("gateway.toml").replace("[site.account_requests]\n", "");
    fs::write(site.path().join("gateway.toml"), policy).unwrap();
    site.program.signal(rustix::process::Signal::HUP);
    until(|| match ask(site.tls, Some(HOST), &get(HOST, PAGE, None)).0 {
        401 => Ok(()),
        other => Err(format!("the page answers {other}")),
    });
    assert_eq!(site.waiting().len(), 0);
}
