//! What links do to TX and ask of it, by numbered places: the names, the effects and the comparisons.

use std::sync::Arc;

use bytes::Bytes;

use crate::action::{Assignment, Effect, SetVariable};
use crate::expand::{Macro, Template};
use crate::operator::Operator;
use crate::ruleset::{Check, Link, Rule, Test};
use crate::target::Selector;
use crate::tx::{Names, decimal};
use crate::value::integer;
use crate::variable::Variable;

/// An effect of a link, made ready.
#[derive(Debug)]
pub(crate) enum Quick {
    /// `setvar` of a variable of TX that the rule names.
    SetTx(SetTx),
    /// Any other: its index among the link's effects.
    Other(u32),
}

/// `setvar` of a variable of TX.
#[derive(Debug)]
pub(crate) struct SetTx {
    pub(crate) place: u32,
    /// The name, where the rule spells it in its own way.
    pub(crate) odd: Option<Bytes>,
    pub(crate) change: TxChange,
    /// See [`SetVariable::is_score`].
    pub(crate) is_score: bool,
}

/// What happens to the variable.
#[derive(Debug)]
pub(crate) enum TxChange {
    /// `=value`
    Set(Bytes),
    /// `=%{tx.name}`
    Copy(u32),
    /// `=+n` and `=-n`
    Add(i64),
    /// `=+%{tx.name}`, and whether it is taken away instead.
    AddOther(u32, bool),
}

/// A comparison of a number with another that does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compare {
    by: By,
    with: i64,
    negated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
}

impl Compare {
    /// Of an operator that compares numbers and whose argument has no macros.
    pub(super) fn of(test: &Test) -> Option<Self> {
        let (Check::Operator(operator), None) = (&test.check, &test.argument) else { return None };
        let (by, with) = match operator {
            Operator::Eq(with) => (By::Eq, with),
            Operator::Ge(with) => (By::Ge, with),
            Operator::Gt(with) => (By::Gt, with),
            Operator::Le(with) => (By::Le, with),
            Operator::Lt(with) => (By::Lt, with),
            _ => return None,
        };
        Some(Compare { by, with: integer(with), negated: test.negated })
    }

    /// What it is compared with.
    pub(super) fn with(&self) -> i64 {
        self.with
    }

    /// Whether the rule's test is passed.
    pub(crate) fn holds(&self, number: i64) -> bool {
        let holds = match self.by {
            By::Eq => number == self.with,
            By::Ge => number >= self.with,
            By::Gt => number > self.with,
            By::Le => number <= self.with,
            By::Lt => number < self.with,
        };
        holds != self.negated
    }
}

impl Quick {
    /// The effects of a link.
    pub(super) fn of(link: &Link, names: &Names) -> Box<[Quick]> {
        (0_u32..).zip(&link.effects).map(|(index, effect)| set_tx(effect, names).map_or(Quick::Other(index), Quick::SetTx)).collect()
    }
}

fn set_tx(effect: &Effect, names: &Names) -> Option<SetTx> {
    let Effect::SetVariable(SetVariable { collection: Variable::Tx, name, assignment, is_score }) = effect else { return None };
    let name = name.literal()?;
    let place = names.find(name)?;
    let other = |template: &Template| template.only_macro().and_then(tx_name).and_then(|name| names.find(name.as_bytes()));
    let number = |template: &Template, minus: bool| match (template.literal(), minus) {
        (Some(text), false) => Some(TxChange::Add(integer(text))),
        (Some(text), true) => Some(TxChange::Add(integer(text).saturating_neg())),
        (None, _) => Some(TxChange::AddOther(other(template)?, minus)),
    };
    let change = match assignment {
        Assignment::Set(template) => match template.literal() {
            // Digits are not counted references to memory.
            Some(text) => TxChange::Set(Some(decimal(integer(text))).filter(|digits| digits == text).unwrap_or_else(|| text.clone())),
            None => TxChange::Copy(other(template)?),
        },
        Assignment::Add(template) => number(template, false)?,
        Assignment::Subtract(template) => number(template, true)?,
        Assignment::Remove => return None,
    };
    let odd = names.name(place).filter(|own| *own != name).map(|_| name.clone());
    Some(SetTx { place, odd, change, is_score: *is_score })
}

fn tx_name(one: &Macro) -> Option<&str> {
    one.name.as_deref().filter(|_| one.variable == Variable::Tx)
}

/// All names of TX that the rules mention, and the patterns that pick from them.
pub(super) fn names(rules: &[Rule]) -> Arc<Names> {
    let links = || rules.iter().flat_map(|rule| &rule.links);
    let targets = || links().flat_map(|link| link.targets.iter().chain(&link.excluded)).filter(|target| target.variable == Variable::Tx);
    let looked_at = targets().filter_map(|target| if let Some(Selector::Name(name)) = &target.selector { Some(&**name) } else { None });
    let written = links().flat_map(|link| &link.effects).filter_map(|effect| match effect {
        Effect::SetVariable(set) if set.collection == Variable::Tx => set.name.literal().map(|name| name.as_ref()),
        _ => None,
    });
    let templates = rules.iter().flat_map(templates);
    let expanded = templates.flat_map(Template::macros).filter_map(tx_name).map(str::as_bytes);
    let digits = (b'0'..=b'9').map(|digit| b"0123456789".get(usize::from(digit - b'0')..=usize::from(digit - b'0')).unwrap_or_default());
    let mut names = Names::new(digits.chain(written).chain(looked_at).chain(expanded));
    for target in targets() {
        if let Some(selector @ Selector::Pattern(_, text)) = &target.selector {
            names.pattern(text, |name| selector.picks(name));
        }
    }
    Arc::new(names)
}

/// All texts with macros of a rule.
fn templates(rule: &Rule) -> impl Iterator<Item = &Template> {
    let own = rule.message.iter().chain(&rule.data);
    let arguments = rule.links.iter().filter_map(|link| link.test.as_ref()?.argument.as_ref());
    let effects = rule.links.iter().flat_map(|link| &link.effects).flat_map(|effect| match effect {
        Effect::SetVariable(set) | Effect::ExpireVariable(set) | Effect::DeprecateVariable(set, ..) => match &set.assignment {
            Assignment::Set(value) | Assignment::Add(value) | Assignment::Subtract(value) => [Some(&set.name), Some(value)],
            Assignment::Remove => [Some(&set.name), None],
        },
        Effect::SetEnvironment(name, value) => [Some(name), Some(value)],
        Effect::OpenCollection(_, key) => [Some(key), None],
        Effect::Control(_) | Effect::Sanitise(..) => [None, None],
    });
    own.chain(arguments).chain(effects.flatten())
}

/// Whether a rule may ask for `MATCHED_VARS` or their names while it runs.
pub(super) fn asks_matched_vars(rule: &Rule) -> bool {
    let matched_vars = |variable: Variable| matches!(variable, Variable::MatchedVars | Variable::MatchedVarsNames);
    let targets = rule.links.iter().flat_map(|link| &link.targets);
    targets.into_iter().any(|target| matched_vars(target.variable))
        || templates(rule).flat_map(Template::macros).any(|one| matched_vars(one.variable))
        || rule.tags.iter().any(|tag| tag.contains("%{"))
        || matches!(&rule.disruptive, crate::action::Disruptive::Disrupt(_, Some(_)))
}
