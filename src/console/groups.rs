//! Groups: refusals and rule matches of one cause as one row, with marks and notes.

use super::charts::sparkline;
use super::page::{Page, address, grouped, narrowed, question, shown, time, token, unless_whole};
use super::reviews::Review;
use super::{Trouble, Visit};
use crate::limits::REVIEW_NOTE_BYTES_MAX;
use crate::search::{Asked, Field, Group};
use maud::{Markup, html};
use std::collections::HashMap;

const ROWS: usize = 50;
const SPANS: usize = 24;

pub(super) fn page(visit: &Visit) -> Result<Page, Trouble> {
    let (asked, meant) = visit.asked()?;
    let answer = visit.snapshot()?.groups(&meant, ROWS, SPANS)?;
    let (groups, different) = answer.found;
    let reviews = visit.console.reviews.all()?;
    let open = visit.form.get("reviewed") != "all";
    let is_reviewed = |group: &Group| reviews.get(&group.cause.id).is_some_and(|review| review.reviewed);
    let hidden = if open { groups.iter().filter(|group| is_reviewed(group)).count() } else { 0 };
    let listed: Vec<_> = groups.into_iter().filter(|group| !open || !is_reviewed(group)).collect();
    let mut with_reviewed = address("/groups", &asked);
    with_reviewed.push_str(if with_reviewed.contains('?') { "&reviewed=all" } else { "?reviewed=all" });
    let content = html! {
        (question("/groups", &asked))
        (unless_whole(answer.whole))
        p.bar {
            span role="status" { (grouped(different as u64)) " causes" @if hidden > 0 { ", " (hidden) " reviewed ones not shown" } }
            @if hidden > 0 { a href=(with_reviewed) { "Show reviewed ones too" } }
        }
        @if listed.is_empty() { p.none { "Nothing is left to review." } } @else { (table(visit, &asked, &listed, &reviews, true)) }
    };
    Ok(Page { title: "Groups", place: "/groups", content })
}

/// Groups as rows; with forms to mark them, where there is room.
pub(super) fn table(visit: &Visit, asked: &Asked, groups: &[Group], reviews: &HashMap<String, Review>, forms: bool) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Causes" {
            table.groups {
                thead { tr {
                    th scope="col" { "Cause" } th scope="col" { "Site and path" } th scope="col" { "User" } th scope="col" { "Over time" }
                    th scope="col" { "Records" } th scope="col" { "Last (UTC)" } @if forms { th scope="col" { "Review" } }
                } }
                tbody { @for group in groups {
                    @let cause = &group.cause;
                    @let review = reviews.get(&cause.id);
                    tr.reviewed[review.is_some_and(|review| review.reviewed)] {
                        th scope="row" {
                            a href=(address("/events", &narrowed(asked, Field::Cause, &cause.id))) { (shown(&cause.what)) }
                            @if !cause.target.is_empty() { div.reason { "in " (shown(&cause.target)) } }
                        }
                        td { (shown(&cause.site)) span.path { (shown(&cause.template)) } }
                        td { (shown(&cause.user.chars().take(24).collect::<String>())) }
                        td { (sparkline(&group.counts, "deny")) }
                        td.number { (grouped(group.records)) }
                        td { (time(group.last)) }
                        @if forms { td { (form(visit, asked, &cause.id, review)) } }
                    }
                } }
            }
        }
    }
}

fn form(visit: &Visit, asked: &Asked, group: &str, review: Option<&Review>) -> Markup {
    let reviewed = review.is_some_and(|review| review.reviewed);
    html! {
        form.review method="post" action="/review" {
            (token(visit))
            input type="hidden" name="group" value=(group);
            input type="hidden" name="next" value=(address("/groups", asked));
            label { span.unseen { "Note on this cause" }
                input name="note" value=(review.map_or("", |review| &review.note)) maxlength=(REVIEW_NOTE_BYTES_MAX) placeholder="note" autocomplete="off";
            }
            button type="submit" name="reviewed" value=(if reviewed { "no" } else { "yes" }) { (if reviewed { "Reopen" } else { "Mark reviewed" }) }
            button type="submit" name="reviewed" value=(if reviewed { "yes" } else { "no" }) { "Save note" }
            @if let Some(review) = review {
                div.reason { (if review.reviewed { "reviewed" } else { "noted" }) " by " (shown(&review.user)) ", " (shown(review.time.get(..16).unwrap_or_default())) }
            }
        }
    }
}
