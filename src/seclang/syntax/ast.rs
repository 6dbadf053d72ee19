//! What a rule file says: directives with their parts, every part with its place.

use super::directive::Setting;
use super::text::Text;
use crate::span::Span;
use crate::variable::Variable;

/// One directive.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where the whole directive stands.
    pub span: Span,
    /// What it is.
    pub directive: Directive,
}

/// A directive by its kind.
#[derive(Clone, Debug)]
pub enum Directive {
    /// `SecRule VARIABLES OPERATOR [ACTIONS]`
    Rule(RuleText),
    /// `SecAction ACTIONS`
    Action(Vec<ActionText>),
    /// `SecDefaultAction ACTIONS`
    DefaultAction(Vec<ActionText>),
    /// `SecMarker LABEL`
    Marker(Text),
    /// `Include PATH`; `optional` for `IncludeOptional`.
    Include {
        /// The path or pattern.
        path: Text,
        /// No match is no mistake.
        optional: bool,
    },
    /// `SecRuleRemoveById`, `ByTag`, `ByMsg`
    Remove(Which),
    /// `SecRuleUpdateTargetById`, `ByTag`, `ByMsg`
    UpdateTarget {
        /// The rules.
        which: Which,
        /// The targets to add, or with `!` to leave out.
        targets: Vec<TargetText>,
        /// The targets these replace (third argument), empty for none.
        replaced: Vec<TargetText>,
    },
    /// `SecRuleUpdateActionById ID[:LINK] ACTIONS`
    UpdateAction {
        /// The rule.
        which: Which,
        /// The actions.
        actions: Vec<ActionText>,
    },
    /// Everything that sets one option.
    Setting(Setting, Vec<Text>),
}

/// The rules a directive or `ctl` speaks of.
#[derive(Clone, Debug)]
pub enum Which {
    /// Ids and ranges of ids; the second part is the link of a chain, from zero.
    Ids(Vec<(u64, u64)>, usize),
    /// A pattern found in any tag.
    Tag(Text),
    /// A pattern found in the message.
    Msg(Text),
}

/// `SecRule` before its actions are understood.
#[derive(Clone, Debug)]
pub struct RuleText {
    /// The variables.
    pub targets: Vec<TargetText>,
    /// The operator.
    pub operator: OperatorText,
    /// The actions.
    pub actions: Vec<ActionText>,
}

/// `[!][&]NAME[:selector]`
#[derive(Clone, Debug)]
pub struct TargetText {
    /// `!`: leave it out.
    pub excluded: bool,
    /// `&`: how many there are.
    pub counted: bool,
    /// The variable.
    pub variable: Variable,
    /// The selector.
    pub selector: Option<SelectorText>,
    /// Where it stands.
    pub span: Span,
}

/// What follows the colon of a target.
#[derive(Clone, Debug)]
pub enum SelectorText {
    /// A name.
    Name(Text),
    /// The pattern between slashes.
    Pattern(Text),
}

/// `[!]@name argument`
#[derive(Clone, Debug)]
pub struct OperatorText {
    /// `!`
    pub negated: bool,
    /// The name without `@`; `rx` where none was written.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// The argument.
    pub argument: Text,
}

/// `name[:value]`
#[derive(Clone, Debug)]
pub struct ActionText {
    /// The name as written.
    pub name: Text,
    /// What follows the colon, quotes removed.
    pub value: Option<Text>,
}
