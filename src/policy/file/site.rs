//! `[[site]]`: host names, certificate, what holds for all maps of the site.

use super::backend::BackendFile;
use super::inspection::Places;
use super::map::{self, MapFile};
use super::names::{self, host_address};
use super::section::{Section, quoted, sentence};
use super::settings::Level;
use super::tree::{Sp, Span};
use super::{Expect, Named, accounts, resolve};
use crate::policy::{CertificateFiles, Listener, Map, RateSettings, Site, SiteName};
use std::sync::Arc;

/// A browser remembers no longer than this anyway.
const HSTS_SECONDS_MAX: i64 = 10 * 366 * 86_400;

/// What a site needs to know of the rest of the policy.
pub(super) struct Surroundings<'a> {
    /// A listener speaks TLS.
    pub(super) tls: bool,
    /// A listener speaks plain HTTP.
    pub(super) plain: bool,
    https_port: u16,
    pub(super) backends: &'a [BackendFile],
    pub(super) rule_places: &'a Places,
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(listeners: &[Sp<Listener>], backends: &'a [BackendFile], rule_places: &'a Places) -> Self {
        let first_tls = listeners.iter().find(|l| l.value.tls);
        Self {
            // Without any listener something else is wrong already, and it may be either.
            tls: first_tls.is_some() || listeners.is_empty(),
            plain: listeners.iter().any(|l| !l.value.tls),
            https_port: first_tls.map_or(443, |l| l.value.address.port()),
            backends,
            rule_places,
        }
    }
}

/// A site as read, with the places that later checks point at.
pub(super) struct SiteFile {
    pub(super) site: Arc<Site>,
    pub(super) names: Vec<Sp<SiteName>>,
}

/// Reads all sites.
pub(super) fn read(root: &Section<'_>, global: &Level, around: &Surroundings<'_>) -> Vec<SiteFile> {
    let report = &root.ctx.report;
    if !root.has("site") {
        report.lacking("there is no site: every request would be answered 421", "add [[site]] with its names and maps");
    }
    let shared_rate = resolve::rate(root.ctx, global, global, None);
    let mut list: Vec<SiteFile> = Vec::new();
    for s in root.tables("site") {
        let names = site_names(&s);
        for name in &names {
            let twin = list.iter().flat_map(|o| &o.names).find(|o| o.value == name.value);
            if let Some(twin) = twin {
                let message = format!("{} is already a name of the site in line {}", written(&name.value), report.line(twin.span.start));
                report.error(&name.span, message, "a name belongs to one site: put the maps together, or rename one");
            }
        }
        let site = one(&s, list.len(), &names, global, shared_rate.as_ref(), around);
        list.push(SiteFile { site: Arc::new(site), names });
    }
    if around.tls && !list.iter().flat_map(|s| &s.names).any(|n| n.value == SiteName::Any) {
        for name in list.iter().flat_map(|s| &s.names) {
            if matches!(&name.value, SiteName::Exact(host) if host_address(host).is_some()) {
                let help = "give the site a host name too, or a site names = [\"*\"] whose certificate such clients get";
                report.warning(&name.span, "over TLS nobody reaches a site by address: clients send no server name (SNI) for one", help);
            }
        }
    }
    list
}

fn one(
    s: &Section<'_>,
    index: usize,
    names: &[Sp<SiteName>],
    global: &Level,
    rate: Option<&Arc<RateSettings>>,
    around: &Surroundings<'_>,
) -> Site {
    let ctx = s.ctx;
    let own = Level::inside(s);
    let level = global.narrowed(&own);
    let rate = resolve::rate(ctx, &own, &level, rate);
    let any = names.iter().any(|n| n.value == SiteName::Any);
    let of_site = map::OfSite { level: &level, rate: rate.as_ref(), any, around };
    let maps: Vec<MapFile> = map::read(s, &of_site);
    let unmapped = map::unmapped(s, &of_site);
    let account_page = accounts::page(s, &of_site, &maps).map(Arc::new);
    let certificate = certificate(s, names, around);
    let hsts = s.number::<u64>("hsts_seconds", 0..=HSTS_SECONDS_MAX);
    if let Some(hsts) = hsts.as_ref().filter(|_| !around.tls) {
        ctx.report.error(&hsts.span, "`hsts_seconds` means nothing: no listener speaks TLS", "add a TLS listener, or leave it out");
    }
    let https_port = s.number::<u16>("https_port", 1..=65_535);
    if let Some(port) = https_port.as_ref().filter(|_| !around.tls) {
        ctx.report.error(&port.span, "`https_port` means nothing: no listener speaks TLS", "add a TLS listener, or leave it out");
    }
    let mut maps: Vec<Arc<Map>> = maps.into_iter().map(|m| m.map).collect();
    maps.sort_by_key(|m| std::cmp::Reverse(m.path.len()));
    Site {
        index,
        name: names.first().map_or_else(String::new, |n| written(&n.value)).into(),
        names: names.iter().map(|n| n.value.clone()).collect(),
        certificate,
        hsts_seconds: hsts.map(|h| h.value),
        https_port: https_port.map_or(around.https_port, |p| p.value),
        maps,
        unmapped: Arc::new(unmapped),
        account_page,
    }
}

/// A name as an administrator writes it.
fn written(name: &SiteName) -> String {
    match name {
        SiteName::Exact(host) => host.clone(),
        SiteName::Wildcard(suffix) => format!("*.{suffix}"),
        SiteName::Any => "*".to_owned(),
    }
}

fn site_names(s: &Section<'_>) -> Vec<Sp<SiteName>> {
    let report = &s.ctx.report;
    if !s.has("names") {
        let help = if s.has("name") { "write names = [...], a list" } else { "write names = [\"app.example.com\"]" };
        report.missing(&s.span, "this site has no `names`", help);
    }
    let Some(texts) = s.texts("names") else { return Vec::new() };
    if texts.value.is_empty() {
        report.missing(
            &texts.span,
            "a site has at least one name",
            "write names = [\"app.example.com\"], or \"*\" for every name no other site has",
        );
    }
    let mut list: Vec<Sp<SiteName>> = Vec::with_capacity(texts.value.len());
    for text in &texts.value {
        let name = match site_name(&text.value) {
            Ok(name) => name,
            Err((message, right)) => {
                let help = if right.is_empty() { "for example: names = [\"app.example.com\"]".to_owned() } else { super::instead(&right) };
                report.error(&text.span, sentence(&message), help);
                continue;
            }
        };
        if list.iter().any(|o| o.value == name) {
            report.error(&text.span, format!("{} stands here twice", quoted(&written(&name))), "leave one out");
        }
        list.push(Sp { value: name, span: text.span.clone() });
    }
    if let Some(any) = list.iter().find(|n| n.value == SiteName::Any).filter(|_| list.len() > 1) {
        report.error(&any.span, "\"*\" stands alone: it already is every name", "write names = [\"*\"], or leave \"*\" out");
    }
    list
}

fn site_name(text: &str) -> Result<SiteName, names::Wrong> {
    if text == "*" {
        return Ok(SiteName::Any);
    }
    let Some(suffix) = text.strip_prefix("*.") else {
        if text.contains('*') {
            let right = text.rsplit('*').next().map(|s| s.trim_start_matches('.')).filter(|s| names::host(s).is_ok());
            let right = right.map(|s| format!("*.{s}")).unwrap_or_default();
            return Err((format!("in \"{text}\" the star is not a whole first part"), right));
        }
        return names::host(text).map(SiteName::Exact);
    };
    match names::host(suffix) {
        Ok(host) if host_address(&host).is_some() => Err((format!("\"{text}\" is a pattern of an address, not of names"), String::new())),
        Ok(host) => Ok(SiteName::Wildcard(host)),
        Err((message, right)) => Err((message, if right.is_empty() { right } else { format!("*.{right}") })),
    }
}

fn certificate(s: &Section<'_>, names: &[Sp<SiteName>], around: &Surroundings<'_>) -> Option<CertificateFiles> {
    let report = &s.ctx.report;
    let certificate = s.path("certificate", Expect::File);
    let key = s.path("key", Expect::File);
    let chain = s.path("chain", Expect::File);
    let Some(certificate) = certificate else {
        for part in [&key, &chain].into_iter().flatten() {
            if !s.has("certificate") {
                report.missing(
                    &part.span,
                    "this belongs to a `certificate`, and the site has none",
                    "write certificate = \"../certs/site.pem\" as well",
                );
            }
        }
        if around.tls && !s.has("certificate") && key.is_none() && chain.is_none() {
            let at: Span = s.raw("names").map_or_else(|| s.span.clone(), |n| n.span.clone());
            let help = "write certificate = \"../certs/site.pem\"; `portcullis cert self-signed` makes one to try";
            report.missing(&at, "a listener speaks TLS and this site has no certificate", help);
        }
        return None;
    };
    if !around.tls {
        report.warning(
            &certificate.span,
            "this certificate is never used: no listener speaks TLS",
            "add [[listener]] with address = \"0.0.0.0:443\"",
        );
    }
    let files = CertificateFiles { certificate: certificate.value, key: key.map(|k| k.value), chain: chain.map(|c| c.value) };
    s.ctx.name(Named::Certificate { files: files.clone(), names: names.iter().map(|n| n.value.clone()).collect() });
    Some(files)
}
