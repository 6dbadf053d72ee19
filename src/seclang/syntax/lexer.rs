//! Cuts a rule file into logical lines and those into words, the way Apache's configuration reader does.

use super::text::Text;
use crate::diagnostic::Problem;
use crate::span::{FileId, Span};

/// A directive with its arguments.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) words: Vec<Text>,
    pub(super) span: Span,
}

/// All logical lines of a file. A backslash at the end of a line joins the next one to it, as in Apache: nothing is put between them.
pub(super) fn lines(file: FileId, source: &str, problems: &mut Vec<Problem>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < source.len() {
        let (logical, next) = join(file, source, start);
        let text = logical.trim();
        match text.as_str().chars().next() {
            None => {}
            Some('#') => warn_of_swallowed_lines(&text, source, start, next, problems),
            Some(_) => lines.push(Line { span: text.span(), words: words(&text, problems) }),
        }
        start = next;
    }
    lines
}

fn join(file: FileId, source: &str, start: usize) -> (Text, usize) {
    let mut text = Text::empty(file, start as u32);
    let mut at = start;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        let line = rest.get(..length).unwrap_or("").trim_end_matches(['\n', '\r']);
        let continued = line.strip_suffix('\\');
        for (offset, character) in continued.unwrap_or(line).char_indices() {
            text.push(character, (at + offset) as u32);
        }
        at += length;
        if continued.is_none() {
            break;
        }
    }
    (text, at)
}

/// A comment that ends in a backslash takes the next line with it: where that line is a directive, somebody loses a rule.
fn warn_of_swallowed_lines(comment: &Text, source: &str, start: usize, end: usize, problems: &mut Vec<Problem>) {
    let swallowed = source.get(start..end).unwrap_or("").lines().skip(1);
    if swallowed.map(str::trim_start).any(|line| line.starts_with("Sec") || line.starts_with("Include")) {
        let problem =
            Problem::warning(comment.span(), "this comment ends in a backslash, so the directive on the next line is a comment too");
        problems.push(problem.help("remove the backslash, or put `#` before the next line as well"));
    }
}

fn words(line: &Text, problems: &mut Vec<Problem>) -> Vec<Text> {
    let mut words = Vec::new();
    let characters: Vec<(usize, char)> = line.as_str().char_indices().collect();
    let mut i = 0;
    while let Some((at, first)) = characters.get(i).copied() {
        if first.is_ascii_whitespace() {
            i += 1;
            continue;
        }
        let quote = matches!(first, '"' | '\'').then_some(first);
        let (word, next) = word(line, &characters, if quote.is_some() { i + 1 } else { i }, quote);
        if quote.is_some() && characters.get(next - 1).map(|c| c.1) != quote || next == i + 1 && quote.is_some() {
            let problem = Problem::error(line.span_of(at, at + 1), "this quote is never closed");
            problems.push(problem.help("close it, or end the lines between with a backslash"));
        }
        words.push(word);
        i = next;
    }
    words
}

/// One word from the character `i` on, and the index behind it and its closing quote.
fn word(line: &Text, characters: &[(usize, char)], mut i: usize, quote: Option<char>) -> (Text, usize) {
    let place = |index: usize| {
        let offset = characters.get(index).map_or(line.as_str().len(), |c| c.0);
        line.span_of(offset, offset + 1)
    };
    let mut text = Text::empty(line.span().file, place(i).start);
    while let Some((_, character)) = characters.get(i).copied() {
        let following = characters.get(i + 1).map(|c| c.1);
        if character == '\\' && (following == Some('\\') || quote.is_some() && following == quote) {
            i += 1;
            text.push(following.unwrap_or('\\'), place(i).start);
        } else if Some(character) == quote {
            return (text, i + 1);
        } else if quote.is_none() && character.is_ascii_whitespace() {
            return (text, i);
        } else {
            text.push(character, place(i).start);
        }
        i += 1;
    }
    (text, i + usize::from(quote.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Sources;

    fn lex(source: &str) -> (Vec<Vec<String>>, usize) {
        let mut sources = Sources::default();
        let file = sources.add("t.conf", source.to_owned());
        let mut problems = Vec::new();
        let lines = lines(file, source, &mut problems);
        (lines.iter().map(|line| line.words.iter().map(|w| w.as_str().to_owned()).collect()).collect(), problems.len())
    }

    #[test]
    fn quotes_continuations_and_escapes_are_resolved() {
        let (lines, problems) = lex("# c\nSecRule  ARGS \"@rx a\\\"b\\\\c\\d\" \\\n   'x y'\n\nSecMarker END");
        assert_eq!(lines, [vec!["SecRule", "ARGS", "@rx a\"b\\c\\d", "x y"], vec!["SecMarker", "END"]]);
        assert_eq!(problems, 0);
    }

    #[test]
    fn an_open_quote_is_a_problem() {
        assert_eq!(lex("SecRule ARGS \"abc").1, 1);
        assert_eq!(lex("SecRule ARGS \"").1, 1);
        assert_eq!(lex("SecRule ARGS \"\"").1, 0);
    }

    #[test]
    fn a_comment_that_swallows_a_directive_is_reported() {
        assert_eq!(lex("# see \\\nSecMarker A\n").1, 1);
        assert_eq!(lex("# see \\\n# more\n").1, 0);
    }

    #[test]
    fn a_piece_knows_its_place_across_continuations() {
        let source = "SecAction \\\n \"id:1,\\\n  deny\"";
        let mut sources = Sources::default();
        let file = sources.add("t.conf", source.to_owned());
        let lines = lines(file, source, &mut Vec::new());
        let argument = &lines[0].words[1];
        assert_eq!(argument.as_str(), "id:1,  deny");
        let span = argument.slice(7, 11).span();
        assert_eq!(&source[span.start as usize..span.end as usize], "deny");
    }
}
