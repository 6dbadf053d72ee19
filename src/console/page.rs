//! What all pages share: the frame, the form of a question, small pieces of text.

use super::{ALL, Response, Visit, form, respond};
use crate::audit::escape::printable;
use crate::search::{Asked, Field};
use http::{Method, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A page, before its frame.
pub(super) struct Page {
    pub(super) title: &'static str,
    /// The address it belongs to in the navigation.
    pub(super) place: &'static str,
    pub(super) content: Markup,
}

const PLACES: [(&str, &str); 5] =
    [("/", "Overview"), ("/events", "Events"), ("/groups", "Groups"), ("/top", "Top lists"), ("/state", "State")];

/// The style sheet and the script, which are the same for everybody; `None` for any other path.
pub(super) fn asset(method: &Method, path: &str) -> Option<Response> {
    let (kind, body) = match path {
        "/style.css" => ("text/css; charset=utf-8", include_str!("style.css")),
        "/script.js" => ("text/javascript; charset=utf-8", include_str!("script.js")),
        _ => return None,
    };
    let read = *method == Method::GET || *method == Method::HEAD;
    read.then(|| respond(StatusCode::OK, kind, body.to_owned()))
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " - Portcullis" }
            link rel="stylesheet" href="/style.css";
            script src="/script.js" defer {}
        }
    }
}

/// The only page for strangers.
pub(super) fn login(token: &str, next: &str, user: &str, trouble: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head("Log in"))
            body.login {
                main {
                    h1 { "Portcullis" }
                    @if !trouble.is_empty() { p.trouble role="alert" { (trouble) } }
                    form method="post" action="/login" {
                        input type="hidden" name="token" value=(token);
                        input type="hidden" name="next" value=(next);
                        label for="user" { "User" }
                        input #user name="user" value=(user) autocomplete="username" required autofocus[user.is_empty()];
                        label for="password" { "Password" }
                        input #password type="password" name="password" autocomplete="current-password" required autofocus[!user.is_empty()];
                        button type="submit" { "Log in" }
                    }
                }
            }
        }
    }
}

/// A page in its frame.
pub(super) fn whole(visit: &Visit, page: &Page) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(page.title))
            body {
                a.skip href="#content" { "To the content" }
                header {
                    a.name href="/" { "Portcullis" }
                    nav aria-label="Pages" {
                        @for (path, name) in PLACES {
                            a href=(path) aria-current=[(path == page.place).then_some("page")] { (name) }
                        }
                    }
                    form.out method="post" action="/logout" {
                        (token(visit))
                        span { (shown(&visit.session.user)) }
                        button type="submit" { "Sign out" }
                    }
                }
                main #content {
                    h1 { (page.title) }
                    (page.content)
                }
            }
        }
    }
}

/// A page that says why there is no other.
pub(super) fn trouble(title: &'static str, what: &str) -> Page {
    Page { title, place: "", content: html! { p.trouble role="alert" { (shown(what)) } } }
}

/// What every form that changes something carries.
pub(super) fn token(visit: &Visit) -> Markup {
    html! { input type="hidden" name="token" value=(visit.session.token); }
}

/// Text of a stranger's choosing: escaped, and what could make it read otherwise than it is made visible.
pub(super) fn shown(text: &str) -> Markup {
    html! { (printable(text)) }
}

/// The same, with the places marked where one of the needles stands.
pub(super) fn marked(text: &str, needles: &[String]) -> Markup {
    let mut rest = text;
    let mut out = String::new();
    loop {
        let places =
            needles.iter().filter(|needle| needle.len() > 1).filter_map(|needle| Some((rest.find(needle.as_str())?, needle.len())));
        let Some((at, length)) = places.min_by_key(|(at, length)| (*at, usize::MAX - length)) else { break };
        out.push_str(&shown(&rest[..at]).into_string());
        out.push_str(&html! { mark { (printable(&rest[at..at + length])) } }.into_string());
        rest = &rest[at + length..];
    }
    out.push_str(&shown(rest).into_string());
    PreEscaped(out)
}

/// The same for a URL, where the needles stand percent-encoded.
pub(super) fn marked_url(text: &str, needles: &[String]) -> Markup {
    let bytes = text.as_bytes();
    // Each decoded byte with where it begins; one more place for the end.
    let (mut decoded, mut places, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        places.push(at);
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
        at += 1;
    }
    places.push(bytes.len());
    let as_sent = |needle: &String| {
        let begin = memchr::memmem::find(&decoded, needle.as_bytes())?;
        text.get(*places.get(begin)?..*places.get(begin + needle.len())?).map(str::to_owned)
    };
    let found: Vec<String> = needles.iter().filter(|needle| needle.len() > 1).filter_map(as_sent).collect();
    marked(text, &found)
}

/// The form of a question. `path` is the page that answers it.
pub(super) fn question(path: &str, asked: &Asked) -> Markup {
    let of = |field: Field| asked.fields.iter().find(|(own, _)| *own == field).map_or("", |(_, value)| value.as_str());
    let own = [Field::Layer, Field::Action, Field::Rule, Field::Reason, Field::Method, Field::Target];
    let others: Vec<_> = asked.fields.iter().filter(|(field, value)| !own.contains(field) && !value.is_empty()).collect();
    let input = |name: &str, label: &str, value: &str, hint: &str| {
        html! { label { (label) input name=(name) value=(value) placeholder=(hint) autocomplete="off"; } }
    };
    let choice = |name: &str, label: &str, value: &str, words: &[&str]| {
        html! {
            label { (label)
                select name=(name) {
                    option value="" { "any" }
                    @for word in words { option value=(word) selected[*word == value] { (word) } }
                    @if !value.is_empty() && !words.contains(&value) { option value=(value) selected { (shown(value)) } }
                }
            }
        }
    };
    let layers =
        ["wire", "door", "basic_auth", "ntlm_block", "rate_limit", "account_requests", "inspection", "forwarding", "audit", "server"];
    let actions = ["allow", "deny", "challenge", "redirect", "mask", "answer", "abort"];
    html! {
        form.question role="search" aria-label="Which records" method="get" action=(path) {
            div.fields {
                label.wide { "Words" input #words type="search" name="q" value=(asked.text) placeholder="anywhere in the record"; }
                label { "Since" input name="since" value=(asked.since) list="ages" placeholder="24h" autocomplete="off"; }
                (input("until", "Until", &asked.until, "now"))
                datalist #ages { @for age in ["15m", "1h", "24h", "7d", "30d", ALL] { option value=(age) {} } }
                (input("user", "User", &asked.user, ""))
                (input("ip", "Address", &asked.ip, "192.0.2.0/24"))
                (input("site", "Site", &asked.site, ""))
                (input("path", "Path begins", &asked.path, "/"))
                (input("status", "Status", &asked.status, "4xx"))
                (choice("layer", "Layer", of(Field::Layer), &layers))
                (choice("action", "Action", of(Field::Action), &actions))
                (input("rule", "Rule", of(Field::Rule), "942100"))
                (input("reason", "Reason", of(Field::Reason), ""))
                (input("method", "Method", of(Field::Method), "GET"))
                (input("target", "Variable", of(Field::Target), "ARGS:id"))
            }
            @if !others.is_empty() {
                p.also { "And "
                    @for (field, value) in others {
                        span.chip { (field.name()) " " b { (shown(value)) } }
                        input type="hidden" name=(field.name()) value=(value);
                    }
                }
            }
            div.send { button type="submit" { "Show" } " " a href=(path) { "Reset" } }
        }
    }
}

/// An address of a page with a question.
pub(super) fn address(path: &str, asked: &Asked) -> String {
    let query = form::query(asked);
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// A question, narrowed to a value of a field.
pub(super) fn narrowed(asked: &Asked, field: Field, value: &str) -> Asked {
    let mut asked = asked.clone();
    match field {
        Field::User => asked.user = value.to_owned(),
        Field::Address => asked.ip = value.to_owned(),
        Field::Site => asked.site = value.to_owned(),
        Field::Path => asked.path = value.to_owned(),
        Field::Status => asked.status = value.to_owned(),
        _ => {
            asked.fields.retain(|(own, _)| *own != field);
            asked.fields.push((field, value.to_owned()));
        }
    }
    asked
}

/// `1 234 567`, with narrow spaces that do not break.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A part of a whole in per cent.
pub(super) fn share(part: u64, whole: u64) -> String {
    let tenths = (u128::from(part) * 1000).checked_div(u128::from(whole)).unwrap_or_default();
    if tenths == 0 && part > 0 { "<0.1 %".into() } else { format!("{}.{} %", tenths / 10, tenths % 10) }
}

/// A time for people, in UTC.
pub(super) fn time(micros: u64) -> Markup {
    let stamp = i64::try_from(micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()).unwrap_or_default();
    let machine = format!("{stamp:.0}");
    let human = machine.replace('T', " ").replace('Z', "");
    html! { time datetime=(machine) { (human) } }
}

/// A length of time.
pub(super) fn length(micros: u64) -> String {
    let units = [(86_400_000_000, "days"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms"), (1, "us")];
    let (unit, name) = units.into_iter().find(|(unit, _)| micros >= *unit).unwrap_or((1, "us"));
    let tenths = micros.saturating_mul(10) / unit;
    if tenths < 100 && !tenths.is_multiple_of(10) {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", tenths / 10)
    }
}

/// Says that an answer may lack something.
pub(super) fn unless_whole(whole: bool) -> Markup {
    html! {
        @if !whole {
            p.note { "Too many records had to be read to look for words with these characters: older ones were not looked at. Ask for less time." }
        }
    }
}

/// The class of a decision, for its colour.
pub(super) fn class(decision: &str) -> &'static str {
    match decision.rsplit(' ').next().unwrap_or_default() {
        "allow" => "allow",
        "deny" => "deny",
        "challenge" => "challenge",
        "mask" => "mask",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_stranger_is_markup() {
        let needles = ["<script>".to_owned(), "\u{1b}[2J".to_owned()];
        let out = marked("a<script>b\u{1b}[2J\u{202e}&<b>", &needles).into_string();
        assert_eq!(out, "a<mark>&lt;script&gt;</mark>b<mark>\\u001b[2J</mark>\\u202e&amp;&lt;b&gt;");
        let sent = marked_url("/?q=%3Cscript%3E+x&y=<", &["<script> x".to_owned()]).into_string();
        assert_eq!(sent, "/?q=<mark>%3Cscript%3E+x</mark>&amp;y=&lt;");
        assert_eq!(marked("aXaX", &["aX".to_owned(), "aXa".to_owned()]).into_string(), "<mark>aXa</mark>X");
    }
}
