//! Events: the newest records that match, live where a script may run.

use super::page::{Page, address, class, question, shown, unless_whole};
use super::{Trouble, Visit, form};
use crate::search::{Asked, Facts, Field};
use maud::{Markup, html};

const ROWS: usize = 100;
/// Characters of an address of the web that are shown.
const SHOWN_MAX: usize = 160;

pub(super) fn page(visit: &Visit) -> Result<Page, Trouble> {
    let (asked, meant) = visit.asked()?;
    let before = visit.form.get("before").parse::<u64>().ok();
    let answer = visit.snapshot()?.newest(&meant, ROWS, before)?;
    let facts: Vec<_> = answer.found.iter().filter_map(|line| Facts::read(line)).collect();
    let older = facts.last().filter(|_| facts.len() == ROWS).map(Facts::sequence);
    let content = html! {
        (question("/events", &asked))
        (unless_whole(answer.whole))
        p.bar {
            span #count role="status" { @if facts.is_empty() { "No record matches." } @else { "The " @if before.is_none() { "newest " } (facts.len()) " records" } }
            @if before.is_none() { button #live type="button" aria-pressed="false" hidden { "Live" } }
        }
        div.scroll tabindex="0" role="region" aria-label="Records" {
            table.events {
                thead { tr {
                    th scope="col" { "Time (UTC)" } th scope="col" { "Status" } th scope="col" { "Decision" } th scope="col" { "User" }
                    th scope="col" { "Address" } th scope="col" { "Request" }
                } }
                tbody #rows { @for one in &facts { (row(one, &asked)) } }
            }
        }
        @if let Some(older) = older { p.more { a rel="next" href=(before_address(&asked, older)) { "Older" } } }
    };
    Ok(Page { title: "Events", place: "/events", content })
}

fn before_address(asked: &Asked, sequence: u64) -> String {
    let mut query = form::query(asked);
    form::push(&mut query, "before", &sequence.to_string());
    format!("/events?{query}")
}

/// One record as a row.
fn row(facts: &Facts, asked: &Asked) -> Markup {
    let of = |field| facts.first(field);
    let stamp = i64::try_from(facts.micros()).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()).unwrap_or_default();
    let machine = format!("{stamp:.3}");
    let human = machine.replace('T', " ").replace('Z', "");
    let (decision, reason, user, address_of, kind) =
        (of(Field::Decision), of(Field::Reason), of(Field::User), of(Field::Address), of(Field::Kind));
    let request = facts.request();
    let cut: String = request.chars().take(SHOWN_MAX).collect();
    let user_shown: String = if user.starts_with('#') { user.chars().take(9).collect() } else { user.clone() };
    let narrowed = |field, value: &str| address("/events", &super::page::narrowed(asked, field, value));
    html! {
        tr data-sequence=(facts.sequence()) {
            th scope="row" {
                @if facts.id().is_empty() { time datetime=(machine) { (human) } } @else {
                    a href=(format!("/event/{}", facts.id())) { time datetime=(machine) { (human) } }
                }
            }
            td.number { (of(Field::Status)) }
            td {
                @if decision.is_empty() { span.chip { (shown(&kind)) } } @else {
                    span class=(format!("decision d-{}", class(&decision))) { (shown(&decision)) }
                    @if !reason.is_empty() { " " span.reason { (shown(&reason)) } }
                }
            }
            td { @if !user.is_empty() { a href=(narrowed(Field::User, &user)) { (shown(&user_shown)) } } }
            td { @if !address_of.is_empty() { a href=(narrowed(Field::Address, &address_of)) { (shown(&address_of)) } } }
            td.request { (shown(&cut)) @if cut.len() < request.len() { "…" } }
        }
    }
}
