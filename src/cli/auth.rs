//! `portcullis auth`: users, passwords, groups.

mod requests;
mod whocan;

use super::{FAILED, Format, OK, PolicyFile, USAGE, report};
use crate::diagnostic::Diagnostic;
use crate::identity::password::{self, NewScheme};
use crate::identity::replace::{PEOPLE_MODE, replace};
use crate::identity::{edit, groups, htpasswd, name};
use crate::layers::door::Door;
use crate::limits::PASSWORD_BYTES_MAX;
use crate::policy;
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum AuthCommand {
    /// Print the hash of a password
    Hash {
        #[command(flatten)]
        password: PasswordOptions,
    },
    /// Add a user to a password file, or give them a new password
    Add {
        /// The password file; made when it does not exist
        file: PathBuf,
        /// The user
        user: String,
        #[command(flatten)]
        password: PasswordOptions,
        /// The group file
        #[arg(long, value_name = "FILE")]
        groups: Option<PathBuf>,
        /// A group to put the user in; may be given several times
        #[arg(long = "group", value_name = "GROUP", requires = "groups")]
        group: Vec<String>,
    },
    /// Remove a user from a password file and from every group
    Remove {
        /// The password file
        file: PathBuf,
        /// The user
        user: String,
        /// The group file
        #[arg(long, value_name = "FILE")]
        groups: Option<PathBuf>,
    },
    /// List the users of a password file with the scheme of their hash and their groups
    List {
        /// The password file
        file: PathBuf,
        /// The group file
        #[arg(long, value_name = "FILE")]
        groups: Option<PathBuf>,
    },
    /// List the people who asked for an account and wait for an answer
    Requests {
        #[command(flatten)]
        policy: PolicyFile,
    },
    /// Make an account of a request: the user goes into the site's password file, and into the groups
    Approve {
        /// The request's id, or the beginning of it
        id: String,
        /// A group to put the user in; may be given several times
        #[arg(long = "group", value_name = "GROUP")]
        group: Vec<String>,
        #[command(flatten)]
        policy: PolicyFile,
    },
    /// Turn a request down
    Reject {
        /// The request's id, or the beginning of it
        id: String,
        #[command(flatten)]
        policy: PolicyFile,
    },
    /// Say who may use a URL, and from where
    Whocan {
        /// The URL, as https://mail.example.com/exchange
        url: String,
        #[command(flatten)]
        policy: PolicyFile,
    },
}

/// How a password is read and hashed. It is never an argument, where every process of the machine could read it.
#[derive(Debug, clap::Args)]
pub(super) struct PasswordOptions {
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    stdin: bool,
    /// The scheme of the hash
    #[arg(long, value_enum, default_value_t = SchemeName::Bcrypt)]
    scheme: SchemeName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SchemeName {
    /// bcrypt, as Apache's htpasswd -B
    Bcrypt,
    /// SHA-512-crypt
    Sha512,
    /// argon2id; Apache cannot verify it
    Argon2id,
}

/// Why a command failed, with its exit code.
struct Failure(i32, String);

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self(USAGE, message.into())
    }

    fn failed(message: impl Into<String>) -> Self {
        Self(FAILED, message.into())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

pub(super) fn run(command: AuthCommand, format: Format) -> i32 {
    let outcome = match command {
        AuthCommand::Hash { password } => new_hash(&password).map(|hash| {
            match format {
                Format::Human => println!("{hash}"),
                Format::Json => println!("{}", json!({ "hash": hash })),
            }
            OK
        }),
        AuthCommand::Add { file, user, password, groups, group } => add(&file, &user, &password, groups.as_deref(), &group),
        AuthCommand::Remove { file, user, groups } => remove(&file, &user, groups.as_deref()),
        AuthCommand::List { file, groups } => Ok(list(&file, groups.as_deref(), format)),
        AuthCommand::Requests { policy } => requests::list(&policy, format),
        AuthCommand::Approve { id, group, policy } => requests::approve(&policy, &id, &group),
        AuthCommand::Reject { id, policy } => requests::reject(&policy, &id),
        AuthCommand::Whocan { url, policy } => who(&url, &policy, format),
    };
    outcome.unwrap_or_else(|Failure(code, message)| {
        eprintln!("error: {message}");
        code
    })
}

fn new_hash(options: &PasswordOptions) -> Result<String, Failure> {
    let password = if options.stdin { from_stdin()? } else { from_terminal()? };
    let scheme = match options.scheme {
        SchemeName::Bcrypt => NewScheme::Bcrypt,
        SchemeName::Sha512 => NewScheme::Sha512,
        SchemeName::Argon2id => NewScheme::Argon2id,
    };
    password::hash(password.as_bytes(), scheme).map_err(|e| Failure::usage(e.to_string()))
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let stdin = std::io::stdin().lock();
    stdin.take(PASSWORD_BYTES_MAX as u64 + 3).read_to_string(&mut text).map_err(|e| Failure::failed(format!("standard input: {e}")))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn from_terminal() -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask for the password; give it on standard input with --stdin"));
    }
    let ask = |prompt| rpassword::prompt_password(prompt).map_err(|e| Failure::failed(format!("the terminal: {e}")));
    let password = ask("New password: ")?;
    if ask("The same again: ")? == password { Ok(password) } else { Err(Failure::usage("the two passwords differ; nothing was changed")) }
}

/// A name that both files can hold and a client can send.
fn checked_name(what: &str, text: &str) -> Result<(), Failure> {
    name::mistake(text).map_or(Ok(()), |why| Err(Failure::usage(format!("{what} {why}"))))
}

fn add(file: &Path, user: &str, options: &PasswordOptions, groups: Option<&Path>, names: &[String]) -> Result<i32, Failure> {
    checked_name("the user's name", user)?;
    names.iter().try_for_each(|name| checked_name("the group's name", name))?;
    let hash = new_hash(options)?;
    let known = replace(file, Some(PEOPLE_MODE), |content| {
        let next = edit::set_user(content, user, &hash);
        let known = next.lines().count() == content.lines().count();
        Some((next, known))
    })?;
    eprintln!("{}: {user} {}", file.display(), if known == Some(true) { "has a new password" } else { "added" });
    if let Some(groups) = groups.filter(|_| !names.is_empty()) {
        replace(groups, Some(PEOPLE_MODE), |content| {
            let next = names.iter().fold(content.to_owned(), |content, name| edit::add_member(&content, name, user));
            Some((next, ()))
        })?;
        eprintln!("{}: {user} is in {}", groups.display(), names.join(", "));
    }
    Ok(OK)
}

fn remove(file: &Path, user: &str, groups: Option<&Path>) -> Result<i32, Failure> {
    let removed = replace(file, None, |content| edit::remove_user(content, user).map(|next| (next, ())))?;
    match removed {
        Some(()) => eprintln!("{}: {user} removed", file.display()),
        None => eprintln!("{}: there is no user {user}", file.display()),
    }
    let leave = |groups| replace(groups, None, |content| edit::remove_member(content, user).map(|next| (next, groups)));
    if let Some(groups) = groups.map(leave).transpose()?.flatten() {
        eprintln!("{}: {user} removed from all groups", groups.display());
    }
    Ok(if removed.is_some() { OK } else { super::NEGATIVE })
}

fn list(file: &Path, group_file: Option<&Path>, format: Format) -> i32 {
    // Whether DES may be used is the gateway's question; a list shows what is there.
    let users = htpasswd::load(file, true);
    let known = users.as_ref().ok().map(|(users, _)| (file, users));
    let members = group_file.map_or_else(|| Ok(Default::default()), |path| groups::load(path, known));
    match (users, members) {
        (Ok((users, mut warnings)), Ok((members, more))) => {
            warnings.extend(more);
            report(&warnings);
            let width = users.iter().map(|u| u.name.chars().count()).max().unwrap_or(0);
            for user in users.iter() {
                let (scheme, groups) = (user.hash.scheme().name(), members.of(&user.name));
                match format {
                    Format::Human => println!("{}", format!("{:width$}  {scheme:12}  {}", user.name, groups.join(" ")).trim_end()),
                    Format::Json => println!("{}", json!({ "user": &*user.name, "scheme": scheme, "groups": &*groups, "line": user.line })),
                }
            }
            OK
        }
        (users, members) => {
            let mistakes: Vec<Diagnostic> = users.err().into_iter().chain(members.err()).flatten().collect();
            report(&mistakes);
            USAGE
        }
    }
}

fn who(url: &str, file: &PolicyFile, format: Format) -> Result<i32, Failure> {
    match policy::load(&file.path) {
        Ok((policy, _)) => whocan::run(&policy, |policy, host, path| Door::new(policy).lookup(host, path), url, format),
        Err(mistakes) => {
            report(&mistakes);
            Ok(USAGE)
        }
    }
}
