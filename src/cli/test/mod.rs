//! `portcullis test`: regression tests in the go-ftw format, through the real stack in process or against a running gateway.

mod junit;
mod show;

use super::{FAILED, Format, NEGATIVE, OK, USAGE, report};
use crate::diagnostic::Diagnostic;
use crate::policy;
use crate::rehearse::ftw::{self, Overrides, Test};
use crate::rehearse::{Coverage, Live, Outcome, Place, Scene, Settings, Setup, SetupError, Status, Url, backend, run as run_tests};
use crate::server::StartError;
use regex::Regex;
use show::Progress;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Folders inside folders in which tests are looked for.
const DEPTH_MAX: usize = 16;
/// The tests of the Core Rule Set that we decide otherwise, each with its reason.
const CRS_OVERRIDES: (&str, &str) = ("tests/crs/overrides.yaml", include_str!("../../../tests/crs/overrides.yaml"));

/// Options of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestCommand {
    /// Test files or folders of them; otherwise those beside the policy (tests/), or those of --crs
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Test on the Core Rule Set in this folder, set up as its own tests assume
    #[arg(long, value_name = "DIR", conflicts_with_all = ["rules", "policy"])]
    crs: Option<PathBuf>,
    /// Test on these rule files instead of the baseline
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "policy")]
    rules: Vec<PathBuf>,
    /// Test on a policy: its sites, logins and rules, with the backends replaced
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    policy: Option<PathBuf>,
    /// With -c: requests without credentials come from this user
    #[arg(long, value_name = "NAME", requires = "policy", conflicts_with = "live")]
    user: Option<String>,
    /// Rules only detect, whatever they decide
    #[arg(long, conflicts_with_all = ["crs", "policy", "live"])]
    detect: bool,
    /// The address that requests in process come from
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", conflicts_with = "live")]
    ip: IpAddr,
    /// Test a running gateway at http://HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "URL", value_parser = url, conflicts_with = "rules")]
    live: Option<Url>,
    /// With --live: the audit folder of that gateway; otherwise the one that -c names
    #[arg(long, value_name = "DIR", requires = "live")]
    audit: Option<PathBuf>,
    /// With --live: connect here, whatever DNS says about the URL's host
    #[arg(long, value_name = "ADDRESS:PORT", requires = "live")]
    connect: Option<SocketAddr>,
    /// With --live over https: authorities to trust instead of the system's
    #[arg(long, value_name = "FILE", requires = "live")]
    ca: Option<PathBuf>,
    /// With --live over https: take any certificate
    #[arg(long, requires = "live")]
    dangerously_skip_verification: bool,
    /// Expectations that replace those of the tests; otherwise, with --crs, ours
    #[arg(long, value_name = "FILE")]
    overrides: Option<PathBuf>,
    /// Only tests whose name (rule-test) matches
    #[arg(long, value_name = "REGEX")]
    only: Option<Regex>,
    /// Say as well which rules no test has fired
    #[arg(long, conflicts_with = "live")]
    coverage: bool,
    /// Write a JUnit report as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

fn url(text: &str) -> Result<Url, String> {
    Url::parse(text).ok_or_else(|| "write http://host:port or https://host:port".into())
}

/// Why there is no result.
enum End {
    Mistakes(Vec<Diagnostic>),
    System(String),
}

impl From<StartError> for End {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Policy(list) => Self::Mistakes(list),
            StartError::System(why) => Self::System(why),
        }
    }
}

/// Runs the command; 0 where all tests pass, 1 where one fails, 2 for mistakes in files or usage, 3 for what the system refuses.
pub(super) fn run(command: &TestCommand, format: Format) -> i32 {
    match test(command, format) {
        Ok(true) => OK,
        Ok(false) => NEGATIVE,
        Err(End::Mistakes(list)) => {
            report(&list);
            USAGE
        }
        Err(End::System(why)) => {
            eprintln!("error: {why}");
            FAILED
        }
    }
}

fn test(command: &TestCommand, format: Format) -> Result<bool, End> {
    let started = Instant::now();
    let tests = tests(command).map_err(End::Mistakes)?;
    let overrides = overrides(command).map_err(|d| End::Mistakes(vec![d]))?;
    let mut progress = Progress::new(tests.len());
    let settings = Settings { client: command.ip, ..Settings::default() };
    let mut see = |outcome: &Outcome| progress.step(outcome);
    let (outcomes, loaded) = match &command.live {
        Some(url) => {
            let live = live(command, url).map_err(End::Mistakes)?;
            (run_tests(&tests, &overrides, Place::Live(&live), &settings, &mut see)?, Vec::new())
        }
        None => {
            let backend = backend::start().map_err(|e| End::System(format!("the scripted backend: {e}")))?;
            let scene = Scene::new(&setup(command), backend).map_err(|error| match error {
                SetupError::Mistakes(list) => End::Mistakes(list),
                SetupError::System(why) => End::System(why),
            })?;
            (run_tests(&tests, &overrides, Place::Inside(&scene), &settings, &mut see)?, scene.prepared.rules())
        }
    };
    progress.end();
    let coverage = command.coverage.then(|| Coverage::of(loaded, &outcomes));
    if let Some(path) = &command.junit {
        std::fs::write(path, junit::report(&tests, &outcomes)).map_err(|e| End::System(format!("{}: {e}", path.display())))?;
    }
    match format {
        Format::Human => {
            print!("{}", show::failures(&tests, &outcomes));
            if let Some(coverage) = &coverage {
                print!("{}", show::coverage(coverage));
            }
            println!("{}", show::last_line(&outcomes));
        }
        Format::Json => {
            let mut value = show::json(&tests, &outcomes, started.elapsed());
            if let Some(coverage) = &coverage {
                value["coverage"] = show::coverage_json(coverage);
            }
            println!("{value}");
        }
    }
    Ok(outcomes.iter().all(|o| o.status != Status::Failed))
}

fn setup(command: &TestCommand) -> Setup {
    let detect = command.detect;
    if let Some(directory) = &command.crs {
        return Setup::Crs { directory: directory.clone() };
    }
    if let Some(path) = &command.policy {
        return Setup::Policy { path: path.clone(), user: command.user.clone() };
    }
    if !command.rules.is_empty() {
        return Setup::Rules { files: command.rules.clone(), detect };
    }
    let beside = Path::new("policies/rules");
    Setup::Baseline { directory: beside.is_dir().then(|| beside.to_owned()), detect }
}

fn live(command: &TestCommand, url: &Url) -> Result<Live, Vec<Diagnostic>> {
    let audit = match (&command.audit, &command.policy) {
        (Some(audit), _) => audit.clone(),
        (None, Some(path)) => policy::load(path)?.0.audit.directory,
        (None, None) => {
            let help = "name it with --audit, or the gateway's policy with -c";
            return Err(vec![Diagnostic::file(
                Path::new("--live"),
                "tests are decided by the gateway's audit folder, which is not named",
                help,
            )]);
        }
    };
    Live::new(url, command.connect, command.ca.as_deref(), command.dangerously_skip_verification, &audit).map_err(|d| vec![d])
}

fn overrides(command: &TestCommand) -> Result<Overrides, Diagnostic> {
    match (&command.overrides, &command.crs) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).map_err(|e| Diagnostic::file(path, format!("cannot be read: {e}"), ""))?;
            Overrides::parse(path, &text)
        }
        (None, Some(_)) => Overrides::parse(Path::new(CRS_OVERRIDES.0), CRS_OVERRIDES.1),
        (None, None) => Ok(Overrides::default()),
    }
}

/// The tests of all files, in their order; every mistake in any of them.
fn tests(command: &TestCommand) -> Result<Vec<Test>, Vec<Diagnostic>> {
    let given = if command.paths.is_empty() { vec![usual(command)] } else { command.paths.clone() };
    let (mut files, mut mistakes) = (Vec::new(), Vec::new());
    for path in &given {
        if path.is_dir() {
            collect(path, DEPTH_MAX, &mut files, &mut mistakes);
        } else {
            files.push(path.clone());
        }
    }
    let mut tests = Vec::new();
    for path in &files {
        match ftw::read(path) {
            Ok(file) => tests.extend(file.tests),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if let Some(only) = &command.only {
        tests.retain(|test| only.is_match(&test.name()));
    }
    if tests.is_empty() && mistakes.is_empty() {
        let message = if command.only.is_some() { "no test here has such a name" } else { "there are no tests here" };
        mistakes.push(Diagnostic::file(
            &given[0],
            message,
            "name files (*.yaml, *.yml) or folders of them; docs/testing-policies.md shows one",
        ));
    }
    if mistakes.is_empty() { Ok(tests) } else { Err(mistakes) }
}

/// Where tests are by default.
fn usual(command: &TestCommand) -> PathBuf {
    match (&command.crs, &command.policy) {
        (Some(crs), _) => [crs.join("tests/regression/tests"), crs.join("tests")].into_iter().find(|p| p.is_dir()).unwrap_or(crs.clone()),
        (None, Some(policy)) => policy.parent().unwrap_or(Path::new("")).join("tests"),
        (None, None) => PathBuf::from("policies/tests"),
    }
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>, mistakes: &mut Vec<Diagnostic>) {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>());
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(e) => return mistakes.push(Diagnostic::file(folder, format!("cannot be read: {e}"), "")),
    };
    entries.sort();
    for path in entries {
        if path.is_dir() && depth > 0 {
            collect(&path, depth - 1, files, mistakes);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            files.push(path);
        }
    }
}
