//! `[inspection]`: the mode, the rule sets with their files and settings, what happens to bodies.

use super::names::Wrong;
use super::section::{Section, quoted, shown};
use super::settings::{Level, each, narrowable};
use super::tree::{Sp, Value};
use super::{Ctx, Expect, State};
use crate::limits;
use crate::policy::{CrsFiles, InspectionLimits, InspectionMode, InspectionSettings, OverLimit, POLICY_VARIABLE, RuleSetSource};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The first file of every release of the Core Rule Set since version 3.
const CRS_SIGN: &str = "REQUEST-901-INITIALIZATION.conf";
/// Where Debian's package keeps what administrators may change.
const DEBIAN_SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
/// The largest threshold: no request scores more.
const THRESHOLD_MAX: i64 = 1_000_000;

/// One entry of `rules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RuleItem {
    Baseline,
    Crs,
    File(PathBuf),
}

/// `variables`: names and values in the order of the file.
type Variables = Vec<(String, String)>;

narrowable! {
    /// `[inspection]`.
    InspectionFile {
        mode: InspectionMode,
        rules: Vec<Sp<RuleItem>>,
        paranoia_level: u8,
        detection_paranoia_level: u8,
        inbound_threshold: u32,
        outbound_threshold: u32,
        variables: Variables,
        request_body_bytes_max: usize,
        request_body_no_files_bytes_max: usize,
        over_limit: OverLimit,
        response_bodies: bool,
        response_body_bytes_max: usize,
        response_over_limit: OverLimit,
        on_error_closed: bool,
    }
}

/// The wider level's settings with those of `narrow` in their place, variables name by name.
pub(super) fn narrowed(wide: &InspectionFile, narrow: &InspectionFile) -> InspectionFile {
    let mut both = wide.narrowed(narrow);
    if let (Some(wide), Some(narrow), Some(both)) = (&wide.variables, &narrow.variables, &mut both.variables) {
        let kept = wide.value.iter().filter(|(name, _)| !narrow.value.iter().any(|(other, _)| other == name));
        both.value = kept.chain(&narrow.value).cloned().collect();
    }
    both
}

/// Reads the table at one level.
pub(super) fn read(s: &Section<'_>) -> InspectionFile {
    let modes = [("block", InspectionMode::Block), ("detect", InspectionMode::Detect), ("off", InspectionMode::Off)];
    let over = [("refuse", OverLimit::Refuse), ("partial", OverLimit::Partial)];
    InspectionFile {
        mode: s.choice("mode", &modes),
        rules: s.texts("rules").map(|list| rules(s, list)),
        paranoia_level: s.number("paranoia_level", 1..=4),
        detection_paranoia_level: s.number("detection_paranoia_level", 1..=4),
        inbound_threshold: s.number("inbound_threshold", 1..=THRESHOLD_MAX),
        outbound_threshold: s.number("outbound_threshold", 1..=THRESHOLD_MAX),
        variables: variables(s),
        request_body_bytes_max: s.number("request_body_bytes_max", 0..=1 << 30),
        request_body_no_files_bytes_max: s.number("request_body_no_files_bytes_max", 0..=1 << 30),
        over_limit: s.choice("over_limit", &over),
        response_bodies: s.flag("response_bodies"),
        response_body_bytes_max: s.number("response_body_bytes_max", 0..=1 << 30),
        response_over_limit: s.choice("response_over_limit", &over),
        on_error_closed: s.choice("on_error", &[("closed", true), ("open", false)]),
    }
}

/// What may be held over all requests, and who is asked about block lists.
pub(super) fn bounds(root: &Section<'_>) -> InspectionLimits {
    let (table, inspection) = (root.table("limits", false), root.table("inspection", false));
    let number = |key, most: i64| table.as_ref().and_then(|s| s.number::<u64>(key, 0..=most)).map(|n| n.value);
    let memory = number("inspection_memory_bytes_max", 1 << 40).and_then(|n| usize::try_from(n).ok());
    InspectionLimits {
        memory_bytes_max: memory.unwrap_or(limits::INSPECTION_MEMORY_BYTES_MAX),
        disk_bytes_max: number("inspection_disk_bytes_max", 1 << 44).unwrap_or(limits::INSPECTION_DISK_BYTES_MAX),
        spill_directory: inspection.as_ref().and_then(|s| s.path("spill_directory", Expect::Directory)).map(|d| d.value),
        rbl_name_servers: inspection.as_ref().and_then(|s| each(s, "rbl_name_servers", name_server)).map(|l| l.value).unwrap_or_default(),
    }
}

fn name_server(text: &str) -> Result<SocketAddr, Wrong> {
    let bare: Option<IpAddr> = text.trim().parse().ok();
    let right = bare.map(|address| SocketAddr::new(address, 53).to_string()).unwrap_or_default();
    text.parse().map_err(|_| (format!("\"{text}\" is not the address and port of a name server"), right))
}

fn rules(s: &Section<'_>, list: Sp<Vec<Sp<String>>>) -> Sp<Vec<Sp<RuleItem>>> {
    if list.value.is_empty() {
        s.ctx.report.error(&list.span, "no rule set is named", "to inspect nothing, write mode = \"off\"");
    }
    list.map(|items| {
        let mut out: Vec<Sp<RuleItem>> = Vec::with_capacity(items.len());
        for text in items {
            let item = match text.value.as_str() {
                "baseline" => RuleItem::Baseline,
                "crs" => RuleItem::Crs,
                _ => RuleItem::File(s.ctx.resolve("rules", &text, Expect::File)),
            };
            if out.iter().any(|o| o.value == item) {
                s.ctx.report.error(&text.span, format!("{} stands here twice", quoted(&text.value)), "leave one out");
            }
            out.push(Sp { value: item, span: text.span });
        }
        out
    })
}

fn variables(s: &Section<'_>) -> Option<Sp<Variables>> {
    let node = s.raw("variables")?;
    let Value::Table(table) = &node.value else {
        s.wrong("variables", node, "a table of names and values");
        return None;
    };
    let report = &s.ctx.report;
    let mut list = Variables::new();
    for entry in &table.entries {
        let (name, value) = (entry.key.value.as_str(), &entry.value);
        if name.len() > limits::RULE_VARIABLE_BYTES_MAX || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') || name.is_empty()
        {
            let message = format!("{} is not a variable's name", quoted(name));
            report.error(&entry.key.span, message, "names have letters, digits and `_`: tx.arg_length is arg_length here");
            continue;
        }
        let text = match &value.value {
            Value::Integer(Some(number)) => number.to_string(),
            Value::Text(text) if text.len() <= limits::RULE_VARIABLE_BYTES_MAX && !text.chars().any(char::is_control) => text.clone(),
            Value::Text(_) => {
                let message = format!("`{name}` is too long or has a control character");
                report.error(&value.span, message, format!("a value is one line of at most {} bytes", limits::RULE_VARIABLE_BYTES_MAX));
                continue;
            }
            other => {
                let message = format!("`{name}` is a number or a text, not {}", other.kind());
                report.error(&value.span, message, "for example: variables = { arg_length = 400 }");
                continue;
            }
        };
        if let Some(key) = key_for(name) {
            let message = format!("`{name}` has a key of its own");
            report.error(&entry.key.span, message, format!("write {key} = {text} in the table itself"));
        }
        list.push((name.to_owned(), text));
    }
    if list.len() > limits::RULE_VARIABLES_MAX {
        report.error(&node.span, format!("these are more than {} variables", limits::RULE_VARIABLES_MAX), "write them in a rule file");
    }
    Some(Sp { value: list, span: node.span.clone() })
}

/// The names that rule sets give to what a key says: the Core Rule Set 4, the Core Rule Set 3, the baseline.
const NAMES: &[(&str, &[&str], &str)] = &[
    ("paranoia_level", &["blocking_paranoia_level", "paranoia_level"], "baseline_paranoia_level"),
    ("detection_paranoia_level", &["detection_paranoia_level", "executing_paranoia_level"], "baseline_detection_level"),
    ("inbound_threshold", &["inbound_anomaly_score_threshold"], "baseline_threshold"),
    ("outbound_threshold", &["outbound_anomaly_score_threshold"], ""),
];

fn key_for(variable: &str) -> Option<&'static str> {
    let name = |(_, crs, baseline): &(_, &[&str], &str)| crs.iter().chain([baseline]).any(|own| own.eq_ignore_ascii_case(variable));
    NAMES.iter().find(|row| name(row)).map(|row| row.0)
}

/// Where the rule sets' files are.
pub(super) struct Places {
    baseline: Option<PathBuf>,
    /// What is wrong where the Core Rule Set is not there; empty where it was already said.
    crs: Result<CrsFiles, (String, String)>,
}

impl Places {
    /// Looks at the keys of `[inspection]` that say it, and at the disk.
    pub(super) fn read(ctx: &Ctx<'_>, root: &Section<'_>) -> Self {
        let table = root.table("inspection", false);
        let written = |key: &'static str, expect: Expect| table.as_ref().and_then(|s| s.path(key, expect));
        // As written, else `rules/` beside the policy, else built in.
        let beside = ctx.base.join("rules");
        let baseline = written("baseline_directory", Expect::Directory).map(|w| w.value);
        let baseline = baseline.or_else(|| (ctx.files.state(&beside) == State::Directory).then_some(beside));
        let setup = written("crs_setup_file", Expect::File).map(|w| w.value);
        let engine = written("engine_file", Expect::File).map(|w| w.value);
        let directory = written("crs_directory", Expect::Directory);
        let crs = match &directory {
            Some(directory) if ctx.is_absent(&directory.value) => Err(Default::default()),
            Some(directory) => {
                let found = crs_files(ctx, &directory.value, setup, engine);
                found.map_err(|(message, help)| {
                    ctx.report.error(&directory.span, message, help);
                    Default::default()
                })
            }
            None if table.as_ref().is_some_and(|s| s.has("crs_directory")) => Err(Default::default()),
            None => crs_files(ctx, &ctx.base.join("crs"), setup, engine),
        };
        Self { baseline, crs }
    }
}

/// The files of a release as unpacked, or of Debian's package.
fn crs_files(ctx: &Ctx<'_>, directory: &Path, setup: Option<PathBuf>, engine: Option<PathBuf>) -> Result<CrsFiles, (String, String)> {
    let is = |path: &Path, state: State| ctx.files.state(path) == state;
    let rules = directory.join("rules");
    if !is(&rules.join(CRS_SIGN), State::File) {
        let message = format!("the Core Rule Set is not in {}: there is no rules/{CRS_SIGN}", shown(&directory.display().to_string()));
        let help = "unpack a release and name its folder with crs_directory; Debian's package is in \"/usr/share/modsecurity-crs\"";
        return Err((message, help.to_owned()));
    }
    let debian = is(&directory.join("owasp-crs.load"), State::File).then(|| PathBuf::from(DEBIAN_SETUP));
    let candidates = [Some(directory.join("crs-setup.conf")), debian, Some(directory.join("crs-setup.conf.example"))];
    let setup = setup.or_else(|| candidates.into_iter().flatten().find(|path| is(path, State::File)));
    let Some(setup) = setup else {
        let message = format!("{} has neither crs-setup.conf nor its example", shown(&directory.display().to_string()));
        return Err((message, "name the setup file with crs_setup_file".to_owned()));
    };
    let home = setup.parent().unwrap_or(Path::new("")).to_owned();
    let beside = |name: &str| Some(home.join(name)).filter(|path| home != rules && is(path, State::File));
    let mut plugins: Vec<PathBuf> = vec![directory.join("plugins"), home.join("plugins")];
    plugins.dedup();
    plugins.retain(|path| is(path, State::Directory));
    Ok(CrsFiles {
        engine,
        before: beside("REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf"),
        after: beside("RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf"),
        setup,
        rules,
        plugins,
    })
}

/// What layer 4 reads at a map.
pub(super) fn resolve(ctx: &Ctx<'_>, level: &Level, places: &Places) -> InspectionSettings {
    let i = &level.inspection;
    let mode = i.mode.as_ref().map_or(InspectionMode::Block, |m| m.value);
    let sources = if mode == InspectionMode::Off { Vec::new() } else { sources(ctx, i, places) };
    if let (Some(counts), Some(runs)) = (&i.paranoia_level, &i.detection_paranoia_level)
        && runs.value < counts.value
    {
        let message = format!("the rules of level {} would count without having run", counts.value);
        ctx.report.error(&runs.span, message, format!("write detection_paranoia_level = {0} or more, or leave it out", counts.value));
    }
    InspectionSettings {
        mode,
        variables: transaction_variables(i, &sources),
        rule_sets: sources.into_iter().map(|s| ctx.rule_set(s)).collect(),
        exclusions: if mode == InspectionMode::Off { Vec::new() } else { level.exclusions.clone() },
        request_body_bytes_max: i.request_body_bytes_max.as_ref().map(|v| v.value),
        request_body_no_files_bytes_max: i.request_body_no_files_bytes_max.as_ref().map(|v| v.value),
        over_limit: i.over_limit.as_ref().map(|v| v.value),
        response_bodies: i.response_bodies.as_ref().map(|v| v.value),
        response_body_bytes_max: i.response_body_bytes_max.as_ref().map(|v| v.value),
        response_over_limit: i.response_over_limit.as_ref().map(|v| v.value),
        on_error_closed: i.on_error_closed.as_ref().is_none_or(|v| v.value),
    }
}

fn sources(ctx: &Ctx<'_>, i: &InspectionFile, places: &Places) -> Vec<RuleSetSource> {
    let mut sources: Vec<RuleSetSource> = Vec::new();
    let baseline = || RuleSetSource::Baseline { directory: places.baseline.clone() };
    let Some(rules) = &i.rules else { return vec![baseline()] };
    for item in &rules.value {
        match (&item.value, sources.last_mut()) {
            (RuleItem::Baseline, _) => sources.push(baseline()),
            (RuleItem::Crs, _) => match &places.crs {
                Ok(files) => sources.push(RuleSetSource::Crs(files.clone())),
                Err((message, _)) if message.is_empty() => {}
                Err((message, help)) => ctx.report.error(&item.span, message.clone(), help.clone()),
            },
            (RuleItem::File(path), Some(RuleSetSource::Files(list))) => list.push(path.clone()),
            (RuleItem::File(path), _) => sources.push(RuleSetSource::Files(vec![path.clone()])),
        }
    }
    sources
}

/// The keys as variables of TX, under the names that the rule sets read.
fn transaction_variables(i: &InspectionFile, sources: &[RuleSetSource]) -> Variables {
    let has = |wanted: fn(&RuleSetSource) -> bool| sources.iter().any(wanted);
    let (baseline, crs) = (has(|s| matches!(s, RuleSetSource::Baseline { .. })), has(|s| matches!(s, RuleSetSource::Crs(_))));
    // Rule files may hold a rule set with any names.
    let others = crs || has(|s| matches!(s, RuleSetSource::Files(_)));
    let values = [
        i.paranoia_level.as_ref().map(|v| v.value.to_string()),
        i.detection_paranoia_level.as_ref().or(i.paranoia_level.as_ref()).map(|v| v.value.to_string()),
        i.inbound_threshold.as_ref().map(|v| v.value.to_string()),
        i.outbound_threshold.as_ref().map(|v| v.value.to_string()),
    ];
    let under = if crs { POLICY_VARIABLE } else { "" };
    let mut list = Variables::new();
    for ((_, names, own), value) in NAMES.iter().zip(values) {
        let Some(value) = value else { continue };
        if others {
            list.extend(names.iter().map(|name| (format!("{under}{name}"), value.clone())));
        }
        if baseline && !own.is_empty() {
            list.push(((*own).to_owned(), value));
        }
    }
    for (name, value) in i.variables.iter().flat_map(|v| &v.value) {
        let under = if name.starts_with("baseline_") { "" } else { under };
        list.push((format!("{under}{name}"), value.clone()));
    }
    list
}
