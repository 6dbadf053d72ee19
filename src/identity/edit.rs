//! Changes to the text of users and group files that keep order, comments and everything else as it is.

use super::groups::words;

/// The name on a users or groups line, as the parsers see it; `None` for comments and blank lines.
fn name_of(line: &str) -> Option<&str> {
    let text = line.trim_matches([' ', '\t', '\r', '\n']);
    if text.starts_with('#') { None } else { text.split_once(':').map(|(name, _)| name) }
}

/// The content with `user`'s hash set: on the line that counts (the first), or on a new last line.
pub fn set_user(content: &str, user: &str, hash: &str) -> String {
    let mut out = String::with_capacity(content.len() + user.len() + hash.len() + 2);
    let mut done = false;
    for line in content.split_inclusive('\n') {
        if done || name_of(line) != Some(user) {
            out.push_str(line);
            continue;
        }
        done = true;
        let end = line.len() - line.trim_end_matches(['\r', '\n']).len();
        let further = line.trim_end_matches(['\r', '\n']).splitn(3, ':').nth(2);
        out.extend([user, ":", hash]);
        if let Some(further) = further {
            out.extend([":", further]);
        }
        out.push_str(&line[line.len() - end..]);
    }
    if !done {
        append(&mut out, &format!("{user}:{hash}"));
    }
    out
}

/// The content without `user`, on any line: a duplicate left behind would begin to count. `None` when there was none.
pub fn remove_user(content: &str, user: &str) -> Option<String> {
    let out: String = content.split_inclusive('\n').filter(|line| name_of(line) != Some(user)).collect();
    (out.len() != content.len()).then_some(out)
}

/// The content of a group file with `user` in `group`.
pub fn add_member(content: &str, group: &str, user: &str) -> String {
    let word = member_word(user);
    let mut out = String::with_capacity(content.len() + group.len() + word.len() + 4);
    let has =
        |line: &str| line.split_once(':').is_some_and(|(_, list)| words(list.trim_end()).iter().any(|(_, w)| w.as_deref() == Some(user)));
    if content.lines().any(|line| name_of(line) == Some(group) && has(line)) {
        return content.into();
    }
    let mut done = false;
    for line in content.split_inclusive('\n') {
        if done || name_of(line) != Some(group) {
            out.push_str(line);
            continue;
        }
        done = true;
        let text = line.trim_end_matches([' ', '\t', '\r', '\n']);
        out.extend([text, " ", &word, &line[line.trim_end_matches(['\r', '\n']).len()..]]);
    }
    if !done {
        append(&mut out, &format!("{group}: {word}"));
    }
    out
}

/// The content of a group file with `user` in no group. `None` when it was in none.
pub fn remove_member(content: &str, user: &str) -> Option<String> {
    let mut out = String::with_capacity(content.len());
    let mut found = false;
    for line in content.split_inclusive('\n') {
        let colon = line.find(':').filter(|_| name_of(line).is_some());
        let mut kept = line.to_owned();
        if let Some(colon) = colon {
            // From the last to the first, so that the ranges stay true.
            for (range, word) in words(line[colon + 1..].trim_end()).into_iter().rev() {
                if word.as_deref() == Some(user) {
                    let (mut from, to) = (range.start + colon + 1, range.end + colon + 1);
                    while kept[..from].ends_with([' ', '\t']) {
                        from -= 1;
                    }
                    kept.replace_range(from..to, "");
                    found = true;
                }
            }
        }
        out.push_str(&kept);
    }
    found.then_some(out)
}

fn append(out: &mut String, line: &str) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.extend([line, "\n"]);
}

/// A user's name as a word of a group file.
fn member_word(user: &str) -> String {
    if user.contains([' ', '\t']) || user.starts_with(['"', '\'']) {
        format!("\"{}\"", user.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        user.into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const FILE: &str = "# staff\nalice:A\n\n# contractors\nbob:B:until May\r\nalice:C";

    #[test]
    fn a_changed_password_changes_the_line_that_counts_and_nothing_else() {
        assert_eq!(set_user(FILE, "alice", "N"), FILE.replacen("alice:A", "alice:N", 1));
        assert_eq!(set_user(FILE, "bob", "N"), FILE.replacen("bob:B", "bob:N", 1));
        assert_eq!(set_user(FILE, "carol", "N"), format!("{FILE}\ncarol:N\n"));
        assert_eq!(set_user("", "carol", "N"), "carol:N\n");
    }

    #[test]
    fn a_removed_user_is_gone_with_all_duplicates() {
        assert_eq!(remove_user(FILE, "alice").unwrap(), "# staff\n\n# contractors\nbob:B:until May\r\n");
        assert_eq!(remove_user(FILE, "staff"), None);
    }

    #[test]
    fn members_come_and_go_without_touching_the_rest() {
        let file = "# g: alice\nstaff: bob \r\nadmins:\n";
        let added = add_member(file, "staff", "alice");
        assert_eq!(added, "# g: alice\nstaff: bob alice\r\nadmins:\n");
        assert_eq!(add_member(&added, "staff", "alice"), added);
        assert_eq!(add_member(file, "new", "d e"), format!("{file}new: \"d e\"\n"));
        assert_eq!(remove_member(&added, "alice").unwrap(), "# g: alice\nstaff: bob\r\nadmins:\n");
        assert_eq!(remove_member("a: x \"d e\" y\nb: \"d e\"\n", "d e").unwrap(), "a: x y\nb:\n");
        assert_eq!(remove_member(file, "zoe"), None);
    }
}
