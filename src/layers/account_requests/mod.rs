//! The page on which people without an account ask for one: who may, how often, and into which queue.
//!
//! Nothing here looks at who has an account already: the answer is the same for a name that is taken, and as slow.

mod body;
mod form;
mod page;
mod token;

use self::body::Bounded;
use self::form::Application;
use self::token::Tokens;
use crate::audit::{Action, Decision, Record};
use crate::clock::{Moment, rfc3339};
use crate::diagnostic::Diagnostic;
use crate::evidence::{Inspected, Mapped};
use crate::head::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, ORIGIN, OwnValue, REFERRER_POLICY, SEC_FETCH_SITE,
    SET_COOKIE, Value, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use crate::identity::backoff::network;
use crate::identity::requests::{AccountRequest, Added, RequestQueue};
use crate::identity::{Allowances, requests};
use crate::limits::{ACCOUNT_FORM_BYTES_MAX, ACCOUNT_PAGES_PER_MINUTE};
use crate::message::{Body, Request, Response};
use crate::policy::{AccountSettings, Policy};
use crate::refusal::{Layer, Refusal};
use bytes::Bytes;
use http::{Method, StatusCode};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// What lives on when the policy is replaced: counters, and the key under which forms are signed.
#[derive(Debug)]
struct Keeper {
    tokens: Tokens,
    pages: Allowances,
    requests: Allowances,
}

/// The layer: shared by all runtime threads.
#[derive(Debug)]
pub struct AccountRequests {
    keeper: Arc<Keeper>,
    queue: Arc<RequestQueue>,
}

/// What a request to the page comes to.
#[derive(Debug)]
pub enum Step {
    /// A page: the form, the form with its mistakes, or the word that a request waits.
    Page(Response),
    /// A form without mistakes, whose password is to be hashed before [`AccountRequests::file`].
    Form(Box<Application>),
}

impl AccountRequests {
    /// The layer of a policy; counters and forms under way go on from `previous`.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(policy: &Policy, previous: Option<&Self>) -> Result<Self, Vec<Diagnostic>> {
        let queue = RequestQueue::new(&policy.audit.state_directory);
        if let Some(previous) = previous {
            let same = previous.queue.path() == queue.path();
            let queue = if same { Arc::clone(&previous.queue) } else { Arc::new(queue) };
            return Ok(Self { keeper: Arc::clone(&previous.keeper), queue });
        }
        let tokens = Tokens::new().map_err(|why| {
            let help = "the system's source of random numbers does not work";
            vec![Diagnostic::file(&policy.path, format!("forms cannot be signed: {why}"), help)]
        })?;
        let keeper = Keeper { tokens, pages: Allowances::default(), requests: Allowances::default() };
        Ok(Self { keeper: Arc::new(keeper), queue: Arc::new(queue) })
    }

    /// Lets a request on to the rules: not too many from one address, no form of another site, none that is too long.
    ///
    /// # Errors
    /// `AccountRequestFlood`, `FormFromElsewhere`, `FormTooLarge`.
    pub fn admit(&self, mapped: &Mapped, request: &mut Request) -> Result<(), Refusal> {
        let flood = |retry_after_seconds| Refusal::AccountRequestFlood { retry_after_seconds };
        self.keeper.pages.take(network(mapped.address), ACCOUNT_PAGES_PER_MINUTE, MINUTE, Instant::now()).map_err(flood)?;
        if request.method != Method::POST {
            return Ok(());
        }
        if is_from_elsewhere(mapped, request) {
            return Err(Refusal::FormFromElsewhere);
        }
        let length = request.headers.get(&CONTENT_LENGTH).and_then(|value| value.text()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > ACCOUNT_FORM_BYTES_MAX as u64) {
            return Err(Refusal::FormTooLarge);
        }
        request.body = Body::boxed(Bounded::new(request.body.take(), ACCOUNT_FORM_BYTES_MAX));
        Ok(())
    }

    /// Answers what the rules have seen.
    ///
    /// # Errors
    /// `AccountRequestFlood`, and what ended the body early.
    pub async fn answer(&self, mapped: &Mapped, _: Inspected, request: &mut Request, record: &mut Record) -> Result<Step, Refusal> {
        let settings = mapped.map.account_requests.as_ref().ok_or(Refusal::NotMapped)?;
        let now = request.received.unix_micros / 1_000_000;
        let cookie = self.keeper.tokens.cookie(&request.headers, mapped.tls).ok_or(Refusal::Internal)?;
        let (application, mistakes) = match (&request.method, page::asked(mapped.query.as_deref())) {
            (&Method::POST, _) => {
                let text = body::text(request.body.take()).await?;
                match self.keeper.tokens.is_fresh(form::token(&text), &cookie, &mapped.site.name, now) {
                    true => form::read(&text, settings),
                    false => (form::read(&text, settings).0, vec![form::TOO_OLD]),
                }
            }
            (_, Some(id)) => {
                record.decision = decision("account_page");
                return Ok(Step::Page(respond(StatusCode::OK, page::waiting(mapped, &id, settings), request)));
            }
            _ => {
                let token = self.keeper.tokens.make(&cookie, &mapped.site.name, now);
                let page = page::form(mapped, settings, &token, &Application::default(), &[]);
                record.decision = decision("account_page");
                return Ok(Step::Page(with_cookie(respond(StatusCode::OK, page, request), &cookie, mapped)));
            }
        };
        if mistakes.is_empty() {
            self.count(mapped, settings)?;
            return Ok(Step::Form(Box::new(application)));
        }
        let token = self.keeper.tokens.make(&cookie, &mapped.site.name, now);
        let page = page::form(mapped, settings, &token, &application, &mistakes);
        record.decision = decision("account_form_wrong");
        Ok(Step::Page(with_cookie(respond(StatusCode::UNPROCESSABLE_ENTITY, page, request), &cookie, mapped)))
    }

    /// Counts a request that is about to cost a hash.
    fn count(&self, mapped: &Mapped, settings: &AccountSettings) -> Result<(), Refusal> {
        let (requests, site, now) = (&self.keeper.requests, &*mapped.site.name, Instant::now());
        let address = (site, Some(network(mapped.address)));
        requests
            .take(address, settings.requests_per_address_per_hour, HOUR, now)
            .and_then(|()| requests.take((site, None::<std::net::IpAddr>), settings.requests_per_hour, HOUR, now))
            .map_err(|retry_after_seconds| Refusal::AccountRequestFlood { retry_after_seconds })
    }

    /// Puts a request into the queue, with the hash of its password.
    ///
    /// # Errors
    /// `AccountQueueFull`, `AccountQueueFailed`.
    pub async fn file(
        &self,
        mapped: &Mapped,
        application: Application,
        hash: String,
        request: &mut Request,
        record: &mut Record,
    ) -> Result<Response, Refusal> {
        let settings = mapped.map.account_requests.clone().ok_or(Refusal::NotMapped)?;
        let now = request.received.unix_micros;
        let waiting = AccountRequest {
            id: request.id.to_string(),
            asked: rfc3339(now),
            expires: rfc3339(now.saturating_add(u64::try_from(settings.expires.as_micros()).unwrap_or(u64::MAX))),
            site: mapped.site.name.to_string(),
            user: application.user,
            name: application.name,
            message: application.message,
            address: mapped.address.to_string(),
            hash,
        };
        // As with any name that no file has: a keyed hash of it, since it may be a mistyped password.
        record.auth.user = Some(waiting.user.clone());
        let queue = Arc::clone(&self.queue);
        let added = tokio::task::spawn_blocking(move || queue.add(&waiting, settings.waiting_max, now));
        match added.await.unwrap_or_else(|_| Err(io::Error::other("the thread that writes it has ended"))) {
            Ok(Added::Waiting) => {}
            Ok(Added::Full) => return Err(Refusal::AccountQueueFull),
            Err(error) => {
                tracing::error!(%error, "an account request cannot be kept");
                return Err(Refusal::AccountQueueFailed);
            }
        }
        tracing::info!(site = %mapped.site.name, id = %request.id, "somebody asks for an account; `portcullis auth requests` lists who");
        record.decision = decision("account_requested");
        let mut response = respond(StatusCode::SEE_OTHER, String::new(), request);
        let to = format!("{}?{}={}", mapped.map.path, page::ASKED, request.id);
        response.headers.insert(&LOCATION, Value::new(to.as_bytes()).ok_or(Refusal::Internal)?);
        Ok(response)
    }

    /// Hands over the answers that operators gave, and the requests that expired, until they are taken down. To be called every
    /// second, not on a runtime thread.
    ///
    /// # Errors
    /// The queue cannot be read or written.
    pub fn settle(&self, take_down: impl FnMut(&[requests::Decision]) -> bool) -> io::Result<()> {
        self.queue.settle(Moment::now().unix_micros, take_down)
    }
}

fn decision(reason: &'static str) -> Decision {
    Decision { layer: Some(Layer::AccountRequests), action: Action::Answer, reason }
}

/// Whether another site sent the form, by what browsers say of it; a client that says nothing still needs the token.
fn is_from_elsewhere(mapped: &Mapped, request: &Request) -> bool {
    let mut sites = request.headers.get_all(&SEC_FETCH_SITE);
    if let Some(site) = sites.next() {
        return site != "same-origin" || sites.next().is_some();
    }
    let mut origins = request.headers.get_all(&ORIGIN);
    match (origins.next(), origins.next()) {
        (None, _) => false,
        (Some(origin), None) => {
            let (own, port) = (format!("{}://{}", mapped.scheme(), mapped.authority), if mapped.tls { ":443" } else { ":80" });
            let plain = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
            origin.text().is_none_or(|origin| plain(origin) != plain(&own))
        }
        (Some(_), Some(_)) => true,
    }
}

fn respond(status: StatusCode, page: String, request: &Request) -> Response {
    let mut response = Response::new(status);
    let headers = &mut response.headers;
    headers.insert(&CACHE_CONTROL, const { Value::from_static("no-store") });
    headers.insert(&REFERRER_POLICY, const { Value::from_static("no-referrer") });
    headers.insert(&X_CONTENT_TYPE_OPTIONS, const { Value::from_static("nosniff") });
    if page.is_empty() {
        return response;
    }
    headers.insert(&CONTENT_TYPE, const { Value::from_static("text/html; charset=utf-8") });
    headers.insert(&X_FRAME_OPTIONS, const { Value::from_static("DENY") });
    headers.insert(&CONTENT_SECURITY_POLICY, page::content_policy().get());
    if request.method == Method::HEAD {
        headers.insert(&CONTENT_LENGTH, OwnValue::new(page.len().to_string()).unwrap_or_default().get());
    } else {
        response.body = Body::full(Bytes::from(page));
    }
    response
}

fn with_cookie(mut response: Response, cookie: &str, mapped: &Mapped) -> Response {
    if let Some(value) = OwnValue::new(token::set_cookie(cookie, &mapped.map.path, mapped.tls)) {
        response.headers.insert(&SET_COOKIE, value.get());
    }
    response
}
