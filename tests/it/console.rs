//! The console over its socket: who gets in, what forms may do, and that nothing of a record becomes markup.

use crate::backend::{Backend, ok};
use crate::gateway::{Answer, Gate, ask, get, open_site, run};
use std::net::SocketAddr;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\nrequire = [\"group admins\"]\n";
/// A request that a rule refuses, with what would run in a browser or steer a terminal.
const HOSTILE: &str = "/shop?q=%3Cscript%3Ealert(1)%3C/script%3E%1b%5b2J";
const RULES: &str =
    "SecRule ARGS \"@contains <script\" \"id:4711,phase:2,deny,status:403,msg:'Script in <b>an</b> argument',logdata:'%{MATCHED_VAR}'\"\n";

/// A gateway with a console, the console's address, and the application behind.
async fn gate() -> (Gate, SocketAddr, Backend) {
    let backend = Backend::start(|_| ok("the application")).await;
    let inspection = "[inspection]\nmode = \"block\"\nrules = [\"script.conf\"]\n";
    let gate = Gate::start_with(&format!("{ADMIN}{inspection}{}", open_site(backend.address, "")), &[("script.conf", RULES)]);
    let admin = gate.gateway().admin_address().unwrap();
    (gate, admin, backend)
}

async fn fetch(admin: SocketAddr, path: &str, cookie: &str) -> Answer {
    ask(admin, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: a=b; {cookie}\r\nConnection: close\r\n\r\n")).await
}

async fn post(admin: SocketAddr, path: &str, headers: &str, form: &str) -> Answer {
    let length = form.len();
    ask(
        admin,
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n{headers}\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{form}"
        ),
    )
    .await
}

/// The value of a hidden field of a page.
fn field(page: &str, name: &str) -> String {
    let start = page.find(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no {name} in {page}"));
    page[start..].split('"').nth(3).unwrap().to_owned()
}

/// Logs in; the answer to the form.
async fn try_login(admin: SocketAddr, user: &str, password: &str) -> Answer {
    let page = fetch(admin, "/login", "").await;
    assert_eq!(page.status, 200);
    post(
        admin,
        "/login",
        "Sec-Fetch-Site: same-origin\r\n",
        &format!("token={}&user={user}&password={password}", field(page.text(), "token")),
    )
    .await
}

/// The cookie of a fresh session of alice.
async fn login(admin: SocketAddr) -> String {
    let answer = try_login(admin, "alice", "secret").await;
    assert_eq!(answer.status, 303, "{}", answer.head);
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn strangers_see_the_login_and_nothing_else() {
    run(async {
        let (gate, admin, _backend) = gate().await;
        for path in ["/", "/events", "/groups", "/top", "/state", "/event/01HF7YAT000000000000000007", "/nothing", "/%2e%2e/events", "//"] {
            let answer = fetch(admin, path, "portcullis_console=0000.00").await;
            assert_eq!((answer.status, answer.text()), (303, ""), "{path}");
            assert!(answer.header("location").starts_with("/login"), "{path}");
        }
        for path in ["/review", "/logout"] {
            assert_eq!(post(admin, path, "", "token=x&group=0123456789abcdef").await.header("location"), "/login", "{path}");
        }
        let page = fetch(admin, "/login?next=//evil.example/", "").await;
        assert_eq!(field(page.text(), "next"), "/", "nobody is led elsewhere");
        for (name, part) in [
            ("content-security-policy", "default-src 'none'"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
        ] {
            assert!(page.header(name).contains(part), "{name}");
        }
        for method in ["PUT", "DELETE", "OPTIONS"] {
            let answer = ask(admin, format!("{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
            assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, POST"), "{method}");
        }
        // The public listeners know none of it.
        assert_eq!(ask(gate.plain, get("/login", "")).await.status, 200, "the application's own");
        assert!(!ask(gate.plain, get("/style.css", "")).await.text().contains("--paper"));
    });
}

#[test]
fn only_the_right_people_get_in_and_guesses_are_slowed() {
    run(async {
        let (_gate, admin, _backend) = gate().await;
        for (user, password) in [("alice", "wrong"), ("bob", "hunter2"), ("nobody", "secret"), ("", "")] {
            let answer = try_login(admin, user, password).await;
            assert_eq!((answer.status, answer.headers("set-cookie").len()), (403, 0), "{user}");
            assert!(answer.text().contains("Name or password is wrong"), "{user}");
        }
        let cookie = login(admin).await;
        assert_eq!(fetch(admin, "/", &cookie).await.status, 200);
        let mut statuses = Vec::new();
        for _ in 0..8 {
            statuses.push(try_login(admin, "alice", "guess").await.status);
        }
        assert_eq!(statuses.first(), Some(&403));
        assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
        let held = try_login(admin, "alice", "secret").await;
        assert!(held.status == 429 && held.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
        assert_eq!(fetch(admin, "/", &cookie).await.status, 200, "a session goes on");
    });
}

#[test]
fn forms_of_others_change_nothing() {
    run(async {
        let (_gate, admin, _backend) = gate().await;
        let token = field(fetch(admin, "/login", "").await.text(), "token");
        let form = format!("token={token}&user=alice&password=secret");
        for headers in
            ["Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n", "Origin: http://evil.example\r\n", "Origin: null\r\n"]
        {
            assert_eq!(post(admin, "/login", headers, &form).await.status, 403, "{headers}");
        }
        assert_eq!(post(admin, "/login", "", "user=alice&password=secret").await.status, 403, "no token");
        assert_eq!(post(admin, "/login", "Origin: http://localhost\r\n", &form).await.status, 303);
        let cookie = login(admin).await;
        let with = format!("Cookie: {cookie}\r\n");
        let page = fetch(admin, "/groups", &cookie).await;
        let token = field(page.text(), "token");
        let mark = |token: &str, group: &str| format!("token={token}&group={group}&reviewed=yes&note=fine&next=/groups");
        assert_eq!(post(admin, "/review", &with, &mark("", "0123456789abcdef")).await.status, 403);
        assert_eq!(post(admin, "/review", &with, &mark(&"0".repeat(32), "0123456789abcdef")).await.status, 403);
        assert_eq!(post(admin, "/review", &with, &mark(&token, "../../etc")).await.status, 400);
        assert_eq!(post(admin, "/logout", &with, "token=0").await.status, 403);
        assert_eq!(post(admin, "/review", &with, &"x".repeat(20_000)).await.status, 413);
        assert_eq!(post(admin, "/review", &with, &mark(&token, "0123456789abcdef")).await.status, 303);
        assert_eq!(post(admin, "/logout", &with, &format!("token={token}")).await.header("location"), "/login");
        assert_eq!(fetch(admin, "/groups", &cookie).await.status, 303, "the session has ended");
    });
}

#[test]
fn an_event_is_found_told_and_reviewed_and_its_payload_stays_text() {
    run(async {
        let (gate, admin, _backend) = gate().await;
        assert_eq!(ask(gate.plain, get(HOSTILE, "User-Agent: <img src=x onerror=alert(2)>\r\n")).await.status, 403);
        assert_eq!(ask(gate.plain, get("/calm", "")).await.status, 200);
        let record = gate.record("/shop").await;
        let id = record["event"]["id"].as_str().unwrap();
        let cookie = login(admin).await;
        let mut pages = Vec::new();
        for path in [
            "/",
            "/events?layer=inspection&action=deny&status=403&rule=4711&q=script",
            "/groups",
            "/top",
            "/state",
            "/top?by=agent",
            &format!("/event/{id}"),
            "/events?user=%22%3E%3Cscript%3E&since=7d",
        ] {
            let answer = fetch(admin, path, &cookie).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let text = answer.text().to_owned();
            for forbidden in ["<script>alert", "<img", "\u{1b}", " onerror=\"", "<b>an", " style="] {
                assert!(!text.contains(forbidden), "{forbidden:?} in {path}:\n{text}");
            }
            pages.push(text);
        }
        let [overview, events, groups, top, state, agents, event, _] = &pages[..] else { unreachable!() };
        assert!(events.contains(&format!("/event/{id}")) && events.contains("inspection deny"), "{events}");
        assert!(!events.contains("/calm"), "the filter holds");
        for part in
            ["4711", "ARGS:q", "<mark>&lt;script&gt;alert(1)&lt;/script&gt;\\u001b[2J</mark>", "Script in &lt;b&gt;an&lt;/b&gt; argument"]
        {
            assert!(event.contains(part), "{part} is missing:\n{event}");
        }
        assert!(overview.contains("<svg") && overview.contains("4711") && top.contains("4711") && agents.contains("&lt;img"));
        assert!(state.contains("every record is kept") && state.contains("app.test"), "{state}");
        let (token, group) = (field(groups, "token"), field(groups, "group"));
        let form = format!("token={token}&group={group}&reviewed=yes&note=a+%3Cscanner%3E&next=/groups");
        assert_eq!(post(admin, "/review", &format!("Cookie: {cookie}\r\n"), &form).await.status, 303);
        assert!(fetch(admin, "/groups", &cookie).await.text().contains("Nothing is left to review"));
        let all = fetch(admin, "/groups?reviewed=all", &cookie).await;
        assert!(all.text().contains("a &lt;scanner&gt;") && all.text().contains("reviewed by alice"), "{}", all.text());
    });
}

#[test]
fn a_question_that_makes_no_sense_is_answered_in_words() {
    run(async {
        let (_gate, admin, _backend) = gate().await;
        let cookie = login(admin).await;
        for (path, status, part) in [
            ("/events?status=abc", 400, "is no status"),
            ("/events?ip=%3Cb%3E", 400, "`&lt;b&gt;` is no address"),
            ("/groups?since=yesterday", 400, "is no time"),
            ("/event/short", 404, "no such event"),
            ("/event/01HF7YAT000000000000000007", 404, "no such event"),
            ("/top?by=cause", 404, "Not found"),
            ("/nothing", 404, "Not found"),
        ] {
            let answer = fetch(admin, path, &cookie).await;
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.text().contains(part), "{path}: {}", answer.text());
        }
    });
}

#[test]
fn somebody_who_is_removed_or_has_a_new_password_is_out_at_once() {
    run(async {
        let (gate, admin, _backend) = gate().await;
        let cookie = login(admin).await;
        let users = std::fs::read_to_string(gate.file("htpasswd")).unwrap();
        std::fs::write(gate.file("htpasswd"), users.replace("5en6G6MezRroT3XKqkdPOmY/BfQ=", "nU4eI71bcnBGqeO0t9tXvY1u5oQ=")).unwrap();
        assert_eq!(fetch(admin, "/", &cookie).await.status, 303);
        std::fs::write(gate.file("htpasswd"), users).unwrap();
        assert_eq!(fetch(admin, "/", &cookie).await.status, 303, "an ended session stays ended");
        let cookie = login(admin).await;
        std::fs::write(gate.file("groups"), "staff: alice bob\nadmins: bob\n").unwrap();
        assert_eq!(fetch(admin, "/", &cookie).await.status, 303);
    });
}

/// The page of the state, once it says something.
async fn state(admin: SocketAddr, cookie: &str, part: &str) -> String {
    let until = std::time::Instant::now() + crate::gateway::PATIENCE;
    loop {
        let page = fetch(admin, "/state", cookie).await.text().to_owned();
        if page.contains(part) {
            return page;
        }
        assert!(std::time::Instant::now() < until, "no {part} in {page}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn the_state_says_up_to_where_the_trail_is_whole_and_where_it_is_not() {
    run(async {
        let (gate, admin, _backend) = gate().await;
        let cookie = login(admin).await;
        // The first check comes by itself.
        let page = state(admin, &cookie, "whole</span> up to record").await;
        let with = format!("Cookie: {cookie}\r\n");
        assert_eq!(ask(gate.plain, get("/calm", "")).await.status, 200);
        gate.record("/calm").await;
        assert_eq!(post(admin, "/verify", &with, "token=0").await.status, 403);
        let check = format!("token={}", field(&page, "token"));
        let last = gate.records().last().unwrap()["event"]["sequence"].as_u64().unwrap();
        assert_eq!(post(admin, "/verify", &with, &check).await.header("location"), "/state#chain");
        let up_to = |page: &str| -> u64 {
            let at = page.find("up to record ").unwrap() + 13;
            page[at..].split(',').next().unwrap().replace('\u{202f}', "").parse().unwrap()
        };
        let mut checked = up_to(&page);
        while checked < last {
            checked = up_to(&state(admin, &cookie, "whole</span> up to record").await);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        // Somebody changes a record in its place.
        let files = std::fs::read_dir(gate.file("audit")).unwrap().map(|entry| entry.unwrap().path());
        let path = files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "jsonl")).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let at = text.find("/calm").unwrap();
        let line = text[..at].matches('\n').count() + 1;
        use std::os::unix::fs::FileExt as _;
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"/cold", at as u64).unwrap();
        assert_eq!(post(admin, "/verify", &with, &check).await.status, 303);
        let page = state(admin, &cookie, "not whole</span>").await;
        assert!(page.contains(&format!("{}:{line}", path.file_name().unwrap().to_str().unwrap())), "{page}");
        assert!(page.contains("this record was changed"), "{page}");
        assert!(fetch(admin, "/", &cookie).await.text().contains("not whole</span>"), "the first page says so too");
    });
}

#[test]
fn the_state_says_how_the_connections_to_backends_stand() {
    run(async {
        let backend = Backend::start(|_| ok("the application")).await;
        let dead = "[[backend]]\nname = \"dead\"\nmembers = [\"http://127.0.0.1:9\"]\n";
        let maps = "[[site.map]]\npath = \"/dead\"\nto = \"dead/\"\n".replace("dead/\"", "dead\"");
        let gate = Gate::start(&format!("{ADMIN}[inspection]\nmode = \"off\"\n{dead}{}{maps}", open_site(backend.address, "")));
        let admin = gate.gateway().admin_address().unwrap();
        let cookie = login(admin).await;
        assert_eq!(ask(gate.plain, get("/", "")).await.status, 200);
        let page = loop {
            assert_eq!(ask(gate.plain, get("/dead", "")).await.status, 502);
            // What is known of a failed connection is forgotten after two seconds, which a loaded machine may need for a page.
            let page = fetch(admin, "/state", &cookie).await;
            if page.text().contains("cannot be connected to") {
                break page;
            }
        };
        let row = |name: &str| {
            let at = page.text().find(&format!(">{name}</a>")).unwrap_or_else(|| panic!("no {name}: {}", page.text()));
            page.text()[at..].split("</tr>").next().unwrap().to_owned()
        };
        assert!(row("dead").contains("state bad\">cannot be connected to"), "{}", row("dead"));
        let app = row("app");
        assert!(!app.contains("cannot be") && app.contains(&format!("{}: 1 connection, 1 idle", backend.address)), "{app}");
    });
}

#[test]
fn the_state_says_how_many_wait_for_an_account_and_not_who() {
    run(async {
        let backend = Backend::start(|_| ok("the application")).await;
        let site = open_site(backend.address, "").replace("[[site.map]]", "[site.account_requests]\n[[site.map]]");
        let gate = Gate::start(&format!("{ADMIN}[inspection]\nmode = \"off\"\n{site}"));
        let admin = gate.gateway().admin_address().unwrap();
        let cookie = login(admin).await;
        let queue = portcullis::identity::requests::RequestQueue::new(&gate.file("audit-state"));
        let request = portcullis::identity::requests::AccountRequest {
            id: "01HF7YAT000000000000000007".into(),
            asked: "2026-01-01T00:00:00.000000Z".into(),
            expires: "2999-01-01T00:00:00.000000Z".into(),
            site: "app.test".into(),
            user: "zoe".into(),
            name: "Zoe".into(),
            message: String::new(),
            address: "192.0.2.1".into(),
            hash: "$2y$05$nC6nErr9XZJuMJ57WyCob.EuZEjylDt2KaHfbfOtyb.EgL1I2jCVa".into(),
        };
        queue.add(&request, 9, 0).unwrap();
        let page = state(admin, &cookie, "Account requests").await;
        let card = page.split("Account requests").nth(1).unwrap();
        assert!(card.contains("app.test</th><td class=\"number\">1</td>") && card.contains("portcullis auth requests"), "{card}");
        assert!(!page.contains("zoe") && !page.contains("$2y$"), "{page}");
    });
}

#[test]
fn the_state_says_what_receivers_of_the_trail_have_and_lack() {
    run(async {
        let backend = Backend::start(|_| ok("the application")).await;
        let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ship = |name: &str, address: SocketAddr| {
            format!("[[audit.ship]]\nname = \"{name}\"\nkind = \"syslog\"\naddress = \"{address}\"\ntransport = \"tcp\"\n")
        };
        let (alive, dead) = (receiver.local_addr().unwrap(), crate::program::free_address());
        let policy = format!("{ADMIN}{}{}{}", ship("alive", alive), ship("dead", dead), open_site(backend.address, ""));
        let gate = Gate::start(&policy);
        let admin = gate.gateway().admin_address().unwrap();
        let cookie = login(admin).await;
        let page = state(admin, &cookie, "connection refused").await;
        assert!(page.contains("Shipped to dead") && page.contains("fails</span>"), "{page}");
        assert!(page.contains("Shipped to alive") && page.contains("takes records</span>"), "{page}");
        assert!(page.contains(&format!("syslog+tcp://{dead}")), "{page}");
    });
}
