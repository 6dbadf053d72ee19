//! One event: its whole story in order, with the matched text marked.

use super::page::{Page, address, class, length, marked, marked_url, narrowed, shown};
use super::{ALL, Trouble, Visit};
use crate::search::{Asked, Cause, Facts, Field};
use maud::{Markup, html};
use serde_json::Value;

/// The layers in request order: name, title, field of its time.
const LAYERS: [(&str, &str, &str); 6] = [
    ("door", "0 Door", "door_us"),
    ("basic_auth", "1 Basic auth", "basic_auth_us"),
    ("ntlm_block", "2 NTLM/Negotiate block", "ntlm_block_us"),
    ("rate_limit", "3 Rate limit", "rate_limit_us"),
    ("inspection", "4 Inspection", "inspection_us"),
    ("forwarding", "5 Forwarding", "forwarding_us"),
];

pub(super) fn page(visit: &Visit, id: &str) -> Result<Page, Trouble> {
    let id = id.to_ascii_uppercase();
    if id.len() != 26 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Trouble::Missing);
    }
    let lines = visit.snapshot()?.story(&id)?;
    if lines.is_empty() {
        return Err(Trouble::Missing);
    }
    let content = html! {
        @for line in &lines {
            @if let (Some(facts), Ok(value)) = (Facts::read(line), serde_json::from_slice::<Value>(line)) { (story(&facts, &value)) }
        }
    };
    Ok(Page { title: "Event", place: "/events", content })
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What became of an account request.
fn account(value: &Value) -> Markup {
    let groups: Vec<_> = value["user"]["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let by = text(value, "/account/by");
    html! {
        article.card.wide {
            h2 { "The account request was " (shown(text(value, "/account/answer"))) }
            dl {
                (entry("Time (UTC)", &shown(&text(value, "/account/decided").replace('T', " ").replace('Z', ""))))
                (entry("Site", &shown(text(value, "/site"))))
                (entry("User", &shown(text(value, "/user/name"))))
                (entry("Groups", &shown(&groups.join(", "))))
                (entry("By", &shown(if by.is_empty() { "nobody: its time was over" } else { by })))
            }
        }
    }
}

fn story(facts: &Facts, value: &Value) -> Markup {
    if value["account"].is_object() {
        return account(value);
    }
    // Line ends of the record's own texts are escaped in JSON.
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    let decision = facts.first(Field::Decision);
    let needles: Vec<String> = value["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|rule| text(rule, "/matched").to_owned())
        .filter(|text| text.len() > 2)
        .collect();
    let asked = Asked { since: ALL.into(), ..Asked::default() };
    let link = |field: Field| address("/events", &narrowed(&asked, field, &facts.first(field)));
    let status = facts.first(Field::Status);
    let cause = Cause::parse(&facts.first(Field::Cause));
    html! {
        article {
            p.verdict {
                span class=(format!("decision d-{}", class(&decision))) { (shown(&decision)) @if !status.is_empty() { " " (status) } }
                @if !text(value, "/decision/reason").is_empty() { " " (shown(text(value, "/decision/reason"))) }
                " " code { (facts.id()) }
                @if text(value, "/event/kind") != "request" { " " span.chip { (shown(text(value, "/event/kind"))) } }
            }
            p.bar {
                @if !facts.first(Field::User).is_empty() { a href=(link(Field::User)) { "All of this user" } }
                a href=(link(Field::Address)) { "All of this address" }
                @if !cause.id.is_empty() { a href=(address("/events", &narrowed(&asked, Field::Cause, &cause.id))) { "All of this cause" } }
            }
            (came(value, &needles))
            (layers(value, &decision))
            (rules(value, &needles))
            (answered(value))
            details { summary { "The record as it stands in the file" } pre.raw tabindex="0" { @for line in pretty.lines() { (shown(line)) "\n" } } }
        }
    }
}

fn entry(name: &str, content: &Markup) -> Markup {
    html! { @if !content.0.is_empty() { dt { (name) } dd { (content) } } }
}

fn came(value: &Value, needles: &[String]) -> Markup {
    let from = text(value, "/source/ip");
    let peer = text(value, "/source/peer_ip");
    let query = text(value, "/url/query");
    let url = format!(
        "{}://{}{}{}{query}",
        text(value, "/url/scheme"),
        text(value, "/url/domain"),
        text(value, "/url/path"),
        if query.is_empty() { "" } else { "?" }
    );
    let headers = value["http"]["request"]["headers"].as_object();
    html! {
        section.card.wide {
            h2 { "What came" }
            dl {
                (entry("Time (UTC)", &shown(&text(value, "/@timestamp").replace('T', " ").replace('Z', ""))))
                (entry("From", &html! { (shown(from)) @if peer != from { ", connected from " (shown(peer)) } " port " (value["source"]["port"].to_string()) }))
                (entry("At", &html! { (shown(text(value, "/destination/ip"))) " port " (value["destination"]["port"].to_string()) }))
                @if value["tls"].is_object() {
                    (entry("TLS", &html! { (shown(text(value, "/tls/version"))) " " (shown(text(value, "/tls/cipher"))) " " (shown(text(value, "/tls/group"))) }))
                }
                (entry("Request", &html! { b { (shown(text(value, "/http/request/method"))) } " " span.text { (marked_url(&url, needles)) } " HTTP/" (shown(text(value, "/http/version"))) }))
                (entry("Canonical path", &marked(text(value, "/url/canonical_path"), needles)))
                (entry("Body", &html! { (value["http"]["request"]["bytes"].to_string()) " bytes" }))
            }
            @if let Some(headers) = headers.filter(|headers| !headers.is_empty()) {
                h3 { "Headers" }
                dl.headers {
                    @for (name, values) in headers {
                        @for one in values.as_array().into_iter().flatten().filter_map(Value::as_str) {
                            dt { (shown(name)) } dd.text { (marked(one, needles)) }
                        }
                    }
                }
            }
        }
    }
}

fn layers(value: &Value, decision: &str) -> Markup {
    let decider = text(value, "/decision/layer");
    let longest = LAYERS.iter().filter_map(|(.., field)| value["timing"][field].as_u64()).max().unwrap_or_default().max(1);
    html! {
        section.card.wide {
            h2 { "What the layers did" }
            dl {
                (entry("Site", &shown(text(value, "/site"))))
                (entry("Map", &shown(text(value, "/map"))))
            }
            ol.layers {
                @if !decider.is_empty() && !LAYERS.iter().any(|(name, ..)| *name == decider) {
                    li.decided { span.layer { (shown(decider)) } span { (shown(decision)) ": " (shown(text(value, "/decision/reason"))) } }
                }
                @for (name, title, field) in LAYERS {
                    @let time = value["timing"][field].as_u64();
                    li.decided[decider == name] {
                        span.layer { (title) }
                        span.took { @if let Some(time) = time { (super::charts::portion(time, longest)) (length(time)) } @else if decider != name { "not reached" } }
                        span { (detail(value, name)) @if decider == name { " " b { (shown(decision)) ": " (shown(text(value, "/decision/reason"))) } } }
                    }
                }
            }
        }
    }
}

fn detail(value: &Value, layer: &str) -> Markup {
    let words = |list: &Value| list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    match layer {
        "basic_auth" => html! {
            (shown(text(value, "/user/name")))
            @if text(value, "/user/name").is_empty() && !text(value, "/user/hash").is_empty() { "unknown name #" (shown(text(value, "/user/hash").get(..8).unwrap_or_default())) }
            @let groups = words(&value["user"]["groups"]);
            @if !groups.is_empty() { " in " (shown(&groups)) }
            " (" (shown(text(value, "/authentication/result"))) ")"
        },
        "ntlm_block" => {
            html! { @let removed = words(&value["integrated_auth_removed"]); @if !removed.is_empty() { "removed " (shown(&removed)) } }
        }
        "rate_limit" => html! { @if value["rate_would_limit"] == true { "would have refused" } },
        "inspection" => html! {
            (shown(text(value, "/inspection/mode"))) ", " (shown(text(value, "/inspection/extent")))
            @if !text(value, "/inspection/reason").is_empty() { " (" (shown(text(value, "/inspection/reason"))) ")" }
            @if let Some(score) = value["inspection"]["score"].as_i64() { ", score " (score) }
        },
        _ => html! {},
    }
}

fn rules(value: &Value, needles: &[String]) -> Markup {
    let rules: Vec<_> = value["rules"].as_array().into_iter().flatten().collect();
    html! {
        @if !rules.is_empty() {
            section.card.wide {
                h2 { "Rules that matched" }
                div.scroll tabindex="0" role="region" aria-label="Rules" { table {
                    thead { tr { th scope="col" { "Rule" } th scope="col" { "Message" } th scope="col" { "Variable" } th scope="col" { "Matched text" } th scope="col" { "Score" } th scope="col" { "Where it stands" } } }
                    tbody { @for rule in rules {
                        tr {
                            th scope="row" { (rule["id"].to_string()) div.reason { (shown(text(rule, "/severity"))) } }
                            td { (shown(text(rule, "/message"))) }
                            td { (shown(text(rule, "/variable"))) }
                            td.text { mark { (shown(text(rule, "/matched"))) } @if !text(rule, "/data").is_empty() { div.reason { (marked(text(rule, "/data"), needles)) } } }
                            td.number { (rule["score"].to_string()) }
                            td { (shown(text(rule, "/source"))) }
                        }
                    } }
                } }
            }
        }
    }
}

fn answered(value: &Value) -> Markup {
    let status = value.pointer("/http/response/status_code").map_or_else(|| "none".to_owned(), Value::to_string);
    let words = |list: &Value| list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    html! {
        section.card.wide {
            h2 { "What was answered" }
            dl {
                @if value["upstream"].is_object() {
                    (entry("Backend", &html! {
                        (shown(text(value, "/upstream/backend"))) " " (shown(text(value, "/upstream/address"))) ", "
                        @if let Some(status) = value.pointer("/http/response/upstream_status_code") { "status " (status.to_string()) } @else { "no status" }
                        ", " (value["upstream"]["tries"].to_string()) " tries "
                        (shown(text(value, "/upstream/error")))
                    }))
                }
                (entry("Status", &html! { (status) }))
                (entry("Body", &html! { (value["http"]["response"]["bytes"].to_string()) " bytes, " (shown(text(value, "/http/response/ended"))) }))
                @for (name, field) in [("Head after", "head_us"), ("All after", "total_us")] {
                    @if let Some(time) = value["timing"][field].as_u64() { (entry(name, &html! { (length(time)) })) }
                }
                (entry("Notes", &shown(&words(&value["notes"]))))
                (entry("Cut fields", &shown(&words(&value["truncated"]))))
            }
        }
    }
}
