//! Whether a trail can be trusted: whatever is changed, removed, put elsewhere or cut off is found, and nothing else is.

use super::super::verify::{Evidence, Heads, Point, Report, verify, verify_from};
use super::super::{Position, key::VerifyingKey};
use super::*;

impl Bench {
    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn signed_settings(&self) -> Settings {
        Settings { state_directory: Some(self.state()), ..self.settings() }
    }

    pub(super) fn evidence(&self) -> Evidence {
        let keys = vec![VerifyingKey::open(&self.state().join("signing-key.pub.pem")).unwrap()];
        let position = Position::read(&self.state()).unwrap();
        let mut heads = Heads::default();
        heads.read(&self.state().join(HEADS_FILE), &keys).unwrap().unwrap();
        Evidence { keys, heads, position }
    }

    pub(super) fn verified(&self) -> Report {
        verify(&self.directory(), &self.evidence(), |_| {}).unwrap()
    }
}

/// A few files with requests, written by two runs.
fn small() -> Bench {
    let bench = Bench::new();
    for _ in 0..2 {
        let trail = Trail::open(bench.signed_settings()).unwrap();
        trail.write(&minimal());
        assert!(trail.flush(SOON));
        trail.reopen();
        trail.write(&minimal());
        assert!(trail.stop());
    }
    bench
}

fn found(bench: &Bench, evidence: &Evidence, what: impl Fn() -> String) -> String {
    let report = verify(&bench.directory(), evidence, |_| {}).unwrap();
    report.bad.unwrap_or_else(|| panic!("not found: {}", what())).what
}

#[test]
fn a_trail_that_nobody_touched_is_whole() {
    let bench = small();
    let report = bench.verified();
    assert_eq!(report.bad, None);
    assert_eq!((report.first, report.lines, report.files), (1, report.last, bench.files().len() as u64));
    assert_eq!((report.requests, report.lost, report.merged), (4, 0, 0));
    assert_eq!(report.heads, report.signed, "every signed line has its copy");
    assert!(report.signed >= 4 && report.notes.is_empty(), "{report:?}");
    assert!(bench.evidence().position.is_some_and(|position| position.sequence == report.last));
}

/// A check of what follows a point.
fn checked_from(bench: &Bench, evidence: &Evidence, from: Option<&Point>) -> (Report, Option<Point>) {
    verify_from(&bench.directory(), evidence, from, |_| true).unwrap().unwrap()
}

#[test]
fn a_check_goes_on_where_the_last_one_ended() {
    let bench = small();
    let (report, point) = checked_from(&bench, &bench.evidence(), None);
    let point = point.unwrap();
    assert_eq!((report.bad, point.sequence), (None, report.last));
    let (again, same) = checked_from(&bench, &bench.evidence(), Some(&point));
    assert_eq!((again.bad, again.lines, again.last, same.as_ref()), (None, 0, point.sequence, Some(&point)), "nothing is new");
    let before = bench.files();
    let trail = Trail::open(bench.signed_settings()).unwrap();
    trail.write(&minimal());
    trail.reopen();
    trail.write(&minimal());
    assert!(trail.stop());
    let evidence = bench.evidence();
    let (more, later) = checked_from(&bench, &evidence, Some(&point));
    assert_eq!((more.bad, more.lines, more.requests), (None, bench.verified().lines - report.lines, 2));
    assert_eq!(later.as_ref().map(|point| point.sequence), Some(bench.verified().last));
    // Whatever is new and was changed, removed or cut is found; so is a cut that takes the record with which the last check ended.
    let known = before.last().unwrap();
    for path in bench.files().into_iter().filter(|path| path >= known) {
        let whole = fs::read(&path).unwrap();
        let last_line = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        for at in (0..whole.len()).step_by(7) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let (report, reached) = checked_from(&bench, &evidence, Some(&point));
            let was_checked = path == *known && at < last_line;
            assert!(was_checked || (report.bad.is_some() && reached.is_none()), "byte {at} of {}", path.display());
            fs::write(&path, &whole[..at]).unwrap();
            assert!(checked_from(&bench, &evidence, Some(&point)).0.bad.is_some(), "{} cut to {at}", path.display());
        }
        fs::remove_file(&path).unwrap();
        assert!(path == *known || checked_from(&bench, &evidence, Some(&point)).0.bad.is_some(), "{} removed", path.display());
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(checked_from(&bench, &evidence, Some(&point)).0.bad, None);
    assert_eq!(verify_from(&bench.directory(), &evidence, None, |_| false).unwrap(), None, "ended early");
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let bench = small();
    let evidence = bench.evidence();
    for path in bench.files() {
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            found(&bench, &evidence, || format!("byte {at} of {}", path.display()));
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(bench.verified().bad, None);
}

#[test]
fn a_cut_at_any_byte_is_found() {
    let bench = small();
    let evidence = bench.evidence();
    for path in bench.files() {
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            found(&bench, &evidence, || format!("{} cut to {length} bytes", path.display()));
        }
        fs::remove_file(&path).unwrap();
        found(&bench, &evidence, || format!("{} removed", path.display()));
        fs::write(&path, &whole).unwrap();
    }
    for path in bench.files() {
        fs::remove_file(path).unwrap();
    }
    found(&bench, &evidence, || "all files removed".into());
}

#[test]
fn records_that_are_removed_doubled_or_swapped_are_found() {
    let bench = small();
    let evidence = bench.evidence();
    let mut lines = Vec::new();
    for (file, path) in bench.files().iter().enumerate() {
        lines.extend(fs::read_to_string(path).unwrap().split_inclusive('\n').map(|line| (file, line.to_owned())));
    }
    let files = bench.files();
    let write = |lines: &[(usize, String)]| {
        for (place, path) in files.iter().enumerate() {
            let text: String = lines.iter().filter(|(file, _)| *file == place).map(|(_, line)| line.as_str()).collect();
            fs::write(path, text).unwrap();
        }
    };
    for one in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(one);
        write(&without);
        found(&bench, &evidence, || format!("line {one} removed"));
        let mut doubled = lines.clone();
        doubled.insert(one, lines[one].clone());
        write(&doubled);
        found(&bench, &evidence, || format!("line {one} doubled"));
        for other in one + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped[one].1.clone_from(&lines[other].1);
            swapped[other].1.clone_from(&lines[one].1);
            write(&swapped);
            found(&bench, &evidence, || format!("lines {one} and {other} swapped"));
            // From one up to the other, all gone.
            write(&[&lines[..one], &lines[other..]].concat());
            found(&bench, &evidence, || format!("lines {one} to {other} removed"));
        }
    }
    write(&lines);
    assert_eq!(bench.verified().bad, None);
}

/// The lines from the change on, chained anew by somebody who has everything but the key.
#[test]
fn a_trail_written_anew_without_the_key_is_found() {
    let bench = small();
    let evidence = bench.evidence();
    let text: String = bench.files().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for path in bench.files().iter().skip(1) {
        fs::remove_file(path).unwrap();
    }
    let mut chained = Chain { head: genesis() };
    let mut out = Vec::new();
    for line in text.lines() {
        let start = out.len();
        out.extend_from_slice(line.replace("192.0.2.7", "192.0.2.8").split(",\"chain\":").next().unwrap().as_bytes());
        chained.seal(start, None, &mut out);
    }
    fs::write(&bench.files()[0], out).unwrap();
    let Evidence { keys, heads, position } = evidence;
    let by = |evidence: Evidence| found(&bench, &evidence, || "all anew".into());
    assert!(by(Evidence { keys, ..Evidence::default() }).contains("signed"));
    assert!(by(Evidence { heads, ..Evidence::default() }).contains("heads"));
    assert!(by(Evidence { position, ..Evidence::default() }).contains("position"));
    assert_eq!(verify(&bench.directory(), &Evidence::default(), |_| {}).unwrap().bad, None, "nothing to hold it against");
}

#[test]
fn an_end_cut_off_before_a_start_is_told_by_the_gateway_itself() {
    let bench = small();
    let path = bench.files().pop().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let kept: String = text.split_inclusive('\n').take(1).collect();
    fs::write(&path, kept).unwrap();
    drop(Trail::open(bench.signed_settings()).unwrap());
    let values = bench.values();
    let gap = values.iter().find(|value| value["gap"]["reason"] == "cut").unwrap();
    assert!(gap["gap"]["count_max"].as_u64().unwrap() as usize >= text.lines().count() - 1, "{gap}");
    assert!(bench.verified().bad.is_some());
}

#[test]
fn compressed_and_retired_files_are_no_fault_and_removed_ones_are() {
    let bench = Bench::new();
    let settings = Settings { retention_days: Some(3), compress_after: Some(Duration::ZERO), ..bench.signed_settings() };
    let trail = Trail::open(settings).unwrap();
    for day in 0..7u64 {
        bench.clock.store(NOW + day * 86_400_000_000, SeqCst);
        trail.write(&minimal());
        assert!(trail.flush(SOON));
    }
    let packed = |files: &[PathBuf]| files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "gz")).count();
    let waited = Instant::now();
    while bench.files().len() > 4 || packed(&bench.files()) < 3 {
        assert!(waited.elapsed() < SOON, "{:?}", bench.files());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(trail.stop());
    let report = bench.verified();
    assert_eq!((report.bad, report.retired), (None, 3));
    assert!(report.first > 1);
    // What is retired is so by the trail's own word, and only that.
    let files = bench.files();
    fs::remove_file(&files[0]).unwrap();
    let bad = bench.verified().bad.unwrap();
    assert!(bad.what.contains("no retired record accounts for them") && bad.file == files[1], "{bad:?}");
}

#[test]
fn a_changed_compressed_file_is_found() {
    let bench = small();
    let evidence = bench.evidence();
    let path = bench.files().remove(1);
    assert!(closed::compress(&path, || true).unwrap());
    fs::remove_file(&path).unwrap();
    let path = closed::closed_path(&path);
    assert_eq!(bench.verified().bad, None);
    let whole = fs::read(&path).unwrap();
    let text = || {
        let mut text = Vec::new();
        closed::Content::open(&path).and_then(|mut content| std::io::Read::read_to_end(&mut content, &mut text)).ok().map(|_| text)
    };
    let records = text();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&path, &changed).unwrap();
        // deflate pads its last byte with bits that mean nothing.
        if text() != records {
            found(&bench, &evidence, || format!("byte {at}"));
        }
        fs::write(&path, &whole[..at]).unwrap();
        found(&bench, &evidence, || format!("cut to {at} bytes"));
    }
}

#[test]
fn a_second_writer_in_the_folder_is_refused() {
    let bench = Bench::new();
    let trail = bench.open();
    let error = Trail::open(bench.settings()).err().unwrap().to_string();
    assert!(error.contains("another gateway") && error.contains(&std::process::id().to_string()), "{error}");
    trail.stop();
    bench.open();
}
