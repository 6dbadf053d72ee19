//! The web console: the trail, read by people. Server-rendered, on the admin listener; it changes nothing but marks and notes.
//!
//! [`Console::answer`] takes plain data and gives plain data: the server brings both over the wire. Nothing here knows the
//! stack, so nothing here can touch traffic.

mod chain;
mod charts;
mod event;
mod events;
mod form;
mod groups;
mod login;
mod overview;
mod page;
mod reviews;
mod session;
mod state;
mod top;

use crate::audit::Trail;
use crate::clock::Moment;
use crate::diagnostic::Diagnostic;
use crate::limits::CONSOLE_ANSWERS_MAX;
use crate::policy::Policy;
use crate::search::{Asked, Library, Question, Snapshot};
use crate::ship::Board;
use crate::upstream::BackendNow;
use chain::Chain;
use form::Form;
use http::{Method, StatusCode};
use login::{Denied, Login};
use page::Page;
use reviews::{Review, Reviews};
use session::{COOKIE, Session, Sessions};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The file of marks and notes, in the folder of the trail.
const REVIEWS_FILE: &str = "reviews.ndjson";
/// The time looked at where nothing else is asked for.
const SINCE: &str = "24h";
/// The word for all time.
const ALL: &str = "all";
/// No script and no style but our own, nothing from elsewhere, in nobody's frame.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                              form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A request as the console needs it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The query without its question mark.
    pub query: String,
    /// The values of `Cookie`.
    pub cookies: String,
    /// `Host`, `Origin` and `Sec-Fetch-Site`, where they were sent.
    pub host: Option<String>,
    /// `Origin`.
    pub origin: Option<String>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<String>,
    /// Where it came from.
    pub address: IpAddr,
    /// The form of a POST.
    pub body: String,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// Headers, beside the length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// The console of one gateway.
pub struct Console {
    library: Library,
    reviews: Reviews,
    sessions: Sessions,
    trail: Trail,
    receivers: Board,
    chain: Chain,
    answering: AtomicUsize,
    /// What follows the policy; replaced when that is.
    current: Mutex<Option<Arc<Current>>>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

/// Tells how the connections to the backends stand.
pub type BackendsNow = Box<dyn Fn() -> Vec<BackendNow> + Send + Sync>;

struct Current {
    policy: Arc<Policy>,
    login: Login,
    backends: BackendsNow,
}

/// A page asked for by somebody who is logged in.
struct Visit<'v> {
    request: &'v Request,
    form: Form,
    session: Session,
    policy: &'v Policy,
    backends: &'v BackendsNow,
    console: &'v Console,
}

/// Why a page cannot be shown.
enum Trouble {
    /// The question makes no sense: one sentence.
    Question(String),
    /// There is no such thing.
    Missing,
    /// The trail cannot be read.
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Console {
    /// The console over a trail and its index, for nobody yet: see [`Console::renew`]. `None` where the system gives no
    /// randomness.
    pub fn new(policy: &Policy, trail: Trail, receivers: Board) -> Option<Self> {
        let audit = &policy.audit;
        Some(Self {
            library: Library::new(&audit.directory, Some(&audit.index_directory)),
            reviews: Reviews::new(audit.directory.join(REVIEWS_FILE)),
            sessions: Sessions::new()?,
            trail,
            receivers,
            chain: Chain::new(audit),
            answering: AtomicUsize::new(0),
            current: Mutex::default(),
        })
    }

    /// Checks who may use the console of a policy.
    ///
    /// # Errors
    /// All that is wrong with its password and group files.
    pub fn check(policy: &Policy) -> Result<(), Vec<Diagnostic>> {
        policy.admin.as_ref().and_then(|admin| admin.console.clone()).map_or(Ok(()), |settings| Login::new(settings).map(drop))
    }

    /// Checks now and then whether the trail is whole, until [`Console::stop`]. Takes a thread.
    pub fn watch_chain(&self) {
        self.chain.run();
    }

    /// Ends [`Console::watch_chain`].
    pub fn stop(&self) {
        self.chain.stop();
    }

    /// Follows a policy, whose backends' connections `backends` tells. Sessions go on for those who may still be here.
    ///
    /// # Errors
    /// As [`Console::check`]; then nothing has changed.
    pub fn renew(&self, policy: &Arc<Policy>, backends: BackendsNow) -> Result<(), Vec<Diagnostic>> {
        let settings = policy.admin.as_ref().and_then(|admin| admin.console.clone());
        let fresh = settings.map(Login::new).transpose()?.map(|login| Arc::new(Current { policy: Arc::clone(policy), login, backends }));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Answers a request. Takes as long as reading the trail or checking a password takes: not for a runtime's thread.
    pub fn answer(&self, request: &Request) -> Response {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(current) = current else { return plain(StatusCode::NOT_FOUND, "not found\n") };
        if let Some(asset) = page::asset(&request.method, &request.path) {
            return asset;
        }
        let changes = request.method == Method::POST;
        if !changes && request.method != Method::GET && request.method != Method::HEAD {
            return with(plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"), "allow", "GET, HEAD, POST");
        }
        // SameSite keeps the cookie from other sites' requests; this keeps out what a browser without it would send.
        if changes && !same_origin(request) {
            return plain(StatusCode::FORBIDDEN, "this form was sent by another site\n");
        }
        if request.path == "/login" {
            return self.login(&current, request);
        }
        let cookie = cookie(request);
        let session = self.sessions.find(cookie);
        let Some(session) = session.filter(|own| current.login.still_allows(&own.user, &own.fingerprint, request.address)) else {
            self.sessions.close(cookie);
            return to_login(request);
        };
        if self.answering.fetch_add(1, Relaxed) >= CONSOLE_ANSWERS_MAX {
            self.answering.fetch_sub(1, Relaxed);
            return with(plain(StatusCode::SERVICE_UNAVAILABLE, "too many questions at once\n"), "retry-after", "1");
        }
        let form = Form::parse(if changes { &request.body } else { &request.query });
        let visit = Visit { request, form, session, policy: &current.policy, backends: &current.backends, console: self };
        let response = if changes { visit.change() } else { visit.page() };
        self.answering.fetch_sub(1, Relaxed);
        response
    }

    fn login(&self, current: &Current, request: &Request) -> Response {
        let now = Moment::now().unix_micros / 1_000_000;
        let form = Form::parse(if request.method == Method::POST { &request.body } else { &request.query });
        let next = own_path(form.get("next"));
        let again = |status, what: &str| html(status, page::login(&self.sessions.form_token(now), next, form.get("user"), what));
        if request.method != Method::POST {
            return again(StatusCode::OK, "");
        }
        if !self.sessions.is_form_token(form.get("token"), now) {
            return again(StatusCode::FORBIDDEN, "This form is too old. Please try again.");
        }
        let user = form.get("user");
        let checked = current.login.check(user, form.get("password"), request.address);
        let opened = checked.map(|fingerprint| self.sessions.open(user, fingerprint));
        match opened {
            Ok(Some(value)) => {
                tracing::info!(user, address = %request.address, "logged in to the console");
                with(see_other(next), "set-cookie", &format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict"))
            }
            Ok(None) | Err(Denied::Busy) => again(StatusCode::SERVICE_UNAVAILABLE, "Too many people log in just now. Please try again."),
            Err(Denied::Wrong) => {
                tracing::warn!(address = %request.address, "a login to the console failed");
                again(StatusCode::FORBIDDEN, "Name or password is wrong, or this person may not use the console.")
            }
            Err(Denied::Wait(seconds)) => {
                let what = format!("Too many wrong passwords. Please wait {seconds} seconds.");
                with(again(StatusCode::TOO_MANY_REQUESTS, &what), "retry-after", &seconds.to_string())
            }
        }
    }
}

impl Visit<'_> {
    fn page(&self) -> Response {
        let page = match self.request.path.as_str() {
            "/" => overview::page(self),
            "/events" => events::page(self),
            "/groups" => groups::page(self),
            "/top" => top::page(self),
            "/state" => state::page(self),
            path => match path.strip_prefix("/event/") {
                Some(id) => event::page(self, id),
                None => Err(Trouble::Missing),
            },
        };
        self.finish(page)
    }

    fn finish(&self, page: Result<Page, Trouble>) -> Response {
        match page {
            Ok(page) => html(StatusCode::OK, page::whole(self, &page)),
            Err(Trouble::Question(what)) => html(StatusCode::BAD_REQUEST, page::whole(self, &page::trouble("This cannot be asked", &what))),
            Err(Trouble::Missing) => {
                let page = page::trouble("Not found", "There is no such page, or no such event in the trail any more.");
                html(StatusCode::NOT_FOUND, page::whole(self, &page))
            }
            Err(Trouble::Io(error)) => {
                tracing::error!(%error, "the console cannot read the trail");
                let page = page::trouble("The trail cannot be read", &error.to_string());
                html(StatusCode::INTERNAL_SERVER_ERROR, page::whole(self, &page))
            }
        }
    }

    /// What forms change: marks, notes, and whether one is logged in.
    fn change(&self) -> Response {
        let ours = subtle::ConstantTimeEq::ct_eq(self.form.get("token").as_bytes(), self.session.token.as_bytes());
        if !bool::from(ours) {
            return plain(StatusCode::FORBIDDEN, "this form is not of this session\n");
        }
        match self.request.path.as_str() {
            "/logout" => {
                self.console.sessions.close(cookie(self.request));
                tracing::info!(user = self.session.user, "logged out of the console");
                with(see_other("/login"), "set-cookie", &format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"))
            }
            "/review" => self.review(),
            "/verify" => {
                tracing::info!(user = self.session.user, "asked for a check of the whole audit trail");
                self.console.chain.want();
                see_other("/state#chain")
            }
            _ => plain(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn review(&self) -> Response {
        let group = self.form.get("group");
        if group.len() != 16 || !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return plain(StatusCode::BAD_REQUEST, "this is no group\n");
        }
        let review = Review {
            group: group.to_owned(),
            reviewed: self.form.get("reviewed") == "yes",
            note: self.form.get("note").trim().to_owned(),
            user: self.session.user.clone(),
            time: crate::clock::rfc3339(Moment::now().unix_micros),
        };
        match self.console.reviews.add(&review) {
            Ok(()) => see_other(own_path(self.form.get("next"))),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => plain(StatusCode::BAD_REQUEST, &format!("{error}\n")),
            Err(error) => self.finish(Err(error.into())),
        }
    }

    /// The question in the address, with the last day where it names no time, and as it is understood.
    fn asked(&self) -> Result<(Asked, Question), Trouble> {
        let mut asked = self.form.asked();
        if asked.since.is_empty() {
            asked.since = SINCE.into();
        }
        let mut meant = asked.clone();
        if meant.since == ALL {
            meant.since.clear();
        }
        let question = meant.question(Moment::now().unix_micros).map_err(Trouble::Question)?;
        Ok((asked, question))
    }

    fn snapshot(&self) -> Result<Snapshot, Trouble> {
        Ok(self.console.library.snapshot()?)
    }
}

/// Whether a form was sent by a page of ours.
fn same_origin(request: &Request) -> bool {
    if let Some(site) = &request.fetch_site {
        return site == "same-origin";
    }
    match (&request.origin, &request.host) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, own)| own == host),
        // No browser of today: the token in the form decides.
        (None, _) => true,
        _ => false,
    }
}

fn cookie(request: &Request) -> &str {
    let named = |part: &str| part.trim().split_once('=').is_some_and(|(name, _)| name == COOKIE);
    request.cookies.split(';').find(|part| named(part)).and_then(|part| part.trim().split_once('=')).map_or("", |(_, value)| value)
}

/// A path of ours to go on to; the first page for anything else.
fn own_path(path: &str) -> &str {
    let own = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n']) && path.is_ascii();
    if own && path.len() < 4_096 { path } else { "/" }
}

fn to_login(request: &Request) -> Response {
    let mut to = String::from("/login");
    if request.method == Method::GET && request.path != "/" {
        let mark = if request.query.is_empty() { "" } else { "?" };
        let mut query = String::new();
        form::push(&mut query, "next", own_path(&format!("{}{mark}{}", request.path, request.query)));
        to = format!("{to}?{query}");
    }
    see_other(&to)
}

fn see_other(to: &str) -> Response {
    with(plain(StatusCode::SEE_OTHER, ""), "location", to)
}

fn with(mut response: Response, name: &'static str, value: &str) -> Response {
    response.headers.push((name, value.to_owned()));
    response
}

fn plain(status: StatusCode, text: &str) -> Response {
    respond(status, "text/plain; charset=utf-8", text.to_owned())
}

fn html(status: StatusCode, markup: maud::Markup) -> Response {
    respond(status, "text/html; charset=utf-8", markup.into_string())
}

fn respond(status: StatusCode, kind: &str, body: String) -> Response {
    let headers = [
        ("content-type", kind),
        ("content-security-policy", CONTENT_POLICY),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    ];
    Response { status, headers: headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect(), body }
}
