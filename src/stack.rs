//! The order of the layers. It stands here and nowhere else: top to bottom is the way of a request.

use crate::audit::{Action, Decision, Record, Trail};
use crate::clock::Laps;
use crate::diagnostic::Diagnostic;
use crate::evidence::{Caller, Inspected, Mapped};
use crate::layers::account_requests::{AccountRequests, Step};
use crate::layers::audit_wrap::{AuditWrap, OpenRecord, TunnelRecord};
use crate::layers::basic_auth::BasicAuth;
use crate::layers::door::Door;
use crate::layers::error_mask::{Asked, ErrorMask};
use crate::layers::forwarding::{Ends, Forwarded, Forwarding};
use crate::layers::inspection::Inspection;
use crate::layers::ntlm_block::NtlmBlock;
use crate::layers::rate_limit::{Key, RateLimit};
use crate::limits::TUNNEL_IDLE_TIMEOUT;
use crate::message::{Request, Response};
use crate::metrics::Metrics;
use crate::policy::{Map, OnAuditFailure, Policy};
use crate::refusal::Refusal;
use crate::upstream::{Upstreams, splice};
use arc_swap::ArcSwapOption;
use std::sync::Arc;

/// All layers of one policy, in order. One per runtime thread; what must be shared between threads is shared inside.
#[derive(Debug)]
pub struct Stack {
    audit: AuditWrap,
    error_mask: ErrorMask,
    door: Door,
    basic_auth: Arc<BasicAuth>,
    ntlm_block: NtlmBlock,
    rate_limit: Arc<RateLimit>,
    inspection: Arc<Inspection>,
    account_requests: Arc<AccountRequests>,
    forwarding: Forwarding,
    trail: Trail,
    refuse_unrecorded: bool,
    in_force: Arc<InForce>,
}

/// The layers that all runtime threads share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Layer 1: its cache and back-off count for the whole process.
    pub basic_auth: Arc<BasicAuth>,
    /// Layer 3: one set of buckets.
    pub rate_limit: Arc<RateLimit>,
    /// Layer 4: rules are compiled once.
    pub inspection: Arc<Inspection>,
    /// The page for account requests: one queue, one set of counters.
    pub account_requests: Arc<AccountRequests>,
    /// Who may stay, by the policy in force.
    pub in_force: Arc<InForce>,
    /// The process's counters.
    pub metrics: Arc<Metrics>,
}

/// Who may still come in by the policy in force now, for what began under an earlier one.
#[derive(Debug, Default)]
pub struct InForce(ArcSwapOption<(Door, Arc<BasicAuth>)>);

impl InForce {
    /// From now on this policy decides.
    pub fn take_up(&self, policy: &Policy, shared: &Shared) {
        self.0.store(Some(Arc::new((Door::new(policy), Arc::clone(&shared.basic_auth)))));
    }

    fn still_allowed(&self, mapped: &Mapped, caller: &Caller) -> bool {
        let now = self.0.load();
        let Some((door, basic_auth)) = now.as_deref() else { return false };
        door.map_of(&mapped.host, &mapped.path).is_some_and(|map| basic_auth.still_allowed(&map, caller))
    }
}

impl Shared {
    /// Reads the files that the policy names: passwords, groups, rules. What `previous` has counted and proven goes on.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn new(policy: &Policy, previous: Option<&Self>) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut mistakes = Vec::new();
        let mut warnings = Vec::new();
        let basic_auth = match previous {
            None => BasicAuth::new(policy),
            Some(previous) => BasicAuth::following(policy, &previous.basic_auth),
        };
        let basic_auth = basic_auth.map_err(|d| mistakes.extend(d)).ok();
        let inspection = Inspection::new(policy, previous.map(|p| &*p.inspection)).map_err(|d| mistakes.extend(d)).ok();
        let account_requests = AccountRequests::new(policy, previous.map(|p| &*p.account_requests)).map_err(|d| mistakes.extend(d)).ok();
        match (basic_auth, inspection, account_requests) {
            (Some((basic_auth, found)), Some((inspection, notes)), Some(account_requests)) if mistakes.is_empty() => {
                warnings.extend(found);
                warnings.extend(notes);
                let rate_limit = Arc::new(RateLimit::new(policy));
                let (in_force, metrics) = match previous {
                    None => Default::default(),
                    Some(previous) => (Arc::clone(&previous.in_force), Arc::clone(&previous.metrics)),
                };
                let (basic_auth, inspection) = (Arc::new(basic_auth), Arc::new(inspection));
                let account_requests = Arc::new(account_requests);
                Ok((Self { basic_auth, rate_limit, inspection, account_requests, in_force, metrics }, warnings))
            }
            _ => Err(mistakes),
        }
    }
}

/// What a walk that failed had reached, for the page and the challenge.
#[derive(Default)]
struct Reached {
    mapped: Option<Mapped>,
    caller: Option<Caller>,
}

impl Reached {
    fn map(&self) -> Option<&Map> {
        self.mapped.as_ref().map(|m| &*m.map)
    }
}

impl Stack {
    /// The stack of a policy for one runtime thread.
    ///
    /// # Errors
    /// A page or a backend setting that cannot be used.
    pub fn new(policy: &Policy, shared: &Shared, upstreams: Arc<Upstreams>, trail: Trail) -> Result<Self, String> {
        Ok(Self {
            audit: AuditWrap::new(trail.clone(), Arc::clone(&shared.metrics)),
            error_mask: ErrorMask::new(policy)?,
            door: Door::new(policy),
            basic_auth: Arc::clone(&shared.basic_auth),
            ntlm_block: NtlmBlock,
            rate_limit: Arc::clone(&shared.rate_limit),
            inspection: Arc::clone(&shared.inspection),
            account_requests: Arc::clone(&shared.account_requests),
            forwarding: Forwarding::new(policy, upstreams),
            trail,
            refuse_unrecorded: policy.audit.on_failure == OnAuditFailure::Refuse,
            in_force: Arc::clone(&shared.in_force),
        })
    }

    /// One request, from its head to a response whose body closes the record when it ends.
    pub async fn handle(&self, mut request: Request) -> Response {
        let asked = Asked::new(request.id, &request.method, &request.raw);
        let mut record = self.audit.open(&mut request);
        record.covered().await;
        let mut reached = Reached::default();
        let outcome = self.walk(request, &mut record, &mut reached).await;
        self.leave(outcome, asked, record, reached)
    }

    /// The order.
    async fn walk(&self, mut request: Request, record: &mut Record, reached: &mut Reached) -> Result<Forwarded, Refusal> {
        if self.refuse_unrecorded && !self.trail.healthy() {
            return Err(Refusal::AuditUnavailable);
        }
        let request = &mut request;
        let mut laps = Laps::from(record.received);

        // 0  door: canonical host and path, site and map
        let mapped = self.door.admit(request, record);
        record.timing.door = Some(laps.lap());
        let mapped = match mapped {
            Ok(mapped) => mapped,
            Err(refusal) => {
                self.inspection.witness(&refusal, self.door.nearest(request).as_deref(), request, record);
                return Err(refusal);
            }
        };
        let mapped: &Mapped = reached.mapped.insert(mapped);

        // 1  Basic auth: who is it, may they be here
        let caller = self.basic_auth.admit(&mapped.map, request, mapped.address, record).await;
        record.timing.basic_auth = Some(laps.lap());
        let caller = caller.map_err(|refusal| self.ntlm_block.explain(refusal, &mapped.map, request, record))?;
        let caller: &Caller = reached.caller.insert(caller);
        if !mapped.exists {
            return Err(Refusal::NotMapped);
        }

        // 2  NTLM/Negotiate block: no integrated-auth handshakes through the gateway
        let no_handshake = self.ntlm_block.admit(&mapped.map, request, record)?;
        record.timing.ntlm_block = Some(laps.lap());

        // 3  rate limit: per caller, else per client address
        let place = self.rate_limit.admit(&mapped.map, Key::new(caller.user.as_ref(), caller.address), record);
        record.timing.rate_limit = Some(laps.lap());
        let place = place?;

        // account requests: on the site's page for them, before anything of a form is held
        let is_account_page = mapped.map.account_requests.is_some();
        if is_account_page {
            self.account_requests.admit(mapped, request)?;
        }

        // 4  inspection: the rules, request side
        let inspection = self.inspection.admit(mapped, caller, no_handshake, request, record).await;
        record.timing.inspection = Some(laps.lap());
        let (inspected, watch) = inspection?;

        // 5  forwarding: the one mapped backend; 5' reverse mapping. The account page has none: it is answered here
        let mut forwarded = if is_account_page {
            self.account_page(mapped, inspected, request, record).await?
        } else {
            let forwarded = self.forwarding.forward(mapped, inspected, request, record).await;
            record.timing.forwarding = Some(laps.lap());
            forwarded?
        };

        // 4' inspection: the rules, response side
        forwarded.response = self.inspection.release(watch, forwarded.response).await?;

        // 2' NTLM/Negotiate block: backend challenges stripped; 1' a backend login behind ours is a conflict
        let integrated = self.ntlm_block.release(&mapped.map, request.version, &mut forwarded.response, record)?;
        self.basic_auth.release(&mapped.map, caller, &mut forwarded.response, record)?;
        if integrated {
            self.forwarding.keep_pinned(request);
        }
        let body = forwarded.response.body.take();
        forwarded.response.body = place.hold(body);
        Ok(forwarded)
    }

    /// Somebody asks for an account, or looks at the page for it. The password is hashed before anything else is done with it.
    async fn account_page(
        &self,
        mapped: &Mapped,
        inspected: Inspected,
        request: &mut Request,
        record: &mut Record,
    ) -> Result<Forwarded, Refusal> {
        let response = match self.account_requests.answer(mapped, inspected, request, record).await? {
            Step::Page(response) => response,
            Step::Form(mut application) => {
                let hash = self.basic_auth.new_hash(application.take_password(), mapped.address).await?;
                self.account_requests.file(mapped, *application, hash, request, record).await?
            }
        };
        Ok(Forwarded { response, tunnel: None })
    }

    /// The way out: error masking, then the record.
    fn leave(&self, outcome: Result<Forwarded, Refusal>, asked: Asked, mut record: OpenRecord, reached: Reached) -> Response {
        let map = reached.map();
        let (mut response, tunnel) = match (outcome, map) {
            // A page of ours that is no error is shown as it is, and its layer has said so in the record.
            (Ok(forwarded), Some(map)) if map.account_requests.is_some() => (forwarded.response, None),
            (Ok(forwarded), Some(map)) => {
                record.decision = Decision { layer: None, action: Action::Allow, reason: "" };
                (self.error_mask.release(forwarded.response, &asked, map, &mut record), forwarded.tunnel)
            }
            (Ok(_), None) => (self.error_mask.refuse(&Refusal::Internal, &asked, None, &mut record), None),
            (Err(refusal), map) => (self.error_mask.refuse(&refusal, &asked, map, &mut record), None),
        };
        if let Some(mapped) = &reached.mapped {
            self.door.release(mapped, &mut response);
        }
        match tunnel {
            None => {
                if let (Some(mapped), Some(caller)) = (reached.mapped, reached.caller) {
                    let body = response.body.take();
                    let (in_force, asks) = (Arc::clone(&self.in_force), caller.clone());
                    response.body = self.basic_auth.hold(&caller, body, move || in_force.still_allowed(&mapped, &asks));
                }
                record.close_with(response)
            }
            Some(tunnel) => {
                let (response, end) = record.tunnel(response);
                self.join(tunnel, end, reached);
                response
            }
        }
    }

    /// Joins the two ends of a tunnel once the client has its 101, until one side ends or the user may no longer come in.
    fn join(&self, ends: Ends, end: TunnelRecord, reached: Reached) {
        let (in_force, idle) = (Arc::clone(&self.in_force), TUNNEL_IDLE_TIMEOUT);
        tokio::spawn(async move {
            end.covered().await;
            let Some(client) = ends.client.await else { return };
            let still_allowed = || match (&reached.mapped, &reached.caller) {
                (Some(mapped), Some(caller)) => in_force.still_allowed(mapped, caller),
                _ => false,
            };
            let report = splice(client, ends.backend, idle, still_allowed).await;
            end.close(report.bytes_up, report.bytes_down, report.end.name());
        });
    }

    /// The map that a URL leads to, for `auth whocan`.
    pub fn door(&self) -> &Door {
        &self.door
    }
}
