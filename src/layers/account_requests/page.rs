//! The pages that a person sees: server-rendered, without a script, readable in light and dark.

use super::form::{Application, Mistake};
use crate::evidence::Mapped;
use crate::form::Pairs;
use crate::head::OwnValue;
use crate::limits::{ACCOUNT_MESSAGE_CHARACTERS_MAX, ACCOUNT_NAME_CHARACTERS_MAX, USER_NAME_BYTES_MAX};
use crate::policy::AccountSettings;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

/// Names, in the query, the request that waits.
pub(super) const ASKED: &str = "asked";
const STYLE: &str = include_str!("style.css");

/// No script at all, no style but the page's own, nothing from elsewhere, in nobody's frame.
pub(super) fn content_policy() -> &'static OwnValue {
    static POLICY: LazyLock<OwnValue> = LazyLock::new(|| {
        let digest = STANDARD.encode(Sha256::digest(STYLE));
        let text = format!("default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
        OwnValue::new(text).or_else(|| OwnValue::new("default-src 'none'")).unwrap_or_default()
    });
    &POLICY
}

/// The number of the request that a query names: an event's id, and nothing else, is shown.
pub(super) fn asked(query: Option<&[u8]>) -> Option<String> {
    let query = std::str::from_utf8(query?).ok()?;
    let id = Pairs::parse(query, 4).get(ASKED).to_owned();
    (id.len() == 26 && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())).then_some(id)
}

fn whole(title: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                // Byte by byte what the content policy has the digest of.
                style { (PreEscaped(STYLE)) }
            }
            body { main { (content) } }
        }
    };
    page.into_string()
}

/// A request waits.
pub(super) fn waiting(mapped: &Mapped, id: &str, settings: &AccountSettings) -> String {
    let days = settings.expires.as_secs() / 86_400;
    whole(
        "Your request is waiting",
        &html! {
            h1 { "Your request is waiting" }
            p { "An administrator of " b { (mapped.site.name) } " has to look at it. After that you can log in with the user name and the password that you chose." }
            p { "Its number is " code { (id) } ". Give it to your administrator if you have questions." }
            p.soft { "Without an answer it is forgotten after " (days) " days." }
        },
    )
}

/// The form, with what was filled in and what is wrong with it.
pub(super) fn form(mapped: &Mapped, settings: &AccountSettings, token: &str, filled: &Application, mistakes: &[Mistake]) -> String {
    let wrong = |field: &str| mistakes.iter().find(|(own, _)| *own == field).map(|(_, wrong)| wrong.text());
    let told = |field: &str| html! { @if let Some(text) = wrong(field) { p.bad id=(format!("{field}-bad")) { (text) } } };
    let least = settings.password_characters_min;
    let described = |field: &str, hint: bool| {
        let bad = wrong(field).map(|_| format!("{field}-bad"));
        let hint = hint.then(|| format!("{field}-hint"));
        let ids: Vec<String> = [bad, hint].into_iter().flatten().collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    };
    let invalid = |field: &str| wrong(field).map(|_| "true");
    let title = if mistakes.is_empty() { "Ask for an account" } else { "Not sent yet - Ask for an account" };
    whole(
        title,
        &html! {
            h1 { "Ask for an account" }
            p.soft { "for " b { (mapped.site.name) } ". An administrator decides." }
            @if let Some(text) = wrong("") { p.trouble role="alert" { (text) } }
            @else if !mistakes.is_empty() { p.trouble role="alert" { "Nothing was sent yet: please look at what is marked below." } }
            form method="post" action=(mapped.map.path) {
                input type="hidden" name="token" value=(token);
                label for="name" { "Your name" }
                (told("name"))
                input #name name="name" value=(filled.name) maxlength=(ACCOUNT_NAME_CHARACTERS_MAX) autocomplete="name" required
                    aria-invalid=[invalid("name")] aria-describedby=[described("name", false)];
                label for="user" { "User name" }
                (told("user"))
                input #user name="user" value=(filled.user) maxlength=(USER_NAME_BYTES_MAX) autocomplete="username" autocapitalize="none" spellcheck="false" required
                    aria-invalid=[invalid("user")] aria-describedby=[described("user", true)];
                p.soft #user-hint { "What you will log in with; no colon." }
                label for="password" { "Password" }
                (told("password"))
                input #password type="password" name="password" minlength=(least) autocomplete="new-password" required
                    aria-invalid=[invalid("password")] aria-describedby=[described("password", true)];
                p.soft #password-hint { "At least " (least) " characters; several words are good. It is made unreadable at once, and nobody can look it up." }
                label for="again" { "The same password again" }
                input #again type="password" name="password_again" minlength=(least) autocomplete="new-password" required
                    aria-invalid=[invalid("password")];
                label for="message" { "Anything the administrator should know" }
                (told("message"))
                textarea #message name="message" rows="3" maxlength=(ACCOUNT_MESSAGE_CHARACTERS_MAX)
                    aria-invalid=[invalid("message")] aria-describedby=[described("message", true)] { (filled.message) }
                p.soft #message-hint { "For example who knows you, and how to reach you. You may leave it empty." }
                button type="submit" { "Ask for an account" }
            }
            p.soft { "What you write here, the time and the address you come from are shown to the administrator." }
        },
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_an_events_id_is_taken_from_the_query() {
        assert_eq!(asked(Some(b"asked=01HF7YAT000000000000000007")).as_deref(), Some("01HF7YAT000000000000000007"));
        for other in [&b""[..], b"asked=", b"asked=%3Cscript%3E", b"asked=01hf7yat000000000000000007", b"asked=\xff", b"other=1"] {
            assert_eq!(asked(Some(other)), None);
        }
        assert_eq!(asked(None), None);
    }

    #[test]
    fn the_content_policy_knows_the_style_and_no_script() {
        let policy = content_policy();
        let policy = policy.get().text().unwrap();
        assert!(
            policy.contains("style-src 'sha256-") && !policy.contains("script-src") && policy.contains("default-src 'none'"),
            "{policy}"
        );
        assert!(!STYLE.contains('<') && !STYLE.contains("]]>"));
    }
}
