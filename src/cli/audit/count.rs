//! `audit top`, `audit stats` and `audit groups`: records counted.

use super::{End, Folders, Printer, tell_unless_whole};
use crate::audit::escape::printable;
use crate::cli::Format;
use crate::search::{Field, Question, Timeline};
use serde_json::json;
use std::io;

/// Marks of a sparkline, the lowest first; nothing at all is a space.
const MARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Marks in one.
const SPANS: usize = 48;
/// Rows of one table of `stats`.
const ROWS_MAX: usize = 20;
/// Characters of a value that are shown.
const VALUE_MAX: usize = 100;

/// The commonest values of a field.
pub(super) fn top(folders: &Folders, question: &Question, field: &str, limit: usize, to: &mut Printer) -> Result<bool, End> {
    let Some(field) = Field::parse(field).filter(|field| *field != Field::Cause) else {
        let names: Vec<_> = Field::ALL.into_iter().filter(|field| *field != Field::Cause).map(Field::name).collect();
        return Err(End::Usage(format!("`{field}` is no field: write one of {}", names.join(", "))));
    };
    let answer = folders.open()?.top(question, &[field], limit)?;
    let top = answer.found.into_iter().next().unwrap_or_default();
    tell_unless_whole(answer.whole);
    if to.format == Format::Json {
        for (value, records) in &top.values {
            writeln!(to.out, "{}", json!({ field.name(): value, "records": records }))?;
        }
        return Ok(!top.values.is_empty());
    }
    if top.values.is_empty() {
        return Ok(false);
    }
    let more = top.different.saturating_sub(top.values.len());
    heading(to, &format!("{:>12}  {:>6}  {}", "RECORDS", "SHARE", field.name().to_uppercase()))?;
    for (value, records) in &top.values {
        writeln!(to.out, "{:>12}  {:>6}  {}", grouped(*records), share(*records, top.records), shown(value))?;
    }
    if more > 0 {
        writeln!(to.out, "{:>12}  and {} more", "", grouped(more as u64))?;
    }
    Ok(true)
}

/// How many, decided by which layer, over time.
pub(super) fn stats(folders: &Folders, question: &Question, to: &mut Printer) -> Result<bool, End> {
    let snapshot = folders.open()?;
    let decisions = snapshot.timeline(question, Field::Decision, SPANS)?;
    let statuses = snapshot.timeline(question, Field::Status, SPANS)?.found;
    tell_unless_whole(decisions.whole);
    let decisions = decisions.found;
    if to.format == Format::Json {
        let series = |timeline: &Timeline| {
            let one = |(value, counts): &(String, Vec<u64>)| json!({"value": value, "counts": counts});
            timeline.series.iter().map(one).collect::<Vec<_>>()
        };
        let all = json!({
            "records": decisions.records,
            "from": time(decisions.from),
            "span_us": decisions.width,
            "decision": series(&decisions),
            "status": series(&statuses),
            "total_us": decisions.took.map(|[half, most, nearly]| json!({"p50": half, "p95": most, "p99": nearly})),
        });
        writeln!(to.out, "{all}")?;
        return Ok(decisions.records > 0);
    }
    if decisions.records == 0 {
        return Ok(false);
    }
    let to_time = decisions.from + decisions.width * SPANS as u64;
    writeln!(to.out, "{} records from {} to {}", grouped(decisions.records), time(decisions.from), time(to_time))?;
    if let Some([half, most, nearly]) = decisions.took {
        writeln!(to.out, "answered whole within {} (half), {} (95 %), {} (99 %)", length(half), length(most), length(nearly))?;
    }
    for (name, timeline) in [("DECISION", &decisions), ("STATUS", &statuses)] {
        writeln!(to.out)?;
        heading(to, &format!("{name:<26} {:>12}  {:>6}  OVER TIME, {} A MARK", "RECORDS", "SHARE", length(decisions.width)))?;
        for (value, counts) in timeline.series.iter().take(ROWS_MAX) {
            let records = counts.iter().sum();
            let value = if value.is_empty() { "none" } else { value };
            writeln!(
                to.out,
                "{:<26} {:>12}  {:>6}  {}",
                shown(value),
                grouped(records),
                share(records, decisions.records),
                sparkline(counts)
            )?;
        }
    }
    Ok(true)
}

/// Refusals and rule matches by their cause.
pub(super) fn groups(folders: &Folders, question: &Question, limit: usize, to: &mut Printer) -> Result<bool, End> {
    let answer = folders.open()?.groups(question, limit, SPANS / 2)?;
    tell_unless_whole(answer.whole);
    let (groups, different) = answer.found;
    if to.format == Format::Json {
        for group in &groups {
            let cause = &group.cause;
            let one = json!({
                "group": cause.id, "records": group.records, "first": time(group.first), "last": time(group.last),
                "rules": cause.what, "target": cause.target, "site": cause.site, "template": cause.template, "user": cause.user,
                "counts": group.counts,
            });
            writeln!(to.out, "{one}")?;
        }
        return Ok(!groups.is_empty());
    }
    if groups.is_empty() {
        return Ok(false);
    }
    heading(to, &format!("{:<16} {:>12}  {:<24}  {:<19}  CAUSE", "GROUP", "RECORDS", "OVER TIME", "LAST (UTC)"))?;
    for group in &groups {
        let last = time(group.last).replace('T', " ").chars().take(19).collect::<String>();
        let cause = &group.cause;
        let target = if cause.target.is_empty() { String::new() } else { format!(" in {}", cause.target) };
        let user = if cause.user.is_empty() { String::new() } else { format!(" by {}", cause.user) };
        let what = shown(&format!("{}{target} at {}{}{user}", cause.what, cause.site, cause.template));
        writeln!(to.out, "{:<16} {:>12}  {}  {last}  {what}", cause.id, grouped(group.records), sparkline(&group.counts))?;
    }
    if different > groups.len() {
        writeln!(to.out, "and {} more groups", grouped((different - groups.len()) as u64))?;
    }
    Ok(true)
}

fn heading(to: &mut Printer, text: &str) -> io::Result<()> {
    let (on, off) = if to.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    writeln!(to.out, "{on}{text}{off}")
}

/// Text of a stranger's choosing, safe for a terminal and cut.
fn shown(text: &str) -> String {
    let text = printable(text);
    let cut: String = text.chars().take(VALUE_MAX).collect();
    if cut.len() < text.len() { format!("{cut}...") } else { cut }
}

/// `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn share(part: u64, whole: u64) -> String {
    let tenths = (u128::from(part) * 1000).checked_div(u128::from(whole)).unwrap_or_default();
    if tenths == 0 && part > 0 { "<0.1 %".into() } else { format!("{}.{} %", tenths / 10, tenths % 10) }
}

fn time(micros: u64) -> String {
    let stamp = i64::try_from(micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    stamp.map(|stamp| format!("{stamp:.0}")).unwrap_or_default()
}

/// A length of time in its largest unit that is not below one.
fn length(micros: u64) -> String {
    let units = [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms"), (1, "us")];
    let (unit, name) = units.into_iter().find(|(unit, _)| micros >= *unit).unwrap_or((1, "us"));
    let tenths = micros * 10 / unit;
    if tenths < 100 && !tenths.is_multiple_of(10) {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", tenths / 10)
    }
}

fn sparkline(counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    let mark = |count: &u64| match (u128::from(*count) * 8).div_ceil(u128::from(most)) {
        0 => ' ',
        height => MARKS[height as usize - 1],
    };
    counts.iter().map(mark).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_and_marks_can_be_read() {
        assert_eq!(super::grouped(1_234_567), "1 234 567");
        assert_eq!(super::grouped(12), "12");
        assert_eq!(super::share(1, 3), "33.3 %");
        assert_eq!(super::share(1, 3_000), "<0.1 %");
        assert_eq!(super::length(5_400_000_000), "1.5 h");
        assert_eq!(super::length(900), "900 us");
        assert_eq!(super::sparkline(&[0, 1, 50, 100]), " ▁▄█");
    }
}
