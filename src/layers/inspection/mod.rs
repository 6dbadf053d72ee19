//! Layer 4, inspection: the rules look at each request and its answer, head and body.

mod budget;
mod decode;
mod exclusions;
mod files;
mod geo;
mod held;
mod intake;
mod pool;
mod rbl;
mod request;
mod response;
mod shared;
mod watch;

use crate::audit::{Extent, Record};
use crate::clock::Moment;
use crate::diagnostic::Diagnostic;
use crate::evidence::{Caller, Inspected, Mapped, NoHandshake};
use crate::limits::{INSPECTED_REQUEST_BODY_BYTES_MAX, INSPECTED_REQUEST_BODY_NO_FILES_BYTES_MAX, INSPECTED_RESPONSE_BODY_BYTES_MAX};
use crate::message::{Request, Response};
use crate::policy::{InspectionMode, InspectionSettings, Map, OverLimit, Policy};
use crate::refusal::{Layer, Refusal};
pub use files::check_rules;

use seclang::geo::GeoDatabase;
use seclang::ruleset::RuleSet;
use seclang::transaction::{BodyOptions, Mode, Options, Transaction};
use seclang::verdict::{Disruption, Intervention, Phase};
use shared::Tools;
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use watch::{Feed, Watched};

/// Layer 4: the compiled rules of all maps, shared by all runtime threads.
#[derive(Debug)]
pub struct Inspection {
    sets: HashMap<Vec<usize>, Set>,
    tools: Arc<Tools>,
}

/// One combination of rule sets, compiled.
#[derive(Debug)]
struct Set {
    rules: Arc<RuleSet>,
    /// What the policy excludes from it.
    exclusions: exclusions::Compiled,
    /// Phases whose rules ask block lists.
    asks_dns: Vec<Phase>,
    /// What `@geoLookup` asks.
    geo: Option<Arc<dyn GeoDatabase>>,
}

/// A rule as it was loaded, for who asks which there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadedRule {
    /// The file it stands in.
    pub file: Arc<str>,
    /// The line it begins in, from one.
    pub line: u32,
    /// Its id.
    pub id: u64,
    /// `msg` as it is written.
    pub message: Arc<str>,
    /// Whether records name it.
    pub logs: bool,
}

/// A transaction under way; its last phase runs when the record closes.
#[derive(Debug)]
pub struct Watch(Option<(Arc<Watched>, Plan)>);

/// A phase on its way, inside a body that waits for it.
type Decision = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// What a transaction may do, once phase 1 has run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    mode: Mode,
    /// `on_error = "closed"`
    closed: bool,
    refuses_large: bool,
    refuses_large_responses: bool,
    /// The response limit where the transaction cannot be asked.
    response_limit: u64,
}

impl Inspection {
    /// Compiles the rules that the policy's maps name, each combination once. Threads and persistent collections
    /// go on from `previous`.
    ///
    /// # Errors
    /// Every mistake in the rule files.
    pub fn new(policy: &Policy, previous: Option<&Self>) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut sets = HashMap::new();
        let (mut warnings, mut mistakes) = (Vec::new(), Vec::new());
        let mut places = geo::Files::default();
        for map in policy.sites.iter().flat_map(|site| site.every_map()) {
            let wanted = &map.inspection.rule_sets;
            if map.inspection.mode == InspectionMode::Off || sets.contains_key(wanted) {
                continue;
            }
            match files::load(policy, wanted) {
                Ok((rules, notes)) => {
                    warnings.extend(notes);
                    let asks_dns = Phase::ALL.into_iter().filter(|phase| rules.asks_dns(*phase)).collect();
                    let exclusions = exclusions::compile(policy, wanted, &rules).unwrap_or_else(|found| {
                        mistakes.extend(found);
                        exclusions::Compiled::new()
                    });
                    let geo = places.of(&rules).unwrap_or_else(|mistake| {
                        mistakes.push(mistake);
                        None
                    });
                    sets.insert(wanted.clone(), Set { rules: Arc::new(rules), exclusions, asks_dns, geo });
                }
                Err(found) => mistakes.extend(found.into_iter().filter(|d| !mistakes.contains(d)).collect::<Vec<_>>()),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let rules = sets.iter().map(|(wanted, set): (&Vec<usize>, &Set)| (wanted.as_slice(), &*set.rules));
        warnings.extend(exclusions::warnings(policy, rules, now()));
        let tools = Arc::new(Tools::new(&policy.inspection, previous.map(|p| &*p.tools)));
        Ok((Self { sets, tools }, warnings))
    }

    /// Phases 1 and 2. In block mode the body is read before anything is forwarded; in detect mode it streams, and a copy is
    /// inspected when it has ended.
    ///
    /// # Errors
    /// What a rule decides, `BodyTooLarge`, `BodyUndecodable`, `Overloaded`, `EngineError`, and what ended the body early.
    pub async fn admit(
        &self,
        mapped: &Mapped,
        caller: &Caller,
        handshake: NoHandshake,
        request: &mut Request,
        record: &mut Record,
    ) -> Result<(Inspected, Watch), Refusal> {
        let settings = &mapped.map.inspection;
        let inspected = Inspected { handshake };
        let mode = match settings.mode {
            InspectionMode::Off => {
                (record.inspection_mode, record.extent_reason) = ("off", "off");
                return Ok((inspected, Watch(None)));
            }
            InspectionMode::Block => Mode::Block,
            InspectionMode::Detect => Mode::Detect,
        };
        record.inspection_mode = if mode == Mode::Block { "block" } else { "detect" };
        // A map whose rules were not compiled cannot be served: the policy builds both from the same list.
        let set = self.sets.get(&settings.rule_sets).ok_or(Refusal::EngineError)?;
        let mut transaction = begin(set, mode, settings, (mapped.address, caller.user.as_deref()), request);
        exclusions::apply(&mapped.map, &mapped.path, &set.exclusions, request.received.unix_micros, &mut transaction, record);
        let watched = Watched::new(transaction, &self.tools, request.raw.bytes.len());
        record.late = Some(watched.clone());
        self.ask_block_lists(set, &watched, mode, &[Phase::RequestHeaders, Phase::Logging]).await;
        let mut plan = Plan::new(mode, settings, &watched);
        let outcome = watched.decide(Phase::RequestHeaders, None).await?;
        plan.judge(&watched, outcome.intervention)?;
        // `ctl:ruleEngine` may have lowered it.
        plan.mode = watched.with(|tx| tx.mode());
        // Rules of phase 1 may have written down whom to ask about.
        let rest = [Phase::RequestBody, Phase::ResponseHeaders, Phase::ResponseBody, Phase::Logging];
        self.ask_block_lists(set, &watched, plan.mode, &rest).await;
        self.body(&plan, &watched, request).await?;
        // This was the longest piece of the request's work: whatever else is ready has its turn first, and where many requests were, they
        // go to the backend together.
        tokio::task::yield_now().await;
        Ok((inspected, Watch(Some((watched, plan)))))
    }

    /// Phase 2.
    async fn body(&self, plan: &Plan, watched: &Arc<Watched>, request: &mut Request) -> Result<(), Refusal> {
        if request.body.is_empty() {
            watched.extent(Extent::Full, "");
            plan.run(watched, Phase::RequestBody, None).await
        } else if plan.mode == Mode::Off {
            watched.extent(Extent::None, "rule_engine_off");
            Ok(())
        } else if !watched.with(|tx| tx.wants_request_body()) {
            watched.extent(Extent::Partial, "body_access_off");
            plan.run(watched, Phase::RequestBody, None).await
        } else if plan.mode == Mode::Block {
            request::hold(plan, watched, &self.tools.budget, request).await
        } else {
            request::Copying::put(watched, &self.tools.budget, request);
            Ok(())
        }
    }

    async fn ask_block_lists(&self, set: &Set, watched: &Watched, mode: Mode, phases: &[Phase]) {
        let asking: Vec<Phase> = set.asks_dns.iter().copied().filter(|phase| phases.contains(phase)).collect();
        if !asking.is_empty() && mode != Mode::Off {
            let names = watched.with(|tx| asking.iter().flat_map(|phase| tx.dns_names(*phase)).collect());
            self.tools.rbl.answer(names, watched, mode == Mode::Block).await;
        }
    }

    /// A request that is refused before the rules' turn: they see its head in report-only mode, so that the record names them.
    /// Phase 1 runs on a head that the wire refused, as far as it was split; phase 2 also, without the body, on a whole head: one that
    /// the door refused, or whose version of HTTP nobody speaks. Phase 5 follows when the record closes.
    pub fn witness(&self, refusal: &Refusal, map: Option<&Map>, request: &Request, record: &mut Record) {
        let told_by_rules = match refusal {
            Refusal::HttpsOnly | Refusal::HttpsRedirect { .. } | Refusal::MisdirectedTls => false,
            _ => matches!(refusal.layer(), Layer::Wire | Layer::Door),
        };
        let Some(map) = map.filter(|_| told_by_rules && !request.raw.method().is_empty() && !request.raw.target().is_empty()) else {
            return;
        };
        if map.inspection.mode == InspectionMode::Off {
            record.extent_reason = "off";
            return;
        }
        let Some(set) = self.sets.get(&map.inspection.rule_sets) else { return };
        let transaction = begin(set, Mode::Detect, &map.inspection, (record.source, None), request);
        let watched = Watched::new(transaction, &self.tools, request.raw.bytes.len());
        watched.extent(Extent::Partial, "refused_head");
        record.inspection_mode = "detect";
        record.late = Some(watched.clone());
        // Report-only: what the rules found is in the transaction.
        watched.note(Phase::RequestHeaders, None);
        if refusal.layer() == Layer::Door || *refusal == Refusal::VersionUnsupported {
            watched.note(Phase::RequestBody, None);
        }
    }

    /// Phases 3 and 4. In block mode the body waits for phase 4, unless it is a stream; in detect mode nothing waits.
    ///
    /// # Errors
    /// What a rule decides; `ResponseTooLarge`, `Overloaded`, `EngineError`.
    pub async fn release(&self, watch: Watch, mut response: Response) -> Result<Response, Refusal> {
        let Some((watched, plan)) = watch.0 else { return Ok(response) };
        if response.status == http::StatusCode::SWITCHING_PROTOCOLS || plan.mode == Mode::Off {
            return Ok(response);
        }
        if plan.mode == Mode::Block {
            watched.response(response.status, &response.headers);
            plan.run(&watched, Phase::ResponseHeaders, None).await?;
        } else {
            watched.note_response(&response);
        }
        let head = response::Head::of(&response, &watched, plan.response_limit);
        response.body = response::pass(&plan, &watched, &self.tools.budget, response.body, head).await?;
        // As for requests: where many answers are, they go to their clients together.
        tokio::task::yield_now().await;
        Ok(response)
    }

    /// The rules of all maps by file and line, each once.
    pub fn loaded(&self) -> Vec<LoadedRule> {
        let rule = |rule: &seclang::ruleset::Rule| LoadedRule {
            file: rule.file.clone(),
            line: rule.line,
            id: rule.id,
            message: rule.message_text.clone(),
            logs: rule.log,
        };
        let mut all: Vec<LoadedRule> = self.sets.values().flat_map(|set| set.rules.rules()).map(rule).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Waits until what is looked at on the pool has its record; false when that takes longer than `limit`.
    pub fn finish(&self, limit: Duration) -> bool {
        self.tools.pool.finish(limit)
    }
}

impl Plan {
    fn new(mode: Mode, settings: &InspectionSettings, watched: &Watched) -> Self {
        let (refuses_large, refuses_large_responses, response_limit) =
            watched.with(|tx| (tx.request_body_rejects(), tx.response_body_rejects(), tx.response_body_limit()));
        Self { mode, closed: settings.on_error_closed, refuses_large, refuses_large_responses, response_limit }
    }

    /// Runs a phase; in block mode it is waited for, and decides.
    async fn run(&self, watched: &Arc<Watched>, phase: Phase, feed: Option<Feed>) -> Result<(), Refusal> {
        if self.mode != Mode::Block {
            watched.note(phase, feed);
            return Ok(());
        }
        let outcome = watched.decide(phase, feed).await?;
        self.judge(watched, outcome.intervention)
    }

    fn judge(&self, watched: &Watched, intervention: Option<Intervention>) -> Result<(), Refusal> {
        match intervention {
            Some(intervention) => Err(refusal(intervention)),
            None if self.mode == Mode::Block && self.closed && watched.failed() => Err(Refusal::EngineError),
            None => Ok(()),
        }
    }
}

/// `client` is the address and, where one has signed in, the user.
fn begin(set: &Set, mode: Mode, settings: &InspectionSettings, client: (IpAddr, Option<&str>), request: &Request) -> Transaction {
    let options = Options {
        mode: Some(mode),
        unique_id: request.id.to_string(),
        now: request.received.unix_micros,
        bodies: bodies(settings, &set.rules),
        geo: set.geo.clone(),
        ..Options::default()
    };
    let mut transaction = Transaction::new(Arc::clone(&set.rules), options);
    for (name, value) in &settings.variables {
        // The policy has fewer than TX holds.
        let _ = transaction.set_tx_variable(name, value);
    }
    let peer = &request.peer;
    transaction.connection(client.0, peer.remote.port(), peer.local.ip(), peer.local.port());
    if let Some(user) = client.1 {
        transaction.remote_user(user);
    }
    let raw = &request.raw;
    let [line, method, target, version] = [&raw.line, &raw.method, &raw.target, &raw.version].map(|part| raw.slice(part));
    // What CONNECT asks for stands in its target, whatever its Host says.
    let asked = (method[..] == b"CONNECT"[..]).then(|| target.clone());
    transaction.request_line_bytes(line, method, target, version);
    for header in &raw.headers {
        let (name, mut value) = (raw.slice(&header.name), raw.slice(&header.value));
        if let Some(host) = asked.as_ref().filter(|_| name.eq_ignore_ascii_case(b"host")) {
            value = host.clone();
        }
        // A bare CR ends no line for us and one for others: where a line's end is in doubt, its header is no header.
        if !value.contains(&b'\r') {
            transaction.request_header_bytes(name, value);
        }
    }
    transaction
}

/// What is inspected of bodies: the policy's key where it is written, else the rule files' directive, else our default.
fn bodies(settings: &InspectionSettings, rules: &RuleSet) -> BodyOptions {
    let rules = rules.settings();
    let size = |key: Option<usize>, directive: Option<u64>, default: usize| key.map(|n| n as u64).or(directive).or(Some(default as u64));
    let refuses = |key: Option<OverLimit>| key.map(|over| over == OverLimit::Refuse);
    BodyOptions {
        request_access: Some(rules.request_body_access.unwrap_or(true)),
        request_limit: size(settings.request_body_bytes_max, rules.request_body_limit, INSPECTED_REQUEST_BODY_BYTES_MAX),
        request_no_files_limit: size(
            settings.request_body_no_files_bytes_max,
            rules.request_body_no_files_limit,
            INSPECTED_REQUEST_BODY_NO_FILES_BYTES_MAX,
        ),
        request_rejects: refuses(settings.over_limit).or(rules.request_body_limit_rejects).or(Some(true)),
        response_access: settings.response_bodies.or(rules.response_body_access).or(Some(false)),
        response_limit: size(settings.response_body_bytes_max, rules.response_body_limit, INSPECTED_RESPONSE_BODY_BYTES_MAX),
        response_rejects: refuses(settings.response_over_limit).or(rules.response_body_limit_rejects).or(Some(false)),
        processor_by_type: true,
    }
}

fn refusal(intervention: Intervention) -> Refusal {
    let rule = intervention.rule_id;
    match intervention.action {
        Disruption::Deny => Refusal::RuleDenied { status: intervention.status, rule },
        Disruption::Drop => Refusal::RuleDropped { rule },
        Disruption::Redirect => {
            let location = intervention.url.map(|url| String::from_utf8_lossy(&url).into_owned()).unwrap_or_default();
            Refusal::RuleRedirect { status: intervention.status, location, rule }
        }
    }
}

/// The present time for rules, in microseconds.
fn now() -> u64 {
    Moment::now().unix_micros
}
