//! The tiers of rules: how many gates stand before each.
//!
//! A gate is a rule that compares a variable of TX with a number and jumps with `skipAfter`, as the Core Rule Set keeps its paranoia
//! levels apart. Of rules behind different gates those behind more of them are reached more rarely.

use std::collections::HashMap;

use super::quick::Compare;
use crate::ruleset::{Rule, Step};
use crate::target::Selector;
use crate::variable::Variable;

/// Tiers that are told apart; the last has all that stand behind more gates.
pub(super) const MOST: usize = 4;

/// The tier of each rule.
pub(super) fn of(rules: &[Rule], phases: &[Vec<Step>; 5]) -> Vec<usize> {
    let mut tiers = vec![0; rules.len()];
    for steps in phases {
        // Gates that are open, with the label that closes each.
        let mut open: Vec<(&str, (&[u8], Compare))> = Vec::new();
        let mut last = HashMap::<&str, usize>::new();
        for (at, step) in steps.iter().enumerate() {
            if let Step::Marker(label) = step {
                last.insert(label, at);
            }
        }
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Marker(label) => open.retain(|(closing, _)| *closing != label.as_ref()),
                Step::Rule(index) => {
                    let (Some(rule), Some(tier)) = (rules.get(*index as usize), tiers.get_mut(*index as usize)) else { continue };
                    let mut gates: Vec<&(&[u8], Compare)> = Vec::new();
                    for (_, gate) in &open {
                        if !gates.contains(&gate) {
                            gates.push(gate);
                        }
                    }
                    *tier = gates.len().saturating_sub(1).min(MOST - 1);
                    if let (Some(label), Some(gate)) = (&rule.skip_after, gate(rule))
                        && last.get(label.as_ref()).is_some_and(|marker| *marker > at)
                    {
                        open.push((label, gate));
                    }
                }
            }
        }
    }
    tiers
}

/// What a rule compares, where it is a gate.
fn gate(rule: &Rule) -> Option<(&[u8], Compare)> {
    let [link] = rule.links.as_slice() else { return None };
    let [target] = link.targets.as_slice() else { return None };
    let Some(Selector::Name(name)) = &target.selector else { return None };
    let compare = link.test.as_ref().and_then(Compare::of)?;
    (target.variable == Variable::Tx && !target.counted).then_some((&**name, compare))
}
