//! `[[site.map]]`: a path of a site, where it leads, who may come in.

use super::paths;
use super::section::{Section, quoted, shown};
use super::settings::Level;
use super::site::Surroundings;
use super::tree::{Sp, Span};
use super::{Ctx, inspection, resolve, suggest};
use crate::policy::{Backend, HostHeader, Https, Map, RateSettings, Require, Via};
use std::sync::Arc;

/// A map as read, with the places that later checks point at.
pub(super) struct MapFile {
    pub(super) map: Arc<Map>,
    /// Where its path stands.
    pub(super) path: Span,
}

/// What a map inherits from its site.
pub(super) struct OfSite<'a> {
    /// The settings in effect for the site.
    pub(super) level: &'a Level,
    /// Its rate limit.
    pub(super) rate: Option<&'a Arc<RateSettings>>,
    /// The site is `*`.
    pub(super) any: bool,
    /// The rest of the policy.
    pub(super) around: &'a Surroundings<'a>,
}

/// Reads all maps of a site, in the order of the file.
pub(super) fn read(site: &Section<'_>, of_site: &OfSite<'_>) -> Vec<MapFile> {
    let report = &site.ctx.report;
    if !site.has("map") {
        report.missing(
            &site.span,
            "this site has no maps: every path would be answered 404",
            "add [[site.map]] with path = \"/\" and to = \"app/\"",
        );
    }
    let mut list: Vec<MapFile> = Vec::new();
    for s in site.tables("map") {
        let Some(map) = one(&s, list.len(), of_site) else { continue };
        for other in &list {
            if paths::same(&other.map.path, &map.map.path, other.map.fold_case || map.map.fold_case) {
                let message = format!("the path {} is already mapped in line {}", quoted(&map.map.path), report.line(other.path.start));
                report.error(&map.path, message, "a path leads to one backend: leave one of the maps out");
            }
        }
        list.push(map);
    }
    for map in &list {
        shadowed(site.ctx, map, &list);
    }
    list
}

/// Exclusions win whatever their order, so a map inside another's exclusion would never be reached.
fn shadowed(ctx: &Ctx<'_>, map: &MapFile, all: &[MapFile]) {
    for other in all.iter().filter(|o| o.map.index != map.map.index) {
        if let Some(exclusion) = other.map.exclude.iter().find(|e| paths::inside(e, &map.map.path, other.map.fold_case)) {
            let line = ctx.report.line(other.path.start);
            let message = format!("the exclusion {} of the map in line {line} hides this map", quoted(exclusion));
            ctx.report.error(&map.path, message, "leave the exclusion out: the longer path already wins");
        }
    }
}

fn one(s: &Section<'_>, index: usize, of_site: &OfSite<'_>) -> Option<MapFile> {
    let ctx = s.ctx;
    let own = Level::inside(s);
    let level = of_site.level.narrowed(&own);
    if !level.require_written {
        let help = "write require = [\"valid-user\"] here or in the site, or require = [\"all granted\"] to open it to everybody";
        ctx.report.missing(&s.span, "no `require` says who may use this map", help);
    }
    let path = path(s, "path");
    let target = target(s, of_site.around);
    if let (Some(path), Some(target)) = (&path, &target) {
        slashes(ctx, path, target);
    }
    let fold_case = level.forward.fold_case.as_ref().is_some_and(|f| f.value);
    let exclude = exclude(s, path.as_ref(), fold_case);
    let rate = resolve::rate(ctx, &own, &level, of_site.rate);
    let require = level.require.as_ref().map_or(Require::AllDenied, |r| r.value.clone());
    let mut map = base(ctx, &s.span, &level, require, of_site, rate);
    transport(ctx, &s.span, &level, &map, of_site);
    let path = path?;
    map.index = index;
    map.path = path.value.as_str().into();
    map.exclude = exclude;
    if let Some(target) = target {
        map.backend = Some(target.backend);
        map.target_path = target.path;
    }
    Some(MapFile { map: Arc::new(map), path: path.span })
}

/// What holds outside all maps of a site.
pub(super) fn unmapped(site: &Section<'_>, of_site: &OfSite<'_>) -> Map {
    let require = of_site.level.require.as_ref().map_or(Require::AllGranted, |r| r.value.clone());
    let map = base(site.ctx, &site.span, of_site.level, require, of_site, of_site.rate.cloned());
    // The default was already looked at for each map.
    if of_site.level.forward.https.is_some() {
        transport(site.ctx, &site.span, of_site.level, &map, of_site);
    }
    map
}

/// A map with every setting of its level; where it leads is filled in later.
pub(super) fn base(
    ctx: &Ctx<'_>,
    at: &Span,
    level: &Level,
    require: Require,
    of_site: &OfSite<'_>,
    rate: Option<Arc<RateSettings>>,
) -> Map {
    let f = &level.forward;
    let https = f.https.as_ref().map_or(Https::Only, |h| h.value);
    Map {
        index: 0,
        source: format!("{}:{}", ctx.file_name, ctx.report.line(at.start)),
        path: "/".into(),
        backend: None,
        target_path: String::new(),
        exclude: Vec::new(),
        fold_case: f.fold_case.as_ref().is_some_and(|v| v.value),
        https,
        host: f.host.as_ref().map_or(HostHeader::Pass, |v| v.value),
        via: f.via.as_ref().map_or(Via::Block, |v| v.value),
        methods: f.methods.as_ref().map(|v| v.value.clone()),
        auth: resolve::auth(ctx, level, require, at),
        ntlm: resolve::ntlm(level),
        rate,
        in_flight_max: level.rate.in_flight_max.as_ref().and_then(|v| v.value),
        inspection: inspection::resolve(ctx, level, of_site.around.rule_places),
        mask: resolve::mask(level),
        upgrades: f.upgrades.as_ref().is_some_and(|v| v.value),
        total_timeout: f.total_timeout.as_ref().map(|v| v.value),
        between_bytes_timeout: f.between_bytes_timeout.as_ref().map(|v| v.value),
        account_requests: None,
    }
}

/// `https` against the listeners that there are.
pub(super) fn transport(ctx: &Ctx<'_>, at: &Span, level: &Level, map: &Map, of_site: &OfSite<'_>) {
    let around = of_site.around;
    let at = level.forward.https.as_ref().map_or(at, |h| &h.span);
    let report = &ctx.report;
    let allowed = level.auth.dangerously_allow_basic_over_http.as_ref().is_some_and(|f| f.value);
    match map.https {
        Https::Only if !around.tls => {
            let help = "add [[listener]] with address = \"0.0.0.0:443\", or write https = \"either\" to serve plain HTTP";
            report.missing(at, "this is served over https only, and no listener speaks TLS", help);
        }
        Https::Redirect if !around.tls => {
            let help = "add [[listener]] with address = \"0.0.0.0:443\", or write https = \"either\" to serve plain HTTP";
            report.missing(at, "this redirects to https, and no listener speaks TLS", help);
        }
        Https::Redirect if of_site.any => {
            let help = "name the site, or write https = \"only\"";
            report.error(at, "a redirect goes to the site's own name, and \"*\" is none", help);
        }
        Https::Either if around.plain && (map.auth.require.names_users() || map.account_requests.is_some()) && !allowed => {
            let help = "write https = \"only\" or \"redirect\", or auth = { dangerously_allow_basic_over_http = true }";
            report.error(at, "passwords would be asked for over plain HTTP", help);
        }
        _ => {}
    }
}

fn path(s: &Section<'_>, key: &'static str) -> Option<Sp<String>> {
    if !s.has(key) {
        s.ctx.report.missing(&s.span, "this map has no `path`", "write path = \"/\" for the whole site");
    }
    let text = s.text(key)?;
    match paths::prefix(&text.value) {
        Ok(value) => Some(Sp { value, span: text.span }),
        Err((message, right)) => {
            let help = if right.is_empty() { String::new() } else { format!("write path = {}", quoted(&right)) };
            s.ctx.report.error(&text.span, message, help);
            None
        }
    }
}

/// Where a map leads.
struct Target {
    backend: Arc<Backend>,
    path: String,
    span: Span,
}

fn target(s: &Section<'_>, around: &Surroundings<'_>) -> Option<Target> {
    let report = &s.ctx.report;
    if !s.has("to") {
        report.missing(&s.span, "this map has no `to`", "write to = \"app/\": the backend's name, then the path there");
    }
    let text = s.text("to")?;
    if text.value.contains("://") {
        let help = "name the server in a [[backend]], then write to = \"NAME/path\"";
        report.error(&text.span, "`to` takes a backend's name: a map cannot forward to a URL", help);
        return None;
    }
    let (name, path) = text.value.find('/').map_or((text.value.as_str(), ""), |i| text.value.split_at(i));
    let backend = around.backends.iter().find(|b| b.name.value == name && !name.is_empty());
    let path = match paths::target(path) {
        Ok(path) => path,
        Err((message, right)) => {
            let help = if right.is_empty() { String::new() } else { format!("write to = {}", quoted(&format!("{name}{right}"))) };
            report.error(&text.span, message, help);
            return None;
        }
    };
    let Some(backend) = backend else {
        let known = || around.backends.iter().map(|b| b.name.value.as_str()).filter(|n| !n.is_empty());
        let help = match suggest::nearest(name, known()) {
            Some(near) => format!("write to = {}", quoted(&format!("{near}{path}"))),
            None if name.is_empty() => "write the backend's name before the path: to = \"app/path\"".to_owned(),
            None => match known().take(8).collect::<Vec<_>>().join(", ") {
                list if list.is_empty() => format!("add [[backend]] with name = {} and its members", quoted(name)),
                list => format!("there are: {list}"),
            },
        };
        // A backend without a readable name may be the one that is meant.
        if !around.backends.iter().any(|b| b.name.value.is_empty()) {
            let message = format!("there is no backend {}", quoted(name));
            let near = suggest::nearest(name, known()).is_some();
            if near { report.error(&text.span, message, help) } else { report.missing(&text.span, message, help) }
        }
        return None;
    };
    Some(Target { backend: backend.backend.clone(), path, span: text.span })
}

/// With a slash at one end only, `/exchange/` + `x` becomes `/exchangex`: the wrong resource, or none.
fn slashes(ctx: &Ctx<'_>, path: &Sp<String>, target: &Target) {
    let (front, back) = (path.value.ends_with('/'), target.path.ends_with('/'));
    if front == back {
        return;
    }
    let name = &target.backend.name;
    let right = if front { format!("{name}{}/", target.path) } else { format!("{name}{}", target.path.trim_end_matches('/')) };
    let which = if front { "`path` ends with a slash and `to` does not" } else { "`to` ends with a slash and `path` does not" };
    ctx.report.error(&target.span, which, format!("write to = {}", quoted(&right)));
}

fn exclude(s: &Section<'_>, path: Option<&Sp<String>>, fold_case: bool) -> Vec<String> {
    let report = &s.ctx.report;
    let mut list: Vec<String> = Vec::new();
    for text in s.texts("exclude").map(|l| l.value).unwrap_or_default() {
        let exclusion = match paths::prefix(&text.value) {
            Ok(exclusion) => exclusion,
            Err((message, right)) => {
                report.error(&text.span, message, super::instead(&right));
                continue;
            }
        };
        if let Some(path) = path {
            let inner = exclusion.trim_end_matches('/');
            if paths::same(&path.value, &exclusion, fold_case) || paths::same(path.value.trim_end_matches('/'), inner, fold_case) {
                report.error(&text.span, "this excludes the whole map", "leave the map out, or exclude a path inside it");
            } else if !paths::inside(&path.value, &exclusion, fold_case) {
                let help =
                    format!("exclusions lie inside {}, for example {}", quoted(&path.value), quoted(&joined(&path.value, &exclusion)));
                report.error(&text.span, format!("{} is outside this map", shown(&text.value)), help);
            }
        }
        if list.iter().any(|o| paths::same(o, &exclusion, fold_case)) {
            report.warning(&text.span, "this exclusion stands here twice", "leave one out");
            continue;
        }
        list.push(exclusion);
    }
    list
}

fn joined(path: &str, below: &str) -> String {
    format!("{}/{}", path.trim_end_matches('/'), below.trim_start_matches('/'))
}
