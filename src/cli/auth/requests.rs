//! `portcullis auth requests`, `approve` and `reject`: people who asked for an account, and the answers to them.

use super::super::{NEGATIVE, OK, PolicyFile, USAGE, report};
use super::{Failure, Format, checked_name};
use crate::audit::escape::printable;
use crate::clock::Moment;
use crate::identity::replace::{PEOPLE_MODE, replace};
use crate::identity::requests::{AccountRequest, Answer, Decision, RequestQueue};
use crate::identity::{edit, groups, htpasswd};
use crate::policy::{self, AccountSettings, Policy};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Lists those who wait.
pub(super) fn list(file: &PolicyFile, format: Format) -> Result<i32, Failure> {
    let Some(policy) = load(file) else { return Ok(USAGE) };
    let queue = RequestQueue::new(&policy.audit.state_directory);
    let waiting = queue.waiting(Moment::now().unix_micros)?;
    for (at, request) in waiting.iter().enumerate() {
        let remark = remark(request, &waiting, settings(&policy, request).ok().as_deref());
        match format {
            Format::Json => println!(
                "{}",
                json!({ "id": request.id, "asked": request.asked, "expires": request.expires, "site": request.site, "user": request.user,
                        "name": request.name, "message": request.message, "address": request.address, "remark": remark })
            ),
            Format::Human => {
                if at > 0 {
                    println!();
                }
                let say = |what: &str, text: &str| {
                    if !text.is_empty() {
                        println!("  {what:<8} {}", printable(text))
                    }
                };
                println!("{}", printable(&request.id));
                say("site", &request.site);
                say("user", &request.user);
                say("name", &request.name);
                say("says", &request.message);
                say("from", &request.address);
                say("asked", &request.asked);
                say("expires", &request.expires);
                say("note", &remark);
            }
        }
    }
    if waiting.is_empty() {
        eprintln!("nobody waits for an account");
    }
    Ok(OK)
}

/// Makes an account of a request.
pub(super) fn approve(file: &PolicyFile, id: &str, names: &[String]) -> Result<i32, Failure> {
    names.iter().try_for_each(|name| checked_name("the group's name", name))?;
    let Some(policy) = load(file) else { return Ok(USAGE) };
    let queue = RequestQueue::new(&policy.audit.state_directory);
    let Some(request) = find(&queue, id)? else { return Ok(NEGATIVE) };
    let settings = settings(&policy, &request)?;
    // What was checked when it was asked for is checked again: the file is one that people can write.
    checked_name("the user's name", &request.user)?;
    crate::identity::Hash::parse(&request.hash).map_err(|why| Failure::failed(format!("{}: {why}", queue.path().display())))?;
    let groups = match (&settings.groups, names.is_empty()) {
        (groups, false) => {
            Some(groups.as_deref().ok_or_else(|| Failure::usage("no group file is named in the policy: write groups in [auth]"))?)
        }
        (_, true) => None,
    };
    let (user, users) = (request.user.as_str(), settings.users.as_path());
    // Under the file's lock, so that of two people with one name only one gets in.
    let added = replace(users, Some(PEOPLE_MODE), |content| {
        let (known, _) = htpasswd::parse(users, content.as_bytes(), true);
        match known.as_ref().map(|known| known.get(user)) {
            // A file with mistakes is left alone: whether the name is taken cannot be told.
            None => None,
            // By an earlier run of this command that was interrupted.
            Some(Some(own)) if content.lines().nth(own.line - 1).is_some_and(|line| line.ends_with(&request.hash)) => {
                Some((content.into(), true))
            }
            Some(Some(_)) => Some((content.into(), false)),
            Some(None) => Some((edit::set_user(content, user, &request.hash), true)),
        }
    })?;
    match added {
        None => {
            report(&htpasswd::load(users, true).err().unwrap_or_default());
            return Ok(USAGE);
        }
        Some(false) => {
            eprintln!(
                "error: {}: there is already a user {}; reject the request, and ask for another name",
                users.display(),
                printable(user)
            );
            return Ok(NEGATIVE);
        }
        Some(true) => eprintln!("{}: {} added", users.display(), printable(user)),
    }
    if let Some(groups) = groups {
        join(groups, user, names)?;
    }
    decide(&queue, &Decision::new(&request, Answer::Approved, &operator(), names, Moment::now().unix_micros))
}

/// Puts a user into groups.
fn join(path: &Path, user: &str, names: &[String]) -> Result<(), Failure> {
    let known = groups::load(path, None).map(|(known, _)| known.names().to_vec()).unwrap_or_default();
    replace(path, Some(PEOPLE_MODE), |content| {
        Some((names.iter().fold(content.to_owned(), |content, name| edit::add_member(&content, name, user)), ()))
    })?;
    eprintln!("{}: {} is in {}", path.display(), printable(user), names.join(", "));
    for name in names.iter().filter(|name| !known.contains(name)) {
        eprintln!("note: {}: there was no group {name} until now", path.display());
    }
    Ok(())
}

/// Turns a request down.
pub(super) fn reject(file: &PolicyFile, id: &str) -> Result<i32, Failure> {
    let Some(policy) = load(file) else { return Ok(USAGE) };
    let queue = RequestQueue::new(&policy.audit.state_directory);
    let Some(request) = find(&queue, id)? else { return Ok(NEGATIVE) };
    decide(&queue, &Decision::new(&request, Answer::Rejected, &operator(), &[], Moment::now().unix_micros))
}

fn decide(queue: &RequestQueue, decision: &Decision) -> Result<i32, Failure> {
    if !queue.decide(decision)? {
        eprintln!("error: {}: it was answered meanwhile", printable(&decision.id));
        return Ok(NEGATIVE);
    }
    eprintln!("{}: {} {}", printable(&decision.id), printable(&decision.user), decision.answer.name());
    Ok(OK)
}

fn load(file: &PolicyFile) -> Option<Policy> {
    policy::load(&file.path).map(|(policy, _)| policy).map_err(|mistakes| report(&mistakes)).ok()
}

fn find(queue: &RequestQueue, id: &str) -> Result<Option<AccountRequest>, Failure> {
    let mut waiting = queue.waiting(Moment::now().unix_micros)?;
    // The beginning of an id is enough where it leaves no choice.
    waiting.retain(|request| !id.is_empty() && request.id.starts_with(&id.to_ascii_uppercase()));
    if waiting.len() > 1 {
        return Err(Failure::usage(format!("{} requests begin with {}: write more of the id", waiting.len(), printable(id))));
    }
    if waiting.is_empty() {
        eprintln!("error: no request {} waits; `portcullis auth requests` lists those that do", printable(id));
    }
    Ok(waiting.pop())
}

/// The settings of the site where the account was asked for.
fn settings(policy: &Policy, request: &AccountRequest) -> Result<Arc<AccountSettings>, Failure> {
    let site = policy.sites.iter().find(|site| *site.name == *request.site);
    let settings = site.and_then(|site| site.account_page.as_ref()?.account_requests.clone());
    settings
        .ok_or_else(|| Failure::usage(format!("the policy has no site {} with [site.account_requests] any more", printable(&request.site))))
}

/// What an administrator should know of a wish before granting it.
fn remark(request: &AccountRequest, waiting: &[AccountRequest], settings: Option<&AccountSettings>) -> String {
    let Some(settings) = settings else { return "its site takes no account requests any more".into() };
    let mut remarks = Vec::new();
    if let Ok((users, _)) = htpasswd::load(&settings.users, true) {
        if users.get(&request.user).is_some() {
            remarks.push("there is already a user of this name".to_owned());
        } else if let Some(near) = users.iter().find(|user| user.name.to_lowercase() == request.user.to_lowercase()) {
            remarks.push(format!("there is already a user {}", near.name));
        }
    }
    let others = waiting.iter().filter(|other| other.id != request.id && other.site == request.site && other.user == request.user).count();
    if others > 0 {
        remarks.push(format!("asked for {} times", others + 1));
    }
    remarks.join("; ")
}

/// Who calls, as far as the system says: behind sudo the person, not root.
fn operator() -> String {
    let named = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    named("SUDO_USER").or_else(|| named("USER")).or_else(|| named("LOGNAME")).unwrap_or_else(|| {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata("/proc/self").map_or_else(|_| "unknown".into(), |own| format!("uid {}", own.uid()))
    })
}
