//! Exports and shipping go on where they stopped, whatever happened to the files meanwhile.

use super::cursor::{Cursor, Place};
use super::*;

#[test]
fn a_cursor_goes_on_where_it_stopped_over_rotation_compression_and_restarts() {
    let bench = Bench::new();
    let file = bench.folder.path().join("cursor");
    let settings = || Settings { compress_after: Some(Duration::ZERO), file_bytes_max: 3000, ..bench.signed_settings() };
    let mut seen = Vec::new();
    for round in 0..6u64 {
        let trail = Trail::open(settings()).unwrap();
        for _ in 0..10 {
            trail.write(&minimal());
        }
        assert!(trail.flush(SOON));
        // Each time a new process, which reads a few and stops.
        let mut cursor = Cursor::new(&bench.directory(), Place::load(&file).unwrap());
        for _ in 0..5 + round {
            let Some(line) = cursor.next_line().unwrap() else { break };
            seen.push(json::sequence_of(&line).unwrap());
        }
        cursor.place().unwrap().save(&file).unwrap();
        assert_eq!(cursor.take_skipped(), 0);
        assert!(trail.stop());
    }
    let mut cursor = Cursor::new(&bench.directory(), Place::load(&file).unwrap());
    while let Some(line) = cursor.next_line().unwrap() {
        seen.push(json::sequence_of(&line).unwrap());
    }
    assert_eq!(seen, (1..=bench.verified().last).collect::<Vec<_>>(), "each once, in order");
    // A live tail: what comes later is given out by the same cursor.
    let trail = Trail::open(settings()).unwrap();
    trail.write(&minimal());
    trail.reopen();
    trail.write(&minimal());
    assert!(trail.flush(SOON) && trail.stop());
    let more = std::iter::from_fn(|| cursor.next_line().unwrap()).count() as u64;
    assert_eq!(seen.len() as u64 + more, bench.verified().last);
}

#[test]
fn records_that_were_retired_before_their_turn_are_told() {
    let bench = Bench::new();
    let trail = bench.open();
    for _ in 0..3 {
        trail.write(&minimal());
        assert!(trail.flush(SOON));
        trail.reopen();
    }
    assert!(trail.stop());
    let mut cursor = Cursor::new(&bench.directory(), None);
    cursor.next_line().unwrap().unwrap();
    let place = cursor.place().unwrap();
    let files = bench.files();
    fs::remove_file(&files[0]).unwrap();
    let mut cursor = Cursor::new(&bench.directory(), Some(place));
    let next = json::sequence_of(&cursor.next_line().unwrap().unwrap()).unwrap();
    assert_eq!(cursor.take_skipped(), next - 2);
    let odd = bench.folder.path().join("odd");
    fs::write(&odd, "no cursor").unwrap();
    assert!(Place::load(&odd).is_err());
    assert_eq!(Place::load(Path::new("/nonexistent")).unwrap(), None);
}

#[test]
fn what_went_to_the_spill_folder_has_its_turn_in_order() {
    let bench = Bench::new();
    let spill = bench.folder.path().join("spill");
    let settings = Settings { spill_directory: Some(spill.clone()), ..bench.signed_settings() };
    let trail = Trail::open(settings).unwrap();
    let mut cursor = Cursor::new(&bench.directory(), None).with_spill(Some(spill.clone()));
    let mut seen = Vec::new();
    let read = |cursor: &mut Cursor, seen: &mut Vec<u64>| {
        while let Ok(Some(line)) = cursor.next_line() {
            seen.push(json::sequence_of(&line).unwrap());
        }
    };
    let write = |count: u64| {
        (0..count).for_each(|_| trail.write(&minimal()));
        assert!(trail.flush(SOON));
    };
    write(3);
    read(&mut cursor, &mut seen);
    let aside = bench.folder.path().join("aside");
    fs::rename(bench.directory(), &aside).unwrap();
    fs::write(bench.directory(), "").unwrap();
    trail.reopen();
    write(20);
    assert!(trail.metrics().spilling);
    read(&mut cursor, &mut seen);
    assert_eq!(seen.last(), Some(&trail.last_sequence()), "what was spilled is read where it lies");
    write(20);
    fs::remove_file(bench.directory()).unwrap();
    fs::rename(&aside, bench.directory()).unwrap();
    let waited = Instant::now();
    while trail.metrics().spilling || !read::files(&spill).unwrap().is_empty() {
        assert!(waited.elapsed() < SOON);
        write(1);
        read(&mut cursor, &mut seen);
    }
    assert!(trail.stop());
    read(&mut cursor, &mut seen);
    assert_eq!(cursor.take_skipped(), 0);
    assert_eq!(seen, (1..=bench.verified().last).collect::<Vec<_>>(), "each once, in order");
}

#[test]
fn a_new_receiver_can_begin_with_the_newest_file() {
    let bench = Bench::new();
    assert_eq!(Place::newest_file(bench.folder.path()).unwrap(), None);
    for _ in 0..2 {
        let trail = bench.open();
        trail.write(&minimal());
        assert!(trail.flush(SOON) && trail.stop());
    }
    let mut cursor = Cursor::new(&bench.directory(), Place::newest_file(&bench.directory()).unwrap());
    let seen: Vec<_> = std::iter::from_fn(|| cursor.next_line().unwrap()).map(|line| json::sequence_of(&line).unwrap()).collect();
    assert_eq!((seen, cursor.take_skipped()), (vec![4, 5, 6], 0));
}
