//! Which values a rule looks at, and which rules a directive or `ctl` speaks of: names and patterns, compiled.

use std::sync::Arc;

use bytes::Bytes;

use crate::body::xml::Path;
use crate::diagnostic::Problem;
use crate::operator::{Matched, Rx};
use crate::syntax::ast::{SelectorText, TargetText, Which};
use crate::variable::Variable;

/// `[!][&]VARIABLE[:selector]`
#[derive(Clone, Debug)]
pub struct Target {
    /// The variable.
    pub variable: Variable,
    /// `&`: the number of values instead of the values.
    pub counted: bool,
    /// Which of a collection's values; none is all.
    pub selector: Option<Selector>,
}

/// What picks values of a collection. Names ignore case, as in ModSecurity 2.
#[derive(Clone, Debug)]
pub enum Selector {
    /// One name.
    Name(Arc<[u8]>),
    /// All names that a pattern is found in.
    Pattern(Arc<Rx>, Arc<str>),
    /// `XML:/*`: the text of the root element, and so of all elements.
    XmlText,
    /// `XML://@*`: the values of all attributes.
    XmlAttributes,
    /// Any other path, and how it is written.
    XmlPath(Arc<Path>, Arc<str>),
}

impl Selector {
    /// Whether it picks the value of that name.
    pub fn picks(&self, name: &[u8]) -> bool {
        match self {
            Selector::Name(own) => own.eq_ignore_ascii_case(name),
            Selector::Pattern(pattern, _) => pattern.matches(name, None) == Matched::Yes,
            Selector::XmlText | Selector::XmlAttributes => true,
            Selector::XmlPath(_, own) => own.as_bytes() == name,
        }
    }

    fn same(&self, other: &Selector) -> bool {
        match (self, other) {
            (Selector::Name(a), Selector::Name(b)) => a.eq_ignore_ascii_case(b),
            (Selector::Pattern(_, a), Selector::Pattern(_, b)) => a == b,
            (Selector::XmlPath(a, _), Selector::XmlPath(b, _)) => a == b,
            (Selector::XmlText, Selector::XmlText) | (Selector::XmlAttributes, Selector::XmlAttributes) => true,
            _ => false,
        }
    }
}

impl Target {
    /// Compiles a target; a wrong pattern or path is a problem at its place.
    pub fn compile(text: &TargetText, problems: &mut Vec<Problem>) -> Option<Self> {
        Self::compile_with(text, &[], problems)
    }

    /// The same in a rule that declares prefixes with `xmlns`.
    pub fn compile_with(text: &TargetText, namespaces: &[(String, String)], problems: &mut Vec<Problem>) -> Option<Self> {
        let selector = match &text.selector {
            None => None,
            Some(SelectorText::Name(name)) if text.variable == Variable::Xml => match name.as_str() {
                "/*" => Some(Selector::XmlText),
                "//@*" => Some(Selector::XmlAttributes),
                path => match Path::parse(path, namespaces) {
                    Ok(compiled) => Some(Selector::XmlPath(Arc::new(compiled), Arc::from(path))),
                    Err((place, message)) => {
                        let problem = Problem::error(name.span_of(place.start, place.end), message);
                        problems.push(problem.help("steps are /a and //a, with [n], [@a] or [@a='v']; the last may be @a or text()"));
                        return None;
                    }
                },
            },
            Some(SelectorText::Name(name)) => Some(Selector::Name(Arc::from(name.as_str().as_bytes()))),
            Some(SelectorText::Pattern(pattern)) => match Rx::compile(&format!("(?i){}", pattern.as_str())) {
                Ok(compiled) => Some(Selector::Pattern(Arc::new(compiled), Arc::from(pattern.as_str()))),
                Err(reason) => {
                    problems.push(Problem::error(pattern.span(), reason));
                    return None;
                }
            },
        };
        Some(Target { variable: text.variable, counted: text.counted, selector })
    }

    /// Warns of the name that a member of a JSON body has in ModSecurity 3 and Coraza: here nothing is called so.
    pub(crate) fn warn_of_prefix(text: &TargetText, problems: &mut Vec<Problem>) {
        let parameters = [Variable::Args, Variable::ArgsPost, Variable::ArgsNames, Variable::ArgsPostNames];
        let Some(SelectorText::Name(name)) = text.selector.as_ref().filter(|_| parameters.contains(&text.variable)) else { return };
        let prefix = name.as_str().get(..5).filter(|start| start.eq_ignore_ascii_case("json."));
        if prefix.is_some() {
            let problem =
                Problem::warning(text.span, "members of JSON bodies have no `json.` before their names here, as in ModSecurity 2");
            problems.push(problem.help(format!("write `{}:{}`", text.variable.name(), name.as_str().get(5..).unwrap_or_default())));
        }
    }

    /// The name of a count, as the rule spells it: `&ARGS:a`.
    pub(crate) fn counted_name(&self) -> Bytes {
        let name = self.variable.name();
        let text = match &self.selector {
            Some(Selector::Name(selector)) => format!("&{name}:{}", String::from_utf8_lossy(selector)),
            Some(Selector::Pattern(_, pattern)) => format!("&{name}:/{pattern}/"),
            _ => format!("&{name}"),
        };
        text.into()
    }

    /// The name of a value that a rule names: `TX:a`, `REQUEST_METHOD`.
    pub(crate) fn full_name(&self) -> Bytes {
        match &self.selector {
            Some(Selector::Name(selector)) => Bytes::from([self.variable.name().as_bytes(), b":", selector].concat()),
            _ => Bytes::from_static(self.variable.name().as_bytes()),
        }
    }

    /// Whether this target, used as an exclusion, leaves out the value `name` of `variable`.
    pub fn excludes(&self, variable: Variable, name: &[u8]) -> bool {
        self.variable == variable && self.selector.as_ref().is_none_or(|selector| selector.picks(name))
    }

    /// Whether both are written alike, apart from the letters' case.
    pub fn same(&self, other: &Target) -> bool {
        let selectors = match (&self.selector, &other.selector) {
            (None, None) => true,
            (Some(a), Some(b)) => a.same(b),
            _ => false,
        };
        self.variable == other.variable && self.counted == other.counted && selectors
    }
}

/// Rules, by id, tag or message.
#[derive(Clone, Debug)]
pub enum RulePattern {
    /// Ids and ranges of ids, both ends included.
    Ids(Vec<(u64, u64)>),
    /// Found in any tag.
    Tag(Arc<Rx>),
    /// Found in the message as it is written.
    Msg(Arc<Rx>),
}

impl RulePattern {
    /// Compiles what the syntax says, and the link of the chain it is about.
    pub fn compile(which: &Which, problems: &mut Vec<Problem>) -> Option<(Self, usize)> {
        let (text, tag) = match which {
            Which::Ids(ranges, link) => return Some((RulePattern::Ids(ranges.clone()), *link)),
            Which::Tag(text) => (text, true),
            Which::Msg(text) => (text, false),
        };
        match Rx::compile(text.as_str()) {
            Ok(pattern) => {
                let pattern = Arc::new(pattern);
                Some((if tag { RulePattern::Tag(pattern) } else { RulePattern::Msg(pattern) }, 0))
            }
            Err(reason) => {
                problems.push(Problem::error(text.span(), reason));
                None
            }
        }
    }

    /// Whether a rule with that id, tags and message is among them.
    pub fn covers<'a>(&self, id: u64, mut tags: impl Iterator<Item = &'a str>, message: &str) -> bool {
        match self {
            RulePattern::Ids(ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&id)),
            RulePattern::Tag(pattern) => tags.any(|tag| pattern.matches(tag.as_bytes(), None) == Matched::Yes),
            RulePattern::Msg(pattern) => pattern.matches(message.as_bytes(), None) == Matched::Yes,
        }
    }
}
