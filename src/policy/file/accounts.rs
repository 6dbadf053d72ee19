//! `[site.account_requests]`: the one path of a site on which people without an account may ask for one.

use super::map::{self, MapFile, OfSite};
use super::paths;
use super::section::{Section, quoted};
use crate::limits;
use crate::policy::{AccountSettings, Map, Require};
use http::Method;
use std::sync::Arc;
use std::time::Duration;

/// Where the page is, unless the policy says otherwise.
const PATH: &str = "/.portcullis/account";
/// Nobody remembers longer passwords, and bcrypt reads 72 bytes.
const PASSWORD_CHARACTERS_MAX: i64 = 64;

/// The page's settings as a map without a backend; `None` where the site has no such table.
pub(super) fn page(site: &Section<'_>, of_site: &OfSite<'_>, maps: &[MapFile]) -> Option<Map> {
    let s = site.table("account_requests", false)?;
    let (ctx, level) = (site.ctx, of_site.level);
    let path = match s.text("path").map(|text| (paths::prefix(&text.value), text.span)) {
        Some((Ok(path), span)) => (path, span),
        Some((Err((message, right)), span)) => {
            ctx.report.error(&span, message, super::instead(&right));
            (PATH.to_owned(), span)
        }
        None => (PATH.to_owned(), s.span.clone()),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if !path.0.chars().all(plain) {
        let help = format!("for example: path = {}", quoted(PATH));
        ctx.report.error(&path.1, "people type and send this path: it is of letters, digits and `-._~/`", help);
    }
    if let Some(other) = maps.iter().find(|other| *other.map.path == *path.0) {
        let message = format!("the path {} is already mapped in line {}", quoted(&path.0), ctx.report.line(other.path.start));
        ctx.report.error(&path.1, message, format!("for example: path = {}", quoted(PATH)));
    }
    let users = level.auth.users.as_ref().map(|users| users.value.clone());
    if users.is_none() && !ctx.is_faulty("users") {
        let help = "write users = \"auth/htpasswd\" in [auth] or [site.auth]";
        ctx.report.missing(&s.span, "approved people go into a password file, and none is named", help);
    }
    let number = |key, range, default: u32| s.number(key, range).map_or(default, |n| n.value);
    let days = s.number("expire_days", 1..=365).map_or(limits::ACCOUNT_EXPIRE_DAYS, |n| n.value);
    let settings = AccountSettings {
        users: users.unwrap_or_default(),
        groups: level.auth.groups.as_ref().map(|groups| groups.value.clone()),
        password_characters_min: s
            .number("password_characters_min", 8..=PASSWORD_CHARACTERS_MAX)
            .map_or(limits::ACCOUNT_PASSWORD_CHARACTERS_MIN, |n| n.value),
        requests_per_address_per_hour: number("requests_per_address_per_hour", 1..=1_000, limits::ACCOUNT_REQUESTS_PER_ADDRESS_PER_HOUR),
        requests_per_hour: number("requests_per_hour", 1..=10_000, limits::ACCOUNT_REQUESTS_PER_HOUR),
        waiting_max: s.number("waiting_max", 1..=1_000).map_or(limits::ACCOUNT_WAITING_MAX, |n| n.value),
        expires: Duration::from_secs(days * 86_400),
    };
    let mut page = map::base(ctx, &s.span, level, Require::AllGranted, of_site, of_site.rate.cloned());
    page.path = path.0.into();
    page.methods = Some(vec![Method::GET, Method::HEAD, Method::POST]);
    page.fold_case = false;
    page.upgrades = false;
    // The page looks at where its forms come from by itself, and a link to it from elsewhere is welcome.
    page.auth.refuse_cross_site = false;
    page.auth.allow_preflight = false;
    page.account_requests = Some(Arc::new(settings));
    map::transport(ctx, &s.span, level, &page, of_site);
    Some(page)
}
