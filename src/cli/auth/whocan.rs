//! `portcullis auth whocan`: who may use a URL, and from where.

use super::super::{Format, NEGATIVE, OK, USAGE, report};
use super::Failure;
use crate::diagnostic::Diagnostic;
use crate::identity::{Groups, Users, groups, htpasswd};
use crate::policy::{Map, Policy, Require};
use http::Uri;
use serde_json::json;
use std::sync::Arc;

/// From where somebody may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Nowhere,
    SomeAddresses,
    Anywhere,
}

impl From {
    fn name(self) -> &'static str {
        match self {
            Self::Nowhere => "nowhere",
            Self::SomeAddresses => "some_addresses",
            Self::Anywhere => "anywhere",
        }
    }
}

/// Prints who may use the map that `resolve` finds for the URL's host and path.
pub(super) fn run(
    policy: &Policy,
    resolve: impl Fn(&Policy, &str, &str) -> Option<Arc<Map>>,
    url: &str,
    format: Format,
) -> Result<i32, Failure> {
    let uri: Uri = url.parse().map_err(|_| Failure::usage(format!("{url} is not a URL; write https://host/path")))?;
    let host = uri.authority().ok_or_else(|| Failure::usage(format!("{url} names no host; write https://host/path")))?;
    let Some(map) = resolve(policy, host.as_str(), uri.path()) else {
        match format {
            Format::Human => println!("{url}: nobody: no map leads there"),
            Format::Json => println!("{}", json!({ "url": url, "map": null })),
        }
        return Ok(NEGATIVE);
    };
    let (users, groups) = match files(&map) {
        Ok(files) => files,
        Err(mistakes) => {
            report(&mistakes);
            return Ok(USAGE);
        }
    };
    let require = &map.auth.require;
    let strangers = from(require, None);
    let allowed: Vec<_> = users
        .iter()
        .map(|user| (user, groups.of(&user.name)))
        .map(|(user, groups)| (user, from(require, Some((&user.name, &groups))), groups))
        .filter(|(_, from, _)| *from != From::Nowhere)
        .collect();
    match format {
        Format::Json => {
            let users: Vec<_> = allowed
                .iter()
                .map(|(user, from, groups)| json!({ "user": &*user.name, "groups": &**groups, "from": from.name() }))
                .collect();
            let map = json!({ "path": &*map.path, "source": map.source, "require": describe(require) });
            println!("{}", json!({ "url": url, "map": map, "strangers": strangers.name(), "users": users }));
        }
        Format::Human => {
            println!("{url}\nmap {} ({})\nrequire {}", map.path, map.source, describe(require));
            match strangers {
                From::Anywhere => println!("anybody, without a password"),
                From::SomeAddresses => println!("anybody at some addresses, without a password"),
                From::Nowhere if allowed.is_empty() => println!("nobody"),
                From::Nowhere => {}
            }
            for (user, from, groups) in &allowed {
                let groups = if groups.is_empty() { String::new() } else { format!(" ({})", groups.join(", ")) };
                println!("{}{groups}{}", user.name, if *from == From::SomeAddresses { ", from some addresses" } else { "" });
            }
        }
    }
    Ok(OK)
}

fn files(map: &Map) -> Result<(Users, Groups), Vec<Diagnostic>> {
    let Some(path) = &map.auth.users else { return Ok(Default::default()) };
    let (users, _) = htpasswd::load(path, map.auth.dangerously_allow_des)?;
    let groups = match &map.auth.groups {
        Some(file) => groups::load(file, Some((path, &users)))?.0,
        None => Groups::default(),
    };
    Ok((users, groups))
}

/// From where `require` lets this user in (`None`: somebody without a login). A stranger whom only a login could let in is
/// let in nowhere.
fn from(require: &Require, user: Option<(&str, &[String])>) -> From {
    let any = |list: &[Require]| list.iter().map(|r| from(r, user)).fold(From::Nowhere, stronger);
    let whole = |yes: bool| if yes { From::Anywhere } else { From::Nowhere };
    match require {
        Require::AllGranted => From::Anywhere,
        Require::AllDenied => From::Nowhere,
        Require::ValidUser => whole(user.is_some()),
        Require::Users(names) => whole(user.is_some_and(|(name, _)| names.iter().any(|n| n == name))),
        Require::Groups(names) => whole(user.is_some_and(|(_, groups)| names.iter().any(|n| groups.contains(n)))),
        Require::Ip(_) | Require::Local => From::SomeAddresses,
        Require::Any(list) => any(list),
        Require::All(list) => list.iter().map(|r| from(r, user)).fold(From::Anywhere, weaker),
        // Layer 1 asks for a login before it believes that nobody of a list is there.
        Require::None(_) if user.is_none() && require.names_users() => From::Nowhere,
        Require::None(list) => match any(list) {
            From::Nowhere => From::Anywhere,
            From::SomeAddresses => From::SomeAddresses,
            From::Anywhere => From::Nowhere,
        },
    }
}

fn stronger(a: From, b: From) -> From {
    if a == From::Anywhere || b == From::Nowhere { a } else { b }
}

fn weaker(a: From, b: From) -> From {
    if a == From::Nowhere || b == From::Anywhere { a } else { b }
}

/// `require` as an administrator would say it.
fn describe(require: &Require) -> String {
    let list = |word: &str, list: &[Require]| format!("{word}({})", list.iter().map(describe).collect::<Vec<_>>().join(", "));
    match require {
        Require::AllGranted => "all granted".into(),
        Require::AllDenied => "all denied".into(),
        Require::ValidUser => "valid-user".into(),
        Require::Users(names) => format!("user {}", names.join(" ")),
        Require::Groups(names) => format!("group {}", names.join(" ")),
        Require::Ip(networks) => format!("ip {}", networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        Require::Local => "local".into(),
        Require::Any(all) => list("any", all),
        Require::All(all) => list("all", all),
        Require::None(all) => list("none", all),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use Require as R;

    #[test]
    fn addresses_make_a_somewhere_of_a_yes() {
        let inside = || R::Ip(vec!["10.0.0.0/8".parse().unwrap()]);
        let staff = [String::from("staff")];
        let alice = Some(("alice", &staff[..]));
        let bob = || R::Users(vec!["bob".into()]);
        for (require, stranger, user) in [
            (R::ValidUser, From::Nowhere, From::Anywhere),
            (bob(), From::Nowhere, From::Nowhere),
            (R::Groups(staff.to_vec()), From::Nowhere, From::Anywhere),
            (inside(), From::SomeAddresses, From::SomeAddresses),
            (R::All(vec![inside(), R::ValidUser]), From::Nowhere, From::SomeAddresses),
            (R::Any(vec![inside(), R::ValidUser]), From::SomeAddresses, From::Anywhere),
            (R::All(vec![R::AllGranted, R::None(vec![bob()])]), From::Nowhere, From::Anywhere),
            (R::None(vec![inside()]), From::SomeAddresses, From::SomeAddresses),
        ] {
            assert_eq!((from(&require, None), from(&require, alice)), (stranger, user), "{}", describe(&require));
        }
    }
}
