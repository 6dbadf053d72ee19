//! What happens when disks, clocks and processes fail: requests answered are always records plus declared gaps.

use super::*;
use std::io::Read as _;
use std::process::{Command, Stdio};

/// One record as the gateway makes it: counted when it is begun.
fn write(trail: &Trail, count: u64) {
    for _ in 0..count {
        trail.cover(trail.begin());
        trail.write(&minimal());
    }
}

fn until(what: &str, is: impl Fn() -> bool) {
    let waited = Instant::now();
    while !is() {
        assert!(waited.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_write_error_every_third_call_loses_nothing() {
    // The error comes before the first byte, in the middle of a line, and between two lines.
    for part in [0, 3, 10] {
        let bench = Bench::new();
        let calls = AtomicU64::new(0);
        let fault = move |bytes: usize| (calls.fetch_add(1, SeqCst) % 3 == 2).then_some(bytes * part / 10);
        let trail = Trail::open(Settings { fault: Some(Arc::new(fault)), ..bench.signed_settings() }).unwrap();
        for _ in 0..60 {
            write(&trail, 5);
            assert!(trail.flush(SOON));
        }
        assert!(trail.stop());
        assert_eq!(bench.account(), (300, 0));
        assert!(trail.metrics().errors >= 20, "{:?}", trail.metrics());
        assert_eq!(bench.verified().bad, None);
    }
}

#[test]
fn rotation_under_load_and_a_clock_set_back_lose_nothing() {
    let bench = Bench::new();
    let settings = Settings { file_bytes_max: 20_000, compress_after: Some(Duration::ZERO), ..bench.signed_settings() };
    let trail = Trail::open(settings).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (trail, clock) = (trail.clone(), Arc::clone(&bench.clock));
            scope.spawn(move || {
                for round in 0..50u64 {
                    write(&trail, 5);
                    // Forwards and backwards by hours.
                    clock.store(NOW + (round * 7 + thread * 11) % 30 * 3_600_000_000, SeqCst);
                    trail.reopen();
                }
            });
        }
    });
    assert!(trail.stop());
    assert_eq!(bench.account(), (1000, 0));
    assert!(bench.files().len() > 30);
    assert_eq!(bench.verified().bad, None);
}

#[test]
fn what_does_not_fit_into_the_queue_is_declared_exactly_and_unhealth_is_told() {
    let bench = Bench::new();
    let refuse = Arc::new(AtomicU64::new(0));
    let refusing = Arc::clone(&refuse);
    let fault = move |_| (refusing.load(SeqCst) == 1).then_some(0);
    let trail = Trail::open(Settings { queue_bytes_max: 20_000, fault: Some(Arc::new(fault)), ..bench.signed_settings() }).unwrap();
    write(&trail, 1);
    assert!(trail.flush(SOON) && trail.healthy());
    refuse.store(1, SeqCst);
    write(&trail, 200);
    until("the refusal is noticed", || !trail.healthy() && trail.metrics().dropped > 0);
    refuse.store(0, SeqCst);
    until("it writes again", || trail.healthy());
    write(&trail, 1);
    assert!(trail.stop());
    let (records, lost) = bench.account();
    assert_eq!((records + lost, trail.metrics().opened), (202, 202));
    assert!(lost > 0);
    assert_eq!(bench.verified().bad, None);
}

#[test]
fn what_a_stop_could_not_write_is_declared_exactly_by_the_next_start() {
    let bench = Bench::new();
    let refuse = Arc::new(AtomicU64::new(0));
    let refusing = Arc::clone(&refuse);
    let fault = move |_| (refusing.load(SeqCst) == 1).then_some(0);
    let trail = Trail::open(Settings { fault: Some(Arc::new(fault)), ..bench.signed_settings() }).unwrap();
    write(&trail, 3);
    assert!(trail.flush(SOON));
    refuse.store(1, SeqCst);
    write(&trail, 40);
    assert!(!trail.stop());
    assert!(Trail::open(bench.signed_settings()).unwrap().stop());
    assert_eq!(bench.account(), (3, 40));
    let gap = bench.values().into_iter().find(|value| value["event"]["kind"] == "gap").unwrap();
    assert_eq!(gap["gap"]["reason"], "disk_refused");
    assert_eq!(bench.verified().bad, None);
}

#[test]
fn records_go_to_the_spill_directory_and_come_home() {
    let bench = Bench::new();
    let spill = bench.folder.path().join("spill");
    let settings = Settings { spill_directory: Some(spill.clone()), ..bench.signed_settings() };
    let trail = Trail::open(settings.clone()).unwrap();
    write(&trail, 5);
    assert!(trail.flush(SOON));
    // The folder is gone, and a file stands in its place.
    let aside = bench.folder.path().join("aside");
    fs::rename(bench.directory(), &aside).unwrap();
    fs::write(bench.directory(), "").unwrap();
    trail.reopen();
    write(&trail, 50);
    assert!(trail.flush(SOON), "written elsewhere");
    assert!(trail.healthy() && trail.metrics().spilling && trail.metrics().errors == 0);
    assert_eq!(read::files(&spill).unwrap().len(), 1);
    fs::remove_file(bench.directory()).unwrap();
    fs::rename(&aside, bench.directory()).unwrap();
    until("it goes home", || {
        write(&trail, 1);
        trail.flush(SOON);
        !trail.metrics().spilling && read::files(&spill).unwrap().is_empty()
    });
    assert!(trail.stop());
    assert_eq!(bench.account(), (trail.metrics().opened, 0));
    assert_eq!(bench.verified().bad, None);
    // What an earlier run left there is brought home by the next.
    let last = bench.files().pop().unwrap();
    fs::rename(&last, spill.join(last.file_name().unwrap())).unwrap();
    assert!(bench.verified().bad.is_some());
    drop(Trail::open(settings).unwrap());
    assert_eq!(bench.verified().bad, None);
}

#[test]
fn the_spill_directory_holds_no_more_than_it_may_and_what_is_beyond_waits_or_is_declared() {
    let bench = Bench::new();
    let spill = bench.folder.path().join("spill");
    let settings = Settings {
        spill_directory: Some(spill.clone()),
        spill_bytes_max: 20_000,
        queue_bytes_max: 20_000,
        file_bytes_max: 6_000,
        ..bench.signed_settings()
    };
    let trail = Trail::open(settings).unwrap();
    write(&trail, 5);
    assert!(trail.flush(SOON));
    let aside = bench.folder.path().join("aside");
    fs::rename(bench.directory(), &aside).unwrap();
    fs::write(bench.directory(), "").unwrap();
    trail.reopen();
    // A few at a time, so that the spill folder fills first, then the queue.
    let mut rounds = 0;
    while trail.metrics().dropped == 0 {
        write(&trail, 2);
        trail.flush(Duration::from_millis(20));
        rounds += 1;
        assert!(rounds < 500, "{:?}", trail.metrics());
    }
    let spilled = |spill: &Path| read::files(spill).unwrap().iter().map(|path| path.metadata().unwrap().len()).sum::<u64>();
    assert!(spilled(&spill) <= 20_000 && spilled(&spill) > 10_000, "{}", spilled(&spill));
    assert!(!trail.healthy() && trail.metrics().spilling && trail.metrics().queued_bytes <= 20_000, "{:?}", trail.metrics());
    fs::remove_file(bench.directory()).unwrap();
    fs::rename(&aside, bench.directory()).unwrap();
    until("it goes home", || {
        write(&trail, 1);
        trail.flush(SOON) && !trail.metrics().spilling && trail.healthy() && read::files(&spill).unwrap().is_empty()
    });
    assert!(trail.stop());
    let (records, lost) = bench.account();
    assert!(lost > 0);
    assert_eq!((records + lost, records, lost), (trail.metrics().opened, trail.metrics().written, trail.metrics().dropped));
    assert_eq!(bench.verified().bad, None);
}

#[test]
fn with_sync_commit_nothing_counts_as_written_that_is_not_on_the_disk() {
    let bench = Bench::new();
    let (forced, fails) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (own_forced, own_fails) = (Arc::clone(&forced), Arc::clone(&fails));
    let fault = move || {
        own_forced.fetch_add(1, SeqCst);
        own_fails.load(SeqCst) == 1
    };
    let settings =
        Settings { sync: SyncPolicy::Commit, file_bytes_max: 10_000, force_fault: Some(Arc::new(fault)), ..bench.signed_settings() };
    let trail = Trail::open(settings).unwrap();
    for round in 0..50 {
        let before = forced.load(SeqCst);
        write(&trail, 3);
        assert!(trail.flush(SOON));
        assert!(forced.load(SeqCst) > before, "round {round}: a commit is forced before anybody hears of it");
        assert_eq!(trail.durable_sequence(), trail.last_sequence(), "round {round}");
    }
    // The disk does not take it: a state, an error, a new file, and nothing lost.
    let durable = trail.durable_sequence();
    fails.store(1, SeqCst);
    write(&trail, 3);
    assert!(trail.flush(SOON));
    until("the refusal is told", || !trail.healthy() && trail.metrics().errors > 0);
    assert_eq!(trail.durable_sequence(), durable);
    fails.store(0, SeqCst);
    write(&trail, 3);
    until("it is well again", || trail.flush(SOON) && trail.healthy() && trail.durable_sequence() == trail.last_sequence());
    assert!(trail.stop());
    assert_eq!(bench.account(), (156, 0));
    assert!(bench.files().len() > 3);
    assert_eq!(bench.verified().bad, None);
}

#[test]
fn a_flood_of_refusals_is_counted_and_fills_no_disk() {
    let bench = Bench::new();
    let trail = Trail::open(bench.signed_settings()).unwrap();
    let mut refused = minimal();
    refused.decision = Decision { layer: Some(Layer::Door), action: Action::Deny, reason: "not_mapped" };
    refused.path = "/login?password=Zx9Hunter2Qw".into();
    for _ in 0..20_000 {
        trail.cover(trail.begin());
        trail.write(&refused);
    }
    write(&trail, 3);
    assert!(trail.stop());
    let values = bench.values();
    let merged: u64 = values.iter().filter_map(|value| value["flood"]["count"].as_u64()).sum();
    let written = values.iter().filter(|value| value["event"]["kind"] == "request").count() as u64;
    assert_eq!((merged + written, trail.metrics().merged, trail.metrics().opened), (20_003, merged, 20_003));
    assert!(written < 1000, "{written}");
    let flood = values.iter().find(|value| value["flood"].is_object()).unwrap();
    assert_eq!(flood["flood"]["address"], "192.0.2.7");
    assert_eq!(flood["flood"]["reasons"]["not_mapped"].as_u64(), flood["flood"]["count"].as_u64());
    assert_eq!(flood["flood"]["samples"].as_array().unwrap().len(), 5);
    assert!(!flood.to_string().contains("Hunter2"), "{flood}");
    assert_eq!(bench.verified().bad, None);
}

fn gaps(bench: &Bench) -> Vec<Value> {
    let lines = Records::open(&bench.directory()).unwrap().map(|line| line.unwrap());
    let is_gap = |bytes: &[u8]| bytes.windows(12).take(200).any(|part| part == b"\"kind\":\"gap\"");
    lines.filter(|line| is_gap(&line.bytes)).map(|line| serde_json::from_slice(&line.bytes).unwrap()).collect()
}

/// A process of its own writes from three threads, says one byte for each request begun, and is killed at any moment.
#[test]
fn after_a_kill_the_declared_bound_holds_and_verify_tells_the_truth() {
    const NAME: &str = "audit::tests::faults::after_a_kill_the_declared_bound_holds_and_verify_tells_the_truth";
    if let Some(folder) = std::env::var_os("PORTCULLIS_TEST_KILLED") {
        let folder = PathBuf::from(folder);
        let settings = Settings { state_directory: Some(folder.join("state")), ..Settings::new(folder.join("audit"), redactor()) };
        let trail = Trail::open(settings).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..3u64 {
                let trail = trail.clone();
                scope.spawn(move || {
                    for number in 0.. {
                        trail.cover(trail.begin());
                        std::io::Write::write_all(&mut std::io::stderr(), b".").unwrap();
                        trail.write(&minimal());
                        if number % (1 + 20 * thread) == 0 {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    }
                });
            }
        });
    }
    let bench = Bench::new();
    let (mut begun, mut unrecorded) = (0, 0);
    for round in 0..50u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env("PORTCULLIS_TEST_KILLED", bench.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = child.stderr.take().unwrap();
        let mut said = vec![0; 1];
        errors.read_exact(&mut said).unwrap();
        std::thread::sleep(Duration::from_millis(round * 7 % 40));
        child.kill().unwrap();
        errors.read_to_end(&mut said).unwrap();
        child.wait().unwrap();
        assert!(said.iter().all(|byte| *byte == b'.'), "{}", String::from_utf8_lossy(&said));
        begun += said.len() as u64;
        assert!(Trail::open(bench.signed_settings()).unwrap().stop());
        let report = bench.verified();
        assert_eq!(report.bad, None, "round {round}");
        let records = report.requests;
        let most: u64 = gaps(&bench).iter().filter_map(|value| value["gap"]["count_max"].as_u64()).sum();
        assert!(records + most >= begun, "{begun} begun, {records} recorded, at most {most} declared missing, round {round}");
        unrecorded = begun.saturating_sub(records);
        assert!(most <= (round + 1) * 4200, "a bound that says something: {most}");
    }
    bench.values();
    assert!(begun > 50 && unrecorded < begun, "{begun} begun in 50 killed processes, {unrecorded} unrecorded");
}
