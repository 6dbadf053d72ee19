//! Layer 4, inspection: the rules look at each request, and at the head of each answer.

mod body;
mod exclusions;
mod files;
mod watch;

use crate::audit::{Extent, Record};
use crate::clock::Moment;
use crate::diagnostic::Diagnostic;
use crate::evidence::{Caller, Inspected, Mapped, NoHandshake};
use crate::limits::INSPECTION_MEMORY_BYTES_MAX;
use crate::message::{Body, Request, Response};
use crate::policy::{InspectionMode, InspectionSettings, Map, OverLimit, Policy};
use crate::refusal::{Layer, Refusal};
pub use files::check_rules;

use body::{Budget, Collected, Copying};
use http::header::CONTENT_TYPE;
use seclang::collections::MemoryCollections;
use seclang::ruleset::RuleSet;
use seclang::transaction::{Mode, Options, Transaction};
use seclang::verdict::{Disruption, Intervention};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use watch::Watched;

/// Layer 4: the compiled rules of all maps, shared by all runtime threads.
#[derive(Debug)]
pub struct Inspection {
    sets: HashMap<Vec<usize>, Compiled>,
    collections: Arc<Mutex<MemoryCollections>>,
    budget: Arc<Budget>,
}

/// A combination of rule sets, and what the policy excludes from it.
#[derive(Debug)]
struct Compiled {
    rules: Arc<RuleSet>,
    exclusions: exclusions::Compiled,
}

/// A transaction under way; its last phase runs when the record closes.
#[derive(Debug)]
pub struct Watch(Option<Arc<Watched>>);

impl Inspection {
    /// Compiles the rules that the policy's maps name, each combination once.
    ///
    /// # Errors
    /// Every mistake in the rule files.
    pub fn new(policy: &Policy) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut sets = HashMap::new();
        let (mut warnings, mut mistakes) = (Vec::new(), Vec::new());
        for map in policy.sites.iter().flat_map(|s| s.maps.iter().chain([&s.unmapped])) {
            let wanted = &map.inspection.rule_sets;
            if map.inspection.mode == InspectionMode::Off || sets.contains_key(wanted) {
                continue;
            }
            match files::load(policy, wanted) {
                Ok((rules, notes)) => {
                    warnings.extend(notes);
                    let excluded = exclusions::compile(policy, wanted, &rules).unwrap_or_else(|found| {
                        mistakes.extend(found);
                        exclusions::Compiled::new()
                    });
                    sets.insert(wanted.clone(), Compiled { rules: Arc::new(rules), exclusions: excluded });
                }
                Err(found) => mistakes.extend(found.into_iter().filter(|d| !mistakes.contains(d)).collect::<Vec<_>>()),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        warnings.extend(exclusions::warnings(policy, sets.iter().map(|(wanted, set)| (wanted.as_slice(), &*set.rules)), now()));
        let budget = Arc::new(Budget::new(INSPECTION_MEMORY_BYTES_MAX));
        Ok((Self { sets, collections: Arc::default(), budget }, warnings))
    }

    /// Phases 1 and 2. In block mode the body is read before anything is forwarded; in detect mode it streams, and a copy is
    /// inspected when it has ended.
    ///
    /// # Errors
    /// What a rule decides, `BodyTooLarge`, `EngineError`, and what ended the body early.
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
        let mut transaction = begin(&set.rules, mode, settings, (mapped.address, caller.user.as_deref()), request);
        exclusions::apply(&mapped.map, &mapped.path, &set.exclusions, request.received.unix_micros, &mut transaction, record);
        let watched = Arc::new(Watched::new(transaction, Arc::clone(&self.collections)));
        record.late = Some(watched.clone());
        self.judge(&watched, settings, Watched::request_headers)?;
        if request.body.is_empty() {
            watched.extent(Extent::Full, "");
            self.judge(&watched, settings, Watched::request_body)?;
        } else if !watched.wants_body() || !inspectable(request) {
            watched.extent(Extent::Partial, "content_type");
            self.judge(&watched, settings, Watched::request_body)?;
        } else if mode == Mode::Block {
            self.hold(&watched, settings, request).await?;
        } else {
            let copy = Copying::new(request.body.take(), Arc::clone(&watched), settings.request_body_bytes_max, &self.budget);
            request.body = Body::boxed(copy);
        }
        Ok((inspected, Watch(Some(watched))))
    }

    /// A request that is refused before the rules' turn: they see its head in report-only mode, so that the record names them.
    /// Phase 1 runs on a head that the wire refused, as far as it was split; phase 2 also, without the body, on a whole head that
    /// the door refused. Phase 5 follows when the record closes.
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
        let transaction = begin(&set.rules, Mode::Detect, &map.inspection, (record.source, None), request);
        let watched = Arc::new(Watched::new(transaction, Arc::clone(&self.collections)));
        watched.extent(Extent::Partial, "refused_head");
        record.inspection_mode = "detect";
        record.late = Some(watched.clone());
        // Report-only: what the rules found is in the transaction.
        let _ = watched.request_headers();
        if refusal.layer() == Layer::Door {
            let _ = watched.request_body();
        }
    }

    /// Phase 3 on the head of the answer.
    ///
    /// # Errors
    /// What a rule decides; `EngineError`.
    pub async fn release(&self, mapped: &Mapped, watch: Watch, response: Response) -> Result<Response, Refusal> {
        let Some(watched) = watch.0 else { return Ok(response) };
        if response.status == http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        watched.response(&response);
        self.judge(&watched, &mapped.map.inspection, Watched::response_headers)?;
        Ok(response)
    }

    /// Reads the body up to the limit, lets phase 2 decide, and puts it back.
    async fn hold(&self, watched: &Arc<Watched>, settings: &InspectionSettings, request: &mut Request) -> Result<(), Refusal> {
        let collected = body::collect(request.body.take(), settings.request_body_bytes_max, &self.budget).await?;
        match &collected {
            Collected { whole: true, .. } => watched.extent(Extent::Full, ""),
            Collected { over_budget: true, .. } if settings.on_error_closed => return Err(Refusal::Overloaded),
            Collected { over_budget: true, .. } => watched.extent(Extent::Partial, "memory"),
            Collected { .. } if settings.over_limit == OverLimit::Refuse => return Err(Refusal::BodyTooLarge),
            Collected { .. } => watched.extent(Extent::Partial, "body_limit"),
        }
        for chunk in &collected.chunks {
            watched.feed(chunk);
        }
        self.judge(watched, settings, Watched::request_body)?;
        request.body = collected.back();
        Ok(())
    }

    fn judge(&self, watched: &Watched, settings: &InspectionSettings, phase: fn(&Watched) -> Option<Intervention>) -> Result<(), Refusal> {
        if let Some(intervention) = phase(watched) {
            return Err(refusal(intervention));
        }
        if settings.mode == InspectionMode::Block && settings.on_error_closed && watched.failed() {
            return Err(Refusal::EngineError);
        }
        Ok(())
    }
}

/// `client` is the address and, where one has signed in, the user.
fn begin(
    rules: &Arc<RuleSet>,
    mode: Mode,
    settings: &InspectionSettings,
    client: (IpAddr, Option<&str>),
    request: &Request,
) -> Transaction {
    let options = Options { mode: Some(mode), unique_id: request.id.to_string(), now: request.received.unix_micros, ..Options::default() };
    let mut transaction = Transaction::new(Arc::clone(rules), options);
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
    transaction.request_line(raw.line(), raw.method(), raw.target(), raw.version());
    // A bare CR ends no line for us and one for others: where a line's end is in doubt, its header is no header.
    for (name, value) in raw.headers().filter(|(_, value)| !value.contains(&b'\r')) {
        transaction.request_header(name, value);
    }
    transaction
}

/// Whether a body has a form that rules can read; others stream past with the header rules only.
fn inspectable(request: &Request) -> bool {
    let Some(value) = request.headers.get(CONTENT_TYPE) else { return true };
    let Ok(text) = value.to_str() else { return true };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let binary = ["image/", "video/", "audio/", "font/"].iter().any(|p| essence.starts_with(p));
    let opaque = ["application/octet-stream", "application/zip", "application/pdf", "application/gzip", "application/grpc"];
    !(binary || opaque.contains(&essence.as_str()))
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
