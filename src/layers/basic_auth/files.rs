//! The users and group files in use, re-read when they change.

use crate::diagnostic::Diagnostic;
use crate::identity::{Groups, Users, groups, htpasswd};
use crate::policy::{AuthSettings, Map, Policy, Require};
use arc_swap::ArcSwap;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What both files say at one time.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) users: Users,
    pub(super) groups: Groups,
}

/// What tells that a file has changed; `None` where it cannot be looked at.
type Stamp = Option<(u64, u64, i64, i64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    std::fs::metadata(path).ok().map(|m| (m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()))
}

/// What a look at the files found.
#[derive(Clone, Debug)]
pub enum FileChange {
    /// New content is in use.
    Changed {
        /// The users file.
        users: PathBuf,
        /// How many users it has.
        count: usize,
        /// Its warnings.
        warnings: Vec<Diagnostic>,
    },
    /// The new content is broken; the old stays in use.
    Broken {
        /// The users file of the pair.
        users: PathBuf,
        /// All that is wrong.
        diagnostics: Vec<Diagnostic>,
    },
}

/// One users file with its group file.
pub(super) struct Store {
    users: PathBuf,
    groups: Option<PathBuf>,
    allow_des: bool,
    content: ArcSwap<Content>,
    seen: Mutex<(Stamp, Stamp)>,
}

impl Store {
    fn load(users: &Path, groups: Option<&Path>, allow_des: bool) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let seen = (stamp(users), groups.and_then(stamp));
        let (content, warnings) = read(users, groups, allow_des)?;
        let content = ArcSwap::from_pointee(content);
        Ok((Self { users: users.into(), groups: groups.map(Into::into), allow_des, content, seen: Mutex::new(seen) }, warnings))
    }

    pub(super) fn content(&self) -> Arc<Content> {
        self.content.load_full()
    }

    fn serves(&self, settings: &AuthSettings) -> bool {
        // As bytes: comparing paths part by part costs more than the rest of a request's look-up.
        let same = |a: Option<&PathBuf>, b: Option<&PathBuf>| a.map(|p| p.as_os_str()) == b.map(|p| p.as_os_str());
        self.allow_des == settings.dangerously_allow_des
            && same(Some(&self.users), settings.users.as_ref())
            && same(self.groups.as_ref(), settings.groups.as_ref())
    }

    /// Looks whether the files changed, and takes them over when they are whole. Each change is told once.
    pub(super) fn poll(&self) -> Option<FileChange> {
        let groups = self.groups.as_deref();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (stamp(&self.users), groups.and_then(stamp));
        if *seen == now {
            return None;
        }
        let read = read(&self.users, groups, self.allow_des);
        if now != (stamp(&self.users), groups.and_then(stamp)) {
            // Still being written: the next look will see it whole.
            return None;
        }
        *seen = now;
        Some(match read {
            Ok((content, warnings)) => {
                let count = content.users.len();
                self.content.store(Arc::new(content));
                FileChange::Changed { users: self.users.clone(), count, warnings }
            }
            Err(diagnostics) => FileChange::Broken { users: self.users.clone(), diagnostics },
        })
    }
}

fn read(users: &Path, groups: Option<&Path>, allow_des: bool) -> Result<(Content, Vec<Diagnostic>), Vec<Diagnostic>> {
    let parsed_users = htpasswd::load(users, allow_des);
    let known = parsed_users.as_ref().ok().map(|(parsed, _)| (users, parsed));
    // Both files are read in any case: an administrator wants to hear of every mistake at once.
    let parsed_groups = groups.map_or_else(|| Ok(<(Groups, Vec<Diagnostic>)>::default()), |path| groups::load(path, known));
    match (parsed_users, parsed_groups) {
        (Ok((users, mut warnings)), Ok((groups, more))) => {
            warnings.extend(more);
            Ok((Content { users, groups }, warnings))
        }
        (users, groups) => Err(users.err().into_iter().chain(groups.err()).flatten().collect()),
    }
}

/// All pairs of files that a policy names, each once.
pub(super) struct Stores(Vec<Arc<Store>>);

impl Stores {
    /// Loads the files of all maps. The second value is warnings.
    ///
    /// # Errors
    /// All that is wrong with any of them.
    pub(super) fn load(policy: &Policy) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (mut stores, mut told, mut failed) = (Self(Vec::new()), Vec::new(), HashSet::new());
        for map in policy.sites.iter().flat_map(|site| site.every_map()) {
            let auth = &map.auth;
            let Some(users) = &auth.users else {
                if auth.require.names_users() {
                    let message = format!("{}: require names users or groups, but there is no users file", map.source);
                    told.push(Diagnostic::file(&policy.path, message, "write users = \"auth/htpasswd\" under [auth], the site or the map"));
                }
                continue;
            };
            let key = (users.clone(), auth.groups.clone(), auth.dangerously_allow_des);
            if stores.of(auth).is_none() && !failed.contains(&key) {
                match Store::load(users, auth.groups.as_deref(), auth.dangerously_allow_des) {
                    Ok((store, warnings)) => {
                        told.extend(warnings);
                        stores.0.push(Arc::new(store));
                    }
                    Err(mistakes) => {
                        told.extend(mistakes);
                        failed.insert(key);
                    }
                }
            }
            if let Some(store) = stores.of(auth) {
                missing_names(policy, map, &auth.require, &store.content(), &mut told);
            }
        }
        dedup(&mut told);
        if told.iter().any(Diagnostic::is_error) { Err(told) } else { Ok((stores, told)) }
    }

    /// Goes on with the stores that `previous` has for the same files, so that what began before a reload, a tunnel for
    /// instance, still hears of changes. Both read the same files: these have just been found good, and are the newer ones.
    pub(super) fn share(&mut self, previous: &Self) {
        for own in &mut self.0 {
            let same = |old: &&Arc<Store>| old.users == own.users && old.groups == own.groups && old.allow_des == own.allow_des;
            if let Some(old) = previous.0.iter().find(same) {
                let mut seen = old.seen.lock().unwrap_or_else(PoisonError::into_inner);
                *seen = *own.seen.lock().unwrap_or_else(PoisonError::into_inner);
                old.content.store(own.content());
                drop(seen);
                *own = Arc::clone(old);
            }
        }
    }

    /// The store of a map.
    pub(super) fn of(&self, settings: &AuthSettings) -> Option<&Arc<Store>> {
        self.0.iter().find(|store| store.serves(settings))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Store>> {
        self.0.iter()
    }
}

/// Maps inherit their settings, so the same thing is often found several times.
fn dedup(told: &mut Vec<Diagnostic>) {
    let mut seen = HashSet::new();
    told.retain(|d| seen.insert(d.to_string()));
}

/// Warns of users and groups that a `require` names and the files do not: nobody can be them.
fn missing_names(policy: &Policy, map: &Map, require: &Require, content: &Content, told: &mut Vec<Diagnostic>) {
    let mut warn = |what: &str, name: &str| {
        let message = format!("{}: require names the {what} {name}, which is in no file", map.source);
        told.push(Diagnostic::file(&policy.path, message, "correct the name, or add it to the file").warning());
    };
    match require {
        Require::Users(names) => names.iter().filter(|n| content.users.get(n).is_none()).for_each(|n| warn("user", n)),
        Require::Groups(names) => names.iter().filter(|n| !content.groups.names().contains(n)).for_each(|n| warn("group", n)),
        Require::Any(list) | Require::All(list) | Require::None(list) => {
            list.iter().for_each(|r| missing_names(policy, map, r, content, told));
        }
        Require::AllGranted | Require::AllDenied | Require::ValidUser | Require::Ip(_) | Require::Local => {}
    }
}
