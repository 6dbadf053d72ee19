//! The audit trail on disks that are full, read-only or gone, by real mounts, and its records in a real rsyslog.
//! These run only where `PORTCULLIS_DEEP=1` is set.
#![allow(clippy::print_stdout, reason = "a test says why it skips")]

use super::program::{ask, free_address, get, portcullis, until};
use super::receivers::authority;
use super::shipping::{House, numbers};
use super::tools::tool;
use portcullis::audit::{Record, Redactor, Settings, Trail};
use portcullis::clock::Moment;
use portcullis::message::{EventId, Peer};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

fn is_deep() -> bool {
    let deep = std::env::var_os("PORTCULLIS_DEEP").is_some_and(|v| v == "1");
    if !deep {
        println!("skipped: PORTCULLIS_DEEP is not 1");
    }
    deep
}

/// A file system in memory over a folder; taken away when dropped.
struct Mount(PathBuf);

impl Mount {
    /// Mounts one of so many KB; `None` where this user may not, which under CI is a failure.
    fn new(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output().unwrap();
        if done.status.success() {
            return Some(Self(at.to_owned()));
        }
        let why = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "mount: {why}");
        println!("skipped: this user may not mount: {why}");
        None
    }

    fn again(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).output();
    }
}

fn settings(folder: &Path) -> Settings {
    Settings {
        state_directory: Some(folder.join("state")),
        queue_bytes_max: 60_000,
        flood_records_per_second: None,
        ..Settings::new(folder.join("audit"), Redactor::new([], [], false).unwrap())
    }
}

/// Requests as the gateway records them.
fn write(trail: &Trail, count: u64) {
    let peer = Arc::new(Peer::new("192.0.2.7:50000".parse().unwrap(), "198.51.100.1:443".parse().unwrap(), 3));
    for number in 0..count {
        trail.cover(trail.begin());
        let now = Moment::now();
        trail.write(&Record::new(EventId::new(now, u128::from(number)), now, Arc::clone(&peer)));
    }
}

/// Waits until the trail has written everything, writing a little the while.
fn recovers(trail: &Trail) {
    until(|| {
        write(trail, 1);
        let well = trail.flush(Duration::from_millis(200)) && trail.healthy() && !trail.metrics().spilling;
        if well { Ok(()) } else { Err(format!("{:?}", trail.metrics())) }
    });
}

/// Requests in the trail's lines, and requests in its gap records; every line is whole.
fn account(directory: &Path) -> (u64, u64) {
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "jsonl"));
    files.sort();
    let (mut records, mut lost, mut next) = (0, 0, 1);
    for line in files.iter().flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()) {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(line["event"]["sequence"].as_u64(), Some(next), "the numbers have no hole");
        next += 1;
        records += u64::from(line["event"]["kind"] == "request");
        lost += line["gap"]["count"].as_u64().unwrap_or_default();
    }
    (records, lost)
}

fn verified(folder: &Path) {
    let state = folder.join("state");
    let (key, heads) = (state.join("signing-key.pub.pem"), state.join("heads.jsonl"));
    let directory = folder.join("audit");
    let paths = [&directory, &key, &heads].map(|path| path.display().to_string());
    let done = portcullis(folder, &["audit", "verify", "--directory", &paths[0], "--key", &paths[1], "--heads", &paths[2]], "");
    assert_eq!(done.code, 0, "{done:?}");
}

#[test]
fn deep_a_full_disk_costs_only_what_is_declared() {
    if !is_deep() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Mount::new(&folder.path().join("audit"), "size=1m") else { return };
    let trail = Trail::open(settings(folder.path())).unwrap();
    for _ in 0..2 {
        // Until it is full, the queue as well, and some records are lost.
        let before = trail.metrics().dropped;
        until(|| {
            write(&trail, 100);
            trail.flush(Duration::from_millis(10));
            if trail.metrics().dropped > before { Ok(()) } else { Err(format!("{:?}", trail.metrics())) }
        });
        assert!(!trail.healthy() && trail.metrics().errors > 0 && trail.metrics().queued_bytes <= 60_000);
        disk.again("size=8m");
        recovers(&trail);
        write(&trail, 100);
        assert!(trail.flush(Duration::from_secs(10)));
        let used: u64 = fs::read_dir(folder.path().join("audit")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        disk.again(&format!("size={}k", used / 1024 + 200));
    }
    disk.again("size=8m");
    recovers(&trail);
    assert!(trail.stop());
    let (records, lost) = account(&folder.path().join("audit"));
    assert!(lost > 0 && records > 1000, "{records} records, {lost} lost");
    assert_eq!((records + lost, lost), (trail.metrics().opened, trail.metrics().dropped));
    verified(folder.path());
}

#[test]
fn deep_a_full_disk_spills_to_another_until_that_is_full_as_well() {
    if !is_deep() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (audit, spill) = (folder.path().join("audit"), folder.path().join("spill"));
    let (Some(disk), Some(other)) = (Mount::new(&audit, "size=256k"), Mount::new(&spill, "size=256k")) else { return };
    let trail = Trail::open(Settings { spill_directory: Some(spill.clone()), file_bytes_max: 65_536, ..settings(folder.path()) }).unwrap();
    until(|| {
        write(&trail, 20);
        trail.flush(Duration::from_millis(10));
        if trail.metrics().spilling { Ok(()) } else { Err(format!("{:?}", trail.metrics())) }
    });
    assert_eq!(trail.metrics().dropped, 0, "nothing is lost while there is a second place");
    until(|| {
        write(&trail, 20);
        trail.flush(Duration::from_millis(10));
        if trail.metrics().dropped > 0 { Ok(()) } else { Err(format!("{:?}", trail.metrics())) }
    });
    disk.again("size=8m");
    recovers(&trail);
    until(|| {
        write(&trail, 1);
        let left = fs::read_dir(&spill).unwrap().count();
        if left == 0 { Ok(()) } else { Err(format!("{left} files are not brought home")) }
    });
    assert!(trail.stop());
    let (records, lost) = account(&audit);
    assert!(lost > 0 && records > 500, "{records} records, {lost} lost");
    assert_eq!((records + lost, lost), (trail.metrics().opened, trail.metrics().dropped));
    verified(folder.path());
    drop(other);
}

#[test]
fn deep_a_read_only_disk_refuses_a_start_and_holds_up_a_running_trail_until_it_is_gone() {
    if !is_deep() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let Some(disk) = Mount::new(&audit, "size=1m,ro") else { return };
    let refused = Trail::open(settings(folder.path())).map(drop).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{refused}");
    drop(disk);
    let (clock, own) = (Arc::new(AtomicU64::new(1_800_000_000_000_000)), Arc::new(AtomicU64::new(0)));
    let told = Arc::clone(&clock);
    let trail = Trail::open(Settings { clock: Arc::new(move || told.load(SeqCst)), ..settings(folder.path()) }).unwrap();
    for round in 0..3u64 {
        write(&trail, 50);
        assert!(trail.flush(Duration::from_secs(10)));
        // It comes over the folder; the clock is set, forwards or back, and a new file is due.
        let disk = Mount::new(&audit, "size=1m,ro").unwrap();
        clock.store(1_800_000_000_000_000 + [3, 1, 2][round as usize] * 86_400_000_000, SeqCst);
        trail.reopen();
        until(|| {
            write(&trail, 20);
            trail.flush(Duration::from_millis(10));
            own.store(trail.metrics().dropped, SeqCst);
            if !trail.healthy() && trail.metrics().dropped > 0 { Ok(()) } else { Err(format!("{:?}", trail.metrics())) }
        });
        drop(disk);
        recovers(&trail);
    }
    assert!(trail.stop());
    let (records, lost) = account(&audit);
    assert!(lost > 0 && records > 150, "{records} records, {lost} lost");
    assert_eq!((records + lost, lost), (trail.metrics().opened, trail.metrics().dropped));
    verified(folder.path());
}

/// The whole gateway: what clients were answered is what the trail has.
#[test]
fn deep_answers_are_records_whatever_the_disk_does() {
    if !is_deep() {
        return;
    }
    let mut house = House::new("", &[]);
    let policy = fs::read_to_string(house.path("gateway.toml")).unwrap();
    house.write("gateway.toml", &policy.replace("directory = \"audit\"\n", "directory = \"audit\"\nfile_bytes_max = 65536\n"));
    let Some(disk) = Mount::new(&house.path("audit"), "size=256k") else { return };
    house.start();
    let address = house.gateway().addresses()[0].0;
    let mut answers = [0u64; 2];
    let one = |answers: &mut [u64; 2]| match ask(address, None, &get("app.test", "/x", None)).0 {
        404 => answers[0] += 1,
        503 => answers[1] += 1,
        other => panic!("{other}"),
    };
    // Until the disk is full: then `on_failure = "refuse"`, the default, answers 503, and these wait for their records as well.
    until(|| {
        (0..50).for_each(|_| one(&mut answers));
        if answers[1] > 20 { Ok(()) } else { Err(format!("{answers:?}")) }
    });
    let (status, text) = house.admin("/readyz");
    assert_eq!((status, text.contains("audit trail cannot write")), (503, true), "{text}");
    disk.again("size=8m");
    until(|| {
        one(&mut answers);
        if house.admin("/readyz").0 == 200 { Ok(()) } else { Err("it does not recover".into()) }
    });
    // Rotation while several clients ask, files of the least size.
    let several: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut answers = [0; 2];
                (0..150).for_each(|_| match ask(address, None, &get("app.test", "/y", None)).0 {
                    404 => answers[0] += 1,
                    503 => answers[1] += 1,
                    other => panic!("{other}"),
                });
                answers
            })
        })
        .collect();
    for thread in several {
        let more = thread.join().unwrap();
        answers = [answers[0] + more[0], answers[1] + more[1]];
    }
    house.stop();
    let (records, lost) = account(&house.path("audit"));
    assert_eq!(records + lost, answers[0] + answers[1], "{answers:?}");
    assert!(fs::read_dir(house.path("audit")).unwrap().count() > 5, "several files");
    let done = portcullis(house.folder.path(), &["audit", "verify", "-c", "gateway.toml"], "");
    assert_eq!(done.code, 0, "{done:?}");
}

/// rsyslog that takes TLS from clients with a certificate, and writes the text of each message on a line.
struct Rsyslog(Child);

impl Rsyslog {
    fn start(program: &Path, configuration: &Path, folder: &Path) -> Self {
        let log = fs::File::create(folder.join("rsyslog.out")).unwrap();
        let (file, pid) = (configuration.display().to_string(), folder.join("rsyslog.pid").display().to_string());
        let child = Command::new(program).args(["-n", "-f", &file, "-i", &pid]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self(child)
    }

    fn stop(mut self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn deep_rsyslog_has_every_record_in_order_over_its_restarts() {
    if !is_deep() {
        return;
    }
    let Some(program) = tool("rsyslogd") else { return };
    let (root, own, client) = authority("syslog.internal");
    let address = free_address();
    let ship = |more: &str| {
        format!(
            "[[audit.ship]]\nname = \"siem\"\nkind = \"syslog\"\naddress = \"{address}\"\nca = \"ca.pem\"\ntls_name = \"syslog.internal\"\n\
             certificate = \"client.pem\"\nkey = \"client.key\"\n{more}\n"
        )
    };
    let mut house = House::new(&ship(""), &[("ca.pem", &root), ("client.pem", &client.0), ("client.key", &client.1)]);
    house.write("own.pem", &own.0);
    house.write("own.key", &own.1);
    let folder = house.folder.path().to_owned();
    let at = folder.display();
    // As in docs/audit.md, with the paths of this test.
    let port = address.port();
    house.write(
        "rsyslog.conf",
        &format!(
            "global(workDirectory=\"{at}\" maxMessageSize=\"64k\" defaultNetstreamDriver=\"gtls\"\n\
             defaultNetstreamDriverCAFile=\"{at}/ca.pem\" defaultNetstreamDriverCertFile=\"{at}/own.pem\" defaultNetstreamDriverKeyFile=\"{at}/own.key\")\n\
             module(load=\"imtcp\" streamDriver.mode=\"1\" streamDriver.authMode=\"x509/certvalid\")\n\
             input(type=\"imtcp\" port=\"{port}\")\n\
             template(name=\"text\" type=\"string\" string=\"%msg%\\n\")\n\
             if $programname == \"portcullis\" and $syslogfacility-text == \"local0\" then action(type=\"omfile\" file=\"{at}/portcullis.jsonl\" template=\"text\")\n"
        ),
    );
    let arrived = || {
        let text = fs::read_to_string(folder.join("portcullis.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let records: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
        numbers(&records)
    };
    let configuration = folder.join("rsyslog.conf");
    let mut rsyslog = Rsyslog::start(&program, &configuration, &folder);
    house.start();
    house.ask(50);
    house.all_arrive(arrived);
    let text = fs::read_to_string(folder.join("portcullis.jsonl")).unwrap();
    assert!(text.starts_with("{\"@timestamp\""), "nothing stands before a record: {text:?}");
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
        house.ask(10);
        rsyslog.stop(signal);
        house.ask(20);
        rsyslog = Rsyslog::start(&program, &configuration, &folder);
        house.ask(10);
        house.all_arrive(arrived);
    }
    house.stop();
    house.all_of_the_trail_arrive(arrived);
}
