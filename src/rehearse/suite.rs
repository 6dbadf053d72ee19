//! Runs tests in parallel: each stage one connection, each test's stages one after the other.

use super::answer::{Answer, converse};
use super::event::{Event, line};
use super::ftw::{Input, Output, Overrides, Seen, Stage, Target, Test, bytes, follow, judge};
use super::live::Live;
use super::setup::Scene;
use crate::audit::Trail;
use crate::message::TlsSession;
use crate::server::{Enclosed, StartError};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Bytes under way between a test and the gateway in process.
const DUPLEX_BYTES: usize = 64 * 1024;
/// How long a gateway in process may take to end a connection that the test has closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How tests run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads, each with a runtime of its own.
    pub threads: usize,
    /// Tests under way at once on a thread.
    pub per_thread: usize,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// The address that requests in process come from.
    pub client: IpAddr,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            per_thread: 4,
            answer_timeout: Duration::from_secs(10),
            client: Ipv4Addr::LOCALHOST.into(),
        }
    }
}

/// Where tests run.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// In process.
    Inside(&'a Scene),
    /// Against a running gateway.
    Live(&'a Live),
}

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// As the test expects.
    Passed,
    /// As an override expects, with its reason.
    Stricter(String),
    /// Something that was expected did not come.
    Failed,
}

/// A test with its result.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its place in the list.
    pub index: usize,
    /// What became of it.
    pub status: Status,
    /// Its stages.
    pub stages: Vec<StageOutcome>,
    /// How long it took.
    pub elapsed: Duration,
}

/// A stage with what it saw.
#[derive(Clone, Debug)]
pub struct StageOutcome {
    /// The bytes sent; empty where the stage passed.
    pub request: Vec<u8>,
    /// The expectations that did not hold.
    pub wrong: Vec<String>,
    /// The answer's status, or why there is none.
    pub answer: Result<u16, String>,
    /// The ids of the rules that matched.
    pub ids: BTreeSet<u64>,
    /// The records of the connection.
    pub events: Vec<Event>,
}

/// Records of gateways in process, by the number of the connection.
type Mail = Arc<Mutex<HashMap<u64, Vec<Event>>>>;

/// Runs all tests. `progress` sees each outcome as it comes; the result is in the order of the tests.
///
/// # Errors
/// A gateway that does not start, or a running one that cannot be used.
pub fn run(
    tests: &[Test],
    overrides: &Overrides,
    place: Place<'_>,
    settings: &Settings,
    progress: &mut dyn FnMut(&Outcome),
) -> Result<Vec<Outcome>, StartError> {
    let mail = Mail::default();
    let trail = match place {
        Place::Live(_) => None,
        Place::Inside(scene) => {
            let mail = Arc::clone(&mail);
            let observer = Arc::new(move |record: &crate::audit::Record| {
                let mut mail = mail.lock().unwrap_or_else(PoisonError::into_inner);
                mail.entry(record.peer.connection).or_default().push(Event::of(record));
            });
            Some(Enclosed::trail(&scene.prepared.policy, observer)?)
        }
    };
    let shared = Shared { tests, overrides, next: AtomicUsize::new(0), stop: AtomicBool::new(false), settings };
    let (sender, receiver) = mpsc::channel();
    let mut outcomes = Vec::with_capacity(tests.len());
    std::thread::scope(|scope| {
        for _ in 0..settings.threads.clamp(1, tests.len().max(1)) {
            let (sender, shared, mail, trail) = (sender.clone(), &shared, Arc::clone(&mail), trail.as_ref());
            scope.spawn(move || {
                if let Err(error) = thread(shared, place, trail, mail, &sender) {
                    shared.stop.store(true, Ordering::Relaxed);
                    let _ = sender.send(Err(error));
                }
            });
        }
        drop(sender);
        let mut first = None;
        for outcome in receiver {
            match outcome {
                Ok(outcome) => {
                    progress(&outcome);
                    outcomes.push(outcome);
                }
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        first.map_or(Ok(()), Err)
    })?;
    outcomes.sort_unstable_by_key(|o| o.index);
    Ok(outcomes)
}

struct Shared<'a> {
    tests: &'a [Test],
    overrides: &'a Overrides,
    next: AtomicUsize,
    stop: AtomicBool,
    settings: &'a Settings,
}

type Sender = mpsc::Sender<Result<Outcome, StartError>>;

fn thread(shared: &Shared<'_>, place: Place<'_>, trail: Option<&Trail>, mail: Mail, sender: &Sender) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| StartError::System(format!("a runtime: {e}")))?;
    let result = runtime.block_on(async {
        let client = match (place, trail) {
            (Place::Live(live), _) => Client::Live(live),
            (Place::Inside(scene), Some(trail)) => Client::Inside(Inside {
                gateway: Arc::new(Enclosed::new(&scene.prepared, trail)?),
                authorization: scene.authorization.clone(),
                mail,
                remote: shared.settings.client,
            }),
            (Place::Inside(_), None) => return Err(StartError::System("there is no trail".into())),
        };
        let lanes = (0..shared.settings.per_thread.max(1)).map(|_| lane(shared, &client, sender));
        futures(lanes).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Drives all lanes to their ends; the first error is the result.
async fn futures(lanes: impl Iterator<Item = impl Future<Output = Result<(), StartError>>>) -> Result<(), StartError> {
    let mut lanes: Vec<_> = lanes.map(|lane| (Box::pin(lane), None)).collect();
    std::future::poll_fn(|cx| {
        let mut pending = false;
        for (lane, result) in &mut lanes {
            if result.is_none() {
                match lane.as_mut().poll(cx) {
                    std::task::Poll::Ready(ended) => *result = Some(ended),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    lanes.into_iter().filter_map(|(_, result)| result).collect()
}

/// Takes one test after the other until none is left.
async fn lane(shared: &Shared<'_>, client: &Client<'_>, sender: &Sender) -> Result<(), StartError> {
    loop {
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(test) = shared.tests.get(index).filter(|_| !shared.stop.load(Ordering::Relaxed)) else { return Ok(()) };
        let started = Instant::now();
        let (status, stages) = run_test(shared, client, test).await.map_err(StartError::System)?;
        // Nobody listens any more where the run has ended with an error.
        let _ = sender.send(Ok(Outcome { index, status, stages, elapsed: started.elapsed() }));
    }
}

async fn run_test(shared: &Shared<'_>, client: &Client<'_>, test: &Test) -> Result<(Status, Vec<StageOutcome>), String> {
    let mut stages = Vec::with_capacity(test.stages.len());
    let mut reasons = Vec::new();
    let mut redirect: Option<(Option<String>, Input)> = None;
    for (number, stage) in test.stages.iter().enumerate() {
        let replaced = shared.overrides.of(test, number);
        let expected = replaced.map_or_else(|| stage.output.clone(), super::ftw::Override::output);
        reasons.extend(replaced.map(|o| o.reason.clone()));
        let input = match redirected(stage, redirect.take()) {
            Ok(input) => input,
            Err(why) => {
                let (answer, ids, events) = (Err(why.clone()), BTreeSet::new(), Vec::new());
                stages.push(StageOutcome { request: bytes(&stage.input), wrong: vec![why], answer, ids, events });
                break;
            }
        };
        let mut outcome = run_stage(shared, client, &input, &expected).await?;
        if !outcome.0.wrong.is_empty() && expected.retry_once {
            outcome = run_stage(shared, client, &input, &expected).await?;
        }
        redirect = Some((outcome.1, input));
        stages.push(outcome.0);
    }
    let failed = stages.iter().any(|s| !s.wrong.is_empty());
    let status = match (failed, reasons.pop()) {
        (true, _) => Status::Failed,
        (false, Some(reason)) => Status::Stricter(reason),
        (false, None) => Status::Passed,
    };
    Ok((status, stages))
}

/// The request of a stage, which may go where the stage before was sent.
fn redirected(stage: &Stage, before: Option<(Option<String>, Input)>) -> Result<Input, String> {
    if !stage.input.follow_redirect {
        return Ok(stage.input.clone());
    }
    let (location, input) = before.ok_or("follow_redirect in the first stage: there is nothing to follow")?;
    let location = location.ok_or("follow_redirect: the stage before was not redirected")?;
    let target = Target::parse(&location, &input).ok_or_else(|| format!("follow_redirect: {location:?} cannot be followed"))?;
    Ok(follow(&stage.input, &target))
}

async fn run_stage(
    shared: &Shared<'_>,
    client: &Client<'_>,
    input: &Input,
    expected: &Output,
) -> Result<(StageOutcome, Option<String>), String> {
    let request = client.complete(input);
    let (answer, events) = client.exchange(&request, input.secure, shared.settings.answer_timeout).await?;
    let rules = || events.iter().flat_map(|e| &e.rules);
    let redirects = |a: &&Answer| matches!(a.status, 300..=303 | 307 | 308);
    let location = answer.as_ref().ok().filter(redirects).and_then(|a| a.header("location")).map(str::to_owned);
    let (beginning, answer) = match answer {
        Ok(answer) => (answer.beginning, Ok(answer.status)),
        Err(why) => (Vec::new(), Err(why)),
    };
    let seen = Seen { answer, beginning, ids: rules().map(|r| r.id).collect(), lines: rules().map(line).collect() };
    let wrong = judge(expected, &seen);
    let request = if wrong.is_empty() { Vec::new() } else { request };
    Ok((StageOutcome { request, wrong, answer: seen.answer, ids: seen.ids, events }, location))
}

/// Who sends the requests of a thread.
enum Client<'a> {
    Inside(Inside),
    Live(&'a Live),
}

/// A gateway in process.
struct Inside {
    gateway: Arc<Enclosed>,
    authorization: Option<String>,
    mail: Mail,
    remote: IpAddr,
}

impl Client<'_> {
    /// The request's bytes, with the credentials of the user in whose name tests run.
    fn complete(&self, input: &Input) -> Vec<u8> {
        match self {
            Self::Inside(Inside { authorization: Some(value), .. })
                if !input.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) =>
            {
                let mut input = input.clone();
                input.headers.push(("Authorization".into(), value.clone()));
                bytes(&input)
            }
            _ => bytes(input),
        }
    }

    async fn exchange(&self, request: &[u8], secure: bool, limit: Duration) -> Result<(Result<Answer, String>, Vec<Event>), String> {
        match self {
            Self::Live(live) => live.exchange(request, limit).await,
            Self::Inside(inside) => inside.exchange(request, secure, limit).await,
        }
    }
}

impl Inside {
    async fn exchange(&self, request: &[u8], secure: bool, limit: Duration) -> Result<(Result<Answer, String>, Vec<Event>), String> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
        let port = u16::try_from(1024 + number % 60_000).unwrap_or(1024);
        let (remote, local) = (SocketAddr::new(self.remote, port), SocketAddr::from((Ipv4Addr::LOCALHOST, if secure { 443 } else { 80 })));
        let tls = secure.then(|| TlsSession { version: "1.3", protocol: Some("http/1.1"), ..TlsSession::default() });
        let gateway = Arc::clone(&self.gateway);
        let mut connection = JoinSet::new();
        connection.spawn(async move { gateway.serve(theirs, remote, local, number, tls).await });
        let answer = converse(ours, request, limit).await;
        // Our end is closed; when theirs is as well, all records of the connection are made.
        if tokio::time::timeout(CLOSE_TIMEOUT, connection.join_next()).await.is_err() {
            connection.shutdown().await;
        }
        // A large body may still be with the inspection's own threads: its record comes a moment after the answer.
        let until = Instant::now() + CLOSE_TIMEOUT;
        let take = || self.mail.lock().unwrap_or_else(PoisonError::into_inner).remove(&number).unwrap_or_default();
        let mut events = take();
        while events.is_empty() && answer.is_ok() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
            events = take();
        }
        Ok((answer, events))
    }
}
