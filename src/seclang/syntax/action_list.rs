//! The actions part of a rule, `id:1,phase:2,msg:'a, b',deny`, cut into names and values.

use super::ast::ActionText;
use super::text::Text;
use crate::diagnostic::Problem;

/// Cuts a list of actions at its commas. What the names mean is not known here.
pub fn actions(text: &Text, problems: &mut Vec<Problem>) -> Vec<ActionText> {
    let mut actions = Vec::new();
    let string = text.as_str();
    let mut at = 0;
    loop {
        at += blanks(string, at);
        if at >= string.len() {
            return actions;
        }
        let rest = string.get(at..).unwrap_or("");
        let width = rest.find(|c: char| c == ':' || c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let name = text.slice(at, at + width);
        at += width;
        let mut value = None;
        if string.get(at..).is_some_and(|rest| rest.starts_with(':')) {
            let (text, next) = value_at(text, at + 1, problems);
            value = Some(text);
            at = next;
        }
        if name.as_str().is_empty() {
            problems.push(Problem::error(text.span_of(at.saturating_sub(width), at + 1), "an action is missing here"));
        } else {
            actions.push(ActionText { name, value });
        }
        at += blanks(string, at);
        match string.get(at..).and_then(|rest| rest.chars().next()) {
            None => return actions,
            Some(',') => at += 1,
            Some(_) => {
                let problem = Problem::error(text.span_of(at, at + 1), "a comma is missing before this");
                problems.push(problem.help("separate actions by commas, and put a value that has blanks into single quotes"));
                at += string.get(at..).and_then(|rest| rest.find(',')).map_or(string.len() - at, |comma| comma + 1);
            }
        }
    }
}

fn blanks(string: &str, at: usize) -> usize {
    let rest = string.get(at..).unwrap_or("");
    rest.len() - rest.trim_start().len()
}

fn value_at(text: &Text, at: usize, problems: &mut Vec<Problem>) -> (Text, usize) {
    let string = text.as_str();
    let start = at + blanks(string, at);
    let rest = string.get(start..).unwrap_or("");
    if !rest.starts_with('\'') {
        let width = rest.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        return (text.slice(start, start + width), start + width);
    }
    let origin = text.span();
    let mut value = Text::empty(origin.file, text.span_of(start + 1, start + 2).start);
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((offset, character)) = characters.next() {
        let place = text.span_of(start + offset, start + offset + 1).start;
        match character {
            '\'' => return (value, start + offset + 1),
            '\\' if matches!(characters.peek(), Some((_, '\'' | '\\'))) => {
                let escaped = characters.next().map_or('\\', |(_, escaped)| escaped);
                value.push(escaped, place + 1);
            }
            _ => value.push(character, place),
        }
    }
    let problem = Problem::error(text.span_of(start, start + 1), "this single quote is never closed");
    problems.push(problem.help("write `\\'` for a quote inside of the value"));
    (value, string.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Sources;

    fn cut(source: &str) -> (Vec<(String, Option<String>)>, Vec<String>) {
        let file = Sources::default().add("t.conf", source.to_owned());
        let mut text = Text::empty(file, 0);
        source.char_indices().for_each(|(at, c)| text.push(c, at as u32));
        let mut problems = Vec::new();
        let list = actions(&text, &mut problems);
        let plain = |a: &ActionText| (a.name.as_str().to_owned(), a.value.as_ref().map(|v| v.as_str().to_owned()));
        (list.iter().map(plain).collect(), problems.into_iter().map(|p| p.message).collect())
    }

    #[test]
    fn commas_inside_quotes_do_not_separate() {
        let (list, problems) = cut("id:1, msg:'it\\'s, ok',t:none,  deny,setvar:tx.a=+1");
        assert!(problems.is_empty(), "{problems:?}");
        let expected = [("id", Some("1")), ("msg", Some("it's, ok")), ("t", Some("none")), ("deny", None), ("setvar", Some("tx.a=+1"))];
        let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), v.map(str::to_owned))).collect();
        assert_eq!(list, expected);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(cut("id:1 deny").1, ["a comma is missing before this"]);
        assert_eq!(cut("msg:'x").1, ["this single quote is never closed"]);
        assert_eq!(cut("id:1,,deny").1, ["an action is missing here"]);
    }
}
