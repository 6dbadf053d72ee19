//! `portcullis audit export` as a process of its own, from a trail that is being written: killed, started again, never out of step.

use super::program::{Program, portcullis, until};
use super::shipping::House;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The whole lines of an output; what a killed process left of a line comes again.
fn whole(output: &str) -> Vec<Value> {
    output.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_killed_export_goes_on_with_what_comes_next() {
    let mut house = House::new("", &[]);
    // Small files, so that it meets their ends.
    let policy = std::fs::read_to_string(house.path("gateway.toml")).unwrap();
    house.write("gateway.toml", &policy.replace("directory = \"audit\"\n", "directory = \"audit\"\nfile_bytes_max = 65536\n"));
    house.start();
    let mut exported: Vec<u64> = Vec::new();
    let arguments = ["audit", "export", "--format", "ecs", "--follow", "--cursor", "place", "-c", "gateway.toml"];
    for round in 0..6u64 {
        let export = Program::start(house.folder.path(), &arguments);
        let begun = Instant::now();
        // Killed while it catches up, and while it follows.
        house.ask(40);
        if round % 2 == 0 {
            until(|| if whole(&export.stdout()).len() >= 10 { Ok(()) } else { Err(export.stderr()) });
        }
        while begun.elapsed() < Duration::from_millis(60 * round) {
            house.ask(5);
        }
        export.signal(rustix::process::Signal::KILL);
        let output = {
            let mut export = export;
            export.ended(Duration::from_secs(10));
            export.stdout()
        };
        exported.extend(whole(&output).iter().map(|record| record["event"]["sequence"].as_u64().unwrap()));
    }
    house.stop();
    let rest = portcullis(house.folder.path(), &arguments.iter().copied().filter(|a| *a != "--follow").collect::<Vec<_>>(), "");
    assert_eq!(rest.code, 0, "{rest:?}");
    exported.extend(whole(&rest.stdout).iter().map(|record| record["event"]["sequence"].as_u64().unwrap()));
    let count = house.lines().len() as u64;
    assert_eq!(exported.iter().copied().collect::<BTreeSet<_>>(), (1..=count).collect(), "each of {count}");
    let mut most = 0;
    for number in &exported {
        assert!(*number <= most + 1, "{number} came before {}", most + 1);
        most = most.max(*number);
    }
    assert!(std::fs::read_dir(house.path("audit")).unwrap().count() > 3, "several files");
    let again = portcullis(house.folder.path(), &["audit", "export", "--format", "ecs", "--cursor", "place", "-c", "gateway.toml"], "");
    assert_eq!((again.code, again.stdout.as_str()), (1, ""), "there is nothing new");
}

#[test]
fn every_form_is_written_and_a_table_has_one_head() {
    let mut house = House::new("", &[]);
    house.start();
    house.ask(3);
    house.stop();
    let folder = house.folder.path().to_owned();
    let export = |form: &str, cursor: &str| {
        let done = portcullis(&folder, &["audit", "export", "--format", form, "--cursor", cursor, "-c", "gateway.toml"], "");
        (done.code, done.stdout)
    };
    let lines = house.lines();
    assert_eq!(export("json", "json").1.lines().collect::<Vec<_>>(), lines);
    for form in ["ecs", "ocsf"] {
        let (code, text) = export(form, form);
        assert_eq!((code, whole(&text).len()), (0, lines.len()), "{form}");
    }
    assert_eq!(whole(&export("modsec-json", "modsec").1).len(), 3, "requests only");
    let table = export("csv", "csv").1;
    assert_eq!(table.lines().count(), lines.len() + 1);
    house.start();
    house.ask(1);
    house.stop();
    let more = export("csv", "csv").1;
    assert!(more.contains("/page/3") && more.lines().next() != table.lines().next(), "{more}");
    assert_eq!(export("yaml", "yaml").0, 2);
    assert_eq!(portcullis(house.folder.path(), &["audit", "export", "-c", "gateway.toml"], "").code, 2, "a form must be chosen");
}
