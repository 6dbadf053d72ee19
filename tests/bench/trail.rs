//! Measures questions about a trail of generated records: `cargo bench --bench trail -- --records 200000 --under-ms 1000`.
//!
//! The records go through the real writer, so that the files are what a gateway writes. Their mix is meant to be that of an
//! office's applications on the internet: most requests allowed, a few per cent challenged, scanners at the door, rules that
//! match again and again for the same few reasons. With `--directory`, the trail is kept, and used again the next time.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that panics fails")]

mod records;

use portcullis::audit::{Redactor, Settings, Trail};
use portcullis::search::{Asked, Field, Library, Question, Snapshot, Work, update};
use records::{Dice, record};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// 2026-01-01T00:00:00Z in microseconds.
const BEGIN: u64 = 1_767_225_600_000_000;
const DAYS: u64 = 30;
/// Times that every question is asked.
const ROUNDS: u32 = 3;

fn main() -> ExitCode {
    // `cargo bench` says so to every bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)).cloned();
    let number = |name: &str, otherwise: u64| value(name).map_or(otherwise, |v| v.parse().expect("a number"));
    let records = number("--records", 200_000);
    let under = Duration::from_millis(number("--under-ms", u64::MAX / 2));
    let own = tempfile::tempdir().unwrap();
    let folder = value("--directory").map_or_else(|| own.path().to_owned(), PathBuf::from);
    let index = folder.join("index");

    if !folder.join("generated").exists() {
        let before = Instant::now();
        generate(&folder, records);
        std::fs::write(folder.join("generated"), "").unwrap();
        println!("generated {records} records in {:.1?}: {} MB", before.elapsed(), bytes(&folder) >> 20);
    }
    if let Ok(threads) = std::env::var("TRAIL_INDEX_THREADS").unwrap_or_else(|_| "2".into()).parse() {
        let before = Instant::now();
        let work = &mut Work { threads, memory_bytes: threads * 150_000_000, thorough: true, progress: &mut |_, _| true };
        let report = update(&folder, &index, work).unwrap();
        println!("indexed {} records in {:.1?}: {} MB of index", report.records, before.elapsed(), bytes(&index) >> 20);
    }
    let before = Instant::now();
    let library = Library::new(&folder, Some(&index));
    let snapshot = library.snapshot().unwrap();
    println!("opened in {:.1?}; {} MB are not in the index", before.elapsed(), snapshot.unindexed_bytes() >> 20);
    let slowest = questions(&snapshot).max(pages(&library));
    println!("slowest: {slowest:.1?}");
    if slowest > under {
        println!("an answer took longer than {under:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What all threads of this process have used of the processor.
fn cpu_milliseconds() -> u64 {
    // proc(5): utime and stime in hundredths of a second; nothing before them but the name can hold a parenthesis.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
    fields.get(11..13).map_or(0, |times| times.iter().sum::<u64>() * 10)
}

/// Asks them all, each three times; the slowest of the best times.
fn questions(snapshot: &Snapshot) -> Duration {
    let now = BEGIN + DAYS * 86_400_000_000;
    let text = |text: &str| Asked { text: text.into(), ..Asked::default() };
    let field = |field, value: &str| Asked { fields: vec![(field, value.into())], ..Asked::default() };
    let asked = [
        ("everything", Asked::default()),
        ("time: one day", Asked { since: "2026-01-15".into(), until: "2026-01-16".into(), ..Asked::default() }),
        ("user", Asked { user: "user17".into(), ..Asked::default() }),
        ("address", Asked { ip: "198.51.100.7".into(), ..Asked::default() }),
        ("network", Asked { ip: "10.1.0.0/16".into(), ..Asked::default() }),
        ("site", Asked { site: "mail.example.com".into(), ..Asked::default() }),
        ("path", Asked { path: "/owa/".into(), ..Asked::default() }),
        ("layer", field(Field::Layer, "inspection")),
        ("action", field(Field::Action, "challenge")),
        ("rule", field(Field::Rule, "942100")),
        ("status", Asked { status: "5xx".into(), ..Asked::default() }),
        ("free text, rare", text("sleep(5)")),
        ("free text, common", text("firefox")),
        ("free text, a number", text("4711")),
        ("free text, two words", text("union select")),
        ("free text, nowhere", text("nowheretobefound")),
        ("user, day and layer", {
            let fields = vec![(Field::Layer, "inspection".into())];
            Asked { user: "user3".into(), since: "2026-01-10".into(), until: "2026-01-20".into(), fields, ..Asked::default() }
        }),
    ];
    let mut slowest = Duration::ZERO;
    println!("milliseconds: the best of {ROUNDS} by the clock / of the processor, on average");
    println!("{:<24} {:>10} {:>13} {:>13} {:>13} {:>13}", "QUESTION", "records", "newest 50", "top 5x20", "stats", "groups");
    for (name, asked) in asked {
        let question = asked.question(now).unwrap();
        let mut records = 0;
        let mut best = |act: &mut dyn FnMut(&Question)| {
            let cpu_before = cpu_milliseconds();
            let times = (0..ROUNDS).map(|_| {
                let before = Instant::now();
                act(&question);
                before.elapsed()
            });
            let best = times.min().unwrap_or_default();
            slowest = slowest.max(best);
            format!("{:.0} / {:.0}", best.as_secs_f64() * 1000.0, (cpu_milliseconds() - cpu_before) as f64 / f64::from(ROUNDS))
        };
        let newest = best(&mut |q| drop(snapshot.newest(q, 50, None).unwrap()));
        let fields = [Field::User, Field::Address, Field::Rule, Field::Path, Field::Site];
        let top = best(&mut |q| {
            records = snapshot.top(q, &fields, 20).unwrap().found[0].records;
        });
        let stats = best(&mut |q| drop(snapshot.timeline(q, Field::Decision, 60).unwrap()));
        let groups = best(&mut |q| drop(snapshot.groups(q, 20, 24).unwrap()));
        println!("{name:<24} {records:>10} {newest:>13} {top:>13} {stats:>13} {groups:>13}");
    }
    let line = snapshot.newest(&Question::all(), 1000, None).unwrap().found.pop().unwrap();
    let id = serde_json::from_slice::<serde_json::Value>(&line).unwrap()["event"]["id"].as_str().unwrap_or_default().to_owned();
    let before = Instant::now();
    assert!(!snapshot.story(&id).unwrap().is_empty());
    println!("the story of an event by its id: {:.1?}", before.elapsed());
    slowest.max(before.elapsed())
}

/// What the console asks for its pages, for a day and for all time; the slowest of the best times.
fn pages(library: &Library) -> Duration {
    let now = BEGIN + DAYS * 86_400_000_000;
    let top = [Field::User, Field::Address, Field::Rule, Field::Path];
    let lists = [
        Field::User,
        Field::Address,
        Field::Site,
        Field::Path,
        Field::Template,
        Field::Rule,
        Field::Target,
        Field::Status,
        Field::Decision,
        Field::Reason,
        Field::Backend,
        Field::Agent,
    ];
    let mut slowest = Duration::ZERO;
    println!("\npages of the console, milliseconds as above");
    println!("{:<24} {:>13} {:>13} {:>13} {:>13}", "TIME", "overview", "events", "groups", "top lists");
    for (name, since) in [("24h", "24h"), ("7d", "7d"), ("all", "")] {
        let question = Asked { since: since.into(), ..Asked::default() }.question(now).unwrap();
        let hour = Asked { since: "1h".into(), ..Asked::default() }.question(now).unwrap();
        let mut best = |act: &mut dyn FnMut(&Snapshot)| {
            let cpu_before = cpu_milliseconds();
            let times = (0..ROUNDS).map(|_| {
                let before = Instant::now();
                act(&library.snapshot().unwrap());
                before.elapsed()
            });
            let best = times.min().unwrap_or_default();
            slowest = slowest.max(best);
            format!("{:.0} / {:.0}", best.as_secs_f64() * 1000.0, (cpu_milliseconds() - cpu_before) as f64 / f64::from(ROUNDS))
        };
        let overview = best(&mut |s| {
            s.timeline(&question, Field::Decision, 96).unwrap();
            s.top(&question, &top, 7).unwrap();
            s.groups(&question, 7, 24).unwrap();
            s.timeline(&hour, Field::Backend, 30).unwrap();
            s.timeline(&hour, Field::Backend, 30).unwrap();
        });
        let events = best(&mut |s| drop(s.newest(&question, 100, None).unwrap()));
        let groups = best(&mut |s| drop(s.groups(&question, 50, 24).unwrap()));
        let tops = best(&mut |s| drop(s.top(&question, &lists, 10).unwrap()));
        println!("{name:<24} {overview:>13} {events:>13} {groups:>13} {tops:>13}");
    }
    slowest
}

fn bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    entries.map(|e| if e.path().is_dir() { bytes(&e.path()) } else { e.metadata().unwrap().len() }).sum()
}

fn generate(folder: &Path, records: u64) {
    let clock = Arc::new(AtomicU64::new(BEGIN));
    let own = Arc::clone(&clock);
    let mut settings = Settings::new(folder, Redactor::new(["password"], [], false).unwrap());
    settings.clock = Arc::new(move || own.load(Relaxed));
    settings.flood_records_per_second = None;
    let trail = Trail::open(settings).unwrap();
    let mut dice = Dice::new();
    let mut now = BEGIN;
    let step = DAYS * 86_400_000_000 / records.max(1);
    for n in 0..records {
        // Nights are calm: a third of the day has a tenth of the requests.
        let hour = now / 3_600_000_000 % 24;
        now += dice.below(2 * step + 1) * if hour < 8 { 5 } else { 1 } * 10 / 14;
        clock.store(now, Relaxed);
        trail.write(&record(now, n, &mut dice));
        if n % 1024 == 0 {
            while trail.metrics().queued_bytes > 8 * 1024 * 1024 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    assert!(trail.stop(), "records were lost");
}
