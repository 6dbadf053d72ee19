//! Apache's group files: `group: user user ...` lines.

use super::htpasswd::Users;
use super::lines::{self, Line, Report, shell_word};
use crate::diagnostic::{Diagnostic, Place, Severity};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Who is in which group.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    by_user: HashMap<Box<str>, Arc<[String]>>,
    names: Vec<String>,
}

impl Groups {
    /// The groups of a user, in the file's order; none for a user the file does not name.
    pub fn of(&self, user: &str) -> Arc<[String]> {
        self.by_user.get(user).map_or_else(|| Arc::from(Vec::new()), Arc::clone)
    }

    /// The names of all groups, in the file's order.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Reads and parses a group file; see [`parse`].
///
/// # Errors
/// All its diagnostics, when one of them is an error.
pub fn load(path: &Path, users: Option<(&Path, &Users)>) -> Result<(Groups, Vec<Diagnostic>), Vec<Diagnostic>> {
    let content = lines::read(path).map_err(|d| vec![d])?;
    match parse(path, &content, users) {
        (Some(groups), warnings) => Ok((groups, warnings)),
        (None, diagnostics) => Err(diagnostics),
    }
}

/// Parses the content of a group file. A group on several lines has the members of all of them. Members that are not in
/// the users file (its path is for the help line) get a warning. `None` when a diagnostic is an error.
pub fn parse(path: &Path, content: &[u8], users: Option<(&Path, &Users)>) -> (Option<Groups>, Vec<Diagnostic>) {
    let mut report = Report::new(path);
    let mut members: HashMap<String, Vec<String>> = HashMap::new();
    let mut names = Vec::new();
    lines::each(content, &mut report, str::to_owned, |report, line| parse_line(&line, users, &mut names, &mut members, report));
    let (usable, diagnostics) = report.finish();
    let by_user = members.into_iter().map(|(user, groups)| (user.into_boxed_str(), Arc::from(groups))).collect();
    (usable.then_some(Groups { by_user, names }), diagnostics)
}

fn parse_line(
    line: &Line<'_>,
    users: Option<(&Path, &Users)>,
    names: &mut Vec<String>,
    members: &mut HashMap<String, Vec<String>>,
    report: &mut Report<'_>,
) {
    let shown = format!("{:indent$}{}", "", line.text, indent = line.indent);
    let add = |report: &mut Report<'_>, severity, range: std::ops::Range<usize>, message: String, help: String| {
        let chars = |to: usize| line.text.get(..to).unwrap_or(line.text).chars().count();
        let column = line.indent + chars(range.start) + 1;
        let length = (chars(range.end) - chars(range.start)).max(1);
        report.add(severity, Place::new(line.number, column, length), shown.clone(), message, help);
    };
    let whole = 0..line.text.len();
    let Some((group, list)) = line.text.split_once(':') else {
        return add(report, Severity::Error, whole, "this line has no colon".into(), "a line is group: user user ...".into());
    };
    if group.is_empty() {
        return add(report, Severity::Error, 0..1, "the group name is missing".into(), "a line is group: user user ...".into());
    }
    if group.trim() != group {
        let message = "white space before the colon would be part of the group's name".into();
        return add(report, Severity::Error, 0..group.len(), message, format!("write {}: ...", group.trim()));
    }
    if group.contains(',') {
        let message = "a comma in a group's name cannot be told from the one between groups in X-Remote-Groups".into();
        add(report, Severity::Warning, 0..group.len(), message, "rename the group where a backend reads that header".into());
    }
    if !names.iter().any(|n| n == group) {
        names.push(group.into());
    }
    let offset = group.len() + 1;
    for (range, word) in words(list) {
        let range = range.start + offset..range.end + offset;
        let Some(user) = word else {
            let help = "close the quotation mark, or leave it out where the name has no spaces".into();
            return add(report, Severity::Error, range, "this quotation mark is not closed".into(), help);
        };
        if let Some((path, users)) = users
            && users.get(&user).is_none()
        {
            let message = format!("{user} is not in {}", path.display());
            let help =
                format!("portcullis auth add {} {}, or take the name out here", shell_word(&path.to_string_lossy()), shell_word(&user));
            add(report, Severity::Warning, range, message, help);
        }
        let groups = members.entry(user).or_default();
        if !groups.iter().any(|g| g == group) {
            groups.push(group.into());
        }
    }
}

/// Words as Apache splits them: at white space, or between quotation marks with backslash escapes. `None` is a word
/// whose mark is not closed.
pub(super) fn words(list: &str) -> Vec<(std::ops::Range<usize>, Option<String>)> {
    let mut out = Vec::new();
    let mut chars = list.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        if matches!(first, ' ' | '\t') {
            continue;
        }
        let mut word = String::new();
        let mut end = start + first.len_utf8();
        let quoted = matches!(first, '"' | '\'');
        let mut closed = !quoted;
        if !quoted {
            word.push(first);
        }
        while let Some(&(at, c)) = chars.peek() {
            if !quoted && matches!(c, ' ' | '\t') {
                break;
            }
            chars.next();
            end = at + c.len_utf8();
            if quoted && c == first {
                closed = true;
                break;
            }
            match (c, chars.peek()) {
                ('\\', Some(&(at, next))) if quoted && (next == first || next == '\\') => {
                    chars.next();
                    end = at + next.len_utf8();
                    word.push(next);
                }
                _ => word.push(c),
            }
        }
        out.push((start..end, closed.then_some(word)));
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn groups(text: &str) -> (Option<Groups>, Vec<String>) {
        let (groups, diagnostics) = parse(Path::new("groups"), text.as_bytes(), None);
        (groups, diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_group_continues_on_further_lines() {
        let (parsed, told) = groups("# staff\nstaff: alice bob\nadmins:carol\nstaff: \"d e\" alice\n");
        let parsed = parsed.unwrap();
        assert!(told.is_empty(), "{told:?}");
        assert_eq!(*parsed.of("alice"), ["staff"]);
        assert_eq!(*parsed.of("carol"), ["admins"]);
        assert_eq!(*parsed.of("d e"), ["staff"]);
        assert!(parsed.of("staff").is_empty());
        assert_eq!(parsed.names(), ["staff", "admins"]);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let (parsed, told) = groups("staff alice\n: bob\nadmins: \"carol\nwheel : dave\n");
        assert!(parsed.is_none());
        assert_eq!(told.len(), 4);
        assert!(told[0].starts_with("groups:1:1: error: this line has no colon\n  staff alice\n  ^^^^^^^^^^^\n"), "{}", told[0]);
        assert!(told[1].starts_with("groups:2:1: error: the group name is missing"));
        assert!(told[2].starts_with("groups:3:9: error: this quotation mark is not closed"));
        assert!(told[3].starts_with("groups:4:1: error: white space before the colon"));
    }

    #[test]
    fn members_that_are_no_users_are_told() {
        let (users, _) = super::super::htpasswd::parse(Path::new("u"), b"alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", false);
        let (parsed, told) = parse(Path::new("g"), b"staff: alice bob\n", Some((Path::new("u"), &users.unwrap())));
        assert_eq!(*parsed.unwrap().of("bob"), ["staff"]);
        assert_eq!(told.len(), 1);
        assert_eq!(
            told[0].to_string(),
            "g:1:14: warning: bob is not in u\n  staff: alice bob\n               ^^^\nhelp: portcullis auth add u bob, or take the name out here"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_content_panics(content in "\\PC{0,80}|[a-c:\"'\\\\ \n]{0,60}") {
            let _ = parse(Path::new("g"), content.as_bytes(), None);
        }
    }
}
