//! Layer 1, Basic auth: who it is, and whether they may be here.

mod credentials;
mod cross_site;
mod decide;
mod files;
mod headers;
mod pool;
mod proven;
mod stream;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use files::FileChange;

use self::credentials::{Credentials, Found};
use self::files::{Content, Store, Stores};
use self::pool::{Check, Pool};
use self::proven::{Proven, Prover};
use crate::audit::Record;
use crate::diagnostic::Diagnostic;
use crate::evidence::Caller;
use crate::head::{Headers, WWW_AUTHENTICATE};
use crate::identity::{Backoff, Hash, User};
use crate::limits::PROVEN_CREDENTIALS_LIFETIME;
use crate::message::{Body, Request, Response};
use crate::policy::require::Asked;
use crate::policy::{AuthSettings, Map, Policy};
use crate::refusal::Refusal;
use http::StatusCode;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// What unknown users' passwords are checked against where the file is empty: bcrypt of cost 12, of nobody's password.
const DUMMY: &str = "$2y$12$uUbOtXyfRTGhp0ljW8jGKuHJHKtqWfXmQ4PyOlvZBNmqDDYDs1vQi";

/// What lives on when the policy is replaced: counters, proofs, threads.
struct Keeper {
    backoff: Backoff,
    prover: Prover,
    proven: Proven,
    pool: Pool,
    dummy: Arc<Hash>,
}

impl Keeper {
    fn new() -> Result<Self, String> {
        Ok(Self {
            backoff: Backoff::new(),
            prover: Prover::new().map_err(|e| e.to_string())?,
            proven: Proven::new(PROVEN_CREDENTIALS_LIFETIME),
            pool: Pool::new().map_err(|e| e.to_string())?,
            dummy: Arc::new(Hash::parse(DUMMY).map_err(|e| e.to_string())?),
        })
    }
}

/// Layer 1: shared by all runtime threads.
pub struct BasicAuth {
    stores: Stores,
    keeper: Arc<Keeper>,
}

/// A login that fitted.
struct Login {
    user: User,
    content: Arc<Content>,
}

impl BasicAuth {
    /// The layer of a policy, with warnings: reads all users and group files.
    ///
    /// # Errors
    /// Everything that is wrong with the files, warnings among it; or no randomness or threads.
    pub fn new(policy: &Policy) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (stores, warnings) = Stores::load(policy)?;
        let keeper = Keeper::new().map_err(|why| {
            let help = "free some memory, processes or threads";
            vec![Diagnostic::file(&policy.path, format!("passwords cannot be checked: {why}"), help)]
        })?;
        Ok((Self { stores, keeper: Arc::new(keeper) }, warnings))
    }

    /// The same for a policy that replaces the one of `previous`: back-off, proven credentials and threads go on.
    ///
    /// # Errors
    /// Everything that is wrong with the files, warnings among it.
    pub fn following(policy: &Policy, previous: &Self) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (mut stores, warnings) = Stores::load(policy)?;
        stores.share(&previous.stores);
        Ok((Self { stores, keeper: Arc::clone(&previous.keeper) }, warnings))
    }

    /// Lets a request on, with what the backend may know of its caller in the headers. `address` is the client's, after
    /// trusted proxies are believed.
    ///
    /// # Errors
    /// The refusals of layer 1.
    pub async fn admit(&self, map: &Map, request: &mut Request, address: IpAddr, record: &mut Record) -> Result<Caller, Refusal> {
        headers::remove_incoming(&mut request.headers);
        let auth = &map.auth;
        let address = address.to_canonical();
        let local = address.is_loopback() || address == request.peer.local.ip().to_canonical();
        let preflight = auth.allow_preflight && cross_site::is_preflight(request);
        if auth.refuse_cross_site && !preflight && cross_site::is_foreign(request, &auth.cross_site_allow) {
            return Err(Refusal::CrossSite);
        }
        let asked = Asked { address, local, user: None, groups: &[] };
        let caller = match decide::without_user(&auth.require, &asked) {
            Some(false) => return Err(Refusal::AddressNotAllowed),
            Some(true) => anonymous(address, local),
            None if preflight => anonymous(address, local),
            None => self.login(auth, &request.headers, address, local, record).await?,
        };
        headers::set_outgoing(&mut request.headers, &caller, &auth.authorization);
        Ok(caller)
    }

    /// Lets a response out.
    ///
    /// # Errors
    /// [`Refusal::BackendLoginConflict`]: the backend asks for a Basic login of its own, and the client's one
    /// `Authorization` header is ours.
    pub fn release(&self, _map: &Map, caller: &Caller, response: &mut Response, _record: &mut Record) -> Result<(), Refusal> {
        let challenged = response.status == StatusCode::UNAUTHORIZED && caller.consumed;
        if challenged && headers::has_basic_challenge(response.headers.get_all(&WWW_AUTHENTICATE)) {
            return Err(Refusal::BackendLoginConflict);
        }
        Ok(())
    }

    /// The hash of a password that is to be somebody's, made where passwords are checked and within the same bounds.
    ///
    /// # Errors
    /// [`Refusal::HashQueueFull`]; [`Refusal::Internal`] for a password that cannot be hashed, which the caller looks for before.
    pub async fn new_hash(&self, password: Vec<u8>, address: IpAddr) -> Result<String, Refusal> {
        let made = self.keeper.pool.make(password, address).await.map_err(|_| Refusal::HashQueueFull)?;
        made.map_err(|_| Refusal::Internal)
    }

    /// Looks at the files; to be called every [`crate::limits::AUTH_FILES_POLL_INTERVAL`], not on a runtime thread that
    /// must not wait for a disk. Each change, and each broken file, is told once; a broken file keeps the old content.
    pub fn reload_files(&self) -> Vec<FileChange> {
        self.stores.iter().filter_map(|store| store.poll()).collect()
    }

    /// Whether a tunnel or stream of this caller may go on: the user is still there with the same password, and `require`
    /// still lets them in.
    pub fn still_allowed(&self, map: &Map, caller: &Caller) -> bool {
        let asked = Asked { address: caller.address, local: caller.local, user: None, groups: &[] };
        let Some(name) = &caller.user else {
            return decide::without_user(&map.auth.require, &asked) == Some(true);
        };
        let Some(content) = self.stores.of(&map.auth).map(|store| store.content()) else { return false };
        let groups = content.groups.of(name);
        let asked = Asked { user: Some(name), groups: &groups, ..asked };
        content.users.get(name).is_some_and(|user| line_mark(user) == caller.line) && map.auth.require.allows(&asked)
    }

    /// A response body that is cut soon after `still_allowed` says no. What is whole already, or nobody's, stays as it is.
    pub fn hold(&self, caller: &Caller, body: Body, still_allowed: impl Fn() -> bool + Unpin + Send + 'static) -> Body {
        if caller.user.is_none() || body.is_in_memory() {
            return body;
        }
        Body::boxed(stream::WhileAllowed::new(body, still_allowed))
    }

    async fn login(
        &self,
        auth: &AuthSettings,
        headers: &Headers,
        address: IpAddr,
        local: bool,
        record: &mut Record,
    ) -> Result<Caller, Refusal> {
        let credentials = match credentials::read(headers) {
            Found::Basic(credentials) => credentials,
            Found::Missing => return Err(self.stranger(auth, address, Refusal::CredentialsMissing)),
            Found::Malformed => {
                record.auth.result = "malformed";
                return Err(self.stranger(auth, address, Refusal::CredentialsMalformed));
            }
        };
        // A policy that asks for users without a file does not load; were it ever asked, nobody is let in.
        let store = self.stores.of(auth).ok_or(Refusal::Internal)?;
        let login = self.prove(auth, store, &credentials, address, record).await?;
        let name = &login.user.name;
        let groups = login.content.groups.of(name);
        record.auth.groups = groups.to_vec();
        if auth.require.allows(&Asked { address, local, user: Some(name), groups: &groups }) {
            let line = line_mark(&login.user);
            Ok(Caller { user: Some(Arc::clone(name)), groups, consumed: true, address, local, line })
        } else {
            Err(if auth.challenge_forbidden { Refusal::NotAllowedChallenge } else { Refusal::NotAllowed })
        }
    }

    async fn prove(
        &self,
        auth: &AuthSettings,
        store: &Store,
        credentials: &Credentials,
        address: IpAddr,
        record: &mut Record,
    ) -> Result<Login, Refusal> {
        let Keeper { backoff, prover, proven, pool, dummy } = &*self.keeper;
        let content = store.content();
        let user = credentials.name().and_then(|name| content.users.get(name)).cloned();
        record.auth.user = Some(String::from_utf8_lossy(credentials.user()).into_owned());
        record.auth.known = user.is_some();
        let proof = prover.proof(credentials.user(), credentials.password(), user.as_ref().map_or(&[0; 32], |u| &u.fingerprint));
        let now = Instant::now();
        // Looked up before any counter: what is proven is never refused, whoever guesses at this user.
        if let Some(user) = user.as_ref().filter(|_| proven.contains(&proof, now)) {
            record.auth.result = "cached";
            return Ok(Login { user: user.clone(), content });
        }
        if let Some(retry_after_seconds) = backoff.held(credentials.user(), address, now) {
            record.auth.result = "backoff";
            return Err(Refusal::LoginBackoff { retry_after_seconds });
        }
        let check = Check {
            proof,
            password: credentials.password().to_vec(),
            hash: user.as_ref().map(|user| Arc::clone(&user.hash)),
            kinds: if content.users.is_empty() { vec![Arc::clone(dummy)] } else { content.users.kinds().to_vec() },
            delay: backoff.delay(credentials.user(), now),
        };
        let verdict = pool.check(check, address).await.map_err(|_| {
            record.auth.result = "queue_full";
            Refusal::HashQueueFull
        })?;
        record.auth.hash_micros = Some(u64::try_from(now.elapsed().as_micros()).unwrap_or(u64::MAX));
        let now = Instant::now();
        match user.filter(|_| verdict.fits) {
            Some(user) => {
                record.auth.result = "proven";
                proven.insert(proof, now);
                backoff.succeeded(credentials.user(), address);
                Ok(Login { user, content })
            }
            None => {
                record.auth.result = if record.auth.known { "wrong" } else { "unknown_user" };
                if verdict.leads {
                    backoff.failed(credentials.user(), address, auth.failures_before_backoff, auth.backoff_max, now);
                }
                Err(self.stranger(auth, address, Refusal::CredentialsWrong))
            }
        }
    }

    /// Counts a request that gets a challenge; over the rate it gets 429 instead.
    fn stranger(&self, auth: &AuthSettings, address: IpAddr, refusal: Refusal) -> Refusal {
        match self.keeper.backoff.stranger(address, auth.unauthenticated_per_minute, Instant::now()) {
            Ok(()) => refusal,
            Err(retry_after_seconds) => Refusal::UnauthenticatedFlood { retry_after_seconds },
        }
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicAuth")
    }
}

fn anonymous(address: IpAddr, local: bool) -> Caller {
    Caller { user: None, groups: Arc::from(Vec::new()), consumed: false, address, local, line: 0 }
}

/// The start of a user's fingerprint: enough to see that their line has changed.
fn line_mark(user: &User) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&user.fingerprint[..8]);
    u64::from_le_bytes(bytes)
}
