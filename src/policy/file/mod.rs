//! `gateway.toml`: what an administrator may write, read into what is meant.

mod accounts;
mod backend;
mod cross;
mod exclusion;
mod files;
mod inspection;
pub mod keys;
mod map;
mod names;
mod paths;
mod report;
mod require;
mod resolve;
mod section;
mod server;
mod settings;
mod ship;
mod site;
mod suggest;
mod tree;

pub use files::{Disk, Files, Memory, State};

use super::{CertificateFiles, Policy, RuleSetSource, SiteName};
use crate::diagnostic::Diagnostic;
use crate::limits::POLICY_FILE_BYTES_MAX;
use report::Report;
use section::Section;
use settings::Level;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tree::Sp;

/// A policy with its warnings, or every mistake that keeps it from being one.
pub type Loaded = Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>>;

/// All that one reading of a policy finds out, with or without mistakes.
#[derive(Debug)]
pub struct Examined {
    /// The policy; `None` where there is an error.
    pub policy: Option<Policy>,
    /// Errors and warnings in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// The files it names that are there, so that their content can be checked in the same run even when the policy has
    /// errors of its own.
    pub named: Vec<Named>,
}

impl Examined {
    /// The policy with its warnings, or the mistakes.
    ///
    /// # Errors
    /// Every diagnostic, where at least one is an error.
    pub fn into_result(self) -> Loaded {
        match self.policy {
            Some(policy) => Ok((policy, self.diagnostics)),
            None => Err(self.diagnostics),
        }
    }
}

/// A file or folder that a policy names, whose content is for other modules to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A password file.
    Users {
        /// Where it is.
        path: PathBuf,
        /// Whether DES crypt hashes are accepted in it.
        dangerously_allow_des: bool,
    },
    /// A group file.
    Groups {
        /// Where it is.
        path: PathBuf,
    },
    /// A site's certificate.
    Certificate {
        /// Its files.
        files: CertificateFiles,
        /// The names it should carry.
        names: Vec<SiteName>,
    },
    /// Authorities trusted for a backend.
    Authorities {
        /// Where they are.
        path: PathBuf,
    },
    /// A rule set.
    Rules(RuleSetSource),
    /// The folder of the error pages.
    Pages {
        /// Where it is.
        path: PathBuf,
    },
}

/// Reads a policy from the disk.
///
/// # Errors
/// Every mistake in the file, and warnings among them.
pub fn load(path: &Path) -> Loaded {
    examine(path, &Disk).into_result()
}

/// Reads a policy from its text; the files it names are looked for in `files`.
///
/// # Errors
/// Every mistake in the text, and warnings among them.
pub fn parse(path: &Path, text: &str, files: &dyn Files) -> Loaded {
    examine_text(path, text, files).into_result()
}

/// Reads a policy and says all that can be said about it.
pub fn examine(path: &Path, files: &dyn Files) -> Examined {
    let unreadable = |message: String, help: &str| Examined {
        policy: None,
        diagnostics: vec![Diagnostic::file(path, message, help)],
        named: Vec::new(),
    };
    match files.state(path) {
        State::File => {}
        State::Missing => {
            return unreadable(
                "there is no such file".into(),
                "name the policy with -c, or start from the example in policies/gateway.toml",
            );
        }
        State::Directory => return unreadable("this is a folder, not a file".into(), "name the gateway.toml in it"),
        State::Unreadable(why) => {
            return unreadable(format!("cannot be read: {why}"), "the user that runs the gateway must be able to read it");
        }
    }
    let bytes = match files.read(path, POLICY_FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) => return unreadable(format!("cannot be read: {}", files::plain(&e)), ""),
    };
    match String::from_utf8(bytes) {
        Ok(text) => examine_text(path, &text, files),
        Err(e) => {
            let at = e.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(e.as_bytes());
            if matches!(e.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
                return unreadable("this is UTF-16, not UTF-8".into(), "save the file as UTF-8");
            }
            let d = Diagnostic::at(path, &text, at..at + 1, "this is not UTF-8", "save the file as UTF-8");
            Examined { policy: None, diagnostics: vec![d], named: Vec::new() }
        }
    }
}

/// The same for a policy's text.
pub fn examine_text(path: &Path, text: &str, files: &dyn Files) -> Examined {
    let ctx = Ctx::new(path, text, files);
    let (table, errors) = tree::parse(text);
    for error in &errors {
        ctx.report.syntax(error);
    }
    let policy = read(&ctx, path, &table);
    let policy = if ctx.report.has_errors() { None } else { Some(policy) };
    Examined { policy, named: ctx.named.into_inner(), diagnostics: ctx.report.finish() }
}

/// The whole file. What has mistakes is left out or replaced, and the result then thrown away.
fn read(ctx: &Ctx<'_>, path: &Path, table: &tree::Table) -> Policy {
    let root = Section::root(ctx, table);
    let listeners = server::listeners(&root);
    let global = Level::global(&root);
    let admin = server::admin(&root, &global);
    server::admin_apart(ctx, admin.as_ref(), &listeners);
    resolve::auth_files(ctx, &global);
    let backends = backend::read(&root);
    let places = inspection::Places::read(ctx, &root);
    let surroundings = site::Surroundings::new(&listeners, &backends, &places);
    let sites = site::read(&root, &global, &surroundings);
    cross::check(ctx, &listeners, admin.as_ref(), &backends, &sites);
    let forward = root.table("forward", false);
    let pages = server::pages(&root);
    if let Some(path) = &pages {
        ctx.name(Named::Pages { path: path.clone() });
    }
    Policy {
        path: path.to_owned(),
        log: server::log(&root),
        audit: server::audit(&root, admin.as_ref().is_some_and(|a| a.value.console.is_some())),
        admin: admin.map(|a| a.value),
        limits: server::client_limits(&root),
        inspection: inspection::bounds(&root),
        pages,
        trusted_proxies: forward
            .as_ref()
            .and_then(|f| settings::each(f, "trusted_proxies", names::network))
            .map(|l| l.value)
            .unwrap_or_default(),
        pseudonym: forward.as_ref().and_then(pseudonym).unwrap_or_else(|| "portcullis".to_owned()),
        listeners: listeners.into_iter().map(|l| l.value).collect(),
        backends: backends.into_iter().map(|b| b.backend).collect(),
        sites: sites.into_iter().map(|s| s.site).collect(),
        rule_sets: ctx.rule_sets.borrow().clone(),
    }
}

/// Our name in `Via`: a token (RFC 9110 section 7.6.3).
fn pseudonym(forward: &Section<'_>) -> Option<String> {
    let name = forward.text("pseudonym")?;
    if http::HeaderName::from_bytes(name.value.as_bytes()).is_err() {
        forward.ctx.report.error(&name.span, "a pseudonym is one word of letters, digits and `-._`", "for example: pseudonym = \"gate1\"");
    }
    Some(name.value)
}

/// The help line for a mistake whose right form is known; empty where it is not.
fn instead(right: &str) -> String {
    if right.is_empty() { String::new() } else { format!("write {}", section::quoted(right)) }
}

/// What must stand at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    File,
    Directory,
    /// It is made when it is needed.
    Anything,
}

/// What all readers share.
struct Ctx<'a> {
    report: Report<'a>,
    files: &'a dyn Files,
    /// The folder of the file; paths are relative to it.
    base: PathBuf,
    file_name: String,
    named: RefCell<Vec<Named>>,
    absent: RefCell<BTreeSet<PathBuf>>,
    faulty: RefCell<BTreeSet<&'static str>>,
    rule_sets: RefCell<Vec<RuleSetSource>>,
    rates: Cell<usize>,
    exclusions: Cell<usize>,
}

impl<'a> Ctx<'a> {
    fn new(path: &'a Path, text: &'a str, files: &'a dyn Files) -> Self {
        Self {
            report: Report::new(path, text),
            files,
            base: path.parent().unwrap_or(Path::new("")).to_owned(),
            file_name: path.file_name().map_or_else(|| "gateway.toml".to_owned(), |n| n.to_string_lossy().into_owned()),
            named: RefCell::default(),
            absent: RefCell::default(),
            faulty: RefCell::default(),
            rule_sets: RefCell::default(),
            rates: Cell::new(0),
            exclusions: Cell::new(0),
        }
    }

    /// A path of the file, made relative to where the gateway runs, and looked at.
    fn resolve(&self, key: &'static str, text: &Sp<String>, expect: Expect) -> PathBuf {
        let path = self.base.join(&text.value);
        let shown = section::shown(&path.display().to_string());
        let problem = match (self.files.state(&path), expect) {
            (_, Expect::Anything) | (State::File, Expect::File) | (State::Directory, Expect::Directory) => return path,
            (State::Missing, _) => format!("there is no {shown}"),
            (State::Unreadable(why), _) => format!("{shown} cannot be read: {why}"),
            (State::Directory, Expect::File) => format!("{shown} is a folder, not a file"),
            (State::File, Expect::Directory) => format!("{shown} is a file, not a folder"),
        };
        let help = match key {
            "users" => "`portcullis auth add` writes one; paths are relative to the folder of this file",
            "certificate" | "key" => "`portcullis cert self-signed` makes one to try; paths are relative to the folder of this file",
            _ => "paths are relative to the folder of this file",
        };
        self.report.error(&text.span, problem, help);
        self.absent.borrow_mut().insert(path.clone());
        path
    }

    fn is_absent(&self, path: &Path) -> bool {
        self.absent.borrow().contains(path)
    }

    /// Notes that a key is written with a mistake, so that it is not called missing as well.
    fn faulty(&self, key: &'static str) {
        self.faulty.borrow_mut().insert(key);
    }

    fn is_faulty(&self, key: &'static str) -> bool {
        self.faulty.borrow().contains(key)
    }

    /// Notes a file for other modules to check, once, where it is there.
    fn name(&self, named: Named) {
        let there = match &named {
            Named::Users { path, .. } | Named::Groups { path } | Named::Authorities { path } | Named::Pages { path } => {
                !self.is_absent(path)
            }
            Named::Certificate { files, .. } => {
                ![Some(&files.certificate), files.key.as_ref(), files.chain.as_ref()].into_iter().flatten().any(|p| self.is_absent(p))
            }
            Named::Rules(RuleSetSource::Crs(files)) => !files.engine.iter().chain([&files.setup]).any(|p| self.is_absent(p)),
            Named::Rules(RuleSetSource::Files(list)) => !list.iter().any(|p| self.is_absent(p)),
            Named::Rules(RuleSetSource::Baseline { directory }) => !directory.as_ref().is_some_and(|d| self.is_absent(d)),
        };
        let mut list = self.named.borrow_mut();
        if there && !list.contains(&named) {
            list.push(named);
        }
    }

    /// The place of a rule set among those of the policy.
    fn rule_set(&self, source: RuleSetSource) -> usize {
        self.name(Named::Rules(source.clone()));
        let mut list = self.rule_sets.borrow_mut();
        list.iter().position(|s| *s == source).unwrap_or_else(|| {
            list.push(source);
            list.len() - 1
        })
    }

    fn next_exclusion(&self) -> usize {
        self.exclusions.replace(self.exclusions.get() + 1)
    }

    fn next_rate(&self) -> usize {
        self.rates.replace(self.rates.get() + 1)
    }
}
