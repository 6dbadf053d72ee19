//! The audit trail leaves the machine: every record, in order, whatever happens to receivers and to the gateway meanwhile.

use super::program::{Program, ask, free_address, get, portcullis, until};
use super::receivers::{Http, Messages, Post, Syslog, answer, asking_for_certificates, authority};
use portcullis::server::{Gateway, prepare};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A folder in which a gateway can be started again and again.
pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
    gateway: Option<Arc<Gateway>>,
    asked: u64,
}

impl House {
    pub(crate) fn new(ship: &str, files: &[(&str, &str)]) -> Self {
        let house = Self { folder: tempfile::tempdir().unwrap(), gateway: None, asked: 0 };
        for (name, text) in files {
            house.write(name, text);
        }
        house.write("gateway.toml", &policy(ship));
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn start(&mut self) {
        let prepared = prepare(&self.path("gateway.toml")).unwrap_or_else(|found| panic!("{found:#?}"));
        self.gateway = Some(Gateway::start(prepared).unwrap());
    }

    pub(crate) fn gateway(&self) -> &Arc<Gateway> {
        self.gateway.as_ref().unwrap()
    }

    /// Asks for so many pages that do not exist.
    pub(crate) fn ask(&mut self, times: u64) {
        for _ in 0..times {
            let target = format!("/page/{}", self.asked);
            assert_eq!(ask(self.gateway().addresses()[0].0, None, &get("app.test", &target, None)).0, 404);
            self.asked += 1;
        }
    }

    pub(crate) fn stop(&mut self) {
        self.gateway.take().unwrap().stop();
    }

    pub(crate) fn admin(&self, target: &str) -> (u16, String) {
        ask(self.gateway().admin_address().unwrap(), None, &get("localhost", target, None))
    }

    /// The value of one of the series of the receiver `siem`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.admin("/metrics");
        let line = format!("portcullis_audit_ship_{name}{{receiver=\"siem\"}} ");
        let found = text.lines().find_map(|l| l.strip_prefix(&line)).unwrap_or_else(|| panic!("no {line} in {text}"));
        found.parse().unwrap()
    }

    /// The trail's lines, whole ones only, with their numbers from 1.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.path("audit")).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let text: String =
            files.iter().filter(|f| f.extension().is_some_and(|e| e == "jsonl")).map(|f| fs::read_to_string(f).unwrap()).collect();
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| line.trim_end().to_owned()).collect()
    }

    /// Waits until `numbers` gives those of all records that are in the trail now, the page asked for last among them.
    pub(crate) fn all_arrive(&self, numbers: impl Fn() -> Vec<u64>) {
        let last = format!("\"path\":\"/page/{}\"", self.asked - 1);
        until(|| self.lines().iter().any(|line| line.contains(&last)).then_some(()).ok_or_else(|| "the last record is not written".into()));
        self.all_of_the_trail_arrive(numbers);
    }

    pub(crate) fn all_of_the_trail_arrive(&self, numbers: impl Fn() -> Vec<u64>) {
        let count = self.lines().len() as u64;
        until(|| {
            let arrived = numbers();
            let distinct: BTreeSet<u64> = arrived.iter().copied().collect();
            let missing: Vec<u64> = (1..=count).filter(|n| !distinct.contains(n)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{} of {count} did not arrive: {missing:?}", missing.len())) }
        });
        // Some may come again; but each comes first in its turn.
        let mut most = 0;
        for number in numbers() {
            assert!(number <= most + 1, "{number} came before {}", most + 1);
            most = most.max(number);
        }
    }
}

fn policy(ship: &str) -> String {
    format!(
        r#"[[listener]]
address = "127.0.0.1:0"
tls = false

[admin]
address = "127.0.0.1:0"

[limits]
drain_timeout_seconds = 2

[audit]
directory = "audit"
flood_records_per_second = "unlimited"
checkpoint_interval_seconds = 1

{ship}

[inspection]
mode = "off"

[[backend]]
name = "app"
members = ["http://127.0.0.1:9"]

[[site]]
names = ["app.test"]
require = ["all granted"]
https = "either"

[[site.map]]
path = "/app/"
to = "app/"
"#
    )
}

pub(crate) fn numbers(records: &[Value]) -> Vec<u64> {
    records.iter().filter_map(|record| record["event"]["sequence"].as_u64()).collect()
}

#[test]
fn syslog_over_tls_loses_nothing_when_receiver_and_gateway_go_and_come_back() {
    let (root, own, client) = authority("syslog.internal");
    let tls = asking_for_certificates(&root, &own);
    let messages = Messages::default();
    let receiver = Syslog::start("127.0.0.1:0".parse().unwrap(), Some(Arc::clone(&tls)), &messages);
    let address = receiver.address;
    let ship = format!(
        "[[audit.ship]]\nname = \"siem\"\nkind = \"syslog\"\naddress = \"{address}\"\nfacility = \"local3\"\nca = \"ca.pem\"\n\
         tls_name = \"syslog.internal\"\ncertificate = \"client.pem\"\nkey = \"client.key\""
    );
    let mut house = House::new(&ship, &[("ca.pem", &root), ("client.pem", &client.0), ("client.key", &client.1)]);
    house.start();
    let arrived = || numbers(&messages.records());
    house.ask(20);
    house.all_arrive(arrived);
    // Killed with whatever it has not read, twice, while records come.
    let mut receiver = Some(receiver);
    for _ in 0..2 {
        house.ask(5);
        drop(receiver.take());
        house.ask(15);
        receiver = Some(Syslog::start(address, Some(Arc::clone(&tls)), &messages));
        house.ask(5);
        house.all_arrive(arrived);
    }
    until(|| if house.metric("failing") == 0 { Ok(()) } else { Err("not well again".into()) });
    house.stop();
    house.all_of_the_trail_arrive(arrived);
    let before = messages.all().len();
    // An orderly stop leaves nothing in doubt.
    house.start();
    house.ask(3);
    house.all_arrive(arrived);
    assert!(messages.all().len() - before < 10, "{} came again", messages.all().len() - before);
    // Down while the gateway goes and comes back.
    drop(receiver);
    house.ask(3);
    house.stop();
    house.start();
    house.ask(3);
    let _receiver = Syslog::start(address, Some(tls), &messages);
    house.all_arrive(arrived);
    house.stop();

    let said = messages.all();
    let denied = said.iter().find(|message| message.contains("/page/7\"")).unwrap();
    // local3 is 19, a refusal at the door a notice.
    let (head, json) = denied.split_at(denied.find('{').unwrap());
    let fields: Vec<&str> = head.split(' ').collect();
    assert_eq!((fields[0], fields[3], fields[5]), ("<157>1", "portcullis", "request"), "{head}");
    assert!(fields[1].ends_with('Z') && fields[1].parse::<jiff::Timestamp>().is_ok(), "{head}");
    assert!(head.contains("[meta sequenceId=\"") && head.contains("[origin software=\"portcullis\""), "{head}");
    let record: Value = serde_json::from_str(json).unwrap();
    assert_eq!((&record["ecs"]["version"], &record["http"]["response"]["status_code"]), (&"8.11.0".into(), &404.into()));
}

#[test]
fn a_receiver_that_cannot_be_trusted_gets_nothing_and_that_is_a_state() {
    let (root, own, client) = authority("syslog.internal");
    let (other, ..) = authority("syslog.internal");
    let tls = asking_for_certificates(&root, &own);
    let whole = [("ca.pem", &*root), ("client.pem", &*format!("{}{}", client.0, client.1))];
    let certificate = "certificate = \"client.pem\"\n";
    for (ca, name, certificate) in
        [(&root, "other.internal", certificate), (&other, "syslog.internal", certificate), (&root, "syslog.internal", "")]
    {
        let messages = Messages::default();
        let receiver = Syslog::start("127.0.0.1:0".parse().unwrap(), Some(Arc::clone(&tls)), &messages);
        let ship = format!(
            "[[audit.ship]]\nname = \"siem\"\nkind = \"syslog\"\naddress = \"{}\"\nca = \"ca.pem\"\ntls_name = \"{name}\"\n{certificate}",
            receiver.address
        );
        let mut house = House::new(&ship, &whole);
        house.write("ca.pem", ca);
        house.start();
        house.ask(2);
        until(|| if house.metric("errors_total") > 1 { Ok(()) } else { Err("no error is counted".into()) });
        let (status, text) = house.admin("/readyz");
        assert_eq!(status, 200);
        // A server that misses a certificate says so only after the client's part of the handshake.
        let why = if certificate.is_empty() { "siem: the connection broke: received fatal alert" } else { "siem: TLS failed" };
        assert!(text.contains(&format!("ready\naudit records wait for {why}")), "{text}");
        assert_eq!(house.metric("failing"), 1);
        assert!(messages.all().is_empty());
        house.ask(2);
        house.stop();
        assert!(house.lines().len() >= 6, "the trail itself lacks nothing");
    }
}

#[test]
fn syslog_goes_over_tcp_and_udp_in_the_form_asked_for() {
    let (stream, datagrams) = (Messages::default(), Messages::default());
    let receiver = Syslog::start("127.0.0.1:0".parse().unwrap(), None, &stream);
    let ship = format!(
        "[[audit.ship]]\nname = \"siem\"\nkind = \"syslog\"\naddress = \"{}\"\ntransport = \"tcp\"\nformat = \"json\"\nmessage_bytes_max = 480\n\n\
         [[audit.ship]]\nname = \"udp\"\nkind = \"syslog\"\naddress = \"{}\"\ntransport = \"udp\"\nformat = \"csv\"\nfacility = \"audit\"",
        receiver.address,
        Syslog::datagrams(&datagrams)
    );
    let mut house = House::new(&ship, &[]);
    house.start();
    house.ask(3);
    let last = |messages: &Messages| messages.all().iter().any(|message| message.contains(",/page/2,") || message.contains("/page/2"));
    until(|| if last(&datagrams) { Ok(()) } else { Err(format!("{:?}", datagrams.all())) });
    assert!(datagrams.all().iter().any(|message| message.starts_with("<109>1 ") && message.contains(",GET,")), "{:?}", datagrams.all());
    until(|| if house.metric("cut_total") >= 3 { Ok(()) } else { Err("nothing was cut".into()) });
    until(|| if stream.all().len() >= 4 { Ok(()) } else { Err("not all came".into()) });
    assert!(stream.all().iter().all(|message| message.len() <= 480 && message.contains("{\"@timestamp\"")), "{:?}", stream.all());
    house.stop();
}

/// The numbers of the records in the bodies of taken POSTs.
fn numbers_of(taken: &Mutex<Vec<Post>>) -> Vec<u64> {
    let number = |log: &Value| {
        let attributes = log["attributes"].as_array().unwrap();
        let own = attributes.iter().find(|one| one["key"] == "portcullis.sequence").unwrap();
        own["value"]["intValue"].as_str().unwrap().parse().unwrap()
    };
    taken.lock().unwrap().iter().flat_map(|post| post.logs().iter().map(number).collect::<Vec<u64>>()).collect()
}

#[test]
fn otlp_batches_are_kept_until_they_are_taken() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let posts = Arc::new(AtomicU64::new(0));
    let script = || {
        let (taken, posts) = (Arc::clone(&taken), Arc::clone(&posts));
        move |post: &Post| {
            let refusal = match posts.fetch_add(1, SeqCst) {
                1 => Some(answer(503, "", "")),
                2 => Some(answer(429, "retry-after: 1\r\n", "")),
                3 => Some(String::new()),
                4 => Some(answer(401, "", "who are you")),
                _ => None,
            };
            refusal.unwrap_or_else(|| {
                taken.lock().unwrap().push(post.clone());
                answer(200, "", "{}")
            })
        }
    };
    let receiver = Http::start("127.0.0.1:0".parse().unwrap(), script());
    let address = receiver.address;
    let ship = format!(
        "[[audit.ship]]\nname = \"siem\"\nkind = \"otlp\"\nurl = \"http://{address}/v1/logs?tenant=7\"\nheaders_file = \"headers\""
    );
    let mut house = House::new(&ship, &[("headers", "# of the collector\nAuthorization: Bearer Zx9Hunter2Qw\nX-Tenant: seven\n")]);
    house.start();
    let arrived = || numbers_of(&taken);
    until(|| if posts.load(SeqCst) > 0 { Ok(()) } else { Err("nothing came".into()) });
    house.ask(30);
    house.all_arrive(arrived);
    assert!(posts.load(SeqCst) > 5 && house.metric("errors_total") >= 3, "{posts:?}");
    drop(receiver);
    house.ask(10);
    until(|| if house.metric("failing") == 1 && house.metric("behind") >= 10 { Ok(()) } else { Err("no failure is told".into()) });
    let _receiver = Http::start(address, script());
    house.ask(1);
    house.all_arrive(arrived);
    until(|| if house.metric("failing") == 0 && house.metric("behind") == 0 { Ok(()) } else { Err("not well again".into()) });
    let readyz = house.admin("/readyz").1;
    assert!(readyz.ends_with("ready\n"), "{readyz}");
    house.stop();
    house.all_of_the_trail_arrive(arrived);
    assert_eq!(arrived().len(), house.lines().len(), "what was acknowledged does not come again");
    let post = taken.lock().unwrap()[0].clone();
    assert!(post.head.starts_with("POST /v1/logs?tenant=7 HTTP/1.1\r\n"), "{}", post.head);
    for line in ["content-encoding: gzip", "content-type: application/json", "authorization: Bearer Zx9Hunter2Qw", "x-tenant: seven"] {
        assert!(post.head.lines().any(|l| l == line), "no {line} in {}", post.head);
    }
    let log = &post.logs()[0];
    assert_eq!((&log["severityText"], &log["eventName"]), (&"INFO".into(), &"portcullis.audit.start".into()));
}

#[test]
fn one_record_that_is_refused_keeps_no_other_back() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&taken);
    let receiver = Http::start("127.0.0.1:0".parse().unwrap(), move |post: &Post| {
        if post.body.contains("/page/13") {
            return answer(400, "", "I do not like that one");
        }
        own.lock().unwrap().push(post.clone());
        let is_partial = post.body.contains("/page/17");
        answer(200, "", if is_partial { r#"{"partialSuccess":{"rejectedLogRecords":"1"}}"# } else { "{}" })
    });
    let ship = format!("[[audit.ship]]\nname = \"siem\"\nkind = \"otlp\"\nurl = \"http://{}/v1/logs\"\ngzip = false", receiver.address);
    let mut house = House::new(&ship, &[]);
    house.start();
    house.ask(30);
    until(|| if numbers_of(&taken).len() >= 30 { Ok(()) } else { Err(format!("{:?}", numbers_of(&taken))) });
    until(|| if house.metric("refused_total") == 2 { Ok(()) } else { Err("it is not counted".into()) });
    house.stop();
    let arrived: BTreeSet<u64> = numbers_of(&taken).into_iter().collect();
    assert_eq!(arrived.len(), house.lines().len() - 1, "all but the one");
}

#[test]
fn a_receiver_that_refuses_everything_is_not_taken_for_one_that_has_everything() {
    let posts = Arc::new(AtomicU64::new(0));
    let own = Arc::clone(&posts);
    let receiver = Http::start("127.0.0.1:0".parse().unwrap(), move |_: &Post| {
        own.fetch_add(1, SeqCst);
        answer(400, "", "")
    });
    let ship = format!("[[audit.ship]]\nname = \"siem\"\nkind = \"http\"\nurl = \"http://{}/\"", receiver.address);
    let mut house = House::new(&ship, &[]);
    house.start();
    house.ask(20);
    until(|| if house.metric("errors_total") > 0 { Ok(()) } else { Err("no error".into()) });
    assert_eq!((house.metric("refused_total"), house.metric("records_total")), (0, 0));
    assert!(house.admin("/readyz").1.contains("refuses records with 400"));
    let address = receiver.address;
    drop(receiver);
    let taken = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&taken);
    let _receiver = Http::start(address, move |post: &Post| {
        own.lock().unwrap().push_str(&post.body);
        answer(204, "", "")
    });
    house.all_arrive(|| numbers(&taken.lock().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()));
    house.stop();
}

#[test]
fn heads_at_a_second_place_tell_a_cut_trail() {
    let messages = Messages::default();
    let receiver = Syslog::start("127.0.0.1:0".parse().unwrap(), None, &messages);
    let lines = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&lines);
    let http = Http::start("127.0.0.1:0".parse().unwrap(), move |post: &Post| {
        own.lock().unwrap().push_str(&post.body);
        answer(200, "", "")
    });
    let ship = format!(
        "[[audit.ship]]\nname = \"siem\"\nkind = \"syslog\"\naddress = \"{}\"\ntransport = \"tcp\"\nrecords = \"heads\"\n\n\
         [[audit.ship]]\nname = \"posted\"\nkind = \"http\"\nurl = \"http://{}/heads\"\nrecords = \"heads\"",
        receiver.address, http.address
    );
    let mut house = House::new(&ship, &[]);
    house.start();
    house.ask(5);
    until(|| {
        if messages.all().iter().any(|message| message.contains("\"kind\":\"checkpoint\"")) {
            Ok(())
        } else {
            Err("no checkpoint came".into())
        }
    });
    house.stop();
    let signed: Vec<String> = house.lines().into_iter().filter(|line| line.contains("\"signature\"")).collect();
    assert!(signed.len() >= 3 && signed.last().unwrap().contains("\"kind\":\"stop\""));
    assert_eq!(lines.lock().unwrap().lines().collect::<Vec<_>>(), signed, "posted as they stand, and no others");
    // As a syslog receiver writes them, with its header before each.
    house.write("collected.log", &messages.all().join("\n"));
    house.write("posted.log", &lines.lock().unwrap());
    let verify = || {
        // The gateway's own copies went with whoever cut the trail.
        for file in ["heads.jsonl", "position"] {
            let _ = fs::remove_file(house.path("audit-state").join(file));
        }
        let key = house.path("audit-state/signing-key.pub.pem").display().to_string();
        let files = ["collected.log", "posted.log"].map(|file| house.path(file).display().to_string());
        let arguments = ["audit", "verify", "--key", &key, "--heads", &files[0], "--heads", &files[1]];
        portcullis(house.folder.path(), &[&arguments[..], &["-c", "gateway.toml"]].concat(), "")
    };
    let whole = verify();
    assert_eq!(whole.code, 0, "{whole:?}");
    assert!(whole.stdout.contains(&format!("heads       {} agree, of {0} known", signed.len())), "{}", whole.stdout);
    // Everything after the third line is gone.
    let file = fs::read_dir(house.path("audit"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|f| f.extension().is_some_and(|e| e == "jsonl"))
        .unwrap();
    fs::write(file, house.lines()[..3].iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let cut = verify();
    assert_eq!(cut.code, 1, "{cut:?}");
}

#[test]
fn a_reload_takes_up_receivers_and_a_mistake_leaves_those_there_are() {
    let (old, new) = (Messages::default(), Messages::default());
    let receivers = [&old, &new].map(|messages| Syslog::start("127.0.0.1:0".parse().unwrap(), None, messages));
    let ship = |name: &str, address: SocketAddr, begin: &str| {
        format!(
            "[[audit.ship]]\nname = \"{name}\"\nkind = \"syslog\"\naddress = \"{address}\"\ntransport = \"tcp\"\nbegin = \"{begin}\"\n\n"
        )
    };
    let first = ship("siem", receivers[0].address, "oldest");
    let mut house = House::new(&first, &[]);
    house.start();
    house.ask(3);
    house.all_arrive(|| numbers(&old.records()));
    let tls = "[[audit.ship]]\nname = \"wrong\"\nkind = \"syslog\"\naddress = \"127.0.0.1\"\nca = \"gateway.toml\"\n";
    house.write("gateway.toml", &policy(&format!("{first}{tls}")));
    let mistake = house.gateway().reload().unwrap_err().to_string();
    assert!(mistake.contains("gateway.toml"), "{mistake}");
    house.ask(3);
    house.all_arrive(|| numbers(&old.records()));
    house.write("gateway.toml", &policy(&format!("{first}{}", ship("new", receivers[1].address, "oldest"))));
    house.gateway().reload().unwrap();
    house.ask(3);
    house.all_arrive(|| numbers(&old.records()));
    house.all_arrive(|| numbers(&new.records()));
    house.stop();
    // One that is new and asks for nothing old begins with the file of this run.
    let third = Messages::default();
    let receiver = Syslog::start("127.0.0.1:0".parse().unwrap(), None, &third);
    house.write("gateway.toml", &policy(&ship("third", receiver.address, "now")));
    let before = house.lines().len() as u64;
    house.start();
    house.ask(2);
    until(|| if numbers(&third.records()).len() >= 3 { Ok(()) } else { Err("not all came".into()) });
    house.stop();
    assert_eq!(numbers(&third.records())[0], before + 1);
}

#[test]
fn after_a_kill_the_next_start_ships_what_is_left() {
    let taken = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&taken);
    let receiver = Http::start("127.0.0.1:0".parse().unwrap(), move |post: &Post| {
        own.lock().unwrap().push_str(&post.body);
        answer(200, "", "")
    });
    let ship = format!("[[audit.ship]]\nname = \"siem\"\nkind = \"http\"\nurl = \"http://{}/\"\nformat = \"json\"", receiver.address);
    let house = House::new(&ship, &[]);
    let arrived = || -> Vec<u64> {
        let text = taken.lock().unwrap().clone();
        numbers(&text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
    };
    for round in 0..4u64 {
        let mut program = Program::start(house.folder.path(), &["run", "-c", "gateway.toml"]);
        program.says("admin listener on");
        let said = program.stderr();
        let address = said.split("listening on http://").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        for n in 0..20 + 10 * round {
            assert_eq!(ask(address, None, &get("app.test", &format!("/page/{n}"), None)).0, 404);
        }
        if round == 3 {
            program.signal(rustix::process::Signal::TERM);
            assert!(program.ended(std::time::Duration::from_secs(20)).success());
        }
        // Else killed where it stands.
        drop(program);
    }
    house.all_of_the_trail_arrive(arrived);
    let last = house.lines().pop().unwrap();
    assert!(last.contains("\"kind\":\"stop\"") && taken.lock().unwrap().contains(&last), "the record of the stop is the last");
}

#[test]
fn a_dead_receiver_holds_up_nothing_and_a_stop_does_not_wait_for_it() {
    // It accepts, and never reads.
    let stuck = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = free_address();
    let ship = format!(
        "[[audit.ship]]\nname = \"siem\"\nkind = \"otlp\"\nurl = \"http://{}/v1/logs\"\n\n[[audit.ship]]\nname = \"dead\"\nkind = \"syslog\"\naddress = \"{dead}\"\ntransport = \"tcp\"",
        stuck.local_addr().unwrap()
    );
    let mut house = House::new(&ship, &[]);
    house.start();
    house.ask(50);
    until(|| if house.metric("behind") > 50 { Ok(()) } else { Err("the records do not wait".into()) });
    assert!(house.admin("/readyz").1.contains("audit records wait for dead: "));
    let begun = Instant::now();
    house.stop();
    // Two seconds for the batch under way, two for the last ones, the drain; far less than the half minute that an answer may take.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let verified = portcullis(house.folder.path(), &["audit", "verify", "-c", "gateway.toml"], "");
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_eq!(house.lines().iter().filter(|line| line.contains("\"kind\":\"request\"")).count(), 50);
}
