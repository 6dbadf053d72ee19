//! The whole language as data: every name of the reference manual, and what this engine does with it. Made from the tables that the
//! engine itself works by; `docs/seclang.md` is made from this.

use crate::action;
use crate::operator::Operator;
use crate::syntax::directive::{DIRECTIVES, Treatment};
use crate::transform::Transformation;
use crate::variable::{Kind, Variable};

/// What becomes of a name in a rule file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It works.
    Yes,
    /// It is another spelling of a name that works.
    Alias(&'static str),
    /// It loads with a warning and does nothing; says why, or where the gateway has it instead.
    Inert(&'static str),
    /// It is an error; says what to do instead.
    Refused(&'static str),
}

/// A part of the language: its title, and its names in the manual's spelling.
#[derive(Clone, Debug)]
pub struct Part {
    /// Such as `Directives`.
    pub title: &'static str,
    /// Names, in the manual's order or that of the alphabet.
    pub names: Vec<(&'static str, Support)>,
}

/// Every part of the language.
pub fn parts() -> Vec<Part> {
    vec![
        Part { title: "Directives", names: DIRECTIVES.iter().map(|(name, treatment)| (*name, directive(*treatment))).collect() },
        Part { title: "Variables", names: variables() },
        Part { title: "Operators", names: operators() },
        Part { title: "Transformations", names: transformations() },
        Part { title: "Actions", names: actions() },
        Part { title: "Options of ctl", names: controls() },
    ]
}

fn directive(treatment: Treatment) -> Support {
    match treatment {
        Treatment::Own(_) | Treatment::Setting(_) => Support::Yes,
        Treatment::Elsewhere(where_instead) => Support::Inert(where_instead),
        Treatment::Refused(instead) => Support::Refused(instead),
    }
}

fn variables() -> Vec<(&'static str, Support)> {
    let support = |variable: Option<Variable>, works: Support| match variable.map(Variable::kind) {
        Some(Kind::NeverSet) => Support::Inert("never set: a gateway has nothing of the kind"),
        _ => works,
    };
    let own = Variable::names().map(|name| (name, support(Variable::parse(name), Support::Yes)));
    own.chain(Variable::aliases().map(|(name, variable)| (name, support(Some(variable), Support::Alias(variable.name()))))).collect()
}

fn operators() -> Vec<(&'static str, Support)> {
    let works = Operator::names().iter().map(|name| (*name, Support::Yes));
    works.chain(Operator::refused().map(|(name, instead)| (name, Support::Refused(instead)))).collect()
}

fn transformations() -> Vec<(&'static str, Support)> {
    let own = Transformation::ALL.iter().map(|one| (one.name(), Support::Yes));
    own.chain(Transformation::ALIASES.iter().map(|(name, one)| (*name, Support::Alias(one.name())))).collect()
}

fn actions() -> Vec<(&'static str, Support)> {
    let support = |name: &'static str| match (action::refusal(name), action::inert(name)) {
        (Some(instead), _) => Support::Refused(instead),
        (None, Some(why)) => Support::Inert(why),
        (None, None) => Support::Yes,
    };
    action::NAMES.iter().map(|name| (*name, support(name))).collect()
}

fn controls() -> Vec<(&'static str, Support)> {
    let support = |name: &'static str| action::inert_control(name).map_or(Support::Yes, Support::Inert);
    action::CONTROLS.iter().map(|name| (*name, support(name))).collect()
}
