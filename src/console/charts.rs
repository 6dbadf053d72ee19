//! Pictures: bars over time and sparklines, as SVG in the page.

use super::page::{class, grouped, length, time};
use crate::search::Timeline;
use maud::{Markup, html};

const WIDTH: usize = 960;
const HEIGHT: usize = 180;

/// Stacked bars over time, with their legend, and the same as a table.
pub(super) fn timeline(timeline: &Timeline, name: &str, link: impl Fn(&str) -> String) -> Markup {
    let spans = timeline.series.first().map_or(0, |(_, counts)| counts.len());
    let sums: Vec<u64> = (0..spans).map(|at| timeline.series.iter().filter_map(|(_, counts)| counts.get(at)).sum()).collect();
    let most = sums.iter().copied().max().unwrap_or_default().max(1);
    let step = WIDTH as f64 / spans.max(1) as f64;
    let end = timeline.from + timeline.width * spans as u64;
    html! {
        figure.timeline {
            figcaption { (name) ": " b { (grouped(timeline.records)) } " records, " (time(timeline.from)) " to " (time(end)) " UTC, one bar is "
                (length(timeline.width)) ", the highest has " (grouped(most)) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(format!("{name} over time; the table below has the numbers"))
                data-from=(timeline.from) data-to=(end) {
                @for at in 0..spans {
                    (bar(timeline, at, step, most))
                }
            }
            ul.legend {
                @for (value, counts) in &timeline.series {
                    li { a href=(link(value)) {
                        svg.key viewBox="0 0 10 10" aria-hidden="true" { rect class=(format!("c-{}", class(value))) width="10" height="10" {} }
                        (if value.is_empty() { "no decision" } else { value }) " " b { (grouped(counts.iter().sum())) }
                    } }
                }
            }
            details {
                summary { "As a table" }
                div.scroll tabindex="0" { table {
                    thead { tr { th scope="col" { "From (UTC)" } @for (value, _) in &timeline.series { th scope="col" { (value) } } } }
                    tbody {
                        @for at in (0..spans).filter(|at| sums[*at] > 0) {
                            tr {
                                th scope="row" { (time(timeline.from + timeline.width * at as u64)) }
                                @for (_, counts) in &timeline.series { td.number { (grouped(counts[at])) } }
                            }
                        }
                    }
                } }
            }
        }
    }
}

/// One bar: the parts above one another, refusals at the foot where they are seen best.
fn bar(timeline: &Timeline, at: usize, step: f64, most: u64) -> Markup {
    let mut parts: Vec<_> = timeline.series.iter().map(|(value, counts)| (value, counts[at])).filter(|(_, count)| *count > 0).collect();
    parts.sort_by_key(|(value, _)| ["deny", "mask", "challenge", "other", "allow"].iter().position(|own| *own == class(value)));
    let mut foot = HEIGHT as f64;
    html! {
        @if !parts.is_empty() {
            g {
                title {
                    (time(timeline.from + timeline.width * at as u64))
                    @for (value, count) in &parts { "\n" (value) ": " (grouped(*count)) }
                }
                @for (value, count) in &parts {
                    @let height = ((*count as f64 / most as f64) * (HEIGHT - 4) as f64).max(1.0);
                    rect class=(format!("c-{}", class(value))) x=(format!("{:.1}", at as f64 * step)) width=(format!("{:.1}", (step - 1.0).max(0.5)))
                        y=(format!("{:.1}", { foot -= height; foot })) height=(format!("{height:.1}")) {}
                }
            }
        }
    }
}

/// A small picture of counts over time; what it shows stands beside it.
pub(super) fn sparkline(counts: &[u64], class: &str) -> Markup {
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    html! {
        svg.spark viewBox=(format!("0 0 {} 24", counts.len().max(1) * 4)) preserveAspectRatio="none" aria-hidden="true" {
            @for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = ((*count as f64 / most as f64) * 23.0).max(1.5);
                rect class=(format!("c-{class}")) x=(at * 4) width="3" y=(format!("{:.1}", 24.0 - height)) height=(format!("{height:.1}")) {}
            }
        }
    }
}

/// A part of a whole as a bar; the number stands beside it.
pub(super) fn portion(part: u64, whole: u64) -> Markup {
    let width = (part as f64 / whole.max(1) as f64 * 100.0).clamp(0.5, 100.0);
    html! {
        svg.portion viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.c-track width="100" height="8" {}
            rect.c-bar width=(format!("{width:.1}")) height="8" {}
        }
    }
}
