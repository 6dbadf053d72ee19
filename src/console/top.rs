//! Top lists: the commonest users, addresses, rules, paths and more.

use super::charts::portion;
use super::page::{Page, address, grouped, narrowed, question, share, shown, unless_whole};
use super::{Trouble, Visit};
use crate::search::{Asked, Field, Top};
use maud::{Markup, html};

/// The lists, in the order of the page.
const LISTS: [(Field, &str); 12] = [
    (Field::User, "Users"),
    (Field::Address, "Addresses"),
    (Field::Site, "Sites"),
    (Field::Path, "Paths"),
    (Field::Template, "Path templates"),
    (Field::Rule, "Rules"),
    (Field::Target, "Variables that rules matched"),
    (Field::Status, "Statuses"),
    (Field::Decision, "Decisions"),
    (Field::Reason, "Reasons"),
    (Field::Backend, "Backends"),
    (Field::Agent, "User agents"),
];
const VALUES: usize = 10;
const VALUES_ALONE: usize = 200;

pub(super) fn page(visit: &Visit) -> Result<Page, Trouble> {
    let (asked, meant) = visit.asked()?;
    let alone = Field::parse(visit.form.get("by"));
    let lists: Vec<_> = LISTS.into_iter().filter(|(field, _)| alone.is_none_or(|alone| alone == *field)).collect();
    if lists.is_empty() {
        return Err(Trouble::Missing);
    }
    let fields: Vec<_> = lists.iter().map(|(field, _)| *field).collect();
    let answer = visit.snapshot()?.top(&meant, &fields, if alone.is_some() { VALUES_ALONE } else { VALUES })?;
    let content = html! {
        (question("/top", &asked))
        (unless_whole(answer.whole))
        div.cards {
            @for ((field, name), top) in lists.iter().zip(&answer.found) { (list(&asked, *field, name, top)) }
        }
    };
    Ok(Page { title: "Top lists", place: "/top", content })
}

/// One list, each value a link to its records.
pub(super) fn list(asked: &Asked, field: Field, name: &str, top: &Top) -> Markup {
    let most = top.values.first().map_or(0, |(_, records)| *records);
    let more = top.different.saturating_sub(top.values.len());
    let all = {
        let mut all = address("/top", asked);
        all.push(if all.contains('?') { '&' } else { '?' });
        format!("{all}by={}", field.name())
    };
    html! {
        section.card {
            h2 { (name) }
            @if top.values.is_empty() { p.none { "none" } } @else {
                table.bars {
                    thead.unseen { tr { th scope="col" { (name) } th scope="col" { "Share" } th scope="col" { "Records" } } }
                    tbody {
                        @for (value, records) in &top.values {
                            tr {
                                td.value { a href=(address("/events", &narrowed(asked, field, value))) { (shown(value)) } }
                                td.picture { (portion(*records, most)) span.unseen { (share(*records, top.records)) } }
                                td.number { (grouped(*records)) }
                            }
                        }
                    }
                }
                @if more > 0 { p.more { a href=(all) { (grouped(more as u64)) " more" span.unseen { " in " (name) } } } }
            }
        }
    }
}
