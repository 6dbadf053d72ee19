//! The variables part of a rule: `ARGS|!ARGS:password|&REQUEST_HEADERS:Host|TX:/^x_/|XML:/*`.

use super::ast::{SelectorText, TargetText};
use super::text::Text;
use crate::diagnostic::Problem;
use crate::variable::{Kind, Variable};

/// Parses a list of targets, separated by bars or commas.
pub fn targets(text: &Text, problems: &mut Vec<Problem>) -> Vec<TargetText> {
    let mut targets = Vec::new();
    let string = text.as_str();
    let mut start = 0;
    while start <= string.len() {
        let end = start + length(string.get(start..).unwrap_or(""));
        let piece = text.slice(start, end).trim();
        if piece.as_str().is_empty() {
            if !(start == string.len() && start > 0 && !targets.is_empty()) {
                problems.push(Problem::error(piece.span(), "a variable is missing here"));
            }
        } else if let Some(target) = target(&piece, problems) {
            targets.push(target);
        }
        start = end + 1;
    }
    targets
}

/// Bytes up to the separator that ends the first target: bars inside `/.../` and quotes do not.
fn length(rest: &str) -> usize {
    let separator = |c: char| matches!(c, '|' | ',');
    let plain = rest.find(separator).unwrap_or(rest.len());
    let Some(colon) = rest.find(':').filter(|colon| *colon < plain) else { return plain };
    let selector = rest.get(colon + 1..).unwrap_or("");
    let name = rest.get(..colon).unwrap_or("").trim_start_matches(['!', '&', ' ']);
    let quote = match selector.chars().next() {
        Some(quote @ ('/' | '\'')) if !name.eq_ignore_ascii_case("XML") => quote,
        _ => return plain,
    };
    let mut escaped = false;
    for (offset, character) in selector.char_indices().skip(1) {
        let after = selector.get(offset + 1..).unwrap_or("");
        if character == quote && !escaped && (quote == '\'' || after.is_empty() || after.starts_with(separator)) {
            return colon + 1 + offset + 1 + after.find(separator).unwrap_or(after.len());
        }
        escaped = character == '\\' && !escaped;
    }
    plain
}

fn target(piece: &Text, problems: &mut Vec<Problem>) -> Option<TargetText> {
    let string = piece.as_str();
    let excluded = string.starts_with('!');
    let counted = string.trim_start_matches('!').starts_with('&');
    let prefix = string.len() - string.trim_start_matches(['!', '&']).len();
    if prefix > 1 {
        problems.push(Problem::error(piece.span(), "a variable takes one of `!` and `&`, not both"));
        return None;
    }
    let colon = string.find(':').unwrap_or(string.len());
    let name = piece.slice(prefix, colon).trim();
    let Some(variable) = Variable::parse(name.as_str()) else {
        let problem = Problem::error(name.span(), format!("unknown variable `{}`", name.as_str()));
        problems.push(problem.suggest(name.as_str(), Variable::names()));
        return None;
    };
    let selector = (colon < string.len()).then(|| selector(variable, &piece.slice(colon + 1, string.len()), problems));
    match (variable.kind(), &selector) {
        (Kind::NeverSet, _) => {
            let problem = Problem::warning(name.span(), format!("`{}` is never set in a gateway", variable.name()));
            problems.push(problem.help("the rule loads, but this variable never has a value"));
        }
        (Kind::Scalar, Some(_)) => {
            let problem = Problem::error(piece.span(), format!("`{}` has one value, so nothing can be selected from it", variable.name()));
            problems.push(problem.help("leave out the colon and what follows"));
        }
        _ => {}
    }
    Some(TargetText { excluded, counted, variable, selector, span: piece.span() })
}

fn selector(variable: Variable, text: &Text, problems: &mut Vec<Problem>) -> SelectorText {
    let mut text = text.clone();
    let string = text.as_str();
    if string.len() >= 2 && string.starts_with('\'') && string.ends_with('\'') {
        text = text.slice(1, string.len() - 1);
    }
    let string = text.as_str();
    if string.is_empty() {
        problems.push(Problem::error(text.span(), "the name after the colon is missing"));
    }
    if variable == Variable::Xml {
        return SelectorText::Name(text);
    }
    if string.len() >= 2 && string.starts_with('/') && string.ends_with('/') {
        return SelectorText::Pattern(text.slice(1, string.len() - 1));
    }
    SelectorText::Name(text)
}
