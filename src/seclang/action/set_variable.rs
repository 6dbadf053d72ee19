//! `setvar:tx.score=+5` and its kin: a collection, a name, and what happens to it.

use crate::expand::Template;
use crate::variable::Variable;

/// A change to a variable of a collection.
#[derive(Clone, Debug)]
pub struct SetVariable {
    /// TX, ENV or a persistent collection.
    pub collection: Variable,
    /// The name, which may hold macros.
    pub name: Template,
    /// What happens to it.
    pub assignment: Assignment,
    /// The name without macros ends in an anomaly score's name, so that a match record counts the points.
    pub is_score: bool,
}

/// What happens to a variable.
#[derive(Clone, Debug)]
pub enum Assignment {
    /// `=value`; without a value it is `1`.
    Set(Template),
    /// `=+n`
    Add(Template),
    /// `=-n`
    Subtract(Template),
    /// `!`
    Remove,
}

impl SetVariable {
    /// Parses what follows `setvar:`.
    ///
    /// # Errors
    /// One sentence saying what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (removed, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let (path, value) = match split_outside_macros(text) {
            Some((path, value)) => (path, Some(value)),
            None => (text, None),
        };
        let cut = path.find(['.', ':']).filter(|cut| path.find("%{").is_none_or(|open| *cut < open));
        let Some(cut) = cut else {
            return Err(format!("`{path}` names no collection; write tx.{path}"));
        };
        let (collection, name) = (path.get(..cut).unwrap_or("").trim(), path.get(cut + 1..).unwrap_or("").trim());
        let collection = Variable::parse(collection)
            .filter(|v| v.is_persistent() || matches!(v, Variable::Tx | Variable::Env))
            .ok_or_else(|| format!("`{collection}` is not a collection that rules can write to"))?;
        if name.is_empty() {
            return Err("the variable's name is missing".to_owned());
        }
        let assignment = match (removed, value) {
            (true, _) => Assignment::Remove,
            (false, None) => Assignment::Set(Template::parse("1").0),
            (false, Some(value)) => match value.as_bytes().first() {
                Some(b'+') => Assignment::Add(Template::parse(value.get(1..).unwrap_or("")).0),
                Some(b'-') => Assignment::Subtract(Template::parse(value.get(1..).unwrap_or("")).0),
                _ => Assignment::Set(Template::parse(value).0),
            },
        };
        let lower = name.to_ascii_lowercase();
        let is_score = collection == Variable::Tx
            && (lower == "anomaly_score" || lower.starts_with("baseline_score") || lower.contains("anomaly_score_pl"));
        Ok(SetVariable { collection, name: Template::parse(name).0, assignment, is_score })
    }
}

/// Splits at the first `=` that is not inside `%{...}`.
pub(super) fn split_outside_macros(text: &str) -> Option<(&str, &str)> {
    let mut depth = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if at > 0 && text.as_bytes().get(at - 1) == Some(&b'%') => depth = true,
            b'}' => depth = false,
            b'=' if !depth => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_setvar() {
        let parse = |text| SetVariable::parse(text).expect(text);
        assert!(matches!(parse("tx.a").assignment, Assignment::Set(_)));
        assert!(matches!(parse("!ip.a").assignment, Assignment::Remove));
        let score = parse("tx.inbound_anomaly_score_pl1=+%{tx.critical_anomaly_score}");
        assert!(score.is_score && matches!(score.assignment, Assignment::Add(_)));
        assert!(parse("tx.x_%{tx.1}=-3").name.literal().is_none());
        assert!(SetVariable::parse("args.a=1").is_err());
        assert!(SetVariable::parse("score=1").is_err());
        assert!(SetVariable::parse("tx.=1").is_err());
    }
}
