//! The layers' settings as written at one level: global, a site, a map.

use super::inspection::{self, InspectionFile};
use super::names;
use super::section::{Section, quoted};
use super::tree::{Sp, Value};
use super::{Expect, exclusion, require};
use crate::policy::{Exclusion, HostHeader, Https, Require, Via};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A struct of optional settings that a narrower level overrides key by key.
macro_rules! narrowable {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        pub(super) struct $name {
            $(pub(super) $field: Option<Sp<$kind>>,)*
        }

        impl $name {
            /// These settings, with those that `narrow` has in their place.
            pub(super) fn narrowed(&self, narrow: &Self) -> Self {
                Self { $($field: narrow.$field.clone().or_else(|| self.$field.clone()),)* }
            }
        }
    };
}

pub(super) use narrowable;

/// The word behind `authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthorizationWord {
    Strip,
    Pass,
    Replace,
}

/// `mode` of the rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RateMode {
    Enforce,
    Log,
    Off,
}

narrowable! {
    /// `[auth]`.
    AuthFile {
        users: PathBuf,
        groups: PathBuf,
        realm: String,
        authorization: AuthorizationWord,
        replace_credentials_file: PathBuf,
        challenge_forbidden: bool,
        refuse_cross_site: bool,
        cross_site_allow: Vec<String>,
        allow_preflight: bool,
        unauthenticated_per_minute: u32,
        failures_before_backoff: u32,
        backoff_max: Duration,
        dangerously_allow_des: bool,
        dangerously_allow_basic_over_http: bool,
    }
}

narrowable! {
    /// `[ntlm]`.
    NtlmFile {
        block_ntlm: bool,
        block_negotiate: bool,
    }
}

narrowable! {
    /// `[rate_limit]`.
    RateFile {
        requests: u32,
        period: Duration,
        burst: u32,
        mode: RateMode,
        in_flight_max: Option<u32>,
    }
}

narrowable! {
    /// `[mask]`.
    MaskFile {
        error_override: Box<[bool; 200]>,
        remove_headers: Vec<String>,
    }
}

narrowable! {
    /// `[forward]`, and the same keys directly in a site or a map.
    ForwardFile {
        https: Https,
        host: HostHeader,
        via: Via,
        methods: Vec<http::Method>,
        upgrades: bool,
        fold_case: bool,
        total_timeout: Duration,
        between_bytes_timeout: Duration,
    }
}

/// Everything that a site or a map can narrow.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    pub(super) require: Option<Sp<Require>>,
    /// A `require` was written, though perhaps with a mistake in it.
    pub(super) require_written: bool,
    pub(super) auth: AuthFile,
    pub(super) ntlm: NtlmFile,
    pub(super) rate: RateFile,
    pub(super) inspection: InspectionFile,
    /// Those of the wider levels first: they add up.
    pub(super) exclusions: Vec<Arc<Exclusion>>,
    pub(super) mask: MaskFile,
    pub(super) forward: ForwardFile,
}

impl Level {
    /// The settings of the global tables.
    pub(super) fn global(root: &Section<'_>) -> Self {
        let mut level = Self::tables(root, false);
        if let Some(auth) = root.table("auth", false) {
            level.read_require(&auth);
        }
        if let Some(section) = root.table("forward", false) {
            level.forward = forward(&section);
        }
        level
    }

    /// The settings written in a site or a map.
    pub(super) fn inside(section: &Section<'_>) -> Self {
        let mut level = Self::tables(section, true);
        level.read_require(section);
        level.forward = forward(section);
        level
    }

    /// These settings, with those of a narrower level in their place.
    pub(super) fn narrowed(&self, narrow: &Self) -> Self {
        Self {
            require: if narrow.require_written { narrow.require.clone() } else { self.require.clone() },
            require_written: self.require_written || narrow.require_written,
            auth: self.auth.narrowed(&narrow.auth),
            ntlm: self.ntlm.narrowed(&narrow.ntlm),
            rate: self.rate.narrowed(&narrow.rate),
            inspection: inspection::narrowed(&self.inspection, &narrow.inspection),
            exclusions: self.exclusions.iter().chain(&narrow.exclusions).cloned().collect(),
            mask: self.mask.narrowed(&narrow.mask),
            forward: self.forward.narrowed(&narrow.forward),
        }
    }

    fn tables(section: &Section<'_>, narrow: bool) -> Self {
        Self {
            auth: section.table("auth", narrow).map(|s| auth(&s)).unwrap_or_default(),
            ntlm: section.table("ntlm", narrow).map(|s| ntlm(&s)).unwrap_or_default(),
            rate: section.table("rate_limit", narrow).map(|s| rate(&s)).unwrap_or_default(),
            inspection: section.table("inspection", narrow).map(|s| inspection::read(&s)).unwrap_or_default(),
            exclusions: exclusion::read(section),
            mask: section.table("mask", narrow).map(|s| mask(&s)).unwrap_or_default(),
            ..Self::default()
        }
    }

    fn read_require(&mut self, section: &Section<'_>) {
        if let Some(node) = section.raw("require") {
            self.require_written = true;
            self.require = require::read(section.ctx, node);
        }
    }
}

fn auth(s: &Section<'_>) -> AuthFile {
    let words = [("strip", AuthorizationWord::Strip), ("pass", AuthorizationWord::Pass), ("replace", AuthorizationWord::Replace)];
    let authorization = match s.raw("authorization").map(|n| (&n.value, &n.span)) {
        Some((Value::Table(_), span)) => {
            s.ctx.report.conceal(span);
            let help = "write authorization = \"replace\" and replace_credentials_file = \"auth/backend-login\"";
            s.ctx.report.error(span, "credentials do not stand in this file: it is read by too many", help);
            None
        }
        _ => s.choice("authorization", &words),
    };
    AuthFile {
        users: s.path("users", Expect::File),
        groups: s.path("groups", Expect::File),
        realm: s.text("realm"),
        authorization,
        replace_credentials_file: s.path("replace_credentials_file", Expect::File),
        challenge_forbidden: s.flag("challenge_forbidden"),
        refuse_cross_site: s.flag("refuse_cross_site"),
        cross_site_allow: each(s, "cross_site_allow", names::origin),
        allow_preflight: s.flag("allow_preflight"),
        unauthenticated_per_minute: s.number("unauthenticated_per_minute", 1..=1_000_000),
        failures_before_backoff: s.number("failures_before_backoff", 1..=1_000),
        backoff_max: s.seconds("backoff_max_seconds"),
        dangerously_allow_des: s.flag("dangerously_allow_des"),
        dangerously_allow_basic_over_http: s.flag("dangerously_allow_basic_over_http"),
    }
}

fn ntlm(s: &Section<'_>) -> NtlmFile {
    NtlmFile { block_ntlm: s.flag("block_ntlm"), block_negotiate: s.flag("block_negotiate") }
}

fn rate(s: &Section<'_>) -> RateFile {
    RateFile {
        requests: s.number("requests", 1..=1_000_000),
        period: s.seconds("period_seconds"),
        burst: s.number("burst", 1..=1_000_000),
        mode: s.choice("mode", &[("enforce", RateMode::Enforce), ("log", RateMode::Log), ("off", RateMode::Off)]),
        in_flight_max: s.number_or("in_flight_max", "none", 1..=1_000_000),
    }
}

fn mask(s: &Section<'_>) -> MaskFile {
    MaskFile { error_override: error_override(s), remove_headers: each(s, "remove_headers", header_name) }
}

fn error_override(s: &Section<'_>) -> Option<Sp<Box<[bool; 200]>>> {
    let node = s.raw("error_override")?;
    let mut statuses = Box::new([false; 200]);
    match &node.value {
        Value::Boolean(all) => statuses.fill(*all),
        Value::Array(items) => {
            for item in items {
                let place = match &item.value {
                    Value::Integer(Some(n)) => usize::try_from(*n).ok().and_then(|n| n.checked_sub(400)),
                    Value::Integer(None) => None,
                    _ => {
                        s.wrong("error_override", item, "a list of statuses");
                        continue;
                    }
                };
                match place.and_then(|p| statuses.get_mut(p)) {
                    Some(status) => *status = true,
                    None => s.ctx.report.error(
                        &item.span,
                        "only errors are masked: a status from 400 to 599",
                        "for example: error_override = [404, 500, 503]",
                    ),
                }
            }
        }
        _ => {
            s.wrong("error_override", node, "true, false or a list of statuses");
            return None;
        }
    }
    Some(Sp { value: statuses, span: node.span.clone() })
}

fn forward(s: &Section<'_>) -> ForwardFile {
    ForwardFile {
        https: s.choice("https", &[("only", Https::Only), ("redirect", Https::Redirect), ("either", Https::Either)]),
        host: s.choice("host", &[("pass", HostHeader::Pass), ("backend", HostHeader::Backend)]),
        via: s.choice("via", &[("off", Via::Off), ("on", Via::On), ("full", Via::Full), ("block", Via::Block)]),
        methods: methods(s),
        upgrades: s.flag("upgrades"),
        fold_case: s.flag("fold_case"),
        total_timeout: s.seconds("total_timeout_seconds"),
        between_bytes_timeout: s.seconds("between_bytes_timeout_seconds"),
    }
}

fn methods(s: &Section<'_>) -> Option<Sp<Vec<http::Method>>> {
    let list = s.texts("methods")?;
    let mut out = Vec::with_capacity(list.value.len());
    if list.value.is_empty() {
        let help = "leave `methods` out to allow all but CONNECT and TRACE";
        s.ctx.report.error(&list.span, "no method is allowed", help);
    }
    for text in &list.value {
        let report = |message: String, help: String| s.ctx.report.error(&text.span, message, help);
        match http::Method::from_bytes(text.value.as_bytes()) {
            Ok(m) if m == http::Method::CONNECT || m == http::Method::TRACE => {
                report(format!("{m} can never be allowed"), format!("leave {m} out"));
            }
            Ok(m) if m.as_str().bytes().any(|b| b.is_ascii_lowercase()) => {
                report(
                    format!("methods are case-sensitive: {m} is not {}", m.as_str().to_uppercase()),
                    format!("write \"{}\"", m.as_str().to_uppercase()),
                );
            }
            Ok(m) => out.push(m),
            Err(_) => {
                report(format!("{} is not a method", quoted(&text.value)), "for example: methods = [\"GET\", \"HEAD\", \"POST\"]".into())
            }
        }
    }
    Some(Sp { value: out, span: list.span })
}

/// A header name in lower case.
pub(super) fn header_name(text: &str) -> Result<String, names::Wrong> {
    match http::HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(_) => {
            let right = text.trim_end_matches(':').trim().replace(' ', "-");
            let right = if http::HeaderName::from_bytes(right.as_bytes()).is_ok() { right } else { String::new() };
            Err((format!("\"{text}\" is not a header name"), right))
        }
    }
}

/// A list of texts, each brought into its canonical form.
pub(super) fn each<T>(s: &Section<'_>, key: &'static str, read: impl Fn(&str) -> Result<T, names::Wrong>) -> Option<Sp<Vec<T>>> {
    let list = s.texts(key)?;
    let mut out = Vec::with_capacity(list.value.len());
    for text in &list.value {
        match read(&text.value) {
            Ok(value) => out.push(value),
            Err((message, right)) => s.ctx.report.error(&text.span, super::section::sentence(&message), super::instead(&right)),
        }
    }
    Some(Sp { value: out, span: list.span })
}
