//! What a person fills in, and what is wrong with it.

use crate::audit::escape::is_unsafe;
use crate::form::Pairs;
use crate::identity::name;
use crate::limits::{ACCOUNT_MESSAGE_CHARACTERS_MAX, ACCOUNT_NAME_CHARACTERS_MAX};
use crate::policy::AccountSettings;

/// Pairs that are read; the form has six.
const PAIRS_MAX: usize = 16;
/// What bcrypt reads of a password.
const PASSWORD_BYTES_MAX: usize = 72;

/// A field of the form by its name, and what is wrong with it.
pub(super) type Mistake = (&'static str, Wrong);

/// What is wrong, in words for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A sentence that is always the same.
    Words(&'static str),
    /// The end of the sentence "The user name ...".
    UserName(&'static str),
    /// Fewer characters than these.
    Short(usize),
    /// More characters than these.
    Long(usize),
}

impl Wrong {
    pub(super) fn text(self) -> String {
        match self {
            Self::Words(words) => words.to_owned(),
            Self::UserName(words) => format!("The user name {words}."),
            Self::Short(least) => format!("Please choose at least {least} characters."),
            Self::Long(most) => format!("At most {most} characters, please."),
        }
    }
}

/// The form came too late, from another browser, or after a restart of the gateway.
pub(super) const TOO_OLD: Mistake = (
    "",
    Wrong::Words(
        "This form was open for too long, or your browser sends no cookies. Please choose a password again and send it once more.",
    ),
);

/// What somebody asks for.
#[derive(Clone, Default)]
pub struct Application {
    /// Who they say they are.
    pub(super) name: String,
    /// The user name that they wish for.
    pub(super) user: String,
    /// What else they say.
    pub(super) message: String,
    /// The password that they chose: to be hashed, and kept nowhere.
    password: String,
}

impl Application {
    /// Takes the password out, to be hashed.
    pub fn take_password(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.password).into_bytes()
    }
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Application")
    }
}

/// The token of a form.
pub(super) fn token(text: &str) -> String {
    Pairs::parse(text, PAIRS_MAX).get("token").to_owned()
}

/// Reads a form, and says what is wrong with it.
pub(super) fn read(text: &str, settings: &AccountSettings) -> (Application, Vec<Mistake>) {
    let form = Pairs::parse(text, PAIRS_MAX);
    // White space of any kind, line ends among it, is one blank.
    let text = |name: &str| form.get(name).split_whitespace().collect::<Vec<_>>().join(" ");
    let (user, password) = (form.get("user").trim().to_owned(), form.get("password").to_owned());
    let application = Application { name: text("name"), user, message: text("message"), password };
    let mut mistakes = Vec::new();
    let mut wrong = |field, what: Option<Wrong>| mistakes.extend(what.map(|what| (field, what)));
    wrong("name", free_text(&application.name, true, ACCOUNT_NAME_CHARACTERS_MAX));
    wrong("user", user_name(&application.user));
    wrong("message", free_text(&application.message, false, ACCOUNT_MESSAGE_CHARACTERS_MAX));
    wrong("password", password_wrong(&application, form.get("password_again"), settings.password_characters_min));
    (application, mistakes)
}

fn free_text(text: &str, required: bool, most: usize) -> Option<Wrong> {
    match text {
        "" if required => Some(Wrong::Words("Please say who you are.")),
        _ if text.chars().count() > most => Some(Wrong::Long(most)),
        _ if text.chars().any(is_unsafe) => Some(Wrong::Words("There are characters in it that nobody can see; please leave them out.")),
        _ => None,
    }
}

fn user_name(user: &str) -> Option<Wrong> {
    let unseen = user.chars().any(is_unsafe).then_some("must not hold characters that nobody can see");
    name::mistake(user).or(unseen).map(Wrong::UserName)
}

fn password_wrong(application: &Application, again: &str, least: usize) -> Option<Wrong> {
    let password = &application.password;
    if password.chars().count() < least {
        return Some(Wrong::Short(least));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Some(Wrong::Words("At most 72 bytes, please: that is 72 letters, or fewer where they have accents."));
    }
    if password.chars().any(char::is_control) {
        return Some(Wrong::Words("A password cannot hold tabs, line ends and the like."));
    }
    let (lower, user) = (password.to_lowercase(), application.user.to_lowercase());
    if user.chars().count() >= 3 && lower.contains(&user) {
        return Some(Wrong::Words("Please choose a password without the user name in it."));
    }
    if password.chars().all(|c| password.starts_with(c)) {
        return Some(Wrong::Words("Please choose a password of more than one character."));
    }
    (password != again).then_some(Wrong::Words("The two passwords differ."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn settings() -> AccountSettings {
        AccountSettings {
            users: "htpasswd".into(),
            groups: None,
            password_characters_min: 12,
            requests_per_address_per_hour: 5,
            requests_per_hour: 60,
            waiting_max: 100,
            expires: Duration::from_secs(1),
        }
    }

    #[test]
    fn what_is_wrong_is_told_field_by_field() {
        let long_name = "n".repeat(101);
        let long_message = "m".repeat(501);
        type Case<'c> = (&'c str, &'c str, &'c str, &'c str, &'c str, &'c [&'c str]);
        let cases: [Case<'_>; 19] = [
            ("Zoe Q", "zoe", "", "correct horse battery", "correct horse battery", &[]),
            ("  Zoe\r\n Q ", " zoe ", "line\r\nline", "gr\u{fc}\u{df}e, gr\u{fc}\u{df}e", "gr\u{fc}\u{df}e, gr\u{fc}\u{df}e", &[]),
            ("", "zoe", "", "correct horse battery", "correct horse battery", &["name"]),
            (&long_name, "zoe", "", "correct horse battery", "correct horse battery", &["name"]),
            ("Z\u{202e}oe", "zoe", "", "correct horse battery", "correct horse battery", &["name"]),
            ("Zoe", "", "", "correct horse battery", "correct horse battery", &["user"]),
            ("Zoe", "z:oe", "", "correct horse battery", "correct horse battery", &["user"]),
            ("Zoe", "#zoe", "", "correct horse battery", "correct horse battery", &["user"]),
            ("Zoe", "zo\u{1}e", "", "correct horse battery", "correct horse battery", &["user"]),
            ("Zoe", "zo\u{200b}e", "", "correct horse battery", "correct horse battery", &["user"]),
            ("Zoe", &long_name.repeat(3), "", "correct horse battery", "correct horse battery", &["user"]),
            ("Zoe", "zoe", &long_message, "correct horse battery", "correct horse battery", &["message"]),
            ("Zoe", "zoe", "", "short", "short", &["password"]),
            ("Zoe", "zoe", "", "correct horse battery", "correct horse batterz", &["password"]),
            ("Zoe", "zoe", "", "correct horse\tbattery", "correct horse\tbattery", &["password"]),
            ("Zoe", "zoe", "", "my name is ZOE!", "my name is ZOE!", &["password"]),
            ("Zoe", "zoe", "", "aaaaaaaaaaaa", "aaaaaaaaaaaa", &["password"]),
            ("Zoe", "zoe", "", &"p4".repeat(37), &"p4".repeat(37), &["password"]),
            ("", "", "", "", "", &["name", "user", "password"]),
        ];
        let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        for (name, user, message, password, again, expected) in cases {
            let text = format!(
                "token=t&name={}&user={}&message={}&password={}&password_again={}",
                encode(name),
                encode(user),
                encode(message),
                encode(password),
                encode(again)
            );
            let (mut application, mistakes) = read(&text, &settings());
            assert_eq!(
                mistakes.iter().map(|(field, _)| *field).collect::<Vec<_>>(),
                expected,
                "{name:?} {user:?} {message:?} {password:?}"
            );
            assert!(mistakes.iter().all(|(_, wrong)| !wrong.text().contains(password) || password.is_empty()));
            assert!(!application.name.contains(['\r', '\n']) && !application.message.contains(['\r', '\n']));
            assert_eq!((token(&text), application.take_password()), ("t".into(), password.into()));
        }
    }
}
