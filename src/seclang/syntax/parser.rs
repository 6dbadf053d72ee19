//! Turns words into directives. Every mistake is collected; what could not be understood is left out of the result.

use super::action_list::actions;
use super::ast::{Directive, Item, OperatorText, RuleText, Which};
use super::directive::{DIRECTIVES, Own, Treatment, treatment};
use super::lexer::{Line, lines};
use super::target::targets;
use super::text::Text;
use crate::diagnostic::Problem;
use crate::span::{FileId, Span};

/// Parses one file.
pub fn parse(file: FileId, source: &str, problems: &mut Vec<Problem>) -> Vec<Item> {
    lines(file, source, problems).iter().filter_map(|line| item(line, problems)).collect()
}

fn item(line: &Line, problems: &mut Vec<Problem>) -> Option<Item> {
    let (name, arguments) = line.words.split_first()?;
    if name.as_str().starts_with('<') {
        section(name, line.span, problems);
        return None;
    }
    let directive = match treatment(name.as_str()) {
        Some(Treatment::Own(own)) => own_directive(own, name, arguments, problems)?,
        Some(Treatment::Setting(setting)) => Directive::Setting(setting, arguments.to_vec()),
        Some(Treatment::Elsewhere(help)) => {
            problems.push(Problem::warning(name.span(), format!("`{}` has no effect here", name.as_str())).help(help));
            return None;
        }
        Some(Treatment::Refused(help)) => {
            problems.push(Problem::error(name.span(), format!("`{}` is not supported", name.as_str())).help(help));
            return None;
        }
        None => {
            let problem = Problem::error(name.span(), format!("unknown directive `{}`", name.as_str()));
            problems.push(problem.suggest(name.as_str(), DIRECTIVES.iter().map(|entry| entry.0)));
            return None;
        }
    };
    Some(Item { span: line.span, directive })
}

/// Apache wraps rules in `<IfModule security2_module>`, which is always true here; its other sections belong to Apache.
fn section(name: &Text, span: Span, problems: &mut Vec<Problem>) {
    let word = name.as_str().trim_start_matches(['<', '/']).trim_end_matches('>');
    if !word.eq_ignore_ascii_case("IfModule") {
        let problem = Problem::error(span, format!("`{}` is a section of Apache's configuration", name.as_str()));
        problems.push(problem.help("choose rules per site and map in gateway.toml, or match REQUEST_FILENAME in the rule"));
    }
}

fn own_directive(own: Own, name: &Text, arguments: &[Text], problems: &mut Vec<Problem>) -> Option<Directive> {
    let (least, most) = match own {
        Own::Rule | Own::UpdateTargetById | Own::UpdateTargetByTag | Own::UpdateTargetByMsg => (2, 3),
        Own::UpdateActionById => (2, 2),
        Own::RemoveById => (1, usize::MAX),
        _ => (1, 1),
    };
    if arguments.len() < least || arguments.len() > most {
        let wanted = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        let wanted = if most == usize::MAX { "at least 1".to_owned() } else { wanted };
        let message = format!("`{}` takes {wanted} arguments, not {}", name.as_str(), arguments.len());
        problems.push(Problem::error(name.span(), message).help("put an argument that has blanks into double quotes"));
        return None;
    }
    let first = arguments.first()?;
    Some(match own {
        Own::Rule => Directive::Rule(rule(first, arguments.get(1)?, arguments.get(2), problems)),
        Own::Action => Directive::Action(actions(first, problems)),
        Own::DefaultAction => Directive::DefaultAction(actions(first, problems)),
        Own::Marker => Directive::Marker(first.clone()),
        Own::Include | Own::IncludeOptional => Directive::Include { path: first.clone(), optional: own == Own::IncludeOptional },
        Own::RemoveById => Directive::Remove(Which::Ids(arguments.iter().flat_map(|text| ids(text, problems)).collect(), 0)),
        Own::RemoveByTag => Directive::Remove(Which::Tag(first.clone())),
        Own::RemoveByMsg => Directive::Remove(Which::Msg(first.clone())),
        Own::UpdateTargetById => update_target(id_and_link(first, problems), arguments, problems)?,
        Own::UpdateTargetByTag => update_target(Which::Tag(first.clone()), arguments, problems)?,
        Own::UpdateTargetByMsg => update_target(Which::Msg(first.clone()), arguments, problems)?,
        Own::UpdateActionById => {
            Directive::UpdateAction { which: id_and_link(first, problems), actions: actions(arguments.get(1)?, problems) }
        }
    })
}

fn update_target(which: Which, arguments: &[Text], problems: &mut Vec<Problem>) -> Option<Directive> {
    let targets_of = |text: &Text, problems: &mut Vec<Problem>| targets(text, problems);
    let replaced = arguments.get(2).map(|text| targets_of(text, problems)).unwrap_or_default();
    Some(Directive::UpdateTarget { which, targets: targets_of(arguments.get(1)?, problems), replaced })
}

fn rule(variables: &Text, operator_text: &Text, action_text: Option<&Text>, problems: &mut Vec<Problem>) -> RuleText {
    RuleText {
        targets: targets(variables, problems),
        operator: operator(operator_text),
        actions: action_text.map(|text| actions(text, problems)).unwrap_or_default(),
    }
}

/// `!@name argument`; without `@` the whole text is a pattern for `@rx`.
pub fn operator(text: &Text) -> OperatorText {
    let string = text.as_str();
    let mut at = string.len() - string.trim_start().len();
    let rest = |at: usize| string.get(at..).unwrap_or("");
    let negated = rest(at).starts_with('!');
    if negated {
        at += 1;
        at += rest(at).len() - rest(at).trim_start().len();
    }
    if !rest(at).starts_with('@') {
        let argument = text.slice(at, string.len());
        return OperatorText { negated, name: "rx".to_owned(), name_span: argument.span(), argument };
    }
    let end = at + rest(at).find(char::is_whitespace).unwrap_or(rest(at).len());
    let name = text.slice(at + 1, end);
    let start = end + (rest(end).len() - rest(end).trim_start().len());
    OperatorText { negated, name: name.as_str().to_owned(), name_span: name.span(), argument: text.slice(start, string.len()) }
}

/// `1,5-9 "12-20"`: single ids and ranges, both ends included.
pub fn ids(text: &Text, problems: &mut Vec<Problem>) -> Vec<(u64, u64)> {
    let pieces = text.as_str().split([',', ' ', '\t']).filter(|piece| !piece.is_empty());
    let mut ranges = Vec::new();
    for piece in pieces {
        let (low, high) = piece.split_once('-').unwrap_or((piece, piece));
        match (low.trim().parse::<u64>(), high.trim().parse::<u64>()) {
            (Ok(low), Ok(high)) if low <= high => ranges.push((low, high)),
            (Ok(low), Ok(high)) => {
                let problem = Problem::error(text.span(), format!("the range {low}-{high} is empty"));
                problems.push(problem.help(format!("write {high}-{low}")));
            }
            _ => {
                let problem = Problem::error(text.span(), format!("`{piece}` is neither an id nor a range of ids"));
                problems.push(problem.help("write ids as 942100, ranges as 942100-942199, several with commas"));
            }
        }
    }
    ranges
}

fn id_and_link(text: &Text, problems: &mut Vec<Problem>) -> Which {
    match text.as_str().split_once(':') {
        Some((id, link)) => match link.trim().parse::<usize>() {
            Ok(link) => Which::Ids(ids(&text.slice(0, id.len()), problems), link),
            Err(_) => {
                problems.push(Problem::error(text.span(), format!("`{link}` is not the number of a link of a chain")));
                Which::Ids(Vec::new(), 0)
            }
        },
        None => Which::Ids(ids(text, problems), 0),
    }
}
