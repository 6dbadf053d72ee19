//! The threads that hash passwords: few, apart from the runtimes, behind a bounded queue.

use super::proven::Proof;
use crate::identity::Hash;
use crate::identity::backoff::network;
use crate::identity::password::{self, HashError, NewScheme};
use crate::limits::{HASH_QUEUE_MAX, HASH_QUEUE_PER_ADDRESS_MAX};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A check to be made.
pub(super) struct Check {
    /// The proof that these credentials would be: requests with the same one share a hash.
    pub(super) proof: Proof,
    /// The password as sent.
    pub(super) password: Vec<u8>,
    /// The user's hash; `None` for an unknown user, who never fits.
    pub(super) hash: Option<Arc<Hash>>,
    /// One hash of each kind in the file: a failure takes the time of all of them, whoever was named.
    pub(super) kinds: Vec<Arc<Hash>>,
    /// How long the check is put off.
    pub(super) delay: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The password is the user's.
    pub(super) fits: bool,
    /// This request's check was the one that ran: failures are counted once per hash, not once per waiting request.
    pub(super) leads: bool,
}

/// The queue, or this address's share of it, is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

/// Where a new hash goes.
type Made = oneshot::Sender<Result<String, HashError>>;

/// What a thread is to do.
enum Work {
    /// Hold a password against hashes; those who wait are in [`State::waiting`].
    Check(Check),
    /// Make a hash of a password.
    Make(Vec<u8>, Made),
}

struct Job {
    work: Work,
    due: Instant,
    network: IpAddr,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Jobs waiting or running per address.
    shares: HashMap<IpAddr, usize>,
    /// Who waits for each check; the first one leads.
    waiting: HashMap<Proof, Vec<oneshot::Sender<Verdict>>>,
    closed: bool,
}

impl State {
    /// Whether somebody still waits for a job: nobody hashes for clients that have hung up.
    fn is_awaited(&self, job: &Job) -> bool {
        match &job.work {
            Work::Check(check) => self.waiting.get(&check.proof).is_some_and(|all| all.iter().any(|tell| !tell.is_closed())),
            Work::Make(_, tell) => !tell.is_closed(),
        }
    }

    /// Puts a job into the queue, where it and its address's share of it have room.
    fn enter(&mut self, work: Work, delay: Duration, network: IpAddr) -> Result<(), QueueFull> {
        let share = self.shares.get(&network).copied().unwrap_or(0);
        if self.jobs.len() >= HASH_QUEUE_MAX || share >= HASH_QUEUE_PER_ADDRESS_MAX {
            return Err(QueueFull);
        }
        self.shares.insert(network, share + 1);
        self.jobs.push_back(Job { work, due: Instant::now() + delay, network });
        Ok(())
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// What each check was held against, in the order of the checks.
    #[cfg(test)]
    paid: Mutex<Vec<Vec<(crate::identity::Scheme, u64)>>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pool; its threads end when it is dropped.
pub(super) struct Pool(Arc<Shared>);

impl Pool {
    /// A pool of half the cores, at least one thread.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn new() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads((cores / 2).max(1))
    }

    fn with_threads(count: usize) -> std::io::Result<Self> {
        let pool = Self(Arc::default());
        for number in 0..count {
            let shared = Arc::clone(&pool.0);
            std::thread::Builder::new().name(format!("hash-{number}")).spawn(move || work(&shared))?;
        }
        Ok(pool)
    }

    /// Checks a password, or waits for the same check already under way.
    ///
    /// # Errors
    /// Too many wait already, in all or from this address.
    pub(super) async fn check(&self, check: Check, address: IpAddr) -> Result<Verdict, QueueFull> {
        let (tell, told) = oneshot::channel();
        let network = network(address);
        {
            let mut state = self.0.lock();
            if let Some(others) = state.waiting.get_mut(&check.proof) {
                others.push(tell);
            } else {
                let (proof, delay) = (check.proof, check.delay);
                state.enter(Work::Check(check), delay, network)?;
                state.waiting.insert(proof, vec![tell]);
                self.0.wake.notify_one();
            }
        }
        // A worker always answers; should it be gone, nobody is let in.
        Ok(told.await.unwrap_or(Verdict { fits: false, leads: false }))
    }

    /// Makes a hash of a password that is to be somebody's.
    ///
    /// # Errors
    /// Too many wait already, in all or from this address.
    pub(super) async fn make(&self, password: Vec<u8>, address: IpAddr) -> Result<Result<String, HashError>, QueueFull> {
        let (tell, told) = oneshot::channel();
        self.0.lock().enter(Work::Make(password, tell), Duration::ZERO, network(address))?;
        self.0.wake.notify_one();
        Ok(told.await.unwrap_or(Err(HashError::Failed)))
    }

    /// What each check was held against so far.
    #[cfg(test)]
    pub(super) fn paid(&self) -> Vec<Vec<(crate::identity::Scheme, u64)>> {
        self.0.paid.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.wake.notify_all();
    }
}

fn work(shared: &Shared) {
    while let Some(job) = next(shared) {
        match job.work {
            Work::Check(check) => {
                let fits = catch_unwind(AssertUnwindSafe(|| check_one(shared, &check))).unwrap_or(false);
                let mut state = shared.lock();
                let waiting = state.waiting.remove(&check.proof).unwrap_or_default();
                give_back(&mut state, job.network);
                drop(state);
                // Who is still there leads: a client that hangs up must not take the counting of a failure with it.
                let mut leads = true;
                for tell in waiting {
                    leads &= tell.send(Verdict { fits, leads }).is_err();
                }
            }
            Work::Make(password, tell) => {
                let made = catch_unwind(AssertUnwindSafe(|| password::hash(&password, NewScheme::Bcrypt)));
                give_back(&mut shared.lock(), job.network);
                // Who has hung up meanwhile gets no account.
                let _ = tell.send(made.unwrap_or(Err(HashError::Failed)));
            }
        }
    }
}

#[cfg(not(test))]
fn check_one(_: &Shared, check: &Check) -> bool {
    fits(check, password::verify)
}

/// The same, writing down what was paid.
#[cfg(test)]
fn check_one(shared: &Shared, check: &Check) -> bool {
    let mut paid = Vec::new();
    let fits = fits(check, |password, hash| {
        paid.push((hash.scheme(), hash.cost_micros()));
        password::verify(password, hash)
    });
    shared.paid.lock().unwrap_or_else(PoisonError::into_inner).push(paid);
    fits
}

/// The first job that is due, once there is one; `None` when the pool closes.
fn next(shared: &Shared) -> Option<Job> {
    let mut state = shared.lock();
    loop {
        if state.closed {
            return None;
        }
        let now = Instant::now();
        if let Some(job) = state.jobs.iter().position(|job| job.due <= now).and_then(|place| state.jobs.remove(place)) {
            if state.is_awaited(&job) {
                return Some(job);
            }
            if let Work::Check(check) = &job.work {
                state.waiting.remove(&check.proof);
            }
            give_back(&mut state, job.network);
            continue;
        }
        let soonest = state.jobs.iter().map(|job| job.due).min();
        state = match soonest {
            None => shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(due) => shared.wake.wait_timeout(state, due - now).unwrap_or_else(PoisonError::into_inner).0,
        };
    }
}

fn give_back(state: &mut State, network: IpAddr) {
    if let Some(share) = state.shares.get_mut(&network) {
        *share -= 1;
        if *share == 0 {
            state.shares.remove(&network);
        }
    }
}

/// Failures take the time of every kind of hash in the file once, whether the user is known or not.
fn fits(check: &Check, mut verify: impl FnMut(&[u8], &Hash) -> bool) -> bool {
    let fits = check.hash.as_ref().is_some_and(|hash| verify(&check.password, hash));
    if !fits {
        let paid = |kind: &Hash| check.hash.as_ref().is_some_and(|hash| hash.costs_like(kind));
        for kind in check.kinds.iter().filter(|kind| !paid(kind)) {
            std::hint::black_box(verify(&check.password, kind));
        }
    }
    fits
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(proof: u8, password: &str, delay: Duration) -> Check {
        let hash = Arc::new(Hash::parse("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=").unwrap());
        Check { proof: [proof; 32], password: password.into(), kinds: vec![Arc::clone(&hash)], hash: Some(hash), delay }
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn the_same_check_runs_once_and_one_request_leads() {
        let pool = Pool::with_threads(1).unwrap();
        let wait = Duration::from_millis(50);
        let (a, b, c) = tokio::join!(
            pool.check(check(1, "password", wait), ip(1)),
            pool.check(check(1, "password", wait), ip(2)),
            pool.check(check(2, "wrong", Duration::ZERO), ip(2)),
        );
        assert_eq!([a, b, c], [(true, true), (true, false), (false, true)].map(|(fits, leads)| Ok(Verdict { fits, leads })));
        let state = pool.0.lock();
        assert!(state.jobs.is_empty() && state.shares.is_empty() && state.waiting.is_empty());
    }

    #[tokio::test]
    async fn a_request_that_hangs_up_does_not_take_the_failure_with_it() {
        let pool = Pool::with_threads(1).unwrap();
        let wait = Duration::from_millis(50);
        let mut first = Box::pin(pool.check(check(1, "wrong", wait), ip(1)));
        let mut second = Box::pin(pool.check(check(1, "wrong", wait), ip(1)));
        assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await, Ok(Verdict { fits: false, leads: true }));
    }

    #[tokio::test]
    async fn one_address_has_its_share_of_the_queue_and_no_more() {
        let pool = Pool::with_threads(1).unwrap();
        let later = Duration::from_secs(60);
        let mut held: Vec<_> = (0..HASH_QUEUE_PER_ADDRESS_MAX as u8).map(|i| Box::pin(pool.check(check(i, "x", later), ip(1)))).collect();
        for one in &mut held {
            assert!(futures_util::poll!(one).is_pending());
        }
        assert_eq!(pool.check(check(100, "x", Duration::ZERO), ip(1)).await, Err(QueueFull));
        assert!(pool.check(check(101, "password", Duration::ZERO), ip(2)).await.unwrap().fits);
    }

    #[tokio::test]
    async fn the_queue_is_bounded_over_all_addresses() {
        let pool = Pool::with_threads(1).unwrap();
        let mut held = Vec::new();
        for i in 0..HASH_QUEUE_MAX {
            let mut one = check(0, "x", Duration::from_secs(60));
            one.proof[..8].copy_from_slice(&i.to_le_bytes());
            held.push(Box::pin(pool.check(one, IpAddr::from([10, 0, (i >> 8) as u8, i as u8]))));
        }
        for one in &mut held {
            assert!(futures_util::poll!(one).is_pending());
        }
        assert_eq!(pool.check(check(255, "password", Duration::ZERO), ip(1)).await, Err(QueueFull));
    }

    #[tokio::test]
    async fn a_new_hash_is_made_in_the_same_queue_with_the_same_shares() {
        let pool = Pool::with_threads(1).unwrap();
        let later = Duration::from_secs(60);
        let mut held: Vec<_> = (0..HASH_QUEUE_PER_ADDRESS_MAX as u8).map(|i| Box::pin(pool.check(check(i, "x", later), ip(1)))).collect();
        for one in &mut held {
            assert!(futures_util::poll!(one).is_pending());
        }
        assert_eq!(pool.make(b"correct horse".to_vec(), ip(1)).await, Err(QueueFull));
        let made = pool.make(b"correct horse".to_vec(), ip(2)).await.unwrap().unwrap();
        let hash = Hash::parse(&made).unwrap();
        assert!(hash.scheme() == crate::identity::Scheme::Bcrypt && password::verify(b"correct horse", &hash));
        assert_eq!(pool.make(b"a\tb".to_vec(), ip(2)).await, Ok(Err(HashError::Control)));
        assert_eq!(pool.0.lock().shares.len(), 1, "only what waits has a share");
    }

    #[tokio::test]
    async fn nobody_hashes_for_a_client_that_hung_up() {
        let pool = Pool::with_threads(1).unwrap();
        let mut gone = Box::pin(pool.check(check(1, "password", Duration::from_millis(30)), ip(1)));
        assert!(futures_util::poll!(&mut gone).is_pending());
        drop(gone);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let state = pool.0.lock();
        assert!(state.jobs.is_empty() && state.shares.is_empty() && state.waiting.is_empty());
    }
}
