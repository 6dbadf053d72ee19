//! Whether the trail is whole: checked beside everything else, from where the last check ended, and told on the page.

use crate::audit::read;
use crate::audit::verify::{Bad, Evidence, Point, Sources, verify_from};
use crate::clock::{Moment, rfc3339};
use crate::limits::{CHAIN_CHECK_INTERVAL, CHAIN_CHECK_REST};
use crate::policy::Audit;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Where the state folder keeps how far the trail was checked, so that a restart does not begin anew.
const FILE: &str = "checked.json";

/// How far the trail is known to be whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whole {
    /// Up to there.
    pub(super) point: Point,
    /// When that was checked, RFC 3339.
    pub(super) at: String,
    /// When all of it was checked from its first record, RFC 3339.
    pub(super) from_the_first_at: String,
}

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) whole: Option<Whole>,
    /// The first fault, and when it was found.
    pub(super) bad: Option<(Bad, String)>,
    /// Why the last check came to no end.
    pub(super) error: Option<String>,
    /// Bytes read, and about how many there are, while a check goes on.
    pub(super) running: Option<(u64, u64)>,
}

#[derive(Default)]
struct State {
    found: Found,
    /// Somebody wants all of it checked.
    wanted: bool,
    stop: bool,
}

/// The check of one trail.
pub(super) struct Chain {
    directory: PathBuf,
    audit: Audit,
    state: Mutex<State>,
    wake: Condvar,
}

impl Chain {
    /// Knows what an earlier run of the gateway found whole.
    pub(super) fn new(audit: &Audit) -> Self {
        let whole = fs::read(audit.state_directory.join(FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let state = State { found: Found { whole, ..Found::default() }, ..State::default() };
        Self { directory: audit.directory.clone(), audit: audit.clone(), state: Mutex::new(state), wake: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now.
    pub(super) fn found(&self) -> Found {
        self.lock().found.clone()
    }

    /// Asks for a check of all of it.
    pub(super) fn want(&self) {
        self.lock().wanted = true;
        self.wake.notify_all();
    }

    /// Ends [`Self::run`].
    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.wake.notify_all();
    }

    /// Checks what is new now and then, and everything when somebody asks for it, until it is stopped. Takes a thread, and of its
    /// time a part only.
    pub(super) fn run(&self) {
        loop {
            let mut state = self.lock();
            if state.stop {
                return;
            }
            let wanted = std::mem::take(&mut state.wanted);
            let known = state.found.whole.clone().filter(|_| !wanted);
            // A broken trail does not mend by itself: it is looked at again when somebody asks.
            let skip = state.found.bad.is_some() && !wanted;
            drop(state);
            if !skip {
                self.check(known);
            }
            let idle = |state: &mut State| !state.wanted && !state.stop;
            drop(self.wake.wait_timeout_while(self.lock(), CHAIN_CHECK_INTERVAL, idle));
        }
    }

    fn check(&self, known: Option<Whole>) {
        let outcome = self.look(known.as_ref());
        let now = rfc3339(Moment::now().unix_micros);
        let mut state = self.lock();
        state.found.running = None;
        match outcome {
            Ok(None) => {}
            Ok(Some(Ok(None))) => state.found.error = None,
            Ok(Some(Ok(Some(point)))) => {
                let from_the_first_at = known.map_or_else(|| now.clone(), |known| known.from_the_first_at);
                let whole = Whole { point, at: now, from_the_first_at };
                (state.found.bad, state.found.error) = (None, None);
                state.found.whole = Some(whole.clone());
                drop(state);
                if let Err(error) = keep(&self.audit.state_directory, &whole) {
                    tracing::warn!(%error, "how far the trail was checked cannot be kept: the next start checks it from its first record");
                }
            }
            Ok(Some(Err(bad))) => {
                tracing::error!(file = %bad.file.display(), line = bad.line, what = bad.what, "the audit trail is not whole");
                (state.found.bad, state.found.error) = (Some((bad, now)), None);
                // The next start looks at all of it.
                let _ = fs::remove_file(self.audit.state_directory.join(FILE));
            }
            Err(error) => {
                if state.found.error.is_none() {
                    tracing::warn!(%error, "whether the audit trail is whole cannot be checked");
                }
                state.found.error = Some(error.to_string());
            }
        }
    }

    /// `None` where it was stopped; else the fault, or how far all is well.
    fn look(&self, known: Option<&Whole>) -> io::Result<Option<Result<Option<Point>, Bad>>> {
        let audit = &self.audit;
        let sources = Sources::of(&audit.state_directory, audit.signing_key.as_deref(), audit.heads_file.as_deref());
        let evidence = match Evidence::read(&sources, known.is_none())? {
            Ok(evidence) => evidence,
            Err(bad) => return Ok(Some(Err(bad))),
        };
        let total = read::files(&self.directory)?.iter().filter_map(|path| read::size_hint(path).ok()).sum();
        if known.is_none() {
            self.lock().found.running = Some((0, total));
        }
        let mut began = Instant::now();
        let checked = verify_from(&self.directory, &evidence, known.map(|known| &known.point), |bytes| {
            let worked = began.elapsed();
            let mut state = self.lock();
            if let Some((done, _)) = &mut state.found.running {
                *done += bytes;
            }
            // Somebody may want all of it while a part is looked at; the round after this one is theirs.
            let stopped = |state: &mut State| !state.stop;
            let rest = worked.saturating_mul(CHAIN_CHECK_REST);
            let (state, _) = self.wake.wait_timeout_while(state, rest, stopped).unwrap_or_else(PoisonError::into_inner);
            began = Instant::now();
            !state.stop
        })?;
        Ok(checked.map(|(report, point)| report.bad.map_or(Ok(point), Err)))
    }
}

/// Writes it whole or not at all.
fn keep(state_directory: &Path, whole: &Whole) -> io::Result<()> {
    let (path, aside) = (state_directory.join(FILE), state_directory.join("checked.json.new"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(&serde_json::to_vec(whole).map_err(io::Error::other)?)?;
    drop(file);
    fs::rename(&aside, &path)
}
