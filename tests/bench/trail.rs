//! Measures questions about a trail of generated records: `cargo bench --bench trail -- --records 200000 --under-ms 1000`.
//!
//! The records go through the real writer, so that the files are what a gateway writes. Their mix is meant to be that of an
//! office's applications on the internet: most requests allowed, a few per cent challenged, scanners at the door, rules that
//! match again and again for the same few reasons. With `--directory`, the trail is kept, and used again the next time.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that panics fails")]

use portcullis::audit::{Action, AuthOutcome, Decision, Ended, Extent, Record, Redactor, RuleMatch, Settings, Trail, UpstreamOutcome};
use portcullis::clock::Moment;
use portcullis::message::{EventId, Peer};
use portcullis::refusal::Layer;
use portcullis::search::{Asked, Field, Library, Question, Snapshot, Work, update};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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

/// A small generator of numbers, the same at every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// Small numbers far oftener than large ones.
    fn skewed(&mut self, end: u64) -> u64 {
        let (a, b, c) = (self.below(end), self.below(end), self.below(end));
        a.min(b).min(c)
    }
}

fn generate(folder: &Path, records: u64) {
    let clock = Arc::new(AtomicU64::new(BEGIN));
    let own = Arc::clone(&clock);
    let mut settings = Settings::new(folder, Redactor::new(["password"], [], false).unwrap());
    settings.clock = Arc::new(move || own.load(Relaxed));
    settings.flood_records_per_second = None;
    let trail = Trail::open(settings).unwrap();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
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

const SITES: [&str; 5] = ["mail.example.com", "wiki.example.com", "shop.example.com", "files.example.com", "crm.example.com"];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:#.0) Gecko/20100101 Firefox/#.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/#.1 Safari/605.1.15",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.#; Pro)",
];
const ATTACKS: [(u64, &str, &str, &str); 7] = [
    (942_100, "SQL injection attack detected", "ARGS:id", "1' union select password from users--"),
    (941_110, "XSS filter: script tag", "ARGS:q", "<script>alert(document.cookie)</script>"),
    (930_120, "OS file access attempt", "ARGS:file", "../../../../etc/passwd"),
    (932_160, "Remote command execution", "ARGS:cmd", "; cat /etc/shadow"),
    (942_160, "Blind SQL injection with sleep", "ARGS:user", "x' and sleep(5)#"),
    (920_350, "Host header is a numeric address", "REQUEST_HEADERS:host", "192.0.2.2"),
    (913_100, "Found user agent of a scanner", "REQUEST_HEADERS:user-agent", "sqlmap/1.8"),
];

fn record(now: u64, n: u64, dice: &mut Dice) -> Record {
    let moment = Moment { unix_micros: now, ..Moment::now() };
    let kind = dice.below(1000);
    let hostile = (960..990).contains(&kind);
    let client = if hostile { 1_000_000 + dice.skewed(500) } else { dice.skewed(20_000) };
    let address = if hostile { Ipv4Addr::new(198, 51, 100, (client % 250) as u8) } else { Ipv4Addr::from(0x0a01_0000 + client as u32) };
    let remote = SocketAddr::new(IpAddr::V4(address), 1024 + (client % 60_000) as u16);
    let peer = Peer::new(remote, "192.0.2.2:443".parse().unwrap(), n / 8);
    let mut record = Record::new(EventId::new(moment, u128::from(dice.roll()) << 16 | u128::from(n & 0xffff)), moment, Arc::new(peer));
    let site = SITES[dice.skewed(5) as usize];
    record.scheme = "https";
    record.method = if dice.below(5) == 0 { "POST".into() } else { "GET".into() };
    record.host = site.into();
    record.path = path(dice);
    record.query = (dice.below(3) == 0).then(|| format!("id={}&page={}", dice.below(1_000_000), dice.below(50)));
    let agent = AGENTS[dice.skewed(4) as usize].replace('#', &(100 + dice.below(40)).to_string());
    record.headers = vec![("user-agent".into(), agent.into()), ("accept".into(), "text/html,application/json;q=0.9,*/*;q=0.8".into())];
    if dice.below(2) == 0 {
        record.headers.push(("referer".into(), format!("https://{site}{}", path(dice)).into()));
    }
    record.site = Some(site.into());
    record.map = Some("/".into());
    let user = dice.skewed(2_000);
    record.auth = AuthOutcome {
        result: "cached",
        user: Some(format!("user{user}")),
        known: true,
        groups: vec!["employees".into()],
        ..AuthOutcome::default()
    };
    record.extent = Extent::Full;
    record.extent_reason = "";
    record.inspection_mode = "block";
    record.score = Some(0);
    record.request_bytes = dice.below(2000);
    record.response_bytes = dice.skewed(100_000);
    record.ended = Ended::Complete;
    record.timing.door = Some(3 + dice.below(5));
    record.timing.inspection = Some(60 + dice.below(200));
    record.timing.forwarding = Some(500 + dice.skewed(200_000));
    record.timing.total = Some(700 + dice.skewed(400_000));
    let backend = |status| UpstreamOutcome {
        backend: site.split('.').next().unwrap_or_default().into(),
        address: "10.0.0.5:8080".into(),
        reused: true,
        status: Some(status),
        tries: 1,
        error: None,
    };
    let (status, layer, action, reason) = match kind {
        0..=899 => (*[200, 200, 200, 304, 302, 404].get(dice.below(6) as usize).unwrap_or(&200), None, Action::Allow, ""),
        900..=939 => (401, Some(Layer::BasicAuth), Action::Challenge, "credentials_missing"),
        940..=949 => (429, Some(Layer::RateLimit), Action::Deny, "rate_limited"),
        950..=959 => (502, Some(Layer::Forwarding), Action::Mask, "backend_unreachable"),
        960..=979 => (403, Some(Layer::Inspection), Action::Deny, "rule_denied"),
        _ => (404, Some(Layer::Door), Action::Deny, "not_mapped"),
    };
    record.status = Some(status);
    record.decision = Decision { layer, action, reason };
    match layer {
        None => record.upstream = Some(backend(status)),
        Some(Layer::Forwarding) => record.upstream = Some(UpstreamOutcome { error: Some("connection refused".into()), ..backend(502) }),
        Some(Layer::Inspection) => attack(&mut record, dice),
        Some(_) => record.auth = AuthOutcome { result: "none", ..AuthOutcome::default() },
    }
    record
}

fn attack(record: &mut Record, dice: &mut Dice) {
    let (id, message, variable, matched) = ATTACKS[dice.skewed(7) as usize];
    record.path = ["/search", "/shop/item", "/wiki/index.php"][dice.skewed(3) as usize].into();
    record.query = Some(format!("{}={matched}{}", variable.rsplit(':').next().unwrap_or_default(), dice.below(100_000)));
    record.score = Some(5);
    let rule = |id, phase, message: &str, variable: &str, matched: &str, score| RuleMatch {
        id,
        phase,
        message: message.into(),
        tags: vec!["application-multi".into(), "paranoia-level/1".into(), "OWASP_CRS".into()],
        severity: "critical".into(),
        variable: variable.into(),
        matched: matched.as_bytes().to_vec(),
        data: format!("Matched Data: {matched} found within {variable}"),
        score,
        source: "rules/crs/REQUEST.conf:100".into(),
    };
    record.rules = vec![
        rule(id, 2, message, variable, matched, 5),
        rule(949_110, 2, "Inbound anomaly score exceeded", "TX:BLOCKING_INBOUND_ANOMALY_SCORE", "5", 0),
    ];
}

fn path(dice: &mut Dice) -> String {
    match dice.skewed(8) {
        0 => format!("/owa/service.svc/s/{}", ["GetItem", "FindItem", "Subscribe"][dice.below(3) as usize]),
        1 => format!("/wiki/page/{}", dice.skewed(20_000)),
        2 => format!("/static/app.{:08x}.js", dice.skewed(60)),
        3 => format!("/api/v2/orders/{}/items/{}", dice.skewed(300_000), dice.below(12)),
        4 => format!("/files/{:016x}/download", dice.skewed(100_000)),
        5 => "/".into(),
        6 => format!("/images/{}.png", dice.skewed(5_000)),
        _ => format!("/crm/contact/{}", dice.skewed(80_000)),
    }
}
