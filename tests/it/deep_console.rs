//! The console in a real browser: Chromium by WebDriver, with axe-core for accessibility.
//! Runs only where `PORTCULLIS_DEEP=1` is set; `PORTCULLIS_SCREENSHOTS=docs/console` writes the pictures of the documentation.
#![allow(clippy::print_stdout, reason = "a test says why it skips")]

use crate::backend::{Backend, ok};
use crate::browser::{Browser, tools};
use crate::gateway::{ALICE, BOB, Gate, WRONG, ask, get, site};
use std::net::SocketAddr;

/// What a page must never run, in a query and in a header.
const HOSTILE: &str = "/shop?q=%3Cscript%3Ealert(1)%3C/script%3E%1b%5b2J%22%20onfocus=alert(2)";
const RULES: &str = "SecRule ARGS \"@contains <script\" \
    \"id:941110,phase:2,deny,status:403,severity:CRITICAL,msg:'XSS filter: script tag',logdata:'%{MATCHED_VAR}'\"\n\
    SecRule ARGS \"@rx union.+select\" \"id:942100,phase:2,deny,status:403,severity:CRITICAL,msg:'SQL injection attack detected'\"\n";

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
    let Some(tools) = tools() else { return };
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
            walk(&Browser::start(&tools, &[]), admin, &tools.axe, || {
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
