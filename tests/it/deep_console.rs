//! The console in a real browser: Chromium by WebDriver, with axe-core for accessibility.
//! Runs only where `PORTCULLIS_DEEP=1` is set; `PORTCULLIS_SCREENSHOTS=docs/console` writes the pictures of the documentation.
#![allow(clippy::print_stdout, reason = "a test says why it skips")]

use crate::backend::{Backend, ok};
use crate::gateway::{ALICE, BOB, Gate, WRONG, ask, get, site};
use crate::tools::tool;
use base64::Engine as _;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
/// What a page must never run, in a query and in a header.
const HOSTILE: &str = "/shop?q=%3Cscript%3Ealert(1)%3C/script%3E%1b%5b2J%22%20onfocus=alert(2)";
const RULES: &str = "SecRule ARGS \"@contains <script\" \
    \"id:941110,phase:2,deny,status:403,severity:CRITICAL,msg:'XSS filter: script tag',logdata:'%{MATCHED_VAR}'\"\n\
    SecRule ARGS \"@rx union.+select\" \"id:942100,phase:2,deny,status:403,severity:CRITICAL,msg:'SQL injection attack detected'\"\n";

/// Where axe-core was installed: `npm install --prefix target/npm axe-core`.
fn axe() -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/npm/node_modules/axe-core/axe.min.js"));
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "axe-core is not installed");
    println!("skipped: axe-core is not installed");
    None
}

/// A browser; killed when dropped.
struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.call("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    fn start(chromium: &PathBuf, chromedriver: &PathBuf) -> Self {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = format!("--port={}", address.port());
        let driver = Command::new(chromedriver).arg(port).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut browser = Self { driver, address, session: String::new() };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "chromedriver does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1360,900", "--hide-scrollbars"];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            // A dialog of a script that ran would end the next command with an error.
            "unhandledPromptBehavior": "dismiss and notify",
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
        }}});
        let made = browser.call("POST", "", &wanted);
        browser.session = made["sessionId"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        browser
    }

    /// One command of WebDriver; its value.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let session = if self.session.is_empty() { String::new() } else { format!("/{}", self.session) };
        let body = if method == "POST" { body.to_string() } else { String::new() };
        write!(
            stream,
            "{method} /session{session}{path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        // The driver keeps connections open whatever it is told: the length says where the answer ends.
        let (mut answer, mut block) = (Vec::new(), [0; 64 * 1024]);
        let body = loop {
            let read = stream.read(&mut block).unwrap();
            assert!(read > 0, "the driver broke off: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&block[..read]);
            let Some(at) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&answer[..at]).to_lowercase();
            let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length:")).unwrap().trim().parse().unwrap();
            if answer.len() >= at + 4 + length {
                break &answer[at + 4..at + 4 + length];
            }
        };
        let mut value: Value = serde_json::from_slice(body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(body)));
        value["value"].take()
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        let value = self.call("POST", path, body);
        assert!(value["error"].is_null(), "{path} {body}: {value}");
        value
    }

    fn open(&self, url: &str) {
        self.command("/url", &json!({ "url": url }));
    }

    fn script(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// The first element of a selector, once it is there.
    fn element(&self, selector: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let value = self.call("POST", "/element", &json!({"using": "css selector", "value": selector}));
            if let Some(id) =
                value.as_object().and_then(|map| map.values().next()).and_then(Value::as_str).filter(|_| value["error"].is_null())
            {
                return id.to_owned();
            }
            assert!(Instant::now() < until, "no {selector} on {}: {}", self.script("return location.href"), self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn click(&self, selector: &str) {
        let id = self.element(selector);
        self.command(&format!("/element/{id}/click"), &json!({}));
    }

    fn type_into(&self, selector: &str, text: &str) {
        let id = self.element(selector);
        self.command(&format!("/element/{id}/clear"), &json!({}));
        self.command(&format!("/element/{id}/value"), &json!({ "text": text }));
    }

    fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page's text has a part.
    fn says(&self, part: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if text.contains(part) {
                return text;
            }
            assert!(Instant::now() < until, "{part:?} does not appear in {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn scheme(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.command("/goog/cdp/execute", &json!({"cmd": "Emulation.setEmulatedMedia", "params": { "features": features }}));
    }

    /// No violation that hinders people seriously, in light and in dark; and a picture, where they are asked for.
    fn examine(&self, axe: &str, name: &str) {
        for scheme in ["dark", "light"] {
            self.scheme(scheme);
            self.script(axe);
            let run = "const done = arguments[0]; axe.run(document).then((r) => done(r.violations.map((v) => \
                       [v.impact, v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html + ' ' + n.failureSummary)])))";
            let found = self.command("/execute/async", &json!({"script": run, "args": []}));
            let serious: Vec<_> = found.as_array().unwrap().iter().filter(|v| v[0] == "serious" || v[0] == "critical").collect();
            assert!(serious.is_empty(), "{name} ({scheme}): {serious:#?}");
            if let Some(folder) = std::env::var_os("PORTCULLIS_SCREENSHOTS") {
                let picture = self.call("GET", "/screenshot", &Value::Null);
                let bytes = base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap()).unwrap();
                fs::create_dir_all(&folder).unwrap();
                fs::write(PathBuf::from(folder).join(format!("{name}-{scheme}.png")), bytes).unwrap();
            }
        }
        // Whatever ran would have left its mark, or opened a dialog.
        assert_eq!(
            self.script("return [window.ran === undefined, document.querySelectorAll('main script, main img').length]"),
            json!([true, 0])
        );
    }
}

/// Traffic of all kinds, so that the pages have something to show.
async fn traffic(gate: &Gate) {
    for n in 0..40 {
        let who = if n % 3 == 0 { ALICE } else { BOB };
        ask(gate.plain, get(&format!("/orders/{n}/items?page={}", n % 7), who)).await;
        if n % 8 == 0 {
            ask(gate.plain, get("/orders", WRONG)).await;
            ask(gate.plain, get("/orders", "")).await;
        }
        if n % 5 == 0 {
            ask(gate.plain, get(&format!("/search?id=1%20union%20all%20select%20{n}"), BOB)).await;
        }
    }
    let agent = "User-Agent: <img src=x onerror=\"window.ran=1\">\r\n";
    assert_eq!(ask(gate.plain, get(HOSTILE, &format!("{ALICE}{agent}"))).await.status, 403);
}

#[test]
fn the_console_works_in_a_browser_for_everybody_and_runs_nothing_of_a_record() {
    if std::env::var_os("PORTCULLIS_DEEP").is_none_or(|v| v != "1") {
        println!("skipped: PORTCULLIS_DEEP is not 1");
        return;
    }
    let (Some(chromium), Some(chromedriver), Some(axe)) = (tool("chromium"), tool("chromedriver"), axe()) else { return };
    let axe = fs::read_to_string(axe).unwrap();
    // Longer than other tests: a browser starts, and looks at every page twice.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        let backend = Backend::start(|_| ok("the application")).await;
        let policy = format!(
            "[admin]\naddress = \"127.0.0.1:0\"\nrequire = [\"group admins\"]\n[inspection]\nmode = \"block\"\nrules = [\"own.conf\"]\n{}\n\
             [[site.map]]\npath = \"/\"\nto = \"app/\"\n",
            site(backend.address, "require = [\"valid-user\"]\nhttps = \"either\"")
        );
        let gate = Gate::start_with(&policy, &[("own.conf", RULES)]);
        traffic(&gate).await;
        gate.record("/shop").await;
        let (admin, plain) = (gate.gateway().admin_address().unwrap(), gate.plain);
        let runtime = tokio::runtime::Handle::current();
        let walk = move || {
            walk(&Browser::start(&chromium, &chromedriver), admin, &axe, || {
                runtime.block_on(ask(plain, get("/brand-new", ALICE)));
            })
        };
        tokio::task::spawn_blocking(walk).await.unwrap();
    });
}

fn walk(browser: &Browser, admin: SocketAddr, axe: &str, something_happens: impl Fn()) {
    let at = |path: &str| format!("http://{admin}{path}");
    browser.open(&at("/events"));
    browser.says("Log in");
    browser.examine(axe, "login");
    browser.type_into("#user", "alice");
    browser.type_into("#password", "wrong");
    browser.click("main button");
    browser.says("Name or password is wrong");
    browser.type_into("#password", "secret");
    browser.click("main button");
    browser.says("newest");
    browser.examine(axe, "events");

    browser.open(&at("/"));
    browser.says("Asked to log in");
    browser.examine(axe, "overview");
    for (path, name) in [("/top", "top"), ("/state", "state")] {
        browser.open(&at(path));
        browser.examine(axe, name);
    }

    // `/` leads to the words; what is asked for becomes an address that can be shared.
    browser.open(&at("/events"));
    browser.script("document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '/', bubbles: true }))");
    assert_eq!(browser.script("return document.activeElement.id"), "words");
    browser.type_into("#words", "alert(1)");
    browser.click("form.question button");
    browser.says("The newest 1 records");
    let address = browser.script("return location.search").as_str().unwrap().to_owned();
    assert!(address.contains("q=alert") && !address.contains("user="), "{address}");

    browser.click("#rows th a");
    let story = browser.says("Rules that matched");
    for part in ["<script>alert(1)</script>\\u001b[2J", "<img src=x onerror=\"window.ran=1\">", "941110", "XSS filter: script tag"] {
        assert!(story.contains(part), "{part} is missing:\n{story}");
    }
    assert!(browser.script("return document.querySelectorAll('mark').length").as_u64().is_some_and(|marks| marks >= 2));
    browser.examine(axe, "event");

    browser.open(&at("/groups"));
    browser.says("942100");
    browser.examine(axe, "groups");
    browser.type_into("form.review input[name=note]", "our own <b>scanner</b>");
    let before = browser.script("return document.querySelectorAll('table.groups tbody tr').length").as_u64().unwrap();
    browser.click("form.review button");
    browser.says("reviewed ones not shown");
    let after = browser.script("return document.querySelectorAll('table.groups tbody tr').length");
    assert_eq!(after.as_u64(), Some(before - 1));
    browser.click("p.bar a");
    browser.says("reviewed by alice");
    assert_eq!(browser.script("return document.querySelector('tr.reviewed input[name=note]').value"), "our own <b>scanner</b>");

    browser.open(&at("/events"));
    browser.click("#live");
    browser.says("Live view is on");
    something_happens();
    browser.says("/brand-new");
    browser.click("#live");

    browser.click("form.out button");
    browser.says("Log in");
    browser.open(&at("/events"));
    browser.says("Password");
}
