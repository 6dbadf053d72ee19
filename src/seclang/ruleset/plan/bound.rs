//! Rules that see nothing but what a known head stands for: that they do not match can be remembered with the head.

use crate::action::{Assignment, Effect, SetVariable};
use crate::common_header::is_common_header;
use crate::expand::{Macro, Template};
use crate::operator::{Need, Operator};
use crate::ruleset::{Check, Link, Rule};
use crate::target::{Selector, Target};
use crate::tx::{CAPTURES, Names};
use crate::variable::Variable;

use super::{Book, Column, List, PlannedRule, Way};

/// What such a rule asks for beside the head.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Its number among them.
    pub(crate) number: u32,
    /// The places in TX of its operators' arguments.
    pub(crate) inputs: Box<[u32]>,
    /// Its links that look at variables of TX which the rule itself sets.
    pub(crate) patterns: Box<[usize]>,
}

impl Bound {
    pub(super) fn of(rule: &Rule, planned: &PlannedRule, book: &Book, names: &Names) -> Option<Self> {
        let mut bound = (Vec::new(), Vec::new());
        let last = rule.links.len().checked_sub(1)?;
        for (number, (link, plan)) in rule.links.iter().zip(&planned.links).enumerate() {
            let test = link.test.as_ref()?;
            let Check::Operator(operator) = &test.check else { return None };
            if operator.needs() != Need::None {
                return None;
            }
            if let Some(template) = &test.argument {
                let one = template.only_macro().filter(|one| one.variable == Variable::Tx)?;
                bound.0.push(names.find(one.name.as_ref()?.as_bytes()).filter(|place| *place >= CAPTURES)?);
            }
            match &plan.way {
                Way::Columns(columns) => {
                    let view = book.views.get(columns.view as usize).filter(|view| !view.has_more)?;
                    let is_known = |column: &u32| book.columns.get(*column as usize).is_some_and(|column| is_known(&column.source));
                    view.columns.iter().all(is_known).then_some(())?;
                }
                Way::Loose => {
                    matches!(link.targets.as_slice(), [Target { variable: Variable::Tx, selector: Some(Selector::Pattern(..)), .. }])
                        .then_some(())?;
                    bound.1.push(number);
                }
                Way::Plain | Way::Single(_) => return None,
            }
            // The last link does nothing where the rule does not match.
            (number == last || sets_of_captures_only(link, operator, &bound.0, names)).then_some(())?;
        }
        (!planned.asks_matched_vars).then(|| Bound { number: 0, inputs: bound.0.into(), patterns: bound.1.into() })
    }
}

/// Whether the head's key has all values of a column: of headers those that are common, and all names.
fn is_known(column: &Column) -> bool {
    match column {
        Column::Names(List::RequestHeaders) => true,
        Column::Named(List::RequestHeaders, _, name) => is_common_header(name),
        Column::Picked(target) => matches!(target.variable, Variable::RequestMethod | Variable::RequestProtocol),
        _ => false,
    }
}

/// Whether all that a link does is to set variables of TX, by names and to texts that are made of its own captures, and which are no inputs.
fn sets_of_captures_only(link: &Link, operator: &Operator, inputs: &[u32], names: &Names) -> bool {
    // Others may match and leave the captures of earlier rules.
    let captures = link.capture && matches!(operator, Operator::Rx(_));
    let is_capture = |one: &Macro| {
        let digit = |name: &str| matches!(name.as_bytes(), [b'0'..=b'9']);
        one.variable == Variable::Tx && one.name.as_deref().is_some_and(digit)
    };
    let of_captures = |template: &Template| template.macros().all(is_capture);
    let keeps_inputs = |name: &Template| {
        let start = name.start();
        let begins = |input: &[u8]| input.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start));
        start.len() > 1 && !inputs.iter().filter_map(|place| names.name(*place)).any(|input| begins(input))
    };
    link.effects.iter().all(|effect| match effect {
        Effect::SetVariable(SetVariable { collection: Variable::Tx, name, assignment: Assignment::Set(value), .. }) => {
            captures && name.literal().is_none() && of_captures(name) && of_captures(value) && keeps_inputs(name)
        }
        _ => false,
    })
}
