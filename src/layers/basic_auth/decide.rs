//! `require` asked before a user is known: yes, no, or only a login can tell.

use crate::policy::Require;
use crate::policy::require::Asked;

/// The answer that holds whoever logs in; `None` where it depends on the user. Fails closed where Apache does not: a user
/// inside `none` asks for a login, so that nobody gets around it by leaving the password out.
pub(super) fn without_user(require: &Require, asked: &Asked<'_>) -> Option<bool> {
    let any = |list: &[Require]| list.iter().map(|r| without_user(r, asked)).fold(Some(false), or);
    match require {
        Require::ValidUser | Require::Users(_) | Require::Groups(_) => None,
        Require::Any(list) => any(list),
        Require::None(list) => any(list).map(|answer| !answer),
        Require::All(list) => {
            list.iter().map(|r| without_user(r, asked)).fold(Some(true), |a, b| or(a.map(|a| !a), b.map(|b| !b)).map(|x| !x))
        }
        Require::AllGranted | Require::AllDenied | Require::Ip(_) | Require::Local => Some(require.allows(asked)),
    }
}

fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use Require as R;

    #[test]
    fn a_password_is_asked_for_only_where_it_can_matter() {
        let asked = Asked { address: "10.0.0.1".parse().unwrap(), local: false, user: None, groups: &[] };
        let inside = || R::Ip(vec!["10.0.0.0/8".parse().unwrap()]);
        let outside = || R::Ip(vec!["192.0.2.0/24".parse().unwrap()]);
        let alice = || R::Users(vec!["alice".into()]);
        for (require, expected) in [
            (R::AllGranted, Some(true)),
            (R::AllDenied, Some(false)),
            (R::ValidUser, None),
            (R::Local, Some(false)),
            (inside(), Some(true)),
            (outside(), Some(false)),
            (R::Any(vec![inside(), R::ValidUser]), Some(true)),
            (R::Any(vec![outside(), R::ValidUser]), None),
            (R::All(vec![inside(), R::ValidUser]), None),
            (R::All(vec![outside(), R::ValidUser]), Some(false)),
            (R::None(vec![inside()]), Some(false)),
            (R::None(vec![alice()]), None),
            (R::All(vec![R::AllGranted, R::None(vec![alice()])]), None),
            (R::All(vec![]), Some(true)),
            (R::Any(vec![]), Some(false)),
        ] {
            assert_eq!(without_user(&require, &asked), expected, "{require:?}");
        }
    }
}
