//! From the settings in effect at a map to what its layers read, with the checks that need all of them.

use super::settings::{AuthorizationWord, Level, RateMode};
use super::tree::{Sp, Span};
use super::{Ctx, Named, require};
use crate::head::Name;
use crate::limits;
use crate::policy::{AuthSettings, Authorization, MaskSettings, NtlmSettings, RateSettings, Require};
use base64::Engine as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Requests a minute where `[rate_limit]` gives no period.
const RATE_PERIOD: Duration = Duration::from_secs(60);
/// The realm without `realm`.
const REALM: &str = "Restricted";

/// The value of a setting, or its default.
fn or<T: Clone>(setting: Option<&Sp<T>>, default: T) -> T {
    setting.map_or(default, |s| s.value.clone())
}

/// Layer 1. `at` is where the map begins, for what is missing.
pub(super) fn auth(ctx: &Ctx<'_>, level: &Level, require: Require, at: &Span) -> AuthSettings {
    let a = &level.auth;
    let asked = level.require.as_ref().map_or(at, |r| &r.span);
    let dangerously_allow_des = or(a.dangerously_allow_des.as_ref(), false);
    let users = a.users.as_ref().filter(|_| require.names_users()).map(|s| s.value.clone());
    // Also where `require` names no group: backends get the groups of whoever logs in.
    let groups = a.groups.as_ref().filter(|_| users.is_some()).map(|s| s.value.clone());
    if require.names_users() && users.is_none() && !ctx.is_faulty("users") {
        ctx.report.missing(asked, "this needs a password file, and none is named", "write users = \"auth/htpasswd\" in [auth]");
    }
    if require::names_groups(&require) && groups.is_none() && !ctx.is_faulty("groups") {
        ctx.report.missing(asked, "this needs a group file, and none is named", "write groups = \"auth/groups\" in [auth]");
    }
    auth_files(ctx, level);
    AuthSettings {
        require,
        realm: or(a.realm.as_ref(), REALM.to_owned()),
        users,
        groups,
        dangerously_allow_des,
        authorization: authorization(ctx, level),
        challenge_forbidden: or(a.challenge_forbidden.as_ref(), false),
        refuse_cross_site: or(a.refuse_cross_site.as_ref(), false),
        cross_site_allow: or(a.cross_site_allow.as_ref(), Vec::new()),
        allow_preflight: or(a.allow_preflight.as_ref(), false),
        unauthenticated_per_minute: or(a.unauthenticated_per_minute.as_ref(), limits::UNAUTHENTICATED_PER_MINUTE),
        failures_before_backoff: or(a.failures_before_backoff.as_ref(), limits::LOGIN_FAILURES_BEFORE_BACKOFF),
        backoff_max: or(a.backoff_max.as_ref(), limits::LOGIN_BACKOFF_MAX),
    }
}

/// Names the files of people at a level, also where nothing needs them: a mistake in `require` must not hide theirs.
pub(super) fn auth_files(ctx: &Ctx<'_>, level: &Level) {
    let a = &level.auth;
    if let Some(path) = a.users.as_ref().map(|s| s.value.clone()) {
        ctx.name(Named::Users { path, dangerously_allow_des: or(a.dangerously_allow_des.as_ref(), false) });
    }
    if let Some(path) = a.groups.as_ref().map(|s| s.value.clone()) {
        ctx.name(Named::Groups { path });
    }
}

fn authorization(ctx: &Ctx<'_>, level: &Level) -> Authorization {
    let (word, file) = (level.auth.authorization.as_ref(), level.auth.replace_credentials_file.as_ref());
    match (word, file) {
        (Some(w), None) if w.value == AuthorizationWord::Replace => {
            let help = "write replace_credentials_file = \"auth/backend-login\", a file with one line user:password";
            ctx.report.missing(&w.span, "`replace` needs credentials to put in place", help);
            Authorization::Strip
        }
        (Some(w), Some(file)) if w.value == AuthorizationWord::Replace => {
            credentials(ctx, file).map_or(Authorization::Strip, |c| Authorization::Replace(c.into()))
        }
        (None, Some(file)) => {
            let help = "write authorization = \"replace\" as well, or leave the file out";
            ctx.report.missing(&file.span, "these credentials are never used: `authorization` is not \"replace\"", help);
            Authorization::Strip
        }
        (Some(w), _) if w.value == AuthorizationWord::Pass => Authorization::Pass,
        _ => Authorization::Strip,
    }
}

/// The credentials file as a header value. No diagnostic ever shows its content.
fn credentials(ctx: &Ctx<'_>, file: &Sp<PathBuf>) -> Option<String> {
    if ctx.is_absent(&file.value) {
        return None;
    }
    let path = file.value.display();
    let error = |why: &str| {
        ctx.report.error(&file.span, format!("{path} {why}"), "the file holds one line: user:password");
        None
    };
    let bytes = match ctx.files.read(&file.value, limits::CREDENTIALS_FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) => return error(&format!("cannot be read: {}", super::files::plain(&e))),
    };
    if ctx.files.readable_by_others(&file.value) {
        ctx.report.warning(&file.span, format!("{path} can be read by other users of this machine"), format!("run: chmod 600 {path}"));
    }
    let Ok(text) = String::from_utf8(bytes) else { return error("is not UTF-8") };
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.chars().any(char::is_control) {
        return error("has more than one line, or a control character");
    }
    match line.split_once(':') {
        Some((user, _)) if !user.is_empty() => Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(line))),
        _ => error("has no user name before a colon"),
    }
}

/// Layer 2.
pub(super) fn ntlm(level: &Level) -> NtlmSettings {
    NtlmSettings { block_ntlm: or(level.ntlm.block_ntlm.as_ref(), true), block_negotiate: or(level.ntlm.block_negotiate.as_ref(), true) }
}

/// Layer 3's buckets: `inherited` where the level's own table says nothing about them.
pub(super) fn rate(ctx: &Ctx<'_>, own: &Level, merged: &Level, inherited: Option<&Arc<RateSettings>>) -> Option<Arc<RateSettings>> {
    let r = &own.rate;
    let first = [
        r.requests.as_ref().map(|s| &s.span),
        r.period.as_ref().map(|s| &s.span),
        r.burst.as_ref().map(|s| &s.span),
        r.mode.as_ref().map(|s| &s.span),
    ];
    let Some(at) = first.into_iter().flatten().next() else { return inherited.cloned() };
    let r = &merged.rate;
    let mode = or(r.mode.as_ref(), RateMode::Enforce);
    if mode == RateMode::Off {
        return None;
    }
    let Some(requests) = &r.requests else {
        ctx.report.missing(at, "a rate limit needs `requests`", "for example: requests = 100, period_seconds = 60, burst = 50");
        return None;
    };
    Some(Arc::new(RateSettings {
        index: ctx.next_rate(),
        burst: or(r.burst.as_ref(), requests.value),
        requests: requests.value,
        period: or(r.period.as_ref(), RATE_PERIOD),
        log_only: mode == RateMode::Log,
    }))
}

/// Error masking.
pub(super) fn mask(level: &Level) -> MaskSettings {
    MaskSettings {
        statuses: level.mask.error_override.as_ref().map_or_else(MaskSettings::default_statuses, |s| s.value.clone()),
        remove_headers: or(level.mask.remove_headers.as_ref(), Vec::new()).iter().filter_map(|name| Name::new(name.as_bytes())).collect(),
    }
}
