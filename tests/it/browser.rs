//! A real browser for the deeper tests: Chromium by WebDriver, with axe-core for accessibility.
#![allow(clippy::print_stdout, reason = "a test says why it skips")]

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

/// What such a test needs.
pub(crate) struct Tools {
    chromium: PathBuf,
    chromedriver: PathBuf,
    /// The text of axe-core.
    pub(crate) axe: String,
}

/// What is installed; `None` where something lacks, or deeper tests are not asked for.
pub(crate) fn tools() -> Option<Tools> {
    if std::env::var_os("PORTCULLIS_DEEP").is_none_or(|v| v != "1") {
        println!("skipped: PORTCULLIS_DEEP is not 1");
        return None;
    }
    Some(Tools { chromium: tool("chromium")?, chromedriver: tool("chromedriver")?, axe: fs::read_to_string(axe()?).unwrap() })
}

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
pub(crate) struct Browser {
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
    /// Starts it, with further arguments.
    pub(crate) fn start(tools: &Tools, more: &[String]) -> Self {
        let Tools { chromium, chromedriver, .. } = tools;
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = format!("--port={}", address.port());
        let driver = Command::new(chromedriver).arg(port).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut browser = Self { driver, address, session: String::new() };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "chromedriver does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let own =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1360,900", "--hide-scrollbars"];
        let arguments: Vec<&str> = own.into_iter().chain(more.iter().map(String::as_str)).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
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

    /// Opens an address.
    pub(crate) fn open(&self, url: &str) {
        self.command("/url", &json!({ "url": url }));
    }

    /// Runs a script in the page; what it returns.
    pub(crate) fn script(&self, script: &str) -> Value {
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

    /// Clicks on the first element of a selector.
    pub(crate) fn click(&self, selector: &str) {
        let id = self.element(selector);
        self.command(&format!("/element/{id}/click"), &json!({}));
    }

    /// Puts a text into a field.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let id = self.element(selector);
        self.command(&format!("/element/{id}/clear"), &json!({}));
        self.command(&format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// The page's text.
    pub(crate) fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page's text has a part.
    pub(crate) fn says(&self, part: &str) -> String {
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
    pub(crate) fn examine(&self, axe: &str, name: &str) {
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
