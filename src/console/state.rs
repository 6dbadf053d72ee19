//! The state of things: certificates, backends, the trail.

use super::charts::sparkline;
use super::page::{Page, address, grouped, narrowed, shown, time, token};
use super::{Trouble, Visit};
use crate::audit::Position;
use crate::clock::{Moment, unix_micros};
use crate::identity::requests::RequestQueue;
use crate::limits::CERTIFICATE_EXPIRY_WARNING;
use crate::search::{Asked, Field, Snapshot};
use crate::tls::certificate_status;
use crate::upstream::MemberNow;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Time that backends are judged by.
const BACKEND_TIME: &str = "1h";
const SPANS: usize = 30;

pub(super) fn page(visit: &Visit) -> Result<Page, Trouble> {
    let snapshot = visit.snapshot()?;
    let content = html! {
        div.cards {
            (trail(visit, &snapshot, true))
            (certificates(visit))
            (backends(visit, &snapshot)?)
            (accounts(visit))
        }
    };
    Ok(Page { title: "State", place: "/state", content })
}

/// When the sites' certificates end.
pub(super) fn certificates(visit: &Visit) -> Markup {
    let now = i64::try_from(Moment::now().unix_micros / 1_000_000).unwrap_or(i64::MAX);
    let mut files = BTreeMap::new();
    for site in &visit.policy.sites {
        if let Some(own) = &site.certificate {
            files.entry(own.certificate.clone()).or_insert_with(|| certificate_status(&own.certificate));
        }
    }
    let warning = i64::try_from(CERTIFICATE_EXPIRY_WARNING.as_secs() / 86_400).unwrap_or_default();
    html! {
        section.card {
            h2 { "Certificates" }
            @if files.is_empty() { p.none { "none" } } @else {
                table {
                    thead { tr { th scope="col" { "Names" } th scope="col" { "Ends" } } }
                    tbody { @for (path, status) in &files {
                        tr {
                            @match status {
                                Ok(status) => {
                                    @let days = status.days_left(now);
                                    th scope="row" { (shown(&status.names.join(", "))) div.reason { (shown(&path.display().to_string())) } }
                                    td {
                                        span class=(if days < 0 { "state bad" } else if days < warning { "state warn" } else { "state good" }) {
                                            @if days < 0 { "ended " (-days) " days ago" } @else { "in " (days) " days" }
                                        }
                                        div.reason { (time(u64::try_from(status.not_after).unwrap_or_default().saturating_mul(1_000_000))) }
                                    }
                                }
                                Err(_) => {
                                    th scope="row" { (shown(&path.display().to_string())) }
                                    td { span.state.bad { "cannot be read" } }
                                }
                            }
                        }
                    } }
                }
            }
        }
    }
}

/// How many people wait for an account, where a site lets them ask for one. Who they are is for the command line.
pub(super) fn accounts(visit: &Visit) -> Markup {
    let sites: Vec<_> = visit.policy.sites.iter().filter(|site| site.account_page.is_some()).collect();
    let waiting = RequestQueue::new(&visit.policy.audit.state_directory).waiting(Moment::now().unix_micros);
    html! {
        @if !sites.is_empty() {
            section.card {
                h2 { "Account requests" }
                @match &waiting {
                    Ok(waiting) => {
                        table {
                            thead { tr { th scope="col" { "Site" } th scope="col" { "Waiting" } } }
                            tbody { @for site in sites {
                                tr { th scope="row" { (shown(&site.name)) } td.number { (waiting.iter().filter(|request| *request.site == *site.name).count()) } }
                            } }
                        }
                        p.more { code { "portcullis auth requests" } " lists them." }
                    }
                    Err(error) => p.trouble { (shown(&error.to_string())) }
                }
            }
        }
    }
}

/// How the backends answered in the last hour, and how the connections to them stand now.
pub(super) fn backends(visit: &Visit, snapshot: &Snapshot) -> Result<Markup, Trouble> {
    let now = Moment::now().unix_micros;
    let asked = Asked { since: BACKEND_TIME.into(), ..Asked::default() };
    let mut meant = asked.question(now).map_err(Trouble::Question)?;
    // Both ends named, so that the pictures of all share their time.
    meant.until = now;
    let failed = narrowed(&asked, Field::Layer, "forwarding");
    let mut failing = failed.question(now).map_err(Trouble::Question)?;
    failing.until = now;
    let all = snapshot.timeline(&meant, Field::Backend, SPANS)?.found.series;
    let bad = snapshot.timeline(&failing, Field::Backend, SPANS)?.found.series;
    let live = (visit.backends)();
    let of = |series: &[(String, Vec<u64>)], name: &str| {
        series.iter().find(|(own, _)| own == name).map_or_else(|| vec![0; SPANS], |(_, counts)| counts.clone())
    };
    Ok(html! {
        section.card {
            h2 { "Backends" }
            table {
                thead { tr {
                    th scope="col" { "Backend" } th scope="col" { "Last hour" } th scope="col" { "Failed" } th scope="col" { "Now" }
                } }
                tbody { @for backend in &visit.policy.backends {
                    @let (all, bad) = (of(&all, &backend.name), of(&bad, &backend.name));
                    @let (requests, failures) = (all.iter().sum::<u64>(), bad.iter().sum::<u64>());
                    // The last five minutes say how it is now.
                    @let lately = (all.iter().rev().take(3).sum::<u64>(), bad.iter().rev().take(3).sum::<u64>());
                    @let members = live.iter().find(|own| own.name == backend.name).map_or(&[][..], |own| &own.members);
                    tr {
                        th scope="row" { a href=(address("/events", &narrowed(&asked, Field::Backend, &backend.name))) { (shown(&backend.name)) } }
                        td.number { (sparkline(&all, "bar")) " " (grouped(requests)) }
                        td.number { a href=(address("/events", &narrowed(&failed, Field::Backend, &backend.name))) { (sparkline(&bad, "deny")) " " (grouped(failures)) } }
                        td { (health(members, lately)) (connections(members)) }
                    }
                } }
            }
        }
    })
}

/// One word on a backend: what connecting to it came to a moment ago, else how requests fared in the last minutes.
fn health(members: &[MemberNow], (lately, failed): (u64, u64)) -> Markup {
    let resting = members.iter().filter(|member| member.resting).count();
    html! {
        @if resting > 0 && resting == members.len() { span.state.bad { "cannot be connected to" } }
        @else if resting > 0 { span.state.warn { (resting) " of " (members.len()) " cannot be connected to" } }
        @else if lately == 0 { span.state { "quiet" } }
        @else if failed == 0 { span.state.good { "answers" } }
        @else if failed < lately { span.state.warn { "fails at times" } }
        @else { span.state.bad { "does not answer" } }
    }
}

/// The connections to each member.
fn connections(members: &[MemberNow]) -> Markup {
    html! {
        @for member in members {
            div.reason {
                (shown(&member.name)) ": " (member.connections) @if member.connections == 1 { " connection, " } @else { " connections, " } (member.idle) " idle"
                @if member.waiting > 0 { ", " (member.waiting) " requests wait" }
                @if member.resting { ", cannot be connected to" }
            }
        }
    }
}

/// Whether the chain is whole, as far as it was checked; with a form to have all of it checked, where there is room.
fn chain(visit: &Visit, form: bool) -> Markup {
    let found = visit.console.chain.found();
    let when = |text: &str| html! { (time(unix_micros(text).unwrap_or_default())) };
    html! {
        @if let Some((bad, at)) = &found.bad {
            span.state.bad { "not whole" } ", found " (when(at)) " UTC: "
            code { (shown(&bad.file.display().to_string())) @if bad.line > 0 { ":" (bad.line) } } " "
            @if let Some(sequence) = bad.sequence { "record " (grouped(sequence)) ", " }
            (shown(&bad.what)) ". "
        } @else if let Some(whole) = &found.whole {
            span.state.good { "whole" } " up to record " (grouped(whole.point.sequence)) ", checked " (when(&whole.at)) " UTC; from the first record on "
            (when(&whole.from_the_first_at)) ". "
        } @else if found.running.is_none() && found.error.is_none() { span.state { "not checked yet" } ". " }
        @if let Some((done, total)) = found.running { span role="status" { "All of it is being checked: " (done >> 20) " of about " (total >> 20) " MB. " } }
        @if let Some(error) = &found.error { span.state.warn { "cannot be checked" } ": " (shown(error)) ". " }
        @if form {
            form.verify method="post" action="/verify" { (token(visit)) button type="submit" disabled[found.running.is_some()] { "Check all of it now" } }
        }
    }
}

/// Whether the trail is being written, and what of it is in the index.
pub(super) fn trail(visit: &Visit, snapshot: &Snapshot, form: bool) -> Markup {
    let metrics = visit.console.trail.metrics();
    let healthy = visit.console.trail.healthy();
    let unindexed = snapshot.unindexed_bytes() >> 20;
    let position = Position::read(&visit.policy.audit.state_directory).ok().flatten();
    let position = position.map(|own| (own.sequence, String::from_utf8_lossy(own.hash.get(..12).unwrap_or_default()).into_owned()));
    html! {
        section.card {
            h2 { "The trail" }
            dl #chain {
                dt { "Writing" } dd {
                    @if !healthy { span.state.bad { "records are being lost" } }
                    @else if metrics.spilling { span.state.warn { "the folder refuses records: they go to the spill folder" } }
                    @else { span.state.good { "every record is kept" } }
                }
                dt { "Since the start" } dd { (grouped(metrics.written)) " records, " (grouped(metrics.dropped)) " lost, " (grouped(metrics.merged)) " counted in flood records, " (grouped(metrics.errors)) " errors of the disk" }
                dt { "Chain" } dd {
                    @if let Some((lines, head)) = &position { (grouped(*lines)) " lines, the last is " code { (shown(head)) } ". " }
                    (chain(visit, form))
                }
                @for receiver in visit.console.receivers.states() {
                    @let behind = visit.console.trail.last_sequence().saturating_sub(receiver.sequence());
                    dt { "Shipped to " (shown(&receiver.name)) } dd {
                        @match receiver.trouble() {
                            Some(trouble) => { span.state.bad { "fails" } " " (shown(&trouble)) "; " (grouped(behind)) " records wait in the trail" }
                            None => { span.state.good { "takes records" } " " (grouped(receiver.records())) " sent, " (grouped(behind)) " to come" }
                        }
                        div.reason { (shown(&receiver.to)) }
                    }
                }
                dt { "Index" } dd { @if snapshot.is_indexed() { (unindexed) " MB are not in it yet" } @else { "none: every question reads " (unindexed) " MB" } }
            }
        }
    }
}
