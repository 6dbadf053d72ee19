//! Who may use the console: the people of a password file that its `require` lets in, slowed down when they guess.

use crate::diagnostic::Diagnostic;
use crate::identity::{Backoff, Groups, Hash, Users, groups, htpasswd, password};
use crate::limits::{CONSOLE_CHECKS_MAX, LOGIN_BACKOFF_MAX, LOGIN_FAILURES_BEFORE_BACKOFF, PASSWORD_BYTES_MAX, USER_NAME_BYTES_MAX};
use crate::policy::ConsoleSettings;
use crate::policy::require::Asked;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Why nobody is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// A wrong name or password, or a person who may not use the console: a guesser is not told which.
    Wrong,
    /// Too many guesses: seconds to wait.
    Wait(u64),
    /// Too many passwords are being checked at once.
    Busy,
}

/// Password and group files as they were last read.
struct Content {
    users: Users,
    groups: Groups,
    stamps: [Option<(u64, u64, i64, i64)>; 2],
}

/// The door of the console.
pub(super) struct Login {
    settings: ConsoleSettings,
    content: Mutex<Arc<Content>>,
    backoff: Backoff,
    checks: AtomicUsize,
}

fn stamp(path: &Path) -> Option<(u64, u64, i64, i64)> {
    std::fs::metadata(path).ok().map(|m| (m.ino(), m.size(), m.mtime(), m.mtime_nsec()))
}

fn read(settings: &ConsoleSettings) -> Result<Content, Vec<Diagnostic>> {
    let stamps = [stamp(&settings.users), settings.groups.as_deref().and_then(stamp)];
    let (users, _) = htpasswd::load(&settings.users, settings.dangerously_allow_des)?;
    let groups = match &settings.groups {
        Some(path) => groups::load(path, Some((&settings.users, &users)))?.0,
        None => Groups::default(),
    };
    Ok(Content { users, groups, stamps })
}

impl Login {
    /// Reads the files.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(super) fn new(settings: ConsoleSettings) -> Result<Self, Vec<Diagnostic>> {
        let content = Mutex::new(Arc::new(read(&settings)?));
        Ok(Self { settings, content, backoff: Backoff::new(), checks: AtomicUsize::new(0) })
    }

    /// The files' content, read anew where they changed; a broken file leaves the old content in force.
    fn content(&self) -> Arc<Content> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = [stamp(&self.settings.users), self.settings.groups.as_deref().and_then(stamp)];
        if stamps != content.stamps {
            match read(&self.settings) {
                Ok(fresh) => *content = Arc::new(fresh),
                Err(mistakes) => {
                    for mistake in mistakes {
                        tracing::error!("the console keeps the old password and group files:\n{mistake}");
                    }
                    // Told once, not at every request.
                    let old = &**content;
                    *content = Arc::new(Content { users: old.users.clone(), groups: old.groups.clone(), stamps });
                }
            }
        }
        Arc::clone(&content)
    }

    fn allows(&self, content: &Content, user: &str, address: IpAddr) -> bool {
        let groups = content.groups.of(user);
        self.settings.require.allows(&Asked { address, local: address.is_loopback(), user: Some(user), groups: &groups })
    }

    /// Whether somebody who logged in may still be here: still in the file, with the same password, and still allowed.
    pub(super) fn still_allows(&self, user: &str, fingerprint: &[u8; 32], address: IpAddr) -> bool {
        let content = self.content();
        content.users.get(user).is_some_and(|own| own.fingerprint == *fingerprint) && self.allows(&content, user, address)
    }

    /// Checks a name and a password; what to remember of the user. Takes as long as the password's hash.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(&self, user: &str, given: &str, address: IpAddr) -> Result<[u8; 32], Denied> {
        if user.len() > USER_NAME_BYTES_MAX || given.len() > PASSWORD_BYTES_MAX {
            return Err(Denied::Wrong);
        }
        let now = Instant::now();
        if let Some(seconds) = self.backoff.held(user.as_bytes(), address, now) {
            return Err(Denied::Wait(seconds));
        }
        // Guesses at ever other names are slowed as guesses at none.
        if let Some(seconds) = self.backoff.held(b"", address, now) {
            return Err(Denied::Wait(seconds));
        }
        if self.checks.fetch_add(1, Relaxed) >= CONSOLE_CHECKS_MAX {
            self.checks.fetch_sub(1, Relaxed);
            return Err(Denied::Busy);
        }
        std::thread::sleep(self.backoff.delay(user.as_bytes(), now));
        let content = self.content();
        let found = content.users.get(user);
        // An unknown name takes as long as a known one.
        let hash: Option<&Hash> = found.map(|user| &*user.hash).or_else(|| content.users.kinds().first().map(|hash| &**hash));
        let fits = hash.is_some_and(|hash| password::verify(given.as_bytes(), hash));
        self.checks.fetch_sub(1, Relaxed);
        match found.filter(|_| fits && self.allows(&content, user, address)) {
            Some(found) => {
                self.backoff.succeeded(user.as_bytes(), address);
                self.backoff.succeeded(b"", address);
                Ok(found.fingerprint)
            }
            None => {
                let now = Instant::now();
                self.backoff.failed(user.as_bytes(), address, LOGIN_FAILURES_BEFORE_BACKOFF, LOGIN_BACKOFF_MAX, now);
                self.backoff.failed(b"", address, 4 * LOGIN_FAILURES_BEFORE_BACKOFF, LOGIN_BACKOFF_MAX, now);
                Err(Denied::Wrong)
            }
        }
    }
}
