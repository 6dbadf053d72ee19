//! People who asked for an account and wait for an answer: one line each in a file that the gateway and the command line share.
//!
//! The gateway adds lines, `portcullis auth approve` and `reject` turn them into decisions, and the gateway takes the decisions
//! out again once the audit trail has them. Every change is one atomic replacement under a lock.

use super::replace::replace;
use crate::clock;
use crate::limits::{ACCOUNT_QUEUE_BYTES_MAX, ACCOUNT_QUEUE_MAX};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file's name in the state folder.
const FILE: &str = "account-requests.ndjson";
/// Its permissions: it holds password hashes of people who have no account yet.
const MODE: u32 = 0o600;

/// One person who waits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRequest {
    /// The id of the event in which it was asked for, also shown to the person.
    pub id: String,
    /// When, RFC 3339.
    pub asked: String,
    /// From when on nobody can approve it any more, RFC 3339.
    pub expires: String,
    /// The site, by its first name.
    pub site: String,
    /// The user name that is wished for.
    pub user: String,
    /// Who the person says they are.
    pub name: String,
    /// What else they say; may be empty.
    pub message: String,
    /// Where they asked from.
    pub address: String,
    /// Their password's hash, as it will stand in the users file.
    pub hash: String,
}

impl std::fmt::Debug for AccountRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountRequest({} {})", self.id, self.user)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is an account now.
    Approved,
    /// It was turned down.
    Rejected,
    /// Nobody answered in time.
    Expired,
}

impl Answer {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

/// An answer, on its way into the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The request's id.
    pub id: String,
    /// What was decided.
    pub answer: Answer,
    /// When, RFC 3339.
    pub decided: String,
    /// The operator who called the command, as the system names them; empty for an expiry.
    pub by: String,
    /// The site.
    pub site: String,
    /// The user name.
    pub user: String,
    /// The groups that were joined.
    pub groups: Vec<String>,
}

impl Decision {
    /// A decision about a request.
    pub fn new(request: &AccountRequest, answer: Answer, by: &str, groups: &[String], now: u64) -> Self {
        let (id, site, user) = (request.id.clone(), request.site.clone(), request.user.clone());
        Self { id, answer, decided: clock::rfc3339(now), by: by.to_owned(), site, user, groups: groups.to_vec() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Line {
    Waiting(AccountRequest),
    Decided(Decision),
}

/// Whether a request was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It waits now.
    Waiting,
    /// As many wait already as may.
    Full,
}

type Stamp = Option<(u64, u64, i64, i64)>;

/// The file of requests.
#[derive(Debug)]
pub struct RequestQueue {
    path: PathBuf,
    /// The file as it was when it was last looked at for decisions, and when the next request expires.
    seen: Mutex<Option<(Stamp, u64)>>,
}

impl RequestQueue {
    /// The queue in a state folder; the file is made with the first request.
    pub fn new(state_directory: &Path) -> Self {
        Self { path: state_directory.join(FILE), seen: Mutex::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a request in, unless `waiting_max` wait on its site or the file is full; on the disk when this returns.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds what is no request.
    pub fn add(&self, request: &AccountRequest, waiting_max: usize, now: u64) -> io::Result<Added> {
        self.change(|lines| {
            expire(lines, now);
            let waiting = |line: &&Line| matches!(line, Line::Waiting(other) if other.site == request.site);
            if lines.iter().filter(waiting).count() >= waiting_max || lines.len() >= ACCOUNT_QUEUE_MAX {
                return Added::Full;
            }
            lines.push(Line::Waiting(request.clone()));
            if written(lines).map_or(usize::MAX, |text| text.len()) > ACCOUNT_QUEUE_BYTES_MAX {
                lines.pop();
                return Added::Full;
            }
            Added::Waiting
        })
    }

    /// Those who wait, the longest first.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub fn waiting(&self, now: u64) -> io::Result<Vec<AccountRequest>> {
        let fresh = |line| match line {
            Line::Waiting(request) if !is_expired(&request, now) => Some(request),
            _ => None,
        };
        Ok(self.read()?.into_iter().filter_map(fresh).collect())
    }

    /// Puts a decision in a request's place; false where the request is no longer there.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub fn decide(&self, decision: &Decision) -> io::Result<bool> {
        self.change(|lines| {
            let place = lines.iter_mut().find(|line| matches!(line, Line::Waiting(request) if request.id == decision.id));
            place.map(|line| *line = Line::Decided(decision.clone())).is_some()
        })
    }

    /// Tells every decision that was made since, expiries among them, and takes those out that were taken down. Only a changed
    /// file is read. A decision whose taking down is not certain is told again.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub fn settle(&self, now: u64, mut take_down: impl FnMut(&[Decision]) -> bool) -> io::Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.path);
        if stamp.is_none() || seen.is_some_and(|(known, due)| known == stamp && now < due) {
            return Ok(());
        }
        let lines = self.read().inspect_err(|_| *seen = Some((stamp, u64::MAX)))?;
        let due = |lines: &[Line]| lines.iter().map(|line| if let Line::Waiting(r) = line { expiry(r) } else { 0 }).min();
        let next = due(&lines).unwrap_or(u64::MAX);
        if next <= now {
            self.change(|lines| {
                expire(lines, now);
                let decided = |line: &Line| if let Line::Decided(decision) = line { Some(decision.clone()) } else { None };
                let decisions: Vec<_> = lines.iter().filter_map(decided).collect();
                if take_down(&decisions) {
                    lines.retain(|line| matches!(line, Line::Waiting(_)));
                }
            })?;
            // The next look sees what this one left.
            *seen = None;
        } else {
            *seen = Some((stamp, next));
        }
        Ok(())
    }

    fn read(&self) -> io::Result<Vec<Line>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => self.parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: cannot be read: {error}", self.path.display()))),
        }
    }

    fn parse(&self, text: &str) -> io::Result<Vec<Line>> {
        let line = |(at, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| {
                // Not the error's own words, which may quote the line.
                let what = format!("{}:{}:{}: this is no account request", self.path.display(), at + 1, error.column());
                io::Error::new(io::ErrorKind::InvalidData, what)
            })
        };
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(line).collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Line>) -> T) -> io::Result<T> {
        let mut wrong = None;
        let changed = replace(&self.path, Some(MODE), |text| {
            let made = self.parse(text).and_then(|mut lines| {
                let told = change(&mut lines);
                Ok((written(&lines)?, told))
            });
            made.map_err(|error| wrong = Some(error)).ok()
        })?;
        changed.ok_or_else(|| wrong.unwrap_or_else(|| io::Error::other("nothing was changed")))
    }
}

fn stamp(path: &Path) -> Stamp {
    std::fs::metadata(path).ok().map(|m| (m.ino(), m.size(), m.mtime(), m.mtime_nsec()))
}

fn expiry(request: &AccountRequest) -> u64 {
    clock::unix_micros(&request.expires).unwrap_or_default()
}

fn is_expired(request: &AccountRequest, now: u64) -> bool {
    expiry(request) <= now
}

/// Turns what nobody answered in time into decisions.
fn expire(lines: &mut [Line], now: u64) {
    for line in lines {
        if let Line::Waiting(request) = line
            && is_expired(request, now)
        {
            *line = Line::Decided(Decision::new(request, Answer::Expired, "", &[], now));
        }
    }
}

fn written(lines: &[Line]) -> io::Result<String> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line).map_err(io::Error::other)?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn request(number: u64) -> AccountRequest {
        AccountRequest {
            id: format!("{number:026}"),
            asked: clock::rfc3339(1_000_000 * number),
            expires: clock::rfc3339(1_000_000 * (number + 100)),
            site: "app.test".into(),
            user: format!("user{number}"),
            name: "Zo\u{eb} \"Q\"".into(),
            message: String::new(),
            address: "192.0.2.1".into(),
            hash: "$2y$05$nC6nErr9XZJuMJ57WyCob.EuZEjylDt2KaHfbfOtyb.EgL1I2jCVa".into(),
        }
    }

    fn told(queue: &RequestQueue, now: u64, kept: bool) -> Vec<Decision> {
        let mut told = Vec::new();
        queue
            .settle(now, |decisions| {
                told.extend_from_slice(decisions);
                kept
            })
            .unwrap();
        told
    }

    #[test]
    fn a_request_waits_until_it_is_answered_and_the_answer_until_it_is_taken_down() {
        let folder = tempfile::tempdir().unwrap();
        let queue = RequestQueue::new(folder.path());
        assert_eq!((queue.waiting(0).unwrap().len(), told(&queue, 0, true)), (0, vec![]));
        for number in 1..=2 {
            assert_eq!(queue.add(&request(number), 10, 0).unwrap(), Added::Waiting);
        }
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(queue.path()).unwrap().permissions().mode() & 0o777, 0o600);
        // Another process sees them, and a restart.
        let other = RequestQueue::new(folder.path());
        assert_eq!(other.waiting(0).unwrap(), [request(1), request(2)]);
        assert_eq!(told(&queue, 0, true), []);
        let decision = Decision::new(&request(1), Answer::Approved, "root", &["staff".into()], 7);
        assert!(other.decide(&decision).unwrap() && !other.decide(&decision).unwrap(), "answered once");
        assert_eq!(other.waiting(0).unwrap(), [request(2)]);
        assert!(!std::fs::read_to_string(queue.path()).unwrap().contains("user1\",\"name"), "the hash has gone with the request");
        assert_eq!(told(&queue, 0, false), std::slice::from_ref(&decision));
        assert_eq!(told(&queue, 0, true), [decision], "told again until it is taken down");
        assert_eq!(told(&queue, 0, true), []);
        assert_eq!(queue.waiting(0).unwrap(), [request(2)]);
    }

    #[test]
    fn what_nobody_answers_expires_and_cannot_be_answered_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let queue = RequestQueue::new(folder.path());
        queue.add(&request(1), 10, 0).unwrap();
        queue.add(&request(50), 10, 0).unwrap();
        assert_eq!(told(&queue, 100_999_999, true), []);
        assert_eq!(queue.waiting(101_000_000).unwrap(), [request(50)]);
        let told = told(&queue, 101_000_000, true);
        assert_eq!(told.iter().map(|d| (d.id.as_str(), d.answer)).collect::<Vec<_>>(), [(request(1).id.as_str(), Answer::Expired)]);
        assert!(!queue.decide(&Decision::new(&request(1), Answer::Approved, "", &[], 0)).unwrap());
    }

    #[test]
    fn the_queue_is_bounded_in_count_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let queue = RequestQueue::new(folder.path());
        assert_eq!(queue.add(&request(1), 1, 0).unwrap(), Added::Waiting);
        assert_eq!(queue.add(&request(2), 1, 0).unwrap(), Added::Full);
        let elsewhere = AccountRequest { site: "other.test".into(), ..request(3) };
        assert_eq!(queue.add(&elsewhere, 1, 0).unwrap(), Added::Waiting, "each site has its own count");
        let long = AccountRequest { message: "x".repeat(ACCOUNT_QUEUE_BYTES_MAX), ..request(4) };
        assert_eq!(queue.add(&long, 10, 0).unwrap(), Added::Full);
        assert_eq!(queue.add(&request(5), 1, 102_000_000).unwrap(), Added::Waiting, "an expired one makes room");
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_left_alone_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let queue = RequestQueue::new(folder.path());
        std::fs::write(queue.path(), "{\"state\":\"waiting\",\"secret\":1}\n").unwrap();
        for error in [queue.add(&request(1), 9, 0).unwrap_err(), queue.waiting(0).unwrap_err()] {
            assert!(error.to_string().contains("account-requests.ndjson:1:") && !error.to_string().contains("secret"), "{error}");
        }
        assert!(queue.settle(0, |_| true).is_err() && queue.settle(0, |_| true).is_ok(), "told once");
        assert!(std::fs::read_to_string(queue.path()).unwrap().contains("secret"));
    }
}
