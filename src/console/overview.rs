//! The first page: what happened lately, at a glance.

use super::charts::{sparkline, timeline};
use super::page::{Page, address, class, grouped, length, narrowed, question, share, shown, unless_whole};
use super::{Trouble, Visit, state, top};
use crate::search::{Asked, Field, Timeline};
use maud::{Markup, html};

const SPANS: usize = 96;
const VALUES: usize = 7;
const GROUPS: usize = 7;

pub(super) fn page(visit: &Visit) -> Result<Page, Trouble> {
    let (asked, meant) = visit.asked()?;
    let snapshot = visit.snapshot()?;
    let over_time = snapshot.timeline(&meant, Field::Decision, SPANS)?;
    let fields = [(Field::User, "Users"), (Field::Address, "Addresses"), (Field::Rule, "Rules"), (Field::Path, "Paths")];
    let tops = snapshot.top(&meant, &fields.map(|(field, _)| field), VALUES)?.found;
    let (groups, different) = snapshot.groups(&meant, GROUPS, SPANS / 4)?.found;
    let reviews = visit.console.reviews.all()?;
    let content = html! {
        (question("/", &asked))
        (unless_whole(over_time.whole))
        (tiles(&over_time.found, &asked))
        @if over_time.found.records > 0 {
            (timeline(&over_time.found, "Decisions", |value| address("/events", &narrowed(&asked, Field::Decision, value))))
        } @else { p.none { "No record matches." } }
        section.card.wide {
            h2 { "What was refused or matched, by cause" }
            @if groups.is_empty() { p.none { "nothing" } } @else {
                (super::groups::table(visit, &asked, &groups, &reviews, false))
                p.more { a href=(address("/groups", &asked)) { (different) " causes in all, with marks and notes" } }
            }
        }
        div.cards {
            @for ((field, name), top) in fields.iter().zip(&tops) { (top::list(&asked, *field, name, top)) }
            (state::certificates(visit))
            (state::backends(visit, &snapshot)?)
            (state::trail(visit, &snapshot, false))
            (state::accounts(visit))
        }
    };
    Ok(Page { title: "Overview", place: "/", content })
}

/// Numbers that say whether all is well.
fn tiles(timeline: &Timeline, asked: &Asked) -> Markup {
    let of = |wanted: &str| {
        let mut sum = vec![0; timeline.series.first().map_or(0, |(_, counts)| counts.len())];
        for (_, counts) in timeline.series.iter().filter(|(value, _)| wanted.is_empty() || class(value) == wanted) {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        sum
    };
    let tile = |name: &str, kind: &str, link: Asked| {
        let counts = of(kind);
        let records: u64 = counts.iter().sum();
        html! {
            a.tile href=(address("/events", &link)) {
                span.what { (name) }
                b { (grouped(records)) }
                @if !kind.is_empty() { span.share { (share(records, timeline.records)) } }
                (sparkline(&counts, if kind.is_empty() { "bar" } else { kind }))
            }
        }
    };
    html! {
        div.tiles {
            (tile("Records", "", asked.clone()))
            (tile("Allowed", "allow", narrowed(asked, Field::Action, "allow")))
            (tile("Refused", "deny", narrowed(asked, Field::Action, "deny")))
            (tile("Asked to log in", "challenge", narrowed(asked, Field::Action, "challenge")))
            (tile("Masked errors", "mask", narrowed(asked, Field::Action, "mask")))
            @if let Some([half, most, _]) = timeline.took {
                div.tile { span.what { "Answered whole within" } b { (length(half)) } span.share { "half; 95 % within " (shown(&length(most))) } }
            }
        }
    }
}
