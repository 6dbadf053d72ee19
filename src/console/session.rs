//! Who is logged in to the console: sessions in bounded memory behind a signed cookie.

use crate::limits::{CONSOLE_SESSION_IDLE_MAX, CONSOLE_SESSION_LIFETIME_MAX, CONSOLE_SESSIONS_MAX};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The cookie's name.
pub(super) const COOKIE: &str = "portcullis_console";
/// Time in which a login form has to be sent back.
const FORM_SECONDS_MAX: u64 = 3_600;

/// One person's session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Whose.
    pub(super) user: String,
    /// The line of the users file that it was opened with: a new password ends it.
    pub(super) fingerprint: [u8; 32],
    /// What every form that changes something must carry.
    pub(super) token: String,
    begun: Instant,
    seen: Instant,
}

/// All sessions.
pub(super) struct Sessions {
    key: [u8; 32],
    open: Mutex<HashMap<[u8; 16], Session>>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}

impl Sessions {
    /// None yet, and a key of its own: a restart ends every session. `None` where the system gives no randomness.
    pub(super) fn new() -> Option<Self> {
        Some(Self { key: random()?, open: Mutex::default() })
    }

    fn signature(&self, text: &str) -> String {
        // A key of any length fits HMAC.
        Hmac::<Sha256>::new_from_slice(&self.key).map_or_else(
            |_| String::new(),
            |mut mac| {
                mac.update(text.as_bytes());
                hex(&mac.finalize().into_bytes())
            },
        )
    }

    fn signed<'t>(&self, text: &'t str) -> Option<&'t str> {
        let (content, signature) = text.rsplit_once('.')?;
        let ours = self.signature(content);
        (!ours.is_empty() && bool::from(subtle::ConstantTimeEq::ct_eq(ours.as_bytes(), signature.as_bytes()))).then_some(content)
    }

    /// What a login form carries, so that nobody can be logged in by another page.
    pub(super) fn form_token(&self, now: u64) -> String {
        let content = format!("form-{now}");
        let signature = self.signature(&content);
        format!("{content}.{signature}")
    }

    /// Whether a login form is ours and fresh.
    pub(super) fn is_form_token(&self, token: &str, now: u64) -> bool {
        let given = self.signed(token).and_then(|content| content.strip_prefix("form-")?.parse::<u64>().ok());
        given.is_some_and(|given| given <= now && now - given <= FORM_SECONDS_MAX)
    }

    /// Opens a session; the cookie's value. `None` where the system gives no randomness.
    pub(super) fn open(&self, user: &str, fingerprint: [u8; 32]) -> Option<String> {
        let (id, token, now) = (random::<16>()?, hex(&random::<16>()?), Instant::now());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| session.is_alive(now));
        if open.len() >= CONSOLE_SESSIONS_MAX
            && let Some(oldest) = open.iter().min_by_key(|(_, session)| session.seen).map(|(id, _)| *id)
        {
            open.remove(&oldest);
        }
        open.insert(id, Session { user: user.to_owned(), fingerprint, token, begun: now, seen: now });
        let content = hex(&id);
        let signature = self.signature(&content);
        Some(format!("{content}.{signature}"))
    }

    fn id(&self, cookie: &str) -> Option<[u8; 16]> {
        let content = self.signed(cookie)?;
        let mut id = [0; 16];
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(content.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        Some(id)
    }

    /// The session of a cookie.
    pub(super) fn find(&self, cookie: &str) -> Option<Session> {
        let id = self.id(cookie)?;
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get_mut(&id)?;
        if !session.is_alive(now) {
            open.remove(&id);
            return None;
        }
        session.seen = now;
        Some(session.clone())
    }

    /// Ends it.
    pub(super) fn close(&self, cookie: &str) {
        if let Some(id) = self.id(cookie) {
            self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
    }
}

impl Session {
    fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) < CONSOLE_SESSION_LIFETIME_MAX
            && now.saturating_duration_since(self.seen) < CONSOLE_SESSION_IDLE_MAX
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_cookies_open_a_session_and_a_closed_one_stays_closed() {
        let (sessions, others) = (Sessions::new().unwrap(), Sessions::new().unwrap());
        let cookie = sessions.open("carol", [7; 32]).unwrap();
        assert_eq!(sessions.find(&cookie).unwrap().user, "carol");
        assert!(others.find(&cookie).is_none());
        for at in 0..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(sessions.find(std::str::from_utf8(&changed).unwrap()).is_none(), "{at}");
        }
        for odd in ["", ".", "x", &cookie[..40], &cookie[33..]] {
            assert!(sessions.find(odd).is_none(), "{odd}");
        }
        sessions.close(&cookie);
        assert!(sessions.find(&cookie).is_none());
    }

    #[test]
    fn a_form_token_is_ours_and_fresh() {
        let sessions = Sessions::new().unwrap();
        let token = sessions.form_token(1_000);
        assert!(sessions.is_form_token(&token, 1_000) && sessions.is_form_token(&token, 4_600));
        assert!(!sessions.is_form_token(&token, 4_601) && !sessions.is_form_token(&token, 999));
        assert!(!sessions.is_form_token("form-1000.00", 1_000));
        assert!(!sessions.is_form_token(&sessions.open("carol", [7; 32]).unwrap(), 1_000), "a session is no form");
    }

    #[test]
    fn sessions_are_bounded_and_the_one_unseen_longest_goes_first() {
        let sessions = Sessions::new().unwrap();
        let first = sessions.open("first", [0; 32]).unwrap();
        let second = sessions.open("second", [0; 32]).unwrap();
        for _ in 2..CONSOLE_SESSIONS_MAX {
            sessions.open("other", [0; 32]).unwrap();
        }
        assert!(sessions.find(&first).is_some());
        sessions.open("one too many", [0; 32]).unwrap();
        assert!(sessions.find(&first).is_some() && sessions.find(&second).is_none());
    }
}
