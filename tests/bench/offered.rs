//! Offers records to the real writer at a rate and counts what became of them: `cargo bench --bench offered -- --seconds 60`.
//!
//! Two threads stand for the gateway's event loops and write `--rate` records a second between them; the writer forces the file to the
//! disk each second, as it does by default. Afterwards the trail is read: every id once, the chain whole, nothing declared missing. The
//! processor's time is compared with the same records made and not written, and with their lines appended to a file, one
//! write each, which is the least that a log without numbers, chain and signatures could do.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that panics fails")]

mod records;

use portcullis::audit::read::Records;
use portcullis::audit::verify::{Evidence, verify};
use portcullis::audit::{Position, Record, Redactor, Settings, Trail};
use portcullis::clock::Moment;
use portcullis::message::EventId;
use records::{Dice, record};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const THREADS: u64 = 2;
/// Records come in handfuls, as requests do.
const HANDFUL: Duration = Duration::from_millis(2);
/// Different records that are offered again and again, each time with an id of its own.
const DIFFERENT: u64 = 2_000;

fn main() -> ExitCode {
    // `cargo bench` says so to every bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |name: &str, otherwise: u64| {
        let value = arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1));
        value.map_or(otherwise, |v| v.parse().expect("a number"))
    };
    let (seconds, rate) = (number("--seconds", 5), number("--rate", 20_000));
    let own = tempfile::tempdir().unwrap();
    let (audit, state) = (own.path().join("audit"), own.path().join("state"));

    let made = offer(rate, seconds, |_| ());
    let settings = Settings {
        state_directory: Some(state.clone()),
        flood_records_per_second: None,
        ..Settings::new(&audit, Redactor::new([], [], false).unwrap())
    };
    let trail = Trail::open(settings).unwrap();
    let before = processor();
    let offered = offer(rate, seconds, |record| {
        trail.cover(trail.begin());
        trail.write(record);
    });
    let stopped = trail.stop();
    let written = (processor() - before).saturating_sub(made.processor);
    let metrics = trail.metrics();
    println!(
        "{} records offered in {:.1} s: {} a second; {} written, {} dropped, {} errors, {} files",
        offered.records,
        offered.took.as_secs_f64(),
        per_second(&offered),
        metrics.written,
        metrics.dropped,
        metrics.errors,
        metrics.files
    );
    let (requests, ids) = read(&audit);
    let evidence = Evidence { position: Position::read(&state).unwrap(), ..Evidence::default() };
    let report = verify(&audit, &evidence, |_| {}).unwrap();
    println!(
        "read back: {requests} requests, {ids} different ids, {} lines, {} declared lost, chain {}",
        report.lines,
        report.lost,
        report.bad.as_ref().map_or("whole".to_owned(), |bad| bad.what.clone())
    );
    let line = metrics.bytes / report.lines.max(1);
    let appended = append(rate, seconds, line as usize, &own.path().join("plain.log")).saturating_sub(made.processor);
    let each = |processor: Duration| processor.as_secs_f64() * 1e6 / offered.records as f64;
    println!("processor, microseconds a record of {line} bytes: the trail {:.1}, a plain append {:.1}", each(written), each(appended));
    let whole = stopped
        && report.bad.is_none()
        && [metrics.written, requests, ids, report.requests].iter().all(|count| *count == offered.records)
        && (metrics.dropped, report.lost) == (0, 0);
    if !whole {
        println!("records were lost, doubled or changed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

struct Offered {
    records: u64,
    took: Duration,
    processor: Duration,
}

fn per_second(offered: &Offered) -> u64 {
    (offered.records as f64 / offered.took.as_secs_f64()).round() as u64
}

/// Offers records from several threads, paced by the clock: a thread that was held up makes up for it.
fn offer(rate: u64, seconds: u64, write: impl Fn(&Record) + Sync) -> Offered {
    let (begun, before, all) = (Instant::now(), processor(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (write, all) = (&write, &all);
            scope.spawn(move || {
                let (mut dice, now) = (Dice::new(), Moment::now());
                let mut different: Vec<Record> = (0..DIFFERENT).map(|n| record(now.unix_micros, n, &mut dice)).collect();
                let (begun, most) = (Instant::now(), rate * seconds / THREADS);
                let mut done = 0;
                while done < most {
                    let due = (begun.elapsed().as_secs_f64() * (rate / THREADS) as f64) as u64;
                    while done < due.min(most) {
                        let record = &mut different[(done % DIFFERENT) as usize];
                        record.received = Moment::now();
                        record.id = EventId::new(record.received, u128::from(done * THREADS + thread));
                        write(record);
                        done += 1;
                    }
                    std::thread::sleep(HANDFUL);
                }
                all.fetch_add(done, Relaxed);
            });
        }
    });
    Offered { records: all.load(Relaxed), took: begun.elapsed(), processor: processor() - before }
}

/// The same by appending lines of `bytes` to one file, which another thread forces to the disk each second.
fn append(rate: u64, seconds: u64, bytes: usize, path: &Path) -> Duration {
    let before = processor();
    let file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    let mut line = vec![b'x'; bytes];
    line.push(b'\n');
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (other, is_over) = (file.try_clone().unwrap(), &is_over);
        scope.spawn(move || force(&other, is_over));
        offer(rate, seconds, |_| (&file).write_all(&line).unwrap());
        is_over.store(true, Relaxed);
    });
    processor() - before
}

fn force(file: &File, is_over: &AtomicBool) {
    let mut forced = Instant::now();
    while !is_over.load(Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        if forced.elapsed() >= Duration::from_secs(1) {
            file.sync_data().unwrap();
            forced = Instant::now();
        }
    }
    file.sync_data().unwrap();
}

/// How many requests the trail has, and how many different ids.
fn read(directory: &Path) -> (u64, u64) {
    let (mut requests, mut ids) = (0, HashSet::new());
    for line in Records::open(directory).unwrap() {
        let line = line.unwrap();
        let value: serde_json::Value = serde_json::from_slice(&line.bytes).unwrap();
        if value["event"]["kind"] == "request" {
            requests += 1;
            ids.insert(value["event"]["id"].as_str().unwrap().to_owned());
        }
    }
    (requests, ids.len() as u64)
}

/// What all threads of this process have used of the processor.
fn processor() -> Duration {
    // proc(5): utime and stime in hundredths of a second; nothing before them but the name can hold a parenthesis.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
    Duration::from_millis(fields.get(11..13).map_or(0, |times| times.iter().sum::<u64>() * 10))
}
