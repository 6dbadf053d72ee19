//! What tests are rehearsed on: an administrator's policy, rule files, the baseline, or the Core Rule Set; with the backend replaced.

use crate::diagnostic::Diagnostic;
use crate::identity::password;
use crate::policy::{Backend, Member, Policy};
use crate::server::{Prepared, prepare_changed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The settings that the Core Rule Set's tests assume.
const CRS: &str = "rules = [\"crs\"]\nparanoia_level = 4\nvariables = { arg_length = 400, arg_name_length = 100, total_arg_length = 6400, \
                   max_num_args = 255, max_file_size = 64100, combined_file_sizes = 65535 }\n";
/// The policy around rules without a policy.
const OPEN: &str = include_str!("open.toml");

/// The state folder's name.
const STATE: &str = "audit-state";

/// What to rehearse.
#[derive(Clone, Debug)]
pub enum Setup {
    /// A policy as it is, but for its backends, its audit folder and its rate limits.
    Policy {
        /// The file.
        path: PathBuf,
        /// The user in whose name requests come that bring no credentials.
        user: Option<String>,
    },
    /// Rule files behind an open site.
    Rules {
        /// The files in their order.
        files: Vec<PathBuf>,
        /// Rules only detect.
        detect: bool,
    },
    /// The baseline behind an open site.
    Baseline {
        /// Its folder; `None` for the built-in one.
        directory: Option<PathBuf>,
        /// Rules only detect.
        detect: bool,
    },
    /// The Core Rule Set as its own tests assume it: paranoia level 4, detecting.
    Crs {
        /// A release or a checkout: `rules/` and `crs-setup.conf` or its example.
        directory: PathBuf,
    },
}

/// Why there is nothing to rehearse on.
#[derive(Debug)]
pub enum SetupError {
    /// Mistakes in the policy or the rules.
    Mistakes(Vec<Diagnostic>),
    /// The system refuses.
    System(String),
}

/// A prepared policy, and the folder that its records go to.
#[derive(Debug)]
pub struct Scene {
    /// The policy with everything it names.
    pub prepared: Prepared,
    /// `Authorization` of requests that bring none.
    pub authorization: Option<String>,
    _folder: Folder,
}

impl Scene {
    /// Prepares it; requests that are let through go to `backend`.
    ///
    /// # Errors
    /// What `check` would say of the policy or the rules; a temporary folder that cannot be made.
    pub fn new(setup: &Setup, backend: SocketAddr) -> Result<Self, SetupError> {
        let system = |e: io::Error| SetupError::System(format!("a temporary folder: {e}"));
        let folder = Folder::new().map_err(system)?;
        // A gateway's trail makes it; what waits for an answer is kept there as well.
        fs::DirBuilder::new().mode(0o700).create(folder.0.join(STATE)).map_err(system)?;
        let mut authorization = None;
        let prepared = match setup {
            Setup::Policy { path, user } => {
                let login = user.as_deref().map(|user| login(&folder, user)).transpose().map_err(system)?;
                let users = login.map(|(users, value)| {
                    authorization = Some(value);
                    users
                });
                prepare_changed(path, |policy| change(policy, backend, &folder.0, users.as_deref()))
            }
            Setup::Rules { files, .. } if files.iter().any(|f| !f.is_file()) => {
                Err(files.iter().filter(|f| !f.is_file()).map(|f| Diagnostic::file(f, "there is no such file", "")).collect())
            }
            Setup::Rules { files, detect } => open(&folder, backend, *detect, &rules(files).map_err(system)?),
            Setup::Baseline { directory, detect } => {
                let directory = directory.as_ref().map(std::path::absolute).transpose().map_err(system)?;
                let directory = directory.map(|d| format!("baseline_directory = {}\n", quoted(&d))).unwrap_or_default();
                // All its rules run, so that those of higher paranoia levels are tested as well; the first level alone counts.
                let levels = "paranoia_level = 1\ndetection_paranoia_level = 4\n";
                open(&folder, backend, *detect, &format!("rules = [\"baseline\"]\n{levels}{directory}"))
            }
            Setup::Crs { directory } => {
                let rules = directory.join("rules");
                if !rules.is_dir() {
                    let help = "name a release or a checkout of the Core Rule Set";
                    return Err(SetupError::Mistakes(vec![Diagnostic::file(directory, "there is no folder rules here", help)]));
                }
                let directory = std::path::absolute(directory).map_err(system)?;
                open(&folder, backend, true, &format!("{CRS}crs_directory = {}\n", quoted(&directory)))
            }
        };
        Ok(Self { prepared: prepared.map_err(SetupError::Mistakes)?, authorization, _folder: folder })
    }
}

fn open(folder: &Folder, backend: SocketAddr, detect: bool, rules: &str) -> Result<Prepared, Vec<Diagnostic>> {
    let mode = if detect { "detect" } else { "block" };
    let text = OPEN.replace("{mode}", mode).replace("{backend}", &backend.to_string()).replace("{rules}", rules);
    let path = folder.0.join("gateway.toml");
    folder.write("gateway.toml", &text).map_err(|e| vec![Diagnostic::file(&path, format!("cannot be written: {e}"), "")])?;
    prepare_changed(&path, |_| {})
}

fn rules(files: &[PathBuf]) -> io::Result<String> {
    let files = files.iter().map(|f| std::path::absolute(f).map(|f| quoted(&f))).collect::<io::Result<Vec<_>>>()?;
    Ok(format!("rules = [{}]\n", files.join(", ")))
}

/// A path as a TOML string; TOML's escapes are JSON's.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

/// An htpasswd file for one user with a random password, and the header that goes with it: the login is the real one.
fn login(folder: &Folder, user: &str) -> io::Result<(PathBuf, String)> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let secret = STANDARD.encode(random);
    let hash = password::hash(secret.as_bytes(), password::NewScheme::Bcrypt).map_err(io::Error::other)?;
    folder.write("htpasswd", &format!("{user}:{hash}\n"))?;
    Ok((folder.0.join("htpasswd"), format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))))
}

/// Turns every backend into the scripted one, and takes out what would touch or depend on the world outside.
fn change(policy: &mut Policy, backend: SocketAddr, folder: &Path, users: Option<&Path>) {
    policy.audit.directory = folder.join("audit");
    policy.audit.state_directory = folder.join(STATE);
    policy.audit.retention_days = None;
    for named in &mut policy.backends {
        let member = |member: &Member| Member { tls: None, port: backend.port(), address: Some(backend.ip()), ..member.clone() };
        let Backend { index, name, members, .. } = &**named;
        let members = members.iter().map(member).collect();
        *named = Arc::new(Backend { index: *index, name: name.clone(), members, ..**named });
    }
    for site in &mut policy.sites {
        let Some(site) = Arc::get_mut(site) else { continue };
        for map in site.maps.iter_mut().chain([&mut site.unmapped]).chain(&mut site.account_page) {
            let Some(map) = Arc::get_mut(map) else { continue };
            // A run of tests comes faster than any person; limits have tests of their own.
            map.rate = None;
            map.in_flight_max = None;
            map.backend = map.backend.as_ref().and_then(|b| policy.backends.get(b.index)).cloned();
            if let (Some(users), Some(_)) = (users, &map.auth.users) {
                map.auth.users = Some(users.to_owned());
            }
        }
    }
}

/// A folder for this process's user only, that goes with the value.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let random = getrandom::u64().map_err(io::Error::other)?;
        let path = std::env::temp_dir().join(format!("portcullis-test-{random:016x}"));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.0.join(name), text)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
