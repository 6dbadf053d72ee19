//! Forms that only the browser can send back that was given them: a random cookie, and a token signed over it, the site and the time.

use crate::head::{COOKIE, Headers};
use crate::limits::ACCOUNT_FORM_LIFETIME;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt::Write as _;

/// The cookie's name over TLS: a browser takes it from https only.
const SECURE: &str = "__Secure-portcullis_account";
/// Its name over plain HTTP, where the policy dangerously allows that.
const PLAIN: &str = "portcullis_account";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The header that gives a browser its cookie, which comes back to the page alone.
pub(super) fn set_cookie(value: &str, path: &str, tls: bool) -> String {
    let (name, secure) = if tls { (SECURE, "; Secure") } else { (PLAIN, "") };
    format!("{name}={value}; Path={path}; Max-Age={}; HttpOnly; SameSite=Strict{secure}", ACCOUNT_FORM_LIFETIME.as_secs())
}

/// The key under which forms are signed; a restart makes another.
pub(super) struct Tokens {
    key: [u8; 32],
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { key })
    }

    /// The cookie that the browser has, or a new one. `None` where the system gives no randomness.
    pub(super) fn cookie(&self, headers: &Headers, tls: bool) -> Option<String> {
        let own = if tls { SECURE } else { PLAIN };
        let lines = headers.get_all(&COOKIE).filter_map(|line| line.text());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let is_ours = |value: &str| value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some((_, value)) = pairs.into_iter().find(|(name, value)| *name == own && is_ours(value)) {
            return Some(value.to_owned());
        }
        let mut fresh = [0; 16];
        getrandom::fill(&mut fresh).ok().map(|()| hex(&fresh))
    }

    /// What a form carries that was made at `now`, in seconds.
    pub(super) fn make(&self, cookie: &str, site: &str, now: u64) -> String {
        format!("{now}.{}", self.signature(cookie, site, now))
    }

    /// Whether a form was made for this browser and site, and not too long ago.
    pub(super) fn is_fresh(&self, token: impl AsRef<str>, cookie: &str, site: &str, now: u64) -> bool {
        let Some((made, signature)) = token.as_ref().split_once('.') else { return false };
        let Ok(made) = made.parse::<u64>() else { return false };
        let ours = self.signature(cookie, site, made);
        let is_right = !ours.is_empty() && bool::from(subtle::ConstantTimeEq::ct_eq(ours.as_bytes(), signature.as_bytes()));
        is_right && made <= now && now - made <= ACCOUNT_FORM_LIFETIME.as_secs()
    }

    fn signature(&self, cookie: &str, site: &str, made: u64) -> String {
        // A key of any length fits HMAC.
        Hmac::<Sha256>::new_from_slice(&self.key).map_or_else(
            |_| String::new(),
            |mut mac| {
                mac.update(format!("{made} {cookie} {site}").as_bytes());
                hex(&mac.finalize().into_bytes())
            },
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::head::Value;

    #[test]
    fn a_form_comes_back_from_its_own_browser_and_site_in_time() {
        let tokens = Tokens::new().unwrap();
        let cookie = tokens.cookie(&Headers::new(), true).unwrap();
        let token = tokens.make(&cookie, "a.test", 1_000);
        assert!(tokens.is_fresh(&token, &cookie, "a.test", 1_000) && tokens.is_fresh(&token, &cookie, "a.test", 4_600));
        assert!(!tokens.is_fresh(&token, &cookie, "a.test", 4_601) && !tokens.is_fresh(&token, &cookie, "a.test", 999));
        assert!(!tokens.is_fresh(&token, &cookie, "b.test", 1_000));
        assert!(!tokens.is_fresh(&token, &tokens.cookie(&Headers::new(), true).unwrap(), "a.test", 1_000));
        assert!(!Tokens::new().unwrap().is_fresh(&token, &cookie, "a.test", 1_000));
        for bad in ["", ".", "1000", "1000.", "x.y", &token.replace("1000.", "1001.")] {
            assert!(!tokens.is_fresh(bad, &cookie, "a.test", 1_001), "{bad}");
        }
    }

    #[test]
    fn a_browser_keeps_the_cookie_that_it_has() {
        let tokens = Tokens::new().unwrap();
        let cookie = tokens.cookie(&Headers::new(), true).unwrap();
        let mut headers = Headers::new();
        headers.append(&COOKIE, Value::new(format!("a=b; {SECURE}={cookie}").as_bytes()).unwrap());
        assert_eq!(tokens.cookie(&headers, true).unwrap(), cookie);
        assert_ne!(tokens.cookie(&headers, false).unwrap(), cookie, "another name over plain HTTP");
        headers.insert(&COOKIE, Value::new(format!("{SECURE}=short").as_bytes()).unwrap());
        assert_eq!(tokens.cookie(&headers, true).unwrap().len(), 32);
        assert!(set_cookie(&cookie, "/join", true).ends_with("; HttpOnly; SameSite=Strict; Secure"));
    }
}
