//! The page for account requests in a real browser, with axe-core for accessibility. Runs only where `PORTCULLIS_DEEP=1` is set;
//! `PORTCULLIS_SCREENSHOTS=docs` writes the pictures of the documentation.

use crate::accounts::{HOST, PAGE, Site};
use crate::browser::{Browser, tools};
use crate::program::until;
use serde_json::json;

const PASSWORD: &str = "gr\u{fc}ne Fr\u{f6}sche tanzen";

#[test]
fn a_person_asks_for_an_account_in_a_browser() {
    let Some(tools) = tools() else { return };
    let site = Site::start("");
    let browser = Browser::start(&tools, &[format!("--host-resolver-rules=MAP {HOST} 127.0.0.1"), "--window-size=900,1120".into()]);
    let at = |path: &str| format!("https://{HOST}:{}{path}", site.tls.port());
    browser.open(&at(PAGE));
    browser.says("Ask for an account");
    // The style is in force although the content policy allows no other, and there is no script to be missed.
    let width = "return [getComputedStyle(document.querySelector('main')).borderRadius !== '0px', document.scripts.length]";
    assert_eq!(browser.script(width), json!([true, 0]));
    browser.examine(&tools.axe, "account-requests");

    // The browser itself asks for what is missing: nothing is sent.
    browser.click("button");
    assert_eq!(browser.script("return document.querySelectorAll(':invalid').length > 1"), json!(true));

    for (field, text) in [
        ("#name", "Zo\u{eb} \"<i>Q</i>\""),
        ("#user", "zo\u{eb}"),
        ("#message", "desk 4"),
        ("#password", PASSWORD),
        ("#again", "another password"),
    ] {
        browser.type_into(field, text);
    }
    browser.click("button");
    browser.says("The two passwords differ");
    browser.examine(&tools.axe, "account-requests-mistakes");
    assert_eq!(
        browser.script("return [document.querySelector('#name').value, document.querySelector('#password').value]"),
        json!(["Zo\u{eb} \"<i>Q</i>\"", ""])
    );
    for field in ["#password", "#again"] {
        browser.type_into(field, PASSWORD);
    }
    browser.click("button");
    let said = browser.says("Your request is waiting");
    browser.examine(&tools.axe, "account-requests-waiting");
    // A look at the page again sends nothing again.
    browser.script("location.reload()");
    browser.says("Your request is waiting");

    let waiting = site.waiting();
    assert_eq!(
        (waiting.len(), waiting[0]["user"].as_str(), waiting[0]["name"].as_str()),
        (1, Some("zo\u{eb}"), Some("Zo\u{eb} \"<i>Q</i>\""))
    );
    let id = waiting[0]["id"].as_str().unwrap();
    assert!(said.contains(id), "{said}");
    assert_eq!(site.auth(&["approve", id, "--group", "staff"]).code, 0);
    // What the browser sent is what a login sends.
    until(|| match site.login("zo\u{eb}", PASSWORD) {
        502 => Ok(()),
        other => Err(format!("the login gets {other}")),
    });
}
