//! The writer keeps every record in order, over restarts, days, sizes and refusals, and tells how far it is.

use super::position::{Marker, Position};
use super::queue::Shared;
use super::*;

#[test]
fn a_restart_continues_the_numbers() {
    let bench = Bench::new();
    for _ in 0..3 {
        let trail = bench.open();
        trail.write(&minimal());
        assert!(trail.flush(SOON));
        assert!(trail.stop());
    }
    assert_eq!(bench.files().len(), 3);
    assert_eq!(bench.kinds(), ["start", "request", "stop"].repeat(3));
    assert_eq!(bench.values()[3]["trail"]["previous"], "clean");
}

#[test]
fn a_torn_tail_is_left_as_it_is_and_marked() {
    let bench = Bench::new();
    bench.open().write(&minimal());
    let path = bench.files().pop().unwrap();
    let text = fs::read(&path).unwrap();
    // The process died while it wrote its stop record.
    fs::write(&path, &text[..text.len() - 9]).unwrap();
    let torn = text.len() - 9 - text[..text.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() - 1;
    bench.open().write(&minimal());
    let values = bench.values();
    assert_eq!(bench.kinds(), ["start", "request", "start", "gap", "request", "stop"]);
    assert!(values[3]["gap"]["count"].is_null() && values[3]["gap"]["count_max"].is_null(), "nobody knows how many without a position");
    assert_eq!((&values[2]["trail"]["previous"], values[2]["trail"]["torn_bytes"].as_u64()), (&"torn".into(), Some(torn as u64)));
    // Dead between two lines.
    let path = bench.files().pop().unwrap();
    let text = fs::read(&path).unwrap();
    let end = text[..text.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    fs::write(&path, &text[..end]).unwrap();
    drop(bench.open());
    assert_eq!(bench.values()[5]["trail"]["previous"], "unclean");
}

#[test]
fn files_are_bounded_in_size() {
    let bench = Bench::new();
    let trail = Trail::open(Settings { file_bytes_max: 10_000, ..bench.settings() }).unwrap();
    for _ in 0..100 {
        trail.write(&full());
    }
    assert!(trail.stop());
    let sizes: Vec<_> = bench.files().iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    assert!(sizes.len() > 10 && sizes.iter().all(|size| *size <= 10_000), "{sizes:?}");
    assert_eq!(bench.account(), (100, 0));
    assert_eq!(trail.metrics().written, 100);
    assert_eq!(trail.metrics().bytes, sizes.iter().sum::<u64>());
    assert_eq!(trail.metrics().files, sizes.len() as u64);
}

#[test]
fn every_day_has_its_file_and_a_clock_set_back_does_not_mix_them_up() {
    let bench = Bench::new();
    let trail = bench.open();
    for clock in [NOW, NOW + 86_400_000_000, NOW + 86_400_000_000, NOW - 86_400_000_000] {
        bench.clock.store(clock, SeqCst);
        trail.write(&minimal());
        assert!(trail.flush(SOON));
    }
    drop(trail);
    let names: Vec<_> = bench.files().iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        ["portcullis-20231114-221320-0000.jsonl", "portcullis-20231115-221320-0000.jsonl", "portcullis-20231115-221320-0001.jsonl"]
    );
    assert_eq!(bench.account(), (4, 0));
}

#[test]
fn closed_files_go_when_they_are_too_old_and_the_trail_says_so() {
    let bench = Bench::new();
    let trail = Trail::open(Settings { retention_days: Some(2), ..bench.settings() }).unwrap();
    for day in 0..5u64 {
        bench.clock.store(NOW + day * 86_400_000_000, SeqCst);
        trail.write(&minimal());
        assert!(trail.flush(SOON));
    }
    drop(trail);
    assert_eq!(bench.files().len(), 3);
    let kept: Vec<Value> =
        Records::open(&bench.directory()).unwrap().map(|line| serde_json::from_slice(&line.unwrap().bytes).unwrap()).collect();
    let retired: Vec<_> = kept.iter().filter_map(|value| value["trail"]["file"].as_str()).collect();
    assert_eq!(retired, ["portcullis-20231114-221320-0000.jsonl", "portcullis-20231115-221320-0000.jsonl"]);
}

#[test]
fn reopen_begins_a_new_file() {
    let bench = Bench::new();
    let trail = bench.open();
    trail.write(&minimal());
    assert!(trail.flush(SOON));
    trail.reopen();
    trail.write(&minimal());
    drop(trail);
    assert_eq!(bench.files().len(), 2);
    assert_eq!(bench.account(), (2, 0));
}

#[test]
fn a_folder_that_cannot_be_written_refuses_the_start() {
    let bench = Bench::new();
    fs::write(bench.directory(), "a file").unwrap();
    assert!(Trail::open(bench.settings()).is_err());
}

#[test]
fn when_the_disk_fails_requests_are_records_plus_declared_gaps() {
    let bench = Bench::new();
    let trail = Trail::open(Settings { queue_bytes_max: 20_000, ..bench.settings() }).unwrap();
    assert!(trail.healthy());
    // Removed under the writer, with a file in its place: no new one can be begun, by nobody.
    let aside = bench.folder.path().join("aside");
    fs::rename(bench.directory(), &aside).unwrap();
    let removed = read::files(&aside).unwrap().pop().unwrap();
    let kept = fs::read(&removed).unwrap();
    fs::remove_file(&removed).unwrap();
    for _ in 0..300 {
        trail.write(&minimal());
    }
    let waited = Instant::now();
    while trail.healthy() || trail.metrics().errors == 0 {
        assert!(waited.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!trail.flush(Duration::from_millis(50)));
    let metrics = trail.metrics();
    assert!(metrics.dropped > 0 && metrics.queued_bytes <= 20_000, "{metrics:?}");
    // The disk is back.
    fs::rename(&aside, bench.directory()).unwrap();
    fs::write(bench.directory().join(removed.file_name().unwrap()), kept).unwrap();
    assert!(trail.flush(SOON));
    let waited = Instant::now();
    while !trail.healthy() {
        assert!(waited.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(5));
    }
    trail.write(&minimal());
    assert!(trail.stop());
    let (records, lost) = bench.account();
    assert!(lost > 0 && records > 1);
    assert_eq!(records + lost, 301);
    assert_eq!((trail.metrics().written, trail.metrics().dropped), (records, lost));
}

/// A real error in the middle of a line: the kernel's limit of a file's size, in a process of its own.
#[test]
fn a_line_that_the_disk_cut_is_whole_in_the_next_file() {
    const NAME: &str = "audit::tests::writer::a_line_that_the_disk_cut_is_whole_in_the_next_file";
    if let Some(folder) = std::env::var_os("PORTCULLIS_TEST_LIMITED") {
        let trail = Trail::open(Settings::new(folder, redactor())).unwrap();
        for _ in 0..100 {
            trail.write(&full());
        }
        assert!(trail.stop());
        assert!(trail.metrics().errors > 0);
        return;
    }
    let bench = Bench::new();
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 20; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env("PORTCULLIS_TEST_LIMITED", bench.directory())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(bench.files().len() > 2);
    assert_eq!(bench.account(), (100, 0));
    assert!(Records::open(&bench.directory()).unwrap().all(|line| !line.unwrap().torn));
}

#[test]
fn many_threads_lose_nothing_and_mix_nothing() {
    let bench = Bench::new();
    let trail = bench.open();
    std::thread::scope(|scope| {
        for thread in 0..8u16 {
            let trail = trail.clone();
            scope.spawn(move || {
                for number in 0..250u64 {
                    let mut record = full();
                    record.status = Some(200 + thread);
                    record.request_bytes = number;
                    trail.write(&record);
                }
            });
        }
    });
    assert!(trail.stop());
    let mut next = [0; 8];
    for value in bench.values().iter().filter(|value| value["event"]["kind"] == "request") {
        let thread = value["http"]["response"]["status_code"].as_u64().unwrap() as usize - 200;
        assert_eq!(value["http"]["request"]["bytes"].as_u64(), Some(next[thread]), "a thread's records keep their order");
        next[thread] += 1;
    }
    assert_eq!(next, [250; 8]);
}

#[test]
fn following_sees_every_line_over_rotation() {
    let bench = Bench::new();
    let trail = bench.open();
    let mut follow = Follow::open(&bench.directory()).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        trail.write(&minimal());
        assert!(trail.flush(SOON));
        trail.reopen();
        while let Some(line) = follow.poll().unwrap() {
            seen.push(line);
        }
    }
    drop(trail);
    while let Some(line) = follow.poll().unwrap() {
        seen.push(line);
    }
    let seen = seen.iter().filter(|line| !String::from_utf8_lossy(line).contains("\"kind\":\"checkpoint\""));
    assert_eq!(seen.count(), 4, "three requests and the stop");
}

#[test]
fn the_writer_is_asked_for_a_higher_ceiling_before_it_is_reached() {
    let bench = Bench::new();
    let state = bench.folder.path();
    let ceiling = || Position::read(state).unwrap().unwrap().ceiling;
    let shared = Shared::new(bench.settings(), Some(Marker::begin(state, 64, 0, &genesis()).unwrap()), 64);
    for _ in 0..31 {
        let _ = shared.open();
    }
    assert!(!shared.queue().raise);
    let _ = shared.open();
    assert!(std::mem::take(&mut shared.queue().raise), "half of it is used up");
    let _ = shared.open();
    assert!(!shared.queue().raise, "asked once");
    assert_eq!(ceiling(), 64, "whoever begins a request does not write");
    shared.allow_more();
    assert!(ceiling() >= 33 + 64, "{}", ceiling());
    // The writer does not come round: whoever begins a request sees that it is not covered, and lets it be.
    for opened in 34..20_000u64 {
        let begun = shared.open();
        if !shared.covers(begun) {
            assert!(ceiling() < opened, "nothing was written yet");
            shared.cover(begun);
        }
        assert!(shared.covers(begun));
        assert!(opened % 500 != 0 || ceiling() >= opened, "{opened} begun, {} allowed", ceiling());
    }
    assert!(shared.queue().raise);
    assert!(ceiling() <= 20_000 + 4 * 4096);
}

#[test]
fn what_is_in_a_file_and_what_is_on_the_disk_is_told() {
    for sync in
        [SyncPolicy::Commit, SyncPolicy::Never, SyncPolicy::Interval(Duration::ZERO), SyncPolicy::Interval(Duration::from_secs(3600))]
    {
        let bench = Bench::new();
        let trail = Trail::open(Settings { sync, ..bench.settings() }).unwrap();
        assert_eq!((trail.last_sequence(), trail.durable_sequence()), (1, 1), "the start record is forced");
        for _ in 0..3 {
            trail.write(&minimal());
        }
        assert!(trail.flush(SOON));
        assert_eq!(trail.last_sequence(), 4);
        let forced = match sync {
            SyncPolicy::Interval(interval) if !interval.is_zero() => 1,
            _ => 4,
        };
        let waited = Instant::now();
        while trail.durable_sequence() < forced {
            assert!(waited.elapsed() < SOON, "{sync:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(trail.durable_sequence(), forced, "{sync:?}");
        assert!(trail.stop());
        assert_eq!(trail.durable_sequence(), 5, "the stop record is forced: {sync:?}");
    }
}
