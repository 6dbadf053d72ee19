//! Apache's password files: `name:hash` lines, parsed strictly, with everything wrong told at once.

use super::hash::{BadHash, Hash, Scheme};
use super::lines::{self, Line, Report, shell_word};
use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::limits::USER_NAME_BYTES_MAX;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

/// What stands for a secret in a diagnostic's line.
const HIDDEN: &str = "[hidden]";

/// One user of a file.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: Arc<str>,
    /// The password's hash.
    pub hash: Arc<Hash>,
    /// SHA-256 over name and hash: changes when the line does.
    pub fingerprint: [u8; 32],
    /// The line that counts, from 1.
    pub line: usize,
}

/// The users of one file.
#[derive(Clone, Debug, Default)]
pub struct Users {
    by_name: HashMap<Arc<str>, User>,
    order: Vec<Arc<str>>,
    costliest: Option<Arc<Hash>>,
}

impl Users {
    /// The user of that name.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// All users in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.order.iter().filter_map(|name| self.by_name.get(name))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The hash that takes longest to verify: what an unknown user's password is checked against.
    pub fn costliest(&self) -> Option<&Arc<Hash>> {
        self.costliest.as_ref()
    }
}

/// Reads and parses a users file.
///
/// # Errors
/// All its diagnostics, when one of them is an error.
pub fn load(path: &Path, allow_des: bool) -> Result<(Users, Vec<Diagnostic>), Vec<Diagnostic>> {
    let content = lines::read(path).map_err(|d| vec![d])?;
    match parse(path, &content, allow_des) {
        (Some(users), warnings) => Ok((users, warnings)),
        (None, diagnostics) => Err(diagnostics),
    }
}

/// Parses the content of a users file. `None` when a diagnostic is an error; `allow_des` accepts DES hashes.
pub fn parse(path: &Path, content: &[u8], allow_des: bool) -> (Option<Users>, Vec<Diagnostic>) {
    let mut report = Report::new(path);
    let mut users = Users::default();
    lines::each(content, &mut report, mask, |report, line| parse_line(path, &line, allow_des, &mut users, report));
    let (usable, diagnostics) = report.finish();
    (usable.then_some(users), diagnostics)
}

/// What may be shown of a line: its name and its scheme's marker. A line without a colon may be a secret altogether.
fn mask(text: &str) -> String {
    const MARKERS: [&str; 8] = ["$2y$", "$2a$", "$2b$", "$apr1$", "{SHA}", "$5$", "$6$", "$argon2id$"];
    match text.split_once(':') {
        None => HIDDEN.into(),
        Some((name, hash)) => format!("{name}:{}{HIDDEN}", MARKERS.iter().find(|m| hash.starts_with(*m)).unwrap_or(&"")),
    }
}

fn parse_line(path: &Path, line: &Line<'_>, allow_des: bool, users: &mut Users, report: &mut Report<'_>) {
    let shown = format!("{:indent$}{}", "", mask(line.text), indent = line.indent);
    let add = |report: &mut Report<'_>, severity, from: usize, length: usize, message: String, help: String| {
        let place = Place::new(line.number, line.indent + from + 1, length);
        report.add(severity, place, shown.clone(), message, help);
    };
    let Some((name, rest)) = line.text.split_once(':') else {
        let help = "a line is name:hash; if it is the end of a hash that was wrapped, join it with the line before";
        return add(report, Severity::Error, 0, HIDDEN.len(), "this line has no colon".into(), help.into());
    };
    let name_length = name.chars().count();
    let command = format!("portcullis auth add {} {}", shell_word(&path.to_string_lossy()), shell_word(name));
    if name.is_empty() {
        return add(report, Severity::Error, 0, 1, "the user name is missing".into(), "write name:hash, or remove the line".into());
    }
    if name.len() > USER_NAME_BYTES_MAX {
        let message = format!("the user name is longer than {USER_NAME_BYTES_MAX} bytes");
        return add(report, Severity::Error, 0, name_length, message, "nobody can log in with such a name: remove the line".into());
    }
    let (hash_text, ignored) = rest.split_once(':').map_or((rest, false), |(hash, _)| (hash, true));
    let hash_length = shown.chars().count() - line.indent - name_length - 1;
    let hash = match Hash::parse(hash_text) {
        Ok(hash) if hash.scheme() == Scheme::Des && !allow_des => {
            let message = "this is a DES crypt hash, which can be broken in hours, or a password in plain text".into();
            let help = format!("set a new password: {command} (or allow DES with dangerously_allow_des = true)");
            return add(report, Severity::Error, name_length + 1, hash_length, message, help);
        }
        Ok(hash) => hash,
        Err(why) => {
            let help = match why {
                BadHash::OutOfBounds(..) => format!("hash the password anew with bearable parameters: {command}"),
                _ => format!("set a new password: {command}"),
            };
            return add(report, Severity::Error, name_length + 1, hash_length, why.to_string(), help);
        }
    };
    if ignored {
        let message = "what follows the second colon is ignored".into();
        add(report, Severity::Warning, name_length + 1, hash_length, message, "as in Apache; remove it to be rid of this warning".into());
    }
    let name: Arc<str> = name.into();
    match users.by_name.entry(Arc::clone(&name)) {
        Entry::Occupied(first) => {
            let message = format!("this user is already on line {}, and that line counts", first.get().line);
            let help = "as in Apache the first line counts; remove one of the two".into();
            add(report, Severity::Warning, 0, name_length, message, help);
        }
        Entry::Vacant(place) => {
            let fingerprint = Sha256::new().chain_update(name.as_bytes()).chain_update(b":").chain_update(hash_text).finalize().into();
            let hash = Arc::new(hash);
            if users.costliest.as_ref().is_none_or(|c| c.cost_micros() < hash.cost_micros()) {
                users.costliest = Some(Arc::clone(&hash));
            }
            users.order.push(Arc::clone(&name));
            place.insert(User { name, hash, fingerprint, line: line.number });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::identity::password::verify;

    fn parse_text(text: &str) -> (Option<Users>, Vec<Diagnostic>) {
        parse(Path::new("auth/htpasswd"), text.as_bytes(), false)
    }

    const ALICE: &str = "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

    /// Every line of tests/auth/*.txt: see the head of those files for their form.
    #[test]
    fn lines_are_accepted_or_refused_as_the_cases_say() {
        let mut seen = 0;
        for case in include_str!("../../tests/auth/htpasswd-lines.txt").lines() {
            if case.is_empty() || case.starts_with("##") {
                continue;
            }
            seen += 1;
            let mut fields = case.split('\t');
            let (verdict, password, line) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
            let line = line.replace("\\r", "\r").replace("\\t", "\t").replace("\\0", "\0").replace("\\n", "\n").replace("\\u", "\u{feff}");
            let (allow_des, verdict) = verdict.strip_prefix("des-").map_or((false, verdict), |v| (true, v));
            let (users, diagnostics) = parse(Path::new("f"), line.as_bytes(), allow_des);
            let told: Vec<_> = diagnostics.iter().map(|d| d.message.as_str()).collect();
            match verdict.split_once(' ').unwrap_or((verdict, "")) {
                ("good", _) => {
                    assert!(diagnostics.is_empty(), "{case}: {told:?}");
                    let users = users.unwrap();
                    let user = users.iter().next().unwrap();
                    assert!(verify(password.as_bytes(), &user.hash), "{case}");
                    assert!(!verify(format!("x{password}").as_bytes(), &user.hash), "{case}");
                }
                ("warn", words) => {
                    assert!(diagnostics.iter().any(|d| !d.is_error() && d.message.contains(words)), "{case}: {told:?}");
                    assert!(verify(password.as_bytes(), &users.unwrap().iter().next().unwrap().hash), "{case}");
                }
                ("bad", words) => {
                    assert!(users.is_none(), "{case}");
                    assert!(!words.is_empty() && diagnostics.iter().any(|d| d.is_error() && d.message.contains(words)), "{case}: {told:?}");
                    assert!(diagnostics.iter().all(|d| !d.help.is_empty()), "{case}");
                }
                ("none", _) => assert!(users.unwrap().is_empty() && diagnostics.is_empty(), "{case}: {told:?}"),
                _ => panic!("{case}: a case begins with good, warn, bad or none"),
            }
            // A hash is a secret: what follows the marker is never shown.
            for d in &diagnostics {
                for word in line.split([':', '$', ' ', '\n', '\r']).skip(1).filter(|w| w.len() >= 8 && !w.starts_with("argon2")) {
                    assert!(!d.to_string().contains(word), "{case} is told with its secret:\n{d}");
                }
            }
        }
        assert!(seen >= 40, "only {seen} cases were read");
    }

    #[test]
    fn the_first_of_two_lines_counts_as_in_apache() {
        let (users, diagnostics) = parse_text(&format!("{ALICE}\nalice:{{SHA}}2kuSN7rMzfGcB2DKt67EqDWQELA=\n"));
        let users = users.unwrap();
        assert!(verify(b"password", &users.get("alice").unwrap().hash));
        assert_eq!(users.len(), 1);
        assert_eq!(diagnostics.len(), 1);
        assert!(!diagnostics[0].is_error());
        assert_eq!(diagnostics[0].place.unwrap().line, 2);
    }

    #[test]
    fn every_mistake_is_told_with_place_and_remedy() {
        let (users, diagnostics) = parse_text(&format!("{ALICE}\nbob\n\n# c\n  carol:secret99\n"));
        assert!(users.is_none());
        assert_eq!(diagnostics.iter().filter(|d| d.is_error()).count(), 2);
        let text = diagnostics.last().unwrap().to_string();
        assert_eq!(
            text,
            "auth/htpasswd:5:9: error: this is no password hash of a known scheme; plain text is never accepted\n    carol:[hidden]\n          \
             ^^^^^^^^\nhelp: set a new password: portcullis auth add auth/htpasswd carol"
        );
    }

    #[test]
    fn the_costliest_hash_stands_for_unknown_users() {
        let bcrypt = "b:$2y$05$nC6nErr9XZJuMJ57WyCob.EuZEjylDt2KaHfbfOtyb.EgL1I2jCVa";
        let (users, _) = parse_text(&format!("{ALICE}\n{bcrypt}\nc:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\n"));
        assert_eq!(users.unwrap().costliest().unwrap().scheme(), Scheme::Bcrypt);
    }

    #[test]
    fn a_file_that_is_wrong_altogether_is_not_told_line_by_line() {
        let (users, diagnostics) = parse_text(&"nonsense\n".repeat(100_000));
        assert!(users.is_none());
        assert!(diagnostics.len() <= 100);
    }

    proptest::proptest! {
        /// No content makes the parser or a verification panic.
        #[test]
        fn no_content_panics(content in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse(Path::new("f"), &content, true);
        }

        /// Nor do damaged hashes, once accepted.
        #[test]
        fn no_damaged_hash_panics(which in 0..5_usize, at in 0..70_usize, byte in 0x20..0x7f_u8, cut in 0..70_usize) {
            let hashes = [
                "$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "bGVh02xkuGli2",
                "$2y$04$nC6nErr9XZJuMJ57WyCob.EuZEjylDt2KaHfbfOtyb.EgL1I2jCVa", "$5$rounds=1000$abc$0123456789012345678901234567890123456789012",
            ];
            let mut bytes = hashes[which].as_bytes().to_vec();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(bytes.len().saturating_sub(cut / 20));
            if let Ok(hash) = Hash::parse(std::str::from_utf8(&bytes).unwrap())
                && hash.cost_micros() < 10_000 {
                    verify(b"password", &hash);
                }
        }
    }
}
