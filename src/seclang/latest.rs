//! The value that matched last: what `MATCHED_VAR` and `MATCHED_VAR_NAME` tell.

use bytes::Bytes;

use crate::variable::Variable;

/// A value that matched.
#[derive(Clone, Debug)]
pub(crate) struct Latest {
    pub(crate) name: LatestName,
    pub(crate) value: Bytes,
}

/// The name of a value that matched.
#[derive(Clone, Debug)]
pub(crate) enum LatestName {
    Given(Bytes),
    /// A value of a variable, by its name inside the collection.
    Of(Variable, Bytes),
    /// A variable of TX as the rules spell it first, by its place.
    Tx(u32),
    /// What a rule's first link counts, by the rule.
    Counted(u32),
}
